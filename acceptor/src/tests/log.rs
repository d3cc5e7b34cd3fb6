use super::*;
use crate::log::disk::DiskError;

#[test]
fn a_restarted_acceptor_is_what_it_was() {
    let mut log = Fixture::new(SMALL);
    for slot in 0..30 {
        log.vote(slot, 900);
    }
    assert!(log.segments().len() >= 4, "{:?}", log.segments());
    let state = |log: &Fixture| (log.state(), log.acceptor.draw());
    let before = state(&log);
    let log = log.restart();
    assert_eq!(state(&log), before);
    let log = log.restart();
    assert_eq!(state(&log), before);
}

#[test]
fn a_log_goes_on_where_it_was_left() {
    let mut log = Fixture::new(SMALL);
    for slot in 0..40 {
        log.vote(slot, 300);
        if slot % 3 == 0 {
            log = log.restart();
        }
    }
    let (before, segments) = (log.state(), log.segments());
    let log = log.restart();
    assert_eq!((log.state(), log.segments()), (before, segments));
    assert_eq!(log.acceptor.vote_count(), 40);
}

#[test]
fn a_log_that_was_closed_opens_again() {
    let mut fixture = Fixture::new(SMALL);
    fixture.vote(0, 10);
    let before = fixture.state();
    let Fixture { folder, disk, options, log, _temp, .. } = fixture;
    log.close().unwrap();
    let (_, acceptor) = Log::open(disk, &folder, options, Limits::default()).unwrap();
    assert_eq!(state(&acceptor), before);
}

#[test]
fn a_lost_log_makes_another_acceptor() {
    let mut log = Fixture::new(SMALL);
    log.vote(0, 10);
    fs::remove_dir_all(&log.folder).unwrap();
    let (_, acceptor) = log.reopen().unwrap();
    assert_ne!(acceptor.id(), log.acceptor.id());
    assert_eq!((acceptor.roster(), acceptor.promised(), acceptor.vote_count()), (None, None, 0));
}

#[test]
fn a_trimmed_log_gives_its_segments_back() {
    let mut log = Fixture::new(SMALL);
    for slot in 0..30 {
        log.vote(slot, 900);
    }
    let before = log.segments();
    log.trim(20);
    let after = log.segments();
    assert!(after.len() < before.len() / 2 + 1, "{after:?}");
    assert!(before.ends_with(&after), "the newest segments stay: {after:?}");
    assert_eq!(log.log.segments(), after.len());
    assert_eq!(log.log.bytes(), after.len() as u64 * SMALL.segment_bytes);
    let before = log.state();
    let log = log.restart();
    assert_eq!(log.state(), before);
}

#[test]
fn wherever_a_log_is_trimmed_it_keeps_the_votes_from_there_on() {
    let mut log = Fixture::new(SMALL);
    for slot in 0..30 {
        log.vote(slot, 900);
    }
    for below in 1..=30 {
        log.trim(below);
        let before = log.state();
        log = log.restart();
        assert_eq!(log.state(), before, "trimmed below {below}");
        assert_eq!(log.acceptor.vote_count() as u64, 30 - below);
    }
}

/// The promise, the cluster and the highest voted slot were only in segments that are
/// gone.
#[test]
fn what_is_not_a_vote_outlives_the_segment_it_was_recorded_in() {
    let mut log = Fixture::new(SMALL);
    for slot in 0..30 {
        log.vote(slot, 900);
    }
    log.trim(30);
    assert_eq!(log.segments().len(), 1);
    let (before, marks) = (log.state(), log.acceptor.marks());
    let log = log.restart();
    assert_eq!((log.state(), log.acceptor.marks()), (before, marks));
    assert_eq!((marks.voted_below, log.acceptor.promised()), (Slot(30), Some(ballot(1))));
}

#[test]
fn a_record_larger_than_a_segment_gets_a_larger_one() {
    let mut log = Fixture::new(SMALL);
    log.vote(0, 50_000);
    log.vote(1, 10);
    log.vote(2, 70_000);
    let before = log.state();
    let mut log = log.restart();
    assert_eq!(log.state(), before);
    log.vote(3, 10);
    assert_eq!(log.restart().acceptor.vote_count(), 4);
}

#[test]
fn a_segment_that_was_never_finished_is_removed() {
    let mut log = Fixture::new(SMALL);
    log.vote(0, 900);
    let unfinished = log.folder.join("00000000000000000002.segment.new");
    put(&unfinished, b"half");
    let log = log.restart();
    assert!(!unfinished.exists());
    assert_eq!(log.acceptor.vote_count(), 1);
}

