//! What is done beside executing: storing, and copying the rest of the WAL.

use super::durable::state_left;
use super::*;
use crate::store::WalSpace;

/// What is executed after `begin_storing` must be in memory: executing does not wait then.
async fn began() -> (TempDir, Store) {
    let (dir, mut store) = open_new().await;
    let entries = vec![view(0, 1), batch(1, 0, vec![put("a", b"1")])];
    execute_and_store(&mut store.writer, entries).await.unwrap();
    store.writer.execute(vec![batch(2, 1, vec![put("a", b"2")])]).await.unwrap();
    (dir, store)
}

#[tokio::test]
async fn executing_goes_on_while_what_was_executed_is_stored() {
    let (_dir, mut store) = began().await;
    store.writer.begin_storing().await.unwrap();
    let later = store.writer.execute(vec![batch(3, 2, vec![put("a", b"3")])]).await.unwrap();
    assert!(store.writer.is_storing(), "executing has waited for the transaction");
    assert_eq!(later.meta.executed_below, Slot(4));
    assert_eq!(store.writer.meta().executed_below, Slot(2), "stored is what the tables have");

    store.writer.end_beside().await.unwrap();
    assert_eq!(store.writer.meta().executed_below, Slot(3));
    assert_eq!(value_at(&store, "a", None).await.unwrap(), "2");
    assert!(store.writer.has_unstored());

    store.writer.store().await.unwrap();
    assert!(store.writer.is_stored());
    let found = store.reader.point(key("a"), None).await.unwrap().item.unwrap();
    let facts = (found.value, found.revision, found.created_revision, found.version);
    assert_eq!(facts, (key("3"), Revision(3), Revision(1), 3));
}

#[tokio::test]
async fn who_looks_at_what_is_not_in_memory_waits_for_the_transaction() {
    let (_dir, mut store) = began().await;
    store.writer.begin_storing().await.unwrap();
    store.writer.execute(vec![batch(3, 2, vec![put("b", b"1")])]).await.unwrap();
    assert!(!store.writer.is_storing());
    assert_eq!(store.writer.meta().executed_below, Slot(3));
}

#[tokio::test]
async fn what_a_transaction_could_not_store_is_executed_again_with_what_came_after_it() {
    let (_dir, mut store) = began().await;
    let long = vec![7; 100_000];
    store.writer.execute(vec![batch(3, 2, vec![put("a", &long)])]).await.unwrap();
    store.writer.fill().await;
    store.writer.begin_storing().await.unwrap();
    store.writer.execute(vec![batch(4, 3, vec![put("a", b"last")])]).await.unwrap();
    let error = store.writer.end_beside().await.unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    assert_eq!(store.writer.meta().executed_below, Slot(2));

    store.writer.store().await.unwrap();
    assert_eq!(store.writer.meta().executed_below, Slot(5));
    assert_eq!(value_at(&store, "a", Some(2)).await.unwrap(), "2");
    assert_eq!(value_at(&store, "a", Some(3)).await.unwrap(), long);
    assert_eq!(value_at(&store, "a", None).await.unwrap(), "last");
}

#[tokio::test]
async fn what_deletes_many_keys_is_stored_before_anything_else() {
    let (_dir, mut store) = began().await;
    let prefix = Op::DeletePrefix { prefix: "a".to_owned() };
    store.writer.execute(vec![batch(3, 2, vec![prefix])]).await.unwrap();
    assert!(store.writer.is_urgent());
    store.writer.begin_storing().await.unwrap();
    assert!(store.writer.is_stored());
    store.writer.execute(vec![batch(4, 3, vec![put("a", b"new")])]).await.unwrap();
    store.writer.store().await.unwrap();
    let found = store.reader.point(key("a"), None).await.unwrap().item.unwrap();
    assert_eq!((found.created_revision, found.version), (Revision(4), 1));
}

