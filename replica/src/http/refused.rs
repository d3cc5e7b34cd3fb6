//! Every way in which the client API says no, and how it says it: one exhaustive match.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use shared::byte_budget::BudgetSpent;
use shared::ids::{Revision, Slot};
use shared::problem::{Outcome, Problem, RETRY_AFTER};

use super::authorize::NotAllowed;
use super::mutation::MutationRefused;
use crate::driver::{NotReleased, TooManyWait};
use crate::http::request::conditions::etag;
use crate::http::request::path::text_of;
use crate::machine::outcome::RollbackRefused;
use crate::replica::event::{Refusal, Stall};
use crate::replica::status::Missing;
use crate::snapshot::{MakeError, NoSnapshot};
use crate::sql::SqlError;
use crate::store::{ReadError, RevisionError, StoreError};
use crate::watch::TooManyWatches;

/// Why a request of the client API has no success to answer with.
#[derive(Debug)]
pub(super) enum Refused {
    /// It is malformed, too large or asks for what is not supported.
    Malformed(Problem),
    /// Whoever asks may not.
    NotAllowed(NotAllowed),
    /// The bodies of other mutations take all the memory that they may.
    BodiesFull(BudgetSpent),
    /// The read was not released.
    NotReleased(NotReleased),
    /// The state did not come to `Synod-Min-Revision` in time.
    Behind { wanted: Revision, reason: NotReleased },
    /// The read is a local one, and this replica does not know how old its state is.
    NeverCurrent { missing: Option<Missing> },
    /// The state was not read.
    Read(ReadError),
    /// The query in SQL gave nothing.
    Sql(SqlError),
    /// There is no snapshot to be had.
    NoSnapshot(NoSnapshot),
    /// As many watch as may.
    TooManyWatches(TooManyWatches),
    /// As many wait for locks as may.
    TooManyWait(TooManyWait),
    /// There is no such key.
    NoSuchKey { key: Bytes, revision: Revision },
    /// There is no such slot yet.
    NoSuchSlot { slot: Slot, executed_below: Slot },
    /// `If-Match` of a read does not hold.
    ReadConditionFailed { revision: Revision, current: Option<Revision> },
    /// The mutation has no success to answer with, here or at the primary.
    Mutation(MutationRefused),
    /// It is not known yet whether what is here is the history of the cluster.
    HistoryUnconfirmed,
    /// The replica ends.
    Closed,
    /// Nobody takes mutations, as far as this replica knows.
    NoPrimary,
    /// What this replica took for the primary is none.
    Astray { asked: String },
    /// The primary cannot be connected to.
    PrimaryUnreachable { primary: String, reason: String },
    /// The primary has not answered in time.
    PrimarySilent { primary: String, waited: Duration },
    /// The primary's answer broke off.
    PrimaryBroke { primary: String, reason: String },
    /// The primary's server has turned the command away for a limit.
    PrimaryOverloaded { primary: String, reason: String },
    /// The primary's server has turned the command away.
    PrimaryTurnedAway { primary: String, reason: String },
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Malformed(problem)
    }
}

impl From<ReadError> for Refused {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<TooManyWatches> for Refused {
    fn from(error: TooManyWatches) -> Self {
        Self::TooManyWatches(error)
    }
}

impl From<NoSnapshot> for Refused {
    fn from(error: NoSnapshot) -> Self {
        Self::NoSnapshot(error)
    }
}

impl From<NotReleased> for Refused {
    fn from(error: NotReleased) -> Self {
        Self::NotReleased(error)
    }
}

/// What a read says; a mutation says with it what became of it (`mutate::finish`).
impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Malformed(problem) => problem,
            Refused::NotAllowed(why) => why.into(),
            Refused::BodiesFull(spent) => Self::overloaded(spent.to_string()),
            Refused::NotReleased(reason) => not_released(&reason),
            Refused::Behind { wanted, reason } => behind(wanted, &reason),
            Refused::NeverCurrent { missing } => never_current(missing),
            Refused::Read(error) => not_read(&error),
            Refused::Sql(error) => error.into(),
            Refused::NoSnapshot(error) => no_snapshot(&error),
            Refused::TooManyWatches(error) => Self::overloaded(error),
            Refused::TooManyWait(error) => Self::overloaded(error),
            Refused::NoSuchKey { key, revision } => Self::not_found(format!(
                "there is no key {:?} at revision {revision}",
                text_of(&key)
            ))
            .with_revision(revision),
            Refused::NoSuchSlot { slot, executed_below } => Self::not_found(format!(
                "slot {slot} is not chosen yet, or not executed here: this replica has executed \
                 the slots below {executed_below}"
            )),
            Refused::ReadConditionFailed { revision, current } => {
                condition_failed("If-Match does not hold", revision, current)
            }
            Refused::Mutation(refused) => refused.into(),
            Refused::Closed => Self::unavailable("the replica is shutting down"),
            Refused::HistoryUnconfirmed => Self::unavailable(
                "it is not known yet that what is here is the history of the cluster",
            ),
            Refused::NoPrimary => Self::unavailable("no primary is known that takes mutations"),
            Refused::Astray { asked } => Self::unavailable(format!(
                "{asked}, which this replica took for the primary, is not"
            )),
            Refused::PrimaryUnreachable { primary, reason } => {
                Self::unavailable(format!("the primary {primary} cannot be connected to: {reason}"))
            }
            Refused::PrimarySilent { primary, waited } => {
                Self::timeout(format!("the primary {primary} did not answer within {waited:?}"))
                    .with_outcome(Outcome::Unknown)
            }
            Refused::PrimaryBroke { primary, reason } => {
                Self::bad_gateway(format!("the primary {primary} broke off: {reason}"))
                    .with_outcome(Outcome::Unknown)
            }
            Refused::PrimaryOverloaded { primary, reason } => {
                Self::overloaded(format!("the primary {primary} says: {reason}"))
            }
            Refused::PrimaryTurnedAway { primary, reason } => {
                Self::unavailable(format!("the primary {primary} has refused: {reason}"))
            }
        }
    }
}

