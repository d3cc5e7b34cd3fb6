use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use shared::byte_budget::BudgetSpent;
use shared::message::{
    AcceptReply, Accepted, Full, Marks, Prepare, PrepareReply, SuccessionRequest, VoteRoom,
};

use super::*;
use crate::handle::{Handle, Refusal};
use crate::log::disk::DiskError;
use crate::writer::{Ended, start};

struct Running {
    handle: Handle,
    ended: Ended,
    disk: Disk,
    folder: PathBuf,
    acceptor: AcceptorId,
    _temp: TempDir,
}

impl Running {
    fn new(options: Options) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let (folder, disk) = (temp.path().join("log"), Disk::default());
        let (handle, ended) =
            start(disk.clone(), &folder, options, Limits::default(), measured().0).unwrap();
        let acceptor = handle.durable().acceptor;
        Self { handle, ended, disk, folder, acceptor, _temp: temp }
    }

    async fn vote(&self, slot: u64, bytes: usize) -> Result<AcceptReply, Refusal> {
        let held = self.handle.bytes().reserve(bytes)?;
        self.handle.accept(accept(self.acceptor, slot, bytes), held).await.map(without_room)
    }

    /// Waits until the writer has no mark to write any more: the next write is the next
    /// group's.
    async fn settle(&self) {
        self.handle.votes(Slot(0), 1).await.unwrap();
    }

    /// Whether it says that it has room.
    async fn can_write(&self) -> bool {
        self.handle.succession(SuccessionRequest::Tell).await.unwrap().can_write
    }

    fn accepted(&self, slot: u64, voted_below: u64) -> AcceptReply {
        let marks = Marks { voted_below: Slot(voted_below), ..Marks::default() };
        AcceptReply::Accepted(Accepted {
            acceptor: self.acceptor,
            ballot: ballot(1),
            slots: vec![Slot(slot)],
            marks,
            room: VoteRoom::default(),
        })
    }

    /// Opens the folder as a process would that starts, while this one still runs.
    fn reread(&self) -> Acceptor {
        let copy = tempfile::tempdir().unwrap();
        for path in segments(&self.folder) {
            fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        Log::open(Disk::default(), copy.path(), SMALL, Limits::default()).unwrap().1
    }
}

/// Room is the core's to tell.
fn without_room(reply: AcceptReply) -> AcceptReply {
    match reply {
        AcceptReply::Accepted(accepted) => {
            AcceptReply::Accepted(Accepted { room: VoteRoom::default(), ..accepted })
        }
        refused @ (AcceptReply::Nack(_) | AcceptReply::Stranger(_) | AcceptReply::Full(_)) => {
            refused
        }
    }
}

#[tokio::test]
async fn what_is_answered_is_on_disk() {
    let running = Running::new(SMALL);
    for slot in 0..20 {
        assert_eq!(running.vote(slot, 900).await, Ok(running.accepted(slot, slot + 1)));
        assert_eq!(running.handle.durable().marks.voted_below, Slot(slot + 1));
        assert_eq!(running.reread().vote_count() as u64, slot + 1);
    }
}

#[tokio::test]
async fn requests_that_wait_share_one_sync() {
    let running = Running::new(Options::default());
    running.vote(0, 10).await.unwrap();
    running.disk.faults.hold_syncs();
    let before = running.disk.faults.syncs();
    let first = tokio::join!(running.vote(1, 10), async {
        running.disk.faults.wait_until_held();
        // All of these are in the queue before the sync that is held returns.
        let others = (2..50).map(|slot| running.vote(slot, 10));
        let mut others: Vec<_> = others.map(Box::pin).collect();
        for other in &mut others {
            assert!(futures_poll(other.as_mut()).await.is_none());
        }
        running.disk.faults.release_syncs();
        for (slot, other) in (2..50).zip(others) {
            assert_eq!(other.await, Ok(running.accepted(slot, slot + 1)));
        }
    });
    assert_eq!(first.0, Ok(running.accepted(1, 2)));
    assert_eq!(running.disk.faults.syncs() - before, 2);
}

/// Also while bodies are still being read.
#[tokio::test]
async fn bytes_that_wait_are_limited_and_given_back() {
    let running = Running::new(SMALL);
    let held = running.handle.bytes().reserve(crate::handle::QUEUE_BYTES - 1).unwrap();
    assert_eq!(running.vote(0, 10).await, Err(Refusal::Full(BudgetSpent { limit: 268_435_456 })));
    drop(held);
    for slot in 0..3 {
        assert_eq!(running.vote(slot, 10).await, Ok(running.accepted(slot, slot + 1)));
    }
    assert!(running.handle.bytes().reserve(crate::handle::QUEUE_BYTES).is_ok());
    assert!(running.handle.bytes().reserve(usize::MAX).is_err());
}

