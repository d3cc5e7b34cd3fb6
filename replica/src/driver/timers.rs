//! The timers that the core armed.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::replica::event::Timer;

/// When each armed timer fires.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeMap<Timer, Instant>);

impl Timers {
    /// Arms a timer, in place of what it was armed for.
    pub(super) fn arm(&mut self, timer: Timer, at: Instant) {
        self.0.insert(timer, at);
    }

    /// When the next one fires.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }

    /// Takes out one that is due, the longest overdue first.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let (timer, at) =
            self.0.iter().min_by_key(|(_, at)| **at).map(|(timer, at)| (*timer, *at))?;
        if at > now {
            return None;
        }
        self.0.remove(&timer);
        Some(timer)
    }
}