fn not_released(reason: &NotReleased) -> Problem {
    match reason {
        NotReleased::Refused(Refusal::QueueFull(limit)) => Problem::overloaded(limit),
        NotReleased::Refused(Refusal::GivenUp(Stall::Slow)) => {
            Problem::timeout("the read was not released in time: it took too long")
        }
        NotReleased::Refused(Refusal::GivenUp(stall @ (Stall::NoQuorum | Stall::NoLeader))) => {
            Problem::no_quorum(stall.to_string())
        }
        NotReleased::Refused(Refusal::GivenUp(
            stall @ (Stall::Overloaded(_) | Stall::Missing(_)),
        )) => Problem::unavailable(stall.to_string()),
        NotReleased::Closed => Problem::unavailable(reason.to_string()),
    }
}

fn never_current(missing: Option<Missing>) -> Problem {
    let why = missing.map(|missing| format!(": {missing}")).unwrap_or_default();
    Problem::unavailable(format!(
        "this replica has not known itself current since it started, so that nobody knows how \
         old its state is{why}"
    ))
}

pub(super) fn behind(wanted: Revision, reason: &NotReleased) -> Problem {
    match reason {
        NotReleased::Refused(Refusal::QueueFull(limit)) => Problem::overloaded(limit),
        NotReleased::Refused(Refusal::GivenUp(stall)) => Problem::unavailable(format!(
            "this replica has not executed revision {wanted} in time: {stall}"
        )),
        NotReleased::Closed => Problem::unavailable(reason.to_string()),
    }
}

impl From<RollbackRefused> for Problem {
    fn from(refused: RollbackRefused) -> Self {
        let detail = refused.to_string();
        match refused {
            RollbackRefused::Future { .. } => Self::bad_request(detail),
            RollbackRefused::Compacted { oldest, .. } => Self::compacted(detail, oldest),
            RollbackRefused::TooManyKeys | RollbackRefused::TooLarge => Self::above_limit(detail),
        }
    }
}

impl From<RevisionError> for Problem {
    fn from(error: RevisionError) -> Self {
        let detail = error.to_string();
        match error {
            RevisionError::Future { present, .. } => {
                Self::bad_request(detail).with_revision(present)
            }
            RevisionError::Compacted { oldest, .. } => Self::compacted(detail, oldest),
        }
    }
}

fn no_snapshot(error: &NoSnapshot) -> Problem {
    match error {
        NoSnapshot::BeingMade | NoSnapshot::AllSent => Problem::overloaded(error),
        NoSnapshot::NotMade(MakeError::NoRoom { .. }) => {
            Problem::insufficient_storage(error.to_string()).with_retry_after(RETRY_AFTER)
        }
        NoSnapshot::NotMade(MakeError::Failed(_)) => Problem::internal(error.to_string()),
        NoSnapshot::Closed => Problem::unavailable(error.to_string()),
    }
}

fn not_read(error: &ReadError) -> Problem {
    match error {
        ReadError::Overloaded { .. } => Problem::overloaded(error),
        ReadError::Revision(error) => (*error).into(),
        ReadError::Trimmed { .. } => Problem::trimmed(error.to_string()),
        ReadError::Store(StoreError::Full(_) | StoreError::Busy(_)) | ReadError::Closed => {
            Problem::unavailable(error.to_string())
        }
        ReadError::Store(
            StoreError::Damaged(_) | StoreError::Format(_) | StoreError::Failed(_),
        ) => Problem::internal(error.to_string()),
    }
}

pub(super) fn condition_failed(
    what: &str,
    revision: Revision,
    current: Option<Revision>,
) -> Problem {
    let Some(current) = current else {
        return Problem::precondition_failed(format!("{what}: the key does not exist"))
            .with_revision(revision);
    };
    let tag = HeaderValue::from_str(&etag(current)).expect("digits in quotation marks");
    let detail = format!("{what}: the key is at revision {current}");
    Problem::precondition_failed(detail).with_revision(revision).with_header(header::ETAG, tag)
}

#[cfg(test)]
mod tests;
