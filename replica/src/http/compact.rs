//! `POST /v1/compact`: drops the history before a revision, on every replica.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::json;
use shared::deadline::Deadline;
use shared::fields::refuse_but_json;
use shared::query::Query;
use shared::wire::{BodyLimit, read_in_time};

use super::App;
use super::mutate::{finish, refuse_conditions, refuse_unsupported, submit};
use super::mutation::Compacted;
use super::openapi::content::{self, sent};
use super::openapi::{self, Entry};
use super::refused::Refused;
use crate::http::request::compact::{RawCompaction, compaction_of};
use crate::machine::command::Op;

/// The longest one: it is a number.
const COMPACTION: BodyLimit = BodyLimit { what: "compaction", bytes: 4 << 10 };

/// What the contract says of it.
pub(super) fn entries() -> Vec<Entry> {
    let what = "It is dropped on every replica.";
    vec![
        openapi::mutation(
            "post",
            "/v1/compact",
            ("compact", "Drops the history before a revision."),
        )
        .takes([sent::<RawCompaction>(json!({"revision": 42}))])
        .answers(200, what, [content::json(&Compacted::example())]),
    ]
}

/// Answers it.
pub(super) async fn compact(State(app): State<Arc<App>>, request: Request) -> Response {
    finish(answer(&app, request).await)
}

async fn answer(app: &App, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let deadline = Deadline::of(&parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    refuse_but_json(&parts.headers, "a compaction")?;
    refuse_conditions(&parts.headers, ", not about history")?;
    refuse_unsupported(&parts.headers)?;
    let body = read_in_time(body, COMPACTION, deadline).await?;
    let below = compaction_of(&body)?;
    submit(app, &parts, Op::Compact { below }, deadline).await
}
