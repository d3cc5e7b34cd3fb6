//! The task that owns the writing connection: executes what it is given, and makes it
//! durable from time to time.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks")]

use std::time::Duration;

use shared::ids::ClusterId;
use shared::message::ChosenEntry;
use shared::telemetry::set_parent;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use super::spans::to_shared;
use crate::machine::execute::{Decoded, Run};
use crate::replica::event::{Input, Storage};
use crate::store::{StoreError, Writer};

/// Between a transaction and the checkpoint that makes it durable: what a restart has to
/// fetch again, against the syncs.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(2);
/// A checkpoint comes at once when the WAL has grown by so much: more makes reading slow
/// and restarts long.
const CHECKPOINT_BYTES: u64 = 64 << 20;
/// Between two attempts while the disk is full or the file locked.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// How long the last checkpoint may take when the process ends.
const CLOSING: Duration = Duration::from_secs(3);

/// What there is to do.
#[derive(Debug)]
pub(super) enum Job {
    /// Note the cluster.
    Join(ClusterId),
    /// Execute.
    Execute(Vec<ChosenEntry>),
}

/// Where the results go: the core's inputs.
pub(super) type Inputs = mpsc::Sender<Input>;

/// Works until the jobs end or `shutdown`.
///
/// # Errors
/// What must stop the process.
pub(super) async fn run(
    writer: Writer,
    mut jobs: mpsc::Receiver<Job>,
    inputs: Inputs,
    shutdown: CancellationToken,
) -> Result<(), StoreError> {
    let mut executor =
        Executor { writer, inputs, shutdown: shutdown.clone(), full: false, checkpoint_at: None };
    loop {
        let checkpoint_at = executor.checkpoint_at;
        tokio::select! {
            () = shutdown.cancelled() => break,
            job = jobs.recv() => match job {
                Some(job) => executor.work(job).await?,
                None => break,
            },
            () = sleep_until(checkpoint_at.unwrap_or_else(Instant::now)), if checkpoint_at.is_some() => executor.checkpoint().await?,
        }
    }
    match timeout(CLOSING, executor.writer.close()).await {
        Ok(result) => result,
        Err(_) => {
            tracing::warn!(
                "the last checkpoint did not end in time; what it misses is fetched again at the next start"
            );
            Ok(())
        }
    }
}

struct Executor {
    writer: Writer,
    inputs: Inputs,
    shutdown: CancellationToken,
    full: bool,
    /// When the next checkpoint is due; none while everything is durable.
    checkpoint_at: Option<Instant>,
}

impl Executor {
    async fn work(&mut self, job: Job) -> Result<(), StoreError> {
        match job {
            Job::Join(cluster) => self.join(cluster).await,
            Job::Execute(entries) => self.execute(entries).await,
        }
    }

    async fn join(&mut self, cluster: ClusterId) -> Result<(), StoreError> {
        while let Err(error) = self.writer.join(cluster).await {
            if !self.try_again(error).await? {
                return Ok(());
            }
        }
        tracing::info!(%cluster, "this state is now of the cluster");
        self.tell_writable().await;
        Ok(())
    }

    async fn execute(&mut self, entries: Vec<ChosenEntry>) -> Result<(), StoreError> {
        let report = loop {
            let spans = spans_of(&entries);
            let span = spans.first().cloned().unwrap_or_else(Span::none);
            match self.writer.execute(entries.clone()).instrument(span).await {
                Ok(report) => break report,
                Err(error) => {
                    if !self.try_again(error).await? {
                        return Ok(());
                    }
                }
            }
        };
        self.tell_writable().await;
        self.tell(Input::Executed(report)).await;
        if self.writer.written_bytes() >= CHECKPOINT_BYTES {
            return self.checkpoint().await;
        }
        self.checkpoint_at.get_or_insert_with(|| Instant::now() + CHECKPOINT_INTERVAL);
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<(), StoreError> {
        match self.writer.checkpoint().await {
            Ok(durable_below) => {
                self.tell_writable().await;
                self.tell(Input::Durable(durable_below)).await;
            }
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => self.complain(&error).await,
        }
        self.checkpoint_at =
            (!self.writer.is_durable()).then(|| Instant::now() + CHECKPOINT_INTERVAL);
        Ok(())
    }

    /// Waits after an error that passes. False when the process ends meanwhile.
    async fn try_again(&mut self, error: StoreError) -> Result<bool, StoreError> {
        if error.is_fatal() {
            return Err(error);
        }
        self.complain(&error).await;
        if matches!(error, StoreError::Full(_)) {
            self.make_room().await?;
        }
        Ok(self.shutdown.run_until_cancelled(tokio::time::sleep(RETRY_INTERVAL)).await.is_some())
    }

    /// After a checkpoint the WAL starts over, in the space that it has.
    async fn make_room(&mut self) -> Result<(), StoreError> {
        match self.writer.checkpoint().await {
            Err(error) if error.is_fatal() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn complain(&mut self, error: &StoreError) {
        match error {
            StoreError::Full(_) if !self.full => {
                self.full = true;
                tracing::error!("{error}: mutations are refused until there is space again");
                self.tell(Input::Storage(Storage::Full)).await;
            }
            StoreError::Busy(_) => tracing::warn!("{error}: trying again"),
            StoreError::Full(_)
            | StoreError::Damaged(_)
            | StoreError::Format(_)
            | StoreError::Failed(_) => {
                tracing::debug!("{error}")
            }
        }
    }

    async fn tell_writable(&mut self) {
        if std::mem::take(&mut self.full) {
            tracing::info!("the disk has space again");
            self.tell(Input::Storage(Storage::Writable)).await;
        }
    }

    async fn tell(&self, input: Input) {
        // It fails when the process ends.
        let _ = self.inputs.send(input).await;
    }
}

/// A span for each sampled batch, in the trace of the batch; they last as long as the
/// transaction.
fn spans_of(entries: &[ChosenEntry]) -> Vec<Span> {
    if !shared::telemetry::is_exporting() {
        return Vec::new();
    }
    let run = Run::new(entries.to_vec());
    let traced =
        run.entries().iter().zip(run.decoded()).filter_map(|(entry, decoded)| match decoded {
            Decoded::Batch { epoch, number, commands: Ok(commands) } => {
                let trace = commands.trace.filter(|trace| trace.is_sampled())?;
                let span = tracing::info_span!(
                    parent: None,
                    "replica.execute",
                    slot = entry.slot.0,
                    ballot = %entry.ballot,
                    epoch = epoch.0,
                    batch = number.0,
                    commands = commands.commands.len(),
                );
                set_parent(&span, to_shared(trace).to_context());
                Some(span)
            }
            Decoded::Batch { commands: Err(_), .. }
            | Decoded::Noop
            | Decoded::View(_)
            | Decoded::Undecodable => None,
        });
    traced.collect()
}

#[cfg(test)]
mod tests;
