//! What a transaction writes: many keys at one revision, each in one row at most.

use std::collections::BTreeMap;

use shared::ids::Revision;

use super::{Deletion, Keys, Record};

/// What is to be written at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::machine) struct KeyWrites {
    /// Keys, and what they are in the end; none: they do not exist.
    pub(in crate::machine) keys: BTreeMap<String, Option<Record>>,
    /// Prefixes of which every other key is deleted. None is the beginning of another.
    pub(in crate::machine) prefixes: Vec<String>,
}

impl Keys {
    /// Writes it: what comes of it is the same as the deletion of the prefixes, and then
    /// the writes and deletions of keys, but for the rows of keys that are written again.
    pub(in crate::machine) fn write(&mut self, writes: KeyWrites, revision: Revision) {
        let KeyWrites { keys, prefixes } = writes;
        for prefix in prefixes {
            for key in self.with_prefix(&prefix) {
                let is_written_again = matches!(keys.get(&key), Some(Some(_)));
                if is_written_again {
                    self.records.remove(&key);
                } else {
                    self.remove(key, Deletion { revision, expired: None });
                }
            }
            self.note_deleted(prefix, revision);
        }
        for (key, record) in keys {
            match record {
                Some(record) => self.put(key, record),
                None => self.delete(key, revision),
            }
        }
    }
}
