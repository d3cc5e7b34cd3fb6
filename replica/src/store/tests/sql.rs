//! Queries in SQL on a real file: what they see, and what they may not do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::*;
use crate::sql::functions::CALLED;
use crate::sql::query::run;
use crate::sql::{Job, Limits, SqlError, SqlQuery, Table};

pub(super) const LIMITS: Limits =
    Limits { rows: 1_000, bytes: 1 << 20, memory_bytes: 64 << 20, time: Duration::from_secs(5) };

struct Asking {
    file: PathBuf,
    store: Store,
    _dir: TempDir,
}

/// A state in which keys were written, written again, and deleted one by one and by
/// prefix; one key is swept of the last deletion, the others are not.
async fn asking() -> Asking {
    let (dir, mut store) = open_new().await;
    store.writer.sweep_at_once(1);
    let range = |prefix: &str| Op::DeletePrefix { prefix: prefix.to_owned() };
    let entries = [
        view(0, 1),
        batch(1, 0, vec![put("a/1", b"one"), put("a/2", b"two"), put("b", b"\xff\x00")]),
        batch(2, 1, vec![put("a/1", b"uno"), delete("b"), put("a/3", b"three")]),
        batch(3, 2, vec![range("a/"), put("a/2", b"again")]),
    ];
    for entry in entries {
        execute_and_store(&mut store.writer, vec![entry]).await.unwrap();
    }
    Asking { file: dir.path().join(FILE), store, _dir: dir }
}

fn query(sql: &str) -> SqlQuery {
    SqlQuery { sql: sql.to_owned(), ..SqlQuery::default() }
}

/// What a query gives of the state in a folder.
pub(super) fn rows(dir: &Path, sql: &str) -> Json {
    json!(run(&Job { file: dir.join(FILE), query: query(sql), limits: LIMITS }).unwrap().rows)
}

impl Asking {
    fn run(&self, query: SqlQuery) -> Result<Table, SqlError> {
        run(&Job { file: self.file.clone(), query, limits: LIMITS })
    }

    fn ask(&self, sql: &str) -> Result<Table, SqlError> {
        self.run(query(sql))
    }

    fn rows(&self, sql: &str, at: Option<u64>) -> Json {
        let asked = SqlQuery { revision: at.map(Revision), ..query(sql) };
        json!(self.run(asked).unwrap_or_else(|error| panic!("{sql}: {error}")).rows)
    }
}

#[tokio::test]
async fn a_query_sees_what_exists_now_or_at_a_revision_however_far_deletions_are_swept() {
    let mut asking = asking().await;
    loop {
        let kv = |at| asking.rows("SELECT key, value, version FROM kv ORDER BY key", at);
        assert_eq!(kv(None), json!([["a/2", "again", 1]]));
        assert_eq!(kv(Some(8)), kv(None));
        assert_eq!(kv(Some(7)), json!([]));
        assert_eq!(kv(Some(6)), json!([["a/1", "uno", 2], ["a/2", "two", 1], ["a/3", "three", 1]]));
        let bytes = json!({"base64": "/wA="});
        assert_eq!(kv(Some(3)), json!([["a/1", "one", 1], ["a/2", "two", 1], ["b", bytes, 1]]));
        assert_eq!(kv(Some(0)), json!([]));
        let history = "SELECT revision, change, key FROM history ORDER BY revision, key";
        let all = json!([
            [1, "put", "a/1"],
            [2, "put", "a/2"],
            [3, "put", "b"],
            [4, "put", "a/1"],
            [5, "delete", "b"],
            [6, "put", "a/3"],
            [7, "delete", "a/1"],
            [7, "delete", "a/2"],
            [7, "delete", "a/3"],
            [8, "put", "a/2"]
        ]);
        assert_eq!(asking.rows(history, None), all);
        let earlier: Vec<_> = all.as_array().unwrap()[..6].to_vec();
        assert_eq!(asking.rows(history, Some(6)), json!(earlier));
        if asking.store.writer.unswept().prefixes == 0 {
            break;
        }
        asking.store.writer.sweep().await.unwrap();
    }
    let log = asking.rows("SELECT slot, round, coordinator, revision FROM log", None);
    assert_eq!(log[3], json!([3, 3, "ffffffffffffffff", 8]));
}

