//! The locks of the replicated state: who holds each, and who waits for it, in the order in
//! which they came.
//!
//! A *claim* is a lease's place in the line for a lock; the first of the line holds it. The
//! line is part of the state, so that a place outlives the primary, and every replica that
//! a holder or a waiter is connected to knows the same of it. Whoever comes to hold a lock
//! gets the revision of that as its *fence*: every later holder has a higher one, so that
//! what the lock protects can tell them apart (Burrows, *The Chubby lock service*, section
//! 2.4: sequencers). A claim goes with its lease.
//!
//! All of it is in memory, since the number of claims has a limit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::ids::{LeaseId, LogFormat, Revision};

use super::command::{Op, Unreadable, limits, nested, within};
use super::format;

/// What is done to a lock. A format: variants and fields are only ever added at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockOp {
    /// Takes it for a lease, where nobody holds it.
    Acquire {
        /// Which: 1 to [`limits::LOCK_NAME_BYTES`] bytes.
        name: String,
        /// For whom.
        lease: LeaseId,
        /// What to do where another holds it.
        otherwise: Otherwise,
    },
    /// Gives it up.
    Release {
        /// Which.
        name: String,
        /// Who.
        lease: LeaseId,
    },
    /// Gives up the claim that a lease made at a revision, where it still waits; takes
    /// nothing. Only in a log of the format [`LEAVING`](super::format::LEAVING).
    Leave {
        /// Which.
        name: String,
        /// Who.
        lease: LeaseId,
        /// Since when it is in line: a claim that it made again is another one.
        since: Revision,
    },
}

/// What whoever does not get a lock does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Otherwise {
    /// It leaves, also where it was in line.
    Leave,
    /// It gets in line, or keeps its place in it.
    Wait,
}

impl LockOp {
    /// Which lock it is about.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Acquire { name, .. } | Self::Release { name, .. } | Self::Leave { name, .. } => {
                name
            }
        }
    }

    /// The lowest format of the log that has it.
    pub(super) fn format(&self) -> LogFormat {
        match self {
            Self::Acquire { .. } | Self::Release { .. } => format::LEASES,
            Self::Leave { .. } => format::LEAVING,
        }
    }

    pub(super) fn check(&self) -> Result<(), Unreadable> {
        check_name(self.name())
    }
}

fn check_name(name: &str) -> Result<(), Unreadable> {
    if name.is_empty() {
        Err(Unreadable::EmptyName)
    } else {
        within("the name of a lock", name.len(), limits::LOCK_NAME_BYTES)
    }
}

/// A lock, held at a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// Which lock.
    pub name: String,
    /// The revision at which its holder came to hold it.
    pub revision: Revision,
}

/// Something that is done only while a lock is held at a fence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fenced {
    /// The lock and the fence.
    pub fence: Fence,
    /// What is done. Not within another fence, and by no token of its own.
    #[serde(serialize_with = "nested::encode", deserialize_with = "nested::fenced")]
    pub op: Op,
}

impl Fenced {
    pub(super) fn check(&self) -> Result<(), Unreadable> {
        check_name(&self.fence.name)?;
        if matches!(self.op, Op::Fenced(_)) {
            return Err(Unreadable::FenceInFence);
        }
        if self.op.by().is_some() {
            return Err(Unreadable::AttributedWithin);
        }
        self.op.check()
    }
}

/// A place in the line for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Whose it is.
    pub lease: LeaseId,
    /// The revision at which it came to hold the lock; none: it waits.
    pub fence: Option<Revision>,
}

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Which lease.
    pub lease: LeaseId,
    /// Since which revision.
    pub fence: Revision,
}

/// The claims on one lock, by the revision at which they were made.
pub type Line = BTreeMap<Revision, Claim>;

/// What executing changed of the claims: what has to be written. None: it is gone.
pub type LockRows = BTreeMap<(String, Revision), Option<Claim>>;

