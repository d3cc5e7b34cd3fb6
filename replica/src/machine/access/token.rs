//! Tokens, and what is done to them and to policies.
//!
//! Of a secret the state has no more than its digest (SHA-256), and the log neither: nobody
//! who reads them can make use of a token. A token is found by its accessor, which follows
//! from that digest, and its digest is then compared as any bytes are. That needs no constant
//! time: how long it takes tells something of a digest, of which a secret of 256 random bits
//! cannot be found.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
pub use shared::ids::Accessor;
use shared::ids::Revision;

use super::policy::{Policy, PolicyName};
use crate::machine::command::{Unreadable, limits, within};

/// The digest (SHA-256) of a token's secret: all that is kept of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// Of a secret, with its prefix, as it stands after `Bearer`.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// The name of the token that has the secret.
    #[must_use]
    pub fn accessor(&self) -> Accessor {
        let digest: [u8; 32] = Sha256::digest(self.0).into();
        let first = digest.first_chunk().expect("a digest has 32 bytes");
        // Zero is no token's.
        Accessor(u64::from_be_bytes(*first).max(1))
    }
}

impl fmt::Debug for SecretHash {
    /// Which token's, and not the digest: that is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretHash(of token {})", self.accessor())
    }
}

/// A token that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The digest of its secret.
    pub secret: SecretHash,
    /// The policies whose rights it has together, in order, each once. One that does not
    /// exist gives nothing.
    pub policies: Vec<PolicyName>,
    /// What it is for, in words.
    pub description: String,
    /// When it ends, where it does. Milliseconds of replicated time.
    pub expires_ms: Option<u64>,
    /// The revision at which it was made.
    pub created_revision: Revision,
    /// The token that made it; none made the first.
    pub created_by: Option<Accessor>,
}

impl Token {
    /// What it is called by.
    #[must_use]
    pub fn accessor(&self) -> Accessor {
        self.secret.accessor()
    }

    /// How long it lasts from a time on, where it ends. Milliseconds.
    #[must_use]
    pub fn remaining_ms(&self, time_ms: u64) -> Option<u64> {
        self.expires_ms.map(|expires_ms| expires_ms.saturating_sub(time_ms))
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        token_size(&self.policies, &self.description)
    }
}

pub(super) fn token_size(policies: &[PolicyName], description: &str) -> usize {
    const FIXED: usize = 64;
    FIXED + names_size(policies) + description.len()
}

/// About how many bytes the names of some policies take.
pub(super) fn names_size(policies: &[PolicyName]) -> usize {
    const FIXED: usize = 32;
    policies.iter().map(|name| FIXED + name.as_str().len()).sum()
}

/// Whether a change is made that would lock somebody out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Force {
    /// It is refused where it would leave no token without an end that may operate, or take
    /// that right from whoever makes it.
    Unforced,
    /// It is made all the same.
    Forced,
}

/// What is done to tokens and policies. A format: variants and fields are only ever added at
/// the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessOp {
    /// Makes the first token, which has the policy `root`, and has tokens required from here
    /// on. Done once.
    Bootstrap {
        /// The digest of its secret.
        secret: SecretHash,
    },
    /// Makes a token.
    CreateToken {
        /// The digest of its secret.
        secret: SecretHash,
        /// The policies whose rights it has, in order, each once, at most
        /// [`limits::TOKEN_POLICIES`].
        policies: Vec<PolicyName>,
        /// For how long, where it ends. Milliseconds of replicated time, from
        /// [`limits::LEAST_TOKEN_TTL_MS`] to [`limits::MOST_TOKEN_TTL_MS`].
        ttl_ms: Option<u64>,
        /// What it is for, at most [`limits::TOKEN_DESCRIPTION_BYTES`].
        description: String,
    },
    /// Ends a token.
    DeleteToken {
        /// Which.
        accessor: Accessor,
        /// Whether also where it locks somebody out.
        force: Force,
    },
    /// Makes a policy, or another one of it.
    PutPolicy {
        /// Which.
        name: PolicyName,
        /// What it is from here on.
        policy: Policy,
        /// Whether also where it locks somebody out.
        force: Force,
    },
    /// Takes a policy away.
    DeletePolicy {
        /// Which.
        name: PolicyName,
        /// Whether also where it locks somebody out.
        force: Force,
    },
}

impl AccessOp {
    pub(in crate::machine) fn check(&self) -> Result<(), Unreadable> {
        match self {
            Self::Bootstrap { .. } | Self::DeleteToken { .. } | Self::DeletePolicy { .. } => Ok(()),
            Self::CreateToken { secret: _, policies, ttl_ms, description } => {
                let count = policies.len();
                within("the number of a token's policies", count, limits::TOKEN_POLICIES)?;
                if !policies.is_sorted_by(|one, next| one < next) {
                    return Err(Unreadable::PoliciesOutOfOrder);
                }
                let bytes = description.len();
                within("the description", bytes, limits::TOKEN_DESCRIPTION_BYTES)?;
                ttl_ms.map_or(Ok(()), check_ttl)
            }
            Self::PutPolicy { name, policy, force: _ } => {
                if name.is_root() {
                    return Err(Unreadable::RootPolicy);
                }
                policy.check()
            }
        }
    }

    /// About how many bytes it takes in a batch.
    pub(in crate::machine) fn size(&self) -> usize {
        match self {
            Self::Bootstrap { .. } | Self::DeleteToken { .. } | Self::DeletePolicy { .. } => 0,
            Self::CreateToken { policies, description, .. } => token_size(policies, description),
            Self::PutPolicy { name, policy, force: _ } => name.as_str().len() + policy.size(),
        }
    }
}

fn check_ttl(ttl_ms: u64) -> Result<(), Unreadable> {
    let (least, most) = (limits::LEAST_TOKEN_TTL_MS, limits::MOST_TOKEN_TTL_MS);
    if (least..=most).contains(&ttl_ms) {
        return Ok(());
    }
    Err(Unreadable::TokenTimeToLive { ttl_ms })
}
