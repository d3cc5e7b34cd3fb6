//! The store on a real file.

mod access;
mod answers;
mod authors;
mod compaction;
mod copying;
mod damage;
mod digest;
mod durable;
mod format;
mod history;
mod installing;
mod left_out;
mod ranges;
mod rollback;
mod snapshot;
mod sql;
mod storing;
mod txn;
mod weighing;

pub(crate) use self::format::drop_history;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use shared::deadline::Deadline;
use shared::ids::{
    Ballot, BatchNumber, ClusterId, CoordinatorId, Epoch, Instance, LogFormat, Name, Revision, Slot,
};
use shared::message::{Batch, ChosenEntry, Value, View};
use shared::page::PageLimits;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tempfile::TempDir;

use super::*;
use crate::machine::command::{AnswerRetention, Command, Commands, Condition, Op};
use crate::machine::format::HIGHEST;
use crate::machine::identity::RequestIdentity;
use crate::machine::outcome::ExecutionReport;
use crate::machine::state::Meta;

fn name() -> Name {
    "replica-1".parse().unwrap()
}

async fn open_in(dir: &Path) -> Store {
    open(dir, &name(), 2).await.unwrap()
}

async fn open_new() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = open_in(dir.path()).await;
    (dir, store)
}

/// Executes entries, and stores what they come to.
async fn execute_and_store(
    writer: &mut Writer,
    entries: Vec<ChosenEntry>,
) -> Result<ExecutionReport, StoreError> {
    let report = writer.execute(entries).await?;
    writer.store().await?;
    Ok(report)
}

fn entry(slot: u64, value: &Value) -> ChosenEntry {
    ChosenEntry {
        slot: Slot(slot),
        ballot: Ballot { round: 3, coordinator: CoordinatorId(u64::MAX) },
        value: value.encode(),
    }
}

fn view(slot: u64, epoch: u64) -> ChosenEntry {
    view_in(slot, epoch, HIGHEST)
}

fn view_in(slot: u64, epoch: u64, format: LogFormat) -> ChosenEntry {
    let view = View {
        epoch: Epoch(epoch),
        primary: name(),
        primary_instance: Instance(1),
        backups: Vec::new(),
        format,
    };
    entry(slot, &Value::View(view))
}

fn batch(slot: u64, number: u64, ops: Vec<Op>) -> ChosenEntry {
    let commands = ops
        .into_iter()
        .map(|op| Command { op, trace: None, request: RequestIdentity::Drawn([1; 16]) })
        .collect();
    let commands = Commands {
        time_ms: 1_000 + slot,
        wall_ms: 0,
        trace: None,
        answers: AnswerRetention::default(),
        commands,
        executed: None,
    };
    let (format, commands) = (commands.format(), commands.encode());
    let batch = Batch { epoch: Epoch(1), number: BatchNumber(number), commands };
    ChosenEntry { value: Value::Batch(batch).encode_in(format), ..entry(slot, &Value::Noop) }
}

fn put(key: &str, value: &[u8]) -> Op {
    let (value, content_type) = (Bytes::copy_from_slice(value), Some("text/plain".to_owned()));
    Op::Put { key: key.to_owned(), value, content_type, condition: Condition::Always }
}

fn delete(key: &str) -> Op {
    Op::Delete { key: key.to_owned(), condition: Condition::Always }
}

