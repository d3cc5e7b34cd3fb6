//! `POST /v1/rollback`: makes the keys with a prefix what they were at a revision, or says
//! what that would change.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Serialize;
use shared::deadline::Deadline;
use shared::ids::Revision;
use shared::problem::Problem;
use shared::wire::{self, BodyLimit};

use super::App;
use super::diff::{differing, horizon};
use super::mutate::{finish, refuse_conditions, refuse_unsupported, submit, whole_body};
use super::reading::released;
use super::refused::Refused;
use crate::http::request::CONSISTENCY;
use crate::http::request::diff::DiffRequest;
use crate::http::request::headers::idempotency_key;
use crate::http::request::json::require_json;
use crate::http::request::path::text_of;
use crate::http::request::query::Query;
use crate::http::request::rollback::{RollbackRequest, rollback_of};
use crate::machine::command::{Op, limits};
use crate::machine::outcome::RollbackRefused;

/// The longest one: a prefix of any length that the format allows, escaped.
const ROLLBACK: BodyLimit = BodyLimit { what: "roll-back", bytes: 64 << 10 };

/// The parameter that asks for what would change.
const DRY_RUN: &str = "dry_run";

/// Answers it.
pub(super) async fn rollback(State(app): State<Arc<App>>, request: Request) -> Response {
    finish(answer(&app, request).await)
}

async fn answer(app: &App, request: Request) -> Result<Response, Refused> {
    let (mut parts, body) = request.into_parts();
    let deadline = Deadline::of(&parts.headers)?;
    let query = Query::parse(parts.uri.query(), &[DRY_RUN, CONSISTENCY])?;
    let is_dry_run = query.flag(DRY_RUN)?;
    if query.has(CONSISTENCY) && !is_dry_run {
        return Err(Problem::bad_request("query parameter \"consistency\" is for reads").into());
    }
    if is_dry_run && idempotency_key(&parts.headers)?.is_some() {
        let why = "an Idempotency-Key is for what changes something, and a dry run does not";
        return Err(Problem::bad_request(why).into());
    }
    require_json(&parts.headers, "a roll-back")?;
    refuse_conditions(&parts.headers, ", not about a prefix")?;
    refuse_unsupported(&parts.headers)?;
    let body = whole_body(&mut parts, body, ROLLBACK).await?;
    let asked = rollback_of(&body, app.limits.key_bytes)?;
    if !is_dry_run {
        let RollbackRequest { prefix, revision } = asked;
        return submit(app, &parts, Op::Rollback { prefix, revision }, deadline).await;
    }
    let released = released(app, &parts.headers, &query).await?;
    let preview = preview(app, asked, deadline).await?;
    let mut response = wire::json(&preview);
    released.describe(response.headers_mut(), preview.revision);
    Ok(response)
}

/// What a roll-back would do to the state at a revision.
#[derive(Serialize)]
struct Preview {
    revision: Revision,
    restored: usize,
    deleted: usize,
    changes: Vec<PreviewedChange>,
}

#[derive(Serialize)]
struct PreviewedChange {
    key: String,
    change: &'static str,
}

/// Compares what is with what was, a page of keys of each at a time.
async fn preview(
    app: &App,
    asked: RollbackRequest,
    deadline: Deadline,
) -> Result<Preview, Refused> {
    let RollbackRequest { prefix, revision: from } = asked;
    let mut asked = DiffRequest { from, to: None, prefix, after: None };
    let mut changes = Vec::new();
    loop {
        let old = app.reader.list(asked.keys(Some(from)), deadline).await?;
        let new = app.reader.list(asked.keys(asked.to), deadline).await?;
        asked.to = Some(new.at);
        asked.after = horizon(&old, &new);
        for differs in differing(&old, &new, asked.after.as_ref()) {
            let change = if differs.before.is_some() { "restored" } else { "deleted" };
            changes.push(PreviewedChange { key: text_of(&differs.key), change });
        }
        if changes.len() > limits::ROLLBACK_KEYS {
            return Err(Refused::Malformed(RollbackRefused::TooManyKeys.into()));
        }
        if asked.after.is_none() {
            let deleted = changes.iter().filter(|it| it.change == "deleted").count();
            let restored = changes.len() - deleted;
            return Ok(Preview { revision: new.at, restored, deleted, changes });
        }
        if deadline.remaining().is_zero() {
            let why = "what would change was not found out in time";
            return Err(Refused::Malformed(Problem::timeout(why)));
        }
    }
}
