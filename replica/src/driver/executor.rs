//! The task that owns the writing connection: executes what it is given, stores it behind
//! that, the changes of many slots at once, and has it made durable from time to time, beside
//! executing (`checkpoints`).
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks")]

mod pinning;
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
use crate::replica::event::{Input, Storage, Stored, Unswept};
use crate::store::{StoreError, WalSpace, Writer};

/// Between two times of storing, unless somebody waits for it: what storing more at once
/// saves (keys that lie apart share pages of the indexes, and a page is written once for each
/// transaction), against how far readers who wait for nothing are behind.
const STORE_INTERVAL: Duration = Duration::from_millis(50);
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
        // However much there is to execute, sweeping comes to an end.
        if self.writer.is_sweeping() {
            self.sweep().await?;
        } else if self.writer.is_compacting() {
            self.compact().await?;
        }
        Ok(())
    }

    /// Takes away some of what is compacted.
    async fn compact(&mut self) -> Result<(), StoreError> {
        let compacted = self.writer.compact().await;
        self.wrote(compacted).await
    }

    fn is_to_forget(&self) -> bool {
        self.writer.keeps_log_below(self.forget_below)
    }

    /// Forgets the log below what was asked for.
    async fn forget_log(&mut self) -> Result<(), StoreError> {
        let forgotten = self.writer.forget_log(self.forget_below).await;
        self.wrote(forgotten).await
    }

    fn is_to_begin_storing(&self) -> bool {
        self.writer.has_unstored() && !self.writer.is_busy_beside()
    }

    /// Somebody waits for what is executed to be stored: at once, or right after the
    /// transaction that is under way.
    async fn hurry(&mut self) -> Result<(), StoreError> {
        self.store_from = Instant::now();
        if self.is_to_begin_storing() { self.begin_storing().await } else { Ok(()) }
    }

    /// Begins to store what is executed, while executing goes on.
    async fn begin_storing(&mut self) -> Result<(), StoreError> {
        self.storing_since = Instant::now();
        self.store_from = self.storing_since + STORE_INTERVAL;
        match self.writer.begin_storing().await {
            Ok(()) => {
                self.tell_stored().await;
                Ok(())
            }
            Err(error) => self.store_again(error).await,
        }
    }

    fn is_copying(&self) -> bool {
        self.to_copy.is_some() || self.writer.is_copying()
    }

    fn is_to_begin_copying(&self) -> bool {
        self.to_copy.is_some() && !self.writer.is_busy_beside()
    }

    /// Begins to copy what was written since a checkpoint began, which is little, while
    /// nobody writes, but executing goes on: the WAL starts over then.
    async fn begin_copying(&mut self) -> Result<(), StoreError> {
        let Some(space) = self.to_copy.take() else { return Ok(()) };
        // It is about to be written to again.
        let space = if self.writer.has_unstored() { WalSpace::Kept } else { space };
        match self.writer.begin_copying(space).await {
            Ok(()) => Ok(()),
            Err(error) if error.is_fatal() => Err(error),
            Err(error) => {
                self.complain(&error).await;
                Ok(())
            }
        }
    }

    /// What was under way beside executing has ended.
    async fn ended_beside(&mut self, ended: Result<(), StoreError>) -> Result<(), StoreError> {
        match ended {
            Ok(()) => {
                if self.told_stored < self.writer.meta().executed_below {
                    let seconds = self.storing_since.elapsed().as_secs_f64();
                    self.measured.took(metrics::Step::Store, seconds);
                }
                self.tell_stored().await;
                Ok(())
            }
            Err(error) => self.store_again(error).await,
        }
    }

    async fn store_again(&mut self, error: StoreError) -> Result<(), StoreError> {
        if self.try_again(error).await? { self.store().await } else { Ok(()) }
    }

    /// Stores what is executed, however long that takes.
    async fn store(&mut self) -> Result<(), StoreError> {
        if self.writer.is_stored() {
            return Ok(());
        }
        let mut began = Instant::now();
        while let Err(error) = self.writer.store().await {
            if !self.try_again(error).await? {
                return Ok(());
            }
            began = Instant::now();
        }
        self.measured.took(metrics::Step::Store, began.elapsed().as_secs_f64());
        self.store_from = Instant::now() + STORE_INTERVAL;
        self.tell_stored().await;
        Ok(())
    }

    /// Says how far the tables have come, and then what of them is durable, where that is
    /// news.
    async fn tell_stored(&mut self) {
        let stored = self.writer.meta().executed_below;
        if stored != std::mem::replace(&mut self.told_stored, stored) {
            self.measured.stored(self.writer.meta(), self.writer.locks_held());
            self.tell_writable().await;
            self.tell_unswept().await;
            self.tell(Input::Stored(Stored::of(self.writer.meta()))).await;
            self.checkpoints.wrote(self.writer.written_bytes());
        }
        let durable = self.writer.durable_below();
        if durable != std::mem::replace(&mut self.told_durable, durable) {
            self.tell(Input::Durable(durable)).await;
        }
    }

    /// Makes some keys out of the deletions of many into tombstones.
    async fn sweep(&mut self) -> Result<(), StoreError> {
        self.store().await?;
        let began = Instant::now();
        let swept = self.writer.sweep().await;
        if swept.is_ok() {
            self.measured.took(metrics::Step::Sweep, began.elapsed().as_secs_f64());
        }
        self.wrote(swept).await
    }

    /// Gives some of the pages that sweeping freed back to the disk.
    async fn give_back(&mut self) -> Result<(), StoreError> {
        let given_back = self.writer.give_back().await;
        self.wrote(given_back).await
    }

    /// A step of what is done between batches has ended: what failed is made again when its
    /// turn comes.
    async fn wrote(&mut self, ended: Result<(), StoreError>) -> Result<(), StoreError> {
        if let Err(error) = ended {
            self.try_again(error).await?;
            return Ok(());
        }
        self.tell_stored().await;
        self.tell_writable().await;
        self.tell_unswept().await;
        self.checkpoints.wrote(self.writer.written_bytes());
        Ok(())
    }

    fn begin_checkpoint(&mut self) {
        let committed = self.writer.begin_checkpoint();
        self.checkpoints.begin(committed);
    }

    async fn checkpointed(&mut self, step: Step) -> Result<(), StoreError> {
        match step {
            Step::Synced(synced) => {
                self.writer.synced(&synced);
                self.tell_stored().await;
            }
            Step::Ended(Ok(copied)) => {
                self.tell_writable().await;
                self.to_copy = match self.checkpoints.ended(copied, self.writer.is_durable()) {
                    Wal::Short => None,
                    Wal::Long => Some(WalSpace::Kept),
                    Wal::Idle => Some(WalSpace::GivenBack),
                };
            }
            Step::Ended(Err(error)) if error.is_fatal() => return Err(error),
            Step::Ended(Err(error)) => {
                self.complain(&error).await;
                self.checkpoints.failed();
            }
        }
        Ok(())
    }

    /// Copies what it can of the WAL at once, for the disk is full.
    async fn copy_at_once(&mut self) -> Result<(), StoreError> {
        let copied = self.writer.checkpoint().await;
        self.tell_stored().await;
        match copied {
            Ok(_) => {}
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => self.complain(&error).await,
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
