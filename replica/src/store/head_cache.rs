//! The heads of keys that were looked at last, as the tables have them: a key that is
//! written again and again is not asked for in the database each time.
//!
//! Only the writer changes the tables, and it says here what it writes ([`HeadCache::note`]),
//! so what is here is what a query would find. Not here are keys that a deletion of many
//! hides, and none that is bound to a lease, for the end of a lease would have to look for
//! its keys among all.
#![expect(clippy::disallowed_types, reason = "nothing depends on the order in a cache")]

use std::collections::HashMap;
use std::mem;

use crate::machine::keys::{KeyRows, RangeTombstone, Record, VersionRow};

/// Roughly so much memory each of the two generations takes: ten thousand keys and more.
const GENERATION_BYTES: usize = 2 << 20;
/// The most deletions of prefixes for which all heads are looked at.
const RANGES: usize = 8;
/// What a head takes beside its key, roughly.
const HEAD_BYTES: usize = 160;

/// The heads. In two generations: once the younger is full, it becomes the older, and what
/// the older had is forgotten; what is found in the older moves to the younger.
#[derive(Debug)]
pub(super) struct HeadCache {
    young: Generation,
    old: Generation,
    generation_bytes: usize,
}

#[derive(Debug, Default)]
struct Generation {
    heads: HashMap<String, Record>,
    bytes: usize,
}

impl HeadCache {
    /// Empty.
    pub(super) fn new() -> Self {
        Self::with_bytes(GENERATION_BYTES)
    }

    fn with_bytes(generation_bytes: usize) -> Self {
        Self { young: Generation::default(), old: Generation::default(), generation_bytes }
    }

    /// The head of a key, if it is here.
    pub(super) fn get(&mut self, key: &str) -> Option<Record> {
        if let Some(head) = self.young.heads.get(key) {
            return Some(head.clone());
        }
        let (key, head) = self.old.remove(key)?;
        self.insert(key, head.clone());
        Some(head)
    }

    /// Keeps what a query found.
    pub(super) fn keep(&mut self, key: &str, head: &Record) {
        if head.lease.is_none() {
            self.insert(key.to_owned(), head.clone());
        }
    }

    /// Follows what is written to the tables.
    pub(super) fn note(&mut self, rows: &KeyRows) {
        // A roll-back wrote keys that it did not look at; and forgetting all costs less than
        // looking at all again and again.
        if !rows.restored.is_empty() || rows.ranges.len() > RANGES {
            *self = Self::with_bytes(self.generation_bytes);
        }
        // What of these keys was written after them comes with the versions.
        self.young.remove_deleted(&rows.ranges);
        self.old.remove_deleted(&rows.ranges);
        for row in &rows.versions {
            self.young.remove(&row.key);
            self.old.remove(&row.key);
            if let Some(head) = head_of(row) {
                self.insert(row.key.clone(), head);
            }
        }
    }

    fn insert(&mut self, key: String, head: Record) {
        if self.young.bytes + bytes(&key) > self.generation_bytes {
            self.old = mem::take(&mut self.young);
        }
        self.young.remove(&key);
        self.young.bytes += bytes(&key);
        self.young.heads.insert(key, head);
    }
}

impl Generation {
    fn remove(&mut self, key: &str) -> Option<(String, Record)> {
        let removed = self.heads.remove_entry(key)?;
        self.bytes -= bytes(key);
        Some(removed)
    }

    fn remove_deleted(&mut self, ranges: &[RangeTombstone]) {
        if ranges.is_empty() {
            return;
        }
        let Self { heads, bytes: taken } = self;
        heads.retain(|key, _| {
            let is_deleted = ranges.iter().any(|range| key.starts_with(&range.prefix));
            if is_deleted {
                *taken -= bytes(key);
            }
            !is_deleted
        });
    }
}

fn bytes(key: &str) -> usize {
    HEAD_BYTES + key.len()
}

