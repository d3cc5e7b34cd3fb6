//! Roll-backs: the keys with a prefix become what they were at a revision.
//!
//! A key is *changed* since a revision where its modification revision is not what it was
//! then. One that existed is written again with what it held; one that did not is deleted.
//! The work is bounded by the format: whoever looks for changed keys looks at all keys that
//! were ever written with the prefix, or at all changes since the revision, whichever are
//! fewer, and where both are more than [`limits::ROLLBACK_KEYS`] nothing is done. Contents
//! are not looked at: a row says of which version it is to have the content.

use std::collections::BTreeMap;

use shared::ids::Revision;

use super::{Change, ChangeKind, Coverage, KeyNeeds, Keys, Record};
use crate::machine::command::limits;
use crate::machine::outcome::RollbackRefused;

/// The keys with a prefix that are changed since a revision, which is not yet to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollbackScan {
    /// The beginning of the keys.
    pub prefix: String,
    /// The revision.
    pub revision: Revision,
    /// Of which revision on history is kept: a key that does not exist, and did not then, is
    /// not looked at.
    pub oldest: Revision,
}

/// What was found of a [`RollbackScan`]: all changed keys, by key, or why they are not
/// looked at.
pub type ChangedKeys = Result<Vec<ChangedKey>, RollbackRefused>;

/// A key that is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedKey {
    /// Which.
    pub key: String,
    /// What it is; none: it does not exist.
    pub now: Option<Record>,
    /// What it was.
    pub then: Option<Record>,
}

/// A key that is written again: a row like any other, with the content of an older one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredRow {
    /// The key.
    pub key: String,
    /// The revision of the roll-back.
    pub revision: Revision,
    /// The revision at which the key was created.
    pub created_revision: Revision,
    /// The number of writes since then, with this one.
    pub version: u64,
    /// The revision of the version that has the content …
    pub content_of: Revision,
    /// … and how many bytes that has.
    pub content_bytes: usize,
}

/// How many keys a roll-back changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::machine) struct RolledBack {
    pub(in crate::machine) restored: u64,
    pub(in crate::machine) deleted: u64,
}

/// All versions of all keys, of a state that lacks nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyHistory(BTreeMap<String, Vec<(Revision, Option<Record>)>>);

impl KeyHistory {
    /// Notes what a key is from a revision on.
    pub(super) fn note(&mut self, key: &str, revision: Revision, record: Option<Record>) {
        match self.0.get_mut(key) {
            Some(versions) => versions.push((revision, record)),
            None => drop(self.0.insert(key.to_owned(), vec![(revision, record)])),
        }
    }

    /// Forgets what the state at a revision does not have of those before it.
    fn forget_before(&mut self, below: Revision) {
        self.0.retain(|_, versions| {
            let until = versions.partition_point(|(revision, _)| *revision <= below);
            let last = until.checked_sub(1).map(|last| (last, versions[last].1.is_some()));
            let forgotten = last.map_or(0, |(last, exists)| if exists { last } else { until });
            versions.drain(..forgotten);
            !versions.is_empty()
        });
    }

    fn changed(&self, prefix: &str, to: Revision) -> ChangedKeys {
        let until = |versions: &[(Revision, Option<Record>)]| {
            versions.partition_point(|(revision, _)| *revision <= to)
        };
        let changes: usize = self.0.values().map(|versions| versions.len() - until(versions)).sum();
        let keys = self.0.iter().filter(|(key, _)| key.starts_with(prefix));
        if keys.clone().count().min(changes) > limits::ROLLBACK_KEYS {
            return Err(RollbackRefused::TooManyKeys);
        }
        let of = |(key, versions): (&String, &Vec<(Revision, Option<Record>)>)| {
            let (old, new) = versions.split_at(until(versions));
            let then = old.last().and_then(|(_, record)| record.clone());
            let now = new.last()?.1.clone();
            let key = key.clone();
            (now.is_some() || then.is_some()).then_some(ChangedKey { key, now, then })
        };
        Ok(keys.filter_map(of).collect())
    }
}

