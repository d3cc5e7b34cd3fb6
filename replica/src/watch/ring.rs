//! The newest changes, for all who keep up: pure.
//!
//! Pieces follow each other without a gap, from the oldest that there is still room for.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::Event;
use crate::store::Position;

/// Everything that changed between two positions.
#[derive(Debug)]
pub(crate) struct Piece {
    /// From here on …
    pub(crate) after: Position,
    /// … up to here.
    pub(crate) through: Position,
    /// In order.
    pub(crate) events: Vec<Event>,
}

impl Piece {
    /// Those of its events that are not before a position.
    pub(crate) fn events_from(&self, position: &Position) -> &[Event] {
        let is_past = |event: &Event| position.is_past(event.revision, &event.key);
        &self.events[self.events.partition_point(is_past)..]
    }

    /// What it takes of the ring, also where it has no event.
    fn size(&self) -> Size {
        let bytes = self.events.iter().map(Event::bytes).sum();
        Size { events: self.events.len().max(1), bytes }
    }
}

/// How much the ring holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Events.
    pub(crate) events: usize,
    /// About their bytes.
    pub(crate) bytes: usize,
}

/// What the ring has for a watcher.
#[derive(Debug)]
pub(crate) enum Found {
    /// What comes next for it.
    Piece(Arc<Piece>),
    /// Nothing yet: it has everything.
    Nothing,
    /// What comes next for it is not here any more.
    Behind,
}

/// The pieces.
#[derive(Debug)]
pub(crate) struct Ring {
    limits: Size,
    size: Size,
    pieces: VecDeque<Arc<Piece>>,
    start: Position,
    head: Position,
}

impl Ring {
    /// Nothing is in it, and what comes after the position comes next.
    pub(crate) fn new(limits: Size, start: Position) -> Self {
        let (size, pieces) = (Size::default(), VecDeque::new());
        Self { limits, size, pieces, head: start.clone(), start }
    }

    /// Where what comes next begins.
    pub(crate) fn head(&self) -> &Position {
        &self.head
    }

    /// Adds what comes next, and lets go of the oldest for which there is no room.
    pub(crate) fn push(&mut self, piece: Piece) {
        assert_eq!(piece.after, self.head, "invariant: there is no gap between two pieces");
        self.head = piece.through.clone();
        self.size = self.size.with(piece.size());
        self.pieces.push_back(Arc::new(piece));
        while self.pieces.len() > 1 && !self.size.is_within(self.limits) {
            let oldest = self.pieces.pop_front().expect("there are two");
            self.size = self.size.without(oldest.size());
            self.start = oldest.through.clone();
        }
    }

    /// What comes next for whoever has come so far.
    pub(crate) fn next(&self, position: &Position) -> Found {
        if *position < self.start {
            return Found::Behind;
        }
        let at = self.pieces.partition_point(|piece| piece.through <= *position);
        self.pieces.get(at).map_or(Found::Nothing, |piece| Found::Piece(Arc::clone(piece)))
    }
}

impl Size {
    fn with(self, other: Self) -> Self {
        Self { events: self.events + other.events, bytes: self.bytes + other.bytes }
    }

    fn without(self, other: Self) -> Self {
        Self { events: self.events - other.events, bytes: self.bytes - other.bytes }
    }

    fn is_within(self, limits: Self) -> bool {
        self.events <= limits.events && self.bytes <= limits.bytes
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shared::ids::Revision;

    use super::*;
    use crate::watch::EventKind;

    const LIMITS: Size = Size { events: 4, bytes: 10_000 };

    fn at(revision: u64) -> Position {
        Position::after(Revision(revision))
    }

    fn event(revision: u64, key: &'static str) -> Event {
        let (key, data) = (Bytes::from_static(key.as_bytes()), Bytes::from_static(b"{}"));
        Event { revision: Revision(revision), key, kind: EventKind::Put, data }
    }

    fn ring() -> Ring {
        Ring::new(LIMITS, at(7))
    }

    fn push(ring: &mut Ring, through: Position, events: Vec<Event>) {
        ring.push(Piece { after: ring.head().clone(), through, events });
    }

    fn events_after(ring: &Ring, position: &Position) -> Option<Vec<u64>> {
        match ring.next(position) {
            Found::Piece(piece) => {
                Some(piece.events_from(position).iter().map(|event| event.revision.0).collect())
            }
            Found::Nothing => Some(Vec::new()),
            Found::Behind => None,
        }
    }

    #[test]
    fn a_watcher_gets_the_piece_after_its_position_and_nothing_at_the_head() {
        let mut ring = ring();
        assert_eq!(events_after(&ring, &at(7)), Some(vec![]));
        assert_eq!(events_after(&ring, &at(6)), None);
        push(&mut ring, at(9), vec![event(8, "a"), event(9, "a")]);
        push(&mut ring, at(10), vec![event(10, "a")]);
        assert_eq!(events_after(&ring, &at(6)), None);
        assert_eq!(events_after(&ring, &at(7)), Some(vec![8, 9]));
        assert_eq!(events_after(&ring, &at(8)), Some(vec![9]), "it has the other");
        assert_eq!(events_after(&ring, &at(9)), Some(vec![10]));
        assert_eq!(events_after(&ring, &at(10)), Some(vec![]));
        assert_eq!(events_after(&ring, &at(99)), Some(vec![]), "it comes from another replica");
    }

    #[test]
    fn a_revision_in_several_pieces_is_followed_key_by_key() {
        let mut ring = ring();
        let middle = Position::before(Revision(8), Bytes::from_static(b"b"));
        push(&mut ring, middle, vec![event(8, "a")]);
        push(&mut ring, at(8), vec![event(8, "b"), event(8, "c")]);
        for (key, piece) in [("a", vec![8]), ("b", vec![8, 8]), ("c", vec![8]), ("d", vec![])] {
            let position = Position::before(Revision(8), Bytes::from_static(key.as_bytes()));
            assert_eq!(events_after(&ring, &position), Some(piece), "before {key}");
        }
    }

    #[test]
    fn the_oldest_pieces_go_where_there_is_no_room_and_who_needs_them_is_behind() {
        let mut ring = ring();
        for revision in 8..=11 {
            push(&mut ring, at(revision), vec![event(revision, "a")]);
        }
        assert_eq!(events_after(&ring, &at(7)), Some(vec![8]), "four fit");
        push(&mut ring, at(12), vec![event(12, "a")]);
        assert_eq!(
            (events_after(&ring, &at(7)), events_after(&ring, &at(8))),
            (None, Some(vec![9]))
        );
        let data = Bytes::from(vec![b'x'; 2 * LIMITS.bytes]);
        push(&mut ring, at(13), vec![Event { data, ..event(13, "a") }]);
        assert_eq!(events_after(&ring, &at(11)), None);
        assert_eq!(events_after(&ring, &at(12)), Some(vec![13]), "one is kept however large");
        push(&mut ring, at(14), vec![event(14, "a")]);
        assert_eq!(events_after(&ring, &at(12)), None);
        assert_eq!((ring.pieces.len(), ring.size.events), (1, 1));
    }

    #[test]
    fn pieces_without_events_take_room_too() {
        let mut ring = ring();
        for revision in 8..1_000 {
            push(&mut ring, at(revision), Vec::new());
        }
        assert_eq!((ring.pieces.len(), ring.size.events), (LIMITS.events, LIMITS.events));
    }

    #[test]
    #[should_panic(expected = "no gap between two pieces")]
    fn a_gap_between_two_pieces_is_noticed() {
        ring().push(Piece { after: at(8), through: at(9), events: Vec::new() });
    }
}
