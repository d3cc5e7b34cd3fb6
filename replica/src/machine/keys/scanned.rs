//! The first keys with a prefix, of a state that knows only some.
//!
//! A range is *known* where all keys of the database in it are loaded, or where the prefix
//! of all of them is deleted: what is not among the records there does not exist.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::{Coverage, KeyNeeds, KeyScan, Keys, Record};

/// At least so many keys are scanned at once, so that a few that are deleted take no round
/// of their own.
const LEAST_SCANNED: usize = 32;

/// The ranges of which all keys are loaded, from their lowest key to the one above all. None
/// is in another.
#[derive(Clone, Debug, Default)]
pub(super) struct Scanned(BTreeMap<Vec<u8>, Vec<u8>>);

impl Scanned {
    pub(super) fn add(&mut self, from: Vec<u8>, below: Vec<u8>) {
        self.0.retain(|first, last| *first < from || *last > below);
        self.0.insert(from, below);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Where the range ends that has this key.
    fn end_of(&self, key: &[u8]) -> Option<&[u8]> {
        let upto = (Bound::Unbounded, Bound::Included(key));
        let (_, below) = self.0.range::<[u8], _>(upto).next_back()?;
        (below.as_slice() > key).then_some(below)
    }
}

/// The bound of the keys that begin so: they are UTF-8, which has no such byte.
pub(super) fn above_prefix(prefix: &str) -> Vec<u8> {
    [prefix.as_bytes(), &[0xff]].concat()
}

impl Keys {
    /// The first keys with a prefix that pass, but for those with one of the prefixes that
    /// are `deleted`.
    ///
    /// # Errors
    /// What is lacking of them.
    pub(in crate::machine) fn first<'a>(
        &'a self,
        prefix: &str,
        deleted: &[&str],
        wanted: usize,
        passes: impl Fn(&str) -> bool,
    ) -> Result<Vec<(&'a str, &'a Record)>, KeyNeeds> {
        let is_left = |key: &str| !deleted.iter().any(|prefix| key.starts_with(prefix));
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let found: Vec<(&str, &Record)> = self
            .records
            .range::<str, _>(from)
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(key, _)| is_left(key) && passes(key))
            .take(wanted)
            .map(|(key, record)| (key.as_str(), record))
            .collect();
        let Coverage::Partial(_) = &self.coverage else { return Ok(found) };
        let end = above_prefix(prefix);
        let known_below = self.known_below(prefix, deleted, &end);
        let is_enough = found.len() == wanted
            && found.last().is_none_or(|(last, _)| last.as_bytes() < known_below.as_slice());
        if known_below >= end || is_enough {
            return Ok(found);
        }
        let known = found.iter().filter(|(key, _)| key.as_bytes() < known_below.as_slice()).count();
        let at_most = (wanted - known).max(LEAST_SCANNED);
        let below = self
            .first_deleted_after(&known_below, deleted)
            .map_or(end.clone(), |first| end.min(first));
        let but_for = self.rows.leases.iter().map(|ended| ended.lease).collect();
        let scan = KeyScan { from: known_below, below, at_most, but_for };
        Err(KeyNeeds { scans: vec![scan], ..KeyNeeds::default() })
    }

    /// The prefixes of which no key of the database is left.
    fn deleted_prefixes<'a>(&'a self, deleted: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let earlier = self.rows.ranges.iter().map(|range| range.prefix.as_str());
        earlier.chain(deleted.iter().copied())
    }

    /// Below which key all with the prefix are known.
    fn known_below(&self, prefix: &str, deleted: &[&str], end: &[u8]) -> Vec<u8> {
        let mut known = prefix.as_bytes().to_vec();
        while known.as_slice() < end {
            let holds = |prefix: &str| {
                prefix.as_bytes() <= known.as_slice() && known < above_prefix(prefix)
            };
            let gone = self.deleted_prefixes(deleted).find(|prefix| holds(prefix));
            let scanned = self.scanned.end_of(&known);
            match (gone.map(above_prefix), scanned) {
                (Some(below), _) => known = below,
                (None, Some(below)) => known = below.to_vec(),
                (None, None) => return known,
            }
        }
        known
    }

    fn first_deleted_after(&self, key: &[u8], deleted: &[&str]) -> Option<Vec<u8>> {
        let after = self.deleted_prefixes(deleted).filter(|prefix| prefix.as_bytes() > key);
        after.min().map(|prefix| prefix.as_bytes().to_vec())
    }

    /// Takes what a scan found.
    pub(super) fn load_scan(&mut self, scan: KeyScan, found: Vec<(String, Record)>) {
        let KeyScan { from, below, at_most, but_for: _ } = scan;
        let below = match found.last() {
            Some((last, _)) if found.len() >= at_most => [last.as_bytes(), &[0]].concat(),
            Some(_) | None => below,
        };
        for (key, record) in found {
            if !self.is_loaded(&key) {
                self.scanned_keys.push(key.clone());
                self.load_head(key, record);
            }
        }
        self.scanned.add(from, below);
    }
}
