//! The file's format: its versions, what it keeps, and what it gives back.

use tempfile::TempDir;

use super::*;
use crate::machine::chain::ChainHash;
use crate::store::meta::{self, Retained};
use crate::store::schema::{self, Found, STEPS, Step, scalar};
use crate::store::verify;

async fn connect(dir: &TempDir) -> sqlx::sqlite::SqliteConnection {
    schema::writer_options(&dir.path().join(FILE)).connect().await.unwrap()
}

async fn tables(connection: &mut sqlx::sqlite::SqliteConnection) -> Vec<Option<String>> {
    const SQL: &str = "SELECT sql FROM sqlite_schema ORDER BY name";
    sqlx::query_scalar(SQL).persistent(false).fetch_all(connection).await.unwrap()
}

async fn version(connection: &mut sqlx::sqlite::SqliteConnection) -> i64 {
    scalar(connection, "PRAGMA user_version").await.unwrap()
}

#[test]
fn each_step_makes_the_version_after_the_one_before() {
    let versions: Vec<i64> = STEPS.iter().map(|step| step.to).collect();
    assert_eq!(versions, (6..).take(STEPS.len()).collect::<Vec<_>>());
}

/// A file as each version wrote it, with two slots and a key: `tests/version-N.sql`. What
/// was released is never edited, neither there nor among the steps.
#[tokio::test]
async fn a_file_of_every_version_since_the_first_is_opened_and_gone_on_with() {
    const FILES: &[(i64, &str)] = &[
        (6, include_str!("version-6.sql")),
        (7, include_str!("version-7.sql")),
        (8, include_str!("version-8.sql")),
        (9, include_str!("version-9.sql")),
        (10, include_str!("version-10.sql")),
        (11, include_str!("version-11.sql")),
        (12, include_str!("version-12.sql")),
        (13, include_str!("version-13.sql")),
    ];
    assert_eq!(FILES.len(), STEPS.len(), "there is a file of every version");
    for (of, sql) in FILES {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = connect(&dir).await;
        sqlx::raw_sql(*sql).execute(&mut connection).await.unwrap();
        assert_eq!(version(&mut connection).await, *of);
        let made = tempfile::tempdir().unwrap();
        let steps: Vec<Step> = STEPS.iter().filter(|step| step.to <= *of).copied().collect();
        let mut by_steps = connect(&made).await;
        for step in steps {
            sqlx::raw_sql(step.sql).execute(&mut by_steps).await.unwrap();
        }
        assert_eq!(tables(&mut by_steps).await, tables(&mut connection).await, "version {of}");
        connection.close().await.unwrap();

        let mut store = open_in(dir.path()).await;
        assert!(!store.is_new);
        assert_eq!(store.cluster, Some(ClusterId(7)), "version {of}");
        assert_eq!(value_at(&store, "a", None).await.unwrap(), "1", "version {of}");
        let tokens = store.writer.access().unwrap().tokens().count();
        assert_eq!(tokens, usize::from(*of >= 12), "version {of}");
        let next = store.writer.meta().executed_below;
        let report =
            execute_and_store(&mut store.writer, vec![entry(next.0, &Value::Noop)]).await.unwrap();
        assert_eq!(report.meta.executed_below, next.next());
        store.writer.close().await.unwrap();
        let mut connection = connect(&dir).await;
        assert_eq!(version(&mut connection).await, STEPS[STEPS.len() - 1].to);
    }
}

#[tokio::test]
async fn versions_are_brought_up_in_one_transaction_or_not_at_all() {
    let (dir, mut store) = open_new().await;
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, vec![put("a", b"1")])])
        .await
        .unwrap();
    store.writer.close().await.unwrap();
    let path = dir.path().join(FILE);
    let newest = STEPS[STEPS.len() - 1].to;
    let adds = Step { to: newest + 1, sql: "CREATE TABLE next(a INTEGER)" };
    let fails = Step { to: newest + 2, sql: "INSERT INTO next VALUES (1); INSERT INTO nowhere" };
    let works = Step { to: newest + 2, sql: "INSERT INTO next VALUES (1)" };
    let mut connection = connect(&dir).await;

    let found = schema::check_header(&mut connection, &path).await.unwrap();
    assert_eq!(found, Found::Version(newest));
    schema::migrate(&mut connection, found, &[adds, fails], &name()).await.unwrap_err();
    connection.close().await.unwrap();
    let mut connection = connect(&dir).await;
    assert_eq!(version(&mut connection).await, newest);
    let tables: i64 =
        scalar(&mut connection, "SELECT count(*) FROM sqlite_schema WHERE name = 'next'")
            .await
            .unwrap();
    assert_eq!(tables, 0, "nothing of it is left");

    let steps = [STEPS, &[adds, works]].concat();
    schema::migrate(&mut connection, found, &steps, &name()).await.unwrap();
    assert_eq!(version(&mut connection).await, newest + 2);
    let rows: i64 = scalar(&mut connection, "SELECT count(*) FROM next").await.unwrap();
    assert_eq!(rows, 1);
    connection.close().await.unwrap();

    let refused = open(dir.path(), &name(), 1).await.unwrap_err();
    assert!(refused.is_misconfiguration(), "{refused}");
    let text = refused.to_string();
    assert!(text.contains(&format!("schema version {}", newest + 2)), "{text}");
    assert!(text.contains("start the one that wrote it"), "{text}");
}

