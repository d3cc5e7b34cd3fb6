//! Transactions: several steps on several keys that happen as one, or their alternative.

use std::collections::BTreeMap;

use super::{Guard, Key, Listing, Page, Seen, Value, Version};

/// What a transaction asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What must hold of which keys for `then` to be taken.
    pub guards: Vec<(Key, Guard)>,
    /// What is done where all of it holds …
    pub then: Vec<Step>,
    /// … and where it does not.
    pub otherwise: Vec<Step>,
}

/// One step. Later ones see what earlier ones did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Writes a key.
    Put {
        /// Which.
        key: Key,
        /// What.
        value: Value,
    },
    /// Deletes a key.
    Delete {
        /// Which.
        key: Key,
    },
    /// Deletes all keys that start with a prefix.
    DeletePrefix {
        /// Which.
        prefix: Key,
    },
    /// Reads a key.
    Read {
        /// Which.
        key: Key,
    },
    /// Reads the first keys that start with a prefix.
    List {
        /// Which.
        prefix: Key,
        /// The most keys.
        limit: usize,
    },
}

/// What came of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether the guards held.
    pub succeeded: bool,
    /// Whether it wrote: whether the revision is its own.
    pub wrote: bool,
    /// What came of each step.
    pub results: Vec<StepResult>,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepResult {
    /// It was written.
    Put {
        /// The revision at which the key was created.
        created: u64,
        /// The writes since, with this one.
        version: u64,
    },
    /// So many keys went.
    Deleted(u64),
    /// What the key was.
    Read(Option<Version>),
    /// What the first keys were.
    Listed {
        /// The keys.
        items: Vec<(Key, Version)>,
        /// Whether there are more.
        has_more: bool,
    },
}

/// What a branch leaves of a key that it touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// This value.
    Put(Value),
    /// Nothing.
    Delete,
}

impl Transaction {
    /// What is done where the guards hold, or where they do not.
    #[must_use]
    pub fn branch(&self, succeeded: bool) -> &[Step] {
        if succeeded { &self.then } else { &self.otherwise }
    }

    /// The keys that it names.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        let steps = self.then.iter().chain(&self.otherwise);
        self.guards.iter().map(|(key, _)| key).chain(steps.filter_map(Step::key))
    }
}

impl Step {
    fn key(&self) -> Option<&Key> {
        match self {
            Self::Put { key, .. } | Self::Delete { key } | Self::Read { key } => Some(key),
            Self::DeletePrefix { .. } | Self::List { .. } => None,
        }
    }

    /// Whether it may change something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        match self {
            Self::Put { .. } | Self::Delete { .. } | Self::DeletePrefix { .. } => true,
            Self::Read { .. } | Self::List { .. } => false,
        }
    }

    fn effect(&self, of: &str) -> Option<Effect> {
        match self {
            Self::Put { key, value } if **key == *of => Some(Effect::Put(*value)),
            Self::Delete { key } if **key == *of => Some(Effect::Delete),
            Self::DeletePrefix { prefix } if of.starts_with(&**prefix) => Some(Effect::Delete),
            Self::Put { .. }
            | Self::Delete { .. }
            | Self::DeletePrefix { .. }
            | Self::Read { .. }
            | Self::List { .. } => None,
        }
    }
}

/// What these steps leave of a key, if they touch it.
#[must_use]
pub fn effect(steps: &[Step], key: &str) -> Option<Effect> {
    steps.iter().rev().find_map(|step| step.effect(key))
}

/// What each key was that a transaction read and did not write, of all in a map.
#[must_use]
pub fn read_only(
    steps: &[Step],
    results: &[StepResult],
    all: &BTreeMap<Key, ()>,
) -> BTreeMap<Key, Option<Seen>> {
    let mut read = BTreeMap::new();
    for (step, result) in steps.iter().zip(results) {
        match (step, result) {
            (Step::Read { key }, StepResult::Read(version)) => {
                read.insert(Key::clone(key), version.map(Seen::from));
            }
            (Step::List { prefix, limit }, StepResult::Listed { items, has_more }) => {
                let seen = |(key, version): &(Key, Version)| (Key::clone(key), (*version).into());
                let items: Vec<(Key, Seen)> = items.iter().map(seen).collect();
                let found: BTreeMap<Key, Seen> = items.iter().cloned().collect();
                let listing = Listing { limit: Some(*limit), ..Listing::of_prefix(prefix) };
                let page = Page { items, has_more: *has_more };
                for key in listing.spoken_of(&page, all) {
                    read.insert(Key::clone(key), found.get(key).copied());
                }
            }
            _ => {}
        }
    }
    read.retain(|key, _| effect(steps, key).is_none());
    read
}

/// Executes steps on a map, at a revision; says what comes of each.
pub(super) fn execute(
    keys: &mut BTreeMap<Key, Version>,
    steps: &[Step],
    revision: u64,
) -> Vec<StepResult> {
    let mut results = Vec::new();
    for step in steps {
        results.push(match step {
            Step::Put { key, value } => {
                let before = keys.get(key);
                let (created, version) =
                    before.map_or((revision, 1), |key| (key.created, key.version + 1));
                let after = Version { value: *value, modified: revision, created, version };
                keys.insert(Key::clone(key), after);
                StepResult::Put { created, version }
            }
            Step::Delete { key } => StepResult::Deleted(u64::from(keys.remove(key).is_some())),
            Step::DeletePrefix { prefix } => {
                let before = keys.len();
                keys.retain(|key, _| !key.starts_with(&**prefix));
                StepResult::Deleted((before - keys.len()) as u64)
            }
            Step::Read { key } => StepResult::Read(keys.get(key).copied()),
            Step::List { prefix, limit } => {
                let listed = Listing::of_prefix(prefix).among(keys);
                let has_more = listed.len() > *limit;
                let item = |(key, version): (&Key, &Version)| (Key::clone(key), *version);
                let items = listed.into_iter().take(*limit).map(item).collect();
                StepResult::Listed { items, has_more }
            }
        });
    }
    results
}
