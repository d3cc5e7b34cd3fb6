//! What changed: read from any revision on, in whatever pieces, and however far deletions
//! of prefixes are swept meanwhile.

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::format::drop_history;
use super::ranges::{Versions, add_versions, any_steps};
use super::*;
use crate::machine::execute::Run;
use crate::machine::state::ReplicatedState;
use crate::sql;

/// A change as the tests compare it.
type Seen = (u64, String, Option<u64>, Option<Vec<u8>>);

fn seen(change: &KeyChange) -> Seen {
    let key = String::from_utf8(change.key.to_vec()).unwrap();
    let value = change.item.as_ref().map(|item| item.value.to_vec());
    if let Some(item) = &change.item {
        assert_eq!((&item.key, item.revision), (&change.key, change.revision));
    }
    (change.revision.0, key, change.previous.map(|revision| revision.0), value)
}

/// What changed after a revision, as every version says.
fn expected(versions: &Versions, after: u64, prefix: &str) -> Vec<Seen> {
    let mut changes = Vec::new();
    for ((key, revision), (_, _, value)) in versions {
        let before = versions.range((key.clone(), 0)..(key.clone(), *revision)).next_back();
        let live = before.filter(|(_, (_, _, value))| value.is_some());
        let previous = live.map(|((_, revision), _)| *revision);
        if *revision > after && key.starts_with(prefix) && (value.is_some() || previous.is_some()) {
            changes.push((*revision, key.clone(), previous, value.clone()));
        }
    }
    changes.sort();
    changes
}

fn history(after: Position, prefix: &str, items: usize) -> HistoryQuery {
    let page = PageLimits { items, bytes: 1 << 20 };
    let from = key(prefix);
    HistoryQuery { after, below: above_prefix(&from), from, page }
}

/// Reads on to the present, sweeping now and then.
async fn read(
    store: &mut Store,
    after: u64,
    prefix: &str,
    items: usize,
    sweep_every: usize,
) -> Vec<Seen> {
    let present = store.writer.meta().revision;
    let (mut changes, mut position) = (Vec::new(), Position::after(Revision(after)));
    for page in 1.. {
        if position >= Position::after(present) {
            break;
        }
        let query = history(position.clone(), prefix, items);
        let found = store.reader.history(query).await.unwrap();
        assert!(found.changes.len() <= items && found.through > position, "{found:?}");
        changes.extend(found.changes.iter().map(seen));
        position = found.through;
        if page % sweep_every == 0 {
            store.writer.sweep().await.unwrap();
        }
    }
    assert_eq!(position, Position::after(present));
    changes
}

/// The changes that a query in SQL sees: revision, key, and whether it was deleted.
fn in_sql(dir: &Path) -> Vec<(u64, String, bool)> {
    let sql = "SELECT revision, key, change FROM history ORDER BY revision, key".to_owned();
    let limits = sql::Limits { rows: usize::MAX, ..super::sql::LIMITS };
    let query = sql::SqlQuery { sql, ..sql::SqlQuery::default() };
    let file = dir.join(FILE);
    let table = sql::query::run(&sql::Job { file, query, limits }).unwrap();
    let row = |row: &Vec<serde_json::Value>| {
        let key = row[1].as_str().unwrap().to_owned();
        (row[0].as_u64().unwrap(), key, row[2] == "delete")
    };
    table.rows.iter().map(row).collect()
}

fn changes_of(versions: &Versions) -> Vec<(u64, String, bool)> {
    let of = |(revision, key, _, value): Seen| (revision, key, value.is_none());
    expected(versions, 0, "").into_iter().map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn from_any_revision_on_every_change_is_read_once_however_far_ranges_are_swept(
        steps in any_steps(),
        executing in 0..3_usize,
        sweeping in 1..3_usize,
        items in 1..4_usize,
        sweep_every in 1..6_usize,
    ) {
        Runtime::new().unwrap().block_on(async {
            let (dir, mut store) = open_new().await;
            let mut reference = ReplicatedState::complete();
            let (mut versions, mut entries) = (Versions::new(), vec![view(0, 1)]);
            for (number, (ops, sweeps)) in (0..).zip(steps) {
                entries.push(batch(number + 1, number, ops));
                let _report = Run::new(entries.clone()).apply(&mut reference);
                add_versions(&mut versions, &reference.take_rows().keys);
                store.writer.sweep_at_once(executing);
                execute_and_store(&mut store.writer, std::mem::take(&mut entries)).await.unwrap();
                store.writer.sweep_at_once(sweeping);
                for _ in 0..sweeps {
                    store.writer.sweep().await.unwrap();
                }
            }
            let present = reference.meta().revision.0;
            prop_assert_eq!(in_sql(dir.path()), changes_of(&versions));
            // The later ones first: those before them are then read with more to sweep.
            for after in (0..=present).rev() {
                for prefix in ["", "a/", "b"] {
                    // A few steps only, so that all readers meet ranges that are not swept.
                    let every = if after % 3 == 0 { sweep_every } else { usize::MAX };
                    let changes = read(&mut store, after, prefix, items, every).await;
                    prop_assert_eq!(changes, expected(&versions, after, prefix));
                }
            }
            Ok(())
        })?;
    }
}

