//! Where the log has what was asked for: each operation at one revision.
//!
//! Only who waits for a lock may stand there twice: where it got in line, and where its time
//! was up and it left, unless it came to hold the lock by that.

use std::collections::BTreeMap;

use super::{Witness, WitnessViolation};
use crate::operations::{Call, Operation, OperationId, TenureCall};

/// Where an operation was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At this revision.
    At(u64),
    /// It waited for a lock.
    Left {
        /// Since this revision, unless it was in line before.
        since: Option<u64>,
        /// Up to this one.
        at: u64,
    },
}

impl Place {
    /// The first revision.
    pub(super) fn first(self) -> u64 {
        match self {
            Self::At(revision) => revision,
            Self::Left { since, at } => since.unwrap_or(at),
        }
    }

    /// The last one.
    pub(super) fn last(self) -> u64 {
        match self {
            Self::At(revision) | Self::Left { at: revision, .. } => revision,
        }
    }
}

/// The place of each executed operation.
pub(super) fn of_each(
    calls: &BTreeMap<OperationId, &Operation>,
    witness: &Witness,
) -> Result<BTreeMap<OperationId, Place>, WitnessViolation> {
    let mut places = BTreeMap::new();
    for (revision, write) in (1..).zip(witness) {
        let operation = write.operation;
        // Executing comes to it by itself.
        if matches!(write.call, Call::Tenure(TenureCall::Expire { .. })) {
            continue;
        }
        let called = calls.get(&operation).map(|operation| &operation.call);
        let before: Option<Place> = places.get(&operation).copied();
        let is_asked = called == Some(&write.call);
        let is_left = called.is_some_and(|called| is_the_end_of_the_wait(called, &write.call));
        let place = match before {
            None if is_asked => Place::At(revision),
            None if is_left => Place::Left { since: None, at: revision },
            Some(Place::At(since)) if is_left => Place::Left { since: Some(since), at: revision },
            Some(before) if is_asked || is_left => {
                let (first, second) = (before.last(), revision);
                return Err(WitnessViolation::ExecutedTwice { operation, first, second });
            }
            None | Some(_) => {
                let executed = Box::new(write.call.clone());
                let called = called.cloned().map(Box::new);
                return Err(WitnessViolation::NotAskedFor {
                    revision,
                    operation,
                    executed,
                    called,
                });
            }
        };
        places.insert(operation, place);
    }
    Ok(places)
}

/// Whether an operation may wait for a lock.
pub(super) fn may_wait(call: &Call) -> bool {
    matches!(call, Call::Tenure(TenureCall::Acquire { wait: true, .. }))
}

/// Whether this is how one leaves the line that the call got into.
fn is_the_end_of_the_wait(called: &Call, executed: &Call) -> bool {
    match (called, executed) {
        (
            Call::Tenure(TenureCall::Acquire { lock, lease, wait: true }),
            Call::Tenure(TenureCall::Acquire { lock: of, lease: by, wait: false }),
        )
        | (
            Call::Tenure(TenureCall::Acquire { lock, lease, wait: true }),
            Call::Tenure(TenureCall::Leave { lock: of, lease: by, since: _ }),
        ) => lock == of && lease == by,
        _ => false,
    }
}
