//! Steps that were taken before.
//!
//! The state of the world changes in one place at a time, and places are in far fewer
//! states than the world. So what a core made of an input in a state is kept, by digest,
//! and not asked for again: the same core would do the same again.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

/// What came of each input in each state.
#[derive(Debug)]
pub(crate) struct Memo<T>(Mutex<BTreeMap<u64, T>>);

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }
}

impl<T: Clone> Memo<T> {
    /// What came of it, by asking the core only the first time. The key is a digest of
    /// the place, its state and the input.
    pub(crate) fn recall(&self, key: u64, ask: impl FnOnce() -> T) -> T {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(key).or_insert_with(ask).clone()
    }
}

/// Two digests in one, in this order (the mixer of Steele, Lea and Flood, *Fast
/// Splittable Pseudorandom Number Generators*, 2014).
pub(crate) fn join(one: u64, other: u64) -> u64 {
    let mut mixed = one.rotate_left(23).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ other;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A digest of an encoded value.
pub(crate) fn digest_of(value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