/// Polls once.
async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn a_vote_is_not_known_before_it_is_synced() {
    let running = Running::new(Options::default());
    running.disk.faults.hold_syncs();
    let (reply, ()) = tokio::join!(running.vote(0, 10), async {
        running.disk.faults.wait_until_held();
        assert_eq!(running.handle.durable().marks.voted_below, Slot(0));
        assert_eq!(running.handle.durable().promised, None);
        running.disk.faults.release_syncs();
    });
    assert_eq!(reply, Ok(running.accepted(0, 1)));
    assert_eq!(running.handle.durable().marks.voted_below, Slot(1));
    assert_eq!(running.handle.durable().promised, Some(ballot(1)));
}

#[tokio::test]
async fn a_promise_is_not_given_before_it_is_synced() {
    let running = Running::new(Options::default());
    running.disk.faults.hold_syncs();
    let prepare = Prepare { roster: roster_of(running.acceptor), ballot: ballot(1), from: Slot(0) };
    let (reply, ()) = tokio::join!(running.handle.prepare(prepare), async {
        running.disk.faults.wait_until_held();
        running.disk.faults.fail_sync(Errno::IO);
        running.disk.faults.release_syncs();
    });
    assert_eq!(reply, Err(Refusal::Closed));
}

/// It may rest on a record that is not synced yet.
#[tokio::test]
async fn an_answer_without_records_waits_for_the_sync_before_it() {
    let running = Running::new(Options::default());
    running.disk.faults.hold_syncs();
    let (first, again, ()) = tokio::join!(running.vote(0, 10), running.vote(0, 10), async {
        running.disk.faults.wait_until_held();
        running.disk.faults.fail_sync(Errno::IO);
        running.disk.faults.release_syncs();
    });
    assert_eq!((first, again), (Err(Refusal::Closed), Err(Refusal::Closed)));
}

#[tokio::test]
async fn a_failed_sync_ends_the_writer_and_acknowledges_nothing() {
    let running = Running::new(Options::default());
    running.vote(0, 10).await.unwrap();
    let before = running.disk.faults.syncs();
    running.disk.faults.fail_sync(Errno::IO);
    assert_eq!(running.vote(1, 10).await, Err(Refusal::Closed));
    assert_eq!(running.handle.durable().marks.voted_below, Slot(1));
    assert_eq!(running.vote(2, 10).await, Err(Refusal::Closed));
    let ended = running.ended.await.unwrap().unwrap_err();
    assert!(matches!(ended, LogError::Disk(DiskError::Failed { action: "sync", .. })), "{ended}");
    assert_eq!(running.disk.faults.syncs() - before, 1, "a failed sync is not tried again");
}

#[tokio::test]
async fn what_is_written_into_a_log_that_is_gone_is_not_acknowledged() {
    for harm in [remove, move_away, replace] {
        let running = Running::new(Options::default());
        running.vote(0, 10).await.unwrap();
        harm(&running.folder);
        assert_eq!(running.vote(1, 10).await, Err(Refusal::Closed));
        assert_eq!(running.handle.durable().marks.voted_below, Slot(1));
        let ended = running.ended.await.unwrap().unwrap_err();
        assert!(matches!(ended, LogError::Disk(DiskError::Gone(_))), "{ended}");
    }
}

fn remove(folder: &Path) {
    fs::remove_dir_all(folder).unwrap();
}

fn move_away(folder: &Path) {
    fs::rename(folder, folder.with_extension("moved")).unwrap();
}

