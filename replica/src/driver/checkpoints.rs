//! When what was executed is made durable and the WAL copied: in a task of its own, so
//! that executing never waits for it.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks and starts tasks")]

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::metrics::{self, Measured};
use crate::store::{Checkpointer, Committed, Copied, StoreError, Synced};

/// Between a transaction and the sync that makes it durable: what a restart has to fetch
/// again, against the syncs.
const INTERVAL: Duration = Duration::from_secs(2);
/// A checkpoint comes at once when about so much was written since the last one began: what
/// one sync and one copying have to do is bounded, and others wait no longer for the disk.
const HURRY_BYTES: u64 = 16 << 20;
/// A WAL that is so long is made to start over, for which storing waits a moment.
const LONG_WAL_BYTES: u64 = 24 << 20;
/// The file of a WAL that is so long is cut once nothing was written for [`INTERVAL`].
const IDLE_WAL_BYTES: u64 = 1 << 20;
/// The longest wait before copying is tried again while a reader holds it up; the wait
/// doubles until then. An attempt reads the whole index of the WAL.
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// Held up for so long it is worth a line in the log: no reader of this process takes as
/// long.
const WORTH_SAYING: Duration = Duration::from_secs(10);

/// What others may know of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WalStatus {
    /// How long the WAL was when the latest attempt to copy it began.
    pub(crate) bytes: u64,
    /// Since when it cannot be copied as a whole.
    pub(crate) held_up_since: Option<Instant>,
}

impl WalStatus {
    /// Who holds it up, for people, where it is worth saying.
    pub(crate) fn complaint(&self) -> Option<String> {
        let held_up = self.held_up_since?.elapsed();
        (held_up >= WORTH_SAYING).then(|| {
            format!(
                "another process has been reading an old state of the database for {} s, so that \
                 the WAL grows and cannot start over: it has {} MiB",
                held_up.as_secs(),
                self.bytes >> 20
            )
        })
    }
}

/// What is to be done.
#[derive(Debug)]
enum Order {
    Sync(Committed),
    SyncAndCopy(Committed),
}

/// What was done.
#[derive(Debug)]
pub(super) enum Step {
    /// This much is durable.
    Synced(Synced),
    /// The order is carried out, with what came of copying where that was part of it.
    Ended(Result<Option<Copied>, StoreError>),
}

/// What copying left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wal {
    /// A WAL that can be left to grow.
    Short,
    /// A WAL that should start over, and can.
    Long,
    /// A WAL to which nothing was written in a while, and whose file takes more than it needs.
    Idle,
}

/// The schedule, and the way to the task.
#[derive(Debug)]
pub(super) struct Checkpoints {
    orders: mpsc::Sender<Order>,
    steps: mpsc::Receiver<Step>,
    task: JoinHandle<()>,
    status: watch::Sender<WalStatus>,
    is_running: bool,
    /// When the next one is due; none while there is nothing to do.
    due: Option<Instant>,
    copy_after: Instant,
    backoff: Duration,
    /// Nothing was written since a checkpoint ended that made everything durable.
    is_quiet: bool,
}

impl Checkpoints {
    /// Starts the task.
    pub(super) fn spawn(
        checkpointer: Checkpointer,
        status: watch::Sender<WalStatus>,
        measured: Measured,
    ) -> Self {
        let (orders, order_queue) = mpsc::channel(1);
        let (step_queue, steps) = mpsc::channel(2);
        let task = tokio::spawn(carry_out(checkpointer, order_queue, step_queue, measured));
        let now = Instant::now();
        Self {
            orders,
            steps,
            task,
            status,
            is_running: false,
            // An earlier life may have left a long file.
            due: Some(now + INTERVAL),
            copy_after: now,
            backoff: INTERVAL,
            is_quiet: false,
        }
    }

    /// Ends the task, which carries out what it has begun and lets go of the state.
    pub(super) async fn end(self) {
        let Self { orders, steps, task, .. } = self;
        drop((orders, steps));
        if let Err(error) = task.await {
            tracing::debug!("the task of checkpoints broke: {error}");
        }
    }

