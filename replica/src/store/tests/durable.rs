//! What is called durable, and what copying the WAL waits for.

use super::*;

#[tokio::test]
async fn readers_keep_nothing_from_being_durable() {
    let (_dir, mut store) = open_new().await;
    execute_and_store(&mut store.writer, vec![view(0, 1)]).await.unwrap();
    for n in 0..20 {
        execute_and_store(&mut store.writer, vec![batch(n + 1, n, vec![put("a", &[0; 50_000])])])
            .await
            .unwrap();
        let (page, copied) =
            tokio::join!(store.reader.list(list_all(), soon()), store.writer.checkpoint());
        copied.unwrap();
        assert_eq!((page.unwrap().items.len(), store.writer.durable_below()), (1, Slot(n + 2)));
    }
}

/// What is there of the state when the process ends without closing it.
pub(super) async fn state_left(dir: &Path) -> Inspected {
    let copy = tempfile::tempdir().unwrap();
    for file in [FILE, "state.sqlite-wal"] {
        std::fs::copy(dir.join(file), copy.path().join(file)).unwrap();
    }
    inspect(copy.path(), &name()).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_a_reader_keeps_from_being_copied_is_durable_in_the_wal() {
    let (dir, mut store) = open_new().await;
    execute_and_store(&mut store.writer, vec![view(0, 1)]).await.unwrap();
    assert!(matches!(store.writer.checkpoint().await.unwrap(), Copied::All { .. }));
    let mut reader = schema::reader_options(&dir.path().join(FILE)).connect().await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT * FROM meta").execute(&mut reader).await.unwrap();
    execute_and_store(&mut store.writer, vec![batch(1, 0, vec![put("a", b"1")])]).await.unwrap();
    assert!(!store.writer.is_durable());
    let copied = store.writer.checkpoint().await.unwrap();
    assert!(matches!(copied, Copied::Part { wal_bytes } if wal_bytes > 0), "{copied:?}");
    assert_eq!(store.writer.durable_below(), Slot(2));
    assert_eq!(state_left(dir.path()).await.meta.executed_below, Slot(2));
    reader.close().await.unwrap();
    assert!(matches!(store.writer.checkpoint().await.unwrap(), Copied::All { .. }));
}

#[tokio::test]
async fn what_is_committed_while_a_checkpoint_runs_is_not_called_durable() {
    let (_dir, mut store) = open_new().await;
    execute_and_store(&mut store.writer, vec![view(0, 1)]).await.unwrap();
    let committed = store.writer.begin_checkpoint();
    execute_and_store(&mut store.writer, vec![entry(1, &Value::Noop)]).await.unwrap();
    let synced = store.checkpointer.sync(committed).await.unwrap();
    store.writer.synced(&synced);
    assert_eq!(store.writer.durable_below(), Slot(1));
    // A sync that ends late says nothing about less.
    store.writer.checkpoint().await.unwrap();
    store.writer.synced(&synced);
    assert_eq!(store.writer.durable_below(), Slot(2));
}

#[tokio::test]
async fn executing_goes_on_while_the_wal_is_copied_and_the_rest_lets_it_start_over() {
    let (dir, mut store) = open_new().await;
    execute_and_store(&mut store.writer, vec![view(0, 1)]).await.unwrap();
    for n in 0..30 {
        let ops = vec![put("a", &[b'x'; 200_000])];
        let run = vec![batch(n + 1, n, ops)];
        let (executed, copied) =
            tokio::join!(execute_and_store(&mut store.writer, run), store.checkpointer.copy());
        assert_eq!(executed.unwrap().meta.executed_below, Slot(n + 2));
        copied.unwrap();
    }
    let Copied::All { wal_bytes: long, .. } = store.writer.checkpoint().await.unwrap() else {
        panic!("nobody reads")
    };
    execute_and_store(&mut store.writer, vec![entry(31, &Value::Noop)]).await.unwrap();
    let Copied::All { wal_bytes, .. } = store.checkpointer.copy().await.unwrap() else {
        panic!("nobody reads")
    };
    assert!(wal_bytes < long / 10, "{wal_bytes} bytes after {long}: the WAL has not started over");
    assert_eq!(state_left(dir.path()).await.meta.executed_below, Slot(32));
}

#[tokio::test]
async fn a_state_whose_files_are_gone_is_not_called_durable() {
    let (dir, mut store) = open_new().await;
    execute_and_store(&mut store.writer, vec![view(0, 1)]).await.unwrap();
    let committed = store.writer.begin_checkpoint();
    std::fs::remove_dir_all(dir.path()).unwrap();
    let error = store.checkpointer.sync(committed).await.unwrap_err();
    assert!(error.is_fatal() && error.to_string().contains("state.sqlite-wal"), "{error}");
}

#[tokio::test]
async fn a_checkpoint_that_another_keeps_from_beginning_copies_nothing_and_waits_for_nobody() {
    let (dir, mut store) = open_new().await;
    let path = dir.path().join(FILE);
    execute_and_store(&mut store.writer, vec![view(0, 1)]).await.unwrap();
    let mut reader = schema::reader_options(&path).connect().await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT * FROM meta").execute(&mut reader).await.unwrap();
    let mut probe =
        schema::writer_options(&path).busy_timeout(Duration::ZERO).connect().await.unwrap();
    let mut other = schema::writer_options(&path)
        .busy_timeout(Duration::from_secs(60))
        .connect()
        .await
        .unwrap();
    // Waits for the reader, and lets nobody write or checkpoint meanwhile.
    let waits = async {
        sqlx::raw_sql("PRAGMA wal_checkpoint(RESTART)").execute(&mut other).await.unwrap()
    };
    let meanwhile = async {
        while sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&mut probe).await.is_ok() {
            tokio::task::yield_now().await;
        }
        let copied = store.writer.checkpoint().await.unwrap();
        assert!(matches!(copied, Copied::Part { .. }), "{copied:?}");
        assert_eq!(store.writer.durable_below(), Slot(1), "it is synced all the same");
        reader.close().await.unwrap();
    };
    tokio::join!(waits, meanwhile);
    assert!(matches!(store.writer.checkpoint().await.unwrap(), Copied::All { .. }));
}

#[tokio::test]
async fn a_checkpoint_syncs_what_it_calls_durable() {
    let (dir, _store) = open_new().await;
    let mut writer = schema::writer_options(&dir.path().join(FILE)).connect().await.unwrap();
    let synchronous: i64 =
        sqlx::query("PRAGMA synchronous").fetch_one(&mut writer).await.unwrap().get(0);
    // At NORMAL, SQLite syncs the WAL before it copies from it, and the file afterwards;
    // at OFF, which is 0, it syncs nothing.
    assert_eq!(synchronous, 1, "NORMAL");
}
