//! Replicated time while nobody asks for anything: leases and tokens end by it.
//!
//! The primary has batches chosen that carry nothing but the time: when a lease or a token may
//! be due, and often enough that no step of it is longer than what executing takes of one.
//! Where there is none that ends, nobody needs to know what time it is, and nothing is
//! written.

use std::time::Duration;

use super::Replica;
use crate::replica::batching::Counting;
use crate::replica::event::{Effect, Role, Timer};

impl Replica {
    /// Has the time until now count, or not.
    pub(super) fn count_time(&mut self, now: Duration) {
        let flying_since = self.batching.flying_since();
        let is_late = |since| now.saturating_sub(since) > self.config.flight_counted;
        let is_stalled = self.members.leader(now).is_none() || flying_since.is_some_and(is_late);
        let counting = if is_stalled { Counting::Off } else { Counting::On };
        self.batching.count_time(now, counting);
    }

    /// Makes a batch of the time alone where that is due, or has itself woken when it is.
    pub(super) fn carry_time(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let Some(after) = self.time_until_due(now) else { return };
        if after.is_zero() {
            self.batching.carry_time(now);
            return;
        }
        let due = now + after;
        if self.time_due.is_none_or(|armed| due < armed) {
            self.time_due = Some(due);
            effects.push(Effect::Arm { timer: Timer::Time, after, jitter: Duration::ZERO });
        }
    }

    /// How long it is until the log has to hear of the time; none where something else tells
    /// it, or it need not.
    fn time_until_due(&self, now: Duration) -> Option<Duration> {
        let expiry_ms = self.next_expiry_ms?;
        let is_idle = self.batching.queued() == 0 && !self.batching.is_flying();
        if self.role() != Role::Primary || !is_idle || self.members.leader(now).is_none() {
            return None;
        }
        let interval = u64::try_from(self.config.time_interval.as_millis()).unwrap_or(u64::MAX);
        // It lasts for the whole of that millisecond.
        let over_ms = expiry_ms.saturating_add(1);
        let due_ms = over_ms.min(self.meta.time_ms.saturating_add(interval));
        Some(Duration::from_millis(due_ms.saturating_sub(self.batching.time_ms(now))))
    }
}
