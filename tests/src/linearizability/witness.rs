//! The checker that takes the replicated log for the order of all operations and proves
//! it right, in O(n log n).
//!
//! The witness is the list of executed mutations, one for each revision. A mutation
//! stands at its revision, a read or a failed guard right after the revision that its
//! answer names. The history is linearizable in that order when
//!
//! - the answers are what replaying the witness gives: contents, guards and counts
//!   (`versions`), whole listings (`listings`);
//! - every executed mutation was asked for, once, and every answered one was executed, at
//!   the revision answered (`places`);
//! - what was promised not to happen did not;
//! - the order does not contradict time: nothing stands before what was answered before
//!   it was called (`real_time`);
//! - what was dropped before it was called is not there (`dropped`).
//!
//! A read at a revision must have the contents of just that one, and a local read those
//! of the one that it names, at least the one it asked for. Both may be older than
//! anything that was answered before; what is called later may not be older than they.

mod dropped;
mod listings;
mod places;
mod real_time;
mod versions;

use std::collections::BTreeMap;

use places::Place;
pub use versions::Versions;

use crate::operations::{
    Answer, Call, Consistency, Guard, Operation, OperationId, Outcome, Seen, TenureAnswer, Version,
};

/// One executed mutation as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The operation that it stems from.
    pub operation: OperationId,
    /// What it asks for.
    pub call: Call,
}

/// Every executed mutation: the first made revision 1, and so on without a gap. A command
/// whose guard failed made none.
pub type Witness = [Write];

/// Why a history does not go with its witness.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessViolation {
    /// One call was executed more than once.
    #[error("{operation:?} was executed at revision {first} and again at {second}")]
    ExecutedTwice {
        /// Which.
        operation: OperationId,
        /// Where first.
        first: u64,
        /// Where again.
        second: u64,
    },
    /// The log holds what nobody asked for, or not what was asked for.
    #[error(
        "revision {revision} executed {executed:?} for {operation:?}, which asked for {called:?}"
    )]
    NotAskedFor {
        /// Where.
        revision: u64,
        /// Under whose name.
        operation: OperationId,
        /// What was executed.
        executed: Box<Call>,
        /// What was called, if it was.
        called: Option<Box<Call>>,
    },
    /// A mutation was executed although its guard did not hold.
    #[error(
        "revision {revision} executed {operation:?} although its guard {guard:?} did not hold of \
         {before:?}"
    )]
    GuardIgnored {
        /// Where.
        revision: u64,
        /// Which.
        operation: OperationId,
        /// Its guard.
        guard: Guard,
        /// What the key was.
        before: Option<Version>,
    },
    /// An acknowledged mutation is not where its answer says.
    #[error("{operation:?} was answered with revision {answered} but executed at {executed:?}")]
    LostWrite {
        /// Which.
        operation: OperationId,
        /// The revision of its answer.
        answered: u64,
        /// Where the log has it, if it does.
        executed: Option<u64>,
    },
    /// What was promised never to happen happened.
    #[error("{operation:?} was answered as not applied but executed at revision {executed}")]
    AppliedAfterAll {
        /// Which.
        operation: OperationId,
        /// Where.
        executed: u64,
    },
    /// An answer is not that of the state at its revision.
    #[error(
        "{operation:?} was answered {answer:?} at revision {revision}, where the state has \
         {state:?}"
    )]
    WrongAnswer {
        /// Which.
        operation: OperationId,
        /// What was answered.
        answer: Answer,
        /// At which revision.
        revision: u64,
        /// What it should have been.
        state: String,
    },
    /// An answer names a revision that was never executed.
    #[error("{operation:?} was answered at revision {revision}, but the log ends at {end}")]
    FromTheFuture {
        /// Which.
        operation: OperationId,
        /// The revision of its answer.
        revision: u64,
        /// The last executed revision.
        end: u64,
    },
    /// An operation stands before another that was answered before it was called.
    #[error(
        "{later:?} was called after {earlier:?} was answered, but stands before it: at {later_at} \
         and {earlier_at} (twice the revision, one more for what reads)"
    )]
    TimeReversed {
        /// The operation that was answered first.
        earlier: OperationId,
        /// Where it stands.
        earlier_at: u64,
        /// The operation that was called after.
        later: OperationId,
        /// Where it stands.
        later_at: u64,
    },
    /// A local read is older than it was asked to be.
    #[error("{operation:?} asked for at least revision {asked} and was answered from {answered}")]
    TooOld {
        /// Which.
        operation: OperationId,
        /// What it asked for.
        asked: u64,
        /// What it got.
        answered: u64,
    },
    /// What was dropped is there.
    #[error("{operation:?} asked for revision {asked}, and the oldest one was {oldest} by then")]
    NotDropped {
        /// Which.
        operation: OperationId,
        /// What it asked for.
        asked: u64,
        /// What was said to be the oldest before.
        oldest: u64,
    },
    /// A read at a revision shows another.
    #[error("{operation:?} asked for revision {asked} and was answered with {answered}")]
    OtherRevision {
        /// Which.
        operation: OperationId,
        /// What it asked for.
        asked: u64,
        /// What it got.
        answered: u64,
    },
}

/// Checks a whole history against its witness.
///
/// # Errors
/// The first violation found.
pub fn check(history: &[Operation], witness: &Witness) -> Result<(), WitnessViolation> {
    let calls: BTreeMap<OperationId, &Operation> =
        history.iter().map(|operation| (operation.id, operation)).collect();
    let executed = places::of_each(&calls, witness)?;
    let versions = Versions::replay(witness)?;
    for operation in history {
        check_outcome(operation, executed.get(&operation.id).copied(), &versions)?;
    }
    listings::check(history, witness)?;
    dropped::check(history)?;
    real_time::check(history, &executed)
}

