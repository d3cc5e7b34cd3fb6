//! What a token may do: the rules of all its policies together.
//!
//! Of the rules whose prefix a key starts with, the one with the longest decides, and rules
//! with the same prefix join their rights. So the rules cut all keys into regions: one for
//! each prefix, of the keys that no longer prefix speaks of. Questions about *all* or *some*
//! keys with a prefix are questions about the regions that such keys are in: the one that the
//! prefix itself is in, and those of the rules below it.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use super::policy::{ClusterRights, Policy, Rights, Rule};

/// The rules of some policies, joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// By prefix.
    regions: Vec<Region>,
    cluster: ClusterRights,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Region {
    prefix: String,
    rights: Rights,
    /// The one with the longest prefix that this one's starts with.
    parent: Option<usize>,
}

impl Granted {
    /// Joins policies.
    #[must_use]
    pub fn of<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Self {
        let mut rights = BTreeMap::<&str, Rights>::new();
        let mut cluster = ClusterRights::NONE;
        for policy in policies {
            cluster = cluster.and(policy.cluster);
            for rule in &policy.rules {
                let joined = rights.entry(&rule.prefix).or_default();
                *joined = joined.and(rule.rights);
            }
        }
        let mut regions = Vec::<Region>::with_capacity(rights.len());
        for (prefix, rights) in rights {
            let mut parent = regions.len().checked_sub(1);
            while let Some(index) = parent.filter(|at| !prefix.starts_with(&regions[*at].prefix)) {
                parent = regions[index].parent;
            }
            regions.push(Region { prefix: prefix.to_owned(), rights, parent });
        }
        Self { regions, cluster }
    }

    /// Everything.
    #[must_use]
    pub fn root() -> Self {
        Self::of([&Policy::root()])
    }

    /// What may be done with the cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterRights {
        self.cluster
    }

    /// What may be done with a key, or with a lock of that name.
    #[must_use]
    pub fn at(&self, key: &[u8]) -> Rights {
        // All that stands between a prefix of the key and the key starts with that prefix:
        // so the last region up to the key is the one looked for, or within it.
        let up_to = self.regions.partition_point(|region| region.prefix.as_bytes() <= key);
        let mut at = up_to.checked_sub(1);
        while let Some(index) = at {
            let region = &self.regions[index];
            if key.starts_with(region.prefix.as_bytes()) {
                return region.rights;
            }
            at = region.parent;
        }
        Rights::NONE
    }

    /// Whether all of this may be done with every key that starts so.
    #[must_use]
    pub fn whole_prefix(&self, prefix: &[u8], rights: Rights) -> bool {
        let mut below = self.regions[self.below(prefix)].iter();
        self.at(prefix).has_all(rights) && below.all(|region| region.rights.has_all(rights))
    }

    /// Whether all of this may be done with every key.
    #[must_use]
    pub fn everywhere(&self, rights: Rights) -> bool {
        self.whole_prefix(b"", rights)
    }

    /// Whether there is a key that starts so with which all of this may be done.
    #[must_use]
    pub fn somewhere_under(&self, prefix: &[u8], rights: Rights) -> bool {
        let mut below = self.regions[self.below(prefix)].iter();
        self.at(prefix).has_all(rights) || below.any(|region| region.rights.has_all(rights))
    }

    /// Whether there is a key that starts so with which all of this could be done by another
    /// and cannot by this one.
    #[must_use]
    pub fn is_less_under(&self, before: &Self, prefix: &[u8], rights: Rights) -> bool {
        let lost = |at: &[u8]| before.at(at).has_all(rights) && !self.at(at).has_all(rights);
        let below = |granted: &Self| {
            granted.regions[granted.below(prefix)]
                .iter()
                .any(|region| lost(region.prefix.as_bytes()))
        };
        lost(prefix) || below(self) || below(before)
    }

    /// The keys with which all of this may be done: ranges in order and apart, each without
    /// its end.
    #[must_use]
    pub fn ranges(&self, rights: Rights) -> Vec<Range<Bytes>> {
        let mut sweep = Sweep { rights, at: Bytes::new(), ranges: Vec::new() };
        let mut within = Vec::<&Region>::new();
        for region in &self.regions {
            while let Some(ended) = within.pop_if(|outer| !region.prefix.starts_with(&outer.prefix))
            {
                sweep.come_to(above(&ended.prefix), ended.rights);
            }
            let outer = within.last().map_or(Rights::NONE, |outer| outer.rights);
            sweep.come_to(Bytes::copy_from_slice(region.prefix.as_bytes()), outer);
            within.push(region);
        }
        while let Some(ended) = within.pop() {
            sweep.come_to(above(&ended.prefix), ended.rights);
        }
        sweep.ranges
    }

    /// The same as one policy.
    #[must_use]
    pub fn as_policy(&self) -> Policy {
        let rule = |region: &Region| Rule { prefix: region.prefix.clone(), rights: region.rights };
        Policy { rules: self.regions.iter().map(rule).collect(), cluster: self.cluster }
    }

    /// The regions whose prefix starts so.
    fn below(&self, prefix: &[u8]) -> Range<usize> {
        let start = self.regions.partition_point(|region| region.prefix.as_bytes() < prefix);
        let count = self.regions[start..]
            .partition_point(|region| region.prefix.as_bytes().starts_with(prefix));
        start..start + count
    }
}

/// What is above all keys that start so: keys are UTF-8, which has no such byte.
fn above(prefix: &str) -> Bytes {
    Bytes::from([prefix.as_bytes(), b"\xff"].concat())
}

/// Goes through all keys in order.
struct Sweep {
    rights: Rights,
    at: Bytes,
    ranges: Vec<Range<Bytes>>,
}

impl Sweep {
    /// Up to here, from where it was, all keys have these rights.
    fn come_to(&mut self, here: Bytes, rights: Rights) {
        if here <= self.at {
            return;
        }
        let from = std::mem::replace(&mut self.at, here.clone());
        if !rights.has_all(self.rights) {
            return;
        }
        match self.ranges.last_mut().filter(|last| last.end == from) {
            Some(last) => last.end = here,
            None => self.ranges.push(from..here),
        }
    }
}

#[cfg(test)]
mod tests;
