//! The task that owns the writing connection: executes what it is given, stores it behind
//! that, the changes of many slots at once, and has it made durable from time to time, beside
//! executing (`checkpoints`).
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks")]

mod checkpointing;
mod pinning;
mod storing;
mod sweeping;
mod telling;
mod traced;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use shared::ids::{ClusterId, Slot};
use shared::message::ChosenEntry;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use self::pinning::Pinned;
use self::traced::{record_changes, spans_of};
use super::checkpoints::{Checkpoints, Step, Wal};
use super::pin::Pin;
use crate::machine::access::Access;
use crate::machine::command::limits;
use crate::metrics::{self, Measured};
use crate::replica::event::{Input, Storage, Unswept};
use crate::store::{StoreError, WalSpace, Writer};

/// Between two attempts while the disk is full or the file locked.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// How long the last checkpoint may take when the process ends.
const CLOSING: Duration = Duration::from_secs(3);

/// What there is to do.
#[derive(Debug)]
pub(super) enum Job {
    /// Note the cluster, and what was voted in by then.
    Join(ClusterId, Slot),
    /// Execute.
    Execute(Vec<ChosenEntry>),
}

/// Where the results go.
#[derive(Debug)]
pub(super) struct Results {
    /// The core's inputs.
    pub(super) inputs: mpsc::Sender<Input>,
    /// Who may do what, in the state as executed: before the core hears that it is, and so
    /// before anybody reads it.
    pub(super) access: watch::Sender<Arc<Access>>,
}

/// What it is told beside its jobs.
#[derive(Debug)]
pub(super) struct Orders {
    /// It is to store what is executed.
    pub(super) hurry: Arc<Notify>,
    /// The log below this slot is to be forgotten.
    pub(super) forget_log: watch::Receiver<Slot>,
    /// The state of exactly one slot is to be read.
    pub(super) pins: mpsc::Receiver<Pin>,
    /// It is to end.
    pub(super) shutdown: CancellationToken,
}

/// Works until the jobs end, or it is told to.
///
/// # Errors
/// What must stop the process.
pub(super) async fn run(
    writer: Writer,
    checkpoints: Checkpoints,
    mut jobs: mpsc::Receiver<Job>,
    results: Results,
    orders: Orders,
    measured: Measured,
) -> Result<(), StoreError> {
    let Orders { hurry, mut forget_log, mut pins, shutdown } = orders;
    let now = Instant::now();
    let mut executor = Executor {
        told_stored: writer.meta().executed_below,
        told_durable: writer.durable_below(),
        writer,
        to_copy: None,
        store_from: now,
        storing_since: now,
        checkpoints,
        results,
        shutdown: shutdown.clone(),
        storage: Storage::Writable,
        unswept: Unswept::default(),
        forget_below: Slot(0),
        pinned: None,
        measured,
    };
    executor.measured.stored(executor.writer.meta(), executor.writer.locks_held());
    executor.tell_unswept().await;
    loop {
        let due = executor.checkpoints.due().filter(|_| !executor.is_copying());
        let pin_due = executor.pin_due();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(step) = executor.checkpoints.next() => executor.checkpointed(step).await?,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => executor.begin_checkpoint(),
            ended = executor.writer.end_beside(), if executor.writer.is_busy_beside() => {
                executor.ended_beside(ended).await?;
            }
            () = ready(()), if executor.is_to_begin_copying() => executor.begin_copying().await?,
            () = hurry.notified() => executor.hurry().await?,
            () = sleep_until(executor.store_from), if executor.is_to_begin_storing() => {
                executor.begin_storing().await?;
            }
            Some(pin) = pins.recv(), if executor.takes_pin() => executor.pin(pin).await?,
            () = sleep_until(pin_due.unwrap_or(now)), if pin_due.is_some() => executor.give_pin_up(),
            job = jobs.recv() => match job {
                Some(job) => executor.work(job).await?,
                None => break,
            },
            Ok(()) = forget_log.changed() => {
                executor.forget_below = *forget_log.borrow_and_update();
            }
            // Whatever is to be executed goes before these.
            () = ready(()), if executor.is_to_forget() => executor.forget_log().await?,
            () = ready(()), if executor.writer.is_sweeping() => executor.sweep().await?,
            () = ready(()), if executor.writer.is_compacting() => executor.compact().await?,
            () = ready(()), if executor.writer.is_weighing() => executor.weigh().await?,
            () = ready(()), if executor.writer.may_give_back() => executor.give_back().await?,
        }
    }
    let Executor { writer, checkpoints, pinned, .. } = executor;
    drop(pinned);
    // Whoever closes the state last copies all of its WAL, and removes it.
    let closing = async {
        checkpoints.end().await;
        writer.close().await
    };
    match timeout(CLOSING, closing).await {
        Ok(result) => result,
        Err(_) => {
            tracing::warn!(
                "the last checkpoint did not end in time; what it misses is fetched again at the \
                 next start"
            );
            Ok(())
        }
    }
}

