//! The votes that ever were on the acceptors' disks, and what follows from them.

use shared::ids::{AcceptorId, Ballot, Slot};
use shared::message::{EncodedValue, Value};

use crate::simulation::reach::{Reach, Reached};

/// All votes and all proposals.
#[derive(Debug)]
pub struct Votes {
    quorum: usize,
    slots: Vec<SlotVotes>,
    chosen_below: usize,
    chosen_end: usize,
    noop: EncodedValue,
}

#[derive(Debug, Default)]
struct SlotVotes {
    ballots: Vec<AtBallot>,
    chosen: Option<(Ballot, EncodedValue)>,
}

#[derive(Debug)]
struct AtBallot {
    ballot: Ballot,
    value: EncodedValue,
    voters: Vec<AcceptorId>,
}

impl Votes {
    /// None yet.
    #[must_use]
    pub fn new(quorum: usize) -> Self {
        Self { quorum, slots: Vec::new(), chosen_below: 0, chosen_end: 0, noop: Value::Noop.encode() }
    }

    /// Every slot below is chosen.
    #[must_use]
    pub fn chosen_below(&self) -> Slot {
        Slot(self.chosen_below as u64)
    }

    /// One above the highest chosen slot.
    #[must_use]
    pub fn chosen_end(&self) -> Slot {
        Slot(self.chosen_end as u64)
    }

    /// Whether a slot is chosen.
    #[must_use]
    pub fn is_chosen(&self, slot: Slot) -> bool {
        self.chosen(slot).is_some()
    }

    /// The chosen value of a slot.
    #[must_use]
    pub fn chosen(&self, slot: Slot) -> Option<&EncodedValue> {
        self.slots.get(index(slot)).and_then(|votes| votes.chosen.as_ref()).map(|(_, value)| value)
    }

    /// Panics unless this value was chosen for the slot.
    pub fn invariant_is_chosen(&self, slot: Slot, value: &EncodedValue) {
        let chosen = self.chosen(slot);
        assert!(
            chosen == Some(value),
            "invariant: only what is chosen is learned: slot {slot} has {:?}, learned was {:?}",
            chosen.map(|chosen| Value::decode(chosen)),
            Value::decode(value)
        );
    }

    /// A leader proposes a value.
    pub fn proposed(&mut self, slot: Slot, ballot: Ballot, value: &EncodedValue, reach: &mut Reach) {
        let is_below_a_vote = index(slot) + 1 < self.slots.len();
        let noop = self.noop.clone();
        let votes = self.slot(slot);
        if votes.ballots.iter().all(|at| at.ballot != ballot) {
            // What an earlier leader proposed here reached nobody that the new one heard.
            let was_proposed = !votes.ballots.is_empty() && votes.ballots.iter().all(|at| at.value != noop);
            if was_proposed && *value == noop && is_below_a_vote {
                reach.hit(Reached::HoleFilled);
            }
            let mut voted = votes.ballots.iter().filter(|at| !at.voters.is_empty());
            if voted.next().is_some_and(|first| voted.any(|at| at.value != first.value)) {
                reach.hit(Reached::Conflicted);
            }
            if votes.ballots.iter().any(|at| at.ballot < ballot && !at.voters.is_empty() && at.value == *value) {
                reach.hit(Reached::Recovered);
            }
        }
        votes.at(slot, ballot, value);
    }

    /// An acceptor has voted, on disk.
    pub fn voted(&mut self, acceptor: AcceptorId, slot: Slot, ballot: Ballot, value: &EncodedValue) {
        let quorum = self.quorum;
        let votes = self.slot(slot);
        let at = votes.at(slot, ballot, value);
        if !at.voters.contains(&acceptor) {
            at.voters.push(acceptor);
        }
        if at.voters.len() < quorum {
            return;
        }
        match &votes.chosen {
            None => {
                votes.chosen = Some((ballot, value.clone()));
                self.chosen_end = self.chosen_end.max(index(slot) + 1);
                while self.slots.get(self.chosen_below).is_some_and(|votes| votes.chosen.is_some()) {
                    self.chosen_below += 1;
                }
            }
            Some((before, chosen)) => assert!(
                chosen == value,
                "invariant: one value is chosen for slot {slot}, not one at {before} and another at {ballot}"
            ),
        }
    }

    fn slot(&mut self, slot: Slot) -> &mut SlotVotes {
        let index = index(slot);
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, SlotVotes::default);
        }
        &mut self.slots[index]
    }
}

impl SlotVotes {
    fn at(&mut self, slot: Slot, ballot: Ballot, value: &EncodedValue) -> &mut AtBallot {
        if let Some((chosen_at, chosen)) = &self.chosen {
            assert!(
                ballot < *chosen_at || chosen == value,
                "invariant: above the ballot {chosen_at} of the choice for slot {slot} nothing else is proposed, as at {ballot}"
            );
        }
        let found = self.ballots.iter().position(|at| at.ballot == ballot);
        let index = found.unwrap_or_else(|| {
            self.ballots.push(AtBallot { ballot, value: value.clone(), voters: Vec::new() });
            self.ballots.len() - 1
        });
        let at = &mut self.ballots[index];
        assert!(at.value == *value, "invariant: one value for slot {slot} and ballot {ballot}, ever");
        at
    }
}

fn index(slot: Slot) -> usize {
    usize::try_from(slot.0).expect("a simulated log fits into memory")
}