fn check_outcome(
    operation: &Operation,
    executed: Option<Place>,
    versions: &Versions,
) -> Result<(), WitnessViolation> {
    let id = operation.id;
    match &operation.outcome {
        Outcome::Unknown => Ok(()),
        Outcome::NotApplied => match executed.map(Place::last) {
            Some(executed) => Err(WitnessViolation::AppliedAfterAll { operation: id, executed }),
            None => Ok(()),
        },
        Outcome::Answered { revision, .. } if *revision > versions.end() => {
            Err(WitnessViolation::FromTheFuture {
                operation: id,
                revision: *revision,
                end: versions.end(),
            })
        }
        Outcome::Answered { revision, answer, .. } => {
            let is_right = match (executed, answer.says_executed()) {
                // What came of the wait is told when it is over.
                (Some(Place::At(since)), _) if places::may_wait(&operation.call) => {
                    since <= *revision
                }
                (Some(Place::Left { at, .. }), _) => at == *revision,
                (executed, Some(says)) => executed.map(Place::last) == says.then_some(*revision),
                // It may have been so before.
                (executed, None) => executed.is_none_or(|executed| executed.last() == *revision),
            };
            if !is_right {
                let (answered, executed) = (*revision, executed.map(Place::last));
                return Err(WitnessViolation::LostWrite { operation: id, answered, executed });
            }
            check_answer(operation, *revision, answer, versions)
        }
    }
}

fn check_answer(
    operation: &Operation,
    revision: u64,
    answer: &Answer,
    versions: &Versions,
) -> Result<(), WitnessViolation> {
    let id = operation.id;
    let wrong = |state: String| WitnessViolation::WrongAnswer {
        operation: id,
        answer: answer.clone(),
        revision,
        state,
    };
    match (&operation.call, answer) {
        (Call::Read { key, at, consistency }, Answer::Read(seen)) => {
            check_revision(id, *at, *consistency, revision)?;
            let state = versions.at(key, revision);
            if state.map(Seen::from) == *seen { Ok(()) } else { Err(wrong(format!("{state:?}"))) }
        }
        // What is listed, and what transactions came to, is looked at in order of the
        // revisions.
        (Call::Transaction(_), Answer::Transaction(_)) => Ok(()),
        (Call::List { at, consistency, .. }, Answer::Listed(_)) => {
            check_revision(id, *at, *consistency, revision)
        }
        (
            Call::Read { at: Some(at), consistency, .. }
            | Call::List { at: Some(at), consistency, .. },
            Answer::NotYet,
        ) => {
            if *at <= revision {
                return Err(wrong(format!("revision {at}")));
            }
            check_revision(id, None, *consistency, revision)
        }
        (Call::Rollback { to, .. }, Answer::NotYet) if *to > revision => Ok(()),
        (Call::Rollback { .. }, Answer::RolledBack { restored, deleted }) => {
            let changed = (versions.written_by(revision), versions.deleted_by(revision));
            if changed == (*restored, *deleted) {
                Ok(())
            } else {
                Err(wrong(format!("{changed:?}")))
            }
        }
        (
            Call::Read { at: Some(at), consistency, .. }
            | Call::List { at: Some(at), consistency, .. },
            Answer::Gone { oldest },
        ) if at < oldest && *oldest <= revision => check_revision(id, None, *consistency, revision),
        (Call::Rollback { to, .. }, Answer::Gone { oldest }) if to < oldest => Ok(()),
        (Call::Compact { below }, Answer::NotYet) if *below > revision => Ok(()),
        (Call::Compact { below }, Answer::Compacted { below: said })
            if below <= said && *said <= revision =>
        {
            Ok(())
        }
        (Call::Put { .. }, Answer::Put) | (Call::Append { .. }, Answer::Appended) => Ok(()),
        (Call::Tenure(_), Answer::Tenure(TenureAnswer::Ended(count))) => {
            let deleted = versions.deleted_by(revision);
            if deleted == *count { Ok(()) } else { Err(wrong(format!("{deleted} keys deleted"))) }
        }
        // Looked at in order of the revisions.
        (Call::Tenure(_), Answer::Tenure(_)) | (Call::Access(_), Answer::Access(_)) => Ok(()),
        (Call::Delete { .. } | Call::DeletePrefix { .. }, Answer::Deleted(count)) => {
            let deleted = versions.deleted_by(revision);
            if deleted == *count { Ok(()) } else { Err(wrong(format!("{deleted} keys deleted"))) }
        }
        (Call::Put { key, guard, .. } | Call::Delete { key, guard }, Answer::GuardFailed) => {
            let state = versions.at(key, revision);
            if guard.holds(state.map(|key| key.modified)) {
                Err(wrong(format!("{state:?}, of which {guard:?} holds")))
            } else {
                Ok(())
            }
        }
        (_, _) => Err(wrong("no such answer to such a call".to_owned())),
    }
}

/// Whether a read speaks of a revision that it was allowed to.
fn check_revision(
    operation: OperationId,
    at: Option<u64>,
    consistency: Consistency,
    answered: u64,
) -> Result<(), WitnessViolation> {
    match (at, consistency) {
        (Some(asked), _) if asked != answered => {
            Err(WitnessViolation::OtherRevision { operation, asked, answered })
        }
        (None, Consistency::Local { at_least: asked }) if answered < asked => {
            Err(WitnessViolation::TooOld { operation, asked, answered })
        }
        (Some(_), _) | (None, Consistency::Linearizable | Consistency::Local { .. }) => Ok(()),
    }
}
