//! Digests of states: the same however far a replica has swept, and another one for every
//! other state.

use proptest::collection::vec;
use proptest::prelude::*;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use tokio::runtime::Runtime;

use super::compaction::{any_steps, compact, sweep};
use super::record::counter;
use super::sum::{VersionFields, of_columns};
use super::*;
use crate::machine::format::ACCESS;
use crate::machine::identity::IdempotencyKey;
use crate::machine::leases::LeaseOp;
use crate::machine::locks::{LockOp, Otherwise};
use shared::ids::LeaseId;

async fn digest_in(dir: &Path) -> Result<StateDigest, StoreError> {
    let connection = connect(&dir.join(FILE)).await?;
    let pinned = PinnedState::begin(connection).await?;
    pinned.digest(&mut || Ok::<(), StoreError>(())).await
}

async fn digest_of(dir: &Path) -> StateDigest {
    digest_in(dir).await.unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_digest_does_not_depend_on_how_far_a_replica_has_swept(
        steps in any_steps(),
        at_once in 1..5_usize,
        forgotten in vec(any::<bool>(), 12),
    ) {
        Runtime::new().unwrap().block_on(async {
            let (one, mut lazy) = open_new().await;
            let (other, mut eager) = open_new().await;
            for store in [&mut lazy, &mut eager] {
                execute_and_store(&mut store.writer, vec![view(0, 1)]).await.unwrap();
            }
            for (number, (ops, sweeps)) in (0..).zip(steps) {
                let next = batch(number + 1, number, ops);
                for store in [&mut lazy, &mut eager] {
                    store.writer.sweep_at_once(at_once);
                    store.writer.compact_at_once(at_once);
                    execute_and_store(&mut store.writer, vec![next.clone()]).await.unwrap();
                }
                for _ in 0..sweeps {
                    sweep(&mut lazy.writer).await;
                }
                while sweep(&mut eager.writer).await {}
                if forgotten[usize::try_from(number).unwrap()] {
                    eager.writer.forget_log(Slot(number)).await.unwrap();
                }
                prop_assert_eq!(digest_of(one.path()).await, digest_of(other.path()).await);
            }
            Ok(())
        })?;
    }
}

/// Leases 2 and 3 of which the latter has ended, with keys bound to both; a lock, answers,
/// history before revision 4 dropped, and a prefix deleted; and all of that to be swept.
async fn with_all() -> (TempDir, Store) {
    let (dir, mut store) = open_new().await;
    let lease = |op| Op::Lease(op);
    let bound = |lease: u64, key: &str| Op::LeasedPut {
        lease: LeaseId(lease),
        key: key.to_owned(),
        value: Bytes::from_static(b"bound"),
        content_type: None,
        condition: Condition::Always,
    };
    let ops =
        vec![lease(LeaseOp::Grant { ttl_ms: 600_000 }), lease(LeaseOp::Grant { ttl_ms: 600_000 })];
    let entries = vec![view_in(0, 1, LogFormat(5)), batch(1, 0, ops)];
    execute_and_store(&mut store.writer, entries).await.unwrap();
    let ids: Vec<u64> = {
        let mut connection = connect(&dir.path().join(FILE)).await.unwrap();
        let rows = sqlx::query("SELECT id FROM leases ORDER BY id").fetch_all(&mut connection);
        rows.await.unwrap().iter().map(|row| counter(row, 0).unwrap()).collect()
    };
    let acquire = LockOp::Acquire {
        name: "lock".to_owned(),
        lease: LeaseId(ids[0]),
        otherwise: Otherwise::Leave,
    };
    let mut ops = vec![Op::Lock(acquire)];
    for n in 0..9 {
        ops.extend([put(&format!("a{n}"), b"1"), put(&format!("a{n}"), b"2"), put("b", &[n])]);
        ops.extend([bound(ids[0], &format!("c{n}")), bound(ids[1], &format!("d{n}"))]);
    }
    ops.push(compact(20));
    let keyed = Command {
        op: put("k", b"once"),
        trace: None,
        request: RequestIdentity::Keyed(IdempotencyKey::of("k")),
    };
    let answers = AnswerRetention { keep_ms: 1_000_000, at_most: 3 };
    let keyed = Commands {
        time_ms: 2_000,
        wall_ms: 0,
        trace: None,
        answers,
        commands: vec![keyed],
        executed: None,
    };
    let (format, commands) = (keyed.format(), keyed.encode());
    let value = Value::Batch(Batch { epoch: Epoch(1), number: BatchNumber(2), commands });
    let keyed = ChosenEntry { value: value.encode_in(format), ..entry(3, &Value::Noop) };
    execute_and_store(&mut store.writer, vec![batch(2, 1, ops), keyed]).await.unwrap();
    store.writer.sweep_at_once(1);
    let revoke = Op::Lease(LeaseOp::Revoke { lease: LeaseId(ids[1]) });
    let ops = vec![Op::DeletePrefix { prefix: "a".to_owned() }, revoke];
    let last = Commands {
        time_ms: 3_000,
        wall_ms: 0,
        trace: None,
        answers: AnswerRetention { keep_ms: 1_000_000, at_most: 3 },
        commands: ops
            .into_iter()
            .map(|op| Command { op, trace: None, request: RequestIdentity::Drawn([1; 16]) })
            .collect(),
        executed: None,
    };
    let (format, commands) = (last.format(), last.encode());
    let value = Value::Batch(Batch { epoch: Epoch(1), number: BatchNumber(3), commands });
    let last = ChosenEntry { value: value.encode_in(format), ..entry(4, &Value::Noop) };
    execute_and_store(&mut store.writer, vec![last]).await.unwrap();
    let unswept = store.writer.unswept();
    assert_eq!((unswept.prefixes, unswept.leases), (1, 1), "all is still to be swept");
    (dir, store)
}

