//! The state at one revision, rolled forward over the witness.

use std::collections::BTreeMap;

use super::Version;
use crate::linearizability::history::{Call, Key, ValueId};
use crate::linearizability::listing::Listing;

/// The keys that exist.
#[derive(Debug, Default)]
pub(super) struct State {
    keys: BTreeMap<Key, Version>,
}

/// What a write does to a key.
pub(super) struct Change {
    pub(super) key: Key,
    pub(super) value: Option<ValueId>,
}

impl State {
    pub(super) fn keys(&self) -> &BTreeMap<Key, Version> {
        &self.keys
    }

    /// Executes a call at the next revision. A delete touches only keys that exist.
    pub(super) fn execute(&mut self, revision: u64, call: &Call) -> Vec<Change> {
        let delete = |key: &Key| Change { key: Key::clone(key), value: None };
        let changes = match call {
            Call::Read { .. } | Call::List { .. } => Vec::new(),
            Call::Put { key, value, .. } => {
                vec![Change { key: Key::clone(key), value: Some(*value) }]
            }
            Call::Delete { key, .. } => {
                self.keys.get_key_value(key).map(|(key, _)| delete(key)).into_iter().collect()
            }
            Call::DeletePrefix { prefix } => Listing::of_prefix(prefix)
                .among(&self.keys)
                .into_iter()
                .map(|(key, _)| delete(key))
                .collect(),
        };
        for Change { key, value } in &changes {
            match value {
                Some(value) => {
                    self.keys.insert(Key::clone(key), Version { value: *value, modified: revision })
                }
                None => self.keys.remove(key),
            };
        }
        changes
    }
}
