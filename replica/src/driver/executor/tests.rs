//! The executor on a real file.

mod pinning;
mod sweeping;

use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;

use super::*;
use crate::driver::checkpoints::WalStatus;
use crate::driver::pin::{Held, NotPinned};
use crate::store::{self, Store};
use bytes::Bytes;
use shared::ids::{Ballot, BatchNumber, CoordinatorId, Epoch, Instance, LeaseId, Revision, Slot};
use shared::message::{Batch, Service, Value, View};
use shared::metrics::Metrics;
use shared::page::PageLimits;

use crate::machine::access::{AccessOp, SecretHash};
use crate::machine::command::{AnswerRetention, Command, Commands, Condition, Op};
use crate::machine::format;
use crate::machine::identity::RequestIdentity;
use crate::machine::leases::LeaseOp;
use tokio::sync::{oneshot, watch};

struct Rig {
    dir: TempDir,
    jobs: mpsc::Sender<Job>,
    forget: watch::Sender<Slot>,
    pins: mpsc::Sender<Pin>,
    inputs: mpsc::Receiver<Input>,
    shutdown: CancellationToken,
    running: tokio::task::JoinHandle<Result<(), StoreError>>,
    wal: watch::Receiver<WalStatus>,
    metrics: Metrics,
    access: watch::Receiver<Arc<Access>>,
}

async fn opened() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = store::open(dir.path(), &"replica-1".parse().unwrap(), 1).await.unwrap();
    (dir, store)
}

fn start(dir: TempDir, store: Store) -> Rig {
    let Store { writer, checkpointer, .. } = store;
    let (status, wal) = watch::channel(WalStatus::default());
    let mut metrics = Metrics::new(Service::Replica, &"replica-1".parse().unwrap());
    let measured = Measured::register(&mut metrics);
    let checkpoints = Checkpoints::spawn(checkpointer, status, measured.clone());
    let (jobs, job_queue) = mpsc::channel(2);
    let (inputs, input_queue) = mpsc::channel(16);
    let (hurry, shutdown) = (Arc::default(), CancellationToken::new());
    let (forget, forget_log) = watch::channel(Slot(0));
    let (pins, pin_queue) = mpsc::channel(1);
    let orders = Orders { hurry, forget_log, pins: pin_queue, shutdown: shutdown.clone() };
    let (publish, access) = watch::channel(writer.access().unwrap().clone());
    let results = Results { inputs, access: publish };
    let running = tokio::spawn(run(writer, checkpoints, job_queue, results, orders, measured));
    Rig { dir, jobs, forget, pins, inputs: input_queue, shutdown, running, wal, metrics, access }
}

fn noop(slot: u64) -> Job {
    let ballot = Ballot { round: 1, coordinator: CoordinatorId(1) };
    Job::Execute(vec![ChosenEntry { slot: Slot(slot), ballot, value: Value::Noop.encode() }])
}

impl Rig {
    async fn next(&mut self) -> Input {
        timeout(Duration::from_secs(10), self.inputs.recv()).await.unwrap().unwrap()
    }

    async fn executed_below(&mut self) -> Slot {
        let next = self.next().await;
        let Input::Executed(report) = next else { panic!("{next:?}") };
        report.meta.executed_below
    }

    async fn stored_below(&mut self) -> Slot {
        let next = self.next().await;
        let Input::Stored(stored) = next else { panic!("{next:?}") };
        stored.executed_below
    }
}

#[tokio::test]
async fn what_is_executed_becomes_durable_by_itself() {
    let (dir, store) = opened().await;
    let mut rig = start(dir, store);
    rig.jobs.send(noop(0)).await.unwrap();
    rig.jobs.send(noop(1)).await.unwrap();
    assert_eq!((rig.executed_below().await, rig.executed_below().await), (Slot(1), Slot(2)));
    assert_eq!(rig.stored_below().await, Slot(2), "in one transaction");
    assert_eq!(rig.next().await, Input::Durable(Slot(2)));
}

