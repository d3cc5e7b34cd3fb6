//! States that must not be used, and damage that is met while one is used.

use std::path::Path;
use std::time::Duration;

use shared::ids::LogFormat;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::meta::MetaRow;
use super::*;
use crate::machine::chain::ChainHash;
use crate::machine::state::Meta;

async fn refusal(dir: &Path, replica: &str) -> OpenError {
    open(dir, &replica.parse().unwrap(), 1).await.unwrap_err()
}

/// A state of a few slots in a file without a WAL beside it.
async fn closed_state() -> TempDir {
    let (dir, mut store) = open_new().await;
    // As large as fits into a page with the rest of its row: little of the file is unused.
    let ops = (0..60).map(|n| put(&format!("k{n}"), &[b'x'; 4_000])).collect();
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, ops)]).await.unwrap();
    store.writer.close().await.unwrap();
    dir
}

#[tokio::test]
async fn the_state_of_another_replica_is_refused() {
    let dir = closed_state().await;
    let error = refusal(dir.path(), "replica-2").await;
    assert!(
        matches!(&error, OpenError::OtherReplica { found, .. } if found == "replica-1"),
        "{error}"
    );
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
    alter(dir.path(), "PRAGMA user_version = 1").await;
    assert!(matches!(
        refusal(dir.path(), "replica-1").await,
        OpenError::Version { found: 1, oldest: 6, .. }
    ));
}

#[tokio::test]
async fn a_row_that_is_not_what_was_written_is_refused_by_name() {
    let sum = "meta does not match its checksum";
    for (sql, word) in [
        ("DELETE FROM log WHERE slot = 1", "the log ends with slot 0"),
        ("DELETE FROM log WHERE slot = 0", "where slot 0 is due"),
        ("DELETE FROM log", "the log is empty"),
        ("UPDATE log SET value = x'00' WHERE slot = 1", "the hash of slot 1"),
        ("UPDATE log SET value = x'00' WHERE slot = 0", "the hash of slot 0"),
        ("UPDATE log SET hash = zeroblob(32) WHERE slot = 0", "slot 0 does not match its checksum"),
        ("UPDATE log SET revision = 5 WHERE slot = 0", "slot 0 does not match its checksum"),
        ("UPDATE log SET ballot_round = 5 WHERE slot = 1", "slot 1 does not match its checksum"),
        (
            "UPDATE log SET ballot_coordinator = 5 WHERE slot = 1",
            "slot 1 does not match its checksum",
        ),
        ("UPDATE meta SET hash = zeroblob(32)", sum),
        ("UPDATE meta SET revision = 500", sum),
        ("UPDATE meta SET executed_below = 3", sum),
        ("UPDATE meta SET next_batch = 3", sum),
        ("UPDATE meta SET time_ms = 3", sum),
        ("UPDATE meta SET answers = 3", "there are 0 answers, but meta says 3"),
        ("UPDATE meta SET leases = 3", "(0, 0) leases and claims, but meta says (3, 0)"),
        ("UPDATE meta SET claims = 3", "(0, 0) leases and claims, but meta says (0, 3)"),
        ("UPDATE meta SET tokens = 3", "there are 0 tokens and 0 policies, but meta says 3 and 0"),
        ("UPDATE meta SET policies = 3", "0 tokens and 0 policies, but meta says 0 and 3"),
        ("UPDATE meta SET tokens_since = 3", sum),
        ("UPDATE meta SET cluster = 3", sum),
        ("UPDATE meta SET compacted_below = 3", sum),
        ("UPDATE meta SET swept_through = 3", sum),
        ("UPDATE meta SET log_start = 1", sum),
        ("UPDATE meta SET log_start_hash = hash", sum),
        ("UPDATE meta SET view = NULL", sum),
        ("UPDATE meta SET view = '{'", "meta.view"),
        ("DELETE FROM meta", "meta has no row"),
        ("UPDATE versions SET value = x'00' WHERE id = 7", "the record of \"k6\" at revision 7"),
        ("UPDATE versions SET value = NULL WHERE id = 7", "the record of \"k6\" at revision 7"),
        (
            "UPDATE versions SET content_type = NULL WHERE id = 7",
            "the record of \"k6\" at revision 7",
        ),
        ("UPDATE versions SET version = 2 WHERE id = 7", "the record of \"k6\" at revision 7"),
        (
            "UPDATE versions SET created_revision = 2 WHERE id = 7",
            "the record of \"k6\" at revision 7",
        ),
        ("UPDATE versions SET revision = 2 WHERE id = 7", "the record of \"k6\" at revision 2"),
        ("DELETE FROM live WHERE key = x'6b36'", "keys exist by their versions"),
        ("INSERT INTO live VALUES (x'78', 7, NULL)", "keys exist by their versions"),
        ("UPDATE live SET revision = 3 WHERE key = x'6b36'", "keys exist by their versions"),
        ("UPDATE live SET lease = 7 WHERE key = x'6b36'", "by both and with the same lease"),
        (
            "INSERT INTO range_tombstones VALUES (7, x'6b', x'6bff', zeroblob(8))",
            "the range tombstone of revision 7",
        ),
        ("INSERT INTO authors VALUES (7, 7, NULL, NULL, zeroblob(8))", "who made revision 7"),
        ("INSERT INTO ended_leases VALUES (7, 7, 1, x'', zeroblob(8))", "the end of lease 7"),
        ("INSERT INTO leases VALUES (7, 500, 900, 0, zeroblob(8), NULL)", "lease 7 does not match"),
        ("INSERT INTO claims VALUES (x'6c', 7, 7, 7, zeroblob(8))", "a claim on lock \"l\""),
        ("UPDATE versions SET lease = 7 WHERE id = 7", "the record of \"k6\" at revision 7"),
        ("UPDATE versions SET key = x'78' WHERE id = 7", "the record of \"x\" at revision 7"),
    ] {
        let dir = closed_state().await;
        alter(dir.path(), sql).await;
        let error = refusal(dir.path(), "replica-1").await;
        assert!(
            matches!(&error, OpenError::Damaged { what, .. } if what.contains(word)),
            "{sql}: {error}"
        );
    }
}

