//! What a watcher was told, and what of that which comes again is new: pure.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::item::Item;

/// A line of a watch.
#[derive(Debug, Deserialize)]
pub(super) struct Said {
    /// `put`, `delete`, `heartbeat`, `lagged`, …
    pub(super) event: String,
    /// The revision that is whole with it.
    pub(super) id: Option<u64>,
    #[serde(default)]
    pub(super) data: Value,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
    /// The revision, on the last event of each: all up to it was told, and
    /// [`Watch::from`](super::Watch::from) `id + 1` goes on after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", content = "data", rename_all = "lowercase")]
pub enum EventKind {
    /// A key was written; in a snapshot, it is there.
    Put(PutEvent),
    /// A key was deleted.
    Delete(DeleteEvent),
    /// The snapshot is told.
    Synced {
        /// It was of this revision.
        revision: u64,
    },
}

/// A key that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutEvent {
    /// As it is now.
    #[serde(flatten)]
    pub item: Item,
    /// The revision that had written it before; none where it did not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev_revision: Option<u64>,
}

/// A key that was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteEvent {
    /// Which.
    pub key: String,
    /// At which revision.
    pub revision: u64,
    /// The revision that had written it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev_revision: Option<u64>,
    /// Why, where nobody asked for it: `lease_expired`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Event {
    /// The key that it is about.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match &self.kind {
            EventKind::Put(put) => Some(&put.item.key),
            EventKind::Delete(delete) => Some(&delete.key),
            EventKind::Synced { .. } => None,
        }
    }

    /// The revision that it happened at.
    #[must_use]
    pub fn revision(&self) -> u64 {
        match &self.kind {
            EventKind::Put(put) => put.item.revision,
            EventKind::Delete(delete) => delete.revision,
            EventKind::Synced { revision } => *revision,
        }
    }

    /// A key of a snapshot.
    pub(super) fn put(item: Item) -> Self {
        Self { kind: EventKind::Put(PutEvent { item, prev_revision: None }), id: None }
    }

    /// The end of a snapshot.
    pub(super) fn synced(revision: u64) -> Self {
        Self { kind: EventKind::Synced { revision }, id: Some(revision) }
    }
}

/// How far a watcher was told.
#[derive(Debug)]
pub(super) struct Told {
    /// All up to this revision; none before the first answer says where it begins.
    seen: Option<u64>,
    /// Of a revision after that one, all up to this key.
    within: Option<(u64, String)>,
}

impl Told {
    pub(super) fn after(seen: Option<u64>) -> Self {
        Self { seen, within: None }
    }

    pub(super) fn seen(&self) -> Option<u64> {
        self.seen
    }

    /// An answer tells what comes after this revision.
    pub(super) fn begin(&mut self, after: u64) {
        self.seen.get_or_insert(after);
    }

    /// Takes a line, and gives what of it is new. An event of a kind that is not known says
    /// nothing of keys.
    pub(super) fn take(&mut self, said: Said) -> Option<Event> {
        let Said { event, id, data } = said;
        let kind = match event.as_str() {
            "put" => serde_json::from_value(data).ok().map(EventKind::Put),
            "delete" => serde_json::from_value(data).ok().map(EventKind::Delete),
            _other => None,
        };
        let event = kind.map(|kind| Event { kind, id });
        let is_new = event.as_ref().is_some_and(|event| self.is_new(event));
        if let Some(id) = id {
            self.seen = self.seen.max(Some(id));
            self.within = None;
        } else if let Some(event) = event.as_ref().filter(|_| is_new) {
            self.within = event.key().map(|key| (event.revision(), key.to_owned()));
        }
        event.filter(|_| is_new)
    }

    fn is_new(&self, event: &Event) -> bool {
        let place = (event.revision(), event.key().unwrap_or_default());
        let within = self.within.as_ref().map(|(revision, key)| (*revision, key.as_str()));
        self.seen < Some(place.0) && within < Some(place)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deleted(key: &str, revision: u64, id: Option<u64>) -> Said {
        let data = json!({"key": key, "revision": revision, "prev_revision": 1});
        Said { event: String::from("delete"), id, data }
    }

    fn keys(told: &mut Told, said: impl IntoIterator<Item = Said>) -> Vec<String> {
        let events = said.into_iter().filter_map(|said| told.take(said));
        events.filter_map(|event| event.key().map(str::to_owned)).collect()
    }

    #[test]
    fn what_was_told_of_a_revision_that_comes_again_is_left_out() {
        let mut told = Told::after(Some(4));
        let revision = || {
            [
                deleted("a", 5, None),
                deleted("b", 5, None),
                deleted("c", 5, None),
                deleted("d", 5, Some(5)),
            ]
        };
        assert_eq!(keys(&mut told, revision().into_iter().take(2)), ["a", "b"]);
        assert_eq!(told.seen(), Some(4), "it is resumed before the revision that is not whole");
        assert_eq!(keys(&mut told, revision()), ["c", "d"]);
        assert_eq!(told.seen(), Some(5));
        assert_eq!(keys(&mut told, revision()), [""; 0], "and never again");
        assert_eq!(keys(&mut told, [deleted("a", 6, Some(6))]), ["a"]);
    }

    #[test]
    fn a_cut_before_the_first_event_is_resumed_where_the_answer_began() {
        let mut told = Told::after(None);
        told.begin(7);
        told.begin(9);
        assert_eq!(told.seen(), Some(7));
        let heartbeat = Said { event: String::from("heartbeat"), id: Some(8), data: json!(null) };
        assert_eq!(told.take(heartbeat), None);
        assert_eq!(told.seen(), Some(8));
    }

    #[test]
    fn an_event_is_written_as_the_api_has_it() {
        let data = json!({"key": "a", "value": "1", "encoding": "utf8", "content_type": null,
            "revision": 42, "created_revision": 40, "version": 2, "lease": null, "prev_revision": 40});
        let said = Said { event: String::from("put"), id: Some(42), data: data.clone() };
        let event = Told::after(None).take(said).unwrap();
        let expected = json!({"event": "put", "id": 42, "data": data});
        assert_eq!(serde_json::to_value(&event).unwrap(), expected);
        assert_eq!((event.key(), event.revision()), (Some("a"), 42));
    }
}
