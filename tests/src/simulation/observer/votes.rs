//! The votes that ever were on the acceptors' disks, and what follows from them.

mod invariants;

use std::collections::{BTreeMap, BTreeSet};

use shared::ids::{AcceptorId, Ballot, Slot};
use shared::message::{EncodedValue, Succession, Value};

use self::invariants::{invariant_a_proposal_is_safe, invariant_one_value_is_chosen};
use crate::simulation::environment::coverage::{Coverage, Reached};

/// All votes and all proposals.
#[derive(Debug)]
pub struct Votes {
    quorum: usize,
    /// Those of the present generation, and what the ones before it have chosen.
    slots: Vec<SlotVotes>,
    /// What ended each generation, in order.
    stops: Vec<Stop>,
    /// Votes of generations that have ended, from their stop on.
    retired: BTreeSet<(AcceptorId, Slot, Ballot)>,
    chosen_below: usize,
    chosen_end: usize,
    /// Who has promised each ballot, on disk.
    promises: BTreeMap<Ballot, BTreeSet<AcceptorId>>,
    /// How many of a ballot's generation make a quorum.
    quorums: BTreeMap<Ballot, usize>,
    noop: EncodedValue,
}

/// What ended a generation.
#[derive(Debug)]
struct Stop {
    slot: Slot,
    ballot: Ballot,
    value: EncodedValue,
    quorum: usize,
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
        let noop = Value::Noop.encode();
        Self {
            quorum,
            slots: Vec::new(),
            stops: Vec::new(),
            retired: BTreeSet::new(),
            chosen_below: 0,
            chosen_end: 0,
            promises: BTreeMap::new(),
            quorums: BTreeMap::new(),
            noop,
        }
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

    /// The chosen value of a slot.
    #[must_use]
    pub fn chosen(&self, slot: Slot) -> Option<&EncodedValue> {
        self.slots.get(index(slot)).and_then(|votes| votes.chosen.as_ref()).map(|(_, value)| value)
    }

    /// What ended a generation, if it has ended.
    #[must_use]
    pub fn stop(&self, generation: u64) -> Option<Succession> {
        let stop = usize::try_from(generation).ok().and_then(|index| self.stops.get(index))?;
        Some(Succession::of_stop(&stop.value).expect("a stop that was proposed"))
    }

    /// Whether the generation is the present one; what is said in one that has ended is
    /// looked at.
    fn is_present(
        &self,
        generation: u64,
        (slot, ballot): (Slot, Ballot),
        value: &EncodedValue,
    ) -> bool {
        let index = usize::try_from(generation).expect("few generations");
        let Some(stop) = self.stops.get(index) else {
            assert_eq!(
                index,
                self.stops.len(),
                "invariant: nothing is said in a generation before it begins"
            );
            return true;
        };
        assert!(
            ballot < stop.ballot || slot < stop.slot || (slot == stop.slot && *value == stop.value),
            "invariant: in generation {generation} nothing follows its stop in {} at {}, as in \
             {slot} at {ballot}",
            stop.slot,
            stop.ballot
        );
        false
    }

    /// The stop of the present generation is chosen.
    fn end_generation(&mut self, slot: Slot, ballot: Ballot, value: &EncodedValue) {
        let stop = Succession::of_stop(value).expect("a stop that was proposed");
        assert_eq!(stop.begin(), slot, "invariant: a stop stands where the next one begins");
        assert_eq!(
            (self.chosen_below, self.chosen_end),
            (index(slot), index(slot)),
            "invariant: all below a stop is chosen, and nothing above it"
        );
        for (offset, votes) in self.slots[index(slot)..].iter().enumerate() {
            let slot = Slot(slot.0 + offset as u64);
            let voters = votes
                .ballots
                .iter()
                .flat_map(|at| at.voters.iter().map(move |voter| (*voter, slot, at.ballot)));
            self.retired.extend(voters);
        }
        self.slots.truncate(index(slot));
        let (value, quorum) = (value.clone(), self.quorum);
        self.stops.push(Stop { slot, ballot, value, quorum });
        self.quorum = stop.next().roster.acceptors().len() / 2 + 1;
    }

    /// An acceptor of that generation has promised a ballot, on disk.
    pub fn promised(&mut self, generation: u64, acceptor: AcceptorId, ballot: Ballot) {
        let ended = usize::try_from(generation).ok().and_then(|index| self.stops.get(index));
        let quorum = ended.map_or(self.quorum, |stop| stop.quorum);
        self.quorums.insert(ballot, quorum);
        self.promises.entry(ballot).or_default().insert(acceptor);
    }

