//! Locks: `PUT`, `GET` and `DELETE` of one, and `GET /v1/locks`.
//!
//! Who has to wait gets a place in the line, which is part of the replicated state, and then
//! waits here until executing says that it holds the lock: at whatever replica it asked, and
//! whoever is primary. When its time is up, it leaves the line by another chosen command,
//! which may find that it holds the lock by then. Whoever hangs up keeps the place, since
//! that is how a broken connection looks, too: it is there for the next request of its
//! lease, or goes with that.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks")]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, header};
use schemars::JsonSchema;
use serde::Serialize;
use shared::deadline::{self, Deadline};
use shared::fields::refuse_but_json;
use shared::ids::{LeaseId, Revision};
use shared::page::PageLimits;
use shared::problem::{Outcome, Problem};
use shared::query::Query;
use shared::repeat::HEADER as NAME;
use shared::wire::{self, read_in_time};
use tokio::time::Instant;

use super::App;
use super::authorize::{Caller, Reading, Seen, TokenHolder, WHO, permit};
use super::leases::BODY;
use super::mutate::{finish, refuse_unsupported, submit, submitted};
use super::mutation::{Held, Mutated, MutationKind, MutationRefused, Released, TenureRefused};
use super::openapi::content::{json, lines, sent};
use super::openapi::{self, Entry};
use super::paging::{KEYS, PIECE_TIME, Paging, Piece, Source};
use super::reading::{at_least, released};
use super::refused::Refused;
use super::shown::{NotShown, Rest, Rows};
use crate::driver::Waiting;
use crate::http::request::parameter::{CONSISTENCY, CURSOR, LEASE, LIMIT, LOCK, Parameter};
use crate::http::request::tenure::{
    Acquire, Cursor, body_of, lease_of_query, lock_of_path, wrong_cursor,
};
use crate::machine::access::policy::Right;
use crate::machine::command::Op;
use crate::machine::execute::Delivery;
use crate::machine::format;
use crate::machine::locks::{Claim, LockOp, Otherwise};
use crate::store::{LockState, TenurePage, TenureQuery};

/// Of the time that a client grants, so much is kept back for leaving the line …
const KEPT_BACK: Duration = Duration::from_secs(1);
/// … but no more than one part in this many.
const MOST_KEPT_BACK: u32 = 4;

/// The parameters of a list.
const PAGED: [Parameter; 4] = [CONSISTENCY, Parameter::prefix("prefix", "jobs/"), LIMIT, CURSOR];

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
            let ended = match line.wait(waiting, since, until).await {
                Ok(None) => return line.leave(&parts.headers, since).await,
                Ok(Some(held)) => Ok(held),
                Err(why) => Err(why),
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

/// Of a request's fields these.
fn kept(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let of = |name: &HeaderName| headers.get(name).map(|value| (name.clone(), value.clone()));
    names.iter().filter_map(of).collect()
}

/// What went wrong while it was in line. Unless that is what became of the claim, the claim
/// is still there, and may come to hold the lock.
fn in_line(refused: Refused) -> Refused {
    if matches!(refused, Refused::Mutation(MutationRefused::Tenure { .. })) {
        return refused;
    }
    Problem::from(refused).with_outcome(Outcome::Unknown).into()
}

/// Where a client says how long its request may take, the wait is a part of that; otherwise
/// it comes on top of it.
fn wait_until(headers: &HeaderMap, deadline: Deadline, wait: Duration) -> Instant {
    let until = Instant::now() + wait;
    if headers.contains_key(deadline::HEADER) {
        let kept_back = KEPT_BACK.min(deadline.timeout() / MOST_KEPT_BACK);
        until.min(deadline.at() - kept_back)
    } else {
        until
    }
}

/// A lease that asks for a lock.
struct Line<'a> {
    app: &'a App,
    name: String,
    lease: LeaseId,
}