fn key(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn value_at(store: &Store, of: &str, at: Option<u64>) -> Option<Bytes> {
    store.reader.point(key(of), at.map(Revision)).await.unwrap().item.map(|item| item.value)
}

const PAGE: PageLimits = PageLimits { items: 1_000, bytes: 1 << 20 };

fn list_all() -> ListQuery {
    ListQuery {
        from: Bytes::new(),
        below: above_prefix(b""),
        at: None,
        order: Order::Ascending,
        show: Show::Values,
        page: PAGE,
    }
}

/// Long enough for whatever a test asks for.
fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

fn keys_of(page: &ListPage) -> Vec<&str> {
    page.items.iter().map(|item| std::str::from_utf8(&item.key).unwrap()).collect()
}

#[tokio::test]
async fn what_is_executed_is_read_with_the_revision_of_its_state() {
    let (_dir, mut store) = open_new().await;
    let report = execute_and_store(
        &mut store.writer,
        vec![view(0, 1), batch(1, 0, vec![put("a", b"1"), put("b", b""), put("a", b"2")])],
    )
    .await
    .unwrap();
    assert_eq!(report.meta.revision, Revision(3));
    let point = store.reader.point(key("a"), None).await.unwrap();
    let expected = Item {
        key: key("a"),
        value: Bytes::from_static(b"2"),
        content_type: Some("text/plain".into()),
        revision: Revision(3),
        created_revision: Revision(1),
        version: 2,
        lease: None,
    };
    assert_eq!((point.item, point.revision), (Some(expected), Revision(3)));
    assert_eq!(value_at(&store, "b", None).await.unwrap(), "");
    assert_eq!(value_at(&store, "c", None).await, None);
}

#[tokio::test]
async fn every_revision_can_be_read_and_the_future_cannot() {
    let (_dir, mut store) = open_new().await;
    execute_and_store(
        &mut store.writer,
        vec![view(0, 1), batch(1, 0, vec![put("a", b"1"), delete("a"), put("a", b"3")])],
    )
    .await
    .unwrap();
    for (at, expected) in [(0, None), (1, Some("1")), (2, None), (3, Some("3"))] {
        assert_eq!(value_at(&store, "a", Some(at)).await, expected.map(key), "at revision {at}");
    }
    let refused = store.reader.point(key("a"), Some(Revision(4))).await.unwrap_err();
    assert!(
        matches!(
            refused,
            ReadError::Revision(RevisionError::Future { asked: Revision(4), present: Revision(3) })
        ),
        "{refused}"
    );
    let refused = store
        .reader
        .list(ListQuery { at: Some(Revision(4)), ..list_all() }, soon())
        .await
        .unwrap_err();
    assert!(
        matches!(
            refused,
            ReadError::Revision(RevisionError::Future { asked: Revision(4), present: Revision(3) })
        ),
        "{refused}"
    );
}

#[tokio::test]
async fn reads_that_wait_together_are_each_answered_for_their_own_key() {
    let (_dir, mut store) = open_new().await;
    let ops = (0..100).map(|n| put(&format!("k{n}"), format!("v{n}").as_bytes())).collect();
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, ops)]).await.unwrap();
    let reads = (0..200).map(|n| {
        let reader = store.reader.clone();
        async move {
            reader.point(key(&format!("k{n}")), None).await.unwrap().item.map(|item| item.value)
        }
    });
    let found = futures::future::join_all(reads).await;
    for (n, value) in found.into_iter().enumerate() {
        assert_eq!(value, (n < 100).then(|| key(&format!("v{n}"))), "k{n}");
    }
}

#[tokio::test]
async fn who_closes_the_state_after_its_readers_leaves_no_wal_behind() {
    let (dir, mut store) = open_new().await;
    let ops = vec![put("a", b"1")];
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, ops)]).await.unwrap();
    assert_eq!(value_at(&store, "a", None).await.unwrap(), "1");
    assert_eq!(store.reader.list(list_all(), soon()).await.unwrap().items.len(), 1);
    assert!(dir.path().join("state.sqlite-wal").exists());
    drop(store.reader);
    store.readers.wait().await;
    store.writer.close().await.unwrap();
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(left, [FILE]);
}

#[tokio::test]
async fn a_listing_runs_both_ways_within_its_bounds_and_skips_what_is_deleted() {
    let (_dir, mut store) = open_new().await;
    let ops = vec![
        put("a", b"1"),
        put("b/1", b"22"),
        put("b/2", b"3"),
        put("b/3", b"4"),
        put("ä", b"5"),
        delete("b/2"),
    ];
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, ops)]).await.unwrap();
    let page = store.reader.list(list_all(), soon()).await.unwrap();
    assert_eq!((keys_of(&page), page.more_after.clone()), (vec!["a", "b/1", "b/3", "ä"], None));
    let bounded =
        ListQuery { from: key("b"), below: key("b/3"), order: Order::Descending, ..list_all() };
    assert_eq!(keys_of(&store.reader.list(bounded, soon()).await.unwrap()), ["b/1"]);
    let before = ListQuery {
        at: Some(Revision(5)),
        order: Order::Descending,
        show: Show::KeysOnly,
        ..list_all()
    };
    let page = store.reader.list(before, soon()).await.unwrap();
    assert_eq!((keys_of(&page), page.at), (vec!["ä", "b/3", "b/2", "b/1", "a"], Revision(5)));
    assert!(page.items.iter().all(|item| item.value.is_empty()));
}

#[tokio::test]
async fn a_page_ends_at_its_limit_or_its_bytes_and_says_where_to_go_on() {
    let (_dir, mut store) = open_new().await;
    let ops = (0..10).map(|n| put(&format!("k{n}"), &[b'x'; 100])).collect();
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, ops)]).await.unwrap();
    let page = store
        .reader
        .list(ListQuery { page: PageLimits { items: 3, ..PAGE }, ..list_all() }, soon())
        .await
        .unwrap();
    assert_eq!(
        (keys_of(&page), page.more_after.clone()),
        (vec!["k0", "k1", "k2"], Some(key("k2")))
    );
    let page = store
        .reader
        .list(ListQuery { page: PageLimits { items: 10, ..PAGE }, ..list_all() }, soon())
        .await
        .unwrap();
    assert_eq!((page.items.len(), page.more_after), (10, None));
    let page = store
        .reader
        .list(ListQuery { page: PageLimits { bytes: 250, ..PAGE }, ..list_all() }, soon())
        .await
        .unwrap();
    assert_eq!((keys_of(&page), page.more_after.clone()), (vec!["k0", "k1"], Some(key("k1"))));
    let page = store
        .reader
        .list(
            ListQuery {
                page: PageLimits { bytes: 1, ..PAGE },
                order: Order::Descending,
                ..list_all()
            },
            soon(),
        )
        .await
        .unwrap();
    assert_eq!((keys_of(&page), page.more_after.clone()), (vec!["k9"], Some(key("k9"))));
}

