//! The acceptor's memory on disk: an append-only, checksummed, chained log in
//! preallocated segments.
//!
//! In reading order: [`record`] and [`frame`] (its bytes), `segment` and `disk` (its
//! files), [`scan`] (how a torn tail is told from damage), `replay` (the acceptor's state,
//! from its records), `recovery` (start) and `begin` (beside a restored state). Here: how it
//! grows and shrinks.
//!
//! **Group commit.** The writer stages the records of all requests that wait
//! (`Log::stage`) and flushes them as one group: one write, one `fdatasync`
//! (`Log::flush`). Nothing may be answered before that returns.
//!
//! **Rotation.** A group that no longer fits goes into a fresh segment. The fresh segment
//! starts with a summary of the acceptor's state (cluster, promise, watermarks; not the
//! votes), is synced, and only then gets its name; then the old one is sealed. So a
//! sealed segment without its successor is known to be damage, and every segment but the
//! first one says which chain leads up to it.
//!
//! **Trimming.** A segment is needed until all slots voted in there are trimmed. The log
//! says which segment is the oldest that is needed (`Entry::Released`, synced with
//! whatever made the others superfluous) before it removes any: so a needed segment that
//! is missing is known to be missing. Votes are never copied forward.
//!
//! **Identity.** The acceptor's identity stands in the head of every segment and nowhere
//! else: an acceptor whose log is lost is another acceptor, and can't be taken for one
//! that has promised nothing.
//!
//! **Disk trouble.** A full disk is refused at rotation, where space is claimed in
//! advance; a part of each segment is kept for records without votes, so that a full disk
//! can still be trimmed. Should the disk fill up within a segment all the same (a file
//! system without real preallocation), the group is refused and the log read anew. Every
//! other error ends the process.

pub mod frame;
pub mod record;

pub(crate) mod begin;
pub(crate) mod disk;
pub(crate) mod error;
#[cfg(test)]
pub(crate) mod faults;
pub(crate) mod segment;

pub(crate) mod recovery;
pub(crate) mod replay;
pub mod scan;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use shared::ids::Slot;
use shared::random;

use crate::acceptor::{Acceptor, Limits, Record};
use crate::log::disk::{Disk, DiskError};
use crate::log::error::LogError;
use crate::log::frame::{BLOCK, Chain, Extents, Kind, SEGMENT_HEADER, SegmentHeader, seal_group};
use crate::log::record::{encode_released, encode_state, holds_votes, votes_below};
use crate::log::segment::{Segment, path_of};

/// How the log uses the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The length of a segment, a multiple of 64; longer only where one group needs it.
    /// Bytes.
    pub(crate) segment_bytes: u64,
    /// The part of a segment kept for records without votes, so that a full disk can
    /// still be trimmed. Bytes.
    pub(crate) reserve_bytes: u64,
    /// How long a full disk is left alone before a segment is asked for again.
    pub(crate) space_retry: Duration,
}

/// [`Options::space_retry`], where nothing else is said.
pub(crate) const SPACE_RETRY: Duration = Duration::from_millis(200);

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 16 << 20, reserve_bytes: 1 << 20, space_retry: SPACE_RETRY }
    }
}

/// A segment has no room for the records; see [`Log::rotate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentFull {
    /// What they need. Bytes.
    pub(crate) payload_bytes: usize,
}

/// The log, open for writing.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) disk: Disk,
    pub(crate) folder: PathBuf,
    pub(crate) options: Options,
    /// The segments before the active one, oldest first.
    pub(crate) closed: VecDeque<Closed>,
    pub(crate) active: Segment,
    /// One above the highest slot voted in, in the active segment.
    pub(crate) active_votes_below: Slot,
    /// The oldest segment still needed, as the log says by now; older ones are removed by
    /// [`Log::clean_up`].
    pub(crate) oldest: u64,
    /// The sequence of the next group, and the chain up to it.
    pub(crate) sequence: u64,
    pub(crate) chain: Chain,
    pub(crate) is_marked: bool,
    pub(crate) group: Staged,
}

/// A segment that is no longer written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    pub(crate) number: u64,
    pub(crate) length: u64,
    /// One above the highest slot voted in there.
    pub(crate) votes_below: Slot,
}

