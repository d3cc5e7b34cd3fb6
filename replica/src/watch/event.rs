//! What a watcher is told of a change, rendered once for all of them.

use bytes::Bytes;
use shared::ids::Revision;

use crate::http::RenderedChange;
use crate::store::KeyChange;

/// What an event takes beside its bytes, roughly.
const OVERHEAD_BYTES: usize = 128;

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    /// It was written.
    Put,
    /// It was deleted.
    Delete,
}

/// A change of a key. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The revision of the change.
    pub(crate) revision: Revision,
    /// Which key.
    pub(crate) key: Bytes,
    /// What became of it.
    pub(crate) kind: EventKind,
    /// The same as JSON, on one line.
    pub(crate) data: Bytes,
}

impl Event {
    /// Renders it.
    pub(crate) fn of(change: &KeyChange) -> Self {
        let kind = if change.item.is_some() { EventKind::Put } else { EventKind::Delete };
        let data = serde_json::to_vec(&RenderedChange::of(change));
        let data = Bytes::from(data.expect("plain JSON, into memory"));
        Self { revision: change.revision, key: change.key.clone(), kind, data }
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        OVERHEAD_BYTES + self.key.len() + self.data.len()
    }
}
