//! The reference: a store that executes one call after the other.

use std::collections::BTreeMap;

use super::transaction::{self, Step, Taken, Transaction};
use super::{
    AccessAnswer, AccessCall, AccessDeed, Answer, Call, Key, Listing, Page, Permissions, Seen,
    Tenure, TenureAnswer, TenureCall, Value,
};

/// A key that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its value.
    pub value: Value,
    /// The revision that wrote it.
    pub modified: u64,
    /// The revision at which it was created.
    pub created: u64,
    /// How many writes there were since, with that one.
    pub version: u64,
}

/// The keys that exist, what all keys were at each revision, and how many mutations were
/// executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reference {
    keys: BTreeMap<Key, Version>,
    /// For each key the revisions that touched it, and what it was from there on.
    history: BTreeMap<Key, Vec<(u64, Option<Version>)>>,
    revision: u64,
    /// The oldest revision whose state can be read.
    oldest: u64,
    tenure: Tenure,
    permissions: Permissions,
}

/// What a mutation does to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which.
    pub key: Key,
    /// What it is from there on; none: deleted.
    pub after: Option<Version>,
}

/// What executing a call comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The revision of the state after it.
    pub revision: u64,
    /// What its client hears.
    pub answer: Answer,
    /// Whether it used the revision up.
    pub is_write: bool,
    /// What the key was that it is about.
    pub before: Option<Version>,
    /// What it does to which keys, to each once. A delete touches only keys that exist.
    pub changes: Vec<Change>,
}

impl Reference {
    /// The keys that exist.
    #[must_use]
    pub fn keys(&self) -> &BTreeMap<Key, Version> {
        &self.keys
    }

    /// The oldest revision whose state can be read.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// How many mutations were executed.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The leases and locks.
    #[must_use]
    pub fn tenure(&self) -> &Tenure {
        &self.tenure
    }

    /// The tokens and policies.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Executes a call.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others have guards")]
    pub fn execute(&mut self, call: &Call) -> Executed {
        let before = call.key().and_then(|key| self.keys.get(key)).copied();
        let (answer, is_write, changes) = match call {
            Call::Tenure(call) => self.execute_tenure(call, before),
            Call::Access(call) => self.execute_access(call, before),
            _ => {
                let (answer, changes) = self.effect(call, before);
                let is_write = answer.is_executed();
                (answer, is_write, changes)
            }
        };
        if let Answer::Compacted { below } = answer {
            self.oldest = below;
        }
        self.revision += u64::from(is_write);
        let bound_to = match call {
            Call::Tenure(TenureCall::LeasedPut { lease, .. }) => Some(*lease),
            _ => None,
        };
        for Change { key, after } in &changes {
            self.history.entry(Key::clone(key)).or_default().push((self.revision, *after));
            match after {
                Some(version) => self.keys.insert(Key::clone(key), *version),
                None => self.keys.remove(key),
            };
            match after.and(bound_to) {
                Some(lease) => self.tenure.bound.insert(Key::clone(key), lease),
                None => self.tenure.bound.remove(key),
            };
        }
        Executed { revision: self.revision, answer, is_write, before, changes }
    }

    fn execute_tenure(
        &mut self,
        call: &TenureCall,
        before: Option<Version>,
    ) -> (Answer, bool, Vec<Change>) {
        let (answer, is_write) = self.tenure.execute(call, self.revision + 1);
        match (call, answer) {
            (
                TenureCall::LeasedPut { key, value, .. } | TenureCall::FencedPut { key, value, .. },
                TenureAnswer::Put,
            ) => (Answer::Tenure(answer), is_write, vec![self.put(key, *value, before)]),
            (
                TenureCall::Revoke { lease } | TenureCall::Expire { lease },
                TenureAnswer::Ended(_),
            ) => {
                let bound = self.tenure.bound.iter().filter(|(_, of)| *of == lease);
                let gone = |(key, _): (&Key, &u64)| Change { key: Key::clone(key), after: None };
                let changes: Vec<Change> = bound.map(gone).collect();
                let answer = TenureAnswer::Ended(changes.len() as u64);
                (Answer::Tenure(answer), is_write, changes)
            }
            _ => (Answer::Tenure(answer), is_write, Vec::new()),
        }
    }

    fn execute_access(
        &mut self,
        call: &AccessCall,
        before: Option<Version>,
    ) -> (Answer, bool, Vec<Change>) {
        let answer = self.permissions.execute(call);
        let changes = match (&call.deed, answer) {
            (AccessDeed::Put { key, value }, AccessAnswer::Put) => {
                vec![self.put(key, *value, before)]
            }
            _ => Vec::new(),
        };
        (Answer::Access(answer), answer.is_executed(), changes)
    }

