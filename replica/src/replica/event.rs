//! What goes into the pure replica, and what comes out of it.
//!
//! The shell performs each [`Effect`] in order and feeds what comes of it back as an
//! [`Input`]. Nothing needs an answer: what is lost is asked again after a time. Only
//! [`Effect::Execute`], [`Effect::Store`], [`Effect::StartBatch`] and
//! [`Effect::FetchSnapshot`] must come to an end (or the process must).

mod effect;
mod input;

use std::fmt;

use shared::ids::{Epoch, Revision, Slot};

use crate::machine::chain::ChainHash;
use crate::machine::state::Meta;
pub use crate::replica::answer::{Answer, LimitHit, NotApplied, Refusal, Stall};
pub use crate::replica::learner::Claimant;
pub use effect::Effect;
pub use input::Input;
pub use shared::message::Storage;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A client's request, numbered by the shell; never used twice in a life of the
    /// process.
    RequestId
}
number! {
    /// A quorum read's question to all acceptors.
    ProbeId
}
number! {
    /// A question for a piece of the log.
    FetchId
}
number! {
    /// One of the times that a batch is proposed.
    Attempt
}

/// A request to another service came to nothing: refused, timed out or broken off. It may
/// have been received all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer;

/// Why another replica's state came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotFailure {
    /// That replica gave none: it is away, or refuses. To ask again costs it nothing.
    NotGiven,
    /// It gave one, of no use here: no newer than the state here, not whole, or not to be read.
    Useless,
}

/// Whether somebody watches what is executed, or waits for a lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Followed {
    /// Somebody does.
    Yes,
    /// Nobody does.
    #[default]
    No,
}

/// What is executed and not swept: how many deletions of many keys, and how much of history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Unswept {
    /// Of prefixes.
    pub prefixes: usize,
    /// Of the keys of leases that ended.
    pub leases: usize,
    /// So many revisions are compacted, and what the state does not have of them is not
    /// swept.
    pub revisions: u64,
}

impl Unswept {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        let Self { prefixes, leases, revisions } = self;
        prefixes + leases == 0 && revisions == 0
    }
}

/// What some versions of history take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weighed {
    /// A compaction up to this revision takes them away.
    pub through: Revision,
    /// So many bytes, about.
    pub bytes: u64,
    /// What the database takes, but for free pages.
    pub database_bytes: u64,
}

/// How far the database has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Every slot below is executed and in it.
    pub executed_below: Slot,
    /// The revision of its state.
    pub revision: Revision,
    /// The hash of the slot before `executed_below`.
    pub hash: ChainHash,
    /// The epoch of its view.
    pub epoch: Epoch,
}

impl Stored {
    /// What is stored with this meta data.
    #[must_use]
    pub fn of(meta: &Meta) -> Self {
        let Meta { executed_below, revision, hash, .. } = *meta;
        Self { executed_below, revision, hash, epoch: meta.epoch() }
    }
}

/// What the replica waits for. Arming a timer again replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The next heartbeats are due.
    Heartbeat,
    /// A probe failed, or the next is due.
    Probe,
    /// A probe that asked a quorum may have to ask the others, too.
    ProbeRest,
    /// Batches may have to be proposed again.
    Propose,
    /// Mutations wait, and nobody is known to lead: the coordinators are asked.
    Search,
    /// A fetch failed, or may be made again.
    Fetch,
    /// The source of the log may have stalled.
    FetchStall,
    /// A lease may be due to end, or the log to hear of replicated time.
    Time,
    /// There may be history that is not to be kept.
    Compact,
}

/// Where a piece of the log is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// `GET /v1/replication/log?cluster=&from=` of another replica.
    Replica,
    /// `GET /v1/chosen?cluster=&from=` of a coordinator.
    Coordinator,
}

/// Which acceptors a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeScope {
    /// A majority: for each probe another one, so that all have as much to do, and best
    /// none that did not answer of late.
    Quorum,
    /// Those that were not asked by the probe yet.
    Rest,
    /// Every one.
    All,
}

impl ProbeScope {
    /// Takes these of all acceptors, which are in the order in which they are best asked.
    #[must_use]
    pub fn of<T>(self, mut acceptors: Vec<T>) -> Vec<T> {
        let quorum = acceptors.len() / 2 + 1;
        match self {
            Self::Quorum => acceptors.truncate(quorum),
            Self::Rest => drop(acceptors.drain(..quorum.min(acceptors.len()))),
            Self::All => {}
        }
        acceptors
    }
}

/// What a replica is in the view that it executed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// No view, or one that doesn't name it, or that names its life before a restart as
    /// primary.
    Waiting,
    /// It copies the primary's log.
    Backup,
    /// It takes mutations.
    Primary,
}

impl Role {
    /// Its name in `GET /v1/status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Backup => "backup",
            Self::Primary => "primary",
        }
    }
}
