//! Roll-backs on a real file: what they may look at and write, and how long that takes.

use super::*;
use crate::machine::command::limits;
use crate::machine::execute::{CommandOutcome, RollbackRefused, SlotOutcome};
use crate::machine::txn::result::TxnResult;
use crate::machine::txn::{Txn, TxnOp};

fn rollback(prefix: &str, to: u64) -> Op {
    Op::Rollback { prefix: prefix.to_owned(), revision: Revision(to) }
}

/// A store, and how many batches it has executed.
struct Executing {
    store: Store,
    batches: u64,
    _dir: TempDir,
}

impl Executing {
    async fn begin() -> Self {
        let (dir, mut store) = open_new().await;
        execute_and_store(&mut store.writer, vec![view(0, 1)]).await.unwrap();
        Self { store, batches: 0, _dir: dir }
    }

    /// What came of the last of these, executed in one run, each in a batch of its own.
    async fn execute_each(&mut self, ops: Vec<Op>) -> CommandOutcome {
        let entries = ops.into_iter().map(|op| self.entry(vec![op])).collect();
        self.execute(entries).await
    }

    fn entry(&mut self, ops: Vec<Op>) -> ChosenEntry {
        self.batches += 1;
        batch(self.batches, self.batches - 1, ops)
    }

    async fn execute(&mut self, entries: Vec<ChosenEntry>) -> CommandOutcome {
        let report = execute_and_store(&mut self.store.writer, entries).await.unwrap();
        match report.slots.into_iter().next_back().unwrap().outcome {
            SlotOutcome::Batch { commands, .. } => {
                commands.into_iter().next_back().unwrap().outcome
            }
            other @ (SlotOutcome::Noop | SlotOutcome::View(_) | SlotOutcome::Void(_)) => {
                panic!("{other:?}")
            }
        }
    }

    /// So many keys with a prefix, each put once.
    async fn fill(&mut self, prefix: &str, keys: usize) {
        for from in (0..keys).step_by(1_000) {
            let ops = (from..keys.min(from + 1_000)).map(|n| put(&format!("{prefix}{n:06}"), b"v"));
            let entry = self.entry(ops.collect());
            self.execute(vec![entry]).await;
        }
    }

    async fn keys(&self) -> Vec<String> {
        let page = self.store.reader.list(list_all(), soon()).await.unwrap();
        keys_of(&page).into_iter().map(str::to_owned).collect()
    }
}

fn rolled_back(revision: u64, restored: u64, deleted: u64) -> CommandOutcome {
    CommandOutcome::RolledBack { revision: Revision(revision), restored, deleted }
}

fn refused(revision: u64, why: RollbackRefused) -> CommandOutcome {
    CommandOutcome::RollbackRefused { revision: Revision(revision), why }
}

#[tokio::test]
async fn what_a_prefix_was_it_is_again_at_one_revision() {
    let mut it = Executing::begin().await;
    it.execute_each(vec![put("a/1", b"one"), put("a/2", b"two"), put("b", b"")]).await;
    let since = vec![put("a/1", b"uno"), delete("a/2"), put("a/3", b"tres"), put("b", b"x")];
    it.execute_each(since).await;
    assert_eq!(it.execute_each(vec![rollback("a/", 3)]).await, rolled_back(8, 2, 1));
    assert_eq!(it.keys().await, ["a/1", "a/2", "b"]);
    let item = it.store.reader.point(key("a/1"), None).await.unwrap().item.unwrap();
    assert_eq!((&*item.value, item.revision), (&b"one"[..], Revision(8)));
    assert_eq!((item.created_revision, item.version), (Revision(1), 3), "a write as any other");
    let item = it.store.reader.point(key("a/2"), None).await.unwrap().item.unwrap();
    assert_eq!((&*item.value, item.created_revision, item.version), (&b"two"[..], Revision(8), 1));
    assert_eq!(item.content_type.as_deref(), Some("text/plain"));
    assert_eq!(value_at(&it.store, "a/1", Some(7)).await.unwrap(), "uno");
    assert_eq!(value_at(&it.store, "b", None).await.unwrap(), "x", "another prefix");
    assert_eq!(it.execute_each(vec![rollback("a/", 8)]).await, rolled_back(9, 0, 0));
    let item = it.store.reader.point(key("a/1"), None).await.unwrap().item.unwrap();
    assert_eq!(item.revision, Revision(8), "what is as it was is not touched");
}

