//! How clients are told of a mutation that came to nothing, or of which that is not known.

use http::{HeaderValue, StatusCode};
use shared::ids::Revision;
use shared::problem::{Outcome, Problem, RETRY_AFTER, Retryable};

use super::{MutationRefused, NotCounted, REPLAYED};
use crate::http::refused::{behind, condition_failed};
use crate::machine::command::limits;
use crate::machine::execute::Delivery;
use crate::replica::event::{NotApplied, Stall};
use crate::store::RevisionError;

impl From<MutationRefused> for Problem {
    fn from(refused: MutationRefused) -> Self {
        match refused {
            MutationRefused::Behind { wanted, reason } => behind(wanted, &reason),
            MutationRefused::GuardFailed { revision, current, delivery } => {
                let problem = condition_failed("nothing was written", revision, current)
                    .with_outcome(Outcome::NotApplied);
                replayed(problem, delivery)
            }
            MutationRefused::KeyReused { revision } => Self::unprocessable(
                "the Idempotency-Key was used for another request: take a new one",
            )
            .with_revision(revision)
            .with_outcome(Outcome::NotApplied),
            MutationRefused::TooManyKeys { revision } => Self::overloaded(
                "too many idempotency keys: as many first answers are kept as may be",
            )
            .with_revision(revision)
            .with_outcome(Outcome::NotApplied),
            MutationRefused::TxnTooLarge { revision, delivery } => {
                let limit = "transaction's gets";
                let problem = Self::too_large(limit, limits::TXN_RESULT_BYTES)
                    .with_revision(revision)
                    .with_outcome(Outcome::NotApplied);
                replayed(problem, delivery)
            }
            MutationRefused::Rollback { revision, why, delivery } => {
                let problem =
                    Self::from(why).with_revision(revision).with_outcome(Outcome::NotApplied);
                replayed(problem, delivery)
            }
            MutationRefused::CompactionAhead { revision, asked, delivery } => {
                let ahead = RevisionError::Future { asked, present: revision };
                replayed(Self::from(ahead).with_outcome(Outcome::NotApplied), delivery)
            }
            MutationRefused::TxnWithoutRoom { revision } => {
                let limit = limits::BATCH_RESULT_BYTES;
                Self::overloaded(format!(
                    "the transactions that are executed together would read more than {limit} bytes"
                ))
                .with_revision(revision)
                .with_outcome(Outcome::NotApplied)
            }
            MutationRefused::Tenure { revision, why, delivery } => {
                let problem = Self::from(why).with_revision(revision);
                replayed(problem.with_outcome(Outcome::NotApplied), delivery)
            }
            MutationRefused::Access { revision, why, delivery } => {
                let problem = Self::from(why).with_revision(revision);
                replayed(problem.with_outcome(Outcome::NotApplied), delivery)
            }
            MutationRefused::Denied { revision, why } => {
                Self::from(why).with_revision(revision).with_outcome(Outcome::NotApplied)
            }
            MutationRefused::NotApplied(reason) => {
                not_applied(&reason).with_outcome(Outcome::NotApplied)
            }
            MutationRefused::Unknown(stall) => Self::timeout(format!(
                "the mutation was proposed, but not executed in time: {stall}"
            ))
            .with_outcome(Outcome::Unknown),
            MutationRefused::Uncounted { revision, why } => {
                not_counted(revision, why).with_outcome(Outcome::Applied).with_revision(revision)
            }
            MutationRefused::Lost => {
                let (kind, title) = ("urn:synod:problem:outcome-unknown", "Outcome unknown");
                let detail = "the replica ended while the mutation was under way";
                Self::new(StatusCode::GATEWAY_TIMEOUT, kind, title, detail)
                    .with_outcome(Outcome::Unknown)
            }
            MutationRefused::Forgotten => {
                let (kind, title) = ("urn:synod:problem:outcome-unknown", "Outcome unknown");
                let detail = "it was sent before, and what came of it is not known any more";
                Self::new(StatusCode::GATEWAY_TIMEOUT, kind, title, detail)
                    .with_retryable(Retryable::No)
                    .with_outcome(Outcome::Unknown)
            }
            MutationRefused::Closed => Self::unavailable("the replica is shutting down"),
            MutationRefused::BodiesFull(spent) => Self::overloaded(spent),
            MutationRefused::OtherCluster { own: None } => {
                Self::unavailable("the primary does not know its cluster yet")
            }
            MutationRefused::OtherCluster { own: Some(own) } => Self::unavailable(format!(
                "what was taken for the primary belongs to cluster {own}, another one"
            )),
        }
    }
}

fn replayed(problem: Problem, delivery: Delivery) -> Problem {
    match delivery {
        Delivery::First => problem,
        Delivery::Replayed => problem.with_header(REPLAYED, HeaderValue::from_static("true")),
    }
}

fn not_counted(revision: Revision, why: NotCounted) -> Problem {
    match why {
        NotCounted::Late => Problem::timeout("the keys were deleted, but not counted in time"),
        NotCounted::Behind(reason) => behind(revision, &reason),
        NotCounted::Overloaded(said) => Problem::overloaded(said),
        NotCounted::Compacted { said, oldest } => Problem::compacted(said, oldest),
        NotCounted::Unavailable(said) => Problem::unavailable(said),
        NotCounted::Failed(said) => Problem::internal(said),
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
        NotApplied::FormatNotReached { .. } => Problem::unavailable(reason.to_string()),
    }
}
