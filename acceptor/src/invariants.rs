//! What always holds of an acceptor. Debug builds check the cheap part after every
//! decision. The simulation checks all of it every few decisions, and whenever one
//! starts, stops or has come to the end: bytes counted wrong stay wrong. A broken one is
//! a panic that names both values.

use shared::ids::{Ballot, Slot};
use shared::message::Marks;

use crate::acceptor::{Acceptor, Record, cost};

impl Acceptor {
    /// All invariants. Costs time in proportion to the number of votes.
    ///
    /// # Panics
    /// When one is broken.
    pub fn check_invariants(&self) {
        self.check_cheap_invariants();
        self.invariant_votes_are_not_above_the_promise();
        self.invariant_vote_bytes_are_counted();
    }

    pub(crate) fn check_cheap_invariants(&self) {
        self.invariant_it_promises_as_a_member();
        self.invariant_trimmed_slots_hold_no_vote();
        self.invariant_trimmed_is_chosen();
        self.invariant_votes_lie_below_the_mark();
        self.invariant_it_votes_from_where_its_generation_begins();
    }

    /// Of the generations before its own it holds nothing: below it all is chosen and
    /// durable elsewhere, and above it nothing of theirs was chosen.
    ///
    /// # Panics
    /// When it is broken.
    pub fn invariant_it_votes_from_where_its_generation_begins(&self) {
        let Some(opened) = &self.opened else { return };
        let (begin, marks) = (opened.begin(), self.marks);
        assert!(
            marks.trimmed_below >= begin && marks.voted_below > begin,
            "generation {} begins at {begin}, and the marks are {marks:?}",
            opened.generation()
        );
        assert_eq!(self.roster.as_ref(), Some(&opened.next().roster), "the roster it opened");
    }

    /// It votes and promises only for a generation that has not ended for it.
    ///
    /// # Panics
    /// When it is broken.
    pub(crate) fn invariant_sealed_is_silent(&self, records: &[Record]) {
        let speaks = records
            .iter()
            .any(|record| matches!(record, Record::Promised(_) | Record::Voted { .. }));
        assert!(
            !speaks || self.sealed.is_none(),
            "acceptor {} promises or votes in a generation that has ended for it",
            self.id
        );
    }

    /// A promise never falls, nor does a watermark: not over trim, nor over restart.
    ///
    /// # Panics
    /// When something went back from what it was.
    pub fn invariant_nothing_goes_back(&self, promised: Option<Ballot>, marks: Marks) {
        assert!(
            self.promised >= promised,
            "the promise fell from {promised:?} to {:?}",
            self.promised
        );
        let Marks { voted_below, chosen_below, trimmed_below } = marks;
        let holds = self.marks.voted_below >= voted_below
            && self.marks.chosen_below >= chosen_below
            && self.marks.trimmed_below >= trimmed_below;
        assert!(holds, "a watermark went back from {marks:?} to {:?}", self.marks);
    }

    /// Only a member of a cluster promises, and it knows itself to be named in it.
    ///
    /// # Panics
    /// When it is broken.
    pub fn invariant_it_promises_as_a_member(&self) {
        let is_member = self.roster.as_ref().is_some_and(|roster| roster.contains(self.id));
        let (id, promised, roster) = (self.id, self.promised, &self.roster);
        assert!(
            promised.is_none() || is_member,
            "acceptor {id} promised {promised:?} as a stranger to {roster:?}"
        );
    }

    /// It accepted at a ballot only if that was, or thereby became, its promise; and
    /// promises rise.
    ///
    /// # Panics
    /// When it is broken.
    pub fn invariant_votes_are_not_above_the_promise(&self) {
        for (slot, vote) in &self.votes {
            let (ballot, promised) = (vote.ballot, self.promised);
            assert!(
                Some(ballot) <= promised,
                "the vote in slot {slot} is at {ballot}, above the promise {promised:?}"
            );
        }
    }

    /// It accepted at this very promise. With promises that rise, no vote is ever above
    /// the promise.
    pub(crate) fn invariant_accepted_at_the_promise(&self, records: &[Record]) {
        for record in records {
            if let Record::Voted { ballot, .. } = record {
                let promised = self.promised;
                assert!(
                    promised == Some(*ballot),
                    "accepted at {ballot}, and the promise is {promised:?}"
                );
            }
        }
    }

    /// What was trimmed is gone.
    ///
    /// # Panics
    /// When it is broken.
    pub fn invariant_trimmed_slots_hold_no_vote(&self) {
        let lowest = self.votes.first_key_value().map(|(slot, _)| *slot);
        let trimmed_below = self.marks.trimmed_below;
        assert!(
            lowest.is_none_or(|slot| slot >= trimmed_below),
            "slot {lowest:?} has a vote but is trimmed ({trimmed_below})"
        );
    }

    /// Only what is chosen is trimmed.
    ///
    /// # Panics
    /// When it is broken.
    pub fn invariant_trimmed_is_chosen(&self) {
        let Marks { chosen_below, trimmed_below, .. } = self.marks;
        assert!(
            trimmed_below <= chosen_below,
            "trimmed below {trimmed_below}, but chosen only below {chosen_below}"
        );
    }

    /// `voted_below` is above every vote: a quorum read misses none.
    ///
    /// # Panics
    /// When it is broken.
    pub fn invariant_votes_lie_below_the_mark(&self) {
        let above = self.votes.last_key_value().map_or(Slot(0), |(slot, _)| slot.next());
        let voted_below = self.marks.voted_below;
        assert!(above <= voted_below, "voted below {above}, but the mark says {voted_below}");
    }

    /// The bytes counted are the bytes held, so that the limit on them is one.
    ///
    /// # Panics
    /// When it is broken.
    pub fn invariant_vote_bytes_are_counted(&self) {
        let held: usize = self.votes.values().map(|vote| cost(&vote.value)).sum();
        assert_eq!(self.vote_bytes, held, "bytes of votes counted and held");
    }
}
