//! Reads all segments that are needed and replays them, and changes nothing: what a crash
//! cannot explain is damage.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use shared::ids::Slot;

use crate::acceptor::{Acceptor, Limits};
use crate::log::Closed;
use crate::log::disk::DiskError;
use crate::log::error::LogError;
use crate::log::frame::SegmentHeader;
use crate::log::record::{Entry, votes_below};
use crate::log::scan::{Damage, End, Group, Scan, scan};
use crate::log::segment::path_of;

/// A segment as it was read.
pub(super) struct Loaded {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
    pub(super) header: SegmentHeader,
    pub(super) scan: Scan,
}

impl Loaded {
    fn damage(&self, offset: usize, what: String) -> LogError {
        LogError::Damaged { file: self.path.clone(), offset: offset as u64, what }
    }

    pub(super) fn closed(&self) -> Closed {
        let below = entries(&self.scan.groups).filter_map(|entry| match entry {
            Entry::State(record) => Some(votes_below(record)),
            Entry::Released { .. } => None,
        });
        let votes_below = below.max().unwrap_or(Slot(0));
        Closed { number: self.header.number, length: self.header.length, votes_below }
    }
}

/// All that a log holds, read and not changed.
pub(super) struct Whole {
    pub(super) acceptor: Acceptor,
    pub(super) last: Loaded,
    pub(super) closed: VecDeque<Closed>,
    /// The segment before the last, where a crash left it without its seal.
    pub(super) unsealed: Option<Loaded>,
    /// The number of the first segment that is needed.
    pub(super) oldest: u64,
}

impl Whole {
    /// Reads the segments of these numbers, of which there is one at least.
    pub(super) fn read(folder: &Path, numbers: &[u64], limits: Limits) -> Result<Self, LogError> {
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
