//! `POST /v1/log`: has a value stand in the log.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use shared::deadline::Deadline;
use shared::query::Query;
use shared::wire::{BodyLimit, read_in_time};

use super::App;
use super::authorize::{Seen, TokenHolder, permit};
use super::mutate::{content_type_of, finish, refuse_conditions, refuse_unsupported, submit};
use super::mutation::Appended;
use super::openapi::content::{json, text};
use super::openapi::{self, Entry, field};
use super::refused::Refused;
use crate::machine::access::policy::Right;
use crate::machine::command::Op;

/// What the contract says of it.
pub(super) fn entries() -> Vec<Entry> {
    vec![
        openapi::mutation("post", "/v1/log", ("append", "Has a value stand in the log."))
            .takes([text("*/*", "deployed 1.2")])
            .answers(201, "It was chosen at that slot.", [json(&Appended::example())])
            .says(&[field::LOCATION]),
    ]
}

/// Answers it.
pub(super) async fn append(State(app): State<Arc<App>>, request: Request) -> Response {
    finish(answer(&app, request).await)
}

async fn answer(app: &App, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let deadline = Deadline::of(&parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    refuse_conditions(&parts.headers, ", and what is appended to the log has none")?;
    let content_type = content_type_of(&parts.headers)?;
    refuse_unsupported(&parts.headers)?;
    // Nobody takes memory for what would be refused.
    let needed = |holder: &TokenHolder| holder.granted.need_whole(&[Right::Write], "");
    permit(app, &parts.headers, Seen::AsItIs, deadline, needed).await?;
    let limit = BodyLimit { what: "value", bytes: app.limits.value_bytes };
    let _room =
        app.bodies.reserve_body(&parts.headers, limit.bytes).map_err(Refused::BodiesFull)?;
    let value = read_in_time(body, limit, deadline).await?;
    submit(app, &parts, Op::Append { value, content_type }, deadline).await
}
