//! The chosen entries that a leader keeps in memory for replicas that fetch.

use std::collections::VecDeque;

use shared::ids::Slot;
use shared::message::ChosenEntry;
use shared::page::PageLimits;

mod footprint;

/// The latest chosen entries, without a gap; older ones are dropped.
#[derive(Clone, Debug)]
pub(crate) struct ChosenWindow {
    start: Slot,
    entries: VecDeque<ChosenEntry>,
    bytes: usize,
    max_entries: usize,
    max_bytes: usize,
}

impl ChosenWindow {
    pub(crate) fn new(start: Slot, max_entries: usize, max_bytes: usize) -> Self {
        Self { start, entries: VecDeque::new(), bytes: 0, max_entries, max_bytes }
    }

    /// The oldest slot that is kept.
    pub(crate) fn start(&self) -> Slot {
        self.start
    }

    /// One above the newest.
    pub(crate) fn end(&self) -> Slot {
        Slot(self.start.0 + self.entries.len() as u64)
    }

    /// Appends the next entry and drops the oldest while there are too many.
    ///
    /// # Panics
    /// When it is not the next one.
    pub(crate) fn push(&mut self, entry: ChosenEntry) {
        assert_eq!(entry.slot, self.end(), "the window of chosen entries has no gap");
        self.bytes += entry.value.len();
        self.entries.push_back(entry);
        while self.entries.len() > self.max_entries || self.bytes > self.max_bytes {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.value.len();
            self.start = self.start.next();
        }
    }

    /// Forgets everything: the slots below are chosen, but with values unknown here.
    pub(crate) fn restart(&mut self, start: Slot) {
        self.entries.clear();
        self.bytes = 0;
        self.start = start;
    }

    /// Entries from a slot on; none when the slot is older than the window.
    pub(crate) fn page(&self, from: Slot, limits: PageLimits) -> Option<Vec<ChosenEntry>> {
        let skipped = usize::try_from(from.0.checked_sub(self.start.0)?).unwrap_or(usize::MAX);
        Some(limits.first_of(self.entries.iter().skip(skipped).cloned(), |entry| entry.value.len()))
    }

    /// Looks at the ends only: it runs after every event of a simulation.
    pub(crate) fn check_invariants(&self) {
        let ends = (
            self.entries.front().map(|entry| entry.slot),
            self.entries.back().map(|entry| entry.slot.next()),
        );
        let expected = if self.entries.is_empty() {
            (None, None)
        } else {
            (Some(self.start), Some(self.end()))
        };
        assert_eq!(ends, expected, "invariant: the window of chosen entries has no gap");
        assert!(
            self.entries.len() <= self.max_entries,
            "invariant: {} entries in a window of {}",
            self.entries.len(),
            self.max_entries
        );
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shared::ids::{Ballot, CoordinatorId};

    use super::*;

    fn entry(slot: u64) -> ChosenEntry {
        let ballot = Ballot { round: 1, coordinator: CoordinatorId(1) };
        ChosenEntry { slot: Slot(slot), ballot, value: Bytes::from(vec![0; 10]) }
    }

    const ALL: PageLimits = PageLimits { items: 100, bytes: 1_000 };

    #[test]
    fn a_window_gives_what_it_has_from_a_slot_on() {
        let mut window = ChosenWindow::new(Slot(5), 100, 1_000);
        (5..8).for_each(|slot| window.push(entry(slot)));
        assert_eq!(window.page(Slot(6), ALL), Some(vec![entry(6), entry(7)]));
        assert_eq!(window.page(Slot(8), ALL), Some(vec![]));
        assert_eq!(window.page(Slot(u64::MAX), ALL), Some(vec![]));
        assert_eq!(window.page(Slot(4), ALL), None);
        assert_eq!(
            window.page(Slot(5), PageLimits { items: 1, bytes: 1_000 }),
            Some(vec![entry(5)])
        );
        assert_eq!(
            window.page(Slot(5), PageLimits { items: 100, bytes: 20 }),
            Some(vec![entry(5), entry(6)])
        );
        assert_eq!(window.page(Slot(5), PageLimits { items: 100, bytes: 1 }), Some(vec![entry(5)]));
    }

    #[test]
    fn a_window_drops_the_oldest_past_either_limit() {
        for (max_entries, max_bytes) in [(2, 1_000), (100, 25)] {
            let mut window = ChosenWindow::new(Slot(0), max_entries, max_bytes);
            (0..5).for_each(|slot| window.push(entry(slot)));
            window.check_invariants();
            assert_eq!((window.start(), window.end()), (Slot(3), Slot(5)));
        }
    }
}