/// So many that one statement does not get past them: of keys that are deleted, that are
/// deleted and to be swept, and at a revision.
#[tokio::test]
async fn a_page_goes_on_past_deleted_keys_until_there_is_something_to_show() {
    let (_dir, mut store) = open_new().await;
    let mut entries = vec![view(0, 1)];
    for n in 0..20_u64 {
        let ops = (0..1_000).map(|k| put(&format!("k{n:02}{k:03}"), b"")).collect();
        entries.push(batch(n + 1, n, ops));
    }
    let last = vec![put("a", b""), Op::DeletePrefix { prefix: "k".into() }, put("z", b"last")];
    entries.push(batch(21, 20, last));
    execute_and_store(&mut store.writer, entries).await.unwrap();
    let of_k = |order| ListQuery { from: key("k"), order, ..list_all() };
    for swept in [false, true] {
        while swept && store.writer.unswept().prefixes > 0 {
            store.writer.sweep().await.unwrap();
        }
        let page = store.reader.list(of_k(Order::Ascending), soon()).await.unwrap();
        assert_eq!((keys_of(&page), page.more_after.clone()), (vec!["z"], None));
        let down = ListQuery { below: key("l"), from: Bytes::new(), ..of_k(Order::Descending) };
        let page = store.reader.list(down, soon()).await.unwrap();
        assert_eq!((keys_of(&page), page.more_after.clone()), (vec!["a"], None));
    }
    execute_and_store(&mut store.writer, vec![batch(22, 21, vec![put("b", b"")])]).await.unwrap();
    let past = ListQuery { at: Some(Revision(20_003)), ..of_k(Order::Ascending) };
    let page = store.reader.list(past.clone(), soon()).await.unwrap();
    assert_eq!((keys_of(&page), page.more_after.clone()), (vec!["z"], None));
    let page = store.reader.list(past, Deadline::after(Duration::ZERO)).await.unwrap();
    assert!(page.items.is_empty() && page.more_after.is_some(), "the deadline ends it: {page:?}");
}

#[tokio::test]
async fn the_log_is_read_in_order_with_its_hashes() {
    let (_dir, mut store) = open_new().await;
    let entries = vec![
        view(0, 1),
        entry(1, &Value::Noop),
        batch(2, 0, vec![put("a", b"1")]),
        entry(3, &Value::Noop),
    ];
    let report = execute_and_store(&mut store.writer, entries.clone()).await.unwrap();
    let query = LogQuery { from: Slot(1), page: PageLimits { items: 2, bytes: 1 << 20 } };
    let page = store.reader.log(query).await.unwrap();
    assert_eq!((page.executed_below, page.revision), (Slot(4), Revision(1)));
    let hash = |slot: usize| report.slots[slot].hash.0;
    let row = |slot: usize| LogRow {
        slot: Slot(slot as u64),
        ballot: entries[slot].ballot,
        value: entries[slot].value.clone(),
        revision: report.slots[slot].revision,
        hash: hash(slot),
        previous_hash: hash(slot - 1),
    };
    assert_eq!(page.rows, [row(1), row(2)]);
    let first = store
        .reader
        .log(LogQuery { from: Slot(0), page: PageLimits { bytes: 1, ..query.page } })
        .await
        .unwrap();
    assert_eq!((first.rows.len(), first.rows[0].previous_hash), (1, [0; 32]));
    assert!(store.reader.log(LogQuery { from: Slot(4), ..query }).await.unwrap().rows.is_empty());
}

#[tokio::test]
async fn a_state_that_is_opened_again_goes_on_where_it_was() {
    let (dir, mut store) = open_new().await;
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, vec![put("a", b"1")])])
        .await
        .unwrap();
    store.writer.join(ClusterId(7), Slot(0)).await.unwrap();
    let meta = store.writer.meta().clone();
    assert!(!store.writer.is_durable());
    assert!(matches!(store.writer.checkpoint().await.unwrap(), Copied::All { .. }));
    assert!(store.writer.is_durable());
    drop(store);
    let mut store = open_in(dir.path()).await;
    assert_eq!(
        (store.writer.meta(), store.cluster, store.writer.is_durable()),
        (&meta, Some(ClusterId(7)), true)
    );
    execute_and_store(&mut store.writer, vec![batch(2, 1, vec![put("a", b"2")])]).await.unwrap();
    assert_eq!(value_at(&store, "a", None).await.unwrap(), "2");
    store.writer.close().await.unwrap();
    assert_eq!(
        open_in(dir.path()).await.cluster,
        Some(ClusterId(7)),
        "executing does not forget whose state it is"
    );
}
