//! States that must not be used, and damage that is met while one is used.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

async fn refusal(dir: &Path, replica: &str) -> OpenError {
    open(dir, &replica.parse().unwrap(), 1).await.unwrap_err()
}

/// A state of a few slots in a file without a WAL beside it.
async fn closed_state() -> TempDir {
    let (dir, mut store) = open_new().await;
    let ops = (0..200).map(|n| put(&format!("k{n}"), &[b'x'; 300])).collect();
    store.writer.execute(vec![view(0, 1), batch(1, 0, ops)]).await.unwrap();
    store.writer.close().await.unwrap();
    dir
}

#[tokio::test]
async fn the_state_of_another_replica_is_refused() {
    let dir = closed_state().await;
    let error = refusal(dir.path(), "replica-2").await;
    assert!(matches!(&error, OpenError::OtherReplica { found, .. } if found == "replica-1"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_state_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FILE), vec![b'x'; 8_192]).unwrap();
    assert!(matches!(refusal(dir.path(), "replica-1").await, OpenError::Damaged { .. }));
    let dir = closed_state().await;
    alter(dir.path(), "PRAGMA application_id = 7").await;
    assert!(matches!(refusal(dir.path(), "replica-1").await, OpenError::Foreign { found: 7, .. }));
    let dir = closed_state().await;
    alter(dir.path(), "PRAGMA user_version = 2").await;
    assert!(matches!(refusal(dir.path(), "replica-1").await, OpenError::Version { found: 2, expected: 1, .. }));
}

#[tokio::test]
async fn a_state_that_contradicts_itself_is_refused_by_name() {
    for (sql, word) in [
        ("DELETE FROM log WHERE slot = 1", "the log ends with slot 0"),
        ("UPDATE log SET value = x'00' WHERE slot = 1", "the hash of slot 1"),
        ("UPDATE meta SET hash = zeroblob(32)", "meta says"),
        ("UPDATE meta SET revision = 5", "meta says"),
        ("UPDATE meta SET executed_below = 3", "slots below 3"),
        ("UPDATE meta SET view = '{'", "meta.view"),
        ("DELETE FROM meta", "meta has no row"),
        ("DELETE FROM log", "the log is empty"),
    ] {
        let dir = closed_state().await;
        alter(dir.path(), sql).await;
        let error = refusal(dir.path(), "replica-1").await;
        assert!(matches!(&error, OpenError::Damaged { what, .. } if what.contains(word)), "{sql}: {error}");
    }
}

#[tokio::test]
async fn a_page_overwritten_on_disk_is_noticed_when_the_state_is_opened() {
    let dir = closed_state().await;
    let path = dir.path().join(FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    let pages = bytes.len() / 4_096;
    bytes[(pages - 3) * 4_096..(pages - 2) * 4_096].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(refusal(dir.path(), "replica-1").await, OpenError::Damaged { .. }));
}

async fn alter(dir: &Path, sql: &'static str) {
    use sqlx::{ConnectOptions, Connection};
    let mut connection = schema::writer_options(&dir.join(FILE)).connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn damage_that_is_met_while_reading_is_reported_once_and_never_answered() {
    let dir = closed_state().await;
    let mut store = open_in(dir.path()).await;
    let path = dir.path().join(FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4_096..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let refused = store.reader.point(key("k1"), None).await.unwrap_err();
    assert!(matches!(refused, ReadError::Store(StoreError::Damaged(_))), "{refused}");
    let reported = tokio::time::timeout(Duration::from_secs(10), store.fatal.recv()).await.unwrap();
    assert!(matches!(reported, Some(StoreError::Damaged(_))), "{reported:?}");
}
