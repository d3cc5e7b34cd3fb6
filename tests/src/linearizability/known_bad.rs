//! Histories that stores are known to produce when they are wrong, each rejected by name.

mod listings;
mod past;
mod transactions;
mod waits;

use super::key::{self, KeyViolation};
use super::witness::{self, WitnessViolation, Write};
use crate::operations::{Answer, Call, Guard, Key, Operation, OperationId, Outcome, Seen, Value};

fn put(id: u64, time: (u64, u64), revision: u64) -> Operation {
    let call = Call::Put { key: Key::from("k"), value: Value::new(id, 0), guard: Guard::Always };
    Operation {
        id: OperationId(id),
        called: time.0,
        call,
        returned: time.1,
        outcome: Outcome::Answered { revision, answer: Answer::Put },
    }
}

fn read(id: u64, time: (u64, u64), revision: u64, seen: Option<Seen>) -> Operation {
    let call = Call::read("k");
    let outcome = Outcome::Answered { revision, answer: Answer::Read(seen) };
    Operation { id: OperationId(id), called: time.0, call, returned: time.1, outcome }
}

fn with_guard(mut operation: Operation, to: Guard) -> Operation {
    if let Call::Put { guard, .. } = &mut operation.call {
        *guard = to;
    }
    operation
}

fn with_outcome(mut operation: Operation, outcome: Outcome) -> Operation {
    operation.outcome = outcome;
    operation
}

fn seen(value: u64, modified: u64) -> Option<Seen> {
    Some(Seen { value: Value::new(value, 0), modified })
}

fn log(operations: &[&Operation]) -> Vec<Write> {
    operations
        .iter()
        .map(|operation| Write { operation: operation.id, call: operation.call.clone() })
        .collect()
}

fn stuck_at(history: &[Operation]) -> OperationId {
    match key::check(history) {
        Err(KeyViolation::NoOrder { stuck, .. }) => stuck,
        other => panic!("expected a history without an order, found {other:?}"),
    }
}

#[test]
fn a_stale_read_is_rejected() {
    let history = [put(1, (0, 10), 1), put(2, (20, 30), 2), read(3, (40, 50), 1, seen(1, 1))];
    assert_eq!(stuck_at(&history), OperationId(3));
    let violation = witness::check(&history, &log(&[&history[0], &history[1]])).unwrap_err();
    let (earlier, later) = (OperationId(2), OperationId(3));
    assert_eq!(
        violation,
        WitnessViolation::TimeReversed { earlier, earlier_at: 4, later, later_at: 3 }
    );
}

#[test]
fn two_reads_that_see_a_write_come_and_go_are_rejected() {
    let write = with_outcome(put(1, (0, 0), 1), Outcome::Unknown);
    let history = [write, read(2, (10, 20), 1, seen(1, 1)), read(3, (30, 40), 0, None)];
    assert_eq!(stuck_at(&history), OperationId(3));
    assert!(matches!(
        witness::check(&history, &log(&[&history[0]])),
        Err(WitnessViolation::TimeReversed { .. })
    ));
}

#[test]
fn a_lost_write_is_rejected() {
    let history = [put(1, (0, 10), 1), read(2, (20, 30), 0, None)];
    assert_eq!(stuck_at(&history), OperationId(2));
    let violation = witness::check(&history[..1], &log(&[])).unwrap_err();
    assert_eq!(
        violation,
        WitnessViolation::FromTheFuture { operation: OperationId(1), revision: 1, end: 0 }
    );
    let other = put(3, (0, 10), 1);
    let violation =
        witness::check(&[history[0].clone(), other.clone()], &log(&[&other])).unwrap_err();
    assert_eq!(
        violation,
        WitnessViolation::LostWrite { operation: OperationId(1), answered: 1, executed: None }
    );
}

#[test]
fn a_double_execution_is_rejected() {
    // Executed at revision 1, overwritten, and executed again: the last read sees it come
    // back.
    let history = [put(1, (0, 10), 1), put(2, (20, 30), 2), read(3, (40, 50), 3, seen(1, 3))];
    assert_eq!(stuck_at(&history), OperationId(3));
    let violation =
        witness::check(&history, &log(&[&history[0], &history[1], &history[0]])).unwrap_err();
    assert_eq!(
        violation,
        WitnessViolation::ExecutedTwice { operation: OperationId(1), first: 1, second: 3 }
    );
}

