//! Has what is stored made durable, and the WAL copied.

use super::{Executor, Step, Wal};
use crate::store::{StoreError, WalSpace};

impl Executor {
    pub(super) fn begin_checkpoint(&mut self) {
        let committed = self.writer.begin_checkpoint();
        self.checkpoints.begin(committed);
    }

    pub(super) async fn checkpointed(&mut self, step: Step) -> Result<(), StoreError> {
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

    pub(super) fn is_copying(&self) -> bool {
        self.to_copy.is_some() || self.writer.is_copying()
    }

    pub(super) fn is_to_begin_copying(&self) -> bool {
        self.to_copy.is_some() && !self.writer.is_busy_beside()
    }

    /// Begins to copy what was written since a checkpoint began, which is little, while
    /// nobody writes, but executing goes on: the WAL starts over then.
    pub(super) async fn begin_copying(&mut self) -> Result<(), StoreError> {
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

    /// Copies what it can of the WAL at once, for the disk is full.
    pub(super) async fn copy_at_once(&mut self) -> Result<(), StoreError> {
        let copied = self.writer.checkpoint().await;
        self.tell_stored().await;
        match copied {
            Ok(_) => {}
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => self.complain(&error).await,
        }
        Ok(())
    }
}