/// What came of asking for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AcquireResult {
    /// It held it before.
    Holds(Revision),
    /// It holds it from this revision on.
    Acquired,
    /// It waits, since a revision.
    Waits { since: Revision, is_new: bool },
    /// Another holds it. It may have been in line.
    Busy { holder: Holder, has_left: bool },
    /// As many wait, or hold locks, as may.
    TooMany,
}

/// What came of leaving a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It waits no longer. This one holds the lock.
    Out(Holder),
    /// It holds the lock.
    Holds(Revision),
    /// It had no such claim. This one holds the lock.
    NoClaim(Option<Holder>),
}

/// A claim that waited does so no longer: it holds the lock, or is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) name: String,
    pub(super) lease: LeaseId,
}

/// All locks that are held.
#[derive(Clone, Debug, Default)]
pub struct Locks {
    by_name: BTreeMap<String, Line>,
    of_leases: BTreeMap<LeaseId, BTreeMap<String, Revision>>,
    claims: usize,
    rows: LockRows,
}

impl Locks {
    /// Those that a store has kept.
    #[must_use]
    pub fn of(claims: impl IntoIterator<Item = (String, Revision, Claim)>) -> Self {
        let mut locks = Self::default();
        for (name, since, claim) in claims {
            locks.insert(name, since, claim);
        }
        locks.rows.clear();
        locks
    }

    /// How many claims there are.
    #[must_use]
    pub fn claims(&self) -> usize {
        self.claims
    }