/// A crash after the fresh segment got its name and before the old one was sealed.
#[test]
fn a_missing_seal_is_made_up_for() {
    let mut log = Fixture::new(SMALL);
    for slot in 0..8 {
        log.vote(slot, 900);
    }
    let segments = log.segments();
    assert_eq!(segments.len(), 2);
    let seal = damage::frames(&segments[0]).last().unwrap().clone();
    let mut bytes = fs::read(&segments[0]).unwrap();
    let sealed = bytes.clone();
    bytes[seal].fill(0);
    put(&segments[0], &bytes);
    let before = log.state();
    let log = log.restart();
    assert_eq!(log.state(), before);
    assert_eq!(fs::read(&segments[0]).unwrap(), sealed);
}

/// Names may reach the disk in another order than they were removed.
#[test]
fn superfluous_segments_may_be_gone_or_there() {
    let mut log = Fixture::new(SMALL);
    for slot in 0..30 {
        log.vote(slot, 900);
    }
    let all: Vec<(PathBuf, Vec<u8>)> =
        log.segments().into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    log.trim(30);
    let (before, last) = (log.state(), log.segments());
    for (path, bytes) in all.iter().step_by(2).filter(|(path, _)| !last.contains(path)) {
        put(path, bytes);
    }
    let log = log.restart();
    assert_eq!((log.state(), log.segments()), (before, last));
}

#[test]
fn a_full_disk_is_found_when_a_segment_is_asked_for_and_leaves_nothing_behind() {
    let mut fixture = Fixture::new(SMALL);
    fixture.vote(0, 900);
    fixture.disk.faults.set_full(true);
    let plan = fixture.acceptor.plan_accept(&accept(fixture.acceptor.id(), 1, 9_000)).unwrap();
    let needed = fixture.log.stage(plan.records()).unwrap_err();
    let error = fixture.log.rotate(&fixture.acceptor, needed).unwrap_err();
    assert!(matches!(error, DiskError::NoSpace { .. }), "{error}");
    assert_eq!(fixture.segments().len(), 1);
    fixture.vote(1, 900);
    fixture.disk.faults.set_full(false);
    fixture.vote(2, 9_000);
    assert_eq!(fixture.restart().acceptor.vote_count(), 3);
}

/// Votes leave room for what frees the disk.
#[test]
fn a_full_disk_can_still_be_trimmed() {
    let mut fixture = Fixture::new(SMALL);
    for slot in 0..30 {
        fixture.vote(slot, 900);
    }
    fixture.disk.faults.set_full(true);
    let mut slot = 30;
    while let plan = fixture.acceptor.plan_accept(&accept(fixture.acceptor.id(), slot, 10)).unwrap()
        && fixture.log.stage(plan.records()).is_ok()
    {
        let _decision = fixture.acceptor.commit(plan);
        fixture.log.flush(&fixture.acceptor).unwrap();
        slot += 1;
    }
    fixture.trim(30);
    assert_eq!(fixture.segments().len(), 1);
}

/// What was read may be in the system's memory only, also after a sync that failed: the
/// last group is written again, unless a mark says that it was synced; and nothing is
/// answered before a sync.
#[test]
fn what_is_read_at_start_is_synced_before_it_is_relied_on() {
    let mut log = Fixture::new(SMALL);
    log.vote(0, 900);
    let path = log.segments().pop().unwrap();
    for (is_marked, expected_writes) in [(false, 2), (true, 1)] {
        if is_marked {
            log.log.mark().unwrap();
        } else {
            log.vote(1, 900);
        }
        let before = fs::read(&path).unwrap();
        log.disk.faults.fail_sync(rustix::io::Errno::IO);
        let error = log.reopen().unwrap_err();
        assert!(
            matches!(error, LogError::Disk(DiskError::Failed { action: "sync", .. })),
            "{error}"
        );
        put(&path, before);
        let (writes, syncs) = (log.disk.faults.writes(), log.disk.faults.syncs());
        log.reopen().unwrap();
        let (writes, syncs) = (log.disk.faults.writes() - writes, log.disk.faults.syncs() - syncs);
        assert_eq!(
            (writes, syncs),
            (expected_writes, 2),
            "the group and a mark; the segment and its folder"
        );
    }
}
