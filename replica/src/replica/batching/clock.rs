//! Replicated time, as the primary of an epoch makes it.
//!
//! It goes on from where the log left it, from the moment when the primary executed its
//! view, by the primary's monotonic clock: a wall clock that is set moves nothing, and
//! what passes between two primaries does not count. A step that is longer than what
//! executing would take of it is lost, and not made up for: between any two batches no
//! more time passes in the log than by the clock.
//!
//! Nor does time pass while nobody could have used it: while no coordinator leads, while a
//! batch is under way for long, or while this process stood still. A lease would end in it
//! whose holder could not renew it.

use std::time::Duration;

use crate::machine::command::limits;

/// Counts replicated time.
#[derive(Clone, Debug)]
pub(crate) struct ReplicatedClock {
    time_ms: u64,
    /// The monotonic clock when it was that, as if what did not count had not been.
    at: Duration,
    /// The monotonic clock when somebody looked last.
    looked: Duration,
}

/// Whether time counts that has passed since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counting {
    /// All of it.
    On,
    /// Nothing of it.
    Off,
}

/// Between two looks at most so much counts: a process that does its work looks every few
/// heartbeats.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

impl ReplicatedClock {
    /// Goes on from a time of the log.
    pub(crate) fn starting_at(time_ms: u64, now: Duration) -> Self {
        Self { time_ms, at: now, looked: now }
    }

    /// Says whether the time since the last look counts.
    pub(crate) fn look(&mut self, now: Duration, counting: Counting) {
        let passed = now.saturating_sub(self.looked);
        self.looked = now.max(self.looked);
        self.at += match counting {
            Counting::On => passed.saturating_sub(LONGEST_LOOK),
            Counting::Off => passed,
        };
    }

    /// The time of a batch that is made now, in milliseconds.
    pub(crate) fn advance(&mut self, now: Duration) -> u64 {
        let longest = Duration::from_millis(limits::TIME_STEP_MS);
        let passed = now.saturating_sub(self.at);
        if passed > longest {
            self.at = now - longest;
        }
        let step = u64::try_from(passed.min(longest).as_millis()).unwrap_or(u64::MAX);
        self.at += Duration::from_millis(step);
        self.time_ms = self.time_ms.saturating_add(step).min(limits::TIME_MS);
        self.time_ms
    }

    /// What it said last.
    pub(super) fn time_ms(&self) -> u64 {
        self.time_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_by_the_monotonic_clock_from_where_the_log_left_it() {
        let us = Duration::from_micros;
        let mut clock = ReplicatedClock::starting_at(1_000, us(500_300));
        assert_eq!(clock.advance(us(500_300)), 1_000);
        let times = [500_900, 501_299, 501_300, 502_400, 503_299].map(|now| clock.advance(us(now)));
        assert_eq!(times, [1_000, 1_000, 1_001, 1_002, 1_002], "parts of milliseconds add up");
        assert_eq!(clock.advance(us(0)), 1_002, "it never goes back");
    }

    #[test]
    fn a_step_that_is_too_long_is_cut_and_not_made_up_for() {
        let ms = Duration::from_millis;
        let mut clock = ReplicatedClock::starting_at(0, ms(0));
        assert_eq!(clock.advance(ms(limits::TIME_STEP_MS)), limits::TIME_STEP_MS);
        let hour = ms(3_600_000);
        assert_eq!(clock.advance(hour), 2 * limits::TIME_STEP_MS);
        assert_eq!(clock.advance(hour + ms(1)), 2 * limits::TIME_STEP_MS + 1);
    }

    #[test]
    fn time_that_does_not_count_passes_for_nobody() {
        let ms = Duration::from_millis;
        let mut clock = ReplicatedClock::starting_at(0, ms(0));
        clock.look(ms(100), Counting::On);
        clock.look(ms(900), Counting::Off);
        assert_eq!(clock.advance(ms(1_000)), 200);
        clock.look(ms(1_000), Counting::On);
        clock.look(ms(9_000), Counting::On);
        assert_eq!(clock.advance(ms(9_000)), 1_200, "the process stood still");
        clock.look(ms(8_000), Counting::Off);
        assert_eq!(clock.advance(ms(9_001)), 1_201, "the clock went back");
    }

    #[test]
    fn time_ends_where_the_log_cannot_hold_more() {
        let mut clock = ReplicatedClock::starting_at(limits::TIME_MS - 1, Duration::ZERO);
        assert_eq!(clock.advance(Duration::from_secs(1)), limits::TIME_MS);
    }
}
