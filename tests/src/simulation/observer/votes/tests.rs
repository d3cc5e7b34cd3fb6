//! The observer would notice: each invariant, broken.

use bytes::Bytes;
use shared::ids::CoordinatorId;
use shared::message::{Marks, Promise, Vote};

use super::*;
use crate::simulation::run::failure::watch;

const A: AcceptorId = AcceptorId(1);
const B: AcceptorId = AcceptorId(2);
const C: AcceptorId = AcceptorId(3);
const SLOT: Slot = Slot(0);

fn ballot(round: u64) -> Ballot {
    Ballot { round, coordinator: CoordinatorId(round) }
}

fn value(number: u8) -> EncodedValue {
    Bytes::from(vec![number])
}

/// Slot 0 has an orphaned vote of A at ballot 1, and a later one of B at ballot 2; A and
/// B have promised ballot 3.
fn orphaned() -> Votes {
    let (mut votes, mut coverage) = (Votes::new(2), Coverage::new());
    for (round, promisers, voter) in [(1, [A, C], A), (2, [B, C], B)] {
        promisers.into_iter().for_each(|acceptor| votes.promised(0, acceptor, ballot(round)));
        let value = value(u8::try_from(round).expect("small"));
        votes.proposed(0, SLOT, ballot(round), &value, &mut coverage);
        votes.voted(0, voter, (SLOT, ballot(round)), &value);
    }
    [A, B].into_iter().for_each(|acceptor| votes.promised(0, acceptor, ballot(3)));
    votes
}

#[test]
fn a_vote_is_orphaned_once_others_have_voted_later_for_something_else() {
    let mut votes = orphaned();
    assert!(!votes.keeps_an_orphan(A, ballot(3)), "it proposed nothing yet");
    votes.proposed(0, SLOT, ballot(3), &value(2), &mut Coverage::new());
    votes.voted(0, A, (SLOT, ballot(3)), &value(2));
    assert!(votes.keeps_an_orphan(A, ballot(3)), "whatever it voted for since");
    assert!(!votes.keeps_an_orphan(B, ballot(3)), "nobody voted later");
    assert!(!votes.keeps_an_orphan(C, ballot(3)), "it has not promised");
}

fn proposes(mut votes: Votes, value: &EncodedValue) -> Result<(), String> {
    watch(|| votes.proposed(0, SLOT, ballot(3), value, &mut Coverage::new()))
        .map_err(|failure| failure.text)
}

fn is_noticed<T>(result: Result<T, String>, invariant: &str) {
    let text = result.err().unwrap_or_else(|| panic!("nobody noticed that {invariant}"));
    assert!(text.contains(invariant), "{text}");
}

#[test]
fn a_leader_may_propose_the_latest_vote_and_nothing_else() {
    assert_eq!(proposes(orphaned(), &value(2)), Ok(()));
    for wrong in [value(1), value(9), Value::Noop.encode()] {
        is_noticed(proposes(orphaned(), &wrong), "a leader proposes the latest vote of a quorum");
    }
}

#[test]
fn a_leader_whose_quorum_has_not_voted_may_propose_anything() {
    let mut votes = Votes::new(2);
    is_noticed(proposes(Votes::new(2), &value(9)), "a leader proposes the latest vote of a quorum");
    [B, C].into_iter().for_each(|acceptor| votes.promised(0, acceptor, ballot(3)));
    assert_eq!(proposes(votes, &value(9)), Ok(()));
}

#[test]
fn a_leader_without_a_quorum_of_promises_is_noticed() {
    let votes = orphaned();
    votes.invariant_a_leader_has_a_quorum_of_promises(ballot(3));
    let result = watch(|| votes.invariant_a_leader_has_a_quorum_of_promises(ballot(4)))
        .map_err(|failure| failure.text);
    is_noticed(result, "a leader has a quorum of promises");
}

#[test]
fn two_values_at_one_ballot_and_two_choices_are_noticed() {
    let mut votes = orphaned();
    let result =
        watch(|| votes.voted(0, C, (SLOT, ballot(2)), &value(7))).map_err(|failure| failure.text);
    is_noticed(result, "one value for slot");
    let mut votes = orphaned();
    votes.voted(0, C, (SLOT, ballot(2)), &value(2));
    assert_eq!(votes.chosen(SLOT), Some(&value(2)));
    let result =
        watch(|| votes.voted(0, A, (SLOT, ballot(3)), &value(1))).map_err(|failure| failure.text);
    is_noticed(result, "nothing else is proposed");
    let mut votes = orphaned();
    votes.voted(0, C, (SLOT, ballot(2)), &value(2));
    let result =
        watch(|| votes.voted(0, C, (SLOT, ballot(1)), &value(1))).map_err(|failure| failure.text);
    is_noticed(result, "one value is chosen");
}

fn promise(votes: Vec<Vote>) -> Promise {
    Promise {
        acceptor: A,
        ballot: ballot(3),
        from: SLOT,
        votes,
        next: None,
        marks: Marks::default(),
    }
}

#[test]
fn a_promise_that_leaves_a_vote_out_is_noticed_unless_the_slot_is_trimmed() {
    let votes = orphaned();
    let vote = |round| Vote { slot: SLOT, ballot: ballot(round), value: value(1) };
    let told = |promise: Promise| {
        watch(|| votes.invariant_a_promise_reports_every_vote(&promise, Slot(1)))
            .map_err(|failure| failure.text)
    };
    assert_eq!(told(promise(vec![vote(1)])), Ok(()));
    let marks = Marks { voted_below: Slot(1), chosen_below: Slot(1), trimmed_below: Slot(1) };
    assert_eq!(told(Promise { marks, ..promise(Vec::new()) }), Ok(()));
    is_noticed(told(promise(Vec::new())), "a promise reports every vote");
    is_noticed(told(promise(vec![vote(2)])), "a vote is on disk before it is told");
}
