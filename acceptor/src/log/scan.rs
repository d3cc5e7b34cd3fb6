//! Reads a segment, and tells a torn tail from damage. Pure: bytes in, verdict out.
//!
//! The writer starts a group only after the sync of the one before it returned, so **at
//! most the last group of the log is unsynced**, and nobody was answered on its strength.
//! A crash may leave any of its sectors unwritten, or all from some byte on: zeros, since
//! segments are preallocated. Such a **torn** tail is dropped. Everything else that does
//! not read back is **damage** to something that may have been acknowledged, and the
//! acceptor must not start: it would break its promises.
//!
//! Where no group reads back, though its place is not empty, the group was damaged
//!
//! 1. if anything after it shows that it was synced: the header of a later group, a mark
//!    or seal for it or a later one, a segment that follows; or
//! 2. if it cannot have been torn. A whole group ends in a trailer that is not zero; and
//!    a header lies in one sector. So a torn one has either nothing after its header, or
//!    a wrong payload with a sector of nothing but zeros or with no trailer, or no header
//!    in a sector of nothing but zeros.
//!
//! Else it was torn. **What cannot be told:** damage to the very last group that looks
//! just like a torn write, where no mark stands after it: sectors lost whole by a disk
//! that had reported them synced; or a changed bit in a group that holds a sector's worth
//! of zeros by nature. A mark is written as soon as the queue is empty, and outlives
//! `kill -9`: the window is a power cut while the system keeps the mark in memory only,
//! together with such damage. What changes in space never used, or in a mark, is dropped
//! as torn: nothing acknowledged stood there.

use crate::log::frame::{
    BLOCK, Chain, FrameHeader, Kind, SECTOR, SEGMENT_HEADER, SegmentHeader, is_zero,
};
use crate::log::record::{self, Entry};

/// A group as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Where its frame starts. Bytes.
    pub offset: usize,
    /// The length of its frame. Bytes.
    pub length: usize,
    /// Its records, in order.
    pub entries: Vec<Entry>,
}

/// What a segment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// In order.
    pub groups: Vec<Group>,
    /// The sequence of the group after them.
    pub next_sequence: u64,
    /// The chain over them.
    pub chain: Chain,
    /// Where they end. Bytes.
    pub offset: usize,
    /// What stands there.
    pub end: End,
}

/// What stands where the next group would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing.
    Unmarked,
    /// A mark: the last group is known to be synced.
    Marked,
    /// A seal: the next segment must be there.
    Sealed,
    /// What a crash left of an unsynced group.
    Torn,
}

/// The place and the kind of a damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// From the start of the segment. Bytes.
    pub offset: usize,
    /// What does not read back.
    pub what: String,
}

/// Reads a segment whose header was read.
///
/// # Errors
/// When something that may have been acknowledged does not read back.
pub fn scan(bytes: &[u8], header: &SegmentHeader) -> Result<Scan, Damage> {
    let mut scanner = Scanner {
        bytes,
        salt: header.salt,
        scan: Scan {
            groups: Vec::new(),
            next_sequence: header.first_sequence,
            chain: header.chain,
            offset: SEGMENT_HEADER,
            end: End::Unmarked,
        },
    };
    if bytes.len() as u64 != header.length {
        let what =
            format!("the file has {} bytes, by its header it had {}", bytes.len(), header.length);
        return Err(Damage { offset: bytes.len(), what });
    }
    loop {
        if let Some(end) = scanner.step()? {
            scanner.scan.end = end;
            return Ok(scanner.scan);
        }
    }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    salt: u64,
    scan: Scan,
}

