//! What comes of what is done to tokens and policies. A format, as all outcomes are: variants
//! and fields are only ever added at the end.

use serde::{Deserialize, Serialize};

use super::policy::PolicyName;
use super::token::Accessor;
use crate::machine::command::limits;

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessDone {
    /// The first token was made, and tokens are required from here on.
    Bootstrapped {
        /// What it is called.
        accessor: Accessor,
    },
    /// A token was made.
    TokenCreated {
        /// What it is called.
        accessor: Accessor,
        /// When it ends, where it does. Milliseconds of replicated time.
        expires_ms: Option<u64>,
    },
    /// A token was ended.
    TokenDeleted,
    /// A policy that did not exist was put.
    PolicyCreated,
    /// A policy that existed was put.
    PolicyReplaced,
    /// A policy was deleted.
    PolicyDeleted,
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum AccessRefused {
    /// The first token was made before.
    #[error("the first token was made already")]
    AlreadyBootstrapped,
    /// There is no first token: nobody could say who may make others.
    #[error("the first token is yet to be made, by a bootstrap")]
    NotBootstrapped,
    /// There is no such token.
    #[error("there is no token {accessor}")]
    NoSuchToken {
        /// Which.
        accessor: Accessor,
    },
    /// There is a token of this secret, or of one that cannot be told from it.
    #[error("there is a token {accessor} already")]
    TokenExists {
        /// What it is called.
        accessor: Accessor,
    },
    /// There is no such policy.
    #[error("there is no policy {name}")]
    NoSuchPolicy {
        /// Which.
        name: PolicyName,
    },
    /// There are as many tokens as may be. This is no first answer.
    #[error("there are {} tokens, as many as may be", limits::TOKENS)]
    TooManyTokens,
    /// There are as many policies as may be. This is no first answer.
    #[error("there are {} policies, as many as may be", limits::POLICIES)]
    TooManyPolicies,
    /// Tokens and policies would take more bytes than they may. This is no first answer.
    #[error("tokens and policies would take more than {} bytes", limits::ACCESS_BYTES)]
    TooLarge,
    /// Somebody would be locked out.
    #[error(transparent)]
    LockOut(LockOut),
}

/// Who would be locked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum LockOut {
    /// There would be no token without an end that has the right to operate the cluster, as
    /// there is now.
    #[error("no token without an end would have the right operate any more")]
    Everybody,
    /// Who asks would not have the right to operate any more.
    #[error("whoever asks would not have the right operate any more")]
    Author,
}

impl AccessRefused {
    /// Whether it says no more than that there is no room now.
    #[must_use]
    pub fn is_for_now(&self) -> bool {
        match self {
            Self::TooManyTokens | Self::TooManyPolicies | Self::TooLarge => true,
            Self::AlreadyBootstrapped
            | Self::NotBootstrapped
            | Self::NoSuchToken { .. }
            | Self::TokenExists { .. }
            | Self::NoSuchPolicy { .. }
            | Self::LockOut(_) => false,
        }
    }
}
