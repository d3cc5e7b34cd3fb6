//! The pace of replicated time: by the primary's monotonic clock since it executed its own
//! view, whatever wall clocks say.

use std::collections::BTreeMap;
use std::time::Duration;

use replica::machine::command::limits;
use replica::machine::outcome::SlotOutcome;
use shared::ids::{BatchNumber, Epoch, Slot};

use super::turn::Turn;
use crate::simulation::environment::coverage::{Coverage, Reached};

/// More than a wall clock goes on by itself in a simulation.
const YEAR_MS: u64 = 365 * 86_400_000;

/// What the time of the log is held against.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the primary of each epoch executed its view, by its monotonic clock.
    began: BTreeMap<Epoch, Duration>,
    /// When each batch was first proposed, by the same.
    proposed: BTreeMap<(Epoch, BatchNumber), Duration>,
    /// The time of the log when the view of the present epoch was executed.
    left_at_ms: u64,
    last_wall_ms: Option<u64>,
}

impl Pace {
    /// The primary of an epoch has executed its view.
    pub(super) fn begins(&mut self, epoch: Epoch, clock: Duration) {
        self.began.entry(epoch).or_insert(clock);
    }

    /// The primary proposes a batch.
    pub(super) fn proposes(&mut self, epoch: Epoch, number: BatchNumber, clock: Duration) {
        self.proposed.entry((epoch, number)).or_insert(clock);
    }

    /// Panics unless a slot moved the time of the log, from `before` to `after`, as the clock
    /// of its primary allows, and by a step at most.
    pub(super) fn invariant_time_follows_the_primary_s_clock(
        &mut self,
        slot: Slot,
        (before, after): (u64, u64),
        (turn, outcome): (&Turn, &SlotOutcome),
        coverage: &mut Coverage,
    ) {
        let Turn::Batch { epoch, number, time_ms, wall_ms, calls } = turn else {
            if matches!(outcome, SlotOutcome::View(_)) {
                self.left_at_ms = before;
            }
            assert_eq!(after, before, "invariant: only a batch moves time: slot {slot}");
            return;
        };
        if matches!(outcome, SlotOutcome::Void(_)) {
            assert_eq!(after, before, "invariant: what is void moves no time: slot {slot}");
            return;
        }
        let (began, proposed) = (self.began[epoch], self.proposed[&(*epoch, *number)]);
        let passed = u64::try_from(proposed.saturating_sub(began).as_millis()).expect("short");
        assert!(
            after == *time_ms && after >= before && after - before <= limits::TIME_STEP_MS,
            "invariant: time is what the primary says, never goes back, and moves by a step at \
             most: slot {slot} says {time_ms} and came to {after} after {before}"
        );
        assert!(
            after - self.left_at_ms <= passed,
            "invariant: time follows the primary's clock: at {slot} it came to {after} from {} in \
             {passed} ms",
            self.left_at_ms
        );
        if after - before == limits::TIME_STEP_MS {
            coverage.hit(Reached::TimeCut);
        }
        if calls.is_empty() {
            coverage.hit(Reached::TimeCarried);
            return;
        }
        let last = self.last_wall_ms.replace(*wall_ms);
        if last.is_some_and(|last| last.abs_diff(*wall_ms) > YEAR_MS) {
            coverage.hit(Reached::WallJumped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::run::failure::watch;

    fn holds(pace: &mut Pace, times: (u64, u64), said: u64) -> bool {
        let (epoch, number) = (Epoch(1), BatchNumber(0));
        let turn = Turn::Batch { epoch, number, time_ms: said, wall_ms: 0, calls: Vec::new() };
        let outcome = SlotOutcome::Batch { epoch, number, commands: Vec::new() };
        let mut coverage = Coverage::default();
        let result = (&turn, &outcome);
        watch(|| {
            pace.invariant_time_follows_the_primary_s_clock(Slot(1), times, result, &mut coverage)
        })
        .is_ok()
    }

    #[test]
    fn time_moves_as_the_primary_s_clock_does_and_never_back() {
        let mut pace = Pace { left_at_ms: 100, ..Pace::default() };
        pace.begins(Epoch(1), Duration::from_secs(5));
        pace.proposes(Epoch(1), BatchNumber(0), Duration::from_secs(35));
        assert!(holds(&mut pace, (100, 100), 100) && holds(&mut pace, (100, 110), 110));
        assert!(!holds(&mut pace, (120, 110), 110), "back");
        assert!(!holds(&mut pace, (100, 110), 120), "not what was said");
        assert!(!holds(&mut pace, (100, 10_101), 10_101), "more than a step");
        assert!(holds(&mut pace, (30_000, 30_100), 30_100));
        assert!(!holds(&mut pace, (30_000, 30_101), 30_101), "faster than the clock");
    }
}