/// The same, with tokens and policies, and a lease of a token.
async fn with_access() -> (TempDir, Store) {
    let (dir, mut store) = with_all().await;
    execute_and_store(&mut store.writer, vec![view(5, 2)]).await.unwrap();
    let ChosenEntry { value, .. } = batch(6, 0, access::ops());
    let batch = match Value::decode(&value).unwrap() {
        Value::Batch(batch) => Value::Batch(Batch { epoch: Epoch(2), ..batch }),
        other @ (Value::Noop | Value::View(_) | Value::Removal(_)) => panic!("{other:?}"),
    };
    let value = batch.encode_in(ACCESS);
    let entry = ChosenEntry { value, ..entry(6, &Value::Noop) };
    execute_and_store(&mut store.writer, vec![entry]).await.unwrap();
    let unswept = store.writer.unswept();
    assert_eq!((unswept.prefixes, unswept.leases), (1, 1), "all is still to be swept");
    (dir, store)
}

#[tokio::test]
async fn sweeping_what_a_lease_and_a_prefix_had_leaves_the_digest_as_it_is() {
    let (dir, mut store) = with_all().await;
    let before = digest_of(dir.path()).await;
    let mut steps = 0;
    while sweep(&mut store.writer).await {
        assert_eq!(digest_of(dir.path()).await, before, "after {steps} steps");
        steps += 1;
    }
    assert!(steps > 18, "{steps} steps swept keys one by one");
}

/// What is changed of each table, such that its checksums fit all the same; and in which
/// parts the digest differs then. What is of one replica alone stands in none.
const CHANGES: &[(&str, &str, &[&str])] = &[
    ("meta", "UPDATE meta SET time_ms = time_ms + 1", &["meta"]),
    ("meta", "UPDATE meta SET hash = zeroblob(32)", &["log", "meta"]),
    ("meta", "UPDATE meta SET joined_at = 3", &[]),
    // By the hash of its last slot.
    ("log", "UPDATE meta SET hash = zeroblob(32)", &["log", "meta"]),
    (
        "versions",
        "UPDATE versions SET value = x'00' WHERE key = x'62' AND revision > 20",
        &["keys"],
    ),
    ("versions", "UPDATE versions SET content_type = 'a/b' WHERE key = x'6b'", &["keys"]),
    ("versions", "UPDATE versions SET created_revision = 7 WHERE key = x'6b'", &["keys"]),
    ("versions", "UPDATE versions SET lease = 9 WHERE key = x'6b'", &["keys"]),
    ("versions", "DELETE FROM versions WHERE key = x'62' AND revision > 40", &["keys"]),
    ("live", "UPDATE live SET lease = 9 WHERE key = x'6b'", &["live"]),
    ("live", "DELETE FROM live WHERE key = x'6b'", &["live"]),
    ("range_tombstones", "DELETE FROM range_tombstones", &["keys", "live"]),
    ("range_tombstones", "UPDATE range_tombstones SET first = x'6138'", &["keys", "live"]),
    ("ended_leases", "DELETE FROM ended_leases", &["keys", "live"]),
    ("ended_leases", "UPDATE ended_leases SET expired = 1", &["keys"]),
    ("answers", "UPDATE answers SET expires_ms = expires_ms + 1", &["answers"]),
    ("leases", "UPDATE leases SET expires_ms = expires_ms + 1", &["leases"]),
    ("leases", "UPDATE leases SET owner = 7", &["leases"]),
    ("leases", "UPDATE leases SET owner = NULL WHERE owner IS NOT NULL", &["leases"]),
    ("tokens", "UPDATE tokens SET policies = '[]' WHERE policies = '[\"root\"]'", &["meta"]),
    ("tokens", "UPDATE tokens SET description = 'x'", &["meta"]),
    ("tokens", "UPDATE tokens SET expires_ms = 7 WHERE expires_ms IS NOT NULL", &["meta"]),
    ("tokens", "UPDATE tokens SET created_by = NULL WHERE created_by IS NOT NULL", &["meta"]),
    ("policies", "UPDATE policies SET policy = '{}' WHERE name = 'app'", &["meta"]),
    ("policies", "UPDATE policies SET name = 'a' WHERE name = 'app'", &["meta"]),
    ("meta", "UPDATE meta SET tokens_since = tokens_since + 1", &["meta"]),
    ("claims", "UPDATE claims SET fence = fence + 1", &["locks"]),
    ("authors", "INSERT INTO authors VALUES (3, 7, NULL, NULL, zeroblob(8))", &[]),
];

