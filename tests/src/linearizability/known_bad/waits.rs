//! Waits for a lock: who got in line stands in the log where it did and where it left.

use crate::linearizability::witness::{self, WitnessViolation, Write};
use crate::operations::{
    Answer, Call, Key, Operation, OperationId, Outcome, TenureAnswer, TenureCall,
};

fn operation(id: u64, call: TenureCall, revision: u64, answer: TenureAnswer) -> Operation {
    let (called, returned) = (100 * id, 100 * id + 50);
    let outcome = Outcome::Answered { revision, answer: Answer::Tenure(answer) };
    Operation { id: OperationId(id), called, call: Call::Tenure(call), returned, outcome }
}

fn acquire(lease: u64, wait: bool) -> TenureCall {
    TenureCall::Acquire { lock: Key::from("l"), lease, wait }
}

/// Leases 1 and 2, of which the first holds the lock since revision 3; and how the second
/// waits for it, which is called when all that is answered.
fn history(wait: Outcome) -> Vec<Operation> {
    let grant = |id| operation(id, TenureCall::Grant { ttl_ms: 500 }, id, TenureAnswer::Granted);
    let waits = operation(4, acquire(2, true), 0, TenureAnswer::Put);
    let holder = operation(3, acquire(1, false), 3, TenureAnswer::Held(3));
    vec![grant(1), grant(2), holder, Operation { outcome: wait, ..waits }]
}

fn answered(revision: u64, answer: TenureAnswer) -> Outcome {
    Outcome::Answered { revision, answer: Answer::Tenure(answer) }
}

/// The log of the first three, and then what was executed of which operation.
fn log(history: &[Operation], then: &[(u64, TenureCall)]) -> Vec<Write> {
    let write = |(id, call): &(u64, TenureCall)| Write {
        operation: OperationId(*id),
        call: Call::Tenure(call.clone()),
    };
    let first = history[..3].iter();
    let first = first.map(|it| Write { operation: it.id, call: it.call.clone() });
    first.chain(then.iter().map(write)).collect()
}

fn check(wait: Outcome, then: &[(u64, TenureCall)]) -> Result<(), WitnessViolation> {
    let mut history = history(wait);
    if then.iter().any(|(id, _)| *id == EARLIER) {
        let earlier = operation(EARLIER, acquire(2, true), 0, TenureAnswer::Put);
        history.push(Operation { called: 350, outcome: Outcome::Unknown, ..earlier });
    }
    if then.iter().any(|(id, _)| *id == 5) {
        // Meanwhile.
        let released = operation(5, release(), 5, TenureAnswer::Released);
        history[3].returned = released.returned + 50;
        history.push(released);
    }
    let log = log(&history, then);
    witness::check(&history, &log)
}

const HOLDER: (u64, u64) = (1, 3);
/// The same was asked for before, and nobody heard of it.
const EARLIER: u64 = 6;

fn release() -> TenureCall {
    TenureCall::Release { lock: Key::from("l"), lease: 1 }
}

#[test]
fn a_wait_that_ends_as_the_log_has_it_is_accepted() {
    let in_line = (4, acquire(2, true));
    let left = (4, acquire(2, false));
    let busy = TenureAnswer::Busy(HOLDER);
    assert_eq!(check(answered(5, busy), &[in_line.clone(), left.clone()]), Ok(()));
    let before = (EARLIER, acquire(2, true));
    assert_eq!(check(answered(5, busy), &[before, left.clone()]), Ok(()));
    let held = answered(5, TenureAnswer::Held(5));
    assert_eq!(check(held, &[in_line.clone(), (5, release())]), Ok(()));
    for unheard in [vec![], vec![in_line.clone()], vec![in_line, left]] {
        assert_eq!(check(Outcome::Unknown, &unheard), Ok(()));
    }
}

#[test]
fn who_is_told_that_it_is_not_in_line_and_is_is_found() {
    let in_line = [(4, acquire(2, true))];
    let (operation, revision) = (OperationId(4), 4);
    assert_eq!(
        check(Outcome::NotApplied, &in_line),
        Err(WitnessViolation::AppliedAfterAll { operation, executed: 4 })
    );
    let violation = check(answered(revision, TenureAnswer::Busy(HOLDER)), &in_line).unwrap_err();
    assert!(matches!(violation, WitnessViolation::WrongAnswer { .. }), "{violation}");
}

#[test]
fn who_is_told_of_a_lock_that_it_does_not_hold_is_found() {
    let (in_line, left) = ((4, acquire(2, true)), (4, acquire(2, false)));
    let held = TenureAnswer::Held(4);
    let violation = check(answered(4, held), std::slice::from_ref(&in_line)).unwrap_err();
    assert!(matches!(violation, WitnessViolation::WrongAnswer { .. }), "{violation}");
    let before_it_left = answered(4, TenureAnswer::Busy(HOLDER));
    let violation = check(before_it_left, &[in_line.clone(), left]).unwrap_err();
    assert!(matches!(violation, WitnessViolation::LostWrite { .. }), "{violation}");
    // Its fence is that of its place in the line.
    let early = answered(5, TenureAnswer::Held(4));
    let violation = check(early, &[in_line, (5, release())]).unwrap_err();
    assert!(matches!(violation, WitnessViolation::WrongAnswer { .. }), "{violation}");
}

#[test]
fn who_gets_in_line_twice_for_one_wait_is_found() {
    let (in_line, left) = ((4, acquire(2, true)), (4, acquire(2, false)));
    let twice = [in_line.clone(), left, in_line.clone()];
    let operation = OperationId(4);
    assert_eq!(
        check(Outcome::Unknown, &twice),
        Err(WitnessViolation::ExecutedTwice { operation, first: 5, second: 6 })
    );
    let strange = [in_line, (4, acquire(1, false))];
    let violation = check(Outcome::Unknown, &strange).unwrap_err();
    assert!(matches!(violation, WitnessViolation::NotAskedFor { .. }), "{violation}");
}
