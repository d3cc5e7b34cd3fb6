//! What is held of what happened: pure.

use std::collections::VecDeque;

use super::kind::Happening;
use crate::ids::Slot;

/// So many of the newest events are held: hours of a cluster where little happens, and
/// about half a MiB at worst.
pub(super) const HELD: usize = 1_024;

/// What happened, and when.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// Counted from 1 in this ring.
    pub(super) number: u64,
    pub(super) time: String,
    /// How far the log was executed then, as far as was known.
    pub(super) executed_slot: Option<Slot>,
    pub(super) what: Happening,
}

/// The newest events, in order.
#[derive(Debug, Default)]
pub(super) struct Ring {
    events: VecDeque<Event>,
    /// The number of the newest one; 0 before the first.
    newest: u64,
}

/// What comes after a number.
#[derive(Debug)]
pub(super) struct After {
    /// At most so many as were asked for.
    pub(super) events: Vec<Event>,
    /// So many before them are not held any more.
    pub(super) missed: u64,
}

impl Ring {
    /// Puts one in; says its number.
    pub(super) fn push(
        &mut self,
        time: String,
        executed_slot: Option<Slot>,
        what: Happening,
    ) -> u64 {
        self.newest += 1;
        self.events.push_back(Event { number: self.newest, time, executed_slot, what });
        if self.events.len() > HELD {
            self.events.pop_front();
        }
        self.newest
    }

    /// The number of the newest one.
    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// The number before the oldest one that is held.
    pub(super) fn before_oldest(&self) -> u64 {
        self.events.front().map_or(self.newest, |event| event.number - 1)
    }

    /// What comes after a number, no more than so many.
    pub(super) fn after(&self, number: u64, most: usize) -> After {
        let missed = self.before_oldest().saturating_sub(number);
        let events = self.events.iter().skip_while(|event| event.number <= number);
        After { events: events.take(most).cloned().collect(), missed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: u64) -> Ring {
        let mut ring = Ring::default();
        for slot in 1..=count {
            let what = Happening::Trim { trimmed_below: Slot(slot) };
            assert_eq!(ring.push(String::new(), None, what), slot);
        }
        ring
    }

    fn numbers(after: &After) -> Vec<u64> {
        after.events.iter().map(|event| event.number).collect()
    }

    #[test]
    fn whoever_comes_again_in_time_misses_nothing() {
        let ring = filled(10);
        let after = ring.after(7, 100);
        assert_eq!((numbers(&after), after.missed), (vec![8, 9, 10], 0));
        assert_eq!(numbers(&ring.after(0, 3)), [1, 2, 3]);
        assert!(numbers(&ring.after(10, 100)).is_empty());
    }

    #[test]
    fn what_is_not_held_any_more_is_counted() {
        let held = u64::try_from(HELD).unwrap();
        let ring = filled(held + 10);
        assert_eq!((ring.before_oldest(), ring.events.len()), (10, HELD));
        let after = ring.after(4, 1);
        assert_eq!((numbers(&after), after.missed), (vec![11], 6));
        assert_eq!(ring.after(10, 1).missed, 0);
        assert_eq!(Ring::default().after(0, 1).missed, 0);
    }
}