#[tokio::test]
async fn whoever_copies_the_wal_has_let_go_of_it_before_the_one_who_writes_removes_it() {
    let (dir, store) = opened().await;
    let readers = store.readers.clone();
    let mut rig = start(dir, store);
    rig.jobs.send(noop(0)).await.unwrap();
    while rig.next().await != Input::Durable(Slot(1)) {}
    readers.wait().await;
    rig.shutdown.cancel();
    rig.running.await.unwrap().unwrap();
    let left = std::fs::read_dir(rig.dir.path()).unwrap().map(|file| file.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), [store::FILE]);
}

#[tokio::test]
async fn a_full_disk_is_said_waited_for_and_healed_from() {
    let (dir, mut store) = opened().await;
    store.writer.fill().await;
    let mut rig = start(dir, store);
    let ballot = Ballot { round: 1, coordinator: CoordinatorId(1) };
    // Larger than what is left in the pages that there are.
    let value = vec![0xff; 100_000].into();
    rig.jobs.send(Job::Execute(vec![ChosenEntry { slot: Slot(0), ballot, value }])).await.unwrap();
    assert_eq!(rig.executed_below().await, Slot(1));
    assert_eq!(rig.next().await, Input::Storage(Storage::Full));
    assert_eq!(rig.next().await, Input::Storage(Storage::Writable));
    assert_eq!(rig.stored_below().await, Slot(1));
}

#[tokio::test]
async fn what_cannot_be_written_ends_it_and_is_not_tried_again() {
    let (dir, store) = opened().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join(store::FILE));
    let mut other = options.connect().await.unwrap();
    sqlx::query("DROP TABLE log").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    let rig = start(dir, store);
    rig.jobs.send(noop(0)).await.unwrap();
    let ended = timeout(Duration::from_secs(10), rig.running).await.expect("it ends").unwrap();
    assert!(
        matches!(&ended, Err(StoreError::Failed(what)) if what.contains("no such table")),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_lock_of_another_process_is_waited_for() {
    let (dir, store) = opened().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join(store::FILE));
    let mut other = options.connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let mut rig = start(dir, store);
    rig.jobs.send(noop(0)).await.unwrap();
    assert_eq!(rig.executed_below().await, Slot(1));
    assert_eq!(rig.next().await, Input::Storage(Storage::Locked));
    assert!(
        timeout(Duration::from_secs(1), rig.inputs.recv()).await.is_err(),
        "nothing is stored meanwhile"
    );
    other.close().await.unwrap();
    assert_eq!(rig.next().await, Input::Storage(Storage::Writable));
    assert_eq!(rig.stored_below().await, Slot(1));
}

fn entry(slot: u64, value: &Value) -> ChosenEntry {
    let ballot = Ballot { round: 1, coordinator: CoordinatorId(1) };
    ChosenEntry { slot: Slot(slot), ballot, value: value.encode() }
}

fn batch(slot: u64, ops: impl Iterator<Item = Op>) -> ChosenEntry {
    let commands = ops
        .map(|op| Command { op, trace: None, request: RequestIdentity::Drawn([1; 16]) })
        .collect();
    let answers = AnswerRetention::default();
    let commands =
        Commands { time_ms: 0, wall_ms: 0, trace: None, answers, commands, executed: None };
    let (format, commands) = (commands.format(), commands.encode());
    let batch = Batch { epoch: Epoch(1), number: BatchNumber(slot - 1), commands };
    let value = Value::Batch(batch);
    ChosenEntry { value: value.encode_in(format), ..entry(slot, &value) }
}

/// The first one, with this replica as primary.
fn view() -> Value {
    Value::View(View {
        epoch: Epoch(1),
        primary: "replica-1".parse().unwrap(),
        primary_instance: Instance(1),
        backups: Vec::new(),
        format: format::HIGHEST,
    })
}

