//! An acceptor's disk, record by record: what was written is not yet what survives.
//!
//! The log's own format is tested with real bytes where it lives; here it counts which
//! records are there after a crash. As in that format only the last group can be
//! unsynced, and a crash keeps any first part of it: a record torn in two is dropped with
//! all that follow.

use acceptor::acceptor::{Acceptor, Record};
use acceptor::limits::Limits;
use shared::ids::{AcceptorId, Draw};

use crate::random::Random;

/// The log of an acceptor, with the identity of its folder.
#[derive(Clone, Debug)]
pub struct AcceptorDisk {
    /// Drawn when the disk was new.
    pub id: AcceptorId,
    /// Drawn with it.
    pub draw: Draw,
    /// Whether it takes nothing more.
    pub is_full: bool,
    segments: Vec<Segment>,
    unsynced: Vec<Record>,
}

/// A piece of the log, dropped whole once all its votes are trimmed. It begins with a
/// summary of what came before it.
#[derive(Clone, Debug, Default)]
struct Segment {
    records: Vec<Record>,
    /// One above the highest slot voted in here.
    voted_below: u64,
}

/// Records in a segment: few, so that the dropping of segments is part of every run.
const SEGMENT_RECORDS: usize = 64;

impl AcceptorDisk {
    /// A new disk, whose acceptor draws who it is.
    #[must_use]
    pub fn draw(random: &mut Random) -> Self {
        let (id, draw) = (AcceptorId(random.bits()), Draw(random.bits()));
        Self { id, draw, is_full: false, segments: vec![Segment::default()], unsynced: Vec::new() }
    }

    /// Writes records. They survive a crash for sure only once they are synced.
    pub fn write(&mut self, records: impl IntoIterator<Item = Record>) {
        self.unsynced.extend(records);
    }

    /// The records that the next sync is for.
    #[must_use]
    pub fn unsynced(&self) -> &[Record] {
        &self.unsynced
    }

    /// Syncs what was written. `core` has all of it applied.
    pub fn sync(&mut self, core: &Acceptor) {
        self.keep(usize::MAX);
        let is_long =
            self.segments.last().is_some_and(|segment| segment.records.len() >= SEGMENT_RECORDS);
        if is_long {
            self.segments.push(Segment { records: core.summary(), voted_below: 0 });
            let trimmed_below = core.marks().trimmed_below.0;
            let last = self.segments.len() - 1;
            let mut index = 0;
            // As in the real log, what is dropped are the oldest: what follows them may
            // rest on none of them.
            let droppable = self.segments[..last]
                .iter()
                .take_while(|segment| segment.voted_below <= trimmed_below)
                .count();
            self.segments.retain(|_| {
                index += 1;
                index > droppable
            });
        }
    }

    /// The machine loses power: of what was written and not synced any first part
    /// survives. Returns the surviving part.
    pub fn lose_power(&mut self, random: &mut Random) -> &[Record] {
        let surviving = random.index(self.unsynced.len() + 1);
        self.keep(surviving)
    }

    /// A process starts, and the machine stayed up since the one before it was killed:
    /// all that was written is there, and synced.
    pub fn keep_all(&mut self) -> &[Record] {
        self.keep(usize::MAX)
    }

    fn keep(&mut self, surviving: usize) -> &[Record] {
        self.unsynced.truncate(surviving);
        let segment = self.segments.last_mut().expect("a log has a segment");
        let before = segment.records.len();
        segment.records.append(&mut self.unsynced);
        for record in &segment.records[before..] {
            if let Record::Voted { votes, .. } = record {
                let above = votes.last().map_or(0, |vote| vote.slot.0 + 1);
                segment.voted_below = segment.voted_below.max(above);
            }
        }
        &segment.records[before..]
    }

    /// What an acceptor knows that starts from this disk.
    #[must_use]
    pub fn recover(&self, limits: Limits) -> Acceptor {
        let mut core = Acceptor::new(self.id, self.draw, limits);
        for record in self.segments.iter().flat_map(|segment| &segment.records) {
            core.replay(record.clone());
        }
        core
    }
}
