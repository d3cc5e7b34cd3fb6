use proptest::prelude::*;

use super::*;
use crate::tests::damage::frames;

/// A log with acknowledged groups, and the bytes of one more that is being written: its
/// segment before and after.
struct Unfinished {
    log: Fixture,
    path: PathBuf,
    acknowledged: String,
    before: Vec<u8>,
    after: Vec<u8>,
    frame: std::ops::Range<usize>,
}

/// With a mark where the unfinished group goes, as after any pause; or without one, as
/// under load.
fn unfinished(bytes: usize, mark: bool) -> Unfinished {
    let mut log = Fixture::new(SMALL);
    log.vote(0, 300);
    log.vote(1, 700);
    if mark {
        log.log.mark().unwrap();
    }
    let acknowledged = log.state();
    let path = log.segments().pop().unwrap();
    let before = fs::read(&path).unwrap();
    log.vote(2, bytes);
    let after = fs::read(&path).unwrap();
    let frame = frames(&path).pop().unwrap();
    Unfinished { log, path, acknowledged, before, after, frame }
}

impl Unfinished {
    fn assert_dropped(&self, bytes: &[u8], what: &str) {
        put(&self.path, bytes);
        let (log, acceptor) = self.log.reopen().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(state(&acceptor), self.acknowledged, "{what}");
        drop(log);
        let healed = fs::read(&self.path).unwrap();
        assert_eq!(healed[..self.frame.start], self.before[..self.frame.start], "{what}");
        assert!(
            crate::log::frame::is_zero(&healed[self.frame.start + crate::log::frame::BLOCK..]),
            "{what}"
        );
        let (_, acceptor) = self.log.reopen().unwrap();
        assert_eq!(state(&acceptor), self.acknowledged, "{what}, second start");
    }
}

/// The write stopped at any byte.
#[test]
fn a_write_cut_short_at_any_byte_is_dropped() {
    for mark in [false, true] {
        let unfinished = unfinished(900, mark);
        let Unfinished { before, after, frame, .. } = &unfinished;
        let trailer_end =
            frame.end - after[..frame.end].iter().rev().position(|byte| *byte != 0).unwrap();
        // With a mark there, what follows a header that is cut short is the rest of the
        // mark.
        for length in 0..trailer_end - frame.start {
            let mut bytes = before.clone();
            bytes[frame.start..frame.start + length]
                .copy_from_slice(&after[frame.start..frame.start + length]);
            unfinished.assert_dropped(&bytes, &format!("{length} bytes, mark: {mark}"));
        }
    }
}

/// The disk wrote some of the sectors and not the others, in any order.
#[test]
fn a_write_that_lacks_any_sectors_is_dropped() {
    for mark in [false, true] {
        let unfinished = unfinished(2_000, mark);
        let Unfinished { before, after, frame, .. } = &unfinished;
        let sectors: Vec<usize> = (frame.start / 512..frame.end.div_ceil(512)).collect();
        assert!(sectors.len() >= 5);
        for written in 0..(1_u32 << sectors.len()) - 1 {
            let mut bytes = before.clone();
            for (_, sector) in
                sectors.iter().enumerate().filter(|(index, _)| written & (1 << index) != 0)
            {
                bytes[sector * 512..sector * 512 + 512]
                    .copy_from_slice(&after[sector * 512..sector * 512 + 512]);
            }
            unfinished.assert_dropped(&bytes, &format!("sectors {written:b}, mark: {mark}"));
        }
    }
}

/// It was written whole, and the process ended before it could say so: kept, since
/// nothing tells it from one acknowledged.
#[test]
fn a_whole_write_is_kept() {
    for mark in [false, true] {
        let unfinished = unfinished(900, mark);
        put(&unfinished.path, &unfinished.after);
        let (_, acceptor) = unfinished.log.reopen().unwrap();
        assert_eq!(state(&acceptor), unfinished.log.state());
    }
}

/// Nothing of ours ever stood behind a segment's end.
#[test]
fn bytes_behind_the_end_of_the_last_segment_are_dropped() {
    let unfinished = unfinished(900, true);
    let mut bytes = unfinished.after.clone();
    bytes.extend_from_slice(b"garbage");
    put(&unfinished.path, &bytes);
    let (_, acceptor) = unfinished.log.reopen().unwrap();
    assert_eq!(state(&acceptor), unfinished.log.state());
    assert_eq!(fs::metadata(&unfinished.path).unwrap().len(), SMALL.segment_bytes);
}

/// A client cannot store a value that is taken for a later frame: it does not know the
/// segment's salt.
#[test]
fn a_value_that_looks_like_frames_does_not_make_a_torn_write_look_damaged() {
    let mut other = Fixture::new(SMALL);
    (0..10).for_each(|slot| other.vote(slot, 300));
    let other_path = other.segments().pop().unwrap();
    let later_groups = frames(&other_path)[5].start..frames(&other_path)[9].end;
    let forged = fs::read(other_path).unwrap()[later_groups].to_vec();
    for padding in 0..64 {
        let mut log = Fixture::new(SMALL);
        log.vote(0, 300);
        let acknowledged = log.state();
        let path = log.segments().pop().unwrap();
        let mut message = accept(log.acceptor.id(), 1, 0);
        message.proposals[0].value = [&vec![1; padding], &forged[..]].concat().into();
        log.write(&message);
        let frame = frames(&path).pop().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let last_sector = (frame.end - 1) / 512 * 512;
        bytes[last_sector..last_sector + 512].fill(0);
        put(&path, &bytes);
        let (_, acceptor) = log.reopen().unwrap();
        assert_eq!(state(&acceptor), acknowledged, "padding of {padding}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Groups of any size, one torn in any sectors, a restart, and on it goes: what was
    /// acknowledged is there at the end.
    #[test]
    fn acknowledged_groups_outlive_torn_ones(rounds in prop::collection::vec((1..1_500_usize, any::<u8>(), any::<bool>()), 1..8)) {
        let mut log = Fixture::new(Options { segment_bytes: 65_536, ..SMALL });
        for (slot, (bytes, written, mark)) in (0..).step_by(2).zip(rounds) {
            log.vote(slot, bytes);
            if mark {
                log.log.mark().unwrap();
            }
            let acknowledged = log.state();
            let path = log.segments().pop().unwrap();
            let before = fs::read(&path).unwrap();
            log.vote(slot + 1, bytes);
            let after = fs::read(&path).unwrap();
            let frame = frames(&path).pop().unwrap();
            let mut torn = before;
            let sectors = frame.start / 512..frame.end.div_ceil(512);
            let all = (1_u8 << sectors.len()) - 1;
            let written = if written & all == all { written ^ 1 } else { written };
            for (_, sector) in sectors.enumerate().filter(|(index, _)| written & (1 << index) != 0) {
                torn[sector * 512..sector * 512 + 512].copy_from_slice(&after[sector * 512..sector * 512 + 512]);
            }
            put(&path, &torn);
            log = log.restart();
            prop_assert_eq!(log.state(), acknowledged);
        }
    }
}
