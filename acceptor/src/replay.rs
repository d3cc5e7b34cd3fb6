//! The state of an acceptor is the sum of its records: what it was told live and what is replayed at start take one path.

use shared::ids::{Ballot, Slot};
use shared::message::{Marks, SlotValue};

use crate::acceptor::{Acceptor, Record, StoredVote, cost};

impl Acceptor {
    /// Rebuilds the state at start: every record, in the order in which the decisions were made.
    pub fn replay(&mut self, record: Record) {
        self.apply(&record);
    }

    /// The records that rebuild everything but the votes.
    #[must_use]
    pub fn summary(&self) -> Vec<Record> {
        let Marks { voted_below, chosen_below, trimmed_below } = self.marks;
        let joined = self.roster.clone().map(Record::Joined);
        let promised = self.promised.map(Record::Promised);
        let trimmed = Record::Trimmed { below: trimmed_below, voted_below, chosen_below };
        joined.into_iter().chain(promised).chain([trimmed]).collect()
    }

    /// Changes the state, in whatever order facts arrive: nothing ever goes back.
    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Joined(roster) => {
                let own = self.roster.get_or_insert_with(|| roster.clone());
                assert_eq!(own, roster, "acceptor {} joins one cluster", self.id);
            }
            Record::Promised(ballot) => self.promised = self.promised.max(Some(*ballot)),
            Record::Voted { ballot, votes, chosen_below } => {
                self.promised = self.promised.max(Some(*ballot));
                self.marks.chosen_below = self.marks.chosen_below.max(*chosen_below);
                for vote in votes {
                    self.vote(*ballot, vote);
                }
            }
            Record::Trimmed { below, voted_below, chosen_below } => {
                self.marks.voted_below = self.marks.voted_below.max(*voted_below);
                self.marks.chosen_below = self.marks.chosen_below.max(*chosen_below);
                self.trim(*below);
            }
        }
    }

    fn vote(&mut self, ballot: Ballot, SlotValue { slot, value }: &SlotValue) {
        self.marks.voted_below = self.marks.voted_below.max(slot.next());
        if *slot < self.marks.trimmed_below {
            return;
        }
        self.vote_bytes += cost(value);
        if let Some(old) = self.votes.insert(*slot, StoredVote { ballot, value: value.clone() }) {
            assert!(old.ballot < ballot, "slot {slot} is voted in at rising ballots, not at {} then {ballot}", old.ballot);
            self.vote_bytes -= cost(&old.value);
        }
    }

    fn trim(&mut self, below: Slot) {
        if below > self.marks.trimmed_below {
            self.marks.trimmed_below = below;
            let kept = self.votes.split_off(&below);
            let dropped = std::mem::replace(&mut self.votes, kept);
            self.vote_bytes -= dropped.values().map(|vote| cost(&vote.value)).sum::<usize>();
        }
    }
}
