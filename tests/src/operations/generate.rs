//! What clients make up to ask for, and what they remember of the answers: the newest
//! revision of each key, so that a compare-and-swap succeeds about as often as it fails.

pub mod kind;
mod learn;

use std::collections::BTreeMap;

use self::kind::{Kind, Weights};
use super::access::ROOT;
use super::{
    AccessCall, AccessDeed, Call, Consistency, Guard, Key, Listing, Order, Step, TenureCall,
    Transaction, Value,
};
use crate::random::{MILLION, Random};

/// What a client names: few keys make conflicts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Keys, of which there is at least one.
    pub keys: Vec<Key>,
    /// Prefixes that are listed, at least one where lists have a weight.
    pub listed: Vec<Key>,
    /// Prefixes that are deleted or rolled back, at least one where that has a weight.
    pub deleted: Vec<Key>,
    /// The longest page of a listing; none: all listings are whole.
    pub page: Option<usize>,
}

/// Reads of the past go back so many revisions, and sometimes as far ahead of what is
/// known.
const PAST: u64 = 100;
const FUTURE: u64 = 3;

/// Makes up a client's calls.
#[derive(Clone, Debug, Default)]
pub struct Generator {
    /// The newest revision seen of a key.
    seen: BTreeMap<Key, u64>,
    /// The newest revision seen of the state.
    newest: u64,
    /// Leases that were granted to its client, the newest last.
    leases: Vec<u64>,
    /// The newest fence that it has heard of of each lock.
    fences: BTreeMap<Key, u64>,
    /// Places in lines that were heard of: lock, lease, and since when.
    waits: Vec<(Key, u64, u64)>,
}

/// Locks, of which there are few.
const LOCKS: [&str; 2] = ["l", "m"];
/// How keys begin that go with leases; no others do.
pub const LEASED_PREFIX: &str = "leased/";
/// Which they are.
const LEASED: [&str; 2] = ["leased/1", "leased/2"];
impl Generator {
    /// The newest revision that its client has heard of.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// The next call. Where it is a put, of this value.
    pub fn generate(
        &self,
        random: &mut Random,
        weights: &Weights,
        names: &Names,
        value: Value,
    ) -> Call {
        let key = Key::clone(random.pick(&names.keys));
        match Kind::ALL[random.weighted(&weights.0)] {
            Kind::Read => Call::read(&key),
            Kind::LocalRead => Call::Read { key, at: None, consistency: self.local(random) },
            Kind::PastRead => {
                let (at, consistency) = self.past(random);
                Call::Read { key, at: Some(at), consistency }
            }
            Kind::List => {
                let listing = listing(random, names);
                Call::List { listing, at: None, consistency: Consistency::Linearizable }
            }
            Kind::LocalList => {
                let (listing, consistency) = (listing(random, names), self.local(random));
                Call::List { listing, at: None, consistency }
            }
            Kind::PastList => {
                let (listing, (at, consistency)) = (listing(random, names), self.past(random));
                Call::List { listing, at: Some(at), consistency }
            }
            Kind::Put => Call::Put { key, value, guard: Guard::Always },
            Kind::ComparedPut => {
                let guard = self.guard(random, &key);
                Call::Put { key, value, guard }
            }
            Kind::Delete => Call::Delete { key, guard: Guard::Always },
            Kind::ComparedDelete => {
                let guard = self.guard(random, &key);
                Call::Delete { key, guard }
            }
            Kind::DeletePrefix => {
                Call::DeletePrefix { prefix: Key::clone(random.pick(&names.deleted)) }
            }
            Kind::Transaction => Call::Transaction(self.transaction(random, names, value)),
            Kind::Append => Call::Append { value },
            Kind::Rollback => {
                let (prefix, (to, _)) =
                    (Key::clone(random.pick(&names.deleted)), self.past(random));
                Call::Rollback { prefix, to }
            }
            Kind::Tenure => Call::Tenure(self.tenure(random, key, value)),
            Kind::Compact => Call::Compact { below: self.to_be_kept(random) },
            Kind::Access => Call::Access(access(random, key, value)),
        }
    }

    fn tenure(&self, random: &mut Random, key: Key, value: Value) -> TenureCall {
        let lock = Key::from(*random.pick(&LOCKS));
        let drawn = random.below(12);
        let Some(lease) = (!self.leases.is_empty()).then(|| *random.pick(&self.leases)) else {
            return TenureCall::Grant { ttl_ms: random.between(100, 8_000) };
        };
        match drawn {
            0 | 1 => TenureCall::Grant { ttl_ms: random.between(100, 8_000) },
            2 | 3 => TenureCall::Renew { lease },
            4 => TenureCall::Revoke { lease },
            5 | 6 => TenureCall::LeasedPut { lease, key: Key::from(*random.pick(&LEASED)), value },
            7 | 8 => TenureCall::Acquire { lock, lease, wait: random.chance(MILLION * 3 / 4) },
            9 => TenureCall::Release { lock, lease },
            10 if !self.waits.is_empty() => {
                let (lock, lease, since) = random.pick(&self.waits).clone();
                TenureCall::Leave { lock, lease, since }
            }
            _ => match self.fences.get(&lock).copied() {
                Some(fence) => TenureCall::FencedPut { lock, fence, key, value },
                None => TenureCall::Acquire { lock, lease, wait: true },
            },
        }
    }