    fn put(&self, key: &Key, value: Value, before: Option<Version>) -> Change {
        let modified = self.revision + 1;
        let (created, version) = before.map_or((modified, 1), |key| (key.created, key.version + 1));
        let after = Some(Version { value, modified, created, version });
        Change { key: Key::clone(key), after }
    }

    /// What executing a call would be answered.
    #[must_use]
    pub fn answer(&self, call: &Call) -> Answer {
        self.effect(call, call.key().and_then(|key| self.keys.get(key)).copied()).0
    }

    fn effect(&self, call: &Call, before: Option<Version>) -> (Answer, Vec<Change>) {
        if !call.guard().holds(before.map(|key| key.modified)) {
            return (Answer::GuardFailed, Vec::new());
        }
        let key = |key: &Key| Change { key: Key::clone(key), after: None };
        let deleted = |changes: Vec<Change>| (Answer::Deleted(changes.len() as u64), changes);
        match call {
            Call::Read { .. } | Call::List { .. } => (self.read(call), Vec::new()),
            Call::Put { key: put, value, .. } => (Answer::Put, vec![self.put(put, *value, before)]),
            Call::Delete { key: one, .. } => {
                deleted(before.map(|_| key(one)).into_iter().collect())
            }
            Call::DeletePrefix { prefix } => {
                let below = Listing::of_prefix(prefix).among(&self.keys).into_iter();
                deleted(below.map(|(one, _)| key(one)).collect())
            }
            Call::Transaction(transaction) => self.take(transaction),
            Call::Append { .. } => (Answer::Appended, Vec::new()),
            Call::Rollback { to, .. } if *to > self.revision => (Answer::NotYet, Vec::new()),
            Call::Rollback { to, .. } if *to < self.oldest => {
                (Answer::Gone { oldest: self.oldest }, Vec::new())
            }
            Call::Rollback { prefix, to } => self.roll_back(prefix, *to),
            Call::Compact { below } if *below > self.revision => (Answer::NotYet, Vec::new()),
            Call::Compact { below } => {
                (Answer::Compacted { below: self.oldest.max(*below) }, Vec::new())
            }
            Call::Tenure(_) | Call::Access(_) => unreachable!("it has effects of its own"),
        }
    }

    /// Keys that are what they were stay as they are.
    fn roll_back(&self, prefix: &str, to: u64) -> (Answer, Vec<Change>) {
        let mut changes = Vec::new();
        let (mut restored, mut deleted) = (0, 0);
        for (key, versions) in self.history.iter().filter(|(key, _)| key.starts_with(prefix)) {
            let old = versions.iter().take_while(|(revision, _)| *revision <= to).last();
            let (then, now) = (old.and_then(|(_, version)| *version), self.keys.get(key).copied());
            let modified = self.revision + 1;
            let after = match (then, now) {
                (then, now) if then == now => continue,
                (Some(then), Some(now)) => Some(Version {
                    modified,
                    created: now.created,
                    version: now.version + 1,
                    ..then
                }),
                (Some(then), None) => {
                    Some(Version { modified, created: modified, version: 1, ..then })
                }
                (None, _) => None,
            };
            *(if after.is_some() { &mut restored } else { &mut deleted }) += 1;
            changes.push(Change { key: Key::clone(key), after });
        }
        (Answer::RolledBack { restored, deleted }, changes)
    }

    fn take(&self, transaction: &Transaction) -> (Answer, Vec<Change>) {
        let modified = |key: &Key| self.keys.get(key).map(|key| key.modified);
        let succeeded = transaction.guards.iter().all(|(key, guard)| guard.holds(modified(key)));
        let steps = transaction.branch(succeeded);
        let (mut after, revision) = (self.keys.clone(), self.revision + 1);
        let results = transaction::execute(&mut after, steps, revision);
        let wrote = steps.iter().any(Step::is_write);
        let gone = self.keys.keys().filter(|key| !after.contains_key(*key));
        let gone = gone.map(|key| Change { key: Key::clone(key), after: None });
        let written = after.iter().filter(|(_, version)| version.modified == revision);
        let written =
            written.map(|(key, version)| Change { key: Key::clone(key), after: Some(*version) });
        let changes = gone.chain(written).collect();
        (Answer::Transaction(Taken { succeeded, wrote, results }), changes)
    }

