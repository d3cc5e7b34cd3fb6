//! The replicated state: the meta data, and a part for each kind of thing that it holds.
//!
//! What a command looks at is loaded from SQLite before it is executed, in *rounds*: what
//! a part lacks for it goes into [`Needs`], whoever has the database loads that, and
//! [`ReplicatedState::load`] takes it in; what it leads to may lack more. A partial state
//! knows what was loaded, so that "not loaded" is never taken for "does not exist": that
//! would be two replicas with different states, and is a panic instead. What executing
//! changed ([`Rows`]) is written back in the same transaction as the meta data.
//!
//! The simulation keeps one *complete* state, which lacks nothing.
//!
//! A part is a file here, a field of each struct below, and a table of the store.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use shared::ids::{BatchNumber, Epoch, LogFormat, Revision, Slot};
use shared::message::View;

use crate::machine::chain::ChainHash;
use crate::machine::change::Change;
use crate::machine::command::Command;
use crate::machine::keys::{KeyRows, Keys, Record};

/// What the state is as a whole: written back with every transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Every slot below is executed.
    pub executed_below: Slot,
    /// How many mutations were executed.
    pub revision: Revision,
    /// The hash of the slot before `executed_below`.
    pub hash: ChainHash,
    /// The view executed last; none in epoch 0.
    pub view: Option<View>,
    /// The number that the next batch of this epoch must have.
    pub next_batch: BatchNumber,
    /// Replicated time: the highest time of a batch so far, in milliseconds since 1970.
    pub time_ms: u64,
}

impl Meta {
    /// The epoch of the view executed last.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.view.as_ref().map_or(Epoch(0), |view| view.epoch)
    }

    /// The format that the log has now.
    #[must_use]
    pub fn format(&self) -> LogFormat {
        self.view.as_ref().map_or(LogFormat::FIRST, |view| view.format)
    }
}

/// What commands look at that is not loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// These keys.
    pub keys: BTreeSet<String>,
}

impl Needs {
    /// How many things are to be looked up.
    #[must_use]
    pub fn len(&self) -> usize {
        let Self { keys } = self;
        keys.len()
    }

    /// Whether nothing is lacking.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What was found of what was needed, as it is in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The keys that exist among those asked for.
    pub keys: Vec<(String, Record)>,
}

/// What executing changed: what has to be written, all of it in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Of the keys.
    pub keys: KeyRows,
}

/// The state that a run of slots is executed on.
#[derive(Clone, Debug)]
pub struct ReplicatedState {
    meta: Meta,
    pub(super) keys: Keys,
}

impl ReplicatedState {
    /// The whole state of a replica that has executed nothing.
    #[must_use]
    pub fn complete() -> Self {
        Self { meta: Meta::default(), keys: Keys::complete() }
    }

    /// A state of which nothing is loaded but the meta data.
    #[must_use]
    pub fn partial(meta: Meta) -> Self {
        Self { meta, keys: Keys::partial() }
    }

    /// The meta data.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    pub(super) fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Adds what a command looks at and is not loaded.
    pub(super) fn add_lacking(&self, command: &Command, lacking: &mut Needs) {
        self.keys.add_lacking(&command.op, &mut lacking.keys);
    }

    /// Takes what was found of what was asked for.
    pub fn load(&mut self, asked: Needs, found: Loaded) {
        self.keys.load(asked.keys, found.keys);
    }

    /// What was changed since the last call.
    #[must_use]
    pub fn take_rows(&mut self) -> Rows {
        Rows { keys: self.keys.take_rows() }
    }

    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        self.keys.take_changes()
    }

    /// A digest of a whole state: equal on two replicas exactly when their states are.
    ///
    /// # Panics
    /// When the state is partial: its digest would say nothing.
    #[must_use]
    pub fn digest(&self) -> ChainHash {
        assert!(self.keys.is_complete(), "a digest of a part of the state was asked for");
        let mut hasher = blake3::Hasher::new();
        let mut field = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        field(&postcard::to_allocvec(&self.meta).expect("encoding into memory does not fail"));
        self.keys.digest(&mut field);
        ChainHash(*hasher.finalize().as_bytes())
    }
}
