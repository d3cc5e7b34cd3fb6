//! The line for a lock: who waits there, until when, and how they leave it.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks")]

use std::time::Duration;

use http::{HeaderMap, HeaderName, header};
use shared::deadline::{self, Deadline};
use shared::ids::{LeaseId, Revision};
use shared::page::PageLimits;
use shared::problem::{Outcome, Problem};
use shared::repeat::HEADER as NAME;
use tokio::time::Instant;

use crate::driver::Waiting;
use crate::http::App;
use crate::http::authorize::WHO;
use crate::http::mutate::submitted;
use crate::http::mutation::{Mutated, MutationRefused, TenureRefused};
use crate::http::refused::Refused;
use crate::machine::command::Op;
use crate::machine::execute::Delivery;
use crate::machine::format;
use crate::machine::locks::{Claim, LockOp, Otherwise};
use crate::store::{TenurePage, TenureQuery};

/// Of the time that a client grants, so much is kept back for leaving the line …
const KEPT_BACK: Duration = Duration::from_secs(1);
/// … but no more than one part in this many.
const MOST_KEPT_BACK: u32 = 4;

/// A lease that asks for a lock.
pub(super) struct Line<'a> {
    pub(super) app: &'a App,
    pub(super) name: String,
    pub(super) lease: LeaseId,
}

impl Line<'_> {
    pub(super) fn ask(&self, otherwise: Otherwise) -> Op {
        let (name, lease) = (self.name.clone(), self.lease);
        Op::Lock(LockOp::Acquire { name, lease, otherwise })
    }

    /// Waits until the claim that was made at a revision holds the lock; none where the time
    /// is up before.
    pub(super) async fn wait(
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
        Ok(if found.leases.is_empty() {
            refused(found.revision, TenureRefused::NoSuchLease(self.lease))
        } else {
            not_held(page)
        })
    }

    /// That the lease does not hold the lock, and who does.
    pub(super) async fn not_held(&self) -> Result<Refused, Refused> {
        Ok(not_held(&self.look().await?))
    }

    /// Gives up the claim that was made at a revision, unless it holds the lock by now.
    pub(super) async fn leave(
        &self,
        headers: &HeaderMap,
        since: Revision,
    ) -> Result<Mutated, Refused> {
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
    pub(super) async fn give_up(&self, headers: &HeaderMap) {
        let (name, lease) = (self.name.clone(), self.lease);
        let op = Op::Lock(LockOp::Release { name, lease });
        let who = kept(headers, &WHO);
        let released = submitted(self.app, &who, op, Deadline::after(KEPT_BACK)).await;
        if let Err(refused) = released {
            tracing::debug!(lease = %self.lease, ?refused, "a lock stays held until its lease ends");
        }
    }
}

fn not_held(page: &TenurePage) -> Refused {
    let holder = page.locks.first().map(|lock| lock.holder);
    refused(page.revision, TenureRefused::NotHeld(holder))
}

fn refused(revision: Revision, why: TenureRefused) -> Refused {
    let delivery = Delivery::First;
    Refused::Mutation(MutationRefused::Tenure { revision, why, delivery })
}

/// Where a client says how long its request may take, the wait is a part of that; otherwise
/// it comes on top of it.
pub(super) fn wait_until(headers: &HeaderMap, deadline: Deadline, wait: Duration) -> Instant {
    let until = Instant::now() + wait;
    if headers.contains_key(deadline::HEADER) {
        let kept_back = KEPT_BACK.min(deadline.timeout() / MOST_KEPT_BACK);
        until.min(deadline.at() - kept_back)
    } else {
        until
    }
}

/// Of a request's fields these.
fn kept(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let of = |name: &HeaderName| headers.get(name).map(|value| (name.clone(), value.clone()));
    names.iter().filter_map(of).collect()
}

/// What went wrong while it was in line. Unless that is what became of the claim, the claim
/// is still there, and may come to hold the lock.
pub(super) fn in_line(refused: Refused) -> Refused {
    if matches!(refused, Refused::Mutation(MutationRefused::Tenure { .. })) {
        return refused;
    }
    Problem::from(refused).with_outcome(Outcome::Unknown).into()
}
