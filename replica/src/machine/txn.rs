//! Transactions: guards on any keys, and one of two lists of operations, all of which
//! happen at one revision.
//!
//! Like every command a transaction stands in the log as it was asked for, so variants and
//! fields are only ever added at the end. What executing it comes to is in `evaluate`,
//! what of it is told to clients in [`result`].

pub(super) mod evaluate;
pub mod result;
pub(super) mod view;

use std::cmp::Ordering;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::bounded;
use shared::ids::{LeaseId, LogFormat, Revision};

use super::command::{Unreadable, check_content, check_key, limits, within};
use super::format;

/// What a transaction asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Txn {
    /// What must hold of the state before it, all of it, for `then` to be taken.
    #[serde(deserialize_with = "bounded::list")]
    pub guards: Vec<TxnGuard>,
    /// What is done where it holds …
    #[serde(deserialize_with = "bounded::list")]
    pub then: Vec<TxnOp>,
    /// … and where it does not.
    #[serde(deserialize_with = "bounded::list")]
    pub otherwise: Vec<TxnOp>,
}

/// What must hold of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxnGuard {
    /// The key.
    pub key: String,
    /// What is compared with what.
    pub comparison: Comparison,
}

/// A comparison of what is there with what is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// Whether the key exists.
    Exists(bool),
    /// Its modification revision; 0 where it does not exist.
    Revision(Relation, Revision),
    /// Its version; 0 where it does not exist.
    Version(Relation, u64),
    /// Its value, by bytes. Of a key that does not exist nothing holds but that its value
    /// is another one.
    Value(Relation, Bytes),
}

/// How what is there must stand to what is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relation {
    /// The same.
    Equal,
    /// Not the same.
    NotEqual,
    /// Below it.
    Less,
    /// Above it.
    Greater,
}

/// One operation of a transaction. Later ones see what earlier ones did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TxnOp {
    /// Stores a value under a key.
    Put(Box<TxnPut>),
    /// Removes a key.
    Delete {
        /// The key.
        key: String,
    },
    /// Removes every key that starts so; all keys where the prefix is empty.
    DeletePrefix {
        /// The beginning of the keys.
        prefix: String,
    },
    /// Reads a key.
    Get {
        /// The key.
        key: String,
    },
    /// Reads the first keys, by byte order, that start so.
    GetPrefix {
        /// The beginning of the keys.
        prefix: String,
        /// The most keys, at most [`limits::TXN_GET_ITEMS`].
        limit: u32,
    },
    /// Stores a value under a key that goes when a lease ends. Only in a log of the format
    /// [`LEASES`](super::format::LEASES).
    LeasedPut(LeaseId, Box<TxnPut>),
}

/// What is stored, and under which key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxnPut {
    /// The key.
    pub key: String,
    /// The bytes.
    pub value: Bytes,
    /// What they are said to be.
    pub content_type: Option<String>,
}

/// More than postcard takes for a guard or an operation beside its key and its bytes.
const FIXED: usize = 24;

impl Relation {
    /// Whether it is so, given how what is there stands to what is given.
    #[must_use]
    pub fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::Greater => order.is_gt(),
        }
    }
}

impl Txn {
    /// What is done where the guards hold, or where they do not.
    #[must_use]
    pub fn branch(&self, guards: Guards) -> &[TxnOp] {
        match guards {
            Guards::Hold => &self.then,
            Guards::Fail => &self.otherwise,
        }
    }

    /// The lowest format of the log that has it.
    pub(super) fn format(&self) -> LogFormat {
        let is_leased = self.branches().into_iter().flatten().any(|op| op.lease().is_some());
        if is_leased { format::LEASES } else { format::TRANSACTIONS }
    }

    fn branches(&self) -> [&[TxnOp]; 2] {
        [&self.then, &self.otherwise]
    }

    /// The keys that it names, each as often as it does.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let guarded = self.guards.iter().map(|guard| guard.key.as_str());
        guarded.chain(self.branches().into_iter().flatten().filter_map(TxnOp::key))
    }

    /// How many prefixes it deletes at most.
    #[must_use]
    pub fn ranges(&self) -> usize {
        let of =
            |branch: &[TxnOp]| branch.iter().filter(|op| op.deleted_prefix().is_some()).count();
        self.branches().into_iter().map(of).max().unwrap_or(0)
    }

    pub(super) fn check(&self) -> Result<(), Unreadable> {
        let operations = self.then.len() + self.otherwise.len();
        within("a transaction's number of guards", self.guards.len(), limits::TXN_OPERATIONS)?;
        within("a transaction's number of operations", operations, limits::TXN_OPERATIONS)?;
        within("a transaction's deletions of prefixes", self.ranges(), limits::TXN_RANGES)?;
        self.guards.iter().try_for_each(TxnGuard::check)?;
        self.branches().into_iter().flatten().try_for_each(TxnOp::check)
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        let guards: usize = self.guards.iter().map(TxnGuard::size).sum();
        guards + self.branches().into_iter().flatten().map(TxnOp::size).sum::<usize>()
    }
}

