//! What the driver is told of the state, and the log of its storage.

use std::sync::Arc;

use super::Executor;
use crate::replica::event::{Input, Storage, Stored};
use crate::store::StoreError;

impl Executor {
    /// Says how far the tables have come, and then what of them is durable, where that is
    /// news.
    pub(super) async fn tell_stored(&mut self) {
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

    pub(super) async fn complain(&mut self, error: &StoreError) {
        match error {
            StoreError::Full(_) if self.storage != Storage::Full => {
                tracing::error!("{error}: mutations are refused until there is space again");
                self.tell_storage(Storage::Full).await;
            }
            StoreError::Busy(_) if self.storage != Storage::Locked => {
                tracing::warn!("{error}: trying again")
            }
            StoreError::Full(_)
            | StoreError::Busy(_)
            | StoreError::Damaged(_)
            | StoreError::Format(_)
            | StoreError::Failed(_) => {
                tracing::debug!("{error}")
            }
        }
    }

    pub(super) async fn tell_writable(&mut self) {
        if self.storage != Storage::Writable {
            tracing::info!("the state can be written to again");
            self.tell_storage(Storage::Writable).await;
        }
    }

    pub(super) async fn tell_storage(&mut self, storage: Storage) {
        if std::mem::replace(&mut self.storage, storage) != storage {
            self.tell(Input::Storage(storage)).await;
        }
    }

    pub(super) async fn tell_unswept(&mut self) {
        let unswept = self.writer.unswept();
        if unswept != std::mem::replace(&mut self.unswept, unswept) {
            self.tell(Input::Unswept(unswept)).await;
        }
    }

    /// Says who may do what from here on, where that is another than before.
    pub(super) fn publish_access(&self) {
        let Some(now) = self.writer.access() else { return };
        self.results.access.send_if_modified(|said| {
            let is_news = !Arc::ptr_eq(said, now);
            if is_news {
                *said = Arc::clone(now);
            }
            is_news
        });
    }

    pub(super) async fn tell(&self, input: Input) {
        // It fails when the process ends.
        let _ = self.results.inputs.send(input).await;
    }
}