async fn with_many_keys(keys: u64) -> (TempDir, Store) {
    let (dir, mut store) = open_new().await;
    execute_and_store(&mut store.writer, vec![view(0, 1)]).await.unwrap();
    for n in 0..keys / 500 {
        let ops = (0..500).map(|k| put(&format!("k{n:04}{k:03}"), b"")).collect();
        execute_and_store(&mut store.writer, vec![batch(n + 1, n, ops)]).await.unwrap();
    }
    (dir, store)
}

#[tokio::test]
async fn one_page_looks_at_a_bounded_number_of_keys_and_a_deletion_comes_in_pieces() {
    let (_dir, mut store) = with_many_keys(10_000).await;
    let ops = vec![Op::DeletePrefix { prefix: "k".into() }, put("z", b"")];
    execute_and_store(&mut store.writer, vec![batch(21, 20, ops)]).await.unwrap();
    let everything = history(Position::after(Revision(0)), "z", usize::MAX);
    let first = store.reader.history(everything).await.unwrap();
    assert_eq!(
        (first.changes.len(), first.through),
        (0, Position::before(Revision(8_193), key("k0016192")))
    );
    let deleted = read(&mut store, 10_000, "", 700, 2).await;
    assert_eq!(deleted.len(), 10_001);
    assert!(deleted.is_sorted() && deleted[..10_000].iter().all(|(at, ..)| *at == 10_001));
    assert_eq!(deleted[1], (10_001, "k0000001".to_owned(), Some(2), None));
    assert_eq!(deleted[10_000], (10_002, "z".to_owned(), None, Some(Vec::new())));
}

#[tokio::test]
async fn of_two_deletions_that_are_to_be_swept_the_first_alone_has_deleted_a_key() {
    let (_dir, mut store) = open_new().await;
    store.writer.sweep_at_once(0);
    let deletion = |prefix: &str| Op::DeletePrefix { prefix: prefix.into() };
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, vec![put("a/1", b"")])])
        .await
        .unwrap();
    let ops = vec![deletion("a/"), put("a/2", b""), deletion("a")];
    execute_and_store(&mut store.writer, vec![batch(2, 1, ops)]).await.unwrap();
    assert_eq!(store.writer.unswept().prefixes, 2);
    let deleted = |at, key: &str, previous| (at, key.to_owned(), Some(previous), None);
    let put = (3, "a/2".to_owned(), None, Some(Vec::new()));
    let expected = [deleted(2, "a/1", 1), put, deleted(4, "a/2", 3)];
    assert_eq!(read(&mut store, 1, "", 9, usize::MAX).await, expected);
    store.writer.sweep_at_once(1);
    assert_eq!(read(&mut store, 1, "", 1, 1).await, expected);
    while store.writer.unswept().prefixes > 0 {
        store.writer.sweep().await.unwrap();
    }
    assert_eq!(read(&mut store, 1, "", 9, usize::MAX).await, expected);
}

#[tokio::test]
async fn what_is_compacted_or_yet_to_come_is_refused() {
    let (dir, mut store) = open_new().await;
    let ops = (0..4).map(|_| put("a", b"")).collect();
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, ops)]).await.unwrap();
    let after = |revision| history(Position::after(Revision(revision)), "", 9);
    let page = store.reader.history(after(4)).await.unwrap();
    assert_eq!((page.changes, page.through), (Vec::new(), Position::after(Revision(4))));
    assert!(matches!(
        store.reader.history(after(5)).await,
        Err(ReadError::Revision(RevisionError::Future {
            asked: Revision(5),
            present: Revision(4)
        }))
    ));
    store.writer.close().await.unwrap();
    drop_history(dir.path(), Revision(3), Slot(1)).await;
    let store = open_in(dir.path()).await;
    let extent = store.reader.extent().await.unwrap();
    assert_eq!(extent, Extent { present: Revision(4), oldest: Revision(3) });
    assert!(matches!(
        store.reader.history(after(2)).await,
        Err(ReadError::Revision(RevisionError::Compacted {
            asked: Revision(2),
            oldest: Revision(3)
        }))
    ));
    assert_eq!(store.reader.history(after(3)).await.unwrap().changes.len(), 1);
}
