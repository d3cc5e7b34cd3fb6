//! Every order of the operations on one key, on a plain store that shares nothing with the search: a mistake in the search's rules
//! would otherwise be made twice.

use std::collections::BTreeSet;

use super::super::history::{Answer, Call, Ending, Guard, Operation, ValueId};
use super::{holds, some_order};

/// One key of a plain store: its value, and the revision of its last write or deletion.
type Plain = (Option<ValueId>, u64);

/// Tries every order of the operations on one key, each with every revision that those that were not answered may have had.
pub(super) fn brute_force_key(name: &str, history: &[Operation]) -> bool {
    let own: Vec<Operation> = history.iter().filter(|operation| concerns(name, operation)).cloned().collect();
    let named = own.iter().flat_map(revisions_of).max().unwrap_or(0);
    // Revisions that nobody names are all alike: one for each operation is enough.
    let highest = named + own.len() as u64;
    let after = |possible: &BTreeSet<Plain>, operation: &Operation| {
        let next: BTreeSet<Plain> = possible.iter().flat_map(|plain| plain_after(*plain, operation, highest)).collect();
        (!next.is_empty()).then_some(next)
    };
    some_order(&own, &BTreeSet::from([(None, 0)]), &mut Vec::new(), &after, &|_| true)
}

fn concerns(name: &str, Operation { call, ending, .. }: &Operation) -> bool {
    match call {
        Call::Read { key, .. } => **key == *name && *ending != Ending::Unresolved,
        Call::Put { key, .. } | Call::Delete { key, .. } => **key == *name,
        Call::DeletePrefix { prefix } => name.starts_with(&**prefix),
    }
}

/// The revisions that a call and its answer name.
fn revisions_of(operation: &Operation) -> Vec<u64> {
    let mut revisions = Vec::new();
    if let Some(Guard::Revision(revision)) = guard_of(&operation.call) {
        revisions.push(revision);
    }
    if let Ending::Answered { revision, answer, .. } = operation.ending {
        revisions.push(revision);
        if let Answer::Read(Some(seen)) = answer {
            revisions.push(seen.modified);
        }
    }
    revisions
}

fn guard_of(call: &Call) -> Option<Guard> {
    match call {
        Call::Put { guard, .. } | Call::Delete { guard, .. } => Some(*guard),
        Call::Read { .. } | Call::DeletePrefix { .. } => None,
    }
}

/// What a plain store may be after an operation that ended so: nothing, where it cannot have ended so.
fn plain_after((value, modified): Plain, operation: &Operation, highest: u64) -> Vec<Plain> {
    let there = value.map(|_| modified);
    let is_executed = guard_of(&operation.call).is_none_or(|guard| holds(guard, there));
    let written = match operation.call {
        Call::Put { value, .. } => Some(value),
        Call::Read { .. } | Call::Delete { .. } | Call::DeletePrefix { .. } => None,
    };
    let Ending::Answered { revision, answer, .. } = operation.ending else {
        return if is_executed { (modified + 1..=highest).map(|revision| (written, revision)).collect() } else { Vec::new() };
    };
    let after_write = (written, revision);
    let (may_be, after) = match (&operation.call, answer) {
        (Call::Read { .. }, Answer::Read(seen)) => {
            (seen.map(|seen| (seen.value, seen.modified)) == value.zip(there), (value, modified))
        }
        (Call::Put { .. }, Answer::Put) => (is_executed && modified < revision, after_write),
        (Call::Delete { .. }, Answer::Deleted(count)) => {
            (is_executed && modified < revision && count == there.iter().count() as u64, after_write)
        }
        // Of others it may have deleted any number.
        (Call::DeletePrefix { .. }, Answer::Deleted(count)) => {
            (modified < revision && count >= there.iter().count() as u64, after_write)
        }
        (Call::Put { .. } | Call::Delete { .. }, Answer::GuardFailed) => (!is_executed, (value, modified)),
        _ => (false, (value, modified)),
    };
    if may_be { vec![after] } else { Vec::new() }
}

/// Whether the search of a key says no more and no less than what can be: of a write that was not answered it remembers only the
/// least revision, and not which others a comparison has ruled out.
pub(super) fn is_exact(name: &str, history: &[Operation]) -> bool {
    let mut own = history.iter().filter(|operation| concerns(name, operation));
    let compares = |operation: &Operation| matches!(guard_of(&operation.call), Some(Guard::Revision(_)));
    own.clone().all(|operation| operation.ending != Ending::Unresolved) || !own.any(compares)
}
