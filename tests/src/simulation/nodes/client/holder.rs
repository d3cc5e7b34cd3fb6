//! A client that holds a lock, by a lease that it renews in time, and does nothing else but
//! write under its fence.

use std::time::Duration;

use crate::operations::{Answer, Call, Key, TenureAnswer, TenureCall, Value};
use crate::simulation::plan::Holding;

/// So often a lease is renewed in its life.
const RENEWALS: u32 = 3;
/// Before it asks again where it got no answer, and before it goes on where it has one.
const SHORT: Duration = Duration::from_millis(100);

/// A client that holds a lock.
#[derive(Clone, Debug)]
pub struct Holder {
    plan: Holding,
    lock: Key,
    lease: Option<u64>,
    fence: Option<u64>,
    last: Option<Renewal>,
    renewals: u64,
    is_written: bool,
}

/// A renewal that was answered, or the grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// When it was asked for.
    pub asked: Duration,
    /// When the answer came.
    pub answered: Duration,
}

impl Holder {
    /// One that has asked for nothing yet.
    #[must_use]
    pub fn new(plan: Holding, number: u8) -> Self {
        let lock = Key::from(format!("held-{number}"));
        let (lease, fence, last) = (None, None, None);
        Self { plan, lock, lease, fence, last, renewals: 0, is_written: true }
    }

    /// Whether it renews its lease no more.
    #[must_use]
    pub fn is_over(&self, now: Duration) -> bool {
        now >= self.plan.until
    }

    /// Whether it renews its lease up to this time.
    #[must_use]
    pub fn lasts(&self, until: Duration) -> bool {
        self.plan.until >= until
    }

    /// The lease that it was granted.
    #[must_use]
    pub fn lease(&self) -> Option<u64> {
        self.lease
    }

    /// The lock, and the fence at which it holds it.
    #[must_use]
    pub fn held(&self) -> Option<(&Key, u64)> {
        self.fence.map(|fence| (&self.lock, fence))
    }

    /// The last renewal that was answered.
    #[must_use]
    pub fn last(&self) -> Option<Renewal> {
        self.last
    }

    /// How many renewals were answered.
    #[must_use]
    pub fn renewals(&self) -> u64 {
        self.renewals
    }

    /// What it asks for next; where it writes, this.
    pub(super) fn call(&self, key: Key, value: Value) -> Call {
        let lock = Key::clone(&self.lock);
        Call::Tenure(match (self.lease, self.fence) {
            (None, _) => {
                let ttl_ms = u64::try_from(self.plan.ttl.as_millis()).expect("a short time");
                TenureCall::Grant { ttl_ms }
            }
            (Some(lease), None) => TenureCall::Acquire { lock, lease, wait: true },
            (Some(lease), Some(_)) if self.is_written => TenureCall::Renew { lease },
            (Some(_), Some(fence)) => TenureCall::FencedPut { lock, fence, key, value },
        })
    }

    /// It got an answer.
    ///
    /// # Panics
    /// When it has lost what it holds.
    pub(super) fn learn(&mut self, call: &Call, revision: u64, answer: &Answer, at: Renewal) {
        let (Call::Tenure(call), Answer::Tenure(answer)) = (call, answer) else { return };
        match (call, answer) {
            (TenureCall::Grant { .. }, TenureAnswer::Granted) => {
                (self.lease, self.last) = (Some(revision), Some(at));
            }
            (TenureCall::Acquire { .. }, TenureAnswer::Held(fence)) => self.fence = Some(*fence),
            (TenureCall::Renew { .. }, TenureAnswer::Renewed(_)) => {
                (self.last, self.is_written) = (Some(at), false);
                self.renewals += 1;
            }
            (TenureCall::FencedPut { .. }, TenureAnswer::Put) => self.is_written = true,
            (call, answer) => panic!(
                "invariant: who renews its lease in time keeps it: {self:?} asked for {call:?} \
                 and heard {answer:?}"
            ),
        }
    }

    /// How long it waits before it asks again.
    pub(super) fn pause(&self, is_answered: bool) -> Duration {
        if is_answered && self.fence.is_some() && self.is_written {
            self.plan.ttl / RENEWALS
        } else {
            SHORT
        }
    }
}
