//! What must hold of votes and proposals: each function panics where it does not.

use std::collections::BTreeSet;

use shared::ids::{AcceptorId, Ballot, Slot};
use shared::message::{EncodedValue, Promise, Value};

use super::{AtBallot, SlotVotes, Votes, index};

impl Votes {
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

    /// Panics unless a quorum has promised a ballot that a coordinator leads at.
    pub fn invariant_a_leader_has_a_quorum_of_promises(&self, ballot: Ballot) {
        let promisers = self.promises.get(&ballot).map_or(0, BTreeSet::len);
        assert!(
            promisers >= self.quorums.get(&ballot).copied().unwrap_or(self.quorum),
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
        let is_there = at.is_some_and(|at| at.voters.contains(&acceptor))
            || self.retired.contains(&(acceptor, slot, ballot));
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
    pub(super) fn invariant_nothing_else_is_proposed(
        &self,
        slot: Slot,
        ballot: Ballot,
        value: &EncodedValue,
    ) {
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
    pub(super) fn invariant_one_value_at_a_ballot(&self, slot: Slot, value: &EncodedValue) {
        assert!(
            self.value == *value,
            "invariant: one value for slot {slot} and ballot {}, ever",
            self.ballot
        );
    }
}

pub(super) fn invariant_one_value_is_chosen(
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
/// nobody voted here before, or whose latest vote here was for this value (or for a stop that
/// later slots show not to have been chosen, for a no-op): P2c of *Paxos Made Simple*, section
/// 2.2, word for word. It breaks long before two values are chosen.
pub(super) fn invariant_a_proposal_is_safe(
    votes: &SlotVotes,
    promisers: Option<&BTreeSet<AcceptorId>>,
    quorum: usize,
    (slot, ballot, value): (Slot, Ballot, &EncodedValue),
    is_void: impl Fn(&AtBallot) -> bool,
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
        is_new || earlier().any(|at| (at.value == *value || is_void(at)) && is_latest(at)),
        "invariant: a leader proposes the latest vote of a quorum: not {:?} for slot {slot} at \
         {ballot}, after {:?}",
        Value::decode(value),
        earlier().map(|at| (at.ballot, &at.voters)).collect::<Vec<_>>()
    );
}
