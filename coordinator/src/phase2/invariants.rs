//! What must always hold in Phase 2.

use super::Phase2;

impl Phase2 {
    /// Checks what must always hold in Phase 2.
    ///
    /// # Panics
    /// When it does not.
    pub(crate) fn check_invariants(&self) {
        self.invariant_every_slot_above_the_chosen_has_one_value();
        self.invariant_only_members_are_counted();
        self.invariant_marks_are_ordered();
        self.invariant_the_window_ends_at_the_chosen_mark();
        self.invariant_nothing_follows_a_stop();
        let bytes: usize = self.in_flight.values().map(|in_flight| in_flight.value.len()).sum();
        assert_eq!(self.in_flight_bytes, bytes, "invariant: the bytes in flight are counted");
    }

    fn invariant_every_slot_above_the_chosen_has_one_value(&self) {
        let slots = self.in_flight.keys().map(|slot| slot.0);
        assert!(
            slots.eq(self.chosen_below.0..self.next_slot.0),
            "invariant: no hole in {}..{}, but in flight are {:?}",
            self.chosen_below,
            self.next_slot,
            self.in_flight.keys()
        );
    }

    fn invariant_nothing_follows_a_stop(&self) {
        let Some(stop) = &self.stop else { return };
        assert_eq!(
            self.next_slot,
            stop.begin().next(),
            "invariant: nothing is proposed after the stop in slot {}",
            stop.begin()
        );
        assert!(
            self.chosen_below <= stop.begin(),
            "invariant: the stop in slot {} is no slot of the log, and chosen is below {}",
            stop.begin(),
            self.chosen_below
        );
    }

    fn invariant_only_members_are_counted(&self) {
        for (slot, in_flight) in &self.in_flight {
            let stranger =
                in_flight.accepted.iter().find(|acceptor| !self.roster.contains(**acceptor));
            assert_eq!(
                stranger, None,
                "invariant: only members of the roster count for slot {slot}"
            );
            let is_quorum = in_flight.accepted.len() >= self.roster.quorum();
            assert_eq!(
                in_flight.chosen, is_quorum,
                "invariant: slot {slot} is chosen by a quorum, and by nothing less"
            );
            assert!(
                !in_flight.chosen || in_flight.waiters.is_empty(),
                "invariant: nobody waits for the chosen slot {slot}"
            );
        }
    }

    fn invariant_marks_are_ordered(&self) {
        assert!(
            self.trim_below <= self.chosen_below
                && self.chosen_below <= self.next_slot
                && self.first_new <= self.next_slot,
            "invariant: trim {} <= chosen {} <= next {}, and first new {} <= next",
            self.trim_below,
            self.chosen_below,
            self.next_slot,
            self.first_new
        );
    }

    fn invariant_the_window_ends_at_the_chosen_mark(&self) {
        self.window.check_invariants();
        assert_eq!(
            self.window.end(),
            self.chosen_below,
            "invariant: the window ends at the chosen watermark"
        );
    }
}
