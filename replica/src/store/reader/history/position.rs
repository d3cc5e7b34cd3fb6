//! How far somebody has come in the history of changes.

use bytes::Bytes;
use shared::ids::Revision;

/// Everything before it was read, and nothing from it on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// All changes of the revisions up to this one …
    pub(crate) complete: Revision,
    /// … and of the next revision those of the keys below this.
    pub(crate) below: Bytes,
}

impl Position {
    /// After all changes of a revision.
    pub(crate) fn after(revision: Revision) -> Self {
        Self { complete: revision, below: Bytes::new() }
    }

    /// Before the change of a key at a revision, which is not 0.
    pub(crate) fn before(revision: Revision, key: Bytes) -> Self {
        Self { complete: Revision(revision.0.saturating_sub(1)), below: key }
    }

    /// The revision that is due.
    pub(crate) fn revision(&self) -> Revision {
        self.complete.next()
    }

    /// Whether the change of a key at a revision lies before it.
    pub(crate) fn is_past(&self, revision: Revision, key: &[u8]) -> bool {
        revision <= self.complete || (revision == self.revision() && *key < *self.below)
    }
}