#[tokio::test]
async fn a_state_that_contradicts_itself_is_refused_by_name() {
    use sqlx::{ConnectOptions, Connection};
    type Change = fn(&mut Meta);
    let changes: [(Change, &str); 3] = [
        (|meta| meta.hash = ChainHash([7; 32]), "meta says"),
        (|meta| meta.revision = Revision(5), "meta says"),
        (|meta| meta.executed_below = Slot(3), "slots below 3"),
    ];
    for (change, word) in changes {
        let dir = closed_state().await;
        let mut connection =
            schema::writer_options(&dir.path().join(FILE)).connect().await.unwrap();
        let mut row = meta::load(&mut connection).await.unwrap();
        change(&mut row.meta);
        meta::save(&mut connection, &row).await.unwrap();
        connection.close().await.unwrap();
        let error = refusal(dir.path(), "replica-1").await;
        assert!(
            matches!(&error, OpenError::Damaged { what, .. } if what.contains(word)),
            "{error}"
        );
    }
}

/// As when a WAL is lost in part, of which another part had been copied into the file
/// already.
#[tokio::test]
async fn a_state_with_records_from_its_future_is_refused() {
    let (dir, mut store) = open_new().await;
    execute_and_store(&mut store.writer, vec![view(0, 1)]).await.unwrap();
    let (before, _) = (
        store.writer.meta().clone(),
        execute_and_store(&mut store.writer, vec![batch(1, 0, vec![put("k", b"v")])])
            .await
            .unwrap(),
    );
    store.writer.close().await.unwrap();
    use sqlx::{ConnectOptions, Connection};
    let mut connection = schema::writer_options(&dir.path().join(FILE)).connect().await.unwrap();
    let row = MetaRow { meta: before, ..MetaRow::default() };
    meta::save(&mut connection, &row).await.unwrap();
    sqlx::raw_sql("DELETE FROM log WHERE slot = 1").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let error = refusal(dir.path(), "replica-1").await;
    assert!(
        matches!(&error, OpenError::Damaged { what, .. } if what.contains("a record of revision 1, \
            but meta says 0")),
        "{error}"
    );
}