    /// When the next one is to begin.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.is_running)
    }

    /// What is done next.
    pub(super) async fn next(&mut self) -> Option<Step> {
        self.steps.recv().await
    }

    /// So much was written since the last one began.
    pub(super) fn wrote(&mut self, bytes: u64) {
        self.is_quiet = false;
        let now = Instant::now();
        let soon = if bytes >= HURRY_BYTES { now } else { now + INTERVAL };
        // What is due later is another look at what is there.
        self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
    }

    /// Begins one that is to make this much durable.
    pub(super) fn begin(&mut self, committed: Committed) {
        let is_copying = Instant::now() >= self.copy_after;
        let order = if is_copying { Order::SyncAndCopy(committed) } else { Order::Sync(committed) };
        // The task is gone only where this one ends as well.
        self.is_running = self.orders.try_send(order).is_ok();
        self.due = None;
    }

    /// It ended, with what came of copying.
    pub(super) fn ended(&mut self, copied: Option<Copied>, is_durable: bool) -> Wal {
        self.is_running = false;
        let now = Instant::now();
        if !is_durable {
            self.due.get_or_insert(now + INTERVAL);
        }
        match copied {
            Some(Copied::All { wal_bytes, file_bytes }) => {
                if self.status.borrow().complaint().is_some() {
                    tracing::info!("the WAL can be copied again");
                }
                self.status.send_replace(WalStatus { bytes: wal_bytes, held_up_since: None });
                self.backoff = INTERVAL;
                let was_quiet = std::mem::replace(&mut self.is_quiet, is_durable);
                if is_durable && file_bytes >= IDLE_WAL_BYTES {
                    // A reader may keep it from being cut: it is looked at again.
                    let again = if was_quiet { MAX_BACKOFF } else { INTERVAL };
                    self.due.get_or_insert(now + again);
                    if was_quiet {
                        return Wal::Idle;
                    }
                }
                if wal_bytes >= LONG_WAL_BYTES { Wal::Long } else { Wal::Short }
            }
            Some(Copied::Part { wal_bytes }) => {
                let held_up_since = self.status.borrow().held_up_since.or(Some(now));
                let status = WalStatus { bytes: wal_bytes, held_up_since };
                self.status.send_replace(status);
                if let Some(complaint) = status.complaint() {
                    tracing::warn!("{complaint}");
                }
                self.copy_later(now);
                Wal::Short
            }
            None => {
                self.due.get_or_insert(self.copy_after);
                Wal::Short
            }
        }
    }

    /// It failed, for a reason that passes.
    pub(super) fn failed(&mut self) {
        self.is_running = false;
        self.copy_later(Instant::now());
    }

    fn copy_later(&mut self, now: Instant) {
        self.copy_after = now + self.backoff;
        self.backoff = (2 * self.backoff).min(MAX_BACKOFF);
        self.due.get_or_insert(self.copy_after);
    }
}

async fn carry_out(
    mut checkpointer: Checkpointer,
    mut orders: mpsc::Receiver<Order>,
    steps: mpsc::Sender<Step>,
    measured: Measured,
) {
    while let Some(order) = orders.recv().await {
        let (committed, is_copying) = match order {
            Order::Sync(committed) => (committed, false),
            Order::SyncAndCopy(committed) => (committed, true),
        };
        let began = Instant::now();
        let ended = match checkpointer.sync(committed).await {
            Ok(synced) => {
                measured.took(metrics::Step::Sync, began.elapsed().as_secs_f64());
                // It fails when the process ends.
                let _ = steps.send(Step::Synced(synced)).await;
                if is_copying {
                    copy(&mut checkpointer, &measured).await.map(Some)
                } else {
                    Ok(None)
                }
            }
            Err(error) => Err(error),
        };
        let _ = steps.send(Step::Ended(ended)).await;
    }
    if let Err(error) = checkpointer.close().await {
        tracing::debug!("closing what copies the WAL: {error}");
    }
}

async fn copy(checkpointer: &mut Checkpointer, measured: &Measured) -> Result<Copied, StoreError> {
    let began = Instant::now();
    let copied = checkpointer.copy().await?;
    measured.took(metrics::Step::Copy, began.elapsed().as_secs_f64());
    if let Some(pages) = checkpointer.free_pages().await {
        measured.free_pages(pages);
    }
    Ok(copied)
}
