//! What a watch says, and with which of it one may go on: pure.

use shared::framing::Framing;
use shared::ids::Revision;

use crate::store::Position;
use crate::watch::{Event, EventKind};

/// A change, with the revision as `id` where it is the last one of it.
pub(super) fn change(framing: Framing, out: &mut Vec<u8>, event: &Event, id: Option<Revision>) {
    let name = match event.kind {
        EventKind::Put => "put",
        EventKind::Delete => "delete",
    };
    framing.event(out, name, &event.data, id);
}

/// The end of the snapshot, which is of this revision.
pub(super) fn synced(framing: Framing, out: &mut Vec<u8>, revision: Revision) {
    framing.event(out, "synced", revision_data(revision).as_bytes(), Some(revision));
}

/// The end for a reader who is too slow, who has all up to this revision.
pub(super) fn lagged(framing: Framing, out: &mut Vec<u8>, revision: Revision) {
    framing.event(out, "lagged", revision_data(revision).as_bytes(), Some(revision));
}

/// The end for a reader who may not see all of it any more.
pub(super) fn denied(framing: Framing, out: &mut Vec<u8>, why: &str) {
    let data = serde_json::json!({"detail": why}).to_string();
    framing.event(out, "denied", data.as_bytes(), None::<Revision>);
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

    #[test]
    fn changes_and_the_ends_of_snapshot_and_stream_are_told_by_name() {
        let mut out = Vec::new();
        let framing = Framing::EventStream;
        change(framing, &mut out, &event(7, "a", EventKind::Put), None);
        change(framing, &mut out, &event(7, "b", EventKind::Delete), Some(Revision(7)));
        synced(framing, &mut out, Revision(8));
        lagged(framing, &mut out, Revision(9));
        denied(framing, &mut out, "no \"more\"");
        let expected = "event: put\ndata: {\"key\":\"k\"}\n\n\
            event: delete\ndata: {\"key\":\"k\"}\nid: 7\n\n\
            event: synced\ndata: {\"revision\":8}\nid: 8\n\n\
            event: lagged\ndata: {\"revision\":9}\nid: 9\n\n\
            event: denied\ndata: {\"detail\":\"no \\\"more\\\"\"}\n\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
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