    /// A leader of that generation proposes a value.
    pub fn proposed(
        &mut self,
        generation: u64,
        slot: Slot,
        ballot: Ballot,
        value: &EncodedValue,
        coverage: &mut Coverage,
    ) {
        if !self.is_present(generation, (slot, ballot), value) {
            return;
        }
        let later: Vec<Ballot> = self
            .slots
            .iter()
            .skip(index(slot) + 1)
            .flat_map(|votes| &votes.ballots)
            .filter(|at| at.ballot < ballot && !at.voters.is_empty())
            .map(|at| at.ballot)
            .collect();
        let is_below_a_vote = index(slot) + 1 < self.slots.len();
        self.grow(slot);
        let Self { quorum, slots, promises, noop, .. } = self;
        let (quorum, votes, promisers) = (*quorum, &mut slots[index(slot)], promises.get(&ballot));
        if votes.ballots.iter().all(|at| at.ballot != ballot) {
            // What an earlier leader proposed here reached nobody that the new one heard.
            let was_proposed =
                !votes.ballots.is_empty() && votes.ballots.iter().all(|at| at.value != *noop);
            if was_proposed && value == noop && is_below_a_vote {
                coverage.hit(Reached::HoleFilled);
            }
            let mut voted = votes.ballots.iter().filter(|at| !at.voters.is_empty());
            if voted.next().is_some_and(|first| voted.any(|at| at.value != first.value)) {
                coverage.hit(Reached::Conflicted);
            }
            if votes
                .ballots
                .iter()
                .any(|at| at.ballot < ballot && !at.voters.is_empty() && at.value == *value)
            {
                coverage.hit(Reached::Recovered);
            }
            let is_void = |at: &AtBallot| {
                Succession::of_stop(&at.value).is_some()
                    && value == noop
                    && later.iter().any(|later| *later > at.ballot)
            };
            if Succession::of_stop(value).is_some()
                && votes.ballots.iter().any(|at| at.value == *value && !at.voters.is_empty())
            {
                coverage.hit(Reached::StopRecovered);
            }
            let proposal = (slot, ballot, value);
            invariant_a_proposal_is_safe(votes, promisers, quorum, proposal, is_void);
        }
        votes.at(slot, ballot, value);
    }

    /// An acceptor of that generation has voted, on disk.
    pub fn voted(
        &mut self,
        generation: u64,
        acceptor: AcceptorId,
        (slot, ballot): (Slot, Ballot),
        value: &EncodedValue,
    ) {
        if !self.is_present(generation, (slot, ballot), value) {
            self.retired.insert((acceptor, slot, ballot));
            return;
        }
        let quorum = self.quorum;
        self.grow(slot);
        let votes = &mut self.slots[index(slot)];
        let at = votes.at(slot, ballot, value);
        if !at.voters.contains(&acceptor) {
            at.voters.push(acceptor);
        }
        if at.voters.len() < quorum {
            return;
        }
        if Succession::of_stop(value).is_some() {
            return self.end_generation(slot, ballot, value);
        }
        match &votes.chosen {
            None => {
                votes.chosen = Some((ballot, value.clone()));
                self.chosen_end = self.chosen_end.max(index(slot) + 1);
                while self.slots.get(self.chosen_below).is_some_and(|votes| votes.chosen.is_some())
                {
                    self.chosen_below += 1;
                }
            }
            Some((before, chosen)) => {
                invariant_one_value_is_chosen(slot, (*before, chosen), (ballot, value))
            }
        }
    }

    /// Whether an acceptor that has promised a ballot keeps an orphaned vote in a slot
    /// that the leader at that ballot proposed for: its latest one from before is for
    /// another value than a later one of others.
    #[must_use]
    pub fn keeps_an_orphan(&self, keeper: AcceptorId, ballot: Ballot) -> bool {
        let has_promised =
            self.promises.get(&ballot).is_some_and(|promisers| promisers.contains(&keeper));
        let is_proposed = |votes: &&SlotVotes| votes.ballots.iter().any(|at| at.ballot == ballot);
        has_promised
            && self
                .slots
                .iter()
                .filter(is_proposed)
                .any(|votes| votes.keeps_an_orphan(keeper, ballot))
    }

    fn grow(&mut self, slot: Slot) {
        let index = index(slot);
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, SlotVotes::default);
        }
    }
}

impl SlotVotes {
    fn at(&mut self, slot: Slot, ballot: Ballot, value: &EncodedValue) -> &mut AtBallot {
        self.invariant_nothing_else_is_proposed(slot, ballot, value);
        let found = self.ballots.iter().position(|at| at.ballot == ballot);
        let index = found.unwrap_or_else(|| {
            self.ballots.push(AtBallot { ballot, value: value.clone(), voters: Vec::new() });
            self.ballots.len() - 1
        });
        let at = &mut self.ballots[index];
        at.invariant_one_value_at_a_ballot(slot, value);
        at
    }

    fn keeps_an_orphan(&self, keeper: AcceptorId, ballot: Ballot) -> bool {
        let earlier =
            || self.ballots.iter().filter(|at| at.ballot < ballot && !at.voters.is_empty());
        let kept = earlier().filter(|at| at.voters.contains(&keeper)).max_by_key(|at| at.ballot);
        kept.is_some_and(|kept| {
            earlier().any(|at| at.ballot > kept.ballot && at.value != kept.value)
        })
    }
}

fn index(slot: Slot) -> usize {
    usize::try_from(slot.0).expect("a simulated log fits into memory")
}

#[cfg(test)]
mod tests;
