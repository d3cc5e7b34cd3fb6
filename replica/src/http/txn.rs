//! `POST /v1/txn`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::json;
use shared::deadline::Deadline;
use shared::fields::refuse_but_json;
use shared::query::Query;
use shared::wire::{BodyLimit, read_in_time};

use super::mutate::{finish, refuse_conditions, refuse_unsupported, submit};
use super::mutation::TxnAnswer;
use super::openapi::content::{self, sent};
use super::openapi::{self, Entry};
use super::refused::Refused;
use super::{App, Limits};
use crate::http::request::txn::{RawTxn, TxnLimits, txn_of};
use crate::machine::command::Op;

/// What the contract says of it.
pub(super) fn entries() -> Vec<Entry> {
    let asked = json!({
        "if": [{"key": "a", "version": {"eq": 0}}],
        "then": [{"put": {"key": "a", "value": "1"}}, {"get": {"key": "app/web"}}],
    });
    vec![
        openapi::mutation("post", "/v1/txn", ("transact", "Does several things as one step."))
            .takes([sent::<RawTxn>(asked)])
            .answers(200, "It was done.", [content::json(&TxnAnswer::example())])
            .refused(&[404, 410]),
    ]
}

/// Answers it.
pub(super) async fn txn(State(app): State<Arc<App>>, request: Request) -> Response {
    finish(answer(&app, request).await)
}

async fn answer(app: &App, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let deadline = Deadline::of(&parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    refuse_but_json(&parts.headers, "a transaction")?;
    refuse_conditions(&parts.headers, ": a transaction has guards of its own")?;
    refuse_unsupported(&parts.headers)?;
    let limit = BodyLimit { what: "transaction", bytes: app.limits.txn_bytes };
    let _room =
        app.bodies.reserve_body(&parts.headers, limit.bytes).map_err(Refused::BodiesFull)?;
    let body = read_in_time(body, limit, deadline).await?;
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