/// The group to be written next: room for its header, then its records.
#[derive(Debug)]
pub(crate) struct Staged {
    bytes: Vec<u8>,
    votes_below: Slot,
}

impl Staged {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; BLOCK], votes_below: Slot(0) }
    }

    fn is_empty(&self) -> bool {
        self.bytes.len() == BLOCK
    }
}

impl Log {
    /// Adds the records of one decision to the group, whole or not at all.
    pub(crate) fn stage(&mut self, records: &[Record]) -> Result<(), SegmentFull> {
        let before = self.group.bytes.len();
        records.iter().for_each(|record| encode_state(record, &mut self.group.bytes));
        let payload_bytes = self.group.bytes.len() - BLOCK;
        let reserved = if records.iter().any(holds_votes) { self.options.reserve_bytes } else { 0 };
        if !records.is_empty() && frame_bytes(payload_bytes) + reserved > self.active.room() {
            self.group.bytes.truncate(before);
            return Err(SegmentFull { payload_bytes });
        }
        let above = records.iter().map(votes_below).max().unwrap_or(Slot(0));
        self.group.votes_below = self.group.votes_below.max(above);
        Ok(())
    }

    /// The bytes staged so far.
    pub(crate) fn staged_bytes(&self) -> usize {
        self.group.bytes.len() - BLOCK
    }

    /// Makes sure that a group that fits into the segment will find space on the disk.
    pub(crate) fn ensure_space(&mut self) -> Result<(), DiskError> {
        self.active.ensure_allocated()
    }

    /// Writes and syncs the group; marks the one before it where it is empty. `acceptor`
    /// is the state with all its records.
    ///
    /// After an error the log must not be used any more; when it was for want of space,
    /// it may be opened anew.
    pub(crate) fn flush(&mut self, acceptor: &Acceptor) -> Result<(), DiskError> {
        if self.group.is_empty() {
            return self.mark();
        }
        let oldest = self.oldest_needed(acceptor, self.active.number());
        if oldest != self.oldest {
            encode_released(oldest, &mut self.group.bytes);
        }
        let chain =
            seal_group(&mut self.group.bytes, self.active.salt(), self.sequence, &self.chain);
        self.active.append(&self.group.bytes)?;
        self.active_votes_below = self.active_votes_below.max(self.group.votes_below);
        self.wrote_group(chain, oldest);
        self.group.bytes.truncate(BLOCK);
        self.group.votes_below = Slot(0);
        Ok(())
    }

    fn wrote_group(&mut self, chain: Chain, oldest: u64) {
        self.chain = chain;
        self.sequence += 1;
        self.oldest = oldest;
        self.is_marked = false;
    }

    /// Goes on in a fresh segment with room for that many bytes of records. The group
    /// must have been flushed.
    pub(crate) fn rotate(
        &mut self,
        acceptor: &Acceptor,
        needed: SegmentFull,
    ) -> Result<(), DiskError> {
        assert!(
            self.group.is_empty(),
            "{} bytes are staged for the segment that is left",
            self.staged_bytes()
        );
        let left = Closed {
            number: self.active.number(),
            length: self.active.length(),
            votes_below: self.active_votes_below,
        };
        self.closed.push_back(left);
        let number = self.active.number() + 1;
        let oldest = self.oldest_needed(acceptor, number);
        let start = Start { number, sequence: self.sequence, chain: self.chain, oldest, needed };
        let made = create_segment(&self.disk, &self.folder, &self.options, acceptor, &start);
        let (fresh, chain) = match made {
            Ok(made) => made,
            Err(error) => {
                self.closed.pop_back();
                return Err(error);
            }
        };
        let left = std::mem::replace(&mut self.active, fresh);
        let sealed = seal(&left, self.sequence - 1, self.chain);
        self.active_votes_below = Slot(0);
        self.wrote_group(chain, oldest);
        sealed
    }

    /// The oldest closed segment that holds a vote for a slot that is not trimmed, or the
    /// active one.
    fn oldest_needed(&self, acceptor: &Acceptor, active: u64) -> u64 {
        let trimmed_below = acceptor.marks().trimmed_below;
        let needed = self.closed.iter().find(|segment| segment.votes_below > trimmed_below);
        needed.map_or(active, |segment| segment.number)
    }