/// As dropping history leaves a state before it is swept: the log from `log_start` on, and the
/// revisions from `compacted_below` on.
pub(crate) async fn drop_history(folder: &Path, compacted_below: Revision, log_start: Slot) {
    let mut connection = schema::writer_options(&folder.join(FILE)).connect().await.unwrap();
    let mut row = meta::load(&mut connection).await.unwrap();
    let hash: Vec<u8> = sqlx::query_scalar("SELECT hash FROM log WHERE slot = ?")
        .bind(log_start.0.cast_signed() - 1)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let log_start_hash = ChainHash(hash.try_into().unwrap());
    row.meta.compacted_below = compacted_below;
    row.retained = Retained { log_start, log_start_hash, ..row.retained };
    meta::save(&mut connection, &row).await.unwrap();
    sqlx::query("DELETE FROM log WHERE slot < ?")
        .bind(log_start.0.cast_signed())
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn what_is_not_kept_is_refused_by_every_reader_and_the_rest_is_there() {
    let (dir, mut store) = open_new().await;
    let ops = vec![put("a", b"1"), put("a", b"2"), Op::DeletePrefix { prefix: "a".into() }];
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, ops)]).await.unwrap();
    execute_and_store(&mut store.writer, vec![batch(2, 1, vec![put("a", b"4")])]).await.unwrap();
    store.writer.close().await.unwrap();
    drop_history(dir.path(), Revision(4), Slot(2)).await;
    let mut store = open_in(dir.path()).await;

    let oldest = Revision(4);
    let refused = store.reader.point(key("a"), Some(Revision(3))).await.unwrap_err();
    assert!(
        matches!(refused, ReadError::Revision(RevisionError::Compacted { oldest: of, .. }) if of == oldest)
    );
    let past = |at| ListQuery { at: Some(Revision(at)), ..list_all() };
    let refused = store.reader.list(past(3), soon()).await.unwrap_err();
    assert!(
        matches!(refused, ReadError::Revision(RevisionError::Compacted { oldest: of, .. }) if of == oldest)
    );
    let refused = store.reader.count(CountQuery::of_prefix("a", Revision(3))).await.unwrap_err();
    assert!(
        matches!(refused, ReadError::Revision(RevisionError::Compacted { oldest: of, .. }) if of == oldest)
    );
    assert_eq!(value_at(&store, "a", Some(4)).await.unwrap(), "4");
    assert_eq!(keys_of(&store.reader.list(past(4), soon()).await.unwrap()), ["a"]);

    let query =
        |from| LogQuery { from: Slot(from), page: PageLimits { items: 10, bytes: 1 << 20 } };
    let refused = store.reader.log(query(1)).await.unwrap_err();
    assert!(matches!(refused, ReadError::Trimmed { oldest: Slot(2), .. }), "{refused}");
    let slots = |page: LogPage| page.rows.iter().map(|row| row.slot.0).collect::<Vec<_>>();
    assert_eq!(slots(store.reader.log(query(2)).await.unwrap()), [2]);

    let next = batch(3, 2, vec![put("b", b"5")]);
    execute_and_store(&mut store.writer, vec![next]).await.unwrap();
    assert_eq!(slots(store.reader.log(query(2)).await.unwrap()), [2, 3]);
    store.writer.close().await.unwrap();
    assert_eq!(value_at(&open_in(dir.path()).await, "b", None).await.unwrap(), "5");
}

#[tokio::test]
async fn a_state_may_have_no_slot_left_of_its_log_and_goes_on() {
    let (dir, mut store) = open_new().await;
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, vec![put("a", b"1")])])
        .await
        .unwrap();
    store.writer.close().await.unwrap();
    drop_history(dir.path(), Revision(0), Slot(2)).await;
    let mut store = open_in(dir.path()).await;
    execute_and_store(&mut store.writer, vec![batch(2, 1, vec![put("a", b"2")])]).await.unwrap();
    let query = LogQuery { from: Slot(2), page: PageLimits { items: 10, bytes: 1 << 20 } };
    assert_eq!(store.reader.log(query).await.unwrap().rows.len(), 1);
    store.writer.close().await.unwrap();
    open_in(dir.path()).await;
}

