use std::ops::Range;

use super::*;
use crate::log::frame::{
    BLOCK, FrameHeader, Kind, SEGMENT_HEADER, SegmentHeader, is_zero, seal_group,
};
use crate::log::scan::{End, scan};

/// Where the frames of an undamaged segment lie: its groups, then its mark or seal.
pub(crate) fn frames(path: &Path) -> Vec<Range<usize>> {
    let bytes = fs::read(path).unwrap();
    let header = SegmentHeader::decode(&bytes).unwrap();
    let scan = scan(&bytes, &header).unwrap();
    let mut frames: Vec<Range<usize>> =
        scan.groups.iter().map(|group| group.offset..group.offset + group.length).collect();
    if scan.end != End::Unmarked {
        frames.push(scan.offset..scan.offset + BLOCK);
    }
    frames
}

/// Two segments: the first with a few groups, sealed; the second with a few groups, the
/// last of which was acknowledged.
fn two_segments() -> Fixture {
    let options = Options { segment_bytes: 4_096, reserve_bytes: 256, ..SMALL };
    let mut log = Fixture::new(options);
    for (slot, bytes) in [(0, 40), (1, 1_300), (2, 700), (3, 700), (4, 30), (5, 1_200), (6, 5)] {
        log.vote(slot, bytes);
    }
    assert_eq!(log.segments().len(), 2);
    log
}

/// The files of a log, to be put back.
struct Undamaged(Vec<(PathBuf, Vec<u8>)>);

impl Undamaged {
    fn of(log: &Fixture) -> Self {
        Self(
            log.segments()
                .into_iter()
                .map(|path| (path.clone(), fs::read(path).unwrap()))
                .collect(),
        )
    }

    fn put_back(&self) {
        self.0.iter().for_each(|(path, bytes)| put(path, bytes));
    }
}

/// Opens the log with one bit changed. What opens must be whole; what does not must name
/// the file, and is told where.
fn open_with_changed_bit(
    log: &Fixture,
    path: &Path,
    undamaged: &[u8],
    offset: usize,
) -> Result<(), u64> {
    let mut bytes = undamaged.to_owned();
    bytes[offset] ^= 1 << (offset % 8);
    put(path, bytes);
    match log.reopen() {
        Ok((_, acceptor)) => {
            assert_eq!(
                state(&acceptor),
                log.state(),
                "byte {offset} of {path:?} changed what the acceptor remembers"
            );
            Ok(())
        }
        Err(LogError::Damaged { file, offset, .. }) => {
            assert_eq!(file, path);
            Err(offset)
        }
        Err(error @ (LogError::Missing { .. } | LogError::Disk(_))) => {
            panic!("byte {offset} of {path:?}: {error}")
        }
    }
}

fn assert_every_changed_bit_is_noticed(log: &Fixture) {
    let undamaged = Undamaged::of(log);
    for (path, bytes) in &undamaged.0 {
        let frames = frames(path);
        for offset in 0..bytes.len() {
            let opened = open_with_changed_bit(log, path, bytes, offset);
            let frame = frames.iter().find(|frame| frame.contains(&offset));
            match (frame, opened) {
                (None, opened) if offset < SEGMENT_HEADER => {
                    assert_eq!(opened, Err(0), "byte {offset} of {path:?}")
                }
                (Some(frame), Err(at)) => {
                    assert_eq!(at, frame.start as u64, "byte {offset} of {path:?}")
                }
                // A mark or a seal, without which nothing is missing.
                (Some(frame), Ok(())) => {
                    assert!(!is_group(&bytes[frame.clone()], bytes), "byte {offset} of {path:?}")
                }
                // Space that was never used.
                (None, Ok(()) | Err(_)) => {}
            }
            undamaged.put_back();
        }
    }
}

fn is_group(frame: &[u8], segment: &[u8]) -> bool {
    let header = SegmentHeader::decode(segment).unwrap();
    FrameHeader::decode(frame, header.salt).is_some_and(|header| header.kind == Kind::Group)
}

#[test]
fn every_changed_bit_is_noticed_or_does_not_matter() {
    assert_every_changed_bit_is_noticed(&two_segments());
}