/// Whether a transaction's guards hold: which branch is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Guards {
    /// All of them do: `then`.
    Hold,
    /// One does not: `else`.
    Fail,
}

impl TxnGuard {
    fn check(&self) -> Result<(), Unreadable> {
        check_key(&self.key)?;
        match &self.comparison {
            Comparison::Value(_, value) => within("the value", value.len(), limits::VALUE_BYTES),
            Comparison::Exists(_) | Comparison::Revision(..) | Comparison::Version(..) => Ok(()),
        }
    }

    fn size(&self) -> usize {
        let value = match &self.comparison {
            Comparison::Value(_, value) => value.len(),
            Comparison::Exists(_) | Comparison::Revision(..) | Comparison::Version(..) => 0,
        };
        FIXED + self.key.len() + value
    }
}

impl TxnOp {
    /// The one key that it is about.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Put(put) | Self::LeasedPut(_, put) => Some(&put.key),
            Self::Delete { key } | Self::Get { key } => Some(key),
            Self::DeletePrefix { .. } | Self::GetPrefix { .. } => None,
        }
    }

    /// What it stores.
    #[must_use]
    pub fn put(&self) -> Option<&TxnPut> {
        match self {
            Self::Put(put) | Self::LeasedPut(_, put) => Some(put),
            Self::Delete { .. }
            | Self::DeletePrefix { .. }
            | Self::Get { .. }
            | Self::GetPrefix { .. } => None,
        }
    }

    /// The lease that what it stores goes with.
    #[must_use]
    pub fn lease(&self) -> Option<LeaseId> {
        match self {
            Self::LeasedPut(lease, _) => Some(*lease),
            Self::Put(_)
            | Self::Delete { .. }
            | Self::DeletePrefix { .. }
            | Self::Get { .. }
            | Self::GetPrefix { .. } => None,
        }
    }

    /// The prefix that it deletes.
    #[must_use]
    pub fn deleted_prefix(&self) -> Option<&str> {
        match self {
            Self::DeletePrefix { prefix } => Some(prefix),
            Self::Put(_)
            | Self::LeasedPut(..)
            | Self::Delete { .. }
            | Self::Get { .. }
            | Self::GetPrefix { .. } => None,
        }
    }

    /// Whether it may change something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        match self {
            Self::Put(_)
            | Self::LeasedPut(..)
            | Self::Delete { .. }
            | Self::DeletePrefix { .. } => true,
            Self::Get { .. } | Self::GetPrefix { .. } => false,
        }
    }

    /// Whether it takes back what a put of this key did.
    pub(super) fn overwrites(&self, key: &str) -> bool {
        match self {
            Self::Put(put) | Self::LeasedPut(_, put) => put.key == key,
            Self::Delete { key: deleted } => deleted == key,
            Self::DeletePrefix { prefix } => key.starts_with(prefix),
            Self::Get { .. } | Self::GetPrefix { .. } => false,
        }
    }

    fn check(&self) -> Result<(), Unreadable> {
        match self {
            Self::Put(put) | Self::LeasedPut(_, put) => {
                check_key(&put.key)?;
                check_content(&put.value, put.content_type.as_deref())
            }
            Self::Delete { key } | Self::Get { key } => check_key(key),
            Self::DeletePrefix { prefix } => within("the prefix", prefix.len(), limits::KEY_BYTES),
            Self::GetPrefix { prefix, limit } => {
                let limit = usize::try_from(*limit).unwrap_or(usize::MAX);
                within("the limit of a get", limit, limits::TXN_GET_ITEMS)?;
                within("the prefix", prefix.len(), limits::KEY_BYTES)
            }
        }
    }

    fn size(&self) -> usize {
        FIXED
            + match self {
                Self::Put(put) | Self::LeasedPut(_, put) => {
                    let content_type = put.content_type.as_ref().map_or(0, String::len);
                    put.key.len() + put.value.len() + content_type
                }
                Self::Delete { key } | Self::Get { key } => key.len(),
                Self::DeletePrefix { prefix } | Self::GetPrefix { prefix, .. } => prefix.len(),
            }
    }
}
