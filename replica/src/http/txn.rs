//! `POST /v1/txn`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, header};
use shared::deadline::Deadline;
use shared::problem::Problem;
use shared::wire::{BodyLimit, Encoding, MediaType};

use super::mutate::{finish, refuse_unsupported, submit, whole_body};
use super::refused::Refused;
use super::{App, Limits};
use crate::http::request::conditions::{Guard, guard_of};
use crate::http::request::query::Query;
use crate::http::request::txn::{TxnLimits, txn_of};
use crate::machine::command::Op;

/// Answers it.
pub(super) async fn txn(State(app): State<Arc<App>>, request: Request) -> Response {
    finish(answer(&app, request).await)
}

async fn answer(app: &App, request: Request) -> Result<Response, Refused> {
    let (mut parts, body) = request.into_parts();
    let deadline = Deadline::of(&parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    require_json(&parts.headers)?;
    if guard_of(&parts.headers)? != Guard::Always {
        return Err(Problem::bad_request(
            "If-Match and If-None-Match are about one key: a transaction has guards of its own",
        )
        .into());
    }
    refuse_unsupported(&parts.headers)?;
    let limit = BodyLimit { what: "transaction", bytes: app.limits.txn_bytes };
    let _room =
        app.bodies.reserve_body(&parts.headers, limit.bytes).map_err(Refused::BodiesFull)?;
    let body = whole_body(&mut parts, body, limit).await?;
    let txn = txn_of(&body, &app.limits.of_txn())?;
    drop(body);
    submit(app, &parts, Op::Txn(Box::new(txn)), deadline).await
}

impl Limits {
    fn of_txn(&self) -> TxnLimits {
        TxnLimits {
            key_bytes: self.key_bytes,
            value_bytes: self.value_bytes,
            operations: self.txn_operations,
            items: self.page_items,
        }
    }
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match said.and_then(MediaType::of) {
        Some(MediaType::Spoken(Encoding::Json)) => Ok(()),
        Some(MediaType::Spoken(Encoding::Postcard) | MediaType::OtherVersion(_)) | None => {
            Err(Problem::unsupported_media_type(
                "a transaction is JSON: send it with Content-Type: application/json",
            ))
        }
    }
}
