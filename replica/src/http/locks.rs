//! Locks: `PUT`, `GET` and `DELETE` of one, and `GET /v1/locks`.
//!
//! Who has to wait gets a place in the line, which is part of the replicated state, and then
//! waits here until executing says that it holds the lock: at whatever replica it asked, and
//! whoever is primary. When its time is up, it leaves the line by another chosen command,
//! which may find that it holds the lock by then. Whoever hangs up keeps the place, since
//! that is how a broken connection looks, too: it is there for the next request of its
//! lease, or goes with that.

mod line;
mod reading;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use shared::deadline::Deadline;
use shared::fields::refuse_but_json;
use shared::ids::{LeaseId, Revision};
use shared::problem::Problem;
use shared::query::Query;
use shared::wire::read_in_time;

use self::line::{Line, in_line, wait_until};
use self::reading::{PAGED, RenderedLock, RenderedPage, RenderedWhole, get_answer, list_answer};
use super::App;
use super::authorize::{Seen, TokenHolder, permit};
use super::leases::BODY;
use super::mutate::{finish, refuse_unsupported, submit, submitted};
use super::mutation::{Held, Mutated, MutationKind, MutationRefused, Released, TenureRefused};
use super::openapi::content::{json, lines, sent};
use super::openapi::{self, Entry};
use super::reading::at_least;
use super::refused::Refused;
use crate::http::request::parameter::{CONSISTENCY, LEASE, LOCK};
use crate::http::request::tenure::{Acquire, body_of, lease_of_query, lock_of_path};
use crate::machine::access::policy::Right;
use crate::machine::command::Op;
use crate::machine::locks::{LockOp, Otherwise};

/// What the contract says of them.
pub(super) fn entries() -> Vec<Entry> {
    let (name, lease, fence) = ("jobs/nightly", LeaseId(41), Revision(42));
    let (lock, revision) = (|| RenderedLock { name, lease, fence, waiters: 1 }, Revision(43));
    let page = RenderedPage { items: vec![lock()], revision, next: None };
    let wanted = serde_json::json!({"lease": 41, "wait_ms": 1_000});
    let path = "/v1/locks/{name}";
    vec![
        openapi::mutation("put", path, ("acquireLock", "Takes a lock."))
            .of(LOCK)
            .takes([sent::<Acquire>(wanted)])
            .answers(200, "The lease holds it.", [json(&Held::example())])
            .refused(&[404, 409]),
        openapi::read("get", path, ("lock", "Says who holds a lock."))
            .of(LOCK)
            .query(&[CONSISTENCY])
            .answers(200, "This one.", [json(&RenderedWhole { lock: lock(), revision })])
            .refused(&[404]),
        openapi::mutation("delete", path, ("releaseLock", "Gives it up."))
            .of(LOCK)
            .needs(&[LEASE])
            .answers(200, "It did.", [json(&Released::example())])
            .refused(&[409]),
        openapi::read("get", "/v1/locks", ("locks", "Lists locks that are held."))
            .query(&PAGED)
            .answers(200, "A page, or all as a stream.", [json(&page), lines(&page.items[0])]),
    ]
}

/// `PUT /v1/locks/{name}`.
pub(super) async fn acquire(State(app): State<Arc<App>>, request: Request) -> Response {
    finish(acquire_answer(&app, request).await)
}

/// `DELETE /v1/locks/{name}?lease=`.
pub(super) async fn release(State(app): State<Arc<App>>, parts: Parts) -> Response {
    finish(release_answer(&app, parts).await)
}

/// `GET /v1/locks/{name}`.
pub(super) async fn get(State(app): State<Arc<App>>, parts: Parts) -> Response {
    get_answer(&app, &parts).await.into_response()
}

/// `GET /v1/locks`.
pub(super) async fn list(State(app): State<Arc<App>>, parts: Parts) -> Response {
    list_answer(&app, &parts).await.into_response()
}

async fn acquire_answer(app: &App, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let deadline = Deadline::of(&parts.headers)?;
    Query::parse(parts.uri.query(), &[])?;
    let name = lock_of_path(parts.uri.path())?;
    refuse_but_json(&parts.headers, "the body")?;
    refuse_unsupported(&parts.headers)?;
    let body = read_in_time(body, BODY, deadline).await?;
    let Acquire { lease, wait_ms } = body_of::<Acquire>(&body)?.checked()?;
    let otherwise = if wait_ms > 0 { Otherwise::Wait } else { Otherwise::Leave };
    // Before it gets a place, so that nobody has one who cannot wait for it.
    let waiting = match otherwise {
        Otherwise::Wait => Some(app.driver.wait_for(lease).map_err(Refused::TooManyWait)?),
        Otherwise::Leave => None,
    };
    let until = wait_until(&parts.headers, deadline, Duration::from_millis(wait_ms));
    let line = Line { app, name, lease };
    let asked = MutationKind::Lock { name: line.name.clone(), lease };
    let mut performed = submitted(app, &parts.headers, line.ask(otherwise), deadline).await?;
    if let (Mutated::LockAwaited { revision, since }, Some(waiting)) = (&performed.mutated, waiting)
    {
        let (revision, since) = (*revision, *since);
        let turn = async {
            at_least(app, Some(revision), deadline).await?;
            let Some(ended) = line.wait(waiting, since, until).await.transpose() else {
                return line.leave(&parts.headers, since).await;
            };
            // It may have lost the right while it was in line: then it hears of nobody's lock.
            let needed = |holder: &TokenHolder| holder.granted.need_at(Right::Lock, &line.name);
            let permitted = permit(app, &parts.headers, Seen::AsItIs, deadline, needed);
            if let Err(refused) = permitted.await {
                line.give_up(&parts.headers).await;
                return Err(refused);
            }
            ended
        };
        performed.mutated = turn.await.map_err(in_line)?;
    }
    Ok(performed.response(&asked))
}

async fn release_answer(app: &App, parts: Parts) -> Result<Response, Refused> {
    let deadline = Deadline::of(&parts.headers)?;
    let query = Query::parse(parts.uri.query(), &[LEASE])?;
    let name = lock_of_path(parts.uri.path())?;
    let Some(lease) = lease_of_query(&query)? else {
        return Err(Problem::bad_request("say with lease=ID who gives the lock up").into());
    };
    refuse_unsupported(&parts.headers)?;
    let line = Line { app, name: name.clone(), lease };
    let released = submit(app, &parts, Op::Lock(LockOp::Release { name, lease }), deadline).await;
    match released {
        // It is another's: so it does not hold the lock, as none that never was does.
        Err(Refused::Mutation(MutationRefused::Tenure {
            revision,
            why: TenureRefused::NoSuchLease(_),
            delivery: _,
        })) => {
            at_least(app, Some(revision), deadline).await?;
            Err(line.not_held().await?)
        }
        released => released,
    }
}
