//! Steps that were taken before.
//!
//! The state of the world changes in one place at a time, and places are in far fewer states than the world. So what a core made of an
//! input in a state is kept, by digest, and not asked for again: the same core would do the same again.

use std::collections::BTreeMap;
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
    /// What came of it, by asking the core only the first time. The key is a digest of the place, its state and the input.
    pub(crate) fn recall(&self, key: u64, ask: impl FnOnce() -> T) -> T {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(key).or_insert_with(ask).clone()
    }
}
