//! What clients ask for.

use std::sync::Arc;

use super::{AccessCall, Listing, TenureCall, Transaction, Value};

/// A key. Cheap to clone: histories name the same few keys over and over.
pub type Key = Arc<str>;

/// The compare of a compare-and-swap: what must hold of the key for a mutation to be
/// executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Nothing.
    Always,
    /// It was last written at this revision (`If-Match: "M"`).
    Revision(u64),
    /// It exists (`If-Match: *`).
    Exists,
    /// It does not exist (`If-None-Match: *`).
    Absent,
}

/// How new the state must be that a read is answered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// As new as any answer given before it was asked.
    Linearizable,
    /// Whatever the replica has, but at least this revision (`Synod-Min-Revision`; 0 asks
    /// for nothing).
    Local {
        /// The oldest revision that the reader takes.
        at_least: u64,
    },
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Reads one key.
    Read {
        /// Which.
        key: Key,
        /// As of this revision; none: as it is.
        at: Option<u64>,
        /// In a state that is how new.
        consistency: Consistency,
    },
    /// Reads a page of the keys that exist.
    List {
        /// Which.
        listing: Listing,
        /// As of this revision; none: as they are.
        at: Option<u64>,
        /// In a state that is how new.
        consistency: Consistency,
    },
    /// Writes one key.
    Put {
        /// Which.
        key: Key,
        /// What.
        value: Value,
        /// On which condition.
        guard: Guard,
    },
    /// Deletes one key, which need not exist.
    Delete {
        /// Which.
        key: Key,
        /// On which condition.
        guard: Guard,
    },
    /// Deletes all keys that start with a prefix.
    DeletePrefix {
        /// Which.
        prefix: Key,
    },
    /// Does several things as one.
    Transaction(Transaction),
    /// Has a value stand in the log.
    Append {
        /// What.
        value: Value,
    },
    /// Makes all keys that start with a prefix what they were.
    Rollback {
        /// Which.
        prefix: Key,
        /// At which revision.
        to: u64,
    },
    /// Does something to a lease or a lock, or with one.
    Tenure(TenureCall),
    /// Drops the history before a revision.
    Compact {
        /// Which is the oldest that can be read then.
        below: u64,
    },
    /// Does something to tokens or policies, or as a token.
    Access(AccessCall),
}

impl Guard {
    /// Whether it holds of a key that was last written at this revision; none: which does
    /// not exist.
    #[must_use]
    pub fn holds(self, modified: Option<u64>) -> bool {
        match self {
            Self::Always => true,
            Self::Revision(revision) => modified == Some(revision),
            Self::Exists => modified.is_some(),
            Self::Absent => modified.is_none(),
        }
    }
}

impl Call {
    /// A linearizable read of a key.
    #[must_use]
    pub fn read(key: &str) -> Self {
        Self::Read { key: Key::from(key), at: None, consistency: Consistency::Linearizable }
    }

    /// A local read of a key, in a state of at least this revision.
    #[must_use]
    pub fn read_locally(key: &str, at_least: u64) -> Self {
        Self::Read { key: Key::from(key), at: None, consistency: Consistency::Local { at_least } }
    }

    /// Of which revision, and how new, a read is to be; none: it is a mutation.
    #[must_use]
    pub fn reads(&self) -> Option<(Option<u64>, Consistency)> {
        match self {
            Self::Read { at, consistency, .. } | Self::List { at, consistency, .. } => {
                Some((*at, *consistency))
            }
            Self::Put { .. }
            | Self::Delete { .. }
            | Self::DeletePrefix { .. }
            | Self::Transaction(_)
            | Self::Append { .. }
            | Self::Rollback { .. }
            | Self::Tenure(_)
            | Self::Compact { .. }
            | Self::Access(_) => None,
        }
    }

    /// Whether it may change the state.
    #[must_use]
    pub fn is_mutation(&self) -> bool {
        self.reads().is_none()
    }

    /// The one key that it is about.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::Read { key, .. } | Self::Put { key, .. } | Self::Delete { key, .. } => Some(key),
            Self::Tenure(call) => call.key(),
            Self::Access(call) => call.key(),
            Self::List { .. }
            | Self::DeletePrefix { .. }
            | Self::Transaction(_)
            | Self::Append { .. }
            | Self::Rollback { .. }
            | Self::Compact { .. } => None,
        }
    }

    /// What must hold for it to be executed. A transaction always is.
    #[must_use]
    pub fn guard(&self) -> Guard {
        match self {
            Self::Put { guard, .. } | Self::Delete { guard, .. } => *guard,
            Self::Read { .. }
            | Self::List { .. }
            | Self::DeletePrefix { .. }
            | Self::Transaction(_)
            | Self::Append { .. }
            | Self::Rollback { .. }
            | Self::Tenure(_)
            | Self::Compact { .. }
            | Self::Access(_) => Guard::Always,
        }
    }
}
