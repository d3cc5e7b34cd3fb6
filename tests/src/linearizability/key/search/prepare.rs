//! What can be told of a key's operations before any order is tried.

use std::collections::{BTreeMap, BTreeSet};

use crate::linearizability::key::{KeyAnswer, KeyCall, KeyOperation, KeyState};
use crate::operations::{OperationId, Time, Value};

/// The operations on one key, sorted by what is known of them.
pub(super) struct Prepared {
    operations: Vec<KeyOperation>,
    /// The writes that took effect at a revision that some answer names, by that
    /// revision.
    pub(super) known: Vec<Known>,
    /// Where each operation stands among those.
    places: Vec<Option<usize>>,
    /// The writes that may have taken effect at some revision, in classes of which any is
    /// as good as another, by their calls.
    pub(super) unknown: Vec<Vec<Unknown>>,
    /// All answers by time.
    pub(super) answers: Vec<Answer>,
}

/// A write whose revision is known.
pub(super) struct Known {
    pub(super) revision: u64,
    pub(super) called: Time,
    pub(super) operation: u32,
}

/// A write whose revision is not known.
pub(super) struct Unknown {
    pub(super) called: Time,
    pub(super) operation: u32,
}

/// An answer.
pub(super) struct Answer {
    pub(super) at: Time,
    pub(super) operation: u32,
    /// What reads only, was called by then, and is not answered before.
    pub(super) open_reads: Vec<u32>,
}

/// Stands for every value that nobody read.
const UNREAD: Value = Value::NOBODYS;

impl Prepared {
    pub(super) fn new(operations: &[KeyOperation]) -> Self {
        let seen = seen_revisions(operations);
        let operations: Vec<KeyOperation> =
            operations.iter().map(|operation| forget_unread(*operation, &seen)).collect();
        let mut known: Vec<Known> = (0..)
            .zip(&operations)
            .filter_map(|(index, operation)| {
                let revision = revision_of(operation, &seen)?;
                Some(Known { revision, called: operation.called, operation: index })
            })
            .collect();
        known.sort_by_key(|known| known.revision);
        let mut places = vec![None; operations.len()];
        for (place, known) in known.iter().enumerate() {
            places[known.operation as usize] = Some(place);
        }
        let unknown = classes(&operations, &places);
        let answers = answers(&operations, &places);
        let mut prepared = Self { operations, known, places, unknown, answers };
        prepared.name_revisions();
        prepared
    }

    /// An unresolved write whose value was read is as good as answered, only later.
    fn name_revisions(&mut self) {
        for known in &self.known {
            let operation = &mut self.operations[known.operation as usize];
            if operation.answered.is_none() {
                operation.answered = Some((Time::MAX, KeyAnswer::Put { revision: known.revision }));
            }
        }
    }

    /// The state after an operation, if it fits.
    pub(super) fn after(&self, state: KeyState, operation: u32) -> Option<KeyState> {
        let operation = &self.operations[operation as usize];
        state.after(operation.call, operation.answered.map(|(_, answer)| answer))
    }

    /// Where an operation stands among the known writes.
    pub(super) fn known_place(&self, operation: u32) -> Option<usize> {
        self.places[operation as usize]
    }

    /// The revision of the write that a read saw.
    pub(super) fn sees(&self, operation: u32) -> Option<u64> {
        match self.operations[operation as usize].answered {
            Some((_, KeyAnswer::Read(Some(seen)))) => Some(seen.modified),
            Some((
                _,
                KeyAnswer::Read(None)
                | KeyAnswer::Put { .. }
                | KeyAnswer::Deleted { .. }
                | KeyAnswer::GuardFailed,
            ))
            | None => None,
        }
    }

    pub(super) fn id(&self, operation: u32) -> OperationId {
        self.operations[operation as usize].id
    }
}

/// The values that were read, and the revisions that they were read with.
fn seen_revisions(operations: &[KeyOperation]) -> BTreeMap<Value, u64> {
    let seen = operations.iter().filter_map(|operation| match operation.answered {
        Some((_, KeyAnswer::Read(seen))) => seen.map(|seen| (seen.value, seen.modified)),
        Some((_, KeyAnswer::Put { .. } | KeyAnswer::Deleted { .. } | KeyAnswer::GuardFailed))
        | None => None,
    });
    seen.collect()
}

fn forget_unread(mut operation: KeyOperation, seen: &BTreeMap<Value, u64>) -> KeyOperation {
    if let KeyCall::Put { value, .. } = &mut operation.call
        && !seen.contains_key(value)
    {
        *value = UNREAD;
    }
    operation
}

/// The revision at which an operation wrote, if an answer names it.
fn revision_of(operation: &KeyOperation, seen: &BTreeMap<Value, u64>) -> Option<u64> {
    match (operation.answered, operation.call) {
        (Some((_, KeyAnswer::Put { revision } | KeyAnswer::Deleted { revision, .. })), _) => {
            Some(revision)
        }
        (Some((_, KeyAnswer::Read(_) | KeyAnswer::GuardFailed)), _) => None,
        (None, KeyCall::Put { value, .. }) => seen.get(&value).copied(),
        (None, KeyCall::Read | KeyCall::Delete { .. } | KeyCall::DeleteAmongOthers) => None,
    }
}

fn classes(operations: &[KeyOperation], places: &[Option<usize>]) -> Vec<Vec<Unknown>> {
    let mut classes: Vec<(KeyCall, Vec<Unknown>)> = Vec::new();
    for ((index, operation), place) in (0..).zip(operations).zip(places) {
        if operation.answered.is_some() || place.is_some() || operation.call == KeyCall::Read {
            continue;
        }
        let write = Unknown { called: operation.called, operation: index };
        let call = operation.call.as_alone();
        match classes.iter_mut().find(|(other, _)| *other == call) {
            Some((_, writes)) => writes.push(write),
            None => classes.push((call, vec![write])),
        }
    }
    let mut classes: Vec<Vec<Unknown>> = classes.into_iter().map(|(_, writes)| writes).collect();
    classes.iter_mut().for_each(|writes| writes.sort_by_key(|write| write.called));
    classes
}

fn answers(operations: &[KeyOperation], places: &[Option<usize>]) -> Vec<Answer> {
    let mut by_answer: Vec<(Time, u32)> = (0..)
        .zip(operations)
        .filter_map(|(index, operation)| operation.answered.map(|(at, _)| (at, index)))
        .collect();
    by_answer.sort_unstable();
    let mut readers: Vec<(Time, u32)> = by_answer
        .iter()
        .filter(|(_, index)| places[*index as usize].is_none())
        .map(|(_, index)| (operations[*index as usize].called, *index))
        .collect();
    readers.sort_unstable();
    let mut readers = readers.into_iter().peekable();
    let mut open = BTreeSet::new();
    let mut answers = Vec::with_capacity(by_answer.len());
    for (at, operation) in by_answer {
        while let Some((_, called)) = readers.next_if(|(called, _)| *called <= at) {
            open.insert(called);
        }
        answers.push(Answer { at, operation, open_reads: open.iter().copied().collect() });
        open.remove(&operation);
    }
    answers
}
