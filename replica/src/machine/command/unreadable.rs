//! What is wrong with a batch that nobody can execute.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::limits;

/// Why the payload of a batch cannot be executed, by anyone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Unreadable {
    /// The bytes are not the encoding of exactly one [`Commands`](super::Commands).
    #[error("the {0} bytes are not the encoding of commands")]
    NotCommands(usize),
    /// A limit of the format is passed.
    #[error("{what} is {actual}, above the limit of {limit}")]
    OverLimit {
        /// What is too much.
        what: Cow<'static, str>,
        /// How much there is.
        actual: u64,
        /// How much there may be.
        limit: u64,
    },
    /// Keys are not empty.
    #[error("a key is empty")]
    EmptyKey,
    /// A lease would last too short or too long.
    #[error(
        "a lease's time to live is {ttl_ms} ms, and the limits are {} to {} ms",
        limits::LEAST_TTL_MS,
        limits::MOST_TTL_MS
    )]
    TimeToLive {
        /// How long it would last.
        ttl_ms: u64,
    },
    /// Names of locks are not empty.
    #[error("the name of a lock is empty")]
    EmptyName,
    /// One fence is the limit.
    #[error("a fence is within another")]
    FenceInFence,
    /// One token is the limit, and it stands outside.
    #[error("who does it stands within something else")]
    AttributedWithin,
    /// A token would last too short or too long.
    #[error(
        "a token's time to live is {ttl_ms} ms, and the limits are {} to {} ms",
        limits::LEAST_TOKEN_TTL_MS,
        limits::MOST_TOKEN_TTL_MS
    )]
    TokenTimeToLive {
        /// How long it would last.
        ttl_ms: u64,
    },
    /// The policy `root` is always there.
    #[error("the policy \"root\" is always there, and is not put")]
    RootPolicy,
    /// A token's policies stand in order, each once.
    #[error("the policies of a token are not in order, each once")]
    PoliciesOutOfOrder,
    /// Who is vouched for, and by whom, can be seen.
    #[error("the issuer or the subject is empty, or has characters that are not visible")]
    Subject,
    /// No issuer gives the policy `root`.
    #[error("the policy \"root\" is in no issuer's gift")]
    RootIssued,
}

pub(in crate::machine) fn check_content(
    value: &[u8],
    content_type: Option<&str>,
) -> Result<(), Unreadable> {
    within("the value", value.len(), limits::VALUE_BYTES)?;
    let content_type = content_type.map_or(0, str::len);
    within("the content type", content_type, limits::CONTENT_TYPE_BYTES)
}

pub(in crate::machine) fn check_key(key: &str) -> Result<(), Unreadable> {
    if key.is_empty() {
        Err(Unreadable::EmptyKey)
    } else {
        within("the key", key.len(), limits::KEY_BYTES)
    }
}

pub(in crate::machine) fn within(
    what: &'static str,
    actual: usize,
    limit: usize,
) -> Result<(), Unreadable> {
    if actual <= limit {
        Ok(())
    } else {
        Err(Unreadable::OverLimit {
            what: Cow::Borrowed(what),
            actual: actual as u64,
            limit: limit as u64,
        })
    }
}
