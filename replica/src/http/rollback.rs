//! `POST /v1/rollback`: makes the keys with a prefix what they were at a revision, or says
//! what that would change.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use shared::deadline::Deadline;
use shared::fields::refuse_but_json;
use shared::ids::Revision;
use shared::problem::Problem;
use shared::query::Query;
use shared::wire::{self, BodyLimit, read_in_time};

use super::App;
use super::authorize::TokenHolder;
use super::diff::{differing, horizon};
use super::mutate::{finish, refuse_conditions, refuse_unsupported, submit};
use super::mutation::RolledBack;
use super::openapi::content::{self, sent};
use super::openapi::{self, Entry};
use super::reading::released;
use super::refused::Refused;
use crate::http::request::diff::DiffRequest;
use crate::http::request::headers::idempotency_key;
use crate::http::request::parameter::{CONSISTENCY, Parameter};
use crate::http::request::path::text_of;
use crate::http::request::rollback::{RawRollback, RollbackRequest, rollback_of};
use crate::machine::access::policy::Right;
use crate::machine::command::{Op, limits};
use crate::machine::outcome::RollbackRefused;

/// The longest one: a prefix of any length that the format allows, escaped.
const ROLLBACK: BodyLimit = BodyLimit { what: "roll-back", bytes: 64 << 10 };

/// The parameter that asks for what would change.
const DRY_RUN: &str = "dry_run";
const PARAMETERS: [Parameter; 2] = [Parameter::flag(DRY_RUN, "false"), CONSISTENCY];

/// What the contract says of it.
pub(super) fn entries() -> Vec<Entry> {
    let counts = RolledBack { revision: Revision(43), restored: 1, deleted: 0 };
    let change = Previewed::Restored;
    let changes = Some(vec![PreviewedChange { key: "app/web".to_owned(), change }]);
    vec![
        openapi::mutation("post", "/v1/rollback", ("rollBack", "Makes keys what they were."))
            .query(&PARAMETERS)
            .takes([sent::<RawRollback>(json!({"prefix": "app/", "revision": 42}))])
            .answers(200, "They are, or would be.", [content::json(&Preview { counts, changes })])
            .refused(&[410]),
    ]
}

/// Answers it.
pub(super) async fn rollback(State(app): State<Arc<App>>, request: Request) -> Response {
    finish(answer(&app, request).await)
}

async fn answer(app: &App, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let deadline = Deadline::of(&parts.headers)?;
    let query = Query::parse(parts.uri.query(), &PARAMETERS)?;
    let is_dry_run = query.flag(DRY_RUN)?;
    if query.has(CONSISTENCY.name) && !is_dry_run {
        return Err(Problem::bad_request("query parameter \"consistency\" is for reads").into());
    }
    if is_dry_run && idempotency_key(&parts.headers)?.is_some() {
        let why = "an Idempotency-Key is for what changes something, and a dry run does not";
        return Err(Problem::bad_request(why).into());
    }
    refuse_but_json(&parts.headers, "a roll-back")?;
    refuse_conditions(&parts.headers, ", not about a prefix")?;
    refuse_unsupported(&parts.headers)?;
    let body = read_in_time(body, ROLLBACK, deadline).await?;
    let asked = rollback_of(&body, app.limits.key_bytes)?;
    if !is_dry_run {
        let RollbackRequest { prefix, revision } = asked;
        return submit(app, &parts, Op::Rollback { prefix, revision }, deadline).await;
    }
    let released = released(app, &parts.headers, &query).await?;
    let rights = [Right::History, Right::Read, Right::Write];
    let needed = |holder: &TokenHolder| holder.granted.need_whole(&rights, &asked.prefix);
    released.permit(app, &parts.headers, needed).await?;
    let preview = preview(app, asked, deadline).await?;
    let mut response = wire::json(&preview);
    released.describe(response.headers_mut(), preview.counts.revision);
    Ok(response)
}

/// What a roll-back would do to the state at a revision.
#[derive(Serialize, JsonSchema)]
struct Preview {
    #[serde(flatten)]
    counts: RolledBack,
    /// Said of a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<PreviewedChange>>,
}

#[derive(Serialize, JsonSchema)]
struct PreviewedChange {
    key: String,
    change: Previewed,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Previewed {
    /// It would have the value again that it had.
    Restored,
    /// It would be gone.
    Deleted,
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
            let was = differs.before.is_some();
            let change = if was { Previewed::Restored } else { Previewed::Deleted };
            changes.push(PreviewedChange { key: text_of(&differs.key), change });
        }
        if changes.len() > limits::ROLLBACK_KEYS {
            return Err(Refused::Malformed(RollbackRefused::TooManyKeys.into()));
        }
        if asked.after.is_none() {
            let count = |of| changes.iter().filter(|it| it.change == of).count() as u64;
            let (restored, deleted) = (count(Previewed::Restored), count(Previewed::Deleted));
            let counts = RolledBack { revision: new.at, restored, deleted };
            return Ok(Preview { counts, changes: Some(changes) });
        }
        if deadline.remaining().is_zero() {
            let why = "what would change was not found out in time";
            return Err(Refused::Malformed(Problem::timeout(why)));
        }
    }
}