    /// How many locks are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.by_name.len()
    }

    /// All locks, by name, each with its line.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Line)> {
        self.by_name.iter().map(|(name, line)| (name.as_str(), line))
    }

    /// Who holds a lock.
    ///
    /// # Panics
    /// When the first in line does not.
    #[must_use]
    pub fn holder(&self, name: &str) -> Option<Holder> {
        let (_, first) = self.by_name.get(name)?.first_key_value()?;
        let fence = first.fence.expect("invariant: the first in line holds the lock");
        Some(Holder { lease: first.lease, fence })
    }

    /// The claim of a lease on a lock, and since when it is.
    #[must_use]
    pub fn claim(&self, name: &str, lease: LeaseId) -> Option<(Revision, Claim)> {
        let since = *self.of_leases.get(&lease)?.get(name)?;
        Some((since, self.by_name[name][&since]))
    }

    /// A lease asks for a lock, at a revision that it uses up where that changes something.
    pub(super) fn acquire(
        &mut self,
        name: &str,
        lease: LeaseId,
        otherwise: Otherwise,
        revision: Revision,
    ) -> AcquireResult {
        let claim = self.claim(name, lease);
        if let Some((_, Claim { fence: Some(fence), .. })) = claim {
            return AcquireResult::Holds(fence);
        }
        let Some(holder) = self.holder(name) else {
            if self.claims >= limits::CLAIMS {
                return AcquireResult::TooMany;
            }
            let claim = Claim { lease, fence: Some(revision) };
            self.insert(name.to_owned(), revision, claim);
            return AcquireResult::Acquired;
        };
        match (otherwise, claim) {
            (Otherwise::Wait, Some((since, _))) => AcquireResult::Waits { since, is_new: false },
            (Otherwise::Wait, None) => {
                if self.claims >= limits::CLAIMS || self.by_name[name].len() > limits::WAITERS {
                    return AcquireResult::TooMany;
                }
                self.insert(name.to_owned(), revision, Claim { lease, fence: None });
                AcquireResult::Waits { since: revision, is_new: true }
            }
            (Otherwise::Leave, Some((since, _))) => {
                self.remove(name, since);
                AcquireResult::Busy { holder, has_left: true }
            }
            (Otherwise::Leave, None) => AcquireResult::Busy { holder, has_left: false },
        }
    }

    /// The holder gives a lock up at a revision; says who has it now.
    pub(super) fn release(
        &mut self,
        name: &str,
        lease: LeaseId,
        revision: Revision,
    ) -> Result<Option<Settled>, Option<Holder>> {
        match self.claim(name, lease) {
            Some((since, Claim { fence: Some(_), .. })) => {
                self.remove(name, since);
                Ok(self.pass_on(name, revision))
            }
            Some((_, Claim { fence: None, .. })) | None => Err(self.holder(name)),
        }
    }

    /// A lease gives up the claim that it made at a revision, where that waits.
    pub(super) fn leave(&mut self, name: &str, lease: LeaseId, made_at: Revision) -> Left {
        match (self.claim(name, lease), self.holder(name)) {
            (Some((_, Claim { fence: Some(fence), .. })), _) => Left::Holds(fence),
            (Some((since, _)), Some(holder)) if since == made_at => {
                self.remove(name, since);
                Left::Out(holder)
            }
            (Some(_) | None, holder) => Left::NoClaim(holder),
        }
    }

    /// A lease ended at a revision, and its claims with it; says whose ended waiting.
    pub(super) fn end_lease(&mut self, lease: LeaseId, revision: Revision) -> Vec<Settled> {
        let mut settled = Vec::new();
        for (name, since) in self.of_leases.get(&lease).cloned().unwrap_or_default() {
            let claim = self.remove(&name, since);
            match claim.fence {
                Some(_) => settled.extend(self.pass_on(&name, revision)),
                None => settled.push(Settled { name, lease }),
            }
        }
        settled
    }

    /// Whoever is first in line now holds the lock.
    fn pass_on(&mut self, name: &str, revision: Revision) -> Option<Settled> {
        let (since, claim) = self.by_name.get(name)?.first_key_value()?;
        let (since, lease) = (*since, claim.lease);
        self.remove(name, since);
        self.insert(name.to_owned(), since, Claim { lease, fence: Some(revision) });
        Some(Settled { name: name.to_owned(), lease })
    }

    fn insert(&mut self, name: String, since: Revision, claim: Claim) {
        self.claims += 1;
        self.of_leases.entry(claim.lease).or_default().insert(name.clone(), since);
        self.rows.insert((name.clone(), since), Some(claim));
        self.by_name.entry(name).or_default().insert(since, claim);
    }

    fn remove(&mut self, name: &str, since: Revision) -> Claim {
        let line = self.by_name.get_mut(name).expect("a lock with claims has a line");
        let claim = line.remove(&since).expect("a claim is in its line");
        if line.is_empty() {
            self.by_name.remove(name);
        }
        if let Some(claims) = self.of_leases.get_mut(&claim.lease) {
            claims.remove(name);
            if claims.is_empty() {
                self.of_leases.remove(&claim.lease);
            }
        }
        self.claims -= 1;
        self.rows.insert((name.to_owned(), since), None);
        claim
    }

    pub(super) fn take_rows(&mut self) -> LockRows {
        std::mem::take(&mut self.rows)
    }

    /// Adds all of them to a digest.
    pub(super) fn digest(&self, field: &mut impl FnMut(&[u8])) {
        for lock in self.iter() {
            field(&postcard::to_allocvec(&lock).expect("encoding into memory does not fail"));
        }
    }

    /// The first in line holds the lock and nobody else does, no lease is in a line twice,
    /// and all is counted.
    ///
    /// # Panics
    /// When it is not so.
    pub fn invariant_lines_are_in_order(&self) {
        let mut claims = 0;
        for (name, line) in self.iter() {
            for (place, (since, claim)) in line.iter().enumerate() {
                assert_eq!(claim.fence.is_some(), place == 0, "claim {place} of lock {name}");
                assert!(claim.fence.is_none_or(|fence| fence >= *since), "fence of lock {name}");
                assert_eq!(self.of_leases[&claim.lease].get(name), Some(since), "lock {name}");
                claims += 1;
            }
        }
        let of_leases: usize = self.of_leases.values().map(BTreeMap::len).sum();
        assert_eq!((claims, of_leases), (self.claims, self.claims), "claims of locks");
    }
}