struct Executor {
    writer: Writer,
    /// Before that nothing is stored that nobody waits for.
    store_from: Instant,
    /// When the transaction began that is under way.
    storing_since: Instant,
    /// What the core knows to be stored …
    told_stored: Slot,
    /// … and to be durable.
    told_durable: Slot,
    /// The rest of the WAL is to be copied, with this for its file.
    to_copy: Option<WalSpace>,
    checkpoints: Checkpoints,
    results: Results,
    shutdown: CancellationToken,
    /// What the core was told last.
    storage: Storage,
    /// What the core knows to be unswept.
    unswept: Unswept,
    /// The log below is to be forgotten.
    forget_below: Slot,
    /// Somebody is to read the state of exactly one slot.
    pinned: Option<Pinned>,
    measured: Measured,
}

impl Executor {
    async fn work(&mut self, job: Job) -> Result<(), StoreError> {
        match job {
            Job::Join(cluster, at) => self.join(cluster, at).await,
            Job::Execute(entries) => self.execute(entries).await,
        }
    }

    async fn join(&mut self, cluster: ClusterId, at: Slot) -> Result<(), StoreError> {
        while let Err(error) = self.writer.join(cluster, at).await {
            if !self.try_again(error).await? {
                return Ok(());
            }
        }
        tracing::info!(%cluster, "this state is now of the cluster");
        self.tell_writable().await;
        Ok(())
    }

    async fn execute(&mut self, entries: Vec<ChosenEntry>) -> Result<(), StoreError> {
        while self.unswept.prefixes > limits::RANGE_TOMBSTONES {
            self.sweep().await?;
        }
        let report = loop {
            let spans = spans_of(&entries);
            let span = spans.first().map_or_else(Span::none, |(_, span)| span.clone());
            let began = Instant::now();
            match self.writer.execute(entries.clone()).instrument(span).await {
                Ok(report) => {
                    self.measured.took(metrics::Step::Execute, began.elapsed().as_secs_f64());
                    record_changes(&spans, &report);
                    break report;
                }
                Err(error) => {
                    if !self.try_again(error).await? {
                        return Ok(());
                    }
                }
            }
        };
        self.publish_access();
        self.tell_unswept().await;
        self.tell(Input::Executed(report)).await;
        self.tell_stored().await;
        if self.writer.is_urgent() {
            self.store().await?;
        } else if self.writer.has_many_unstored() {
            if self.writer.is_busy_beside() {
                let ended = self.writer.end_beside().await;
                self.ended_beside(ended).await?;
            }
            // Where there is always something to store, copying would never have its turn, and
            // the WAL no end.
            if self.is_to_begin_copying() {
                self.begin_copying().await?;
            } else {
                self.begin_storing().await?;
            }
        }
        self.look_at_pin().await?;
        // However much there is to execute, these come to an end.
        if self.writer.is_sweeping() {
            self.sweep().await?;
        } else if self.writer.is_compacting() {
            self.compact().await?;
        } else if self.writer.is_weighing() {
            self.weigh().await?;
        }
        Ok(())
    }

    /// Waits after an error that passes. False when the process ends meanwhile.
    async fn try_again(&mut self, error: StoreError) -> Result<bool, StoreError> {
        if error.is_fatal() {
            return Err(error);
        }
        self.complain(&error).await;
        match error {
            StoreError::Full(_) => self.copy_at_once().await?,
            StoreError::Busy(_) => self.tell_storage(Storage::Locked).await,
            StoreError::Damaged(_) | StoreError::Failed(_) | StoreError::Format(_) => {}
        }
        Ok(self.shutdown.run_until_cancelled(tokio::time::sleep(RETRY_INTERVAL)).await.is_some())
    }
}

#[cfg(test)]
mod tests;
