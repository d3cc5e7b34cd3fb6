//! Stores what is executed, behind executing and beside it.

use std::time::Duration;

use tokio::time::Instant;

use super::Executor;
use crate::metrics;
use crate::store::StoreError;

/// Between two times of storing, unless somebody waits for it: what storing more at once
/// saves (keys that lie apart share pages of the indexes, and a page is written once for each
/// transaction), against how far readers who wait for nothing are behind.
const STORE_INTERVAL: Duration = Duration::from_millis(50);

impl Executor {
    pub(super) fn is_to_begin_storing(&self) -> bool {
        self.writer.has_unstored() && !self.writer.is_busy_beside()
    }

    /// Somebody waits for what is executed to be stored: at once, or right after the
    /// transaction that is under way.
    pub(super) async fn hurry(&mut self) -> Result<(), StoreError> {
        self.store_from = Instant::now();
        if self.is_to_begin_storing() { self.begin_storing().await } else { Ok(()) }
    }

    /// Begins to store what is executed, while executing goes on.
    pub(super) async fn begin_storing(&mut self) -> Result<(), StoreError> {
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

    /// What was under way beside executing has ended.
    pub(super) async fn ended_beside(
        &mut self,
        ended: Result<(), StoreError>,
    ) -> Result<(), StoreError> {
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
    pub(super) async fn store(&mut self) -> Result<(), StoreError> {
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
}
