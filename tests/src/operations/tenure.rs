//! Leases and locks: what is asked of them, what is heard, and what they are in the
//! reference.

use std::collections::BTreeMap;

use super::{Key, Value};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenureCall {
    /// Grants a lease.
    Grant {
        /// How long it lasts, in milliseconds of replicated time.
        ttl_ms: u64,
    },
    /// Renews one.
    Renew {
        /// Which.
        lease: u64,
    },
    /// Ends one.
    Revoke {
        /// Which.
        lease: u64,
    },
    /// Writes a key that goes with a lease.
    LeasedPut {
        /// Which lease.
        lease: u64,
        /// Which key.
        key: Key,
        /// What.
        value: Value,
    },
    /// Writes a key while a lock is held.
    FencedPut {
        /// Which lock.
        lock: Key,
        /// At which fence.
        fence: u64,
        /// Which key.
        key: Key,
        /// What.
        value: Value,
    },
    /// Asks for a lock.
    Acquire {
        /// Which.
        lock: Key,
        /// For which lease.
        lease: u64,
        /// Whether to get in line for it.
        wait: bool,
    },
    /// Gives a lock up.
    Release {
        /// Which.
        lock: Key,
        /// Who.
        lease: u64,
    },
    /// Gives a place in the line for a lock up. Nobody asks for it: who waits does when its
    /// time is up.
    Leave {
        /// Which lock.
        lock: Key,
        /// Who.
        lease: u64,
        /// Since which revision it is in line.
        since: u64,
    },
    /// A lease's time is over. Nobody asks for it: executing comes to it.
    Expire {
        /// Which.
        lease: u64,
    },
}

/// Who holds a lock: the lease, and its fence.
pub type Holder = (u64, u64);

/// What is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenureAnswer {
    /// The lease is granted: the answer's revision is its id.
    Granted,
    /// The lease is renewed, which lasts so long.
    Renewed(u64),
    /// So many keys went with the lease.
    Ended(u64),
    /// The key is written.
    Put,
    /// There is no such lease.
    NoSuchLease,
    /// The lease holds the lock at this fence, maybe since before.
    Held(u64),
    /// The lease waits for the lock since this revision, maybe since before.
    Waits(u64),
    /// Another holds the lock. The lease may have left the line.
    Busy(Holder),
    /// The lock is given up.
    Released,
    /// The lease does not hold the lock.
    NotHeld(Option<Holder>),
    /// The lock is not held at the fence.
    FenceFailed(Option<Holder>),
}

impl TenureCall {
    /// The key that it writes.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::LeasedPut { key, .. } | Self::FencedPut { key, .. } => Some(key),
            Self::Grant { .. }
            | Self::Renew { .. }
            | Self::Revoke { .. }
            | Self::Acquire { .. }
            | Self::Release { .. }
            | Self::Leave { .. }
            | Self::Expire { .. } => None,
        }
    }
}

impl TenureAnswer {
    /// Whether it says that something was executed; none: that can't be told from it.
    #[must_use]
    pub fn is_executed(&self) -> Option<bool> {
        match self {
            Self::Granted | Self::Renewed(_) | Self::Ended(_) | Self::Put | Self::Released => {
                Some(true)
            }
            Self::NoSuchLease | Self::NotHeld(_) | Self::FenceFailed(_) => Some(false),
            Self::Held(_) | Self::Waits(_) | Self::Busy(_) => None,
        }
    }
}

/// The leases and locks that there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenure {
    /// How long each lease lasts.
    pub leases: BTreeMap<u64, u64>,
    /// The leases that keys go with.
    pub bound: BTreeMap<Key, u64>,
    /// The line for each lock: leases, since when they are in it, and the fence of the first.
    pub locks: BTreeMap<Key, Vec<Place>>,
}

/// A place in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose.
    pub lease: u64,
    /// Since which revision.
    pub since: u64,
    /// The fence of who holds the lock.
    pub fence: Option<u64>,
}

impl Tenure {
    /// Who holds a lock.
    #[must_use]
    pub fn holder(&self, lock: &str) -> Option<Holder> {
        let first = self.locks.get(lock)?.first()?;
        Some((first.lease, first.fence.expect("the first holds it")))
    }

