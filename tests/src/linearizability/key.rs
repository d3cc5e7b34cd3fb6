//! The independent checker: key by key, is there an order of the operations that explains every answer?
//!
//! Linearizability is local (Herlihy & Wing 1990, theorem 1): a history is linearizable when its part on each key is. What touches
//! many keys is split into its parts here, which loses that they are one; [`witness`](super::witness) sees it whole.
//!
//! Not done: local reads (they promise no order), and revisions as an order across keys.

mod search;
mod state;

use std::collections::{BTreeMap, BTreeSet};

pub use search::{KeyViolation, Verdict, check_key};
pub use state::{KeyAnswer, KeyCall, KeyState};

use super::history::{Answer, Call, Consistency, Ending, Key, Operation, OperationId, Time};

/// An operation's part on one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyOperation {
    /// The operation.
    pub id: OperationId,
    /// When the client called.
    pub called: Time,
    /// For what.
    pub call: KeyCall,
    /// When the client had which answer; none where it is not known whether it took effect.
    pub answered: Option<(Time, KeyAnswer)>,
}

/// How many configurations the search of one key may look at before it gives up: a good history needs about one for each
/// operation.
pub const SEARCH_LIMIT: usize = 2_000_000;

/// Checks every key of a history.
///
/// # Errors
/// The first key, in byte order, whose operations no order explains, or whose search hit [`SEARCH_LIMIT`].
pub fn check(history: &[Operation]) -> Result<(), KeyViolation> {
    for (key, operations) in by_key(history) {
        match check_key(&operations, SEARCH_LIMIT) {
            Verdict::Linearizable => {}
            Verdict::NotLinearizable { stuck, states } => return Err(KeyViolation::NoOrder { key, stuck, states }),
            Verdict::Undecided => return Err(KeyViolation::Undecided { key, limit: SEARCH_LIMIT }),
        }
    }
    Ok(())
}

/// Splits a history into the operations on each key, leaving out what constrains nothing: operations that never happened, reads
/// that were not answered, and local reads.
#[must_use]
pub fn by_key(history: &[Operation]) -> BTreeMap<Key, Vec<KeyOperation>> {
    let named = history.iter().filter_map(|operation| match &operation.call {
        Call::Read { key, .. } | Call::Put { key, .. } | Call::Delete { key, .. } => Some(Key::clone(key)),
        Call::DeletePrefix { .. } => None,
    });
    let keys: BTreeSet<Key> = named.collect();
    let mut parts: BTreeMap<Key, Vec<KeyOperation>> = keys.iter().map(|key| (Key::clone(key), Vec::new())).collect();
    for operation in history {
        let mut add = |key: &Key, call| {
            if let Some(part) = part_of(operation, call) {
                parts.get_mut(key).expect("every named key has a part").push(part);
            }
        };
        match &operation.call {
            Call::Read { key, consistency: Consistency::Linearizable } => add(key, KeyCall::Read),
            Call::Read { consistency: Consistency::Local { .. }, .. } => {}
            Call::Put { key, value, guard } => add(key, KeyCall::Put { value: *value, guard: *guard }),
            Call::Delete { key, guard } => add(key, KeyCall::Delete { guard: *guard }),
            Call::DeletePrefix { prefix } => {
                keys.iter().filter(|key| key.starts_with(&**prefix)).for_each(|key| add(key, KeyCall::DeleteAmongOthers));
            }
        }
    }
    parts
}

fn part_of(operation: &Operation, call: KeyCall) -> Option<KeyOperation> {
    let part = |answered| KeyOperation { id: operation.id, called: operation.called, call, answered };
    match operation.ending {
        Ending::NotApplied => None,
        Ending::Unresolved => operation.call.is_mutation().then(|| part(None)),
        Ending::Answered { at, revision, answer } => {
            let answer = match answer {
                Answer::Read(seen) => KeyAnswer::Read(seen),
                Answer::Put => KeyAnswer::Put { revision },
                Answer::Deleted(count) => KeyAnswer::Deleted { revision, count },
                Answer::GuardFailed => KeyAnswer::GuardFailed,
            };
            Some(part(Some((at, answer))))
        }
    }
}