#[tokio::test]
async fn a_state_that_says_it_keeps_more_than_it_has_is_refused() {
    let (dir, mut store) = open_new().await;
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, vec![put("a", b"1")])])
        .await
        .unwrap();
    store.writer.close().await.unwrap();
    let mut connection = connect(&dir).await;
    sqlx::raw_sql("DELETE FROM log").execute(&mut connection).await.unwrap();
    let error = verify::meta(&mut connection).await.unwrap_err();
    assert!(error.to_string().contains("the log is empty"), "{error}");
    let mut row = meta::load(&mut connection).await.unwrap();
    row.meta.compacted_below = Revision(2);
    meta::save(&mut connection, &row).await.unwrap();
    let error = verify::meta(&mut connection).await.unwrap_err();
    assert!(error.to_string().contains("compacted below 2 and revision 1"), "{error}");
    row.meta.compacted_below = Revision(0);
    row.retained.swept_through = Revision(1);
    meta::save(&mut connection, &row).await.unwrap();
    let error = verify::meta(&mut connection).await.unwrap_err();
    assert!(error.to_string().contains("compacted below 0 and swept to 1"), "{error}");
}

/// What watching and comparing two revisions will ask.
#[tokio::test]
async fn changes_are_found_by_revision_and_key_without_sorting() {
    let (dir, mut store) = open_new().await;
    store.writer.sweep_at_once(0);
    let ops = vec![
        put("b", b""),
        put("a", b""),
        Op::DeletePrefix { prefix: String::new() },
        put("c", b""),
    ];
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, ops)]).await.unwrap();
    store.writer.sweep_at_once(1);
    while store.writer.unswept().prefixes > 0 {
        store.writer.sweep().await.unwrap();
    }
    const SQL: &str = "SELECT revision, key FROM versions WHERE (revision, key) > (1, x'62') \
        ORDER BY revision, key";
    let mut connection = connect(&dir).await;
    let rows = sqlx::query(SQL).fetch_all(&mut connection).await.unwrap();
    let found: Vec<(i64, Vec<u8>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let change = |revision, of: &str| (revision, of.as_bytes().to_vec());
    // The deletions stand behind what was written after them.
    assert_eq!(found, [change(2, "a"), change(3, "a"), change(3, "b"), change(4, "c")]);
    let plan = format!("EXPLAIN QUERY PLAN {SQL}");
    let plan = sqlx::query(sqlx::AssertSqlSafe(plan)).fetch_all(&mut connection).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
    let expected = "SEARCH versions USING COVERING INDEX versions_by_revision";
    assert!(plan.len() == 1 && plan[0].starts_with(expected), "{plan:?}");
}

/// As dropping history frees them: sweeping deletions needs what it frees for tombstones.
async fn with_free_pages(pages: u64) -> TempDir {
    let (dir, store) = open_new().await;
    store.writer.close().await.unwrap();
    let mut connection = connect(&dir).await;
    let fill = format!(
        "CREATE TABLE fill(b BLOB); INSERT INTO fill VALUES (zeroblob({pages} * 4092)); \
         DROP TABLE fill"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(fill)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    dir
}

#[tokio::test]
async fn pages_that_are_freed_are_given_back_a_few_at_a_time() {
    let dir = with_free_pages(3_000).await;
    let mut store = open_in(dir.path()).await;
    let mut connection = connect(&dir).await;
    let auto_vacuum: i64 = scalar(&mut connection, "PRAGMA auto_vacuum").await.unwrap();
    assert_eq!(auto_vacuum, 2, "incremental");
    let mut free: i64 = scalar(&mut connection, "PRAGMA freelist_count").await.unwrap();
    let mut pages: i64 = scalar(&mut connection, "PRAGMA page_count").await.unwrap();
    assert!(free >= 3_000, "{free} pages are free");
    while store.writer.may_give_back() {
        store.writer.give_back().await.unwrap();
        let left: i64 = scalar(&mut connection, "PRAGMA freelist_count").await.unwrap();
        let now: i64 = scalar(&mut connection, "PRAGMA page_count").await.unwrap();
        // And pages of the map of what points where, one for 819.
        assert!(free - left <= 256 && pages - now <= 258, "{free} {left} {pages} {now}");
        (free, pages) = (left, now);
    }
    assert_eq!(free, 1_024, "some are kept");
    connection.close().await.unwrap();
    store.writer.checkpoint().await.unwrap();
    let length = std::fs::metadata(dir.path().join(FILE)).unwrap().len();
    assert_eq!(length, pages.cast_unsigned() * 4_096, "the file is cut");
    store.writer.close().await.unwrap();
    open_in(dir.path()).await;
}