#[tokio::test]
async fn a_query_may_join_group_compare_and_read_json() {
    let asking = asking().await;
    let one = |sql: &str| asking.rows(sql, None)[0][0].clone();
    assert_eq!(one("SELECT count(*) FROM kv"), 1);
    assert_eq!(one("SELECT count(*) FROM history h JOIN kv USING (key)"), 3);
    assert_eq!(one("SELECT group_concat(change) FROM history WHERE key = 'b'"), "put,delete");
    assert_eq!(one("SELECT length(bytes) FROM history WHERE key = 'b' LIMIT 1"), 2);
    assert_eq!(one("SELECT sum(value) FROM json_each('[1, 2, 3]')"), 6);
    assert_eq!(
        one("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) \
                    SELECT sum(i) FROM n"),
        45
    );
    assert_eq!(one("SELECT 9e999"), "inf");
    let asked = SqlQuery {
        params: vec![
            json!("a/2"),
            json!(3),
            json!(1.5),
            json!(null),
            json!(true),
            json!({"base64": "AA=="}),
        ],
        ..query("SELECT key, ?2, ?3, ?4, ?5, hex(?6) FROM kv WHERE key = ?1")
    };
    let table = asking.run(asked).unwrap();
    assert_eq!(
        table.rows,
        vec![vec![json!("a/2"), json!(3), json!(1.5), json!(null), json!(1), json!("00")]]
    );
    assert_eq!(table.columns, ["key", "?2", "?3", "?4", "?5", "hex(?6)"]);
    assert_eq!(table.revision, Revision(8));
}

#[tokio::test]
async fn a_query_that_does_not_only_read_the_views_is_refused() {
    let asking = asking().await;
    for sql in [
        "INSERT INTO kv(key) VALUES ('x')",
        "DELETE FROM versions",
        "UPDATE meta SET revision = 1",
        "CREATE TABLE t(a)",
        "CREATE TEMP TABLE t AS SELECT * FROM kv",
        "DROP VIEW kv",
        "ATTACH 'other.sqlite' AS other",
        "PRAGMA query_only = OFF",
        "PRAGMA journal_mode = DELETE",
        "SELECT * FROM pragma_table_info('meta')",
        "SELECT load_extension('x')",
        "VACUUM INTO 'copy.sqlite'",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT s",
        "SELECT * FROM meta",
        "SELECT value FROM main.log",
        "SELECT key FROM versions",
        "SELECT max(revision) FROM live",
        "SELECT * FROM answers",
        "SELECT name FROM sqlite_schema",
        "SELECT sql FROM sqlite_temp_schema",
        "SELECT count(*) FROM sqlite_temp_master",
        "WITH kv AS (SELECT * FROM meta) SELECT * FROM kv",
        "SELECT * FROM (SELECT * FROM meta) AS history",
        "SELECT (SELECT revision FROM meta) FROM kv",
        "REINDEX",
        "ANALYZE",
        "EXPLAIN DELETE FROM live",
    ] {
        let refused = asking.ask(sql).expect_err(sql);
        // A view cannot be written to, and SQLite says that first.
        let is_of_sqlite = |why: &String| {
            why.contains("because it is a view") || why.contains("too many attached")
        };
        let right = matches!(&refused, SqlError::NotAuthorized | SqlError::NotOneReading(_))
            || matches!(&refused, SqlError::Invalid(why) if is_of_sqlite(why));
        assert!(right, "{sql}: {refused:?}");
    }
    assert_eq!(asking.rows("SELECT count(*) FROM history", None), json!([[10]]));
}

#[tokio::test]
async fn a_query_is_one_statement() {
    let asking = asking().await;
    for sql in
        ["", " -- nothing", ";", "SELECT 1; SELECT 2", "SELECT 1; DROP VIEW kv", "SELECT 1; ?"]
    {
        assert!(matches!(asking.ask(sql), Err(SqlError::NotOneReading(_))), "{sql}");
    }
    assert_eq!(asking.rows("SELECT 1; -- and that is all", None), json!([[1]]));
    for sql in ["SELECT", "SELECT nothing", "SELECT * FROM nowhere", "SELECT abs(1, 2)"] {
        assert!(matches!(asking.ask(sql), Err(SqlError::Invalid(_))), "{sql}");
    }
    let with = |sql: &str, params: Vec<Json>| asking.run(SqlQuery { params, ..query(sql) });
    assert_eq!(with("SELECT ?", vec![]), Err(SqlError::Parameters { expected: 1, given: 0 }));
    assert_eq!(
        with("SELECT 1", vec![json!(1)]),
        Err(SqlError::Parameters { expected: 0, given: 1 })
    );
    for odd in [json!([1]), json!({}), json!({"base64": "?"}), json!(u64::MAX)] {
        assert_eq!(with("SELECT ?", vec![odd]), Err(SqlError::Parameter { place: 1 }));
    }
}

