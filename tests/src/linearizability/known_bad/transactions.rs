//! Transactions that are not one step.

use super::{log, put, read, seen, stuck_at};
use crate::linearizability::key;
use crate::linearizability::witness::{self, WitnessViolation};
use crate::operations::{
    Answer, Call, Guard, Key, Operation, OperationId, Outcome, Step, StepResult, Taken,
    Transaction, Value, Version,
};

/// Puts "k" where it is absent, else reads it.
fn put_or_read(id: u64, time: (u64, u64), revision: u64, taken: Taken) -> Operation {
    let key = || Key::from("k");
    let call = Call::Transaction(Transaction {
        guards: vec![(key(), Guard::Absent)],
        then: vec![Step::Put { key: key(), value: Value::new(id, 0) }],
        otherwise: vec![Step::Read { key: key() }],
    });
    let outcome = Outcome::Answered { revision, answer: Answer::Transaction(taken) };
    Operation { id: OperationId(id), called: time.0, call, returned: time.1, outcome }
}

fn created(revision: u64) -> Taken {
    let results = vec![StepResult::Put { created: revision, version: 1 }];
    Taken { succeeded: true, wrote: true, results }
}

fn found(value: u64, modified: u64) -> Taken {
    let version = Version { value: Value::new(value, 0), modified, created: modified, version: 1 };
    Taken { succeeded: false, wrote: false, results: vec![StepResult::Read(Some(version))] }
}

#[test]
fn transactions_that_are_one_step_are_accepted() {
    let unheard = Operation { outcome: Outcome::Unknown, ..put_or_read(1, (0, 10), 1, created(1)) };
    for first in [put_or_read(1, (0, 10), 1, created(1)), unheard] {
        let history =
            [first, put_or_read(2, (20, 30), 1, found(1, 1)), read(3, (40, 50), 1, seen(1, 1))];
        assert_eq!(key::check(&history), Ok(()));
        assert_eq!(witness::check(&history, &log(&[&history[0]])), Ok(()));
    }
}

#[test]
fn a_transaction_whose_write_is_lost_is_rejected() {
    let history = [put_or_read(1, (0, 10), 1, created(1)), read(2, (20, 30), 0, None)];
    assert_eq!(stuck_at(&history), OperationId(2));
}

#[test]
fn a_transaction_that_reads_what_was_overwritten_is_rejected() {
    let history =
        [put(1, (0, 10), 1), put(2, (20, 30), 2), put_or_read(3, (40, 50), 2, found(1, 1))];
    assert_eq!(stuck_at(&history), OperationId(3));
    let violation = witness::check(&history, &log(&[&history[0], &history[1]])).unwrap_err();
    assert!(matches!(violation, WitnessViolation::WrongAnswer { revision: 2, .. }), "{violation}");
}

#[test]
fn a_transaction_whose_guard_is_ignored_is_rejected() {
    let history = [put(1, (0, 10), 1), put_or_read(2, (20, 30), 2, created(2))];
    // Of one key nobody can tell: it might have been deleted meanwhile.
    let violation = witness::check(&history, &log(&[&history[0], &history[1]])).unwrap_err();
    let (operation, guard) = (OperationId(2), Guard::Always);
    let ignored = WitnessViolation::GuardIgnored { revision: 2, operation, guard, before: None };
    assert_eq!(violation, ignored);
}

#[test]
fn a_transaction_that_counts_wrong_is_rejected() {
    let mut wrong = created(2);
    wrong.results = vec![StepResult::Put { created: 1, version: 2 }];
    let history = [put_or_read(1, (0, 10), 1, wrong)];
    let violation = witness::check(&history, &log(&[&history[0]])).unwrap_err();
    assert!(matches!(violation, WitnessViolation::WrongAnswer { .. }), "{violation}");
}
