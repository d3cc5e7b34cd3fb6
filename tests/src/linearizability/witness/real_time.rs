//! Does the order of revisions contradict the order of time?
//!
//! Each operation has a place: `2 r` for the mutation that made revision r, `2 r + 1` for
//! what saw revision r and changed nothing. An operation may not have a lower place than
//! another that was answered before it was called. One sweep over calls and answers in
//! the order of time, keeping the highest place answered so far, finds every
//! contradiction.
//!
//! A local read, or one at a revision, may have a lower place than what was answered
//! before it. But the revision that it names is executed once it is answered: it binds
//! what is called later, as any other answer does, and shows nothing that nobody has
//! asked for yet.

use std::collections::BTreeMap;

use super::WitnessViolation;
use crate::operations::{Operation, OperationId, Outcome, Time};

/// Sorted by time; at one time calls come first, so that what only touches counts as
/// overlapping.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Called,
    Answered,
}

pub(super) fn check(
    history: &[Operation],
    executed: &BTreeMap<OperationId, u64>,
) -> Result<(), WitnessViolation> {
    let mut moments: Vec<(Time, Moment, u64, OperationId)> = Vec::with_capacity(2 * history.len());
    for operation in history {
        let Some(place) = place(operation, executed.get(&operation.id).copied()) else { continue };
        if operation.is_of_the_present() {
            moments.push((operation.called, Moment::Called, place, operation.id));
        }
        if let Some((at, ..)) = operation.answered() {
            moments.push((at, Moment::Answered, place, operation.id));
        }
    }
    moments.sort_unstable();
    let mut highest: Option<(u64, OperationId)> = None;
    for (_, moment, place, id) in moments {
        match moment {
            Moment::Called => {
                if let Some((earlier_at, earlier)) = highest
                    && place < earlier_at
                {
                    return Err(WitnessViolation::TimeReversed {
                        earlier,
                        earlier_at,
                        later: id,
                        later_at: place,
                    });
                }
            }
            Moment::Answered => highest = highest.max(Some((place, id))),
        }
    }
    Ok(())
}

/// Where an operation stands; none where it never took effect.
fn place(operation: &Operation, executed: Option<u64>) -> Option<u64> {
    match (executed, &operation.outcome) {
        (Some(revision), _) => Some(2 * revision),
        (None, Outcome::Answered { revision, .. }) => Some(2 * revision + 1),
        (None, Outcome::NotApplied | Outcome::Unknown) => None,
    }
}
