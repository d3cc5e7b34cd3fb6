//! How a request can fail, told apart by what a caller does about it.

use std::time::Duration;

use http::StatusCode;

use crate::problem::{Problem, Secret};

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 404: there is no such key, slot, lease or lock.
    #[error("{0}")]
    NotFound(Box<Problem>),
    /// 412: a condition or a fence does not hold. Nothing was written.
    #[error("{0}")]
    ConditionFailed(Box<Problem>),
    /// 409: it contradicts what is there, such as a lock that another one holds.
    #[error("{0}")]
    Conflict(Box<Problem>),
    /// 410: what was asked for is not kept any more.
    #[error("{0}")]
    Gone(Box<Problem>),
    /// 401 or 403: it is not allowed.
    #[error("{0}")]
    Denied(Box<Problem>),
    /// The request is at fault: malformed, too large, or its idempotency key belongs to
    /// another one. It was not executed and never will be.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The cluster could not serve it in all the time there was. A mutation was not
    /// executed and never will be.
    #[error("unavailable for {waited:.1?}: {last}")]
    Unavailable {
        /// How long it was tried.
        waited: Duration,
        /// What came of the last attempt.
        last: Failure,
    },
    /// A mutation may have been executed, or may yet be. The same mutation with the same
    /// idempotency key finds out.
    #[error("it is unknown whether it was executed: {last}")]
    UnknownOutcome {
        /// What the mutation was sent with; none where its repeat does no harm without.
        idempotency_key: Option<String>,
        /// What came of the last attempt.
        last: Failure,
    },
    /// The request cannot be said in HTTP. Nothing was sent.
    #[error("{0}")]
    Invalid(String),
    /// The answer is not what the API promises. A mutation may have been executed.
    #[error("{0}")]
    Malformed(String),
}

impl Error {
    /// What the server said, where it said something.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::NotFound(problem)
            | Self::ConditionFailed(problem)
            | Self::Conflict(problem)
            | Self::Gone(problem)
            | Self::Denied(problem)
            | Self::Refused(problem) => Some(problem),
            Self::Unavailable { last, .. } | Self::UnknownOutcome { last, .. } => last.problem(),
            Self::Invalid(_) | Self::Malformed(_) => None,
        }
    }

    /// The secret of the first token, where [`Client::bootstrap`](crate::Client::bootstrap)
    /// may have made that: nobody is told it again.
    #[must_use]
    pub fn secret(&self) -> Option<&Secret> {
        let Self::UnknownOutcome { last: Failure::Answered { secret, .. }, .. } = self else {
            return None;
        };
        secret.as_ref()
    }

    /// The error that a final answer is.
    pub(crate) fn answered(problem: Box<Problem>) -> Self {
        match problem.status {
            401 | 403 => Self::Denied(problem),
            404 => Self::NotFound(problem),
            409 => Self::Conflict(problem),
            410 => Self::Gone(problem),
            412 => Self::ConditionFailed(problem),
            _other => Self::Refused(problem),
        }
    }
}

/// Why one attempt brought no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// Nothing was sent.
    #[error("cannot reach {url}: {reason}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why, in words.
        reason: String,
    },
    /// It was sent, but no whole answer came back.
    #[error("no answer from {url}: {reason}")]
    Lost {
        /// From where.
        url: String,
        /// Why, in words.
        reason: String,
    },
    /// The answer is an error.
    #[error("{problem}")]
    Answered {
        /// The error.
        problem: Box<Problem>,
        /// How long to wait before the next attempt, where that was said.
        retry_after: Option<Duration>,
        /// Of a first token that may have been made, where that was asked for.
        secret: Option<Secret>,
    },
}

impl Failure {
    /// What the server said, where it said something.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Answered { problem, .. } => Some(problem),
            Self::Unreachable { .. } | Self::Lost { .. } => None,
        }
    }

    pub(crate) fn status(&self) -> Option<StatusCode> {
        StatusCode::from_u16(self.problem()?.status).ok()
    }
}