    /// Does it at a revision, but for what it does to keys; says whether that is used up.
    pub(super) fn execute(&mut self, call: &TenureCall, revision: u64) -> (TenureAnswer, bool) {
        let is_there = |lease: &u64| self.leases.contains_key(lease);
        match call {
            TenureCall::Grant { ttl_ms } => {
                self.leases.insert(revision, *ttl_ms);
                (TenureAnswer::Granted, true)
            }
            TenureCall::Renew { lease } => match self.leases.get(lease) {
                Some(ttl_ms) => (TenureAnswer::Renewed(*ttl_ms), true),
                None => (TenureAnswer::NoSuchLease, false),
            },
            TenureCall::Revoke { lease } | TenureCall::Expire { lease } if is_there(lease) => {
                self.end(*lease, revision);
                (TenureAnswer::Ended(0), true)
            }
            TenureCall::LeasedPut { lease, .. } if is_there(lease) => (TenureAnswer::Put, true),
            TenureCall::Acquire { lock, lease, wait } if is_there(lease) => {
                self.acquire(lock, *lease, *wait, revision)
            }
            TenureCall::Leave { lock, lease, since } if is_there(lease) => {
                self.give_up(lock, *lease, *since)
            }
            TenureCall::Revoke { .. }
            | TenureCall::Expire { .. }
            | TenureCall::LeasedPut { .. }
            | TenureCall::Acquire { .. }
            | TenureCall::Leave { .. } => (TenureAnswer::NoSuchLease, false),
            TenureCall::FencedPut { lock, fence, .. } => match self.holder(lock) {
                Some((_, held)) if held == *fence => (TenureAnswer::Put, true),
                holder => (TenureAnswer::FenceFailed(holder), false),
            },
            TenureCall::Release { lock, lease } => match self.holder(lock) {
                Some((holder, _)) if holder == *lease => {
                    self.leave(lock, *lease, revision);
                    (TenureAnswer::Released, true)
                }
                holder => (TenureAnswer::NotHeld(holder), false),
            },
        }
    }

    fn acquire(
        &mut self,
        lock: &Key,
        lease: u64,
        wait: bool,
        revision: u64,
    ) -> (TenureAnswer, bool) {
        let line = self.locks.entry(Key::clone(lock)).or_default();
        let place = line.iter().find(|place| place.lease == lease).copied();
        match (place, line.first()) {
            (Some(Place { fence: Some(fence), .. }), _) => (TenureAnswer::Held(fence), false),
            (_, None) => {
                line.push(Place { lease, since: revision, fence: Some(revision) });
                (TenureAnswer::Held(revision), true)
            }
            (Some(place), Some(_)) if wait => (TenureAnswer::Waits(place.since), false),
            (None, Some(_)) if wait => {
                line.push(Place { lease, since: revision, fence: None });
                (TenureAnswer::Waits(revision), true)
            }
            (place, Some(first)) => {
                let holder = (first.lease, first.fence.expect("the first holds it"));
                line.retain(|place| place.lease != lease);
                (TenureAnswer::Busy(holder), place.is_some())
            }
        }
    }

    /// Leaves a line, unless it holds the lock or is not there since then.
    fn give_up(&mut self, lock: &str, lease: u64, since: u64) -> (TenureAnswer, bool) {
        let holder = self.holder(lock);
        let line = self.locks.get_mut(lock);
        let place = line.as_ref().and_then(|line| line.iter().find(|it| it.lease == lease));
        match (place.copied(), line, holder) {
            (Some(Place { fence: Some(fence), .. }), _, _) => (TenureAnswer::Held(fence), false),
            (Some(place), Some(line), Some(holder)) if place.since == since => {
                line.retain(|place| place.lease != lease);
                (TenureAnswer::Busy(holder), true)
            }
            (_, _, holder) => (TenureAnswer::NotHeld(holder), false),
        }
    }

    fn end(&mut self, lease: u64, revision: u64) {
        self.leases.remove(&lease);
        let locks: Vec<Key> = self.locks.keys().cloned().collect();
        locks.iter().for_each(|lock| self.leave(lock, lease, revision));
    }

    /// Takes a lease out of a line, the next of which may hold the lock then.
    fn leave(&mut self, lock: &str, lease: u64, revision: u64) {
        let Some(line) = self.locks.get_mut(lock) else { return };
        line.retain(|place| place.lease != lease);
        match line.first_mut() {
            Some(first) => first.fence = first.fence.or(Some(revision)),
            None => {
                self.locks.remove(lock);
            }
        }
    }
}
