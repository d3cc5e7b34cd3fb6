//! History that is dropped: at the revision and after it everything can be read as before,
//! and nothing before it, however far it is swept; and nobody waits for that.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;
use tokio::runtime::Runtime;

use super::ranges::{Versions, add_versions, any_op, but_for_roll_backs_after_the_first};
use super::ranges::{hold, written};
use super::*;
use crate::machine::execute::{CommandOutcome, Run, SlotOutcome};
use crate::machine::state::ReplicatedState;
use crate::snapshot::make;

pub(super) fn compact(below: u64) -> Op {
    Op::Compact { below: Revision(below) }
}

/// A batch, and how often is swept after it.
pub(super) fn any_steps() -> impl Strategy<Value = Vec<(Vec<Op>, usize)>> {
    let op = prop_oneof![4 => any_op(), 1 => (0..24_u64).prop_map(compact)];
    let ops = vec(op, 1..6).prop_map(but_for_roll_backs_after_the_first);
    vec((ops, 0..4_usize), 1..12)
}

/// What is left of all versions once it is swept: of the revisions up to `below` those that
/// are what the keys were at it.
fn left_of(versions: &Versions, below: u64) -> Versions {
    let is_left = |((key, revision), (_, _, value)): &(&(String, u64), &(u64, u64, Option<_>))| {
        let is_later = |(of, at): &(String, u64)| of == key && (*revision + 1..=below).contains(at);
        *revision > below || value.is_some() && !versions.keys().any(is_later)
    };
    versions.iter().filter(is_left).map(|(key, row)| (key.clone(), row.clone())).collect()
}

/// Nothing can be read of what is before the oldest revision.
async fn hold_refused(store: &Store, oldest: u64) {
    let is_refused = |error: ReadError| {
        matches!(error, ReadError::Revision(RevisionError::Compacted { oldest: of, .. })
            if of.0 == oldest)
    };
    for at in (0..oldest).map(Revision) {
        assert!(is_refused(store.reader.point(key("a"), Some(at)).await.unwrap_err()));
        let query = ListQuery { at: Some(at), ..list_all() };
        assert!(is_refused(store.reader.list(query, soon()).await.unwrap_err()));
        let (from, below) = (Bytes::new(), above_prefix(b""));
        let query = HistoryQuery { after: Position::after(at), from, below, page: PAGE };
        assert!(is_refused(store.reader.history(query).await.unwrap_err()));
    }
}

/// The log is whole from where it begins on, and what is before that is refused.
async fn hold_log(store: &Store, entries: &[ChosenEntry]) {
    let query = |from| LogQuery { from, page: PageLimits { items: 1_000, bytes: 1 << 20 } };
    let from = match store.reader.log(query(Slot(0))).await {
        Err(ReadError::Trimmed { oldest, .. }) => oldest,
        page => {
            page.unwrap();
            Slot(0)
        }
    };
    let rows = store.reader.log(query(from)).await.unwrap().rows;
    let found: Vec<_> = rows.iter().map(|row| (row.slot, row.value.clone())).collect();
    let kept = entries.iter().filter(|entry| entry.slot >= from);
    assert_eq!(found, kept.map(|entry| (entry.slot, entry.value.clone())).collect::<Vec<_>>());
}