#[test]
fn every_changed_bit_is_noticed_or_does_not_matter_after_a_mark() {
    let mut log = two_segments();
    log.log.mark().unwrap();
    assert_every_changed_bit_is_noticed(&log);
}

/// The pure part on its own, all eight bits of all bytes of the last segment.
#[test]
fn no_changed_bit_makes_an_acknowledged_group_vanish() {
    let log = two_segments();
    let mut bytes = fs::read(log.segments().last().unwrap()).unwrap();
    let header = SegmentHeader::decode(&bytes).unwrap();
    let whole = scan(&bytes, &header).unwrap();
    for offset in SEGMENT_HEADER..bytes.len() {
        for bit in 0..8 {
            bytes[offset] ^= 1 << bit;
            if let Ok(scan) = scan(&bytes, &header) {
                assert_eq!(scan.groups, whole.groups, "bit {bit} of byte {offset}");
            }
            bytes[offset] ^= 1 << bit;
        }
    }
}

/// Sectors that read as zeros again are what a torn write leaves, but not where something
/// shows that it was synced.
#[test]
fn a_lost_sector_is_noticed_where_anything_stands_after_it() {
    let mut log = two_segments();
    log.log.mark().unwrap();
    for path in log.segments() {
        let undamaged = fs::read(&path).unwrap();
        let groups: Vec<Range<usize>> = frames(&path)
            .into_iter()
            .filter(|frame| is_group(&undamaged[frame.clone()], &undamaged))
            .collect();
        for sector in (0..undamaged.len()).step_by(512) {
            let mut bytes = undamaged.clone();
            bytes[sector..sector + 512].fill(0);
            let holds_mark = groups.last().unwrap().end.next_multiple_of(512) == sector + 512;
            if is_zero(&undamaged[sector..sector + 512])
                || holds_mark && path == *log.segments().last().unwrap()
            {
                continue;
            }
            put(&path, &bytes);
            let error = log.reopen().unwrap_err();
            assert!(
                matches!(&error, LogError::Damaged { file, .. } if *file == path),
                "sector at {sector}: {error}"
            );
        }
        put(&path, &undamaged);
    }
}

#[track_caller]
fn assert_damaged(log: &Fixture, path: &Path, offset: usize, why: &str) {
    match log.reopen().unwrap_err() {
        LogError::Damaged { file, offset: at, what } => {
            assert_eq!((file.as_path(), at), (path, offset as u64), "{what}");
            assert!(what.contains(why), "{what}");
        }
        error @ (LogError::Missing { .. } | LogError::Disk(_)) => panic!("{error}"),
    }
}

/// A group is only started once the one before it is synced.
#[test]
fn a_later_group_shows_that_one_was_synced() {
    let mut log = Fixture::new(SMALL);
    log.vote(0, 1_500);
    log.vote(1, 10);
    let path = log.segments().pop().unwrap();
    let frames = frames(&path);
    let mut bytes = fs::read(&path).unwrap();
    let sector = (frames[1].start + 1).next_multiple_of(512);
    bytes[sector..sector + 512].fill(0);
    put(&path, bytes);
    assert_damaged(
        &log,
        &path,
        frames[1].start,
        &format!("group 2 was synced, as offset {} shows", frames[2].start),
    );
}

#[test]
fn a_mark_shows_that_the_last_group_was_synced() {
    let mut log = Fixture::new(SMALL);
    log.vote(0, 1_500);
    log.log.mark().unwrap();
    let path = log.segments().pop().unwrap();
    let frames = frames(&path);
    let mut bytes = fs::read(&path).unwrap();
    let sector = (frames[1].start + 1).next_multiple_of(512);
    bytes[sector..sector + 512].fill(0);
    put(&path, bytes);
    assert_damaged(
        &log,
        &path,
        frames[1].start,
        &format!("group 2 was synced, as offset {} shows", frames[2].start),
    );
}

