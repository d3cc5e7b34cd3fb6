//! The votes that ever were on the acceptors' disks, and what follows from them.

use std::collections::{BTreeMap, BTreeSet};

use shared::ids::{AcceptorId, Ballot, Slot};
use shared::message::{EncodedValue, Promise, Value};

use crate::simulation::environment::coverage::{Coverage, Reached};

/// All votes and all proposals.
#[derive(Debug)]
pub struct Votes {
    quorum: usize,
    slots: Vec<SlotVotes>,
    chosen_below: usize,
    chosen_end: usize,
    /// Who has promised each ballot, on disk.
    promises: BTreeMap<Ballot, BTreeSet<AcceptorId>>,
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
        let noop = Value::Noop.encode();
        Self {
            quorum,
            slots: Vec::new(),
            chosen_below: 0,
            chosen_end: 0,
            promises: BTreeMap::new(),
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

    /// An acceptor has promised a ballot, on disk.
    pub fn promised(&mut self, acceptor: AcceptorId, ballot: Ballot) {
        self.promises.entry(ballot).or_default().insert(acceptor);
    }

    /// A leader proposes a value.
    pub fn proposed(
        &mut self,
        slot: Slot,
        ballot: Ballot,
        value: &EncodedValue,
        coverage: &mut Coverage,
    ) {
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
            invariant_a_proposal_is_safe(votes, promisers, quorum, (slot, ballot), value);
        }
        votes.at(slot, ballot, value);
    }

    /// An acceptor has voted, on disk.
    pub fn voted(
        &mut self,
        acceptor: AcceptorId,
        slot: Slot,
        ballot: Ballot,
        value: &EncodedValue,
    ) {
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

    /// Panics unless a quorum has promised a ballot that a coordinator leads at.
    pub fn invariant_a_leader_has_a_quorum_of_promises(&self, ballot: Ballot) {
        let promisers = self.promises.get(&ballot).map_or(0, BTreeSet::len);
        assert!(
            promisers >= self.quorum,
            "invariant: a leader has a quorum of promises: {ballot} has {promisers}"
        );
    }

    /// Panics unless the acceptor has this vote on disk.
    pub fn invariant_a_vote_is_on_disk(&self, acceptor: AcceptorId, slot: Slot, ballot: Ballot) {
        let at = self
            .slots
            .get(index(slot))
            .into_iter()
            .flat_map(|votes| &votes.ballots)
            .find(|at| at.ballot == ballot);
        let is_there = at.is_some_and(|at| at.voters.contains(&acceptor));
        assert!(
            is_there,
            "invariant: a vote is on disk before it is told: {acceptor} tells of one in {slot} at \
             {ballot}"
        );
    }

    /// Panics unless a page of a promise has, of every slot that it speaks of and does
    /// not call trimmed, the acceptor's latest vote from before the promise (*Paxos Made
    /// Simple*, section 2.2, 1b).
    pub fn invariant_a_promise_reports_every_vote(&self, promise: &Promise, voted_below: Slot) {
        let Promise { acceptor, ballot, from, votes, next, marks } = promise;
        let end = next.unwrap_or(voted_below).min(Slot(self.slots.len() as u64));
        let mut reported = votes.iter().peekable();
        for slot in (from.0.max(marks.trimmed_below.0)..end.0).map(Slot) {
            let told = loop {
                match reported.peek() {
                    Some(vote) if vote.slot < slot => drop(reported.next()),
                    Some(vote) if vote.slot == slot => break Some(vote.ballot),
                    Some(_) | None => break None,
                }
            };
            let earlier = self.slots[index(slot)]
                .ballots
                .iter()
                .filter(|at| at.ballot < *ballot && at.voters.contains(acceptor));
            let voted = earlier.map(|at| at.ballot).max();
            assert!(
                told >= voted,
                "invariant: a promise reports every vote: {acceptor} promises {ballot}, and tells \
                 of {told:?} in {slot} where it \
                 voted at {voted:?}"
            );
        }
        for vote in votes {
            self.invariant_a_vote_is_on_disk(*acceptor, vote.slot, vote.ballot);
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

    fn invariant_nothing_else_is_proposed(&self, slot: Slot, ballot: Ballot, value: &EncodedValue) {
        if let Some((chosen_at, chosen)) = &self.chosen {
            assert!(
                ballot < *chosen_at || chosen == value,
                "invariant: above the ballot {chosen_at} of the choice for slot {slot} nothing \
                 else is proposed, as at {ballot}"
            );
        }
    }
}

impl AtBallot {
    fn invariant_one_value_at_a_ballot(&self, slot: Slot, value: &EncodedValue) {
        assert!(
            self.value == *value,
            "invariant: one value for slot {slot} and ballot {}, ever",
            self.ballot
        );
    }
}

fn invariant_one_value_is_chosen(
    slot: Slot,
    (before, chosen): (Ballot, &EncodedValue),
    (ballot, value): (Ballot, &EncodedValue),
) {
    assert!(
        chosen == value,
        "invariant: one value is chosen for slot {slot}, not one at {before} and another at \
         {ballot}"
    );
}

/// Panics unless there is a quorum that has promised the ballot and of which either
/// nobody voted here before, or whose latest vote here was for this value: P2c of *Paxos
/// Made Simple*, section 2.2, word for word. It breaks long before two values are chosen.
fn invariant_a_proposal_is_safe(
    votes: &SlotVotes,
    promisers: Option<&BTreeSet<AcceptorId>>,
    quorum: usize,
    (slot, ballot): (Slot, Ballot),
    value: &EncodedValue,
) {
    let earlier = || votes.ballots.iter().filter(|at| at.ballot < ballot);
    let silent_above = |floor: Option<Ballot>| -> Vec<AcceptorId> {
        let later = |acceptor: &AcceptorId| {
            earlier().any(|at| Some(at.ballot) > floor && at.voters.contains(acceptor))
        };
        promisers.into_iter().flatten().filter(|acceptor| !later(acceptor)).copied().collect()
    };
    let is_new = silent_above(None).len() >= quorum;
    let is_latest = |at: &AtBallot| {
        let silent = silent_above(Some(at.ballot));
        silent.len() >= quorum && silent.iter().any(|acceptor| at.voters.contains(acceptor))
    };
    assert!(
        is_new || earlier().any(|at| at.value == *value && is_latest(at)),
        "invariant: a leader proposes the latest vote of a quorum: not {:?} for slot {slot} at \
         {ballot}, after {:?}",
        Value::decode(value),
        earlier().map(|at| (at.ballot, &at.voters)).collect::<Vec<_>>()
    );
}

fn index(slot: Slot) -> usize {
    usize::try_from(slot.0).expect("a simulated log fits into memory")
}

#[cfg(test)]
mod tests;
