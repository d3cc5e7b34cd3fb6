//! What clients asked for and what they heard, in the words that both checkers share.
//!
//! Values and operations are numbers that the recorder makes unique: a value read tells
//! which write it stems from.

use std::sync::Arc;

use super::listing::{Listing, Page};

/// A point on the one clock that recorded the whole history, in any unit.
pub type Time = u64;

/// A key. Cheap to clone: histories name the same few keys over and over.
pub type Key = Arc<str>;

/// A value as a number: a digest of its bytes, different for each write.
pub type ValueId = u64;

/// One call by one client, unique in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub u64);

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
        value: ValueId,
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
}

/// What a read saw of a key that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The value.
    pub value: ValueId,
    /// The revision of the write that it stems from (the ETag).
    pub modified: u64,
}

/// What a client heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The key, or that there is none.
    Read(Option<Seen>),
    /// The page.
    Listed(Page),
    /// The state is at the answer's revision, and has not come to the one that was asked
    /// for.
    NotYet,
    /// A put was executed at the answer's revision.
    Put,
    /// A delete was executed at the answer's revision, and so many keys went.
    Deleted(u64),
    /// The guard did not hold at the answer's revision, and nothing was written.
    GuardFailed,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With an answer.
    Answered {
        /// When the client had it.
        at: Time,
        /// The revision of the state that it speaks of.
        revision: u64,
        /// What it says.
        answer: Answer,
    },
    /// With an error that promises that nothing happened nor will happen.
    NotApplied,
    /// With an error that leaves it open, or not at all.
    Unresolved,
}

/// A call and its ending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Which.
    pub id: OperationId,
    /// When the client called.
    pub called: Time,
    /// For what.
    pub call: Call,
    /// How it ended.
    pub ending: Ending,
}

impl Call {
    /// Whether it may change the state.
    #[must_use]
    pub fn is_mutation(&self) -> bool {
        match self {
            Self::Read { .. } | Self::List { .. } => false,
            Self::Put { .. } | Self::Delete { .. } | Self::DeletePrefix { .. } => true,
        }
    }
}

impl Operation {
    /// Whether its answer stands at one instant between call and answer. That of a local
    /// read promises no order, nor does what was asked for as of a revision; but where
    /// that is said not to be there yet, it is of the present state that this is said.
    #[must_use]
    pub fn is_of_the_present(&self) -> bool {
        match &self.call {
            Call::Read { at, consistency, .. } | Call::List { at, consistency, .. } => {
                let is_refused =
                    matches!(self.ending, Ending::Answered { answer: Answer::NotYet, .. });
                *consistency == Consistency::Linearizable && (at.is_none() || is_refused)
            }
            Call::Put { .. } | Call::Delete { .. } | Call::DeletePrefix { .. } => true,
        }
    }
}
