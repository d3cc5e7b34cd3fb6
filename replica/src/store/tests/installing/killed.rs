//! Killed at any step of installing, the old state is there as a whole or the new one is.

use tempfile::TempDir;

use super::*;
use crate::machine::state::Meta;
use crate::store::install::{adopt_in_steps, finish_in_steps, prepare_in_steps};
use crate::store::tests::{batch, put, view};
use crate::store::{Store, inspect};

/// Slots of one log: a view, and batches that write the same keys.
fn log() -> Vec<ChosenEntry> {
    let write = |number: u8| {
        let ops = (0..200).map(|key| put(&format!("k{key}"), &[number; 100])).collect();
        batch(u64::from(number) + 1, number.into(), ops)
    };
    std::iter::once(view(0, 1)).chain((0..4).map(write)).collect()
}

/// A state into which the first slots of it are executed.
async fn executing(dir: &Path, replica: &str, slots: usize) -> Store {
    let mut store = store::open(dir, &name(replica), 1).await.unwrap();
    store.writer.join(CLUSTER, Slot(0)).await.unwrap();
    go_on(&mut store, slots).await;
    store
}

async fn go_on(store: &mut Store, slots: usize) {
    let executed = usize::try_from(store.writer.meta().executed_below.0).unwrap();
    store.writer.execute(log()[executed..slots].to_vec()).await.unwrap();
    store.writer.store().await.unwrap();
}

/// What a process leaves that is killed now.
fn left_of(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(dir).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

/// What the next process finds, with all checks of a start; and that it leaves nothing else.
async fn found(dir: &Path) -> (Meta, [u8; 32]) {
    let store = store::open(dir, &name("replica-1"), 1).await.unwrap();
    let Store { writer, reader, readers, .. } = store;
    drop(reader);
    readers.wait().await;
    writer.close().await.unwrap();
    let found = inspect(dir, &name("replica-1")).await.unwrap().unwrap();
    let left = fs::read_dir(dir).unwrap().map(|file| file.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), [FILE]);
    (found.meta, found.digest)
}

/// The folder of replica-1, which was killed with three slots executed, the last of them only
/// in the WAL; and replica-2's state of all five, which has come to it.
async fn with_all_incoming() -> TempDir {
    let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = executing(own.path(), "replica-1", 2).await;
    store.writer.checkpoint().await.unwrap();
    go_on(&mut store, 3).await;
    let own = left_of(own.path());
    let store = executing(other.path(), "replica-2", log().len()).await;
    store.writer.close().await.unwrap();
    let incoming = store::incoming(own.path());
    snapshot::make(&other.path().join(FILE), &name("replica-2"), &incoming).unwrap();
    own
}

/// The state in which so many slots were executed and nothing was installed.
async fn executed(slots: usize) -> (Meta, [u8; 32]) {
    let dir = tempfile::tempdir().unwrap();
    executing(dir.path(), "replica-1", slots).await.writer.close().await.unwrap();
    found(dir.path()).await
}

#[tokio::test]
async fn killed_at_any_step_the_old_state_is_there_or_the_new_one_and_never_a_mix() {
    let (old, new) = (executed(3).await, executed(log().len()).await);
    let dir = with_all_incoming().await;
    let mut killed = vec![left_of(dir.path())];
    let mut done = || killed.push(left_of(dir.path()));
    let of = (CLUSTER, JOINED_AT);
    prepare_in_steps(dir.path(), &name("replica-1"), of, &mut done).await.unwrap();
    for folder in &killed {
        assert_eq!(found(folder.path()).await, old);
    }
    assert_eq!(killed.len(), 6);
    killed.clear();
    let mut done = || killed.push(left_of(dir.path()));
    adopt_in_steps(dir.path(), &mut done).unwrap();
    assert!(finish_in_steps(dir.path(), &mut done).unwrap());
    assert_eq!(killed.len(), 2 + 4 + 1 + 3 + 3);
    for folder in &killed {
        // So is the process that goes on from there.
        let again = left_of(folder.path());
        let mut killed_again = Vec::new();
        let mut done = || killed_again.push(left_of(again.path()));
        finish_in_steps(again.path(), &mut done).unwrap();
        assert!(killed_again.len() >= 4);
        for folder in killed_again.iter().chain([folder]) {
            assert_eq!(found(folder.path()).await, new);
        }
    }
}
