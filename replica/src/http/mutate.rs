//! `PUT /v1/kv/{key}`, `DELETE /v1/kv/{key}` and `DELETE /v1/kv?prefix=`.
//!
//! The primary takes them; any other replica forwards them to it. Every refusal says what
//! became of the mutation: unless it says otherwise, nothing.

use std::sync::Arc;

use axum::BoxError;
use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, header};
use shared::deadline::Deadline;
use shared::fields::{self, only};
use shared::ids::{ClusterId, Revision};
use shared::message::Member;
use shared::problem::{Outcome, Problem};
use shared::query::Query;
use shared::wire::{BodyLimit, read_in_time};

use super::authorize::{Seen, TokenHolder, author, permit, refuse};
use super::forward::{ForwardedCommand, forward};
use super::mutation::{
    Gone, MutationKind, MutationRefused, Performed, TenureRefused, Written, perform,
};
use super::openapi::content::{json, text};
use super::openapi::{self, Entry, field};
use super::refused::Refused;
use super::{App, Limits};
use crate::driver::command;
use crate::http::request::conditions::{Guard, guard_of};
use crate::http::request::headers::{idempotency_key, min_revision, repeatable};
use crate::http::request::parameter::{IF_MATCH, IF_NONE, KEY, LEASE, PREFIX, Parameter};
use crate::http::request::path::{fault_of_length, key_of_path, text_of};
use crate::http::request::tenure::{fence_of, lease_of_query};
use crate::machine::access::authorize::Denied;
use crate::machine::access::policy::Right;
use crate::machine::access::subject::Author;
use crate::machine::command::{Condition, Op};
use crate::machine::execute::Delivery;
use crate::machine::locks::Fenced;
use crate::replica::event::{NotApplied, Role};
use crate::replica::status::Status;

const OF_PREFIX: [Parameter; 2] = [PREFIX, Parameter::flag("all", "false")];

/// What the contract says of them.
pub(super) fn entries() -> Vec<Entry> {
    let of_key = |method, id, summary| {
        let entry = openapi::mutation(method, "/v1/kv/{key}", (id, summary)).of(KEY);
        entry.headers(&[IF_MATCH, IF_NONE]).refused(&[412])
    };
    let of_prefix = ("deletePrefix", "Deletes all keys with a prefix.");
    let written = json(&Written::example());
    vec![
        of_key("put", "put", "Stores bytes under a key.")
            .query(&[LEASE])
            .refused(&[404])
            .takes([text("*/*", "port=80")])
            .answers(200, "It was replaced.", [written.clone()])
            .answers(201, "It was created.", [written])
            .says(&[field::ETAG]),
        of_key("delete", "delete", "Deletes a key.").answers(
            200,
            "It does not exist.",
            [json(&Gone::example(1))],
        ),
        openapi::mutation("delete", "/v1/kv", of_prefix)
            .query(&OF_PREFIX)
            .answers(200, "They do not exist.", [json(&Gone::example(2))])
            .refused(&[410]),
    ]
}

/// `PUT /v1/kv/{key}`.
pub(super) async fn put(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    put_key(&app, parts, body).await
}

/// Answers it.
pub(super) async fn put_key<B>(app: &App, parts: Parts, body: B) -> Response
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    finish(put_answer(app, parts, body).await)
}

/// `DELETE /v1/kv/{key}`.
pub(super) async fn delete(State(app): State<Arc<App>>, parts: Parts) -> Response {
    finish(delete_answer(&app, parts).await)
}

/// `DELETE /v1/kv?prefix=`.
pub(super) async fn delete_prefix(State(app): State<Arc<App>>, parts: Parts) -> Response {
    finish(delete_prefix_answer(&app, parts).await)
}

async fn put_answer<B>(app: &App, parts: Parts, body: B) -> Result<Response, Refused>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let deadline = Deadline::of(&parts.headers)?;
    let query = Query::parse(parts.uri.query(), &[LEASE])?;
    let key = key_text(&parts, &app.limits)?;
    let lease = lease_of_query(&query)?;
    let condition = condition_of(guard_of(&parts.headers)?);
    let content_type = content_type_of(&parts.headers)?;
    refuse_unsupported(&parts.headers)?;
    // Nobody takes memory for what would be refused.
    let needed = |holder: &TokenHolder| holder.granted.need_at(Right::Write, &key);
    permit(app, &parts.headers, Seen::AsItIs, deadline, needed).await?;
    let limit = BodyLimit { what: "value", bytes: app.limits.value_bytes };
    let _room =
        app.bodies.reserve_body(&parts.headers, limit.bytes).map_err(Refused::BodiesFull)?;
    let value = read_in_time(body, limit, deadline).await?;
    let op = match lease {
        None => Op::Put { key, value, content_type, condition },
        Some(lease) => Op::LeasedPut { lease, key, value, content_type, condition },
    };
    submit(app, &parts, op, deadline).await
}

/// Refuses conditions on one key where a request is not about one.
pub(super) fn refuse_conditions(headers: &HeaderMap, instead: &str) -> Result<(), Problem> {
    match guard_of(headers)? {
        Guard::Always => Ok(()),
        Guard::IfMatch(_) | Guard::IfMatchAny | Guard::IfNoneMatchAny => Err(Problem::bad_request(
            format!("If-Match and If-None-Match are about one key{instead}"),
        )),
    }
}