    /// Removes the segments that the log says are not needed. It need not be waited for
    /// before answering.
    pub(crate) fn clean_up(&mut self) -> Result<(), DiskError> {
        let mut is_changed = false;
        while let Some(segment) = self.closed.front().filter(|segment| segment.number < self.oldest)
        {
            let path = path_of(&self.folder, segment.number);
            fs::remove_file(&path).map_err(DiskError::failed("remove", &path))?;
            self.closed.pop_front();
            is_changed = true;
        }
        if is_changed { self.disk.sync_folder(&self.folder) } else { Ok(()) }
    }

    /// Says on disk, without a sync, that everything before is synced; for when there is
    /// nothing else to do.
    pub(crate) fn mark(&mut self) -> Result<(), DiskError> {
        if self.is_marked {
            return Ok(());
        }
        self.is_marked = true;
        forgive_no_space(self.active.mark(Kind::Mark, self.sequence - 1, self.chain))
    }

    /// Leaves the log so that any damage to it will be noticed.
    pub(crate) fn close(mut self) -> Result<(), DiskError> {
        self.mark()?;
        self.active.sync()
    }

    /// Reads the log anew after a flush that found no space: what was not synced is
    /// dropped, also from the acceptor.
    pub(crate) fn reopen(&self, limits: Limits) -> Result<(Self, Acceptor), LogError> {
        Self::open(self.disk.clone(), &self.folder, self.options, limits)
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the log takes on disk. Bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.active.length() + self.closed.iter().map(|segment| segment.length).sum::<u64>()
    }

    /// The number of its segments.
    pub(crate) fn segments(&self) -> usize {
        self.closed.len() + 1
    }
}

/// Says that the segment's successor is there, so that it will be missed.
pub(crate) fn seal(segment: &Segment, sequence: u64, chain: Chain) -> Result<(), DiskError> {
    forgive_no_space(segment.mark(Kind::Seal, sequence, chain))?;
    segment.sync()
}

/// Marks and seals only help to notice damage: the log is whole without them.
fn forgive_no_space(result: Result<(), DiskError>) -> Result<(), DiskError> {
    match result {
        Ok(()) | Err(DiskError::NoSpace { .. }) => Ok(()),
        Err(error @ (DiskError::Failed { .. } | DiskError::Gone(_))) => Err(error),
    }
}

/// Where a fresh segment takes over.
pub(crate) struct Start {
    pub(crate) number: u64,
    pub(crate) sequence: u64,
    pub(crate) chain: Chain,
    pub(crate) oldest: u64,
    pub(crate) needed: SegmentFull,
}

/// Makes a segment that starts with a summary of the acceptor. Returns the chain with the
/// summary too.
pub(crate) fn create_segment(
    disk: &Disk,
    folder: &Path,
    options: &Options,
    acceptor: &Acceptor,
    start: &Start,
) -> Result<(Segment, Chain), DiskError> {
    let &Start { number, sequence, chain: before, oldest, needed } = start;
    let mut summary = vec![0; BLOCK];
    acceptor.summary().iter().for_each(|record| encode_state(record, &mut summary));
    encode_released(oldest, &mut summary);
    let salt = random::nonce();
    let chain = seal_group(&mut summary, salt, sequence, &before);
    let fixed = (SEGMENT_HEADER + summary.len() + BLOCK) as u64 + options.reserve_bytes;
    let length = options
        .segment_bytes
        .max((fixed + frame_bytes(needed.payload_bytes)).next_multiple_of(1 << 12));
    let header = SegmentHeader {
        number,
        acceptor: acceptor.id(),
        draw: acceptor.draw(),
        salt,
        first_sequence: sequence,
        length,
        chain: before,
    };
    Ok((Segment::create(disk, folder, header, &summary)?, chain))
}

/// What a group with so many bytes of records takes, with what the log may add to it.
/// Bytes.
fn frame_bytes(payload_bytes: usize) -> u64 {
    Extents::of(payload_bytes + record::RELEASED_MAX).frame as u64
}