#[tokio::test]
async fn who_may_do_what_is_known_when_it_is_said_to_be_executed_and_told_where_it_is_news() {
    let (dir, store) = opened().await;
    let mut rig = start(dir, store);
    let mut next = async |job: Job| {
        rig.jobs.send(job).await.unwrap();
        while !matches!(rig.next().await, Input::Executed(_)) {}
        let is_news = rig.access.has_changed().unwrap();
        let access = rig.access.borrow_and_update().clone();
        (is_news, access.is_required(), access.meta().tokens)
    };
    let first = SecretHash::of(b"first");
    let bootstrap = Op::Access(AccessOp::Bootstrap { secret: first });
    let token = |secret: &[u8]| {
        let secret = SecretHash::of(secret);
        let (policies, ttl_ms, description) = (Vec::new(), None, String::new());
        let created = AccessOp::CreateToken { secret, policies, ttl_ms, description };
        Op::Access(created).attributed(Some(first.accessor()))
    };
    let put = Op::Append { value: Bytes::new(), content_type: None };
    let of = |slot, op: Op| Job::Execute(vec![batch(slot, std::iter::once(op))]);
    assert_eq!(next(Job::Execute(vec![entry(0, &view())])).await, (false, false, 0));
    assert_eq!(next(of(1, bootstrap)).await, (true, true, 1));
    assert_eq!(next(of(2, put)).await, (false, true, 1));
    assert_eq!(next(of(3, token(b"second"))).await, (true, true, 2));
}

#[tokio::test]
async fn the_end_makes_everything_durable() {
    let (dir, store) = opened().await;
    let mut rig = start(dir, store);
    rig.jobs.send(noop(0)).await.unwrap();
    assert_eq!(rig.executed_below().await, Slot(1));
    rig.shutdown.cancel();
    rig.running.await.unwrap().unwrap();
    let reopened = store::open(rig.dir.path(), &"replica-1".parse().unwrap(), 1).await.unwrap();
    assert_eq!(reopened.writer.meta().executed_below, Slot(1));
}

#[tokio::test]
async fn a_reader_holds_up_neither_executing_nor_durability_and_is_told_of() {
    let (dir, store) = opened().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join(store::FILE));
    let mut other = options.connect().await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT * FROM meta").execute(&mut other).await.unwrap();
    let mut rig = start(dir, store);
    for slot in 0..2 {
        rig.jobs.send(noop(slot)).await.unwrap();
        assert_eq!(rig.executed_below().await, Slot(slot + 1));
        assert_eq!(rig.stored_below().await, Slot(slot + 1));
        assert_eq!(rig.next().await, Input::Durable(Slot(slot + 1)));
    }
    let held_up = rig.wal.wait_for(|wal| wal.held_up_since.is_some());
    assert!(timeout(Duration::from_secs(10), held_up).await.unwrap().unwrap().bytes > 0);
    other.close().await.unwrap();
    let freed = rig.wal.wait_for(|wal| wal.held_up_since.is_none());
    timeout(Duration::from_secs(20), freed).await.expect("it is tried again").unwrap();
}

#[tokio::test]
async fn the_wal_takes_no_space_once_nothing_is_written() {
    let (dir, store) = opened().await;
    let mut rig = start(dir, store);
    let long =
        |slot| ChosenEntry { value: vec![0xff; 1 << 20].into(), ..entry(slot, &Value::Noop) };
    rig.jobs.send(Job::Execute(vec![long(0), long(1)])).await.unwrap();
    while rig.next().await != Input::Durable(Slot(2)) {}
    let wal = rig.dir.path().join("state.sqlite-wal");
    let is_cut = async {
        while std::fs::metadata(&wal).unwrap().len() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), is_cut).await.expect("its file is cut");
    rig.jobs.send(noop(2)).await.unwrap();
    while rig.next().await != Input::Durable(Slot(3)) {}
    assert!(std::fs::metadata(&wal).unwrap().len() > 0, "what is durable is in the WAL");
}

#[tokio::test]
async fn what_is_done_on_the_database_is_timed() {
    let (dir, store) = opened().await;
    let mut rig = start(dir, store);
    rig.jobs.send(noop(0)).await.unwrap();
    assert_eq!(rig.executed_below().await, Slot(1));
    while rig.next().await != Input::Durable(Slot(1)) {}
    let text = rig.metrics.text();
    for step in ["execute", "store", "sync"] {
        let series = format!("duration_seconds_count{{step=\"{step}\"}} 1\n");
        assert!(text.contains(&series), "{series} is not in {text}");
    }
}