#[tokio::test]
async fn a_bit_that_flips_anywhere_is_noticed_or_changes_nothing() {
    /// Coprime to every length that matters, so that flips fall on all kinds of bytes.
    const STRIDE: usize = 1_009;
    let dir = closed_state().await;
    let path = dir.path().join(FILE);
    let good = std::fs::read(&path).unwrap();
    let log_of = async |store: &Store| {
        let query = LogQuery { from: Slot(0), page: PageLimits { items: 10, bytes: 1 << 20 } };
        store.reader.log(query).await.unwrap().rows
    };
    let store = open_in(dir.path()).await;
    let (items, rows) =
        (store.reader.list(list_all(), soon()).await.unwrap().items, log_of(&store).await);
    store.writer.close().await.unwrap();
    let (mut noticed, mut harmless) = (0, 0);
    for (number, offset) in (0..good.len()).step_by(STRIDE).enumerate() {
        let mut bytes = good.clone();
        bytes[offset] ^= 1 << (number % 8);
        std::fs::write(&path, &bytes).unwrap();
        match open(dir.path(), &name(), 1).await {
            Ok(store) => {
                let read = (
                    store.reader.list(list_all(), soon()).await.unwrap().items,
                    log_of(&store).await,
                );
                assert_eq!(
                    read,
                    (items.clone(), rows.clone()),
                    "bit {} of byte {offset}",
                    number % 8
                );
                store.writer.close().await.unwrap();
                harmless += 1;
            }
            Err(_) => noticed += 1,
        }
    }
    assert!(
        noticed > 5 * harmless,
        "{noticed} were noticed, {harmless} changed nothing: most of the file is in use"
    );
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

pub(super) async fn alter(dir: &Path, sql: &str) {
    use sqlx::{ConnectOptions, Connection};
    let mut connection = schema::writer_options(&dir.join(FILE)).connect().await.unwrap();
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn what_is_executed_is_stored_after_all_when_the_last_statement_of_it_failed() {
    let (dir, mut store) = open_new().await;
    execute_and_store(&mut store.writer, vec![view(0, 1)]).await.unwrap();
    alter(
        dir.path(),
        "CREATE TRIGGER ends BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'here it ends'); END",
    )
    .await;
    for (slot, value) in [(1, b"1"), (2, b"2")] {
        let run = vec![batch(slot, slot - 1, vec![put("a", value)])];
        store.writer.execute(run).await.unwrap();
        store.writer.store().await.unwrap_err();
    }
    alter(dir.path(), "DROP TRIGGER ends").await;
    assert_eq!(value_at(&store, "a", None).await, None);
    store.writer.store().await.unwrap();
    let meta = store.writer.meta();
    assert_eq!((meta.executed_below, meta.revision), (Slot(3), Revision(2)));
    assert_eq!(value_at(&store, "a", None).await.unwrap(), "2");
    assert_eq!(value_at(&store, "a", Some(1)).await.unwrap(), "1");
}

#[tokio::test]
async fn a_row_that_rots_while_the_state_is_in_use_is_never_answered_or_executed_on() {
    let is_damage = |error: &ReadError| matches!(error, ReadError::Store(StoreError::Damaged(_)));
    let dir = closed_state().await;
    let mut store = open_in(dir.path()).await;
    alter(
        dir.path(),
        "UPDATE versions SET value = x'00' WHERE id = 7; UPDATE versions SET version \
        = 5 WHERE id = 8",
    )
    .await;
    alter(dir.path(), "UPDATE log SET value = x'00' WHERE slot = 1").await;
    assert!(is_damage(&store.reader.point(key("k6"), None).await.unwrap_err()));
    let keys = ListQuery { show: Show::KeysOnly, ..list_all() };
    assert!(is_damage(&store.reader.list(keys, soon()).await.unwrap_err()));
    let error = execute_and_store(&mut store.writer, vec![batch(2, 1, vec![put("k7", b"x")])])
        .await
        .unwrap_err();
    assert!(
        matches!(&error, StoreError::Damaged(what) if what.contains("\"k7\" at revision 8")),
        "{error}"
    );
    let store = open_log_only(dir.path()).await;
    let query = LogQuery { from: Slot(0), page: PageLimits { items: 10, bytes: 1 << 20 } };
    assert!(is_damage(&store.log(query).await.unwrap_err()));
}

/// Reads a file that would not be opened.
async fn open_log_only(dir: &Path) -> Reader {
    let (fatal, _nobody) = mpsc::channel(1);
    Reader::open(&dir.join(FILE), 1, &fatal, &TaskTracker::new()).await.unwrap()
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

#[tokio::test]
async fn a_log_of_a_higher_format_is_not_gone_on_with() {
    let (dir, mut store) = open_new().await;
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, vec![put("a", b"1")])])
        .await
        .unwrap();
    let higher = LogFormat(HIGHEST.0 + 1);
    let raises = |slot, epoch| {
        let ChosenEntry { value, .. } = view(slot, epoch);
        let Ok(Value::View(view)) = Value::decode(&value) else { panic!("{value:?}") };
        entry(slot, &Value::View(View { format: higher, ..view }))
    };
    let run = vec![batch(2, 1, vec![put("a", b"2")]), raises(3, 2)];
    let error = execute_and_store(&mut store.writer, run).await.unwrap_err();
    assert!(matches!(error, StoreError::Format(_)) && error.is_fatal(), "{error}");
    let named = format!("format {higher} from epoch 2");
    assert!(error.to_string().contains(&named), "{error}");
    assert_eq!(value_at(&store, "a", None).await.unwrap(), "1", "none of the run is kept");
    // As a program that could read it has left it behind.
    store.writer.close().await.unwrap();
    let mut connection = schema::writer_options(&dir.path().join(FILE)).connect().await.unwrap();
    let mut row = meta::load(&mut connection).await.unwrap();
    let view = row.meta.view.take().unwrap();
    row.meta.view = Some(View { format: higher, ..view });
    meta::save(&mut connection, &row).await.unwrap();
    connection.close().await.unwrap();
    let error = refusal(dir.path(), "replica-1").await;
    let named = format!("format {higher}");
    assert!(error.is_misconfiguration() && error.to_string().contains(&named), "{error}");
}