#[tokio::test]
async fn a_roll_back_sees_what_its_own_run_has_done_and_is_seen_by_what_follows() {
    let mut it = Executing::begin().await;
    let undo = vec![put("a", b"1"), put("b", b"2"), delete("a"), rollback("", 2)];
    assert_eq!(it.execute_each(undo).await, rolled_back(4, 1, 0));
    let ops = vec![
        Op::DeletePrefix { prefix: String::new() },
        rollback("", 4),
        put("a", b"3"),
        rollback("", 6),
        put("b", b"4"),
    ];
    let outcome = it.execute_each(ops).await;
    let created = Revision(6);
    let expected =
        CommandOutcome::Replaced { revision: Revision(9), created_revision: created, version: 2 };
    assert_eq!(outcome, expected);
    assert_eq!(value_at(&it.store, "a", None).await.unwrap(), "1");
    assert_eq!(value_at(&it.store, "a", Some(7)).await.unwrap(), "3");
    assert_eq!(
        it.execute_each(vec![rollback("", 10)]).await,
        refused(9, RollbackRefused::Future { asked: Revision(10) })
    );
}

#[tokio::test]
async fn what_follows_in_the_same_run_reads_what_a_roll_back_wrote_again() {
    let mut it = Executing::begin().await;
    it.execute_each(vec![put("a", b"one"), put("a", b"two")]).await;
    let get = Txn { then: vec![TxnOp::Get { key: "a".to_owned() }], ..Txn::default() };
    let outcome = it.execute_each(vec![rollback("a", 1), Op::Txn(Box::new(get))]).await;
    let CommandOutcome::Txn(outcome) = outcome else { panic!("{outcome:?}") };
    let [TxnResult::Got(Some(item))] = &outcome.results[..] else { panic!("{outcome:?}") };
    assert_eq!((&*item.value, item.revision), (&b"one"[..], Revision(3)));
}

#[tokio::test]
async fn a_roll_back_has_deletions_of_prefixes_swept_before() {
    let mut it = Executing::begin().await;
    it.fill("k", 2_000).await;
    it.execute_each(vec![Op::DeletePrefix { prefix: "k".into() }]).await;
    assert!(it.store.writer.unswept().prefixes > 0, "or nothing is shown");
    let ops = vec![Op::DeletePrefix { prefix: "k0".into() }, rollback("k", 2_000)];
    assert_eq!(it.execute_each(ops).await, rolled_back(2_003, 2_000, 0));
    assert_eq!((it.store.writer.unswept().prefixes, it.keys().await.len()), (0, 1_000));
}

#[tokio::test]
async fn contents_are_written_again_a_few_at_a_time() {
    let mut it = Executing::begin().await;
    let large = |byte: u8| vec![byte; 700 << 10];
    let keys = ["a", "b", "c", "d", "e"];
    it.execute_each(keys.iter().zip(1..).map(|(key, byte)| put(key, &large(byte))).collect()).await;
    it.execute_each(keys.map(delete).to_vec()).await;
    assert_eq!(it.execute_each(vec![rollback("", 5)]).await, rolled_back(11, 5, 0));
    for (key, byte) in keys.iter().zip(1..) {
        assert!(value_at(&it.store, key, None).await.unwrap() == large(byte), "{key}");
    }
    it.store.writer.close().await.unwrap();
    // With all checks of a start.
    open_in(it._dir.path()).await;
}

