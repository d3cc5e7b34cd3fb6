//! What commands look at of the keys, and what is found of it.

use std::collections::{BTreeMap, BTreeSet};

use shared::ids::LeaseId;

use super::{ChangedKeys, Content, Record, RollbackScan};

/// All of a value.
pub const WHOLE: usize = usize::MAX;

/// What commands look at of the keys that is not loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyNeeds {
    /// Whether these exist, and all of them but their contents.
    pub heads: BTreeSet<String>,
    /// The contents of these, which exist: of each value the first so many bytes. They are
    /// for one command and forgotten after it.
    pub contents: BTreeMap<String, usize>,
    /// The first keys of these ranges.
    pub scans: Vec<KeyScan>,
    /// The keys that are changed since a revision. They are to be found in the state as it
    /// is, with all that was executed before.
    pub rollback: Option<RollbackScan>,
}

/// The keys that exist from one on and below another, by bytes: the first so many, without
/// their contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyScan {
    /// The lowest key.
    pub from: Vec<u8>,
    /// Keys from here on are not looked at.
    pub below: Vec<u8>,
    /// How many.
    pub at_most: usize,
    /// Keys that are bound to these are passed over.
    pub but_for: Vec<LeaseId>,
}

impl KeyNeeds {
    /// How many things are to be looked up.
    #[must_use]
    pub fn len(&self) -> usize {
        let scanned: usize = self.scans.iter().map(|scan| scan.at_most).sum();
        self.heads.len() + self.contents.len() + scanned + usize::from(self.rollback.is_some())
    }

    /// Whether nothing is lacking.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds what else is lacking.
    pub(in crate::machine) fn add(&mut self, other: Self) {
        let Self { heads, contents, scans, rollback } = other;
        self.heads.extend(heads);
        for (key, bytes) in contents {
            let known = self.contents.entry(key).or_default();
            *known = bytes.max(*known);
        }
        self.scans.extend(scans);
        self.rollback = rollback.or_else(|| self.rollback.take());
    }
}

/// What was found of [`KeyNeeds`], as it is in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadedKeys {
    /// Those that exist of the heads.
    pub heads: Vec<(String, Record)>,
    /// The contents, each value as far as it was asked for, or further.
    pub contents: Vec<(String, Content)>,
    /// What each scan found, in their order.
    pub scans: Vec<Vec<(String, Record)>>,
    /// The changed keys, where they were asked for.
    pub rollback: Option<ChangedKeys>,
}
