//! Another replica's state takes the place of the own one, or it does not.

mod killed;

use std::fs;
use std::path::Path;

use shared::ids::{Ballot, ClusterId, CoordinatorId, Name, Slot};
use shared::message::{ChosenEntry, Value};

use crate::snapshot;
use crate::store::{self, FILE, OpenError};

const CLUSTER: ClusterId = ClusterId(7);
/// When the replica that takes another one's state joined the cluster.
const JOINED_AT: Slot = Slot(2);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A state in which so many slots are executed.
async fn state(dir: &Path, replica: &str, slots: u64) {
    let mut store = store::open(dir, &name(replica), 1).await.unwrap();
    store.writer.join(CLUSTER, Slot(0)).await.unwrap();
    let ballot = Ballot { round: 1, coordinator: CoordinatorId(1) };
    let noop = |slot| ChosenEntry { slot: Slot(slot), ballot, value: Value::Noop.encode() };
    store.writer.execute((0..slots).map(noop).collect()).await.unwrap();
    store.writer.close().await.unwrap();
}

/// How far the state in a folder is.
async fn executed_below(dir: &Path) -> Slot {
    let store = store::open(dir, &name("replica-1"), 1).await.unwrap();
    let executed_below = store.writer.meta().executed_below;
    store.writer.close().await.unwrap();
    executed_below
}

/// The folder of replica-1 with three slots executed, and what came of replica-2 with five.
async fn with_incoming() -> tempfile::TempDir {
    let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    state(own.path(), "replica-1", 3).await;
    state(other.path(), "replica-2", 5).await;
    let incoming = store::incoming(own.path());
    snapshot::make(&other.path().join(FILE), &name("replica-2"), &incoming).unwrap();
    own
}

#[tokio::test]
async fn what_was_adopted_is_the_state_from_the_next_start_on() {
    let dir = with_incoming().await;
    let meta = store::prepare(dir.path(), &name("replica-1"), (CLUSTER, JOINED_AT)).await.unwrap();
    assert_eq!(meta.executed_below, Slot(5));
    store::adopt(dir.path()).unwrap();
    assert_eq!(executed_below(dir.path()).await, Slot(5));
    let store = store::open(dir.path(), &name("replica-1"), 1).await.unwrap();
    assert_eq!(store.joined_at, JOINED_AT, "that is not what it was of the other one");
    store.writer.close().await.unwrap();
    let left: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, [FILE], "nothing else is left");
    assert_eq!(executed_below(dir.path()).await, Slot(5));
}

#[tokio::test]
async fn what_was_not_adopted_when_the_process_ended_is_removed() {
    for is_prepared in [false, true] {
        let dir = with_incoming().await;
        if is_prepared {
            store::prepare(dir.path(), &name("replica-1"), (CLUSTER, JOINED_AT)).await.unwrap();
        }
        fs::write(dir.path().join("incoming.sqlite-wal"), "left behind").unwrap();
        assert_eq!(executed_below(dir.path()).await, Slot(3), "{is_prepared}");
        assert!(!store::incoming(dir.path()).exists());
        assert!(!dir.path().join("incoming.sqlite-wal").exists());
    }
}

#[tokio::test]
async fn the_old_states_wal_does_not_outlive_it() {
    let dir = with_incoming().await;
    store::prepare(dir.path(), &name("replica-1"), (CLUSTER, JOINED_AT)).await.unwrap();
    // As a process leaves it that is killed.
    let mut store = store::open(dir.path(), &name("replica-1"), 1).await.unwrap();
    let prepared = store::incoming(dir.path());
    assert!(!prepared.exists(), "opening discards what was not adopted");
    let other = tempfile::tempdir().unwrap();
    state(other.path(), "replica-2", 5).await;
    snapshot::make(&other.path().join(FILE), &name("replica-2"), &prepared).unwrap();
    store::prepare(dir.path(), &name("replica-1"), (CLUSTER, JOINED_AT)).await.unwrap();
    let ballot = Ballot { round: 1, coordinator: CoordinatorId(1) };
    let fourth = ChosenEntry { slot: Slot(3), ballot, value: Value::Noop.encode() };
    store.writer.execute(vec![fourth]).await.unwrap();
    store.writer.store().await.unwrap();
    let wal = dir.path().join("state.sqlite-wal");
    let written = fs::read(&wal).unwrap();
    assert!(!written.is_empty());
    drop(store);
    store::adopt(dir.path()).unwrap();
    // SQLite would copy it where it can read what it is of.
    fs::write(dir.path().join(FILE), "rubbish").unwrap();
    fs::write(&wal, written).unwrap();
    assert_eq!(executed_below(dir.path()).await, Slot(5));
}

#[tokio::test]
async fn what_was_adopted_and_overtaken_since_is_removed() {
    let dir = with_incoming().await;
    store::prepare(dir.path(), &name("replica-1"), (CLUSTER, JOINED_AT)).await.unwrap();
    store::adopt(dir.path()).unwrap();
    // An older program, which knows nothing of it, has run on the state.
    let (next, aside) = (dir.path().join("next.sqlite"), dir.path().join("aside"));
    fs::rename(&next, &aside).unwrap();
    fs::remove_file(dir.path().join(FILE)).unwrap();
    state(dir.path(), "replica-1", 9).await;
    fs::rename(&aside, &next).unwrap();
    assert_eq!(executed_below(dir.path()).await, Slot(9));
    assert!(!next.exists());
}

#[tokio::test]
async fn a_state_of_another_cluster_or_one_that_is_damaged_is_not_prepared() {
    let dir = with_incoming().await;
    let error = store::prepare(dir.path(), &name("replica-1"), (ClusterId(8), JOINED_AT))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("it is of cluster 0000000000000007"), "{error}");

    let dir = with_incoming().await;
    let incoming = store::incoming(dir.path());
    let connection = rusqlite::Connection::open(&incoming).unwrap();
    connection.execute("UPDATE log SET revision = revision + 1 WHERE slot = 2", []).unwrap();
    drop(connection);
    let error =
        store::prepare(dir.path(), &name("replica-1"), (CLUSTER, JOINED_AT)).await.unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}
