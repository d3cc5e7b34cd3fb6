//! Does the order of revisions contradict the order of time?
//!
//! Each operation has a place: `2 r` for the mutation that made revision r, `2 r + 1` for
//! what saw revision r and changed nothing; who waited for a lock has one where it got in
//! line, and another where it heard of the end. An operation may not have a lower place than
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
use super::places::Place;
use crate::operations::{Operation, OperationId, Time};

/// Sorted by time; at one time calls come first, so that what only touches counts as
/// overlapping.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Called,
    Answered,
}

pub(super) fn check(
    history: &[Operation],
    executed: &BTreeMap<OperationId, Place>,
) -> Result<(), WitnessViolation> {
    let mut moments: Vec<(Time, Moment, u64, OperationId)> = Vec::with_capacity(2 * history.len());
    for operation in history {
        let executed = executed.get(&operation.id).copied();
        let answered = operation.answered();
        let heard_at = answered.map(|(_, revision, _)| 2 * revision + 1);
        let first = executed.map(|executed| 2 * executed.first()).or(heard_at);
        if let Some(first) = first.filter(|_| operation.is_of_the_present()) {
            moments.push((operation.called, Moment::Called, first, operation.id));
        }
        if let Some((at, revision, _)) = answered {
            let last = executed.map(Place::last).filter(|last| *last >= revision);
            let last = last.map_or(2 * revision + 1, |last| 2 * last);
            moments.push((at, Moment::Answered, last, operation.id));
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
