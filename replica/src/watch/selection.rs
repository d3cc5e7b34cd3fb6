//! Which keys a watcher is told of.

use bytes::Bytes;

use crate::store::{above_prefix, lowest_above};

/// The keys from one up to, and without, another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRange {
    /// The lowest key.
    pub(crate) from: Bytes,
    /// The bound.
    pub(crate) below: Bytes,
}

impl KeyRange {
    /// One key.
    pub(crate) fn of_key(key: &str) -> Self {
        Self { from: Bytes::copy_from_slice(key.as_bytes()), below: lowest_above(key.as_bytes()) }
    }

    /// All keys with a prefix.
    pub(crate) fn of_prefix(prefix: &str) -> Self {
        let prefix = prefix.as_bytes();
        Self { from: Bytes::copy_from_slice(prefix), below: above_prefix(prefix) }
    }
}

/// Some ranges, in order and apart, so that a key is in one of them at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection(Vec<KeyRange>);

impl Selection {
    /// The keys of any of these ranges; of none where there are none.
    pub(crate) fn of(mut ranges: Vec<KeyRange>) -> Self {
        ranges.sort_by(|one, other| one.from.cmp(&other.from));
        let mut apart: Vec<KeyRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match apart.last_mut().filter(|last| range.from <= last.below) {
                Some(last) => last.below = range.below.max(std::mem::take(&mut last.below)),
                None => apart.push(range),
            }
        }
        Self(apart)
    }

    /// The ranges.
    pub(crate) fn ranges(&self) -> &[KeyRange] {
        &self.0
    }

    /// From the first to the last of them, with what lies between.
    pub(crate) fn span(&self) -> KeyRange {
        let bound = |range: Option<&KeyRange>, of: fn(&KeyRange) -> &Bytes| {
            range.map(|range| of(range).clone()).unwrap_or_default()
        };
        KeyRange {
            from: bound(self.0.first(), |range| &range.from),
            below: bound(self.0.last(), |range| &range.below),
        }
    }

    /// Whether the key is in one of them.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        let after = self.0.partition_point(|range| *range.from <= *key);
        self.0[..after].last().is_some_and(|range| *key < *range.below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(keys: &[&str], prefixes: &[&str]) -> Selection {
        let keys = keys.iter().map(|key| KeyRange::of_key(key));
        Selection::of(
            keys.chain(prefixes.iter().map(|prefix| KeyRange::of_prefix(prefix))).collect(),
        )
    }

    #[test]
    fn a_key_is_selected_exactly_when_one_of_the_ranges_has_it() {
        let (keys, prefixes) = (["b", "a/", "zz"], ["a/b", "c", "ca", "", "d"]);
        for chosen in 0..1_u32 << (keys.len() + prefixes.len()) {
            let is_chosen = |at: usize| chosen & (1 << at) != 0;
            let keys: Vec<&str> = (0..3).filter(|at| is_chosen(*at)).map(|at| keys[at]).collect();
            let prefixes: Vec<&str> =
                (0..5).filter(|at| is_chosen(at + 3)).map(|at| prefixes[at]).collect();
            let selected = selection(&keys, &prefixes);
            for key in ["a", "a/", "a/b", "a/b/c", "a/c", "b", "b\0", "c", "cab", "e", "zz", "zzz"]
            {
                let expected =
                    keys.contains(&key) || prefixes.iter().any(|prefix| key.starts_with(prefix));
                let found = selected.contains(key.as_bytes());
                assert_eq!(found, expected, "{key} in {keys:?} and {prefixes:?}");
                let span = selected.span();
                let is_within = *span.from <= *key.as_bytes() && *key.as_bytes() < *span.below;
                assert!(is_within || !expected, "{key} in the span of {selected:?}");
            }
            let apart = selected.ranges().windows(2).all(|pair| pair[0].below < pair[1].from);
            assert!(apart, "{selected:?}");
        }
    }
}