#[tokio::test]
async fn a_roll_back_looks_at_the_fewer_of_keys_and_changes_and_writes_so_much_at_most() {
    let mut it = Executing::begin().await;
    it.fill("k", limits::ROLLBACK_KEYS + 1).await;
    it.fill("few", 10).await;
    let revision = limits::ROLLBACK_KEYS as u64 + 11;
    let too_many = refused(revision, RollbackRefused::TooManyKeys);
    assert_eq!(it.execute_each(vec![rollback("k", 0)]).await, too_many);
    assert_eq!(it.execute_each(vec![rollback("f", 0)]).await, rolled_back(revision + 1, 0, 10));
    let few_changes = revision - 10;
    assert_eq!(
        it.execute_each(vec![rollback("k", few_changes)]).await,
        rolled_back(revision + 2, 0, 0)
    );
    let large = vec![1; limits::ROLLBACK_BYTES / 4];
    let ops = ["l1", "l2", "l3", "l4"];
    it.execute_each(ops.map(|key| put(key, &large)).to_vec()).await;
    it.execute_each(ops.map(delete).to_vec()).await;
    let written = revision + 6;
    assert_eq!(
        it.execute_each(vec![rollback("l", written)]).await,
        refused(revision + 10, RollbackRefused::TooLarge)
    );
    assert_eq!(
        it.execute_each(vec![rollback("l4", written)]).await,
        rolled_back(revision + 11, 1, 0)
    );
}

#[tokio::test]
async fn keys_that_are_dropped_are_not_counted_however_far_they_are_swept() {
    let mut it = Executing::begin().await;
    it.fill("k", limits::ROLLBACK_KEYS + 1).await;
    it.execute_each(vec![Op::DeletePrefix { prefix: "k".into() }]).await;
    let deleted = limits::ROLLBACK_KEYS as u64 + 2;
    it.fill("other", limits::ROLLBACK_KEYS + 1).await;
    let revision = 2 * limits::ROLLBACK_KEYS as u64 + 3;
    let too_many = refused(revision, RollbackRefused::TooManyKeys);
    assert_eq!(it.execute_each(vec![rollback("k", deleted)]).await, too_many);
    it.execute_each(vec![Op::Compact { below: Revision(deleted) }]).await;
    assert_eq!(
        it.execute_each(vec![rollback("k", deleted)]).await,
        rolled_back(revision + 1, 0, 0)
    );
    while it.store.writer.is_compacting() {
        it.store.writer.compact().await.unwrap();
    }
    assert_eq!(
        it.execute_each(vec![rollback("k", deleted)]).await,
        rolled_back(revision + 2, 0, 0)
    );
}

#[tokio::test]
async fn history_that_is_dropped_is_not_rolled_back_to() {
    let mut it = Executing::begin().await;
    it.execute_each(vec![put("a", b"1"), put("a", b"2"), put("a", b"3")]).await;
    it.store.writer.close().await.unwrap();
    drop_history(it._dir.path(), Revision(2), Slot(2)).await;
    it.store = open_in(it._dir.path()).await;
    let why = RollbackRefused::Compacted { asked: Revision(1), oldest: Revision(2) };
    assert_eq!(it.execute_each(vec![rollback("a", 1)]).await, refused(3, why));
    assert_eq!(it.execute_each(vec![rollback("a", 2)]).await, rolled_back(4, 1, 0));
}

#[tokio::test]
async fn a_roll_back_that_finds_the_disk_full_does_not_keep_the_wal_from_being_copied() {
    let mut it = Executing::begin().await;
    let old = vec![7; 100_000];
    it.execute_each(vec![put("a/1", &old), put("a/1", b"new")]).await;
    it.store.writer.fill().await;
    let entry = it.entry(vec![rollback("a/", 1)]);
    it.store.writer.execute(vec![entry]).await.unwrap();
    let error = it.store.writer.store().await.unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    it.store.writer.checkpoint().await.unwrap();
    assert_eq!(value_at(&it.store, "a/1", None).await.unwrap(), "new");
    it.store.writer.store().await.unwrap();
    assert_eq!(value_at(&it.store, "a/1", None).await.unwrap(), old);
}
