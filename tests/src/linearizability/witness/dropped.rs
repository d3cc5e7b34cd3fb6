//! Is history that was dropped gone for whoever asks later?
//!
//! A local read may be of a state in which it was not dropped yet.

use super::WitnessViolation;
use crate::operations::{Answer, Call, Consistency, Operation, Time};

pub(super) fn check(history: &[Operation]) -> Result<(), WitnessViolation> {
    let compacted = |operation: &Operation| match operation.answered() {
        Some((at, _, Answer::Compacted { below })) => Some((at, *below)),
        _ => None,
    };
    let mut oldest: Vec<(Time, u64)> = history.iter().filter_map(compacted).collect();
    oldest.sort_unstable();
    let mut highest = 0;
    for (_, below) in &mut oldest {
        highest = highest.max(*below);
        *below = highest;
    }
    for operation in history {
        let Some(asked) = seen_of_the_past(operation) else { continue };
        let before = oldest.partition_point(|(at, _)| *at < operation.called);
        let Some((_, oldest)) = before.checked_sub(1).map(|last| oldest[last]) else { continue };
        if asked < oldest {
            let operation = operation.id;
            return Err(WitnessViolation::NotDropped { operation, asked, oldest });
        }
    }
    Ok(())
}

/// Of which revision an answer shows something that was asked for of the present state.
fn seen_of_the_past(operation: &Operation) -> Option<u64> {
    let (_, _, answer) = operation.answered()?;
    match (&operation.call, answer) {
        (
            Call::Read { at: Some(at), consistency: Consistency::Linearizable, .. },
            Answer::Read(_),
        )
        | (
            Call::List { at: Some(at), consistency: Consistency::Linearizable, .. },
            Answer::Listed(_),
        ) => Some(*at),
        (Call::Rollback { to, .. }, Answer::RolledBack { .. }) => Some(*to),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::{Key, OperationId, Outcome};

    fn operation(id: u64, called: Time, call: Call, answer: Answer) -> Operation {
        let (id, returned) = (OperationId(id), called + 5);
        let outcome = Outcome::Answered { revision: 9, answer };
        Operation { id, called, call, returned, outcome }
    }

    fn read(id: u64, called: Time, at: u64, consistency: Consistency) -> Operation {
        let call = Call::Read { key: Key::from("a"), at: Some(at), consistency };
        operation(id, called, call, Answer::Read(None))
    }

    #[test]
    fn what_was_dropped_before_may_not_be_read() {
        let compact = |called, below| {
            operation(1, called, Call::Compact { below }, Answer::Compacted { below })
        };
        let read = |called, at| read(2, called, at, Consistency::Linearizable);
        assert_eq!(check(&[compact(0, 5), read(10, 5)]), Ok(()));
        assert_eq!(check(&[compact(0, 5), read(4, 4)]), Ok(()), "at the same time");
        let refused =
            WitnessViolation::NotDropped { operation: OperationId(2), asked: 4, oldest: 5 };
        assert_eq!(check(&[compact(0, 5), read(10, 4)]), Err(refused.clone()));
        assert_eq!(check(&[compact(0, 5), compact(6, 3), read(20, 4)]), Err(refused.clone()));
        let rolled_back = Answer::RolledBack { restored: 0, deleted: 0 };
        let call = Call::Rollback { prefix: Key::from("a"), to: 4 };
        let history = [compact(0, 5), operation(2, 10, call, rolled_back)];
        assert_eq!(check(&history), Err(refused));
    }

    #[test]
    fn a_local_read_may_be_of_an_older_state() {
        let compact = operation(1, 0, Call::Compact { below: 5 }, Answer::Compacted { below: 5 });
        let local = Consistency::Local { at_least: 0 };
        assert_eq!(check(&[compact, read(2, 10, 4, local)]), Ok(()));
    }
}
