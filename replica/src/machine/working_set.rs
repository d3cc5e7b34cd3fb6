//! What executing reads and writes: the meta data, and the records that the commands
//! touch.
//!
//! The shell asks [`Needs`] which records a run of slots will look at, loads them from
//! SQLite into a *partial* set, executes, and writes the [`VersionRow`]s back in the same
//! transaction as the meta data. The simulation keeps one *complete* set: the whole
//! state. A partial set knows what was loaded, so that "not loaded" is never taken for
//! "does not exist": that would be two replicas with different states, and is a panic
//! instead.
//!
//! Values are not loaded: no command looks at them. A record that came from SQLite
//! therefore has no content; one that was written by this very execution has.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::ids::{BatchNumber, Epoch, LogFormat, Revision, Slot};
use shared::message::View;

use crate::machine::chain::ChainHash;
use crate::machine::command::{Commands, Op};

/// The replicated state but for its keys: what is written back with every transaction.
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

/// A key that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its modification revision: the ETag.
    pub revision: Revision,
    /// The revision at which it was created.
    pub created_revision: Revision,
    /// How many writes there were since it was created, with that one.
    pub version: u64,
    /// What it holds; none where it was loaded without.
    pub content: Option<Content>,
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The bytes, as they came.
    pub value: Bytes,
    /// The `Content-Type` that came with them, if one did.
    pub content_type: Option<String>,
}

/// A change of a key: a row to be written. At most one for a key and revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRow {
    /// The key.
    pub key: String,
    /// The revision of the change.
    pub revision: Revision,
    /// The revision at which the key was created; of a deletion, that of the record that
    /// ended.
    pub created_revision: Revision,
    /// The number of writes since then; of a deletion, that of the record that ended.
    pub version: u64,
    /// What it holds now; none: it was deleted.
    pub content: Option<Content>,
}

/// Every key with the prefix that was written before the revision is deleted by it.
///
/// Executing a deletion of a prefix comes to this and not to a change of each key, so
/// that it costs the same however many there are. The store turns it into changes of
/// keys in its own time; what can be read never depends on how far that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeTombstone {
    /// The beginning of the keys.
    pub prefix: String,
    /// The revision of the deletion.
    pub revision: Revision,
}

/// What executing changed: what has to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Changes of keys, in order of execution.
    pub versions: Vec<VersionRow>,
    /// Deletions of prefixes, by revision. Keys that were loaded are in `versions`, too.
    pub ranges: Vec<RangeTombstone>,
}

/// Which records a run of commands looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// These keys.
    pub keys: BTreeSet<String>,
}

impl Needs {
    /// Adds what these commands look at. A deletion of a prefix looks at nothing.
    pub fn add(&mut self, commands: &Commands) {
        for command in &commands.commands {
            match &command.op {
                Op::Put { key, .. } | Op::Delete { key, .. } => {
                    if !self.keys.contains(key) {
                        self.keys.insert(key.clone());
                    }
                }
                Op::DeletePrefix { .. } => {}
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Coverage {
    Complete,
    Partial(Needs),
}

/// The state that a run of slots is executed on.
#[derive(Clone, Debug)]
pub struct WorkingSet {
    meta: Meta,
    records: BTreeMap<String, Record>,
    coverage: Coverage,
    changes: Changes,
}

impl WorkingSet {
    /// The whole state of a replica that has executed nothing.
    #[must_use]
    pub fn complete() -> Self {
        Self {
            meta: Meta::default(),
            records: BTreeMap::new(),
            coverage: Coverage::Complete,
            changes: Changes::default(),
        }
    }

    /// A part of the state: the records that exist among those that `needs` names. Others
    /// may be among them.
    #[must_use]
    pub fn partial(
        meta: Meta,
        needs: Needs,
        records: impl IntoIterator<Item = (String, Record)>,
    ) -> Self {
        Self {
            meta,
            records: records.into_iter().collect(),
            coverage: Coverage::Partial(needs),
            changes: Changes::default(),
        }
    }

    /// The meta data.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    pub(crate) fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }

    /// The record of a key, if it exists.
    ///
    /// # Panics
    /// When the key was not loaded: [`Needs`] and the loading disagree with the
    /// executing.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Record> {
        self.invariant_key_is_loaded(key);
        self.records.get(key)
    }

    pub(crate) fn put(&mut self, key: String, record: Record) {
        self.invariant_key_is_loaded(&key);
        self.changes.versions.push(VersionRow {
            key: key.clone(),
            revision: record.revision,
            created_revision: record.created_revision,
            version: record.version,
            content: record.content.clone(),
        });
        self.records.insert(key, record);
    }

    pub(crate) fn delete(&mut self, key: String, revision: Revision) {
        self.invariant_key_is_loaded(&key);
        if let Some(record) = self.records.remove(&key) {
            let Record { created_revision, version, .. } = record;
            self.changes.versions.push(VersionRow {
                key,
                revision,
                created_revision,
                version,
                content: None,
            });
        }
    }

    /// Deletes what is here, and notes that the rest is deleted, too.
    pub(crate) fn delete_prefix(&mut self, prefix: String, revision: Revision) {
        let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
        let matching =
            self.records.range::<str, _>(from).take_while(|(key, _)| key.starts_with(&prefix));
        let keys: Vec<String> = matching.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.delete(key, revision);
        }
        self.changes.ranges.push(RangeTombstone { prefix, revision });
    }

    /// All records that are here, by key: of a complete set the whole state.
    #[must_use]
    pub fn records(&self) -> &BTreeMap<String, Record> {
        &self.records
    }

    /// What was changed since the last call.
    #[must_use]
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// A digest of a whole state: equal on two replicas exactly when their states are.
    ///
    /// # Panics
    /// When the set is partial: its digest would say nothing.
    #[must_use]
    pub fn digest(&self) -> ChainHash {
        assert!(
            matches!(self.coverage, Coverage::Complete),
            "a digest of a part of the state was asked for"
        );
        let mut hasher = blake3::Hasher::new();
        let mut field = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        field(&postcard::to_allocvec(&self.meta).expect("encoding into memory does not fail"));
        for (key, record) in &self.records {
            let content =
                record.content.as_ref().expect("a record of a complete set has its content");
            field(key.as_bytes());
            for number in [record.revision.0, record.created_revision.0, record.version] {
                field(&number.to_le_bytes());
            }
            field(&content.value);
            field(&[u8::from(content.content_type.is_some())]);
            field(content.content_type.as_deref().unwrap_or_default().as_bytes());
        }
        ChainHash(*hasher.finalize().as_bytes())
    }

    fn invariant_key_is_loaded(&self, key: &str) {
        let loaded = match &self.coverage {
            Coverage::Complete => true,
            Coverage::Partial(needs) => needs.keys.contains(key),
        };
        assert!(loaded, "executing touches key {key:?}, which was not loaded");
    }
}