#[tokio::test]
async fn a_change_of_any_table_changes_the_digest_and_every_table_is_thought_of() {
    let (dir, store) = with_access().await;
    store.writer.close().await.unwrap();
    let before = digest_of(dir.path()).await;
    let file = std::fs::read(dir.path().join(FILE)).unwrap();
    let mut connection = schema::writer_options(&dir.path().join(FILE)).connect().await.unwrap();
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let mut thought_of: Vec<&str> = CHANGES.iter().map(|(table, ..)| *table).collect();
    thought_of.sort_unstable();
    thought_of.dedup();
    assert_eq!(tables, thought_of, "what does a new table mean for the digest of a state?");
    for (table, sql, parts) in CHANGES {
        let changed = tempfile::tempdir().unwrap();
        let path = changed.path().join(FILE);
        std::fs::write(&path, &file).unwrap();
        let mut connection = schema::writer_options(&path).connect().await.unwrap();
        let done = sqlx::query(*sql).execute(&mut connection).await.unwrap();
        assert!(done.rows_affected() > 0, "{sql} changes nothing");
        mend(&mut connection).await;
        connection.close().await.unwrap();
        let after = digest_of(changed.path()).await;
        assert_eq!(before.differs_in(&after), *parts, "{table}: {sql}");
        assert_eq!(before.whole() == after.whole(), parts.is_empty(), "{table}: {sql}");
    }
}

#[tokio::test]
async fn a_row_that_is_not_what_was_written_is_refused_and_not_made_a_digest_of() {
    let (dir, store) = with_all().await;
    store.writer.close().await.unwrap();
    let mut connection = schema::writer_options(&dir.path().join(FILE)).connect().await.unwrap();
    let sql = "UPDATE versions SET value = x'00' WHERE key = x'6b'";
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let error = digest_in(dir.path()).await.unwrap_err();
    assert!(matches!(&error, StoreError::Damaged(what) if what.contains("\"k\"")), "{error}");
}

#[tokio::test]
async fn a_pinned_state_stays_as_it_is_while_the_log_goes_on() {
    let (dir, mut store) = with_all().await;
    let before = digest_of(dir.path()).await;
    let connection = connect(&dir.path().join(FILE)).await.unwrap();
    let pinned = PinnedState::begin(connection).await.unwrap();
    let next = batch(5, 4, vec![put("b", b"after"), delete("k")]);
    execute_and_store(&mut store.writer, vec![next]).await.unwrap();
    while sweep(&mut store.writer).await {}
    assert_eq!(pinned.executed_below(), Slot(5));
    let mut asked = 0;
    let mut may_go_on = || {
        asked += 1;
        Ok::<(), StoreError>(())
    };
    assert_eq!(pinned.digest(&mut may_go_on).await.unwrap(), before);
    assert_ne!(digest_of(dir.path()).await, before);
}

