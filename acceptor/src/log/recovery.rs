//! Opens the log at start: reads it whole, rebuilds the acceptor, and drops the tail that
//! a crash left unfinished.
//!
//! The last segment is read first, since it says which segments are needed. Whatever
//! cannot be explained by a crash stops the start, with the file and the offset, and
//! before anything is changed.
//!
//! The last group may have been read from the system's memory only: its writer may have
//! been killed before the sync returned, or stopped because the sync failed. It is
//! written again and synced before anything is answered on its strength.

pub(super) mod folder;
mod reading;

use std::collections::VecDeque;
use std::path::Path;

use shared::ids::Slot;
use shared::random;
use tracing::{info, warn};

use crate::acceptor::{Acceptor, Limits};
use crate::log::disk::Disk;
use crate::log::error::LogError;
use crate::log::recovery::folder::{list, make_folder, remove_leftovers};
use crate::log::recovery::reading::{Loaded, Whole};
use crate::log::scan::{End, Group};
use crate::log::segment::Segment;
use crate::log::{Closed, Log, Options, SegmentFull, Staged, Start, create_segment, seal};

/// Opens the log in a folder as a start does, and closes it again: what it holds, or why
/// no acceptor may run on it. None where there is no log. As at a start, the tail that a
/// crash left unfinished is dropped, and segments no longer needed are removed.
///
/// # Errors
/// When the log is damaged, or the disk fails.
pub fn recover(folder: &Path, limits: Limits) -> Result<Option<Acceptor>, LogError> {
    if list(folder)?.is_empty() {
        return Ok(None);
    }
    let (log, acceptor) = Log::open(Disk::default(), folder, Options::default(), limits)?;
    log.close()?;
    Ok(Some(acceptor))
}

/// Reads the log in a folder as a start does, and changes nothing: what it holds, or where
/// it is damaged. None where there is no log.
///
/// # Errors
/// When no acceptor may run on it, or the disk fails.
pub fn inspect(folder: &Path, limits: Limits) -> Result<Option<Acceptor>, LogError> {
    let numbers = list(folder)?;
    if numbers.is_empty() {
        return Ok(None);
    }
    Ok(Some(Whole::read(folder, &numbers, limits)?.acceptor))
}

impl Log {
    /// Opens the log in a folder, which is made if it is not there, and rebuilds the
    /// acceptor from it.
    pub(crate) fn open(
        disk: Disk,
        folder: &Path,
        options: Options,
        limits: Limits,
    ) -> Result<(Self, Acceptor), LogError> {
        let numbers = list(folder)?;
        if numbers.is_empty() {
            let acceptor = Acceptor::new(random::acceptor_id(), random::draw(), limits);
            info!(acceptor = %acceptor.id(), "a new acceptor comes into being");
            return Ok((Self::found(disk, folder, options, &acceptor)?, acceptor));
        }
        let Whole { acceptor, last, closed, unsealed, oldest } =
            Whole::read(folder, &numbers, limits)?;
        if let Some(before) = unsealed {
            let mut segment =
                Segment::open(&disk, before.path, before.header, before.scan.offset as u64)?;
            if before.scan.end == End::Torn {
                segment.clear_tail()?;
            }
            seal(&segment, before.scan.next_sequence - 1, before.scan.chain)?;
        }
        remove_leftovers(folder, oldest)?;
        let log = Self::resume(disk, folder, options, last, closed, oldest)?;
        info!(
            segments = log.segments(),
            bytes = log.bytes(),
            votes = acceptor.vote_count(),
            "the log is read"
        );
        Ok((log, acceptor))
    }

    /// A log for an acceptor that comes into being, whose state it begins with.
    pub(super) fn found(
        disk: Disk,
        folder: &Path,
        options: Options,
        acceptor: &Acceptor,
    ) -> Result<Self, LogError> {
        make_folder(&disk, folder)?;
        remove_leftovers(folder, 0)?;
        let start = Start {
            number: 1,
            sequence: 1,
            chain: [0; 32],
            oldest: 1,
            needed: SegmentFull { payload_bytes: 0 },
        };
        let (active, chain) = create_segment(&disk, folder, &options, acceptor, &start)?;
        Ok(Self {
            disk,
            folder: folder.to_owned(),
            options,
            closed: VecDeque::new(),
            active,
            active_votes_below: Slot(0),
            oldest: 1,
            sequence: 2,
            chain,
            is_marked: false,
            group: Staged::new(),
        })
    }

    /// Makes the last segment fit to be written to, and what was read from it safe to
    /// rely on.
    fn resume(
        disk: Disk,
        folder: &Path,
        options: Options,
        last: Loaded,
        closed: VecDeque<Closed>,
        oldest: u64,
    ) -> Result<Self, LogError> {
        let active_votes_below = last.closed().votes_below;
        let Loaded { path, bytes, header, scan } = last;
        let mut active = Segment::open(&disk, path.clone(), header, scan.offset as u64)?;
        if scan.end == End::Torn {
            warn!(file = %path.display(), offset = scan.offset, "dropped an unfinished write at \
                the end of the log");
            active.clear_tail()?;
        }
        if scan.end != End::Marked
            && let Some(Group { offset, length, .. }) = scan.groups.last()
        {
            active.rewrite(&bytes[*offset..offset + length], *offset as u64)?;
        }
        active.sync()?;
        disk.sync_folder(folder)?;
        let mut log = Self {
            disk,
            folder: folder.to_owned(),
            options,
            closed,
            active,
            active_votes_below,
            oldest,
            sequence: scan.next_sequence,
            chain: scan.chain,
            is_marked: false,
            group: Staged::new(),
        };
        log.mark()?;
        Ok(log)
    }
}
