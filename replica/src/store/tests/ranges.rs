//! Deletions of prefixes: what can be read, and what is written in the end, is the same
//! however far they are swept, and executing one costs the same whatever it deletes.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::*;
use crate::machine::execute::Run;
use crate::machine::keys::{KeyRows, RangeTombstone, VersionRow};
use crate::machine::state::ReplicatedState;

pub(super) const KEYS: [&str; 6] = ["a", "a/1", "a/2", "a/2/x", "ab", "b"];

pub(super) fn any_op() -> impl Strategy<Value = Op> {
    let key = || proptest::sample::select(&KEYS[..]);
    let condition = prop_oneof![
        Just(Condition::Always),
        Just(Condition::IfMatchAny),
        Just(Condition::IfNoneMatchAny)
    ];
    let prefix = proptest::sample::select(vec!["", "a", "a/", "a/2", "b", "c"]);
    prop_oneof![
        6 => (key(), condition, any::<u8>()).prop_map(|(key, condition, value)| Op::Put {
            key: key.to_owned(),
            value: Bytes::copy_from_slice(&[value]),
            content_type: None,
            condition,
        }),
        1 => key().prop_map(delete),
        3 => prefix.prop_map(|prefix| Op::DeletePrefix { prefix: prefix.to_owned() }),
        3 => txn::any_txn().prop_map(|txn| Op::Txn(Box::new(txn))),
        1 => Just(Op::Append { value: Bytes::from_static(b"appended"), content_type: None }),
        2 => (proptest::sample::select(vec!["", "a", "a/", "b"]), 0..24_u64)
            .prop_map(|(prefix, to)| Op::Rollback { prefix: prefix.to_owned(), revision: Revision(to) }),
    ]
}

/// A batch has one roll-back at most.
pub(super) fn but_for_roll_backs_after_the_first(mut ops: Vec<Op>) -> Vec<Op> {
    let mut rollbacks = 0;
    ops.retain(|op| {
        rollbacks += usize::from(op.is_rollback());
        !op.is_rollback() || rollbacks == 1
    });
    ops
}

/// A batch, and how often it is swept after it.
pub(super) fn any_steps() -> impl Strategy<Value = Vec<(Vec<Op>, usize)>> {
    let ops = vec(any_op(), 1..6).prop_map(but_for_roll_backs_after_the_first);
    vec((ops, 0..3_usize), 1..12)
}

/// Every version by key and revision, with its value where it has one.
pub(super) type Versions = BTreeMap<(String, u64), (u64, u64, Option<Vec<u8>>)>;

/// Adds what was written.
pub(super) fn add_versions(versions: &mut Versions, rows: &KeyRows) {
    let value = |row: &VersionRow| row.content.as_ref().map(|content| content.value.to_vec());
    versions.extend(rows.versions.iter().map(|row| {
        let key = (row.key.clone(), row.revision.0);
        (key, (row.created_revision.0, row.version, value(row)))
    }));
    // The content of one may be that of another.
    for row in &rows.restored {
        let (_, _, value) = versions[&(row.key.clone(), row.content_of.0)].clone();
        let key = (row.key.clone(), row.revision.0);
        versions.insert(key, (row.created_revision.0, row.version, value));
    }
}

fn state_at(versions: &Versions, at: u64) -> BTreeMap<String, (u64, Vec<u8>)> {
    let mut state = BTreeMap::new();
    for ((key, revision), (_, _, value)) in versions.iter().filter(|((_, of), _)| *of <= at) {
        match value {
            Some(value) => state.insert(key.clone(), (*revision, value.clone())),
            None => state.remove(key),
        };
    }
    state
}

/// Holds everything that can be read, from a revision on, against what every version says.
pub(super) async fn hold(store: &Store, versions: &Versions, from: u64, revision: u64) {
    for at in from..=revision {
        let state = state_at(versions, at);
        for order in [Order::Ascending, Order::Descending] {
            for show in [Show::Values, Show::KeysOnly] {
                let query = ListQuery { at: Some(Revision(at)), order, show, ..list_all() };
                let page = store.reader.list(query, soon()).await.unwrap();
                let mut keys = keys_of(&page);
                if order == Order::Descending {
                    keys.reverse();
                }
                assert_eq!(keys, state.keys().collect::<Vec<_>>(), "listed at {at} of {revision}");
            }
        }
        for of in KEYS {
            let item = store.reader.point(key(of), Some(Revision(at))).await.unwrap().item;
            let found = item.map(|item| (item.revision.0, item.value.to_vec()));
            assert_eq!(found.as_ref(), state.get(of), "{of} at {at} of {revision}");
        }
    }
}

/// Holds how many keys a deletion deleted against what every version says.
async fn hold_counts(store: &Store, versions: &Versions, deletions: &[(String, u64)]) {
    for (prefix, at) in deletions {
        let state = state_at(versions, at - 1);
        let query = CountQuery::of_prefix(prefix, Revision(*at));
        let expected = state.keys().filter(|key| key.starts_with(prefix)).count() as u64;
        assert_eq!(store.reader.count(query).await.unwrap(), expected, "{prefix:?} at {at}");
    }
}

