//! Reads at a revision that show another, or what is not there yet.

use super::{log, put, read, seen};
use crate::linearizability::key;
use crate::linearizability::witness::{self, WitnessViolation};
use crate::operations::{Answer, Call, Consistency, Key, Operation, OperationId, Outcome, Seen};

/// A read of "k" as it was then, answered as it was at another revision.
fn read_at(asked: u64, time: (u64, u64), revision: u64, seen: Option<Seen>) -> Operation {
    let mut operation = read(9, time, revision, seen);
    operation.call =
        Call::Read { key: Key::from("k"), at: Some(asked), consistency: Consistency::Linearizable };
    operation
}

fn not_yet(asked: u64, time: (u64, u64), present: u64) -> Operation {
    let mut operation = read_at(asked, time, present, None);
    operation.outcome = Outcome::Answered { revision: present, answer: Answer::NotYet };
    operation
}

fn check(past: &Operation) -> Result<(), WitnessViolation> {
    let writes = [put(1, (0, 10), 1), put(2, (20, 30), 2), put(3, (40, 50), 3)];
    let history = [&writes[..], std::slice::from_ref(past)].concat();
    assert_eq!(key::check(&history), Ok(()), "which is for the witness alone");
    witness::check(&history, &log(&writes.each_ref()))
}

#[test]
fn what_was_at_a_revision_may_be_read_at_any_time_after() {
    for at in [25, 45, 100] {
        assert_eq!(check(&read_at(1, (at, at + 5), 1, seen(1, 1))), Ok(()));
        assert_eq!(check(&read_at(0, (at, at + 5), 0, None)), Ok(()));
    }
}

#[test]
fn a_read_at_a_revision_that_gives_a_later_or_an_earlier_value_is_rejected() {
    for (value, revision) in [(1, 1), (3, 3)] {
        let claimed = check(&read_at(2, (100, 110), 2, seen(value, revision)));
        assert!(matches!(
            claimed,
            Err(WitnessViolation::WrongAnswer { operation: OperationId(9), revision: 2, .. })
        ));
        let admitted = check(&read_at(2, (100, 110), revision, seen(value, revision)));
        let other = WitnessViolation::OtherRevision {
            operation: OperationId(9),
            asked: 2,
            answered: revision,
        };
        assert_eq!(admitted, Err(other));
    }
}

#[test]
fn a_read_of_a_future_revision_that_is_answered_with_data_is_rejected() {
    let beyond = check(&read_at(4, (100, 110), 4, seen(3, 3)));
    assert_eq!(
        beyond,
        Err(WitnessViolation::FromTheFuture { operation: OperationId(9), revision: 4, end: 3 })
    );
    // There is such a revision, but nobody had asked for its write yet when the answer
    // came.
    let too_early = check(&read_at(3, (32, 35), 3, seen(3, 3)));
    let (earlier, later) = (OperationId(9), OperationId(3));
    assert_eq!(
        too_early,
        Err(WitnessViolation::TimeReversed { earlier, earlier_at: 7, later, later_at: 6 })
    );
}

#[test]
fn a_revision_that_was_acknowledged_is_not_refused_as_of_the_future() {
    assert_eq!(check(&not_yet(3, (32, 35), 2)), Ok(()));
    assert_eq!(check(&not_yet(4, (100, 110), 3)), Ok(()));
    let behind = check(&not_yet(3, (100, 110), 2));
    assert!(matches!(behind, Err(WitnessViolation::TimeReversed { later: OperationId(9), .. })));
    let there = check(&not_yet(3, (100, 110), 3));
    assert!(matches!(there, Err(WitnessViolation::WrongAnswer { operation: OperationId(9), .. })));
}

#[test]
fn what_a_local_read_has_seen_is_not_undone_for_who_comes_after() {
    let mut local = read(8, (45, 47), 3, seen(3, 3));
    local.call = Call::read_locally("k", 0);
    let writes = [put(1, (0, 10), 1), put(2, (20, 30), 2), put(3, (40, 90), 3)];
    let after = read(9, (50, 60), 2, seen(2, 2));
    let log = log(&writes.each_ref());
    let without = [&writes[..], std::slice::from_ref(&after)].concat();
    assert_eq!(witness::check(&without, &log), Ok(()));
    let history = [&writes[..], &[local, after]].concat();
    let (earlier, later) = (OperationId(8), OperationId(9));
    let undone = WitnessViolation::TimeReversed { earlier, earlier_at: 7, later, later_at: 5 };
    assert_eq!(witness::check(&history, &log), Err(undone));
}