/// A copy is not what is written to.
fn replace(folder: &Path) {
    let moved = folder.with_extension("moved");
    fs::rename(folder, &moved).unwrap();
    fs::create_dir(folder).unwrap();
    for path in segments(&moved) {
        fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
}

#[tokio::test]
async fn a_failed_write_ends_the_writer_and_acknowledges_nothing() {
    let running = Running::new(Options::default());
    running.vote(0, 10).await.unwrap();
    running.settle().await;
    running.disk.faults.fail_write_after(30, Errno::IO);
    assert_eq!(running.vote(1, 10).await, Err(Refusal::Closed));
    let ended = running.ended.await.unwrap().unwrap_err();
    assert!(matches!(ended, LogError::Disk(DiskError::Failed { action: "write", .. })), "{ended}");
}

fn disk_full(running: &Running, number: u64) -> AcceptReply {
    let path = running.folder.join(format!("{number:020}.segment.new"));
    let limit = format!("disk: no space left for {}", path.display());
    AcceptReply::Full(Full { acceptor: running.acceptor, limit })
}

#[tokio::test]
async fn a_full_disk_refuses_votes_and_promises_and_heals() {
    let running = Running::new(SMALL);
    running.disk.faults.set_full(true);
    let mut slot = 0;
    let refused = loop {
        match running.vote(slot, 900).await.unwrap() {
            AcceptReply::Accepted(_) => slot += 1,
            refused @ (AcceptReply::Full(_) | AcceptReply::Nack(_) | AcceptReply::Stranger(_)) => {
                break refused;
            }
        }
    };
    assert_eq!(refused, disk_full(&running, 2));
    assert!(running.handle.durable().full.is_some(), "so its status says");
    assert_eq!(running.handle.durable().marks.voted_below, Slot(slot));
    // What needs no space is answered all the same.
    assert_eq!(running.vote(slot - 1, 900).await, Ok(running.accepted(slot - 1, slot)));
    let prepare = |round| Prepare {
        roster: roster_of(running.acceptor),
        ballot: ballot(round),
        from: Slot(0),
    };
    let mut round = 2;
    let refused = loop {
        assert!(round < 10_000, "every promise takes space, and there is none");
        match running.handle.prepare(prepare(round)).await {
            Ok(PrepareReply::Promise(_)) => round += 1,
            other => break other,
        }
    };
    assert!(matches!(refused, Err(Refusal::NoSpace(_))), "{refused:?}");
    assert_eq!(running.handle.durable().promised, Some(ballot(round - 1)));

    running.disk.faults.set_full(false);
    let healed = loop {
        match running.handle.prepare(prepare(round)).await {
            Ok(reply) => break reply,
            Err(refusal) => assert!(matches!(refusal, Refusal::NoSpace(_)), "{refusal}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(matches!(healed, PrepareReply::Promise(_)), "{healed:?}");
    assert!(running.handle.durable().full.is_none());
    assert_eq!(running.reread().promised(), Some(ballot(round)));
}

/// A file system that takes back the space it had promised.
#[tokio::test]
async fn a_disk_that_fills_up_within_a_segment_loses_only_what_was_never_acknowledged() {
    // That it was full is never long ago.
    let running = Running::new(Options { space_retry: Duration::MAX, ..SMALL });
    running.vote(0, 900).await.unwrap();
    for (slot, written) in [(1, 0), (2, 64), (3, 500), (4, 800)] {
        running.settle().await;
        running.disk.faults.fail_write_after(written, Errno::NOSPC);
        let refused = running.vote(100 + slot, 900).await.unwrap();
        let path = running.folder.join("00000000000000000001.segment");
        let limit = format!("disk: no space left for {}", path.display());
        assert_eq!(refused, AcceptReply::Full(Full { acceptor: running.acceptor, limit }));
        assert_eq!(running.handle.durable().marks.voted_below, Slot(slot));
        assert!(!running.can_write().await, "it was full just now");
        assert_eq!(running.vote(slot, 900).await, Ok(running.accepted(slot, slot + 1)));
        assert_eq!(running.reread().marks().voted_below, Slot(slot + 1));
    }
}

#[tokio::test]
async fn a_disk_that_was_found_full_a_while_ago_may_have_room() {
    let running = Running::new(SMALL);
    running.settle().await;
    running.disk.faults.fail_write_after(0, Errno::NOSPC);
    assert!(matches!(running.vote(0, 900).await, Ok(AcceptReply::Full(_))));
    while !running.can_write().await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(running.vote(0, 900).await, Ok(running.accepted(0, 1)));
}

#[tokio::test]
async fn a_page_of_votes_may_be_asked_for_in_part() {
    let running = Running::new(SMALL);
    for slot in 0..5 {
        running.vote(slot, 10).await.unwrap();
    }
    let page = running.handle.votes(Slot(1), 3).await.unwrap();
    let slots: Vec<Slot> = page.votes.iter().map(|vote| vote.slot).collect();
    assert_eq!((slots, page.next), (vec![Slot(1), Slot(2), Slot(3)], Some(Slot(4))));
    let page = running.handle.votes(Slot(4), 3).await.unwrap();
    assert_eq!((page.votes.len(), page.next), (1, None));
}

#[tokio::test]
async fn a_writer_told_to_end_answers_what_waits_and_marks_the_log() {
    let running = Running::new(SMALL);
    let (reply, ()) = tokio::join!(running.vote(0, 10), running.handle.close());
    assert_eq!(reply, Ok(running.accepted(0, 1)));
    running.ended.await.unwrap().unwrap();
    assert_eq!(running.handle.votes(Slot(0), 1).await, Err(Refusal::Closed));
    let path = segments(&running.folder).pop().unwrap();
    assert_eq!(damage::frames(&path).last().unwrap().len(), crate::log::frame::BLOCK);
}

/// So that damage to the last group is noticed, even after a kill.
#[tokio::test]
async fn a_writer_with_nothing_to_do_marks_the_log() {
    let running = Running::new(SMALL);
    running.vote(0, 10).await.unwrap();
    let path = segments(&running.folder).pop().unwrap();
    while damage::frames(&path).last().unwrap().len() != crate::log::frame::BLOCK {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_queue_that_is_full_refuses_at_once() {
    let running = Running::new(SMALL);
    running.disk.faults.hold_syncs();
    let (first, ()) = tokio::join!(running.vote(0, 10), async {
        running.disk.faults.wait_until_held();
        let mut waiting: Vec<_> = (0..crate::handle::QUEUE_REQUESTS)
            .map(|_| Box::pin(running.handle.votes(Slot(0), 1)))
            .collect();
        for request in &mut waiting {
            assert!(futures_poll(request.as_mut()).await.is_none());
        }
        let refused = running.handle.votes(Slot(0), 1).await;
        assert_eq!(refused, Err(Refusal::Busy { limit: "1024 requests".to_owned() }));
        running.disk.faults.release_syncs();
    });
    assert_eq!(first, Ok(running.accepted(0, 1)));
}
