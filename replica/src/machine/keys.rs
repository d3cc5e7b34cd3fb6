//! The keys of the replicated state.
//!
//! Values are loaded only where a transaction looks at them, and forgotten after it. A
//! record that came from SQLite therefore has no content; one that was written by this very
//! execution has.

mod needs;
mod rollback;
mod scanned;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use shared::ids::{LeaseId, Revision};

use self::rollback::KeyHistory;
use self::scanned::Scanned;
use crate::machine::change::{Change, ChangeKind};
use crate::machine::command::Op;
use crate::machine::leases::LeaseEnd;
pub use needs::{KeyNeeds, KeyScan, LoadedKeys, WHOLE};
pub(in crate::machine) use rollback::RolledBack;
pub use rollback::{ChangedKey, ChangedKeys, RestoredRow, RollbackScan};
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
    /// The lease that it goes with; of a deletion the lease that it went with, where that
    /// had expired.
    pub lease: Option<LeaseId>,
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

/// Every key that is bound to a lease is deleted by its end. As with [`RangeTombstone`],
/// the store makes changes of keys out of it in its own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTombstone {
    /// Which lease. No key is bound to it at a later revision.
    pub lease: LeaseId,
    /// The revision of its end.
    pub revision: Revision,
    /// Why it ended.
    pub end: LeaseEnd,
}

impl LeaseTombstone {
    /// What it is for a key that was bound to the lease.
    #[must_use]
    pub fn deletion(&self) -> Deletion {
        Deletion { revision: self.revision, expired: self.mark() }
    }

    /// What the deletion of a key says of the lease.
    fn mark(&self) -> Option<LeaseId> {
        match self.end {
            LeaseEnd::Expired => Some(self.lease),
            LeaseEnd::Revoked => None,
        }
    }
}

/// A deletion of a key, by one of many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deletion {
    /// The revision of the deletion.
    pub revision: Revision,
    /// The lease whose time was over, where that was why.
    pub expired: Option<LeaseId>,
}

/// What executing changed of the keys: what has to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRows {
    /// Keys that a roll-back wrote again: older than what is in `versions` of them.
    pub restored: Vec<RestoredRow>,
    /// Changes of keys; those of one key in order of execution.
    pub versions: Vec<VersionRow>,
    /// Deletions of prefixes, by revision. Keys that were loaded are in `versions`, too.
    pub ranges: Vec<RangeTombstone>,
    /// Ends of leases that keys were bound to, by revision. The same is true of them.
    pub leases: Vec<LeaseTombstone>,
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

    /// Adds the keys that a command names, where they are not loaded: what can be told
    /// before those that come before it are executed. A deletion of a prefix looks at
    /// nothing, and a roll-back at what is there when it is its turn.
    pub(super) fn add_named(&self, op: &Op, lacking: &mut KeyNeeds) {
        match op.bare() {
            Op::Put { key, .. } | Op::LeasedPut { key, .. } | Op::Delete { key, .. } => {
                self.add_lacking_heads(std::iter::once(key.as_str()), lacking);
            }
            Op::DeletePrefix { .. }
            | Op::Append { .. }
            | Op::Rollback { .. }
            | Op::Lease(_)
            | Op::Lock(_)
            | Op::Fenced(_)
            | Op::Compact { .. }
            | Op::Access(_)
            | Op::Attributed { .. }
            | Op::Issued { .. }
            | Op::Certified { .. } => {}
            Op::Txn(txn) => self.add_lacking_heads(txn.keys(), lacking),
        }
    }

    /// Adds those of the keys that are not loaded.
    pub(super) fn add_lacking_heads<'a>(
        &self,
        keys: impl Iterator<Item = &'a str>,
        lacking: &mut KeyNeeds,
    ) {
        for key in keys {
            if !self.is_loaded(key) && !lacking.heads.contains(key) {
                lacking.heads.insert(key.to_owned());
            }
        }
    }

    /// Takes what was found of what was asked for, as it was before this execution: it may
    /// have deleted prefixes, or ended leases, since.
    pub(super) fn load(&mut self, asked: KeyNeeds, found: LoadedKeys) {
        let Coverage::Partial(loaded) = &mut self.coverage else { return };
        let KeyNeeds { heads, contents: _, scans, rollback } = asked;
        loaded.extend(heads);
        self.changed = rollback.zip(found.rollback);
        for (key, record) in found.heads {
            self.load_head(key, record);
        }
        self.contents.extend(found.contents);
        let mut of_scans = found.scans.into_iter();
        for scan in scans {
            self.load_scan(scan, of_scans.next().unwrap_or_default());
        }
    }

    fn load_head(&mut self, key: String, record: Record) {
        if let Coverage::Partial(loaded) = &mut self.coverage {
            loaded.insert(key.clone());
        }
        let hides = |range: &&RangeTombstone| key.starts_with(&range.prefix);
        let by_range = self.rows.ranges.iter().find(hides);
        let by_range = by_range.map(|range| Deletion { revision: range.revision, expired: None });
        let ended = record.lease.and_then(|lease| self.ended(lease));
        let by_lease = ended.map(LeaseTombstone::deletion);
        self.records.insert(key.clone(), record);
        if let Some(deletion) = by_range.into_iter().chain(by_lease).min() {
            self.remove(key, deletion);
        }
    }

    fn ended(&self, lease: LeaseId) -> Option<&LeaseTombstone> {
        self.rows.leases.iter().find(|ended| ended.lease == lease)
    }

    /// Forgets what was loaded for the command that was executed last, and for no other.
    pub(super) fn forget_looked_at(&mut self) {
        self.contents.clear();
        self.scanned.clear();
        self.changed = None;
        let Coverage::Partial(loaded) = &mut self.coverage else { return };
        for key in std::mem::take(&mut self.scanned_keys) {
            // What was changed since is not as it is in the database.
            if self.records.get(&key).is_some_and(|record| record.content.is_none()) {
                self.records.remove(&key);
                loaded.remove(&key);
            }
        }
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

    fn is_loaded(&self, key: &str) -> bool {
        match &self.coverage {
            Coverage::Complete(_) => true,
            Coverage::Partial(loaded) => loaded.contains(key),
        }
    }

    fn invariant_key_is_loaded(&self, key: &str) {
        assert!(self.is_loaded(key), "executing touches key {key:?}, which was not loaded");
    }
}
