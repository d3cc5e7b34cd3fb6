//! What must always hold of a coordinator: the paragraph *Coordinator* of the design, as
//! far as one coordinator can see it.
//!
//! Held by types instead: Phase 2 begins with [`Promised`](crate::phase1::Promised),
//! which only Phase 1 makes, of a quorum's last page. Held by assertions where the value
//! is chosen or proposed: one value for a slot and ballot, new values after all that
//! Phase 1 saw. Looked at after every step in debug builds and by the simulation: the
//! functions named `invariant_…`, here and in Phase 2.

use super::{Coordinator, State};

impl Coordinator {
    /// Checks what must always hold.
    ///
    /// # Panics
    /// When it does not.
    pub fn check_invariants(&self) {
        self.invariant_ballots_are_its_own();
        self.invariant_a_higher_ballot_ends_leadership();
        self.invariant_only_a_known_cluster_is_led();
        self.invariant_facts_are_shared();
        if let State::Phase2(leader) = &self.state {
            leader.phase2.check_invariants();
        }
    }

    fn invariant_ballots_are_its_own(&self) {
        if let Some(ballot) = self.ballot() {
            assert_eq!(
                ballot.coordinator, self.id,
                "invariant: a coordinator uses only its own ballots"
            );
        }
    }

    fn invariant_a_higher_ballot_ends_leadership(&self) {
        if let Some(ballot) = self.ballot() {
            assert_eq!(Some(ballot), self.highest_ballot, "invariant: no higher ballot was seen");
        }
    }

    fn invariant_only_a_known_cluster_is_led(&self) {
        let formed = self.membership.roster().is_some();
        assert!(
            formed || self.ballot().is_none(),
            "invariant: ballot {:?} without a roster",
            self.ballot()
        );
    }

    fn invariant_facts_are_shared(&self) {
        assert!(
            self.trimmed_below <= self.chosen_below,
            "invariant: trimmed {} <= chosen {}",
            self.trimmed_below,
            self.chosen_below
        );
        if let State::Phase2(leader) = &self.state {
            assert_eq!(
                leader.phase2.chosen_below(),
                self.chosen_below,
                "invariant: a leader knows what is chosen"
            );
            assert!(
                leader.phase2.next_slot() >= self.trimmed_below,
                "invariant: nothing new in a trimmed slot"
            );
        }
    }
}