    /// Guards on one key or two, and a few steps. What it puts are values of its own, each
    /// of one length.
    fn transaction(&self, random: &mut Random, names: &Names, value: Value) -> Transaction {
        let guards = (0..random.below(3))
            .map(|_| {
                let key = Key::clone(random.pick(&names.keys));
                let guard = self.guard(random, &key);
                (key, guard)
            })
            .collect();
        let (then, otherwise) = (1 + random.index(4), random.index(3));
        let mut longer = (1..).map(|by| value.longer(by));
        let mut steps = |count: usize| -> Vec<Step> {
            let value = || longer.next().expect("there is always a longer one");
            std::iter::repeat_with(value).take(count).map(|it| step(random, names, it)).collect()
        };
        Transaction { guards, then: steps(then), otherwise: steps(otherwise) }
    }

    fn local(&self, random: &mut Random) -> Consistency {
        let at_least = if random.chance(MILLION / 2) { self.newest } else { 0 };
        Consistency::Local { at_least }
    }

    fn past(&self, random: &mut Random) -> (u64, Consistency) {
        let at = random.between(self.newest.saturating_sub(PAST), self.newest + FUTURE);
        let is_local = random.chance(MILLION / 2);
        (at, if is_local { self.local(random) } else { Consistency::Linearizable })
    }

    /// Mostly so old that most of what is read of the past is kept.
    fn to_be_kept(&self, random: &mut Random) -> u64 {
        match random.below(8) {
            0 => self.newest + random.between(0, FUTURE),
            _ => self.newest.saturating_sub(random.between(PAST / 2, PAST)),
        }
    }

    fn guard(&self, random: &mut Random, key: &Key) -> Guard {
        match (random.below(5), self.seen.get(key)) {
            (0, _) => Guard::Exists,
            (1, _) | (_, None) => Guard::Absent,
            (_, Some(revision)) => Guard::Revision(*revision),
        }
    }
}

/// So many tokens there are beside the first, and policies.
const TOKENS: u64 = 3;
const POLICIES: u64 = 2;
/// How the keys begin that policies let be written.
const ALLOWED: [&str; 4] = ["", "a", "ab", "b"];

/// Mostly what the first token may do and the others may not, and puts of the others.
fn access(random: &mut Random, key: Key, value: Value) -> AccessCall {
    let (token, policy) = (1 + random.below(TOKENS), random.below(POLICIES));
    let deed = match random.below(16) {
        0 | 1 => AccessDeed::Bootstrap,
        2 | 3 => AccessDeed::Create { token, policy },
        4 => AccessDeed::End { token },
        5 | 6 => AccessDeed::Allow { policy, prefix: Key::from(*random.pick(&ALLOWED)) },
        7 => AccessDeed::Forbid { policy },
        _ => AccessDeed::Put { key, value },
    };
    let is_root = match deed {
        AccessDeed::Bootstrap => true,
        AccessDeed::Put { .. } => false,
        AccessDeed::Create { .. }
        | AccessDeed::End { .. }
        | AccessDeed::Allow { .. }
        | AccessDeed::Forbid { .. } => random.chance(MILLION * 7 / 8),
    };
    let by = if is_root { ROOT } else { 1 + random.below(TOKENS) };
    AccessCall { by, deed }
}

/// One step of a transaction; where it is a put, of this value.
fn step(random: &mut Random, names: &Names, value: Value) -> Step {
    let key = Key::clone(random.pick(&names.keys));
    match random.below(10) {
        0 | 1 => Step::Delete { key },
        2 if !names.deleted.is_empty() => {
            Step::DeletePrefix { prefix: Key::clone(random.pick(&names.deleted)) }
        }
        3 | 4 => Step::Read { key },
        5 if !names.listed.is_empty() => {
            let prefix = Key::clone(random.pick(&names.listed));
            Step::List { prefix, limit: 1 + random.index(names.keys.len()) }
        }
        _ => Step::Put { key, value },
    }
}

/// All keys with a prefix, or only those from one on or up to one.
fn listing(random: &mut Random, names: &Names) -> Listing {
    let prefix = Key::clone(random.pick(&names.listed));
    let all = Listing::of_prefix(&prefix);
    let bound = Key::clone(random.pick(&names.keys));
    let order = *random.pick(&[Order::Ascending, Order::Descending]);
    let limit = names.page.and_then(|page| random.chance(600_000).then(|| 1 + random.index(page)));
    match random.below(4) {
        0 => Listing { start: bound, order, limit, ..all },
        1 => Listing { end: Some(bound), order, limit, ..all },
        _ => Listing { order, limit, ..all },
    }
}

#[cfg(test)]
mod tests;