impl Scanner<'_> {
    /// Reads what stands at the offset. None: a group, and there may be another after it.
    fn step(&mut self) -> Result<Option<End>, Damage> {
        let rest = &self.bytes[self.scan.offset..];
        match FrameHeader::decode(rest, self.salt) {
            None if is_zero(rest) => Ok(Some(End::Unmarked)),
            None if is_zero(&rest[BLOCK..]) => Ok(Some(End::Torn)),
            None => {
                self.torn_before(0, "there is no group here, but neither is it empty").map(Some)
            }
            Some(header) => match header.kind {
                Kind::Group => self.group(&header),
                Kind::Mark | Kind::Seal => self.mark(&header).map(Some),
            },
        }
    }

    fn group(&mut self, header: &FrameHeader) -> Result<Option<End>, Damage> {
        let Scan { offset, next_sequence, .. } = self.scan;
        if header.sequence != next_sequence {
            return Err(self.damage(&format!(
                "group {} stands where group {next_sequence} should",
                header.sequence
            )));
        }
        let length = header.extents().frame;
        let Some(frame) = self.bytes[offset..].get(..length) else {
            return Err(self.damage("the group is longer than its segment"));
        };
        match header.check(&self.scan.chain, frame) {
            Ok(payload) => {
                let entries = record::decode(payload);
                let entries = entries.map_err(|error| {
                    self.damage(&format!("the group's records make no sense: {error}"))
                })?;
                self.scan.groups.push(Group { offset, length, entries });
                self.scan.next_sequence += 1;
                self.scan.chain = header.chain;
                self.scan.offset += length;
                Ok(None)
            }
            Err(what) => self.torn_within(header.extents().trailer, what).map(Some),
        }
    }

    fn mark(&self, header: &FrameHeader) -> Result<End, Damage> {
        let follows = header.sequence.checked_add(1) == Some(self.scan.next_sequence)
            && header.chain == self.scan.chain;
        if !follows {
            return Err(self.damage(&format!(
                "a mark for group {} stands where it does not belong",
                header.sequence
            )));
        }
        let after = &self.bytes[self.scan.offset + BLOCK..];
        match header.kind {
            Kind::Seal if is_zero(after) => Ok(End::Sealed),
            Kind::Seal => Err(self.damage("something stands after the segment's seal")),
            Kind::Mark | Kind::Group if is_zero(after) => Ok(End::Marked),
            Kind::Mark | Kind::Group => {
                self.torn_before(BLOCK, "something stands after the mark of the last group")
            }
        }
    }

    /// Torn if the group's first sector was not written, though another one was: that
    /// sector is zeros from `skip` on.
    fn torn_before(&self, skip: usize, what: &str) -> Result<End, Damage> {
        self.refute_by_evidence(what)?;
        let offset = self.scan.offset;
        let sector_end = (offset + 1).next_multiple_of(SECTOR).min(self.bytes.len());
        if is_zero(&self.bytes[offset + skip..sector_end]) {
            Ok(End::Torn)
        } else {
            Err(self.damage_written(what))
        }
    }

    /// Torn if the group's first sector was written, and another one was not; or all was
    /// written only up to some byte.
    fn torn_within(&self, trailer_end: usize, what: &str) -> Result<End, Damage> {
        self.refute_by_evidence(what)?;
        let trailer_end = self.scan.offset + trailer_end;
        let second_sector = (self.scan.offset + 1).next_multiple_of(SECTOR);
        let others = self.bytes.get(second_sector..trailer_end).unwrap_or_default();
        let lacks_sector = others.chunks(SECTOR).any(is_zero);
        let lacks_end = is_zero(&self.bytes[trailer_end - 1..]);
        if lacks_sector || lacks_end { Ok(End::Torn) } else { Err(self.damage_written(what)) }
    }

    /// Looks for anything that was only written after the group expected here had been
    /// synced.
    fn refute_by_evidence(&self, what: &str) -> Result<(), Damage> {
        let expected = self.scan.next_sequence;
        for (offset, block) in (0..)
            .step_by(BLOCK)
            .zip(self.bytes.chunks_exact(BLOCK))
            .skip(self.scan.offset / BLOCK + 1)
        {
            let Some(header) = FrameHeader::decode(block, self.salt) else { continue };
            let is_evidence = match header.kind {
                Kind::Group => header.sequence > expected,
                Kind::Mark | Kind::Seal => header.sequence >= expected,
            };
            if is_evidence {
                return Err(self.damage(&format!(
                    "{what}; group {expected} was synced, as offset {offset} shows"
                )));
            }
        }
        Ok(())
    }

    fn damage_written(&self, what: &str) -> Damage {
        self.damage(&format!(
            "{what}; no sector of it is missing, so this is no write that a crash cut short"
        ))
    }

    fn damage(&self, what: &str) -> Damage {
        Damage { offset: self.scan.offset, what: what.to_owned() }
    }
}