#[tokio::test]
async fn what_is_to_be_executed_again_is_stored_though_nothing_more_is_executed() {
    let (_dir, mut store) = began().await;
    // What fails between batches has the file opened again.
    store.writer.lose().await;
    store.writer.checkpoint().await.unwrap();
    assert!(store.writer.has_unstored());
    store.writer.begin_storing().await.unwrap();
    store.writer.end_beside().await.unwrap();
    assert_eq!(store.writer.meta().executed_below, Slot(3));
    assert_eq!(value_at(&store, "a", None).await.unwrap(), "2");
}

fn wal_file(dir: &TempDir) -> u64 {
    std::fs::metadata(dir.path().join("state.sqlite-wal")).unwrap().len()
}

#[tokio::test]
async fn executing_goes_on_while_the_rest_of_the_wal_is_copied() {
    let (dir, mut store) = began().await;
    store.writer.store().await.unwrap();
    store.writer.begin_copying(WalSpace::Kept).await.unwrap();
    let later = store.writer.execute(vec![batch(3, 2, vec![put("a", b"3")])]).await.unwrap();
    assert!(store.writer.is_copying(), "executing has waited for the copying");
    assert_eq!(later.meta.executed_below, Slot(4));
    // It is stored after that.
    store.writer.begin_storing().await.unwrap();
    assert!(!store.writer.is_storing());
    store.writer.end_beside().await.unwrap();
    assert_eq!(store.writer.durable_below(), Slot(3), "what was stored when it began");
    assert!(store.writer.is_durable() && store.writer.has_unstored());

    let file = wal_file(&dir);
    store.writer.store().await.unwrap();
    let Copied::All { wal_bytes, file_bytes } = store.checkpointer.copy().await.unwrap() else {
        panic!("nobody reads")
    };
    assert!(wal_bytes < file, "the WAL of {file} bytes has not started over: {wal_bytes}");
    assert_eq!(file_bytes, file, "its space is kept");
    assert_eq!(value_at(&store, "a", None).await.unwrap(), "3");
}

#[tokio::test]
async fn the_space_of_a_wal_is_given_back_unless_somebody_reads() {
    let (dir, mut store) = began().await;
    store.writer.store().await.unwrap();
    let mut reader = schema::reader_options(&dir.path().join(FILE)).connect().await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT * FROM meta").execute(&mut reader).await.unwrap();
    store.writer.begin_copying(WalSpace::GivenBack).await.unwrap();
    store.writer.end_beside().await.unwrap();
    assert!(wal_file(&dir) > 0, "it was taken from under a reader");
    assert!(store.writer.is_durable());

    reader.close().await.unwrap();
    store.writer.begin_copying(WalSpace::GivenBack).await.unwrap();
    store.writer.end_beside().await.unwrap();
    assert_eq!(wal_file(&dir), 0);
    assert_eq!(state_left(dir.path()).await.meta.executed_below, Slot(3), "nothing was lost");

    let later = vec![batch(3, 2, vec![put("a", b"3")])];
    execute_and_store(&mut store.writer, later).await.unwrap();
    assert_eq!(value_at(&store, "a", None).await.unwrap(), "3");
    store.writer.checkpoint().await.unwrap();
    assert_eq!(state_left(dir.path()).await.meta.executed_below, Slot(4));
}

/// Whether anybody has a lock on a file, as the kernel tells it.
#[cfg(target_os = "linux")]
fn is_locked(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = std::fs::metadata(path).unwrap().ino();
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let of = |line: &str| line.split_whitespace().nth(5).map(str::to_owned);
    locks.lines().filter_map(of).any(|file| file.ends_with(&format!(":{inode}")))
}

/// Otherwise a shell that opens the database and closes it would remove the WAL under those
/// who write to it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn copying_does_not_give_up_the_locks_on_the_database() {
    let (dir, mut store) = began().await;
    let file = dir.path().join(FILE);
    assert!(is_locked(&file), "SQLite holds a lock on what it has open");
    for _ in 0..2 {
        store.checkpointer.copy().await.unwrap();
        assert!(is_locked(&file), "another process takes itself for the only one");
    }
}