impl Keys {
    /// What is lacking for a roll-back, if anything is.
    pub(in crate::machine) fn lacking_for_rollback(
        &self,
        prefix: &str,
        to: Revision,
        oldest: Revision,
    ) -> Option<KeyNeeds> {
        let is_asked =
            |(scan, _): &(RollbackScan, ChangedKeys)| scan.prefix == prefix && scan.revision == to;
        match &self.coverage {
            Coverage::Complete(_) => None,
            Coverage::Partial(_) if self.changed.as_ref().is_some_and(is_asked) => None,
            // It is refused without a look.
            Coverage::Partial(_) if to < oldest => None,
            Coverage::Partial(_) => {
                let scan = RollbackScan { prefix: prefix.to_owned(), revision: to, oldest };
                Some(KeyNeeds { rollback: Some(scan), ..KeyNeeds::default() })
            }
        }
    }

    /// Makes the keys with a prefix what they were at a revision.
    ///
    /// # Errors
    /// When that is more than a roll-back may do; then nothing is changed.
    ///
    /// # Panics
    /// When what it looks at was not loaded.
    pub(in crate::machine) fn roll_back(
        &mut self,
        prefix: String,
        to: Revision,
        revision: Revision,
    ) -> Result<RolledBack, RollbackRefused> {
        let changed = match &self.coverage {
            Coverage::Complete(history) => history.changed(&prefix, to),
            Coverage::Partial(_) => {
                let (loaded, changed) = self.changed.take().expect("a roll-back is looked at");
                let loaded = (loaded.prefix, loaded.revision);
                assert_eq!(loaded, (prefix, to), "executing rolls back what was not loaded");
                changed
            }
        }?;
        let bytes = |changed: &ChangedKey| {
            changed.then.as_ref().map(|then| changed.key.len() + then.content_bytes)
        };
        if changed.iter().filter_map(bytes).sum::<usize>() > limits::ROLLBACK_BYTES {
            return Err(RollbackRefused::TooLarge);
        }
        let mut rolled_back = RolledBack { restored: 0, deleted: 0 };
        for ChangedKey { key, now, then } in changed {
            if !self.is_loaded(&key) {
                self.load_changed(&key, now);
            }
            match then {
                Some(then) => {
                    self.restore(key, then, revision);
                    rolled_back.restored += 1;
                }
                None => {
                    self.delete(key, revision);
                    rolled_back.deleted += 1;
                }
            }
        }
        Ok(rolled_back)
    }

    /// Forgets what the state at a revision does not have of those before it, where all of it
    /// is here.
    pub(in crate::machine) fn forget_history(&mut self, below: Revision) {
        match &mut self.coverage {
            Coverage::Complete(history) => history.forget_before(below),
            Coverage::Partial(_) => {}
        }
    }

    /// Whether what a roll-back wrote again is still to be taken.
    #[must_use]
    pub fn has_restored(&self) -> bool {
        !self.rows.restored.is_empty()
    }

    /// How many deletions of prefixes, and ends of leases with keys, are to be written.
    #[must_use]
    pub fn deletions_of_many(&self) -> (usize, usize) {
        (self.rows.ranges.len(), self.rows.leases.len())
    }

    fn load_changed(&mut self, key: &str, now: Option<Record>) {
        if let Coverage::Partial(loaded) = &mut self.coverage {
            loaded.insert(key.to_owned());
        }
        if let Some(record) = now {
            self.records.insert(key.to_owned(), record);
        }
    }

    fn restore(&mut self, key: String, then: Record, revision: Revision) {
        let (created_revision, version) = Record::next(self.records.get(&key), revision);
        let Record { revision: content_of, content_bytes, content, .. } = then;
        // Whatever it was bound to then.
        let lease = None;
        let record = Record { revision, created_revision, version, lease, content_bytes, content };
        self.rows.restored.push(RestoredRow {
            key: key.clone(),
            revision,
            created_revision,
            version,
            content_of,
            content_bytes,
        });
        self.set(key, record);
    }

    /// Has a key be this, and notes the change.
    pub(super) fn set(&mut self, key: String, record: Record) {
        let revision = record.revision;
        if let Coverage::Complete(history) = &mut self.coverage {
            history.note(&key, revision, Some(record.clone()));
        }
        let previous = self.records.insert(key.clone(), record).map(|before| before.revision);
        let kind = if previous.is_some() { ChangeKind::Updated } else { ChangeKind::Created };
        self.changes.push(Change::Key { key, kind, revision, previous });
    }
}
