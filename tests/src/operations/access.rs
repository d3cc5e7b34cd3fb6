//! Tokens and policies: what is asked of them, what is heard, and what they are in the
//! reference.

use std::collections::BTreeMap;

use super::{Key, Value};

/// The first token, which may do everything. Nobody ends it.
pub const ROOT: u64 = 0;

/// What a token does, or is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessCall {
    /// Which token.
    pub by: u64,
    /// What.
    pub deed: AccessDeed,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessDeed {
    /// Makes the first token, which no token does.
    Bootstrap,
    /// Makes a token with a policy.
    Create {
        /// Which token.
        token: u64,
        /// Which policy.
        policy: u64,
    },
    /// Ends a token.
    End {
        /// Which.
        token: u64,
    },
    /// Has a policy let keys be written.
    Allow {
        /// Which policy.
        policy: u64,
        /// How the keys begin.
        prefix: Key,
    },
    /// Takes a policy away.
    Forbid {
        /// Which.
        policy: u64,
    },
    /// Writes a key. The first token does that by a call of its own.
    Put {
        /// Which.
        key: Key,
        /// What.
        value: Value,
    },
}

/// What is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessAnswer {
    /// It is done.
    Done,
    /// It is done, and something of the same name was there before.
    Replaced,
    /// The key is written.
    Put,
    /// The first token was made before.
    AlreadyBootstrapped,
    /// The first token is not made.
    NotBootstrapped,
    /// There is such a token.
    TokenExists,
    /// There is no such token.
    NoSuchToken,
    /// There is no such policy.
    NoSuchPolicy,
    /// Who does it is no token.
    Unknown,
    /// The token may not do it.
    Lacking,
}

impl AccessAnswer {
    /// Whether it says that something was executed.
    #[must_use]
    pub fn is_executed(self) -> bool {
        match self {
            Self::Done | Self::Replaced | Self::Put => true,
            Self::AlreadyBootstrapped
            | Self::NotBootstrapped
            | Self::TokenExists
            | Self::NoSuchToken
            | Self::NoSuchPolicy
            | Self::Unknown
            | Self::Lacking => false,
        }
    }
}

impl AccessCall {
    /// The key that it writes.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        if let AccessDeed::Put { key, .. } = &self.deed { Some(key) } else { None }
    }
}

/// The tokens and policies that there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// The policy of each token but the first; none: there is no first one, and everybody may
    /// do everything.
    pub tokens: Option<BTreeMap<u64, u64>>,
    /// How the keys begin that each policy lets be written.
    pub policies: BTreeMap<u64, Key>,
}

impl Permissions {
    /// Does it, but for what it does to keys.
    pub(super) fn execute(&mut self, call: &AccessCall) -> AccessAnswer {
        let AccessCall { by, deed } = call;
        let Some(tokens) = &mut self.tokens else {
            return match deed {
                AccessDeed::Bootstrap => {
                    self.tokens = Some(BTreeMap::new());
                    AccessAnswer::Done
                }
                AccessDeed::Put { .. } => AccessAnswer::Put,
                AccessDeed::Create { .. }
                | AccessDeed::End { .. }
                | AccessDeed::Allow { .. }
                | AccessDeed::Forbid { .. } => AccessAnswer::NotBootstrapped,
            };
        };
        let prefix = match (deed, *by) {
            (AccessDeed::Bootstrap, _) => return AccessAnswer::AlreadyBootstrapped,
            (_, ROOT) => Some(""),
            (_, by) => match tokens.get(&by) {
                Some(policy) => self.policies.get(policy).map(|prefix| &**prefix),
                None => return AccessAnswer::Unknown,
            },
        };
        let may_write = |key: &Key| prefix.is_some_and(|prefix| key.starts_with(prefix));
        match deed {
            AccessDeed::Put { key, .. } if may_write(key) => AccessAnswer::Put,
            _ if *by != ROOT => AccessAnswer::Lacking,
            AccessDeed::Create { token, .. } if tokens.contains_key(token) => {
                AccessAnswer::TokenExists
            }
            AccessDeed::Create { token, policy } => {
                tokens.insert(*token, *policy);
                AccessAnswer::Done
            }
            AccessDeed::End { token } => match tokens.remove(token) {
                Some(_) => AccessAnswer::Done,
                None => AccessAnswer::NoSuchToken,
            },
            AccessDeed::Allow { policy, prefix } => {
                match self.policies.insert(*policy, Key::clone(prefix)) {
                    Some(_) => AccessAnswer::Replaced,
                    None => AccessAnswer::Done,
                }
            }
            AccessDeed::Forbid { policy } => match self.policies.remove(policy) {
                Some(_) => AccessAnswer::Done,
                None => AccessAnswer::NoSuchPolicy,
            },
            AccessDeed::Put { .. } | AccessDeed::Bootstrap => {
                unreachable!("it is told above what comes of it")
            }
        }
    }
}
