//! Every way in which the client API says no, and how it says it: one exhaustive match.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use shared::byte_budget::BudgetSpent;
use shared::ids::{Revision, Slot};
use shared::problem::{Outcome, Problem, RETRY_AFTER, Retryable};

use crate::driver::NotReleased;
use crate::http::request::conditions::etag;
use crate::http::request::path::text_of;
use crate::replica::event::{NotApplied, Refusal, Stall};
use crate::replica::status::Missing;
use crate::store::{ReadError, StoreError};

/// Why a request of the client API has no success to answer with.
#[derive(Debug)]
pub(super) enum Refused {
    /// It is malformed, too large or asks for what is not supported.
    Malformed(Problem),
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
    /// There is no such key.
    NoSuchKey { key: Bytes, revision: Revision },
    /// There is no such slot yet.
    NoSuchSlot { slot: Slot, executed_below: Slot },
    /// `If-Match` of a read does not hold.
    ReadConditionFailed { revision: Revision, current: Option<Revision> },
    /// The guard of a mutation does not hold.
    GuardFailed { revision: Revision, current: Option<Revision> },
    /// The mutation did not happen.
    NotApplied(NotApplied),
    /// The mutation was proposed and given up.
    Unknown(Stall),
    /// The mutation was executed, but what it deleted could not be counted: for that
    /// reason, or in time.
    Uncounted { revision: Revision, why: Option<Box<Refused>> },
    /// The mutation was under way when the replica ended.
    Lost,
    /// The replica ends.
    Closed,
    /// Nobody takes mutations, as far as this replica knows.
    NoPrimary,
    /// Another replica took this one for the primary.
    Astray,
    /// The primary cannot be connected to.
    PrimaryUnreachable { primary: String, reason: String },
    /// The primary has not answered in time.
    PrimarySilent { primary: String, waited: Duration },
    /// The primary's answer broke off.
    PrimaryBroke { primary: String, reason: String },
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

impl From<NotReleased> for Refused {
    fn from(error: NotReleased) -> Self {
        Self::NotReleased(error)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Malformed(problem) => problem,
            Refused::BodiesFull(spent) => Self::overloaded(spent.to_string()),
            Refused::NotReleased(reason) => not_released(&reason),
            Refused::Behind { wanted, reason } => behind(wanted, &reason),
            Refused::NeverCurrent { missing } => never_current(missing),
            Refused::Read(error) => not_read(&error),
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
            Refused::GuardFailed { revision, current } => {
                condition_failed("nothing was written", revision, current)
                    .with_outcome(Outcome::NotApplied)
            }
            Refused::NotApplied(reason) => not_applied(&reason).with_outcome(Outcome::NotApplied),
            Refused::Unknown(stall) => Self::timeout(format!(
                "the mutation was proposed, but not executed in time: {stall}"
            ))
            .with_outcome(Outcome::Unknown),
            Refused::Uncounted { revision, why } => {
                let problem = match why {
                    None => Self::timeout("the keys were deleted, but not counted in time"),
                    Some(why) => Self::from(*why),
                };
                problem.with_outcome(Outcome::Applied).with_revision(revision)
            }
            Refused::Lost => unknown("the replica ended while the mutation was under way"),
            Refused::Closed => Self::unavailable("the replica is shutting down"),
            Refused::NoPrimary => Self::unavailable("no primary is known that takes mutations"),
            Refused::Astray => Self::unavailable(
                "this replica is not the primary, which another replica took it for",
            ),
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

fn behind(wanted: Revision, reason: &NotReleased) -> Problem {
    match reason {
        NotReleased::Refused(Refusal::QueueFull(limit)) => Problem::overloaded(limit),
        NotReleased::Refused(Refusal::GivenUp(stall)) => Problem::unavailable(format!(
            "this replica has not executed revision {wanted} in time: {stall}"
        )),
        NotReleased::Closed => Problem::unavailable(reason.to_string()),
    }
}

fn not_read(error: &ReadError) -> Problem {
    match error {
        ReadError::Overloaded { .. } => Problem::overloaded(error),
        ReadError::Future { present, .. } => {
            Problem::bad_request(error.to_string()).with_revision(*present)
        }
        ReadError::Compacted { oldest, .. } => Problem::compacted(error.to_string(), *oldest),
        ReadError::Trimmed { .. } => Problem::trimmed(error.to_string()),
        ReadError::Store(StoreError::Full(_) | StoreError::Busy(_)) | ReadError::Closed => {
            Problem::unavailable(error.to_string())
        }
        ReadError::Store(
            StoreError::Damaged(_) | StoreError::Format(_) | StoreError::Failed(_),
        ) => Problem::internal(error.to_string()),
    }
}

fn not_applied(reason: &NotApplied) -> Problem {
    match reason {
        NotApplied::NotPrimary { .. } | NotApplied::PrimaryChanged => {
            Problem::unavailable(reason.to_string())
        }
        NotApplied::QueueFull(limit) => Problem::overloaded(limit),
        NotApplied::IdentityTaken => Problem::unprocessable(reason.to_string()),
        NotApplied::StorageFull => {
            Problem::insufficient_storage(reason.to_string()).with_retry_after(RETRY_AFTER)
        }
        NotApplied::Unreadable(_) => {
            Problem::bad_request(reason.to_string()).with_retryable(Retryable::No)
        }
        NotApplied::GivenUp(stall @ (Stall::NoQuorum | Stall::NoLeader)) => {
            Problem::no_quorum(stall.to_string())
        }
        NotApplied::GivenUp(Stall::Overloaded(_) | Stall::Missing(_)) => {
            Problem::unavailable(reason.to_string())
        }
        NotApplied::GivenUp(Stall::Slow) => Problem::timeout(reason.to_string()),
    }
}

fn unknown(detail: &str) -> Problem {
    let (kind, title) = ("urn:synod:problem:outcome-unknown", "Outcome unknown");
    Problem::new(StatusCode::GATEWAY_TIMEOUT, kind, title, detail).with_outcome(Outcome::Unknown)
}

fn condition_failed(what: &str, revision: Revision, current: Option<Revision>) -> Problem {
    let Some(current) = current else {
        return Problem::precondition_failed(format!("{what}: the key does not exist"))
            .with_revision(revision);
    };
    let tag = HeaderValue::from_str(&etag(current)).expect("digits in quotation marks");
    let detail = format!("{what}: the key is at revision {current}");
    Problem::precondition_failed(detail).with_revision(revision).with_header(header::ETAG, tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::event::LimitHit;

    fn said(refused: Refused) -> (u16, Option<Outcome>, bool) {
        let problem = Problem::from(refused);
        let response = problem.to_http();
        (
            response.status().as_u16(),
            problem.body().outcome,
            response.headers().contains_key("retry-after"),
        )
    }

    #[test]
    fn what_may_have_happened_is_told_from_what_did_not() {
        let limit = LimitHit { name: "things", limit: 3 };
        let (no, unknown) = (Some(Outcome::NotApplied), Some(Outcome::Unknown));
        let primary = || "replica-2".to_owned();
        for (refused, expected) in [
            (Refused::Unknown(Stall::NoQuorum), (504, unknown, false)),
            (Refused::Lost, (504, unknown, false)),
            (
                Refused::PrimarySilent { primary: primary(), waited: Duration::from_secs(1) },
                (504, unknown, false),
            ),
            (
                Refused::PrimaryBroke { primary: primary(), reason: String::new() },
                (502, unknown, false),
            ),
            (
                Refused::PrimaryUnreachable { primary: primary(), reason: String::new() },
                (503, None, true),
            ),
            (Refused::NotApplied(NotApplied::GivenUp(Stall::NoQuorum)), (503, no, true)),
            (Refused::NotApplied(NotApplied::GivenUp(Stall::NoLeader)), (503, no, true)),
            (
                Refused::NotApplied(NotApplied::GivenUp(Stall::Overloaded(
                    "2 acceptors have no room".into(),
                ))),
                (503, no, true),
            ),
            (Refused::NotApplied(NotApplied::GivenUp(Stall::Slow)), (504, no, false)),
            (Refused::NotApplied(NotApplied::PrimaryChanged), (503, no, true)),
            (Refused::NotApplied(NotApplied::QueueFull(limit)), (503, no, true)),
            (Refused::NotApplied(NotApplied::StorageFull), (507, no, true)),
            (Refused::GuardFailed { revision: Revision(3), current: None }, (412, no, false)),
            (
                Refused::NotReleased(NotReleased::Refused(Refusal::GivenUp(Stall::NoQuorum))),
                (503, None, true),
            ),
            (
                Refused::NotReleased(NotReleased::Refused(Refusal::GivenUp(Stall::Slow))),
                (504, None, false),
            ),
            (Refused::NoPrimary, (503, None, true)),
        ] {
            let shown = format!("{refused:?}");
            assert_eq!(said(refused), expected, "{shown}");
        }
    }

    #[test]
    fn a_failed_guard_names_what_is_there() {
        let response = Problem::from(Refused::GuardFailed {
            revision: Revision(9),
            current: Some(Revision(4)),
        })
        .to_http();
        assert_eq!(
            (&response.headers()["etag"], &response.headers()["synod-revision"]),
            (&HeaderValue::from_static("\"4\""), &HeaderValue::from_static("9"))
        );
    }
}
