//! What executing changed of the keys, as it has to be written.

use shared::ids::{LeaseId, Revision};

use super::{Content, RestoredRow};
use crate::machine::command::Attribution;
use crate::machine::leases::LeaseEnd;

/// A change of a key: a row to be written. At most one for a key and revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRow {
    /// The key.
    pub key: String,
    /// The revision of the change.
    pub revision: Revision,
    /// The revision at which the key was created; of a deletion, that of the record that
    /// ended.
    pub created_revision: Revision,
    /// The number of writes since then; of a deletion, that of the record that ended.
    pub version: u64,
    /// The lease that it goes with; of a deletion the lease that it went with, where that
    /// had expired.
    pub lease: Option<LeaseId>,
    /// What it holds now; none: it was deleted.
    pub content: Option<Content>,
}

/// Every key with the prefix that was written before the revision is deleted by it.
///
/// Executing a deletion of a prefix comes to this and not to a change of each key, so
/// that it costs the same however many there are. The store turns it into changes of
/// keys in its own time; what can be read never depends on how far that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeTombstone {
    /// The beginning of the keys.
    pub prefix: String,
    /// The revision of the deletion.
    pub revision: Revision,
}

/// Every key that is bound to a lease is deleted by its end. As with [`RangeTombstone`],
/// the store makes changes of keys out of it in its own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTombstone {
    /// Which lease. No key is bound to it at a later revision.
    pub lease: LeaseId,
    /// The revision of its end.
    pub revision: Revision,
    /// Why it ended.
    pub end: LeaseEnd,
}

impl LeaseTombstone {
    /// What it is for a key that was bound to the lease.
    #[must_use]
    pub fn deletion(&self) -> Deletion {
        Deletion { revision: self.revision, expired: self.mark() }
    }

    /// What the deletion of a key says of the lease.
    fn mark(&self) -> Option<LeaseId> {
        match self.end {
            LeaseEnd::Expired => Some(self.lease),
            LeaseEnd::Revoked => None,
        }
    }
}

/// A deletion of a key, by one of many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deletion {
    /// The revision of the deletion.
    pub revision: Revision,
    /// The lease whose time was over, where that was why.
    pub expired: Option<LeaseId>,
}

/// What executing changed of the keys: what has to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRows {
    /// Keys that a roll-back wrote again: older than what is in `versions` of them.
    pub restored: Vec<RestoredRow>,
    /// Changes of keys; those of one key in order of execution.
    pub versions: Vec<VersionRow>,
    /// Deletions of prefixes, by revision. Keys that were loaded are in `versions`, too.
    pub ranges: Vec<RangeTombstone>,
    /// Ends of leases that keys were bound to, by revision. The same is true of them.
    pub leases: Vec<LeaseTombstone>,
    /// Who made the changes of a revision, where somebody is named; by revision.
    pub authors: Vec<AuthorRow>,
}

impl KeyRows {
    /// Whether the revision, which is the last one, changed keys.
    pub(super) fn has_changes_of(&self, revision: Revision) -> bool {
        let Self { restored, versions, ranges, leases, authors: _ } = self;
        let last = [
            restored.last().map(|row| row.revision),
            versions.last().map(|row| row.revision),
            ranges.last().map(|row| row.revision),
            leases.last().map(|row| row.revision),
        ];
        last.contains(&Some(revision))
    }
}

/// Who made the changes of a revision: a row to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorRow {
    /// The revision.
    pub revision: Revision,
    /// Who.
    pub attribution: Attribution,
}
