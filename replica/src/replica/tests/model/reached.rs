//! What no run of the model may miss.

use std::collections::BTreeMap;

/// How often the rare things happened.
#[derive(Debug, Default)]
pub(super) struct Reached(BTreeMap<&'static str, u64>);

impl Reached {
    pub(super) fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    /// Says that none of the things to be reached was missed.
    pub(super) fn check_all(&self) {
        let all = [
            "executed",
            "not applied",
            "unknown",
            "served",
            "view",
            "other epoch",
            "too early",
            "repeated",
        ];
        let missed: Vec<_> = all.into_iter().filter(|what| !self.0.contains_key(what)).collect();
        assert!(missed.is_empty(), "never reached: {missed:?}; reached: {self:?}");
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }
}
