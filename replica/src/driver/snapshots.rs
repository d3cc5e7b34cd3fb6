//! Another replica's state, from when the core asks for it to when this life ends for it.

use std::path::PathBuf;

use shared::ids::{ClusterId, Name, Slot};
use shared::message::Member;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::calls::url_of;
use super::{Driver, DriverError, EffectHandlers};
use crate::replica::event::{Input, NoAnswer, SnapshotFailure};
use crate::snapshot::{FetchError, FetchProgress, Wanted, fetch};
use crate::store;

/// A state that only has to be adopted.
#[derive(Debug)]
pub(super) struct NewState {
    from: Name,
    executed_below: Slot,
}

/// Fetches them, one at a time.
#[derive(Debug)]
pub(super) struct Snapshots {
    pub(super) own: Name,
    pub(super) dir: PathBuf,
    pub(super) install: mpsc::Sender<NewState>,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) progress: watch::Sender<FetchProgress>,
    pub(super) running: JoinSet<()>,
}

impl Snapshots {
    /// Fetches one; ends in a new state or an input.
    pub(super) fn fetch(&mut self, source: &Member, (cluster, joined_at): (ClusterId, Slot)) {
        while self.running.try_join_next().is_some() {}
        let (from, url) = (source.name.clone(), url_of(source));
        let (replica, dir) = (self.own.clone(), self.dir.clone());
        let (install, inputs) = (self.install.clone(), self.inputs.clone());
        let progress = self.progress.clone();
        tracing::info!(%from, "the state of another replica is fetched, to go on from there");
        self.running.spawn(async move {
            let fetched = match url {
                Ok(source) => {
                    let wanted = Wanted { source, cluster, joined_at, replica, dir };
                    fetch(&wanted, &progress).await
                }
                Err(NoAnswer) => Err(FetchError::Nonsense("its URL is none".to_owned())),
            };
            // Sending fails when the process ends.
            match fetched {
                Ok(executed_below) => {
                    let _ = install.send(NewState { from, executed_below }).await;
                }
                Err(error) => {
                    tracing::warn!(%from, "its state cannot be had: {error}");
                    let failed = Some(format!("that of {from} cannot be had: {error}"));
                    progress.send_modify(|progress| progress.failed = failed);
                    let _ = inputs.send(Input::SnapshotFailed(failure(&error))).await;
                }
            }
        });
    }
}

impl Driver {
    /// Ends for a state that is newer than the one here.
    pub(super) fn take_state(
        &mut self,
        handlers: &mut EffectHandlers,
        state: NewState,
    ) -> Result<(), DriverError> {
        let NewState { from, executed_below } = state;
        if self.core.takes_state(executed_below) {
            return Err(DriverError::NewState { from, executed_below });
        }
        tracing::info!(%from, %executed_below, "its state is no use any more");
        if let Err(error) = store::discard(&handlers.snapshots.dir) {
            tracing::debug!(%error, "what came of it stays until the next one comes");
        }
        self.step(handlers, Input::SnapshotFailed(SnapshotFailure::Useless))
    }
}

/// What it costs the other replica to be asked again.
fn failure(error: &FetchError) -> SnapshotFailure {
    match error {
        FetchError::Call(_) => SnapshotFailure::NotGiven,
        FetchError::CutOff { .. }
        | FetchError::Stalled { .. }
        | FetchError::TooSlow
        | FetchError::Nonsense(_)
        | FetchError::NoRoom { .. }
        | FetchError::Snapshot(_)
        | FetchError::State(_)
        | FetchError::Disk(_) => SnapshotFailure::Useless,
    }
}