/// All its checksums are right, but it is not what followed on the group before it.
#[test]
fn a_group_of_another_history_is_noticed() {
    let mut log = Fixture::new(SMALL);
    log.vote(0, 100);
    let path = log.segments().pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let header = SegmentHeader::decode(&bytes).unwrap();
    let frame = frames(&path).pop().unwrap();
    let payload = 64
        + FrameHeader::decode(&bytes[frame.clone()], header.salt).unwrap().payload_length as usize;
    let mut forged = bytes[frame.clone()][..payload].to_vec();
    seal_group(&mut forged, header.salt, 2, &[7; 32]);
    bytes[frame.clone()].copy_from_slice(&forged);
    put(&path, bytes);
    assert_damaged(&log, &path, frame.start, "chain mismatch");
}

/// Two copies of one data directory went on by themselves, and then were mixed.
#[test]
fn segments_of_two_histories_are_told_apart() {
    let options = Options { segment_bytes: 4_096, reserve_bytes: 256, ..SMALL };
    let mut log = Fixture::new(options);
    let common = Undamaged::of(&log);
    for slot in 0..6 {
        log.vote(slot, 900);
    }
    let first = fs::read(&log.segments()[0]).unwrap();
    log.segments().iter().for_each(|path| fs::remove_file(path).unwrap());
    common.put_back();
    let mut log = log.restart();
    for slot in 10..16 {
        log.vote(slot, 900);
    }
    let segments = log.segments();
    assert_eq!(segments.len(), 2);
    put(&segments[0], first);
    assert_damaged(&log, &segments[1], 0, "chain mismatch");
}

/// Whole groups are gone from the end of a segment, as if they had never been.
#[test]
fn groups_missing_before_another_segment_are_noticed() {
    let log = two_segments();
    let path = &log.segments()[0];
    let undamaged = fs::read(path).unwrap();
    for frame in frames(path).iter().skip(1).rev().skip(1) {
        let mut bytes = undamaged.clone();
        bytes[frame.start..].fill(0);
        put(path, &bytes);
        assert_damaged(&log, path, frame.start, "does not read back, and segment 2 follows");
    }
}

#[test]
fn a_missing_segment_is_noticed() {
    let log = two_segments();
    for path in log.segments() {
        let aside = path.with_extension("aside");
        fs::rename(&path, &aside).unwrap();
        match log.reopen().unwrap_err() {
            LogError::Missing { file, .. } => assert_eq!(file, path),
            error @ (LogError::Damaged { .. } | LogError::Disk(_)) => panic!("{error}"),
        }
        fs::rename(&aside, &path).unwrap();
    }
    assert_eq!(state(&log.reopen().unwrap().1), log.state());
}

#[test]
fn a_segment_cut_short_is_noticed() {
    let log = two_segments();
    for path in log.segments() {
        let undamaged = fs::read(&path).unwrap();
        for length in [0, 100, 128, 1_000, undamaged.len() - 1] {
            put(&path, &undamaged[..length]);
            let error = log.reopen().unwrap_err();
            assert!(
                matches!(&error, LogError::Damaged { file, .. } if *file == path),
                "{length} bytes: {error}"
            );
        }
        put(&path, &undamaged);
    }
}

#[test]
fn a_segment_of_another_log_is_noticed() {
    let (log, other) = (two_segments(), two_segments());
    fs::copy(&other.segments()[0], &log.segments()[0]).unwrap();
    let error = log.reopen().unwrap_err().to_string();
    assert!(
        error.contains("chain mismatch") || error.contains("the segment is acceptor"),
        "{error}"
    );
    fs::copy(&log.segments()[1], &log.segments()[0]).unwrap();
    let error = log.reopen().unwrap_err().to_string();
    assert!(error.contains("the file holds segment 2"), "{error}");
}

/// An error is no excuse to change anything: what is damaged can still be examined.
#[test]
fn a_damaged_log_is_left_as_it_is() {
    let log = two_segments();
    let path = &log.segments()[1];
    let mut bytes = fs::read(path).unwrap();
    bytes[SEGMENT_HEADER + 70] ^= 4;
    put(path, &bytes);
    let before: Vec<Vec<u8>> = log.segments().iter().map(|path| fs::read(path).unwrap()).collect();
    let error = log.reopen().unwrap_err().to_string();
    assert!(
        error.contains(&format!(
            "{} is damaged at offset 128: the group's records do not match",
            path.display()
        )),
        "{error}"
    );
    let after: Vec<Vec<u8>> = log.segments().iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(before, after);
}
