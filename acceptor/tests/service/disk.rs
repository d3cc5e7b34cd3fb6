#![expect(clippy::disallowed_methods, reason = "the test writes from several tasks")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

fn value(slot: u64) -> Bytes {
    Bytes::from(format!("{slot:0>200}"))
}

#[tokio::test]
async fn an_acceptor_keeps_its_identity_its_promise_and_its_votes() {
    let temp = tempfile::tempdir().unwrap();
    let process = Process::start(temp.path());
    let acceptor = identity(&process.client()).await;
    process.client().accept(&accept(acceptor, 0, value(0)), TIMEOUT).await.unwrap();
    process.client().prepare(&prepare(acceptor, 5), TIMEOUT).await.unwrap();
    let before = process.client().watermarks(TIMEOUT).await.unwrap();
    assert!(process.stop().success());

    let process = Process::start(temp.path());
    let after = process.client().watermarks(TIMEOUT).await.unwrap();
    assert_eq!(
        (after.acceptor, after.roster, after.promised, after.marks),
        (before.acceptor, before.roster, before.promised, before.marks)
    );
    let page = process.client().votes(Slot(0), TIMEOUT).await.unwrap();
    assert_eq!(page.votes, [Vote { slot: Slot(0), ballot: ballot(1), value: value(0) }]);
}

/// Eight writers, a kill in the midst of them, three times over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_acceptor_remembers_every_vote_it_answered() {
    let temp = tempfile::tempdir().unwrap();
    let next = Arc::new(AtomicU64::new(0));
    let mut acknowledged: Vec<u64> = Vec::new();
    for _life in 0..3 {
        let process = Process::start_with(temp.path(), &["--segment-mib", "1"]);
        let acceptor = identity(&process.client()).await;
        let writers: Vec<_> = (0..8)
            .map(|_| {
                let (client, next) = (process.client(), Arc::clone(&next));
                tokio::spawn(async move {
                    let mut answered = Vec::new();
                    loop {
                        let slot = next.fetch_add(1, Ordering::Relaxed);
                        let mut message = accept(acceptor, slot, value(slot));
                        message.chosen_below = Slot(slot.saturating_sub(1_000));
                        match client.accept(&message, TIMEOUT).await {
                            Ok(AcceptReply::Accepted(accepted)) => answered.extend(accepted.slots),
                            Ok(other) => panic!("{other:?}"),
                            Err(_killed) => return answered,
                        }
                    }
                })
            })
            .collect();
        let target = next.load(Ordering::Relaxed) + 2_000;
        while next.load(Ordering::Relaxed) < target {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        process.kill();
        for writer in writers {
            acknowledged.extend(writer.await.unwrap().iter().map(|slot| slot.0));
        }
    }
    assert!(acknowledged.len() > 3_000, "{}", acknowledged.len());
    let process = Process::start(temp.path());
    let mut remembered = std::collections::BTreeMap::new();
    let mut from = Some(Slot(0));
    while let Some(start) = from {
        let page = process.client().votes(start, TIMEOUT).await.unwrap();
        remembered.extend(page.votes.into_iter().map(|vote| (vote.slot.0, vote.value)));
        from = page.next;
    }
    for slot in acknowledged {
        assert_eq!(remembered.get(&slot), Some(&value(slot)), "slot {slot} was answered");
    }
}

/// Also the very last group, also after a kill: a mark stands after it.
#[tokio::test]
async fn a_damaged_log_keeps_an_acceptor_from_starting() {
    let temp = tempfile::tempdir().unwrap();
    let process = Process::start(temp.path());
    let acceptor = identity(&process.client()).await;
    process
        .client()
        .accept(&accept(acceptor, 0, Bytes::from(vec![0; 4_096])), TIMEOUT)
        .await
        .unwrap();
    // A request that records nothing finds the time for a mark.
    process.client().votes(Slot(0), TIMEOUT).await.unwrap();
    process.kill();
    let segment = segments(temp.path()).pop().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let last = bytes.iter().rposition(|byte| *byte == 0xA5).unwrap();
    bytes[last - 1_000] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let (status, said) = start_in_vain(temp.path());
    assert_eq!(status.code(), Some(i32::from(shared::service::DAMAGED)), "{said}");
    assert!(said.contains(&format!("{} is damaged at offset", segment.display())), "{said}");
    assert_eq!(fs::read(&segment).unwrap(), bytes);
}

#[tokio::test]
async fn an_acceptor_that_lost_its_log_is_another_one() {
    let temp = tempfile::tempdir().unwrap();
    let process = Process::start(temp.path());
    let before = identity(&process.client()).await;
    process.kill();
    fs::remove_dir_all(temp.path().join("log")).unwrap();
    let process = Process::start(temp.path());
    assert_ne!(identity(&process.client()).await, before);
}

#[tokio::test]
async fn a_data_directory_is_for_one_acceptor_at_a_time() {
    let temp = tempfile::tempdir().unwrap();
    let process = Process::start(temp.path());
    let (status, said) = start_in_vain(temp.path());
    // The general failure, after which it may be started again: whoever holds the folder
    // may be about to end.
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("in use by another process (pid {})", process.child.id())),
        "{said}"
    );
    identity(&process.client()).await;
}
