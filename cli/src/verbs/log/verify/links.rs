//! Whether each slot names the hash of the one before it: pure.

use client::{ChainHash, LogEntry};

/// Where the log is no chain.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    /// A slot is missing.
    #[error("slot {found} follows slot {last}")]
    Missing {
        /// The last one that is there.
        last: u64,
        /// The next one.
        found: u64,
    },
    /// A slot names another hash.
    #[error("slot {slot} names {named} as the hash before it, which is {hash}")]
    Other {
        /// Which.
        slot: u64,
        /// What it names.
        named: ChainHash,
        /// What it is.
        hash: ChainHash,
    },
}

/// A part of the log that is a chain.
#[derive(Debug)]
pub(super) struct Links {
    first: u64,
    /// The slot after the last one.
    next: u64,
    hash: ChainHash,
}

impl Links {
    /// Nothing yet, before this slot. The log begins with a hash of zeros; of one that is not
    /// kept from there on, what the first slot names is taken for the hash before it.
    pub(super) fn before(first: &LogEntry) -> Self {
        let hash = if first.slot == 0 { ChainHash::default() } else { first.previous_hash };
        Self { first: first.slot, next: first.slot, hash }
    }

    pub(super) fn take(&mut self, entry: &LogEntry) -> Result<(), Broken> {
        let slot = entry.slot;
        if slot != self.next {
            return Err(Broken::Missing { last: self.next.saturating_sub(1), found: slot });
        }
        if entry.previous_hash != self.hash {
            let (named, hash) = (entry.previous_hash, self.hash);
            return Err(Broken::Other { slot, named, hash });
        }
        (self.next, self.hash) = (slot + 1, entry.hash);
        Ok(())
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn last(&self) -> u64 {
        self.next.saturating_sub(1)
    }

    pub(super) fn hash(&self) -> ChainHash {
        self.hash
    }
}