#[tokio::test]
async fn reading_ends_when_it_may_not_go_on() {
    let (dir, mut store) = with_all().await;
    let ops = (0..600).map(|n| put(&format!("many{n}"), b"")).collect();
    execute_and_store(&mut store.writer, vec![batch(5, 4, ops)]).await.unwrap();
    let pinned = PinnedState::begin(connect(&dir.path().join(FILE)).await.unwrap()).await.unwrap();
    let mut left = 2;
    let mut may_go_on = || {
        left -= 1;
        if left > 0 { Ok(()) } else { Err(StoreError::Failed("enough".to_owned())) }
    };
    let ended = pinned.digest(&mut may_go_on).await;
    assert!(matches!(ended, Err(StoreError::Failed(what)) if what == "enough"));
    assert_eq!(left, 0, "and is not asked again");
}

/// Writes the checksums of all rows anew: of what is there, whatever that is.
async fn mend(connection: &mut SqliteConnection) {
    type Of = fn(&SqliteRow) -> Vec<u8>;
    let tables: [(&str, &str, Of); 6] = [
        (
            "versions",
            "key, revision, created_revision, version, lease, content_type, value",
            |row| {
                let value: Option<&[u8]> = row.get(6);
                let fields = VersionFields {
                    key: row.get(0),
                    revision: counter(row, 1).unwrap(),
                    created_revision: counter(row, 2).unwrap(),
                    version: counter(row, 3).unwrap(),
                    lease: row.get::<Option<i64>, _>(4).map(|id| LeaseId(id.cast_unsigned())),
                    is_deleted: value.is_none(),
                };
                fields.sums(row.get(5), value).to_vec()
            },
        ),
        ("answers", "key, expires_ms, request, outcome", |row| {
            let fields = [Some(row.get(0)), Some(row.get(2)), Some(row.get(3))];
            of_columns(&[counter(row, 1).unwrap()], &fields).to_vec()
        }),
        ("leases", "id, ttl_ms, expires_ms, has_keys, owner", |row| {
            let numbers = [0, 1, 2, 3].map(|at| counter(row, at).unwrap());
            let owner = row.get::<Option<i64>, _>(4).map(i64::cast_unsigned);
            let numbers: Vec<u64> = numbers.into_iter().chain(owner).collect();
            of_columns(&numbers, &[]).to_vec()
        }),
        ("claims", "name, since, lease, fence", |row| {
            let fence: Option<i64> = row.get(3);
            let fence = fence.map(i64::to_le_bytes);
            let fields = [Some(row.get(0)), fence.as_ref().map(<[u8; 8]>::as_slice)];
            of_columns(&[1, 2].map(|at| counter(row, at).unwrap()), &fields).to_vec()
        }),
        ("range_tombstones", "revision, first, below", |row| {
            of_columns(&[counter(row, 0).unwrap()], &[Some(row.get(1)), Some(row.get(2))]).to_vec()
        }),
        ("ended_leases", "lease, revision, expired, first", |row| {
            let numbers = [0, 1, 2].map(|at| counter(row, at).unwrap());
            of_columns(&numbers, &[Some(row.get(3))]).to_vec()
        }),
    ];
    for (table, columns, sum) in tables {
        let key = match table {
            "versions" => "id",
            "answers" => "key",
            "leases" => "id",
            "claims" => "name",
            "range_tombstones" => "revision",
            _ => "lease",
        };
        let select = sqlx::AssertSqlSafe(format!("SELECT {columns}, {key} AS k FROM {table}"));
        let rows = sqlx::query(select).fetch_all(&mut *connection).await.unwrap();
        for row in rows {
            let update = format!("UPDATE {table} SET sum = ? WHERE {key} = ?");
            let update = sqlx::query(sqlx::AssertSqlSafe(update)).bind(sum(&row));
            let update = match table {
                "answers" | "claims" => update.bind(row.get::<Vec<u8>, _>("k")),
                _ => update.bind(row.get::<i64, _>("k")),
            };
            update.execute(&mut *connection).await.unwrap();
        }
    }
    super::super::access::mend(connection).await;
    meta::mend(connection).await;
}

/// Programs of two releases compare their states while a cluster is upgraded, and whoever differs
/// ends: where this fails for a state that both can have, `FORMAT` is to be raised.
#[tokio::test]
async fn the_digest_of_a_state_is_what_other_releases_say_it_is() {
    let (dir, _store) = with_all().await;
    let StateDigest { format, parts, .. } = digest_of(dir.path()).await;
    let told = parts.named().map(|(part, digest)| format!("{part} {}", &digest.to_string()[..16]));
    assert_eq!((format, told.join(", ")), (1, GOLDEN.to_owned()));
}

const GOLDEN: &str = "meta 5aadc9f54b2ce027, keys dc7eac1c4267e853, live a87ed1438494f49f, \
    answers d8a0e335ea4f2c70, leases eca1ce756421fe2b, locks 96cd77909c18589f";
