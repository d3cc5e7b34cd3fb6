//! Logs whose checksums are right and whose contents no acceptor can have written: a
//! start refuses them, and does not panic.

use super::*;
use crate::decision::Record;
use crate::log::frame::{BLOCK, SegmentHeader, seal_group};
use crate::log::record::{encode_released, encode_state};
use crate::log::scan::scan;

/// Appends a group to the only segment of a log, under checksums that are right.
fn append(log: &Fixture, payload: impl FnOnce(&mut Vec<u8>)) {
    let path = log.segments().pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let header = SegmentHeader::decode(&bytes).unwrap();
    let scan = scan(&bytes, &header).unwrap();
    let mut group = vec![0; BLOCK];
    payload(&mut group);
    seal_group(&mut group, header.salt, scan.next_sequence, &scan.chain);
    bytes[scan.offset..scan.offset + group.len()].copy_from_slice(&group);
    put(&path, bytes);
}

#[track_caller]
fn assert_refused(log: &Fixture, expected: &str) {
    let read = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
    let before: Vec<(PathBuf, Vec<u8>)> = log.segments().into_iter().map(read).collect();
    let error = log.reopen().unwrap_err();
    assert!(matches!(error, LogError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(expected), "{error}");
    for (path, bytes) in before {
        assert!(fs::read(&path).unwrap() == bytes, "{} was changed", path.display());
    }
}

#[test]
fn records_that_contradict_those_before_them_are_refused() {
    let voted = |round, slots: &[u64]| {
        let votes =
            slots.iter().map(|&slot| SlotValue { slot: Slot(slot), value: value(7, 3) }).collect();
        Record::Voted { ballot: ballot(round), votes, chosen_below: Slot(0) }
    };
    let trimmed = |below, chosen_below| Record::Trimmed {
        below: Slot(below),
        voted_below: Slot(0),
        chosen_below: Slot(chosen_below),
    };
    let other =
        Roster::new(ClusterId(1), Generation(0), vec![AcceptorId(1), AcceptorId(2), AcceptorId(3)])
            .unwrap();
    let cases = [
        (Record::Joined(other), "it joins the cluster of"),
        (
            voted(1, &[0]),
            "it votes in slot 0 at 1.0000000000000007, but voted there at 1.0000000000000007",
        ),
        (voted(2, &[2, 1]), "it votes in slot 1 after slot 2"),
        (voted(2, &[u64::MAX]), "slot 18446744073709551615 is above"),
        (Record::Promised(ballot(u64::MAX)), "ballot.round 18446744073709551615 is above"),
        (trimmed(2, 1), "it trims below 2, but only what is below 1 is chosen"),
        (trimmed(1, u64::MAX), "chosen_below 18446744073709551615 is above"),
    ];
    for (record, expected) in cases {
        let mut log = Fixture::new(SMALL);
        log.vote(0, 40);
        append(&log, |group| encode_state(&record, group));
        assert_refused(&log, expected);
    }
}

#[test]
fn a_vote_of_a_stranger_is_refused() {
    let log = Fixture::new(SMALL);
    append(&log, |group| encode_state(&Record::Promised(ballot(1)), group));
    assert_refused(&log, "but belongs to no cluster");
}

/// Else the start would remove the segment that says so, and with it the only copy of the
/// votes.
#[test]
fn a_segment_that_says_that_it_is_not_needed_itself_is_refused() {
    let mut log = Fixture::new(SMALL);
    log.vote(0, 40);
    append(&log, |group| encode_released(2, group));
    assert_refused(&log, "not even itself");
}

#[test]
fn a_header_that_no_segment_has_is_refused() {
    let log = Fixture::new(SMALL);
    let path = log.segments().pop().unwrap();
    let bytes = fs::read(&path).unwrap();
    let header = SegmentHeader::decode(&bytes).unwrap();
    for (altered, expected) in [
        (SegmentHeader { length: 64, ..header.clone() }, "not that of whole blocks"),
        (SegmentHeader { length: 8_190, ..header.clone() }, "not that of whole blocks"),
        (SegmentHeader { first_sequence: u64::MAX, ..header.clone() }, "no log is that long"),
        (SegmentHeader { number: u64::MAX, ..header }, "no log is that long"),
    ] {
        let mut bytes = bytes.clone();
        bytes[..altered.encode().len()].copy_from_slice(&altered.encode());
        put(&path, bytes);
        assert_refused(&log, expected);
    }
}
