//! The keys of the replicated state.
//!
//! Values are loaded only where a transaction looks at them, and forgotten after it. A
//! record that came from SQLite therefore has no content; one that was written by this very
//! execution has.

mod loading;
mod needs;
mod rollback;
mod rows;
mod scanned;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use shared::ids::{LeaseId, Revision};

use self::rollback::KeyHistory;
use self::scanned::Scanned;
use crate::machine::change::{Change, ChangeKind};
use crate::machine::command::Attribution;
pub use needs::{KeyNeeds, KeyScan, LoadedKeys, WHOLE};
pub(in crate::machine) use rollback::RolledBack;
pub use rollback::{ChangedKey, ChangedKeys, RestoredRow, RollbackScan};
pub use rows::{AuthorRow, Deletion, KeyRows, LeaseTombstone, RangeTombstone, VersionRow};
pub(super) use write::KeyWrites;

/// A key that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its modification revision: the ETag.
    pub revision: Revision,
    /// The revision at which it was created.
    pub created_revision: Revision,
    /// How many writes there were since it was created, with that one.
    pub version: u64,
    /// The lease that it goes with.
    pub lease: Option<LeaseId>,
    /// How many bytes its content has.
    pub content_bytes: usize,
    /// What it holds; none where it was loaded without.
    pub content: Option<Content>,
}

impl Record {
    /// What a key is after a write, by what it was before.
    pub(super) fn written(
        before: Option<&Self>,
        revision: Revision,
        content: Content,
        lease: Option<LeaseId>,
    ) -> Self {
        let (created_revision, version) = Self::next(before, revision);
        let content_bytes = content.bytes();
        let content = Some(content);
        Self { revision, created_revision, version, lease, content_bytes, content }
    }

    /// When a key was created, and how often it was written since, after a write.
    fn next(before: Option<&Self>, revision: Revision) -> (Revision, u64) {
        before.map_or((revision, 1), |old| (old.created_revision, old.version + 1))
    }
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The bytes, as they came.
    pub value: Bytes,
    /// The `Content-Type` that came with them, if one did.
    pub content_type: Option<String>,
}

impl Content {
    /// Bytes of the value and of its type.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.value.len() + self.content_type.as_ref().map_or(0, String::len)
    }
}

#[derive(Clone, Debug)]
enum Coverage {
    Complete(KeyHistory),
    /// Of these it is known whether they exist, and all of them but their contents.
    Partial(BTreeSet<String>),
}

/// The keys, or those of them that were loaded.
#[derive(Clone, Debug)]
pub struct Keys {
    records: BTreeMap<String, Record>,
    coverage: Coverage,
    /// Loaded for the command at hand: contents of records that have none, …
    contents: BTreeMap<String, Content>,
    /// … ranges …
    scanned: Scanned,
    /// … and the keys found there.
    scanned_keys: Vec<String>,
    /// Loaded for the roll-back at hand.
    changed: Option<(RollbackScan, ChangedKeys)>,
    rows: KeyRows,
    /// What the slot at hand has changed.
    changes: Vec<Change>,
}

impl Keys {
    /// All keys of a replica that has executed nothing.
    pub(super) fn complete() -> Self {
        Self::with(Coverage::Complete(KeyHistory::default()))
    }

    /// None is loaded.
    pub(super) fn partial() -> Self {
        Self::with(Coverage::Partial(BTreeSet::new()))
    }

    fn with(coverage: Coverage) -> Self {
        Self {
            records: BTreeMap::new(),
            coverage,
            contents: BTreeMap::new(),
            scanned: Scanned::default(),
            scanned_keys: Vec::new(),
            changed: None,
            rows: KeyRows::default(),
            changes: Vec::new(),
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(self.coverage, Coverage::Complete(_))
    }

    /// The record of a key, if it exists.
    ///
    /// # Panics
    /// When the key was not loaded: what was said to be lacking and the executing
    /// disagree.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Record> {
        self.invariant_key_is_loaded(key);
        self.records.get(key)
    }

