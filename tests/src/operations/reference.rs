//! The reference: a store that executes one call after the other.

use std::collections::BTreeMap;

use super::transaction::{self, Step, Taken, Transaction};
use super::{Answer, Call, Key, Listing, Page, Seen, Value};

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

/// The keys that exist, and how many mutations were executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reference {
    keys: BTreeMap<Key, Version>,
    revision: u64,
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

    /// How many mutations were executed.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Executes a call.
    pub fn execute(&mut self, call: &Call) -> Executed {
        let before = call.key().and_then(|key| self.keys.get(key)).copied();
        let (answer, changes) = if call.guard().holds(before.map(|key| key.modified)) {
            self.effect(call, before)
        } else {
            (Answer::GuardFailed, Vec::new())
        };
        self.revision += u64::from(answer.is_executed());
        for Change { key, after } in &changes {
            match after {
                Some(version) => self.keys.insert(Key::clone(key), *version),
                None => self.keys.remove(key),
            };
        }
        Executed { revision: self.revision, answer, before, changes }
    }

    fn effect(&self, call: &Call, before: Option<Version>) -> (Answer, Vec<Change>) {
        let key = |key: &Key| Change { key: Key::clone(key), after: None };
        let deleted = |changes: Vec<Change>| (Answer::Deleted(changes.len() as u64), changes);
        match call {
            Call::Read { .. } | Call::List { .. } => (self.read(call), Vec::new()),
            Call::Put { key: put, value, .. } => {
                let modified = self.revision + 1;
                let (created, version) =
                    before.map_or((modified, 1), |key| (key.created, key.version + 1));
                let after = Some(Version { value: *value, modified, created, version });
                (Answer::Put, vec![Change { after, ..key(put) }])
            }
            Call::Delete { key: one, .. } => {
                deleted(before.map(|_| key(one)).into_iter().collect())
            }
            Call::DeletePrefix { prefix } => {
                let below = Listing::of_prefix(prefix).among(&self.keys).into_iter();
                deleted(below.map(|(one, _)| key(one)).collect())
            }
            Call::Transaction(transaction) => self.take(transaction),
        }
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
            | Call::Transaction(_) => unreachable!("only reads read"),
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
        assert_eq!(refused, Executed { revision: 1, answer, before, changes });
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
        let left: Vec<&str> = reference.keys().keys().map(|key| &**key).collect();
        assert_eq!(left, ["b"]);
    }
}
