//! What the replica last said of itself, for handlers that must not wait.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::replica::status::Status;

/// A status, and what it takes to read the times in it.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    /// The core's.
    pub(crate) status: Status,
    /// When the core's time began.
    pub(crate) started: Instant,
    /// The time of the newest executed batch, in milliseconds since 1970.
    pub(crate) time_ms: u64,
}

impl Published {
    /// How long ago the replica last knew itself current. While it never has in this
    /// life, all that is known of the state's age is the time of the newest mutation in
    /// it: the state was current then, and maybe later.
    pub(crate) fn lag(&self) -> Duration {
        match self.status.current_as_of {
            Some(then) => self.started.elapsed().saturating_sub(then),
            None => Duration::from_millis(now_ms().saturating_sub(self.time_ms)),
        }
    }
}

/// The wall clock, in milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
