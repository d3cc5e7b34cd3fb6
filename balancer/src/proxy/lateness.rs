//! When a read that waits for an answer is sent to one more replica (Dean and Barroso, "The
//! Tail at Scale", CACM 56(2), 2013).
//!
//! Once it has taken longer than 95 of 100 reads do, it is *hedged*: one more replica is
//! asked, if the budget for that has anything left, which a few of a hundred reads earn.
//! Past `--slow-read-after-ms` it is asked of another one in any case, as a retry. Whoever
//! answers first is heard, and the other is let go.
//!
//! Never a mutation: it could happen twice. Nor what takes as long as it takes because of
//! what it asks (queries, snapshots, streams), which would take as long there.

use std::time::Duration;

use http::{HeaderMap, Method};
use shared::framing::wants_ndjson;

use super::Buffered;
use super::endless::is_endless;
use super::snapshot::is_snapshot;
use crate::pool::{Intent, Start};
use crate::retry;

/// How long a request has waited in its round, in steps.
#[derive(Debug)]
pub(super) struct Lateness {
    /// What of it is before it is hedged; none: it is not, or has been.
    hedge_after: Option<Duration>,
    /// What it then waits before one more replica is asked.
    slow_after: Duration,
}

impl Lateness {
    pub(super) fn new(slow_after: Duration) -> Self {
        Self { hedge_after: None, slow_after }
    }

    /// It is hedged after that time, unless it counts as slow before.
    pub(super) fn hedge_after(&mut self, after: Option<Duration>) {
        self.hedge_after = after.filter(|after| *after < self.slow_after);
    }

    /// Waits until those who were asked are late; how one more is then asked.
    pub(super) async fn wait(&mut self, request: &Buffered) -> Start {
        if !request.may_be_asked_twice {
            return std::future::pending().await;
        }
        if let Some(after) = self.hedge_after {
            tokio::time::sleep(after).await;
            self.hedge_after = None;
            return Start::Hedge;
        }
        tokio::time::sleep(self.slow_after).await;
        Start::Retry
    }
}

/// Whether a request that waits may be sent to one more replica meanwhile.
pub(super) fn may_be_asked_twice(
    intent: Intent,
    method: &Method,
    path: &http::uri::PathAndQuery,
) -> bool {
    retry::may_be_asked_twice(intent, method) && !is_snapshot(path)
}

/// Whether it may before it is slow, and whether how long it takes says something of the
/// replica: its answer is short, and comes at once.
pub(super) fn is_short(path: &http::uri::PathAndQuery, headers: &HeaderMap) -> bool {
    !is_endless(path) && !wants_ndjson(headers)
}
