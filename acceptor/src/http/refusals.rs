//! What is refused, as problems.

use http::StatusCode;
use shared::deadline::Elapsed;
use shared::problem::{Problem, Retryable};

use crate::acceptor::{AcceptError, Malformed};
use crate::handle::Refusal;

pub(super) fn late(elapsed: Elapsed) -> Problem {
    Problem::timeout(format!("{elapsed} while the log was busy"))
}

pub(super) fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Busy { limit } => Problem::overloaded(format!("{limit} wait for the log")),
        Refusal::Full(spent) => Problem::overloaded(spent.to_string()),
        Refusal::Broken(error) => broken(error),
        Refusal::NoSpace(_) => {
            Problem::insufficient_storage(refusal.to_string()).with_retryable(Retryable::Yes)
        }
        Refusal::Closed => Problem::unavailable(refusal.to_string()),
    }
}

fn broken(error: AcceptError) -> Problem {
    let detail = error.to_string();
    match error {
        AcceptError::Malformed(Malformed::ValueTooLarge { limit, .. }) => {
            Problem::too_large("value", limit)
        }
        AcceptError::Malformed(
            Malformed::TooManyProposals { .. }
            | Malformed::Unordered { .. }
            | Malformed::SlotTooFar { .. }
            | Malformed::TrimAboveChosen { .. }
            | Malformed::TooFar(_),
        ) => Problem::bad_request(detail),
        AcceptError::Conflict { .. } => Problem::new(
            StatusCode::CONFLICT,
            "urn:synod:problem:two-values",
            "Two values for a slot at one ballot",
            detail,
        )
        .with_retryable(Retryable::No),
    }
}