    /// What a read is answered of this state, whatever revision it asks for.
    ///
    /// # Panics
    /// When it is a mutation.
    #[must_use]
    pub fn read(&self, call: &Call) -> Answer {
        match call {
            Call::Read { key, .. } => Answer::Read(self.keys.get(key).copied().map(Seen::from)),
            Call::List { listing, .. } => {
                let listed = listing.among(&self.keys).into_iter();
                let mut items: Vec<(Key, Seen)> =
                    listed.map(|(key, version)| (Key::clone(key), (*version).into())).collect();
                let all = items.len();
                items.truncate(listing.limit.unwrap_or(all));
                Answer::Listed(Page { has_more: items.len() < all, items })
            }
            Call::Put { .. }
            | Call::Delete { .. }
            | Call::DeletePrefix { .. }
            | Call::Transaction(_)
            | Call::Append { .. }
            | Call::Rollback { .. }
            | Call::Tenure(_)
            | Call::Compact { .. }
            | Call::Access(_) => unreachable!("only reads read"),
        }
    }
}

impl From<Version> for Seen {
    fn from(version: Version) -> Self {
        Self { value: version.value, modified: version.modified }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::Guard;

    fn put(key: &str, number: u64, guard: Guard) -> Call {
        Call::Put { key: Key::from(key), value: Value::new(number, 0), guard }
    }

    #[test]
    fn the_reference_counts_revisions_and_versions_and_keeps_guards() {
        let mut reference = Reference::default();
        let first = reference.execute(&put("a", 1, Guard::Absent));
        assert_eq!((first.revision, first.answer), (1, Answer::Put));
        let refused = reference.execute(&put("a", 2, Guard::Absent));
        let before = first.changes[0].after;
        let (answer, changes) = (Answer::GuardFailed, Vec::new());
        let is_write = false;
        assert_eq!(refused, Executed { revision: 1, answer, is_write, before, changes });
        let second = reference.execute(&put("a", 3, Guard::Revision(1)));
        let after = Version { value: Value::new(3, 0), modified: 2, created: 1, version: 2 };
        assert_eq!(second.changes, [Change { key: Key::from("a"), after: Some(after) }]);
        reference.execute(&put("ab", 4, Guard::Always));
        reference.execute(&put("b", 5, Guard::Always));
        let deleted = reference.execute(&Call::DeletePrefix { prefix: Key::from("a") });
        assert_eq!((deleted.revision, deleted.answer), (5, Answer::Deleted(2)));
        let nothing =
            reference.execute(&Call::Delete { key: Key::from("a"), guard: Guard::Always });
        assert_eq!((nothing.revision, nothing.answer), (6, Answer::Deleted(0)));
        let to = second.revision;
        let rolled_back = reference.execute(&Call::Rollback { prefix: Key::from("a"), to });
        let answer = Answer::RolledBack { restored: 1, deleted: 0 };
        let after = Version { modified: 7, created: 7, version: 1, ..after };
        let changes = vec![Change { key: Key::from("a"), after: Some(after) }];
        assert_eq!(
            rolled_back,
            Executed { revision: 7, answer, is_write: true, before: None, changes }
        );
        let again = reference.execute(&Call::Rollback { prefix: Key::from("a"), to });
        assert_eq!((again.revision, again.changes.len()), (8, 1), "it was written again");
        let unchanged = reference.execute(&Call::Rollback { prefix: Key::from("a"), to: 8 });
        assert_eq!((unchanged.revision, unchanged.changes.len()), (9, 0));
        let early = reference.execute(&Call::Rollback { prefix: Key::from("a"), to: 10 });
        assert_eq!((early.revision, early.answer), (9, Answer::NotYet));
        let deleted = reference.execute(&Call::Rollback { prefix: Key::from("a"), to: 0 });
        assert_eq!(deleted.answer, Answer::RolledBack { restored: 0, deleted: 1 });
        let left: Vec<&str> = reference.keys().keys().map(|key| &**key).collect();
        assert_eq!(left, ["b"]);
        let mut compact = |below| reference.execute(&Call::Compact { below });
        assert_eq!(compact(11).answer, Answer::NotYet);
        let compacted = compact(9);
        assert_eq!((compacted.revision, compacted.answer), (10, Answer::Compacted { below: 9 }));
        assert_eq!(compact(7).answer, Answer::Compacted { below: 9 }, "it never goes back");
        let gone = reference.execute(&Call::Rollback { prefix: Key::from("a"), to: 8 });
        assert_eq!((gone.revision, gone.answer), (10, Answer::Gone { oldest: 9 }));
    }
}
