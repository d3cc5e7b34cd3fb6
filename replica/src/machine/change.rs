//! What a slot changed, for whoever follows it: not what is written, but what it means.

use shared::ids::{LeaseId, Revision};

use super::leases::LeaseEnd;

/// One change, in order of execution. The same on every replica. A revision has one, but
/// that of a transaction any number: each key once, with what it came to, and the prefixes
/// before the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Of a key.
    Key {
        /// Which.
        key: String,
        /// What was done.
        kind: ChangeKind,
        /// The revision of the mutation.
        revision: Revision,
        /// The modification revision of what was there before, if it was.
        previous: Option<Revision>,
    },
    /// Every key with the prefix was deleted. Which there were executing does not look at:
    /// it is what the state of the revision before has. A transaction may have written some
    /// of them again: these come after it, as created.
    Prefix {
        /// The beginning of the keys.
        prefix: String,
        /// The revision of the mutation.
        revision: Revision,
    },
    /// A lease ended, and every key that was bound to it was deleted. Which there were
    /// executing does not look at.
    Lease {
        /// Which.
        lease: LeaseId,
        /// Why.
        end: LeaseEnd,
        /// The revision of its end.
        revision: Revision,
    },
    /// A lease that waited for a lock does so no longer: it holds it, or has left the line.
    Lock {
        /// Which lock.
        name: String,
        /// Whose waiting ended.
        lease: LeaseId,
        /// The revision of that.
        revision: Revision,
    },
}

impl Change {
    /// Whose waiting for locks it may have ended.
    #[must_use]
    pub fn lease(&self) -> Option<LeaseId> {
        match self {
            Self::Lease { lease, .. } | Self::Lock { lease, .. } => Some(*lease),
            Self::Key { .. } | Self::Prefix { .. } => None,
        }
    }
}

/// What was done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It did not exist and was written.
    Created,
    /// It existed and was written.
    Updated,
    /// It existed and was deleted.
    Deleted,
}

/// How many changes there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeCounts {
    /// Writes of keys.
    pub keys_written: u64,
    /// Deletions of keys, one by one.
    pub keys_deleted: u64,
    /// Deletions of prefixes.
    pub prefixes_deleted: u64,
    /// Leases that ended.
    pub leases_ended: u64,
}

impl ChangeCounts {
    /// Adds these.
    pub fn add(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Key { kind: ChangeKind::Created | ChangeKind::Updated, .. } => {
                    self.keys_written += 1;
                }
                Change::Key { kind: ChangeKind::Deleted, .. } => self.keys_deleted += 1,
                Change::Prefix { .. } => self.prefixes_deleted += 1,
                Change::Lease { .. } => self.leases_ended += 1,
                Change::Lock { .. } => {}
            }
        }
    }
}
