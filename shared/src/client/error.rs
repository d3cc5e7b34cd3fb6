//! What a caller learns when there is no answer: above all whether the request may have
//! been carried out.

use std::time::Duration;

use http::StatusCode;

use crate::base_url::BaseUrl;
use crate::problem;
use crate::wire::VERSION;

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection: the request was never sent.
    #[error("cannot connect to {url}: {reason}")]
    Connect {
        /// Whom.
        url: BaseUrl,
        /// Why, in words.
        reason: String,
    },
    /// No answer in time; what became of the request is unknown.
    #[error("no answer from {url} within {timeout:?}")]
    Timeout {
        /// From whom.
        url: BaseUrl,
        /// The time-out of the call.
        timeout: Duration,
    },
    /// The connection broke after the request may have been sent; what became of it is
    /// unknown.
    #[error("the connection to {url} broke: {reason}")]
    Broken {
        /// To whom.
        url: BaseUrl,
        /// Why, in words.
        reason: String,
    },
    /// An answer that is no 200.
    #[error("{url} answered {status}: {detail}")]
    Refused {
        /// Who.
        url: BaseUrl,
        /// The HTTP status.
        status: StatusCode,
        /// The problem's detail, or the head of whatever else the body was.
        detail: String,
        /// The problem, if it was one.
        problem: Option<Box<problem::Body>>,
    },
    /// The other side speaks another version of the messages, and did nothing.
    #[error(
        "{url} speaks version {theirs} of the messages between services, and this service version \
         {VERSION}"
    )]
    OtherVersion {
        /// Who.
        url: BaseUrl,
        /// What it says that it speaks.
        theirs: u32,
    },
    /// An answer that is not the expected message.
    #[error("{url} answered nonsense: {reason}")]
    Nonsense {
        /// Who.
        url: BaseUrl,
        /// What is wrong with it.
        reason: String,
    },
}

impl CallError {
    /// Whether the request certainly never reached the other side, so that sending it
    /// elsewhere is safe whatever it asks.
    #[must_use]
    pub fn never_sent(&self) -> bool {
        match self {
            Self::Connect { .. } => true,
            Self::Timeout { .. }
            | Self::Broken { .. }
            | Self::Refused { .. }
            | Self::OtherVersion { .. }
            | Self::Nonsense { .. } => false,
        }
    }

    /// Whether the other side may have done what was asked, or may yet do it.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Broken { .. } | Self::Nonsense { .. } => true,
            Self::Refused { status, problem, .. } => {
                match problem.as_ref().and_then(|problem| problem.outcome) {
                    Some(problem::Outcome::NotApplied) => false,
                    Some(problem::Outcome::Applied | problem::Outcome::Unknown) => true,
                    None => status.is_server_error() && *status != StatusCode::SERVICE_UNAVAILABLE,
                }
            }
            Self::Connect { .. } | Self::OtherVersion { .. } => false,
        }
    }
}