impl Line<'_> {
    fn ask(&self, otherwise: Otherwise) -> Op {
        let (name, lease) = (self.name.clone(), self.lease);
        Op::Lock(LockOp::Acquire { name, lease, otherwise })
    }

    /// Waits until the claim that was made at a revision holds the lock; none where the time
    /// is up before.
    async fn wait(
        &self,
        waiting: Waiting,
        since: Revision,
        until: Instant,
    ) -> Result<Option<Mutated>, Refused> {
        loop {
            // Before the look, so that what comes between it and the wait counts.
            let mut woken = std::pin::pin!(waiting.woken());
            woken.as_mut().enable();
            let page = self.look().await?;
            match page.claim {
                Some((of, Claim { fence: Some(fence), .. })) if of == since => {
                    return Ok(Some(Mutated::LockHeld { revision: page.revision, fence }));
                }
                Some((of, Claim { fence: None, .. })) if of == since => {}
                Some(_) | None => return Err(self.left(&page).await?),
            }
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep_until(until) => return Ok(None),
                () = self.app.shutdown.cancelled() => return Err(Refused::Closed),
            }
        }
    }

    async fn look(&self) -> Result<TenurePage, Refused> {
        let (name, claim_of) = (self.name.clone(), Some(self.lease));
        Ok(self.app.reader.tenure(TenureQuery::Lock { name, claim_of }).await?)
    }

    /// Why the claim is gone: its lease has ended, or another request has given it up.
    async fn left(&self, page: &TenurePage) -> Result<Refused, Refused> {
        let limits = PageLimits { items: 0, bytes: 0 };
        let asked = TenureQuery::Lease { id: self.lease, after: bytes::Bytes::new(), page: limits };
        let found = self.app.reader.tenure(asked).await?;
        let (revision, why) = if found.leases.is_empty() {
            (found.revision, TenureRefused::NoSuchLease(self.lease))
        } else {
            let holder = page.locks.first().map(|lock| lock.holder);
            (page.revision, TenureRefused::NotHeld(holder))
        };
        let delivery = Delivery::First;
        Ok(Refused::Mutation(MutationRefused::Tenure { revision, why, delivery }))
    }

    /// Gives up the claim that was made at a revision, unless it holds the lock by now.
    async fn leave(&self, headers: &HeaderMap, since: Revision) -> Result<Mutated, Refused> {
        let (name, lease) = (self.name.clone(), self.lease);
        let deadline = Deadline::of(headers)?;
        // Who asks. What the request was named by, and asked for while another lock was held,
        // is done.
        let unnamed = kept(headers, &WHO);
        if self.app.driver.published().status.format() >= format::LEAVING {
            let op = Op::Lock(LockOp::Leave { name, lease, since });
            return Ok(submitted(self.app, &unnamed, op, deadline).await?.mutated);
        }
        // What asks for the lock may take it, and is to do so once.
        let named = kept(headers, &[header::AUTHORIZATION, HeaderName::from_static(NAME)]);
        let left = submitted(self.app, &named, self.ask(Otherwise::Leave), deadline).await;
        let left = match left {
            // It was named long ago.
            Err(Refused::Mutation(MutationRefused::Forgotten)) => {
                submitted(self.app, &unnamed, self.ask(Otherwise::Leave), deadline).await
            }
            left => left,
        };
        Ok(left?.mutated)
    }

    /// Gives the lock up for whoever may not hear that they hold it: as far as they still may.
    async fn give_up(&self, headers: &HeaderMap) {
        let (name, lease) = (self.name.clone(), self.lease);
        let op = Op::Lock(LockOp::Release { name, lease });
        let who = kept(headers, &WHO);
        let released = submitted(self.app, &who, op, Deadline::after(KEPT_BACK)).await;
        if let Err(refused) = released {
            tracing::debug!(lease = %self.lease, ?refused, "a lock stays held until its lease ends");
        }
    }
}

async fn release_answer(app: &App, parts: Parts) -> Result<Response, Refused> {
    let deadline = Deadline::of(&parts.headers)?;
    let query = Query::parse(parts.uri.query(), &[LEASE])?;
    let name = lock_of_path(parts.uri.path())?;
    let Some(lease) = lease_of_query(&query)? else {
        return Err(Problem::bad_request("say with lease=ID who gives the lock up").into());
    };
    refuse_unsupported(&parts.headers)?;
    submit(app, &parts, Op::Lock(LockOp::Release { name, lease }), deadline).await
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Lock")]
struct RenderedLock<'a> {
    name: &'a str,
    lease: LeaseId,
    fence: Revision,
    waiters: u64,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LockAtRevision")]
struct RenderedWhole<'a> {
    #[serde(flatten)]
    lock: RenderedLock<'a>,
    revision: Revision,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Locks")]
struct RenderedPage<'a> {
    items: Vec<RenderedLock<'a>>,
    revision: Revision,
    next: Option<String>,
}

