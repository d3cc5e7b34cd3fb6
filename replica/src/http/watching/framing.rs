//! How a watch is written down: as Server-Sent Events, or as one JSON document a line.
//! Pure.

use serde::Serialize;
use serde_json::value::RawValue;
use shared::ids::Revision;

use crate::http::ndjson::push_line;
use crate::http::request::headers::NDJSON;
use crate::store::Position;
use crate::watch::{Event, EventKind};

/// How long an `EventSource` waits before it comes again, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// In which format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// `text/event-stream`.
    EventStream,
    /// One JSON document a line.
    Lines,
}

/// An event as a line.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

impl Framing {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::EventStream => "text/event-stream",
            Self::Lines => NDJSON,
        }
    }

    /// The beginning: with an `id`, a client that is cut off before the first event misses
    /// nothing either.
    pub(super) fn begin(self, out: &mut Vec<u8>, id: Option<Revision>) {
        match self {
            Self::EventStream => {
                out.extend_from_slice(format!("retry: {RETRY_MS}\n").as_bytes());
                push_id(out, id);
                out.push(b'\n');
            }
            Self::Lines if id.is_some() => self.heartbeat(out, id),
            Self::Lines => {}
        }
    }

    /// A change, with the revision as `id` where it is the last one of it.
    pub(super) fn change(self, out: &mut Vec<u8>, event: &Event, id: Option<Revision>) {
        let name = match event.kind {
            EventKind::Put => "put",
            EventKind::Delete => "delete",
        };
        self.event(out, name, &event.data, id);
    }

    /// The end of the snapshot, which is of this revision.
    pub(super) fn synced(self, out: &mut Vec<u8>, revision: Revision) {
        self.event(out, "synced", revision_data(revision).as_bytes(), Some(revision));
    }

    /// The end for a reader who is too slow, who has all up to this revision.
    pub(super) fn lagged(self, out: &mut Vec<u8>, revision: Revision) {
        self.event(out, "lagged", revision_data(revision).as_bytes(), Some(revision));
    }

    /// What keeps proxies awake, and says up to which revision there was nothing.
    pub(super) fn heartbeat(self, out: &mut Vec<u8>, id: Option<Revision>) {
        match self {
            Self::EventStream => {
                out.extend_from_slice(b": heartbeat\n");
                push_id(out, id);
                out.push(b'\n');
            }
            Self::Lines => push_line(out, &Line { event: "heartbeat", id, data: None }),
        }
    }

    fn event(self, out: &mut Vec<u8>, event: &'static str, data: &[u8], id: Option<Revision>) {
        match self {
            Self::EventStream => {
                for (field, value) in [("event", event.as_bytes()), ("data", data)] {
                    out.extend_from_slice(field.as_bytes());
                    out.extend_from_slice(b": ");
                    out.extend_from_slice(value);
                    out.push(b'\n');
                }
                push_id(out, id);
                out.push(b'\n');
            }
            Self::Lines => {
                let data: &RawValue = serde_json::from_slice(data).expect("JSON of our own");
                push_line(out, &Line { event, id, data: Some(data) });
            }
        }
    }
}

fn push_id(out: &mut Vec<u8>, id: Option<Revision>) {
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
}

fn revision_data(revision: Revision) -> String {
    format!("{{\"revision\":{revision}}}")
}

/// Finds the last event of each revision among those that a watcher gets. An event is
/// held until it is known whether another one follows it at its revision.
#[derive(Debug, Default)]
pub(super) struct Batches {
    held: Option<Event>,
}

impl Batches {
    /// Whether an event is held.
    pub(super) fn is_holding(&self) -> bool {
        self.held.is_some()
    }

    /// Takes the events up to a position, and gives those that it knows of, with the
    /// revision for the last one of each.
    pub(super) fn take(
        &mut self,
        events: impl IntoIterator<Item = Event>,
        through: &Position,
        mut give: impl FnMut(&Event, Option<Revision>),
    ) {
        for event in events {
            let revision = event.revision;
            if let Some(before) = self.held.replace(event) {
                give(&before, (before.revision < revision).then_some(before.revision));
            }
        }
        if let Some(last) = self.held.take_if(|held| held.revision <= through.complete) {
            give(&last, Some(last.revision));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn event(revision: u64, key: &'static str, kind: EventKind) -> Event {
        let data = Bytes::from_static(b"{\"key\":\"k\"}");
        Event { revision: Revision(revision), key: Bytes::from_static(key.as_bytes()), kind, data }
    }

    fn written(framing: Framing) -> String {
        let mut out = Vec::new();
        framing.begin(&mut out, Some(Revision(6)));
        framing.begin(&mut out, None);
        framing.change(&mut out, &event(7, "a", EventKind::Put), None);
        framing.change(&mut out, &event(7, "b", EventKind::Delete), Some(Revision(7)));
        framing.synced(&mut out, Revision(8));
        framing.heartbeat(&mut out, None);
        framing.heartbeat(&mut out, Some(Revision(9)));
        framing.lagged(&mut out, Revision(9));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_event_stream_is_written_as_event_sources_read_it() {
        let expected = "retry: 1000\nid: 6\n\nretry: 1000\n\n\
            event: put\ndata: {\"key\":\"k\"}\n\n\
            event: delete\ndata: {\"key\":\"k\"}\nid: 7\n\n\
            event: synced\ndata: {\"revision\":8}\nid: 8\n\n\
            : heartbeat\n\n: heartbeat\nid: 9\n\n\
            event: lagged\ndata: {\"revision\":9}\nid: 9\n\n";
        assert_eq!(written(Framing::EventStream), expected);
    }

    #[test]
    fn lines_say_the_same() {
        let expected = "{\"event\":\"heartbeat\",\"id\":6}\n\
            {\"event\":\"put\",\"data\":{\"key\":\"k\"}}\n\
            {\"event\":\"delete\",\"id\":7,\"data\":{\"key\":\"k\"}}\n\
            {\"event\":\"synced\",\"id\":8,\"data\":{\"revision\":8}}\n\
            {\"event\":\"heartbeat\"}\n{\"event\":\"heartbeat\",\"id\":9}\n\
            {\"event\":\"lagged\",\"id\":9,\"data\":{\"revision\":9}}\n";
        assert_eq!(written(Framing::Lines), expected);
    }

    #[test]
    fn the_last_event_of_each_revision_is_known_however_they_are_cut() {
        let revisions = [3, 4, 4, 4, 6, 7, 7];
        let events: Vec<Event> =
            revisions.iter().map(|at| event(*at, "k", EventKind::Put)).collect();
        let expected =
            [(3, true), (4, false), (4, false), (4, true), (6, true), (7, false), (7, true)];
        for cuts in 0..1_u32 << (events.len() - 1) {
            let (mut batches, mut given, mut piece) = (Batches::default(), Vec::new(), Vec::new());
            for (at, event) in events.iter().enumerate() {
                piece.push(event.clone());
                let is_last = events.get(at + 1).is_none_or(|next| next.revision > event.revision);
                let through = if is_last {
                    Position::after(event.revision)
                } else {
                    Position::before(event.revision, Bytes::from_static(b"z"))
                };
                if at + 1 == events.len() || cuts & (1 << at) != 0 {
                    batches.take(piece.drain(..), &through, |event, id| {
                        assert!(id.is_none_or(|id| id == event.revision));
                        given.push((event.revision.0, id.is_some()));
                    });
                    assert_eq!(batches.is_holding(), !is_last);
                }
            }
            assert_eq!(given, expected, "{cuts:b}");
        }
    }
}
