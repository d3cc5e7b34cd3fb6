//! What the replica last said of itself, for handlers that must not wait.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::Driver;
use super::checkpoints::WalStatus;
use crate::machine::change::ChangeCounts;
use crate::replica::status::Status;
use crate::snapshot::FetchProgress;

/// A status, and what it takes to read the times in it.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    /// The core's.
    pub(crate) status: Status,
    /// When the core's time began.
    pub(crate) started: Instant,
    /// How long the WAL is, and whether it can be copied.
    pub(crate) wal: WalStatus,
    /// How far another replica's state has come, which takes the place of this one's.
    pub(crate) fetched: FetchProgress,
    /// What executing has changed since the process started.
    pub(crate) changes: ChangeCounts,
}

/// A replica hears of replicated time so often while there are leases.
const HEARD_EVERY: Duration = Duration::from_secs(5);

impl Published {
    /// About what replicated time is now, in milliseconds, where there are leases: no less
    /// than what was executed.
    pub(crate) fn time_ms(&self) -> u64 {
        let since = self.status.time_as_of.map_or(Duration::ZERO, |then| {
            self.started.elapsed().saturating_sub(then).min(HEARD_EVERY)
        });
        self.status.time_ms.saturating_add(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// How long ago the replica last knew itself current; none while it never has in this
    /// life. Nothing else says how old the state is: its newest mutation may be of
    /// yesterday and the last one, or the last but a thousand.
    pub(crate) fn lag(&self) -> Option<Duration> {
        let then = self.status.current_as_of?;
        Some(self.started.elapsed().saturating_sub(then))
    }
}

impl Driver {
    /// What is to be published of it as it is now.
    pub(super) fn publishable(&self) -> Published {
        Published {
            status: self.core.status(self.started.elapsed()),
            started: self.started,
            wal: *self.wal.borrow(),
            fetched: self.fetched.borrow().clone(),
            changes: self.changes,
        }
    }
}

/// The wall clock, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