fn rendered(lock: &LockState) -> RenderedLock<'_> {
    let LockState { name, holder, waiters } = lock;
    RenderedLock { name, lease: holder.lease, fence: holder.fence, waiters: *waiters }
}

async fn get_answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let query = Query::parse(parts.uri.query(), &[CONSISTENCY])?;
    let name = lock_of_path(parts.uri.path())?;
    let released = released(app, &parts.headers, &query).await?;
    let asked = TenureQuery::Lock { name: name.clone(), claim_of: None };
    let page = app.reader.tenure(asked).await?;
    let needed = |holder: &TokenHolder| holder.granted.need_at(Right::Lock, &name);
    released.permit(app, &parts.headers, needed).await?;
    let revision = page.revision;
    let Some(lock) = page.locks.first() else {
        let problem = Problem::not_found(format!("nobody holds lock {name:?}"));
        return Err(problem.with_revision(revision).into());
    };
    let mut response = wire::json(&RenderedWhole { lock: rendered(lock), revision });
    released.describe(response.headers_mut(), revision);
    Ok(response)
}

async fn list_answer(app: &App, parts: &Parts) -> Result<Response, Refused> {
    let query = Query::parse(parts.uri.query(), &PAGED)?;
    let prefix = query.text("prefix").map(str::to_owned);
    let (prefix, after) = match (Cursor::of(&query)?, prefix) {
        (None, prefix) => (prefix.unwrap_or_default(), None),
        (Some(Cursor::Locks(of, after)), prefix) if prefix.as_ref().is_none_or(|it| *it == of) => {
            (of, Some(after))
        }
        (Some(_), _) => return Err(wrong_cursor().into()),
    };
    let paging = Paging::of(app, &parts.headers, &query, KEYS)?;
    let deadline = Deadline::of(&parts.headers)?;
    let released = released(app, &parts.headers, &query).await?;
    let needed = |holder: &TokenHolder| holder.granted.need_somewhere(&[Right::Lock], &prefix);
    let caller = released.permit(app, &parts.headers, needed).await?;
    let (reader, reading) = (app.reader.clone(), Reading::new(caller, &app.driver));
    let mut rest = Rest { rows: Locks { prefix }, reader, reading, after };
    let page = rest.page(paging.first(), deadline).await.map_err(|why| why.refused(app))?;
    let revision = page.revision;
    let mut response = if paging.streaming {
        paging.stream(Piece::of(page.locks.iter().map(rendered)), rest)
    } else {
        let last = page.locks.last().filter(|_| page.has_more).map(|last| last.name.clone());
        if last.is_none() && page.has_more {
            return Err(NotShown::Late.refused(app));
        }
        let next = last.map(|last| Cursor::Locks(rest.rows.prefix.clone(), last).encode());
        let items = page.locks.iter().map(rendered).collect();
        let mut response = wire::json(&RenderedPage { items, revision, next: next.clone() });
        if let Some(cursor) = next {
            paging.link_next(response.headers_mut(), &format!("/v1/locks?cursor={cursor}"));
        }
        response
    };
    released.describe(response.headers_mut(), revision);
    Ok(response)
}

/// The locks whose names begin so.
struct Locks {
    prefix: String,
}

impl Rows for Locks {
    type Row = LockState;
    type Place = String;

    fn after(&self, place: Option<String>, page: PageLimits) -> TenureQuery {
        TenureQuery::Locks { prefix: self.prefix.clone(), after: place, page }
    }

    fn of(page: &mut TenurePage) -> &mut Vec<LockState> {
        &mut page.locks
    }

    fn place(lock: &LockState) -> String {
        lock.name.clone()
    }

    fn may_see(caller: &Caller, lock: &LockState) -> bool {
        caller.granted().is_none_or(|granted| granted.at(lock.name.as_bytes()).has(Right::Lock))
    }
}

impl Source for Rest<Locks> {
    async fn next(&mut self, limits: PageLimits) -> io::Result<Option<Piece>> {
        if self.after.is_none() {
            return Ok(None);
        }
        let page = self.page(limits, Deadline::after(PIECE_TIME)).await?;
        Ok(Some(Piece::of(page.locks.iter().map(rendered))))
    }
}