pub(super) async fn sweep(writer: &mut Writer) -> bool {
    if writer.is_compacting() {
        writer.compact().await.unwrap();
    } else if writer.is_sweeping() {
        writer.sweep().await.unwrap();
    } else {
        return false;
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_can_be_read_does_not_depend_on_how_far_history_is_swept(
        steps in any_steps(),
        at_once in 1..5_usize,
        reopened in any::<bool>(),
    ) {
        Runtime::new().unwrap().block_on(async {
            let (dir, mut store) = open_new().await;
            let mut reference = ReplicatedState::complete();
            let (mut versions, mut entries) = (Versions::new(), vec![view(0, 1)]);
            execute_and_store(&mut store.writer, entries.clone()).await.unwrap();
            drop(Run::new(entries.clone()).apply(&mut reference));
            for (number, (ops, sweeps)) in (0..).zip(steps) {
                let next = batch(number + 1, number, ops);
                let expected = Run::new(vec![next.clone()]).apply(&mut reference);
                add_versions(&mut versions, &reference.take_rows().keys);
                let report = execute_and_store(&mut store.writer, vec![next.clone()]).await.unwrap();
                entries.push(next);
                prop_assert_eq!(&report.meta, reference.meta());
                prop_assert_eq!(&report.slots, &expected.slots);
                store.writer.sweep_at_once(at_once);
                store.writer.compact_at_once(at_once);
                for _ in 0..sweeps {
                    sweep(&mut store.writer).await;
                }
                let (oldest, revision) = (report.meta.compacted_below.0, report.meta.revision.0);
                hold_refused(&store, oldest).await;
                hold(&store, &versions, oldest, revision).await;
                hold_log(&store, &entries).await;
                if reopened {
                    // With all checks of a start.
                    store.writer.close().await.unwrap();
                    store = open_in(dir.path()).await;
                }
            }
            while sweep(&mut store.writer).await {}
            let below = reference.meta().compacted_below.0;
            prop_assert_eq!(written(dir.path()).await, left_of(&versions, below));
            hold(&store, &versions, below, reference.meta().revision.0).await;
            store.writer.close().await.unwrap();
            open_in(dir.path()).await;
            Ok(())
        })?;
    }
}

/// A state in which each of a few keys was overwritten many times.
async fn overwritten(times: u64) -> (TempDir, Store) {
    let (dir, mut store) = open_new().await;
    execute_and_store(&mut store.writer, vec![view(0, 1)]).await.unwrap();
    for number in 0..times {
        let ops = (0..50).map(|key| put(&format!("k{key}"), &[b'v'; 100])).collect();
        execute_and_store(&mut store.writer, vec![batch(number + 1, number, ops)]).await.unwrap();
    }
    (dir, store)
}

#[tokio::test]
async fn what_is_executed_writes_nothing_of_what_is_dropped_and_a_step_is_bounded() {
    let (_dir, mut store) = overwritten(40).await;
    let before = store.writer.rows_written().await;
    execute_and_store(&mut store.writer, vec![batch(41, 40, vec![compact(2_000)])]).await.unwrap();
    assert!(store.writer.rows_written().await - before <= 3, "a slot, and meta");
    assert_eq!(store.writer.unswept().revisions, 2_000);
    let mut steps = 0;
    while store.writer.is_compacting() {
        let before = store.writer.rows_written().await;
        store.writer.compact().await.unwrap();
        assert!(store.writer.rows_written().await - before <= 257);
        steps += 1;
    }
    // The slots, and the versions a step each 256.
    assert_eq!((steps, store.writer.unswept().revisions), (9, 0));
    let page = store.reader.list(list_all(), soon()).await.unwrap();
    assert_eq!(page.items.len(), 50);
}

#[tokio::test]
async fn a_step_takes_long_values_away_a_few_at_a_time() {
    let (dir, mut store) = open_new().await;
    execute_and_store(&mut store.writer, vec![view(0, 1)]).await.unwrap();
    let long = vec![7; 200 << 10];
    for number in 0..10 {
        let next = batch(number + 1, number, vec![put("a", &long)]);
        execute_and_store(&mut store.writer, vec![next]).await.unwrap();
    }
    execute_and_store(&mut store.writer, vec![batch(11, 10, vec![compact(10)])]).await.unwrap();
    while store.writer.is_compacting() {
        let before = written(dir.path()).await.len();
        store.writer.compact().await.unwrap();
        assert!(before - written(dir.path()).await.len() <= 2);
    }
    assert_eq!(written(dir.path()).await.len(), 1);
}

#[tokio::test]
async fn a_slot_goes_that_leaves_out_what_is_swept_and_no_other() {
    let long = |byte: u8| put("a", &[byte; 100]);
    for (slots, first) in
        [(vec![vec![long(1), long(2)]], 2), (vec![vec![long(1)], vec![long(2)]], 2)]
    {
        let (dir, mut store) = open_new().await;
        let mut entries = vec![view(0, 1)];
        for ops in slots.into_iter().chain([vec![compact(2)]]) {
            let slot = entries.len() as u64;
            entries.push(batch(slot, slot - 1, ops));
        }
        execute_and_store(&mut store.writer, entries.clone()).await.unwrap();
        while sweep(&mut store.writer).await {}
        assert_eq!(written(dir.path()).await.len(), 1);
        let page = PageLimits { items: 9, bytes: 1 << 20 };
        let query = |from| LogQuery { from: Slot(from), page };
        let refused = store.reader.log(query(first - 1)).await.unwrap_err();
        assert!(matches!(refused, ReadError::Trimmed { oldest, .. } if oldest.0 == first));
        hold_log(&store, &entries).await;
        store.writer.close().await.unwrap();
        assert_eq!(audit(dir.path()).await.unwrap().unwrap().faults, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_compaction_goes_no_further_than_the_state_and_never_back() {
    let (_dir, mut store) = open_new().await;
    let outcomes = |report: ExecutionReport| -> Vec<CommandOutcome> {
        let SlotOutcome::Batch { commands, .. } = &report.slots[report.slots.len() - 1].outcome
        else {
            panic!("{report:?}")
        };
        commands.iter().map(|command| command.outcome.clone()).collect()
    };
    let ops = vec![put("a", b"1"), compact(2), put("a", b"2"), compact(2), compact(1)];
    let entries = vec![view(0, 1), batch(1, 0, ops)];
    let found = outcomes(execute_and_store(&mut store.writer, entries).await.unwrap());
    let ahead = CommandOutcome::CompactionAhead { revision: Revision(1), asked: Revision(2) };
    let compacted = CommandOutcome::Compacted { revision: Revision(2), below: Revision(2) };
    assert_eq!(found[1], ahead);
    assert_eq!(found[3..], [compacted.clone(), compacted]);
    let meta = store.writer.meta();
    assert_eq!((meta.revision, meta.compacted_below), (Revision(2), Revision(2)), "none is used");
}

#[tokio::test]
async fn a_snapshot_that_is_made_while_history_is_swept_is_restored_and_gone_on_with() {
    let (dir, mut store) = overwritten(20).await;
    store.writer.join(ClusterId(7), Slot(0)).await.unwrap();
    execute_and_store(&mut store.writer, vec![batch(21, 20, vec![compact(900)])]).await.unwrap();
    store.writer.compact_at_once(100);
    for number in 0..4 {
        store.writer.compact().await.unwrap();
        let file = dir.path().join(format!("{number}.snapshot"));
        make(&dir.path().join(FILE), &name(), &file).unwrap();
        crate::snapshot::file::check(&file).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let meta = restore(&file, folder.path(), &name()).await.unwrap();
        assert_eq!(meta.compacted_below, Revision(900));
        let mut restored = open_in(folder.path()).await;
        while restored.writer.is_compacting() {
            restored.writer.compact().await.unwrap();
        }
        // Of the last hundred revisions all, and what the keys were before.
        assert_eq!(written(folder.path()).await.len(), 150);
        hold_refused(&restored, 900).await;
        restored.writer.close().await.unwrap();
        assert_eq!(audit(folder.path()).await.unwrap().unwrap().faults, Vec::<String>::new());
    }
    while store.writer.is_compacting() {
        store.writer.compact().await.unwrap();
    }
    store.writer.close().await.unwrap();
    assert_eq!(inspect(dir.path(), &name()).await.unwrap().unwrap().versions, 150);
    assert_eq!(audit(dir.path()).await.unwrap().unwrap().faults, Vec::<String>::new());
    assert_eq!(execute_again(dir.path()).await.unwrap(), None, "the log's beginning is gone");
}

#[tokio::test]
async fn the_view_of_history_shows_what_is_kept_however_far_it_is_swept() {
    let (dir, mut store) = open_new().await;
    let ops = vec![put("a", b"1"), put("b", b"2"), put("a", b"3"), delete("b"), put("a", b"5")];
    let entries = vec![view(0, 1), batch(1, 0, ops), batch(2, 1, vec![compact(3)])];
    execute_and_store(&mut store.writer, entries).await.unwrap();
    store.writer.compact_at_once(1);
    loop {
        let rows = sql::rows(dir.path(), "SELECT revision, key, change FROM history");
        assert_eq!(rows, json!([[4, "b", "delete"], [5, "a", "put"]]));
        if !store.writer.is_compacting() {
            break;
        }
        store.writer.compact().await.unwrap();
    }
    let slots = sql::rows(dir.path(), "SELECT slot FROM log");
    assert_eq!(slots, json!([[2]]));
}

#[tokio::test]
async fn log_that_is_forgotten_is_refused_and_swept_in_steps_and_what_it_wrote_is_there() {
    const SLOTS: u64 = 600;
    let (dir, mut store) = open_new().await;
    let batches = (1..SLOTS).map(|slot| batch(slot, slot - 1, vec![put("k", &slot.to_le_bytes())]));
    let entries: Vec<_> = std::iter::once(view(0, 1)).chain(batches).collect();
    execute_and_store(&mut store.writer, entries.clone()).await.unwrap();
    store.writer.forget_log(Slot(550)).await.unwrap();
    hold_log(&store, &entries).await;
    let mut steps = 0;
    while store.writer.is_compacting() {
        store.writer.compact().await.unwrap();
        steps += 1;
    }
    assert!(steps >= 550 / 256, "in {steps} steps");
    hold_log(&store, &entries).await;
    let query = |from| LogQuery { from, page: PageLimits { items: 1_000, bytes: 1 << 20 } };
    let refused = store.reader.log(query(Slot(549))).await.unwrap_err();
    assert!(matches!(refused, ReadError::Trimmed { oldest: Slot(550), .. }), "{refused}");
    assert_eq!(store.reader.log(query(Slot(550))).await.unwrap().rows.len(), 50);
    for revision in [1, 300, 599] {
        let value = value_at(&store, "k", Some(revision)).await.unwrap();
        assert_eq!(value, revision.to_le_bytes().as_slice(), "history is another thing");
    }

    // The last slot stays, and less is never there again.
    for below in [SLOTS + 1_000, 3] {
        store.writer.forget_log(Slot(below)).await.unwrap();
    }
    assert_eq!(store.reader.log(query(Slot(599))).await.unwrap().rows.len(), 1);
    store.writer.close().await.unwrap();
    let mut store = open_in(dir.path()).await;
    let dropped = batch(SLOTS, SLOTS - 1, vec![compact(400), put("k", b"last")]);
    execute_and_store(&mut store.writer, vec![dropped]).await.unwrap();
    while store.writer.is_compacting() {
        store.writer.compact().await.unwrap();
    }
    assert_eq!(value_at(&store, "k", None).await.unwrap(), "last");
    store.writer.close().await.unwrap();
    open_in(dir.path()).await;
}