async fn delete_answer(app: &App, parts: Parts) -> Result<Response, Refused> {
    let deadline = Deadline::of(&parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    let key = key_text(&parts, &app.limits)?;
    let condition = condition_of(guard_of(&parts.headers)?);
    refuse_unsupported(&parts.headers)?;
    submit(app, &parts, Op::Delete { key, condition }, deadline).await
}

async fn delete_prefix_answer(app: &App, parts: Parts) -> Result<Response, Refused> {
    let deadline = Deadline::of(&parts.headers)?;
    let query = Query::parse(parts.uri.query(), &OF_PREFIX)?;
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
    if let Some(fault) = fault_of_length("prefix", prefix, app.limits.key_bytes) {
        return Err(Problem::bad_request(fault).into());
    }
    refuse_conditions(&parts.headers, ", not about a prefix")?;
    refuse_unsupported(&parts.headers)?;
    submit(app, &parts, Op::DeletePrefix { prefix: prefix.to_owned() }, deadline).await
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

pub(super) fn content_type_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    Ok(fields::content_type(headers)?.map(str::to_owned))
}

/// Refuses headers that would change what a mutation means, and that are not obeyed, rather
/// than to ignore them silently.
pub(super) fn refuse_unsupported(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(header::CONTENT_RANGE) {
        return Err(Problem::bad_request(
            "Content-Range is not supported: a PUT stores a whole value",
        ));
    }
    match only(headers, "Content-Encoding")? {
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
    Primary(Member, ClusterId),
}

fn route(status: &Status, app: &App) -> Result<Route, Refused> {
    match (status.role, &status.primary, status.cluster) {
        (Role::Primary, _, _) => Ok(Route::ThisReplica),
        // In the view's eyes this replica is the primary, but as it was before a restart:
        // the next view is on its way.
        (Role::Backup | Role::Waiting, Some(primary), _) if primary.name == app.name => {
            Err(Refused::NoPrimary)
        }
        (Role::Backup | Role::Waiting, Some(primary), Some(cluster)) => {
            Ok(Route::Primary(primary.clone(), cluster))
        }
        (Role::Backup | Role::Waiting, None, _) | (Role::Backup | Role::Waiting, _, None) => {
            Err(Refused::NoPrimary)
        }
    }
}

/// Has a mutation executed, here or by the primary, as the headers say: while a lock is held,
/// and once.
pub(super) async fn submit(
    app: &App,
    parts: &Parts,
    op: Op,
    deadline: Deadline,
) -> Result<Response, Refused> {
    let asked = MutationKind::of(&op);
    Ok(submitted(app, &parts.headers, op, deadline).await?.response(&asked))
}

/// The same, and says what came of it.
pub(super) async fn submitted(
    app: &App,
    headers: &HeaderMap,
    op: Op,
    deadline: Deadline,
) -> Result<Performed, Refused> {
    let op = match fence_of(headers)? {
        Some(fence) => Op::Fenced(Box::new(Fenced { fence, op })),
        None => op,
    };
    let by = author(app, headers, &op, deadline).await?;
    let done = submitted_by(app, headers, (by, op), deadline).await;
    done.map_err(|refused| {
        if let Refused::Mutation(MutationRefused::Denied { revision, why }) = refused {
            denied(app, revision, why)
        } else {
            refused
        }
    })
}

/// Counts what executing has refused. Another's lease is none, as for whoever reads it: so
/// nobody learns which leases there are.
fn denied(app: &App, revision: Revision, why: Denied) -> Refused {
    let another_s = if let Denied::Lease { lease } = why { Some(lease) } else { None };
    let refused = refuse(app, why);
    another_s.map_or(refused, |lease| {
        let (why, delivery) = (TenureRefused::NoSuchLease(lease), Delivery::First);
        Refused::Mutation(MutationRefused::Tenure { revision, why, delivery })
    })
}

/// The same, by somebody who is held against the state when it is executed.
pub(super) async fn submitted_by(
    app: &App,
    headers: &HeaderMap,
    (author, op): (Option<Author>, Op),
    deadline: Deadline,
) -> Result<Performed, Refused> {
    let min_revision = min_revision(headers)?;
    let op = op.done_by(author);
    let asked = MutationKind::of(&op);
    let named = repeatable(headers)?;
    let command = command(op, idempotency_key(headers)?, named);
    let since = named.map(|named| named.since);
    let (route, current) = app.driver.with_status(|status| (route(status, app), status.format()));
    match route? {
        Route::ThisReplica => {
            let performed = perform(app, (command, since, &asked), min_revision, deadline).await;
            performed.map_err(Refused::Mutation)
        }
        Route::Primary(primary, cluster) => {
            // An older primary could not even read what the log does not have yet.
            let needed = command.op.format();
            if needed > current {
                let reason = NotApplied::FormatNotReached { needed, current };
                return Err(Refused::Mutation(MutationRefused::NotApplied(reason)));
            }
            let message = ForwardedCommand { cluster, min_revision, command };
            forward(&primary, &message, since, deadline).await
        }
    }
}

/// A refusal that does not say what became of the mutation comes from before it was
/// handed to anybody.
pub(super) fn finish(result: Result<Response, Refused>) -> Response {
    result.unwrap_or_else(|refused| {
        let problem = Problem::from(refused);
        match problem.body().outcome {
            Some(_) => problem.into_response(),
            None => problem.with_outcome(Outcome::NotApplied).into_response(),
        }
    })
}
