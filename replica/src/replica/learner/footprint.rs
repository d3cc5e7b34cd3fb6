//! See [`Replica::footprint`](crate::replica::Replica::footprint).

use std::hash::{DefaultHasher, Hash};

use super::Learner;

impl Learner {
    pub(crate) fn footprint(&self, hasher: &mut DefaultHasher) {
        let Self {
            entry_limit: _,
            byte_limit: _,
            run_entries: _,
            run_bytes: _,
            stored_below,
            executed_below,
            executing_below,
            learned_below,
            chosen_below,
            stop_at,
            claims: _,
            entries,
            hashes: _,
            agreed_below,
            bytes: _,
            unexecuted: _,
            unexecuted_bytes: _,
        } = self;
        (stored_below, executed_below, executing_below).hash(hasher);
        (learned_below, chosen_below, stop_at, agreed_below, entries.len()).hash(hasher);
        entries.values().for_each(|entry| (entry.slot, entry.ballot, &entry.value).hash(hasher));
    }
}
