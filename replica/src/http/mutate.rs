//! `PUT /v1/kv/{key}`, `DELETE /v1/kv/{key}` and `DELETE /v1/kv?prefix=`.
//!
//! The primary takes them; any other replica forwards them to it. Every refusal says what
//! became of the mutation: unless it says otherwise, nothing.

use std::sync::Arc;

use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use shared::deadline::Deadline;
use shared::ids::Revision;
use shared::message::Member;
use shared::problem::{Outcome, Problem};
use shared::wire::{self, BodyLimit, WholeBody};

use super::forward::{forward, is_forwarded};
use super::reading::{REVISION, at_least};
use super::refused::Refused;
use super::{App, Limits};
use crate::driver::MutationEnd;
use crate::http::request::conditions::{Guard, etag, guard_of};
use crate::http::request::headers::min_revision;
use crate::http::request::path::{key_of_path, text_of};
use crate::http::request::query::Query;
use crate::machine::command::{Condition, Op};
use crate::machine::execute::CommandOutcome;
use crate::replica::event::{Answer, Role};
use crate::replica::status::Status;
use crate::store::CountQuery;

/// `PUT /v1/kv/{key}`.
pub(super) async fn put(State(app): State<Arc<App>>, request: Request) -> Response {
    finish(put_answer(&app, request).await)
}

/// `DELETE /v1/kv/{key}`.
pub(super) async fn delete(State(app): State<Arc<App>>, parts: Parts) -> Response {
    finish(delete_answer(&app, parts).await)
}

/// `DELETE /v1/kv?prefix=`.
pub(super) async fn delete_prefix(State(app): State<Arc<App>>, parts: Parts) -> Response {
    finish(delete_prefix_answer(&app, parts).await)
}

async fn put_answer(app: &App, request: Request) -> Result<Response, Refused> {
    let (mut parts, body) = request.into_parts();
    let deadline = Deadline::of(&parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    let key = key_text(&parts, &app.limits)?;
    let condition = condition_of(guard_of(&parts.headers)?);
    let content_type = content_type_of(&parts.headers)?;
    refuse_unsupported(&parts.headers)?;
    let _room = app
        .bodies
        .reserve_body(&parts.headers, app.limits.value_bytes)
        .map_err(Refused::BodiesFull)?;
    parts.extensions.insert(BodyLimit { what: "value", bytes: app.limits.value_bytes });
    let WholeBody(value) =
        WholeBody::from_request(Request::from_parts(parts.clone(), body), &()).await?;
    let op = Op::Put { key, value: value.clone(), content_type, condition };
    submit(app, &parts, op, value, deadline).await
}

async fn delete_answer(app: &App, parts: Parts) -> Result<Response, Refused> {
    let deadline = Deadline::of(&parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    let key = key_text(&parts, &app.limits)?;
    let condition = condition_of(guard_of(&parts.headers)?);
    refuse_unsupported(&parts.headers)?;
    submit(app, &parts, Op::Delete { key, condition }, Bytes::new(), deadline).await
}

async fn delete_prefix_answer(app: &App, parts: Parts) -> Result<Response, Refused> {
    let deadline = Deadline::of(&parts.headers)?;
    let query = Query::parse(parts.uri.query(), &["prefix", "all"])?;
    let (prefix, all) = (query.text("prefix").unwrap_or_default(), query.flag("all")?);
    if prefix.is_empty() && !all {
        return Err(Problem::bad_request(
            "an empty prefix deletes every key: say so with all=true, or name a prefix",
        )
        .into());
    }
    if !prefix.is_empty() && all {
        return Err(Problem::bad_request("all=true and a prefix exclude each other").into());
    }
    if prefix.len() > app.limits.key_bytes {
        let (length, limit) = (prefix.len(), app.limits.key_bytes);
        return Err(Problem::bad_request(format!(
            "the prefix has {length} bytes, the limit is {limit} bytes of UTF-8"
        ))
        .into());
    }
    if guard_of(&parts.headers)? != Guard::Always {
        return Err(Problem::bad_request(
            "If-Match and If-None-Match are about one key, not about a prefix",
        )
        .into());
    }
    refuse_unsupported(&parts.headers)?;
    submit(app, &parts, Op::DeletePrefix { prefix: prefix.to_owned() }, Bytes::new(), deadline)
        .await
}

fn key_text(parts: &Parts, limits: &Limits) -> Result<String, Problem> {
    key_of_path(parts.uri.path(), limits.key_bytes).map(|key| text_of(&key))
}

fn condition_of(guard: Guard) -> Condition {
    match guard {
        Guard::Always => Condition::Always,
        Guard::IfMatch(revisions) => Condition::IfMatch(revisions),
        Guard::IfMatchAny => Condition::IfMatchAny,
        Guard::IfNoneMatchAny => Condition::IfNoneMatchAny,
    }
}

fn content_type_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(None) };
    let text = value
        .to_str()
        .map_err(|_| Problem::bad_request("Content-Type has bytes that are not visible ASCII"))?;
    Ok(Some(text.to_owned()))
}

/// Headers that would change what a mutation means, and that are not obeyed: better
/// refused than silently ignored.
const UNSUPPORTED: [(&str, &str); 3] = [
    ("idempotency-key", "Idempotency-Key is not supported yet"),
    ("synod-fence", "Synod-Fence is not supported yet"),
    ("content-range", "Content-Range is not supported: a PUT stores a whole value"),
];

