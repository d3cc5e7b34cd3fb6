//! What mutations of tokens and policies come to, as clients are told.

use axum::response::Response;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use shared::ids::{Accessor, Revision};
use shared::problem::{Problem, Retryable};

use super::{Mutated, Performed, said};
use crate::machine::access::Token;
use crate::machine::access::outcome::{AccessDone, AccessRefused};
use crate::machine::execute::Delivery;

/// A token was ended, or a policy changed.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct AccessChanged {
    revision: Revision,
}

impl AccessChanged {
    /// One for the contract.
    pub(in crate::http) fn example() -> Self {
        Self { revision: Revision(42) }
    }
}

impl Performed {
    /// What is said of a first token that was found to have been made.
    pub(in crate::http) fn bootstrapped(accessor: Accessor, token: &Token) -> Self {
        let (revision, done) = (token.created_revision, AccessDone::Bootstrapped { accessor });
        Self { mutated: Mutated::Access { revision, done }, delivery: Delivery::First }
    }
}

/// The answer to the client that asked for this. What tells of a secret is answered where that
/// was drawn.
pub(super) fn response(done: &AccessDone, revision: Revision) -> Response {
    let mut response = said(&AccessChanged { revision }, revision);
    let is_new = match done {
        AccessDone::Bootstrapped { .. }
        | AccessDone::TokenCreated { .. }
        | AccessDone::PolicyCreated => true,
        AccessDone::TokenDeleted | AccessDone::PolicyReplaced | AccessDone::PolicyDeleted => false,
    };
    if is_new {
        *response.status_mut() = StatusCode::CREATED;
    }
    response
}

impl From<AccessRefused> for Problem {
    fn from(why: AccessRefused) -> Self {
        let detail = why.to_string();
        match why {
            AccessRefused::NoSuchToken { .. } | AccessRefused::NoSuchPolicy { .. } => {
                Self::not_found(detail).with_retryable(Retryable::No)
            }
            AccessRefused::AlreadyBootstrapped
            | AccessRefused::NotBootstrapped
            | AccessRefused::TokenExists { .. }
            | AccessRefused::LockOut(_) => Self::conflict(detail).with_retryable(Retryable::No),
            AccessRefused::TooManyTokens
            | AccessRefused::TooManyPolicies
            | AccessRefused::TooLarge => Self::overloaded(detail),
        }
    }
}