pub(super) async fn written(dir: &Path) -> Versions {
    let mut connection = schema::reader_options(&dir.join(FILE)).connect().await.unwrap();
    let rows = sqlx::query("SELECT key, revision, created_revision, version, value FROM versions");
    let rows = rows.fetch_all(&mut connection).await.unwrap();
    let number = |row: &sqlx::sqlite::SqliteRow, at| row.get::<i64, _>(at).cast_unsigned();
    rows.iter()
        .map(|row| {
            let key = String::from_utf8(row.get(0)).unwrap();
            ((key, number(row, 1)), (number(row, 2), number(row, 3), row.get(4)))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_can_be_read_does_not_depend_on_how_far_ranges_are_swept(
        steps in any_steps(),
        executing in 0..3_usize,
        sweeping in 1..4_usize,
        reopened in any::<bool>(),
    ) {
        Runtime::new().unwrap().block_on(async {
            let (dir, mut store) = open_new().await;
            let mut reference = ReplicatedState::complete();
            let (mut versions, mut deletions) = (Versions::new(), Vec::new());
            let mut entries = vec![view(0, 1)];
            for (number, (ops, sweeps)) in (0..).zip(steps) {
                entries.push(batch(number + 1, number, ops));
                let expected = Run::new(entries.clone()).apply(&mut reference);
                let rows = reference.take_rows().keys;
                add_versions(&mut versions, &rows);
                let prefix = |range: &RangeTombstone| (range.prefix.clone(), range.revision.0);
                // What is counted of a transaction is more, and has a test of its own.
                let is_alone = |range: &&RangeTombstone| {
                    let of = |row: &&VersionRow| row.revision == range.revision;
                    !rows.versions.iter().filter(of).any(|row| row.content.is_some())
                };
                deletions.extend(rows.ranges.iter().filter(is_alone).map(prefix));
                store.writer.sweep_at_once(executing);
                let report = execute_and_store(&mut store.writer, std::mem::take(&mut entries)).await.unwrap();
                prop_assert_eq!(&report.meta, reference.meta());
                prop_assert_eq!(&report.slots, &expected.slots);
                store.writer.sweep_at_once(sweeping);
                for _ in 0..sweeps {
                    store.writer.sweep().await.unwrap();
                }
                hold(&store, &versions, 0, report.meta.revision.0).await;
                hold_counts(&store, &versions, &deletions).await;
            }
            if reopened {
                store.writer.close().await.unwrap();
                store = open_in(dir.path()).await;
            }
            while store.writer.unswept().prefixes > 0 {
                store.writer.sweep().await.unwrap();
            }
            prop_assert_eq!(written(dir.path()).await, versions);
            store.writer.close().await.unwrap();
            // With all checks of a start.
            open_in(dir.path()).await;
            Ok(())
        })?;
    }
}

/// Executes a deletion of so many keys, and says how many rows it wrote.
async fn rows_written_by_deleting(keys: u64) -> (u64, Store, TempDir) {
    let (dir, mut store) = open_new().await;
    execute_and_store(&mut store.writer, vec![view(0, 1)]).await.unwrap();
    for n in 0..keys / 500 {
        let ops = (0..500).map(|k| put(&format!("k{n:04}{k:03}"), b"")).collect();
        execute_and_store(&mut store.writer, vec![batch(n + 1, n, ops)]).await.unwrap();
    }
    let before = store.writer.rows_written().await;
    let next = keys / 500;
    let ops = vec![Op::DeletePrefix { prefix: "k".into() }];
    execute_and_store(&mut store.writer, vec![batch(next + 1, next, ops)]).await.unwrap();
    (store.writer.rows_written().await - before, store, dir)
}

#[tokio::test]
async fn no_transaction_writes_more_rows_the_more_keys_a_prefix_has() {
    let (few, _store, _dir) = rows_written_by_deleting(2_000).await;
    let (many, mut store, _dir) = rows_written_by_deleting(10_000).await;
    assert_eq!(few, many);
    let mut steps = 0;
    while store.writer.unswept().prefixes > 0 {
        let before = store.writer.rows_written().await;
        store.writer.sweep().await.unwrap();
        steps += 1;
        let rows = store.writer.rows_written().await - before;
        assert!(rows <= many, "{rows} rows in one step, {many} by executing");
    }
    assert_eq!(steps, 10_000 / 512, "as many as it takes");
    let page = store.reader.list(list_all(), soon()).await.unwrap();
    assert_eq!((page.items.len(), page.more_after), (0, None));
}

#[tokio::test]
async fn a_deletion_of_few_keys_leaves_nothing_to_sweep() {
    let (_dir, mut store) = open_new().await;
    let ops = vec![put("a/1", b""), put("a/2", b""), Op::DeletePrefix { prefix: "a/".into() }];
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, ops)]).await.unwrap();
    let ops = vec![put("a/1", b"")];
    execute_and_store(&mut store.writer, vec![batch(2, 1, ops)]).await.unwrap();
    execute_and_store(
        &mut store.writer,
        vec![batch(3, 2, vec![Op::DeletePrefix { prefix: "a".into() }])],
    )
    .await
    .unwrap();
    assert_eq!(store.writer.unswept().prefixes, 0);
}
