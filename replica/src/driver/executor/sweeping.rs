//! What is done between batches: sweeping, compacting, forgetting the log, giving pages back,
//! and weighing history.

use tokio::time::Instant;

use super::Executor;
use crate::metrics;
use crate::replica::event::Input;
use crate::store::StoreError;

impl Executor {
    /// Makes some keys out of the deletions of many into tombstones.
    pub(super) async fn sweep(&mut self) -> Result<(), StoreError> {
        self.store().await?;
        let began = Instant::now();
        let swept = self.writer.sweep().await;
        if swept.is_ok() {
            self.measured.took(metrics::Step::Sweep, began.elapsed().as_secs_f64());
        }
        self.wrote(swept).await
    }

    /// Takes away some of what is compacted.
    pub(super) async fn compact(&mut self) -> Result<(), StoreError> {
        let compacted = self.writer.compact().await;
        self.wrote(compacted).await
    }

    pub(super) fn is_to_forget(&self) -> bool {
        self.writer.keeps_log_below(self.forget_below)
    }

    /// Forgets the log below what was asked for.
    pub(super) async fn forget_log(&mut self) -> Result<(), StoreError> {
        let forgotten = self.writer.forget_log(self.forget_below).await;
        self.wrote(forgotten).await
    }

    /// Gives some of the pages that sweeping freed back to the disk.
    pub(super) async fn give_back(&mut self) -> Result<(), StoreError> {
        let given_back = self.writer.give_back().await;
        self.wrote(given_back).await
    }

    /// Weighs some of history, and says what it takes.
    pub(super) async fn weigh(&mut self) -> Result<(), StoreError> {
        match self.writer.weigh().await {
            Ok(weighed) => {
                self.tell_stored().await;
                if let Some(weighed) = weighed {
                    self.tell(Input::Weighed(weighed)).await;
                }
            }
            Err(error) => {
                self.try_again(error).await?;
            }
        }
        Ok(())
    }

    /// A step of what is done between batches has ended: what failed is made again when its
    /// turn comes.
    pub(super) async fn wrote(&mut self, ended: Result<(), StoreError>) -> Result<(), StoreError> {
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
}
