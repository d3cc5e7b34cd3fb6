//! Which keys are here, where not all are: what is asked for, and taken, before a command.

use shared::ids::LeaseId;

use super::{
    Coverage, Deletion, KeyNeeds, Keys, LeaseTombstone, LoadedKeys, RangeTombstone, Record,
};
use crate::machine::command::Op;

impl Keys {
    /// Adds the keys that a command names, where they are not loaded: what can be told
    /// before those that come before it are executed. A deletion of a prefix looks at
    /// nothing, and a roll-back at what is there when it is its turn.
    pub(in crate::machine) fn add_named(&self, op: &Op, lacking: &mut KeyNeeds) {
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
    pub(in crate::machine) fn add_lacking_heads<'a>(
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
    pub(in crate::machine) fn load(&mut self, asked: KeyNeeds, found: LoadedKeys) {
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

    pub(super) fn load_head(&mut self, key: String, record: Record) {
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

    pub(super) fn ended(&self, lease: LeaseId) -> Option<&LeaseTombstone> {
        self.rows.leases.iter().find(|ended| ended.lease == lease)
    }

    /// Forgets what was loaded for the command that was executed last, and for no other.
    pub(in crate::machine) fn forget_looked_at(&mut self) {
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

    pub(super) fn is_loaded(&self, key: &str) -> bool {
        match &self.coverage {
            Coverage::Complete(_) => true,
            Coverage::Partial(loaded) => loaded.contains(key),
        }
    }

    pub(super) fn invariant_key_is_loaded(&self, key: &str) {
        assert!(self.is_loaded(key), "executing touches key {key:?}, which was not loaded");
    }
}