    /// The content of a key that exists, and of its value at least the first `bytes`.
    ///
    /// # Errors
    /// That it is lacking.
    pub(super) fn content(&self, key: &str, bytes: usize) -> Result<&Content, KeyNeeds> {
        let record = self.get(key);
        if let Some(content) = record.and_then(|record| record.content.as_ref()) {
            return Ok(content);
        }
        let is_enough = |content: &&Content| {
            let is_whole = record.is_some_and(|record| record.content_bytes == content.bytes());
            is_whole || content.value.len() >= bytes
        };
        self.contents.get(key).filter(is_enough).ok_or_else(|| {
            let contents = BTreeMap::from([(key.to_owned(), bytes)]);
            KeyNeeds { contents, ..KeyNeeds::default() }
        })
    }

    pub(super) fn put(&mut self, key: String, record: Record) {
        self.invariant_key_is_loaded(&key);
        self.rows.versions.push(VersionRow {
            key: key.clone(),
            revision: record.revision,
            created_revision: record.created_revision,
            version: record.version,
            lease: record.lease,
            content: record.content.clone(),
        });
        self.set(key, record);
    }

    pub(super) fn delete(&mut self, key: String, revision: Revision) {
        self.invariant_key_is_loaded(&key);
        let deletion = Deletion { revision, expired: None };
        if let Some(previous) = self.remove(key.clone(), deletion) {
            let (kind, previous) = (ChangeKind::Deleted, Some(previous));
            self.changes.push(Change::Key { key, kind, revision, previous });
        }
    }

    /// Deletes what is here, and notes that the rest is deleted, too.
    pub(super) fn delete_prefix(&mut self, prefix: String, revision: Revision) {
        for key in self.with_prefix(&prefix) {
            self.remove(key, Deletion { revision, expired: None });
        }
        self.note_deleted(prefix, revision);
    }

    /// Deletes what is here of the keys that are bound to a lease, and notes that the rest is
    /// deleted, too.
    pub(super) fn end_lease(&mut self, ended: LeaseTombstone) {
        let is_bound = |(_, record): &(&String, &Record)| record.lease == Some(ended.lease);
        let bound: Vec<String> =
            self.records.iter().filter(is_bound).map(|(key, _)| key.clone()).collect();
        for key in bound {
            self.remove(key, ended.deletion());
        }
        self.rows.leases.push(ended);
    }

    pub(super) fn note_change(&mut self, change: Change) {
        self.changes.push(change);
    }

    fn with_prefix(&self, prefix: &str) -> Vec<String> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let matching =
            self.records.range::<str, _>(from).take_while(|(key, _)| key.starts_with(prefix));
        matching.map(|(key, _)| key.clone()).collect()
    }

    fn note_deleted(&mut self, prefix: String, revision: Revision) {
        self.changes.push(Change::Prefix { prefix: prefix.clone(), revision });
        self.rows.ranges.push(RangeTombstone { prefix, revision });
    }

    /// Takes a record out; says at which revision it was, if there was one.
    fn remove(&mut self, key: String, deletion: Deletion) -> Option<Revision> {
        let Record { revision: previous, created_revision, version, .. } =
            self.records.remove(&key)?;
        let Deletion { revision, expired: lease } = deletion;
        if let Coverage::Complete(history) = &mut self.coverage {
            history.note(&key, revision, None);
        }
        let row = VersionRow { key, revision, created_revision, version, lease, content: None };
        self.rows.versions.push(row);
        Some(previous)
    }

    /// All records that are here, by key: of a complete state all keys.
    #[must_use]
    pub fn records(&self) -> &BTreeMap<String, Record> {
        &self.records
    }

    /// Notes who made the changes of the revision that was executed last, if it made any.
    pub(super) fn note_author(&mut self, revision: Revision, attribution: Attribution) {
        if self.rows.has_changes_of(revision) {
            self.rows.authors.push(AuthorRow { revision, attribution });
        }
    }

    pub(super) fn take_rows(&mut self) -> KeyRows {
        std::mem::take(&mut self.rows)
    }

    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Adds all of them to a digest.
    pub(super) fn digest(&self, field: &mut impl FnMut(&[u8])) {
        for (key, record) in &self.records {
            let content =
                record.content.as_ref().expect("a record of a complete state has its content");
            field(key.as_bytes());
            for number in [record.revision.0, record.created_revision.0, record.version] {
                field(&number.to_le_bytes());
            }
            field(&record.lease.map_or(0, |lease| lease.0).to_le_bytes());
            field(&content.value);
            field(&[u8::from(content.content_type.is_some())]);
            field(content.content_type.as_deref().unwrap_or_default().as_bytes());
        }
    }
}