fn refuse_unsupported(headers: &HeaderMap) -> Result<(), Problem> {
    if let Some((_, detail)) = UNSUPPORTED.iter().find(|(name, _)| headers.contains_key(*name)) {
        return Err(Problem::bad_request(*detail));
    }
    match headers.get(header::CONTENT_ENCODING) {
        Some(coding) if !coding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            Err(Problem::unsupported_media_type(
                "Content-Encoding is not kept with a value: send the bytes as they are to be read",
            ))
        }
        Some(_) | None => Ok(()),
    }
}

/// Who takes the mutation.
enum Route {
    ThisReplica,
    Primary(Member),
}

fn route(status: &Status, app: &App, headers: &HeaderMap) -> Result<Route, Refused> {
    match (status.role, &status.primary) {
        (Role::Primary, _) => Ok(Route::ThisReplica),
        (Role::Backup | Role::Waiting, _) if is_forwarded(headers) => Err(Refused::Astray),
        // In the view's eyes this replica is the primary, but as it was before a restart:
        // the next view is on its way.
        (Role::Backup | Role::Waiting, Some(primary)) if primary.name == app.name => {
            Err(Refused::NoPrimary)
        }
        (Role::Backup | Role::Waiting, Some(primary)) => Ok(Route::Primary(primary.clone())),
        (Role::Backup | Role::Waiting, None) => Err(Refused::NoPrimary),
    }
}

async fn submit(
    app: &App,
    parts: &Parts,
    op: Op,
    body: Bytes,
    deadline: Deadline,
) -> Result<Response, Refused> {
    let min_revision = min_revision(&parts.headers)?;
    let route = route(&app.driver.published().status, app, &parts.headers)?;
    match route {
        Route::ThisReplica => {
            at_least(app, min_revision, deadline).await?;
            let key = key_of(&op);
            let outcome = executed(app.driver.mutate(op, deadline).await)?;
            answered(app, key, outcome, deadline).await
        }
        Route::Primary(primary) => forward(&primary, parts, body, deadline).await,
    }
}

/// The key, or the beginning of the keys, that a mutation is about.
fn key_of(op: &Op) -> String {
    match op {
        Op::Put { key, .. } | Op::Delete { key, .. } => key.clone(),
        Op::DeletePrefix { prefix } => prefix.clone(),
    }
}

#[derive(Serialize)]
struct Written {
    key: String,
    revision: Revision,
    created_revision: Revision,
    version: u64,
}

#[derive(Serialize)]
struct Deleted {
    deleted: u64,
    revision: Revision,
}

fn executed(end: MutationEnd) -> Result<CommandOutcome, Refused> {
    match end {
        MutationEnd::Answered(Answer::Executed { slot: _, outcome }) => Ok(outcome),
        MutationEnd::Answered(Answer::NotApplied(reason)) => Err(Refused::NotApplied(reason)),
        MutationEnd::Answered(Answer::Unknown(stall)) => Err(Refused::Unknown(stall)),
        MutationEnd::Closed => Err(Refused::Closed),
        MutationEnd::Lost => Err(Refused::Lost),
    }
}

async fn answered(
    app: &App,
    key: String,
    outcome: CommandOutcome,
    deadline: Deadline,
) -> Result<Response, Refused> {
    match outcome {
        CommandOutcome::Created { revision } => Ok(written(
            StatusCode::CREATED,
            &Written { key, revision, created_revision: revision, version: 1 },
        )),
        CommandOutcome::Replaced { revision, created_revision, version } => {
            Ok(written(StatusCode::OK, &Written { key, revision, created_revision, version }))
        }
        CommandOutcome::Deleted { revision, deleted } => Ok(gone(deleted, revision)),
        CommandOutcome::DeletedPrefix { revision } => {
            let counting = deadline.bound(count_deleted(app, &key, revision, deadline)).await;
            let deleted = counting.map_err(|_| Refused::Uncounted { revision, why: None })?;
            let uncounted = |refused| Refused::Uncounted { revision, why: Some(Box::new(refused)) };
            Ok(gone(deleted.map_err(uncounted)?, revision))
        }
        CommandOutcome::PreconditionFailed { revision, current } => {
            Err(Refused::GuardFailed { revision, current })
        }
    }
}

/// Executing a deletion of a prefix looks at no key: how many it deleted is what the
/// state before it has, however often and wherever that is asked.
async fn count_deleted(
    app: &App,
    prefix: &str,
    revision: Revision,
    deadline: Deadline,
) -> Result<u64, Refused> {
    at_least(app, Some(revision), deadline).await?;
    Ok(app.reader.count(CountQuery::of_prefix(prefix, revision)).await?)
}

fn gone(deleted: u64, revision: Revision) -> Response {
    let mut response = wire::json(&Deleted { deleted, revision });
    response.headers_mut().insert(REVISION, HeaderValue::from(revision.0));
    response
}

fn written(status: StatusCode, body: &Written) -> Response {
    let mut response = wire::json(body);
    *response.status_mut() = status;
    let tag = HeaderValue::from_str(&etag(body.revision)).expect("digits in quotation marks");
    response.headers_mut().insert(header::ETAG, tag);
    response.headers_mut().insert(REVISION, HeaderValue::from(body.revision.0));
    response
}

/// A refusal that does not say what became of the mutation comes from before it was
/// handed to anybody.
fn finish(result: Result<Response, Refused>) -> Response {
    result.unwrap_or_else(|refused| {
        let problem = Problem::from(refused);
        match problem.body().outcome {
            Some(_) => problem.into_response(),
            None => problem.with_outcome(Outcome::NotApplied).into_response(),
        }
    })
}
