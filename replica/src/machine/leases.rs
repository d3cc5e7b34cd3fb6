//! The leases of the replicated state: each ends when replicated time has come so far,
//! unless it is renewed before.
//!
//! Only executing ends one, and so only a chosen entry: where nothing else is to be
//! executed, the primary has entries chosen that carry time alone. The leases are all in
//! memory, since their number has a limit; the keys that are bound to one have none, and
//! are not looked at when it ends ([`Keys::end_lease`](super::keys::Keys)).
//!
//! A batch ends those whose time is over *after* its commands: a renewal that had come when
//! the batch was made is never too late.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shared::ids::{Accessor, LeaseId};

use super::command::{Unreadable, limits};

/// What is done to a lease. A format: variants and fields are only ever added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseOp {
    /// Makes one.
    Grant {
        /// It ends so long after it was granted or renewed last. Milliseconds of replicated
        /// time, from [`limits::LEAST_TTL_MS`] to [`limits::MOST_TTL_MS`].
        ttl_ms: u64,
    },
    /// Has its time begin again.
    Renew {
        /// Which.
        lease: LeaseId,
    },
    /// Ends it now.
    Revoke {
        /// Which.
        lease: LeaseId,
    },
}

impl LeaseOp {
    pub(super) fn check(&self) -> Result<(), Unreadable> {
        match self {
            Self::Grant { ttl_ms } => {
                let allowed = limits::LEAST_TTL_MS..=limits::MOST_TTL_MS;
                if allowed.contains(ttl_ms) {
                    Ok(())
                } else {
                    Err(Unreadable::TimeToLive { ttl_ms: *ttl_ms })
                }
            }
            Self::Renew { .. } | Self::Revoke { .. } => Ok(()),
        }
    }
}

/// Why a lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseEnd {
    /// Its time was over.
    Expired,
    /// Somebody ended it.
    Revoked,
}

/// A lease that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// How long it lasts. Milliseconds of replicated time.
    pub ttl_ms: u64,
    /// When it ends. Milliseconds of replicated time.
    pub expires_ms: u64,
    /// Whether a key was ever bound to it: otherwise its end deletes nothing.
    pub has_keys: bool,
    /// The token that was granted it, where tokens were required by then: only that one, or
    /// one that may operate the cluster, does anything with it.
    pub owner: Option<Accessor>,
}

impl Lease {
    /// How long it lasts from a time on. Milliseconds.
    #[must_use]
    pub fn remaining_ms(&self, time_ms: u64) -> u64 {
        self.expires_ms.saturating_sub(time_ms)
    }
}

/// What executing changed of the leases: what has to be written. None: it has ended.
pub type LeaseRows = BTreeMap<LeaseId, Option<Lease>>;

/// All leases.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    by_id: BTreeMap<LeaseId, Lease>,
    by_expiry: BTreeSet<(u64, LeaseId)>,
    /// How many each token has that has some.
    owned: BTreeMap<Accessor, usize>,
    rows: LeaseRows,
}

impl Leases {
    /// Those that a store has kept.
    #[must_use]
    pub fn of(leases: impl IntoIterator<Item = (LeaseId, Lease)>) -> Self {
        let by_id: BTreeMap<LeaseId, Lease> = leases.into_iter().collect();
        let by_expiry = by_id.iter().map(|(id, lease)| (lease.expires_ms, *id)).collect();
        let mut owned = BTreeMap::new();
        for owner in by_id.values().filter_map(|lease| lease.owner) {
            *owned.entry(owner).or_default() += 1;
        }
        Self { by_id, by_expiry, owned, rows: LeaseRows::new() }
    }

    /// One of them, where it has not ended.
    #[must_use]
    pub fn get(&self, id: LeaseId) -> Option<&Lease> {
        self.by_id.get(&id)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = (LeaseId, &Lease)> {
        self.by_id.iter().map(|(id, lease)| (*id, lease))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// How many a token has.
    #[must_use]
    pub fn owned_by(&self, owner: Accessor) -> usize {
        self.owned.get(&owner).copied().unwrap_or(0)
    }

    /// When the next one ends, unless it is renewed. Milliseconds of replicated time.
    #[must_use]
    pub fn next_expiry_ms(&self) -> Option<u64> {
        self.by_expiry.first().map(|(expires_ms, _)| *expires_ms)
    }

    /// The first that ends before a time.
    pub(super) fn first_before(&self, time_ms: u64) -> Option<LeaseId> {
        let first = self.by_expiry.first().filter(|(expires_ms, _)| *expires_ms < time_ms);
        first.map(|(_, id)| *id)
    }

    /// Makes one that lasts from now on.
    pub(super) fn grant(
        &mut self,
        (id, owner): (LeaseId, Option<Accessor>),
        ttl_ms: u64,
        time_ms: u64,
    ) {
        let expires_ms = expiry(time_ms, ttl_ms);
        self.set(id, Lease { ttl_ms, expires_ms, has_keys: false, owner });
        owner.into_iter().for_each(|owner| *self.owned.entry(owner).or_default() += 1);
    }

    /// Has its time begin again, where it has not ended.
    pub(super) fn renew(&mut self, id: LeaseId, time_ms: u64) -> Option<Lease> {
        let lease = *self.get(id)?;
        let renewed = Lease { expires_ms: expiry(time_ms, lease.ttl_ms), ..lease };
        self.set(id, renewed);
        Some(renewed)
    }

    /// Notes that a key is bound to it.
    pub(super) fn bind(&mut self, id: LeaseId) {
        match self.get(id) {
            Some(lease) if !lease.has_keys => self.set(id, Lease { has_keys: true, ..*lease }),
            Some(_) | None => {}
        }
    }

    /// Takes it out: it has ended.
    pub(super) fn end(&mut self, id: LeaseId) -> Option<Lease> {
        let lease = self.by_id.remove(&id)?;
        self.by_expiry.remove(&(lease.expires_ms, id));
        lease.owner.into_iter().for_each(|owner| self.disown(owner));
        self.rows.insert(id, None);
        Some(lease)
    }

    fn disown(&mut self, owner: Accessor) {
        let owned = self.owned.get_mut(&owner).expect("whoever owns a lease is counted");
        *owned -= 1;
        if *owned == 0 {
            self.owned.remove(&owner);
        }
    }

    fn set(&mut self, id: LeaseId, lease: Lease) {
        if let Some(before) = self.by_id.insert(id, lease) {
            self.by_expiry.remove(&(before.expires_ms, id));
        }
        self.by_expiry.insert((lease.expires_ms, id));
        self.rows.insert(id, Some(lease));
    }

    pub(super) fn take_rows(&mut self) -> LeaseRows {
        std::mem::take(&mut self.rows)
    }

    /// Adds all of them to a digest.
    pub(super) fn digest(&self, field: &mut impl FnMut(&[u8])) {
        for lease in self.iter() {
            field(&postcard::to_allocvec(&lease).expect("encoding into memory does not fail"));
        }
    }
}

fn expiry(time_ms: u64, ttl_ms: u64) -> u64 {
    time_ms.saturating_add(ttl_ms).min(limits::TIME_MS)
}
