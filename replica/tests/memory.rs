//! How much memory executing takes, measured on the whole process: so there is one test.

use bytes::Bytes;
use peak_alloc::PeakAlloc;
use replica::machine::command::{AnswerRetention, Command, Commands, Condition, Op};
use replica::machine::format;
use replica::machine::identity::RequestIdentity;
use replica::store;
use shared::ids::{Ballot, BatchNumber, CoordinatorId, Epoch, Instance, Slot};
use shared::message::{Batch, ChosenEntry, Value, View};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

fn entry(slot: u64, value: &Value) -> ChosenEntry {
    let ballot = Ballot { round: 1, coordinator: CoordinatorId(1) };
    ChosenEntry { slot: Slot(slot), ballot, value: value.encode() }
}

fn batch(slot: u64, ops: impl Iterator<Item = Op>) -> ChosenEntry {
    let commands = ops
        .map(|op| Command { op, trace: None, request: RequestIdentity::Drawn([1; 16]) })
        .collect();
    let commands = Commands {
        time_ms: 0,
        wall_ms: 0,
        trace: None,
        answers: AnswerRetention::default(),
        commands,
        executed: None,
    }
    .encode();
    let batch = Batch { epoch: Epoch(1), number: BatchNumber(slot - 1), commands };
    entry(slot, &Value::Batch(batch))
}

fn put(key: String) -> Op {
    let value = Bytes::from_static(b"value");
    Op::Put { key, value, content_type: None, condition: Condition::Always }
}

#[tokio::test]
async fn executing_the_deletion_of_a_prefix_takes_no_memory_for_its_keys() {
    /// What a hundred bytes a key would exceed twice over.
    const MOST_BYTES: usize = 2 << 20;
    const BATCHES: u64 = 40;
    let dir = tempfile::tempdir().unwrap();
    let name = "replica-1".parse().unwrap();
    let view = View {
        epoch: Epoch(1),
        primary: "replica-1".parse().unwrap(),
        primary_instance: Instance(1),
        backups: Vec::new(),
        format: format::HIGHEST,
    };
    let keys = |n: u64| (0..1_000).map(move |k| put(format!("k/{n:03}/{k:03}")));
    let mut entries = vec![entry(0, &Value::View(view))];
    entries.extend((0..BATCHES).map(|n| batch(n + 1, keys(n))));
    store::execute(dir.path(), &name, entries).await.unwrap();
    let delete = batch(BATCHES + 1, std::iter::once(Op::DeletePrefix { prefix: "k/".into() }));
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let meta = store::execute(dir.path(), &name, vec![delete]).await.unwrap();
    let taken = HEAP.peak_usage().saturating_sub(before);
    assert_eq!(meta.executed_below, Slot(BATCHES + 2));
    assert!(taken <= MOST_BYTES, "{taken} bytes of memory for {BATCHES},000 keys");
}