#[tokio::test]
async fn an_answer_past_a_limit_is_refused_by_its_name() {
    let asking = asking().await;
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    assert_eq!(asking.ask(numbers), Err(SqlError::Rows { limit: LIMITS.rows }));
    let long = "SELECT printf('%1000000s', ''), printf('%1000000s', '')";
    assert_eq!(asking.ask(long), Err(SqlError::Bytes { limit: LIMITS.bytes }));
    assert_eq!(
        asking.ask("SELECT zeroblob(1000000000)"),
        Err(SqlError::Bytes { limit: LIMITS.bytes })
    );
    let at =
        |revision| asking.run(SqlQuery { revision: Some(Revision(revision)), ..query("SELECT 1") });
    let future =
        SqlError::Revision(RevisionError::Future { asked: Revision(9), present: Revision(8) });
    assert_eq!(at(9), Err(future));
    assert_eq!(
        at(u64::MAX)
            .map_err(|error| matches!(error, SqlError::Revision(RevisionError::Future { .. }))),
        Err(true)
    );
}

/// The functions that SQLite knows and no query may call, and why.
const REFUSED: [(&str, &str); 25] = [
    ("bm25", OF_INDEXES),
    ("changes", "it tells of writes"),
    ("fts3_tokenizer", "it takes the address of code that it calls"),
    ("fts5", OF_INDEXES),
    ("fts5_get_locale", OF_INDEXES),
    ("fts5_insttoken", OF_INDEXES),
    ("fts5_locale", OF_INDEXES),
    ("fts5_source_id", OF_INDEXES),
    ("highlight", OF_INDEXES),
    ("last_insert_rowid", "it tells of writes"),
    ("load_extension", "it loads code"),
    ("match", OF_INDEXES),
    ("matchinfo", OF_INDEXES),
    ("offsets", OF_INDEXES),
    ("optimize", "it writes"),
    ("rtreecheck", "it reads the tables that it is given by name"),
    ("rtreedepth", OF_INDEXES),
    ("rtreenode", OF_INDEXES),
    ("snippet", OF_INDEXES),
    ("sqlite_compileoption_get", "it tells of the program"),
    ("sqlite_compileoption_used", "it tells of the program"),
    ("sqlite_log", "it writes into SQLite's own log"),
    ("sqlite_source_id", "it tells of the program"),
    ("subtype", "it tells of how SQLite keeps a value"),
    ("total_changes", "it tells of writes"),
];

const OF_INDEXES: &str = "it is of indexes, of which there are none here";

/// What a connection as SQLite makes it knows, each function with a number of arguments.
fn functions() -> BTreeMap<String, i64> {
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    let listed = "SELECT name, max(narg) FROM pragma_function_list GROUP BY name";
    let mut listed = connection.prepare(listed).unwrap();
    let rows = listed.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn of_all_functions_each_is_known_to_do_no_harm_or_refused() {
    assert!(CALLED.is_sorted());
    let known = functions();
    let judged = CALLED.into_iter().chain(REFUSED.map(|(name, _)| name));
    let judged: BTreeSet<String> = judged.map(str::to_owned).collect();
    let known_names: BTreeSet<String> = known.keys().cloned().collect();
    let difference: Vec<&String> = known_names.symmetric_difference(&judged).collect();
    assert!(difference.is_empty(), "SQLite has others than are judged here: {difference:?}");
    let asking = asking().await;
    for (name, why) in REFUSED {
        // A negative number stands for any.
        let arguments = usize::try_from(known[name]).unwrap_or(1);
        let query = format!("SELECT {name}({})", vec!["NULL"; arguments].join(", "));
        assert_eq!(asking.ask(&query), Err(SqlError::NotAuthorized), "{query}: {why}");
    }
    for (query, gives) in [
        ("SELECT 'ab' LIKE 'A%', 'ab' GLOB 'a*'", json!([[1, 1]])),
        (r#"SELECT '{"a":[7]}' ->> '$.a[0]', json_array(1)"#, json!([[7, "[1]"]])),
        ("SELECT count(*) FILTER (WHERE key > 'a') OVER () FROM kv", json!([[1]])),
        ("SELECT CURRENT_TIMESTAMP > '2020', length(zeroblob(10))", json!([[1, 10]])),
        // What is too long for it is nothing to this one.
        ("SELECT printf('%2000000000d', 1)", json!([[null]])),
    ] {
        assert_eq!(asking.rows(query, None), gives, "{query}");
    }
    for huge in ["zeroblob(1 << 30)", "randomblob(1 << 30)"] {
        let refused = asking.ask(&format!("SELECT {huge}")).expect_err(huge);
        assert!(matches!(refused, SqlError::Bytes { .. } | SqlError::Memory { .. }), "{refused:?}");
    }
}