/// What a query would find of a key that was written so.
fn head_of(row: &VersionRow) -> Option<Record> {
    let content = row.content.as_ref().filter(|_| row.lease.is_none())?;
    Some(Record {
        revision: row.revision,
        created_revision: row.created_revision,
        version: row.version,
        lease: None,
        content_bytes: content.bytes(),
        content: None,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shared::ids::{LeaseId, Revision};

    use super::*;
    use crate::machine::keys::{Content, RestoredRow};

    fn content() -> Content {
        Content { value: Bytes::from_static(b"value"), content_type: Some("a/b".to_owned()) }
    }

    fn written(key: &str, revision: u64) -> VersionRow {
        VersionRow {
            key: key.to_owned(),
            revision: Revision(revision),
            created_revision: Revision(1),
            version: revision,
            lease: None,
            content: Some(content()),
        }
    }

    fn wrote(versions: Vec<VersionRow>) -> KeyRows {
        KeyRows { versions, ..KeyRows::default() }
    }

    fn revisions(cache: &mut HeadCache, keys: &[&str]) -> Vec<Option<u64>> {
        keys.iter().map(|key| cache.get(key).map(|head| head.revision.0)).collect()
    }

    #[test]
    fn what_is_written_is_found_as_a_query_would_find_it() {
        let mut cache = HeadCache::new();
        cache.note(&wrote(vec![written("a", 3), written("a", 4)]));
        let head = Record {
            revision: Revision(4),
            created_revision: Revision(1),
            version: 4,
            lease: None,
            content_bytes: 8,
            content: None,
        };
        assert_eq!(cache.get("a"), Some(head));
        assert_eq!(cache.get("b"), None);
    }

    #[test]
    fn what_is_deleted_is_not_here_any_more() {
        let mut cache = HeadCache::new();
        cache.note(&wrote(vec![written("a", 1), written("b", 2)]));
        cache.note(&wrote(vec![VersionRow { content: None, ..written("a", 3) }]));
        assert_eq!(revisions(&mut cache, &["a", "b"]), [None, Some(2)]);
    }

    #[test]
    fn what_a_deletion_of_a_prefix_hides_is_not_here_but_what_was_written_after_it_is() {
        let mut cache = HeadCache::new();
        cache.note(&wrote(["a", "a/1", "a/2", "b"].map(|key| written(key, 1)).to_vec()));
        let ranges = vec![RangeTombstone { prefix: "a/".to_owned(), revision: Revision(2) }];
        cache.note(&KeyRows { ranges, versions: vec![written("a/2", 3)], ..KeyRows::default() });
        let found = revisions(&mut cache, &["a", "a/1", "a/2", "b"]);
        assert_eq!(found, [Some(1), None, Some(3), Some(1)]);
    }

    #[test]
    fn nothing_is_here_that_is_bound_to_a_lease() {
        let mut cache = HeadCache::new();
        cache.note(&wrote(vec![written("a", 1)]));
        cache.note(&wrote(vec![VersionRow { lease: Some(LeaseId(7)), ..written("a", 2) }]));
        let head = head_of(&written("b", 1)).unwrap();
        cache.keep("b", &Record { lease: Some(LeaseId(7)), ..head });
        assert_eq!(revisions(&mut cache, &["a", "b"]), [None, None]);
    }

    #[test]
    fn after_a_roll_back_nothing_is_here() {
        let mut cache = HeadCache::new();
        cache.note(&wrote(vec![written("a", 1)]));
        let restored = vec![RestoredRow {
            key: "a".to_owned(),
            revision: Revision(3),
            created_revision: Revision(1),
            version: 2,
            content_of: Revision(1),
            content_bytes: 8,
        }];
        cache.note(&KeyRows { restored, ..KeyRows::default() });
        assert_eq!(revisions(&mut cache, &["a"]), [None]);
    }

    #[test]
    fn its_memory_is_bounded_and_what_is_looked_at_stays_longest() {
        let mut cache = HeadCache::with_bytes(4 * bytes("k0"));
        let keys: Vec<String> = (0..8).map(|number| format!("k{number}")).collect();
        for key in &keys {
            cache.note(&wrote(vec![written(key, 1)]));
            assert!(cache.get("k0").is_some(), "{key}");
            assert!(cache.young.bytes.max(cache.old.bytes) <= 4 * bytes("k0"));
        }
        let kept = keys.iter().filter(|key| cache.get(key).is_some()).count();
        assert!((2..=7).contains(&kept), "{kept}");
        for Generation { heads, bytes: counted } in [&cache.young, &cache.old] {
            assert_eq!(heads.keys().map(|key| bytes(key)).sum::<usize>(), *counted);
        }
    }
}
