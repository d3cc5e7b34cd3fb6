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

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use shared::ids::Slot;
use shared::random;
use tracing::{info, warn};

use crate::acceptor::{Acceptor, Limits};
use crate::log::disk::{Disk, DiskError};
use crate::log::error::LogError;
use crate::log::frame::SegmentHeader;
use crate::log::record::{Entry, votes_below};
use crate::log::scan::{Damage, End, Group, Scan, scan};
use crate::log::segment::{FolderEntry, Segment, classify, path_of};
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

/// A segment as it was read.
struct Loaded {
    path: PathBuf,
    bytes: Vec<u8>,
    header: SegmentHeader,
    scan: Scan,
}

impl Loaded {
    fn damage(&self, offset: usize, what: String) -> LogError {
        LogError::Damaged { file: self.path.clone(), offset: offset as u64, what }
    }

    fn closed(&self) -> Closed {
        let below = entries(&self.scan.groups).filter_map(|entry| match entry {
            Entry::State(record) => Some(votes_below(record)),
            Entry::Released { .. } => None,
        });
        let votes_below = below.max().unwrap_or(Slot(0));
        Closed { number: self.header.number, length: self.header.length, votes_below }
    }
}

/// All that a log holds, read and not changed.
struct Whole {
    acceptor: Acceptor,
    last: Loaded,
    closed: VecDeque<Closed>,
    /// The segment before the last, where a crash left it without its seal.
    unsealed: Option<Loaded>,
    /// The number of the first segment that is needed.
    oldest: u64,
}

