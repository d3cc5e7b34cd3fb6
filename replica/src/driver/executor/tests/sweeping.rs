//! What is done between batches: deletions of many keys are swept, log is forgotten.

use super::*;

/// Executes a lease's grant, 3,000 puts, what deletes them, and nothing more; and holds what is
/// said of it to the order in which it has to be said.
async fn is_swept_behind(put: fn(String) -> Op, delete: Op, unswept: Unswept) {
    let (dir, store) = opened().await;
    let grant = Op::Lease(LeaseOp::Grant { ttl_ms: 600_000 });
    let puts = (0..3_000).map(|n| put(format!("k{n:04}")));
    let entries = vec![entry(0, &view()), batch(1, std::iter::once(grant).chain(puts))];
    let delete = vec![batch(2, std::iter::once(delete))];
    let mut rig = start(dir, store);
    rig.jobs.send(Job::Execute(entries)).await.unwrap();
    assert_eq!(rig.executed_below().await, Slot(2));
    rig.jobs.send(Job::Execute(delete)).await.unwrap();
    rig.jobs.send(noop(3)).await.unwrap();
    let mut said = Vec::new();
    while said.last() != Some(&Input::Unswept(Unswept::default())) {
        let input = rig.next().await;
        // How long it takes is not what this is about.
        if !matches!(input, Input::Durable(_) | Input::Stored(_)) {
            said.push(input);
        }
    }
    let executed_below = |input: &Input| {
        let Input::Executed(report) = input else { return None };
        Some(report.meta.executed_below)
    };
    assert_eq!(said.len(), 4, "{said:?}");
    assert_eq!(said[0], Input::Unswept(unswept));
    assert_eq!(executed_below(&said[1]), Some(Slot(3)));
    assert_eq!(executed_below(&said[2]), Some(Slot(4)), "before it is swept");
}

#[tokio::test]
async fn deletions_of_prefixes_are_swept_behind_whatever_else_is_executed() {
    let put = |key| Op::Put {
        key,
        value: Bytes::new(),
        content_type: None,
        condition: Condition::Always,
    };
    let delete = Op::DeletePrefix { prefix: "k".to_owned() };
    is_swept_behind(put, delete, Unswept { prefixes: 1, ..Unswept::default() }).await;
}

#[tokio::test]
async fn the_keys_of_a_lease_that_ended_are_swept_behind_whatever_else_is_executed() {
    let put = |key| Op::LeasedPut {
        lease: LeaseId(1),
        key,
        value: Bytes::new(),
        content_type: None,
        condition: Condition::Always,
    };
    let revoke = Op::Lease(LeaseOp::Revoke { lease: LeaseId(1) });
    is_swept_behind(put, revoke, Unswept { leases: 1, ..Unswept::default() }).await;
}

fn one_of_log(from: Slot) -> store::LogQuery {
    store::LogQuery { from, page: PageLimits { items: 1, bytes: 1 } }
}

async fn is_forgotten(reader: &store::Reader, slot: Slot) {
    let refused = async {
        while reader.log(one_of_log(slot)).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), refused).await.expect("it is forgotten");
}

#[tokio::test]
async fn log_that_is_to_be_forgotten_goes_while_nothing_else_happens() {
    let (dir, store) = opened().await;
    let reader = store.reader.clone();
    let mut rig = start(dir, store);
    for slot in 0..5 {
        rig.jobs.send(noop(slot)).await.unwrap();
    }
    while rig.next().await != Input::Durable(Slot(5)) {}
    rig.forget.send(Slot(3)).unwrap();
    is_forgotten(&reader, Slot(2)).await;
    rig.shutdown.cancel();
    rig.running.await.unwrap().unwrap();
    let store = store::open(rig.dir.path(), &"replica-1".parse().unwrap(), 1).await.unwrap();
    assert_eq!(store.reader.log(one_of_log(Slot(3))).await.unwrap().rows.len(), 1);
}

#[tokio::test]
async fn log_that_could_not_be_forgotten_is_forgotten_once_that_can_be() {
    let (dir, store) = opened().await;
    let reader = store.reader.clone();
    let mut rig = start(dir, store);
    for slot in 0..5 {
        rig.jobs.send(noop(slot)).await.unwrap();
    }
    while rig.next().await != Input::Durable(Slot(5)) {}
    // Another process, such as a shell, writes and takes its time.
    let options =
        sqlx::sqlite::SqliteConnectOptions::new().filename(rig.dir.path().join(store::FILE));
    let mut other = options.connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    rig.forget.send(Slot(3)).unwrap();
    assert_eq!(rig.next().await, Input::Storage(Storage::Locked));
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    assert_eq!(rig.next().await, Input::Storage(Storage::Writable));
    // It may be a checkpoint that the disk took.
    is_forgotten(&reader, Slot(2)).await;
}

#[tokio::test]
async fn what_history_takes_is_said_behind_what_is_stored() {
    let (dir, mut store) = opened().await;
    store.writer.weigh_above(Some(1));
    let mut rig = start(dir, store);
    let put = |_| Op::Put {
        key: "k".to_owned(),
        value: Bytes::from_static(b"value"),
        content_type: None,
        condition: Condition::Always,
    };
    let entries = vec![entry(0, &view()), batch(1, (0..600).map(put))];
    rig.jobs.send(Job::Execute(entries)).await.unwrap();
    let (mut stored, mut bytes) = (Revision(0), 0);
    loop {
        let input = rig.next().await;
        if let Input::Stored(now) = &input {
            stored = now.revision;
        }
        if let Input::Weighed(weighed) = input {
            assert!(weighed.through <= stored, "{weighed:?} at {stored}");
            bytes += weighed.bytes;
            if weighed.through == Revision(600) {
                break;
            }
        }
    }
    assert_eq!(bytes, 599 * (256 + 4 + 5), "all but what is there");
}