#[test]
fn a_read_from_a_primary_of_an_old_epoch_is_rejected() {
    // The new primary has acknowledged revision 2 while the old one still answers from
    // revision 1, to a compare-and-swap too.
    let swap = with_guard(put(3, (20, 30), 2), Guard::Revision(1));
    let late_swap = with_guard(put(4, (40, 50), 3), Guard::Revision(1));
    let history = [put(1, (0, 10), 1), swap, late_swap];
    assert_eq!(stuck_at(&history), OperationId(4));
    let violation =
        witness::check(&history, &log(&[&history[0], &history[1], &history[2]])).unwrap_err();
    assert!(matches!(
        violation,
        WitnessViolation::GuardIgnored { revision: 3, operation: OperationId(4), .. }
    ));
}

#[test]
fn a_write_that_was_said_not_to_have_happened_is_rejected() {
    let refused = with_outcome(put(1, (0, 0), 1), Outcome::NotApplied);
    let history = [refused, read(2, (20, 30), 1, seen(1, 1))];
    assert_eq!(stuck_at(&history), OperationId(2));
    let violation = witness::check(&history, &log(&[&history[0]])).unwrap_err();
    assert_eq!(
        violation,
        WitnessViolation::AppliedAfterAll { operation: OperationId(1), executed: 1 }
    );
}

#[test]
fn a_value_from_nowhere_is_rejected() {
    let history = [put(1, (0, 10), 1), read(2, (20, 30), 1, seen(9, 1))];
    assert_eq!(stuck_at(&history), OperationId(2));
    let violation = witness::check(&history, &log(&[&history[0]])).unwrap_err();
    assert!(matches!(violation, WitnessViolation::WrongAnswer { operation: OperationId(2), .. }));
    let foreign = put(7, (0, 10), 1);
    let violation = witness::check(&history[..1], &log(&[&history[0], &foreign])).unwrap_err();
    assert!(matches!(
        violation,
        WitnessViolation::NotAskedFor { revision: 2, operation: OperationId(7), called: None, .. }
    ));
}

#[test]
fn an_unresolved_write_may_take_effect_late_or_never() {
    let unresolved = |id| with_outcome(put(id, (0, 0), 0), Outcome::Unknown);
    let history =
        [unresolved(1), unresolved(2), put(3, (5, 10), 1), read(4, (20, 30), 2, seen(1, 2))];
    assert_eq!(key::check(&history), Ok(()));
    assert_eq!(witness::check(&history, &log(&[&history[2], &history[0]])), Ok(()));
}

#[test]
fn a_local_read_may_be_old_but_not_older_than_asked_for() {
    let local = |at_least, revision, seen| {
        let mut operation = read(3, (40, 50), revision, seen);
        operation.call = Call::read_locally("k", at_least);
        vec![put(1, (0, 10), 1), put(2, (20, 30), 2), operation]
    };
    let check = |history: &[Operation]| witness::check(history, &log(&[&history[0], &history[1]]));
    assert_eq!(check(&local(0, 1, seen(1, 1))), Ok(()));
    assert_eq!(check(&local(0, 0, None)), Ok(()));
    let too_old = WitnessViolation::TooOld { operation: OperationId(3), asked: 2, answered: 1 };
    assert_eq!(check(&local(2, 1, seen(1, 1))), Err(too_old));
    assert!(matches!(check(&local(0, 1, seen(2, 1))), Err(WitnessViolation::WrongAnswer { .. })));
}

#[test]
fn a_long_busy_history_with_many_unresolved_writes_is_decided() {
    let mut history = Vec::new();
    let mut writes = Vec::new();
    for round in 0..5_000_u64 {
        let (id, at, revision) = (10 * round, 100 * round, round + 1);
        let write = put(id, (at, at + 50), revision);
        writes.push(Write { operation: write.id, call: write.call.clone() });
        history.push(write);
        if round % 50 == 0 {
            history.push(with_outcome(put(id + 1, (at, 0), 0), Outcome::Unknown));
        }
        history.push(read(id + 2, (at + 60, at + 90), revision, seen(id, revision)));
    }
    assert_eq!(key::check(&history), Ok(()));
    assert_eq!(witness::check(&history, &writes), Ok(()));
}