impl Whole {
    /// Reads the segments of these numbers, of which there is one at least.
    fn read(folder: &Path, numbers: &[u64], limits: Limits) -> Result<Self, LogError> {
        let last = *numbers.last().expect("there is a segment");
        let last = load(folder, last)?;
        let Some(oldest) = oldest_needed(&last.scan.groups) else {
            return Err(last
                .damage(last.scan.offset, "the segment does not start with a summary".to_owned()));
        };
        if oldest > last.header.number {
            let what = format!(
                "it says that segments below {oldest} are not needed, and so not even itself"
            );
            return Err(last.damage(last.scan.offset, what));
        }
        if last.scan.end == End::Sealed {
            let needed_by = format!("the seal of {} says that it was there", last.path.display());
            return Err(LogError::Missing {
                file: path_of(folder, last.header.number + 1),
                needed_by,
            });
        }
        if let Some(missing) = (oldest..last.header.number).find(|number| !numbers.contains(number))
        {
            let needed_by =
                format!("{} says that segments from {oldest} on are needed", last.path.display());
            return Err(LogError::Missing { file: path_of(folder, missing), needed_by });
        }
        let mut acceptor = Acceptor::new(last.header.acceptor, last.header.draw, limits);
        let (closed, unsealed) = replay_closed(folder, oldest, &last, &mut acceptor)?;
        replay(&mut acceptor, &last)?;
        acceptor.check_invariants();
        Ok(Self { acceptor, last, closed, unsealed, oldest })
    }
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

/// Replays the segments before the last one. Also returns the one before the last, if a
/// crash left it without its seal.
fn replay_closed(
    folder: &Path,
    oldest: u64,
    last: &Loaded,
    acceptor: &mut Acceptor,
) -> Result<(VecDeque<Closed>, Option<Loaded>), LogError> {
    let mut closed = VecDeque::new();
    let mut before: Option<Loaded> = None;
    for number in oldest..last.header.number {
        let loaded = load(folder, number)?;
        if let Some(before) = &before {
            check_link(before, &loaded)?;
        }
        check_acceptor(&loaded, &last.header)?;
        replay(acceptor, &loaded)?;
        closed.push_back(loaded.closed());
        before = Some(loaded);
    }
    if let Some(before) = &before {
        check_link(before, last)?;
    }
    Ok((closed, before.filter(|before| before.scan.end != End::Sealed)))
}

/// A segment's groups lead up to the segment after it: what is missing between them is
/// damage.
fn check_link(before: &Loaded, after: &Loaded) -> Result<(), LogError> {
    let Scan { next_sequence, chain, offset, .. } = before.scan;
    let (number, first) = (after.header.number, after.header.first_sequence);
    if next_sequence != first {
        let what = format!(
            "group {next_sequence} does not read back, and segment {number} follows on group {}",
            first.saturating_sub(1)
        );
        return Err(before.damage(offset, what));
    }
    if chain != after.header.chain {
        return Err(after.damage(
            0,
            "the segment does not follow on the one before it (chain mismatch)".to_owned(),
        ));
    }
    Ok(())
}

fn check_acceptor(loaded: &Loaded, last: &SegmentHeader) -> Result<(), LogError> {
    let found = (loaded.header.acceptor, loaded.header.draw);
    let what = || {
        format!(
            "the segment is acceptor {}'s (draw {}), the log is acceptor {}'s (draw {})",
            found.0, found.1, last.acceptor, last.draw
        )
    };
    if found == (last.acceptor, last.draw) { Ok(()) } else { Err(loaded.damage(0, what())) }
}

fn load(folder: &Path, number: u64) -> Result<Loaded, LogError> {
    let path = path_of(folder, number);
    let mut bytes = fs::read(&path).map_err(DiskError::failed("read", &path))?;
    let damaged =
        |offset: usize, what| LogError::Damaged { file: path.clone(), offset: offset as u64, what };
    let header = SegmentHeader::decode(&bytes).map_err(|what| damaged(0, what))?;
    if header.number != number {
        return Err(damaged(0, format!("the file holds segment {}", header.number)));
    }
    // Nothing of ours ever stood behind a segment's end.
    bytes.truncate(usize::try_from(header.length).unwrap_or(usize::MAX));
    let scan = scan(&bytes, &header).map_err(|Damage { offset, what }| damaged(offset, what))?;
    if scan.groups.is_empty() {
        return Err(damaged(
            scan.offset,
            "the summary at the segment's head does not read back".to_owned(),
        ));
    }
    Ok(Loaded { path, bytes, header, scan })
}

fn entries(groups: &[Group]) -> impl Iterator<Item = &Entry> {
    groups.iter().flat_map(|group| &group.entries)
}

fn replay(acceptor: &mut Acceptor, loaded: &Loaded) -> Result<(), LogError> {
    for group in &loaded.scan.groups {
        for entry in &group.entries {
            match entry {
                Entry::State(record) => {
                    let refuse = |error| {
                        loaded.damage(
                            group.offset,
                            format!("a record contradicts those before it: {error}"),
                        )
                    };
                    acceptor.check_record(record).map_err(refuse)?;
                    acceptor.replay(record.clone());
                }
                Entry::Released { .. } => {}
            }
        }
    }
    Ok(())
}

fn oldest_needed(groups: &[Group]) -> Option<u64> {
    let released = entries(groups).filter_map(|entry| match entry {
        Entry::State(_) => None,
        Entry::Released { oldest } => Some(*oldest),
    });
    released.last()
}

/// The numbers of the segments in the folder, ascending; none if there is no folder.
pub(super) fn list(folder: &Path) -> Result<Vec<u64>, LogError> {
    let mut numbers = Vec::new();
    for name in names(folder)? {
        match classify(&name) {
            FolderEntry::Segment(number) => numbers.push(number),
            FolderEntry::Unfinished => {}
            FolderEntry::Other => {
                warn!(folder = %folder.display(), name, "there is a strange file among the segments")
            }
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes what a crash left: segments never finished, and such as are no longer needed.
fn remove_leftovers(folder: &Path, oldest: u64) -> Result<(), LogError> {
    for name in names(folder)? {
        let is_leftover = match classify(&name) {
            FolderEntry::Segment(number) => number < oldest,
            FolderEntry::Unfinished => true,
            FolderEntry::Other => false,
        };
        if is_leftover {
            let path = folder.join(name);
            fs::remove_file(&path).map_err(DiskError::failed("remove", &path))?;
        }
    }
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<String>, DiskError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(DiskError::failed("list", folder)(error)),
    };
    let name =
        |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    entries
        .map(name)
        .collect::<io::Result<Vec<String>>>()
        .map_err(DiskError::failed("list", folder))
}

fn make_folder(disk: &Disk, folder: &Path) -> Result<(), DiskError> {
    fs::create_dir_all(folder).map_err(DiskError::failed("make", folder))?;
    folder.parent().map_or(Ok(()), |parent| disk.sync_folder(parent))
}
