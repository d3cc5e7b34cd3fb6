//! What the writer does when it has time: sweeps what is deleted and compacted, forgets log,
//! gives pages back, weighs history. Each a bounded step, in a transaction of its own.

use shared::ids::Slot;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::Writer;
use crate::replica::event::Weighed;
use crate::store::compaction;
use crate::store::deletions::Deletions;
use crate::store::error::StoreError;
use crate::store::schema::{PAGE_BYTES, scalar};

/// What sweeping once writes, roughly.
const SWEPT_BYTES: u64 = 256 << 10;

/// So many free pages are kept for what is written next; more are given back to the disk.
const FREE_PAGES_KEPT: u64 = 1_024;
/// The most pages that are given back in one transaction: some milliseconds.
const PAGES_AT_ONCE: u64 = 256;

impl Writer {
    /// Whether there is something to be swept of what is compacted. Deletions of many come
    /// first.
    pub(crate) fn is_compacting(&self) -> bool {
        !self.is_sweeping() && self.compacting.is_due(&self.row)
    }

    /// Sweeps a bounded number of rows of what is compacted, in a transaction.
    ///
    /// # Errors
    /// Then none is swept, and it may be tried again unless the error is fatal.
    pub(crate) async fn compact(&mut self) -> Result<(), StoreError> {
        if self.is_urgent() {
            // The transaction at hand may have begun.
            self.store().await?;
        }
        let mut connection = self.take_connection().await?;
        match self.compacting.sweep(&mut connection, &self.row).await {
            Ok(retained) => {
                self.row.retained = retained;
                self.tables.give_back(connection);
                self.may_give_back = true;
                self.written_bytes += SWEPT_BYTES;
                Ok(())
            }
            Err(error) => {
                self.discard(connection).await;
                Err(error)
            }
        }
    }

    /// Whether there is log below a slot that may be forgotten.
    pub(crate) fn keeps_log_below(&self, below: Slot) -> bool {
        self.row.retained.log_start < self.forgettable(below)
    }

    /// All but the last slot.
    fn forgettable(&self, below: Slot) -> Slot {
        below.min(Slot(self.row.meta.executed_below.0.saturating_sub(1)))
    }

    /// Forgets the log below a slot, but for the last one: it is swept with what is compacted.
    ///
    /// # Errors
    /// Then all of it is kept, and it may be tried again unless the error is fatal.
    pub(crate) async fn forget_log(&mut self, below: Slot) -> Result<(), StoreError> {
        if self.is_urgent() {
            // The transaction at hand may have begun.
            self.store().await?;
        }
        let mut connection = self.take_connection().await?;
        if !self.keeps_log_below(below) {
            self.tables.give_back(connection);
            return Ok(());
        }
        let below = self.forgettable(below);
        match compaction::forget_log(&mut connection, &self.row, below).await {
            Ok(retained) => {
                self.row.retained = retained;
                self.compacting.more();
                self.tables.give_back(connection);
                self.written_bytes += PAGE_BYTES;
                Ok(())
            }
            Err(error) => {
                self.discard(connection).await;
                Err(error)
            }
        }
    }

    /// Whether there are keys to be swept, of prefixes or of leases.
    pub(crate) fn is_sweeping(&self) -> bool {
        self.ahead.as_ref().is_none_or(|ahead| !ahead.deletions().is_empty())
    }

    /// Sweeps a bounded number of keys, in a transaction, behind all that is executed.
    ///
    /// # Errors
    /// Then none is swept, and it may be tried again unless the error is fatal.
    pub(crate) async fn sweep(&mut self) -> Result<(), StoreError> {
        self.store().await?;
        let (mut connection, mut ahead) = self.take().await?;
        match sweep(&mut connection, ahead.deletions_mut()).await {
            Ok(()) => {
                self.keep(connection, ahead);
                self.may_give_back = true;
                self.written_bytes += SWEPT_BYTES;
                // One revision may have deleted much.
                self.weighing.look_again();
                Ok(())
            }
            Err(error) => {
                self.discard(connection).await;
                Err(error)
            }
        }
    }

    /// Whether history may be to be weighed. Deletions of many are swept first, for they write
    /// versions of older revisions; and what is done beside executing is not waited for, for
    /// executing would wait with it.
    pub(crate) fn is_weighing(&self) -> bool {
        !self.is_busy_beside()
            && !self.is_sweeping()
            && self.weighing.is_due(self.row.meta.revision)
    }

    /// Weighs a bounded number of versions of history, where that matters.
    ///
    /// # Errors
    /// Then nothing is weighed, and it may be tried again unless the error is fatal.
    pub(crate) async fn weigh(&mut self) -> Result<Option<Weighed>, StoreError> {
        let mut connection = self.take_connection().await?;
        match self.weighing.weigh(&mut connection, &self.row).await {
            Ok(weighed) => {
                self.tables.give_back(connection);
                Ok(weighed)
            }
            Err(error) => {
                self.discard(connection).await;
                Err(error)
            }
        }
    }

    /// Whether sweeping may have freed more pages than are kept.
    pub(crate) fn may_give_back(&self) -> bool {
        self.may_give_back
    }

    /// Gives a bounded number of free pages back to the disk, in a transaction; the file is
    /// cut when the WAL is copied.
    ///
    /// # Errors
    /// Then none is given back, and it may be tried again unless the error is fatal.
    pub(crate) async fn give_back(&mut self) -> Result<(), StoreError> {
        let mut connection = self.take_connection().await?;
        match give_back(&mut connection).await {
            Ok(pages) => {
                self.tables.give_back(connection);
                self.may_give_back = pages == PAGES_AT_ONCE;
                self.written_bytes += pages * PAGE_BYTES;
                Ok(())
            }
            Err(error) => {
                self.discard(connection).await;
                Err(error)
            }
        }
    }

    /// Has fewer rows of what is compacted swept in one transaction.
    #[cfg(test)]
    pub(crate) fn compact_at_once(&mut self, rows: usize) {
        self.compacting.at_once(rows);
    }

    /// Has fewer versions weighed at once.
    #[cfg(test)]
    pub(crate) fn weigh_at_once(&mut self, versions: u64) {
        self.weighing.at_once(versions);
    }

    /// Has fewer keys swept in one transaction.
    #[cfg(test)]
    pub(crate) fn sweep_at_once(&mut self, keys: usize) {
        if let Some(ahead) = &mut self.ahead {
            ahead.deletions_mut().sweep_at_once(keys);
        }
    }
}

async fn sweep(
    connection: &mut SqliteConnection,
    deletions: &mut Deletions,
) -> Result<(), StoreError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    deletions.sweep(&mut transaction).await?;
    Ok(transaction.commit().await?)
}

/// Says how many pages it was.
async fn give_back(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let free: i64 = scalar(connection, "PRAGMA freelist_count").await?;
    let pages = free.cast_unsigned().saturating_sub(FREE_PAGES_KEPT).min(PAGES_AT_ONCE);
    if pages > 0 {
        // It takes a page off the file with each step of the statement.
        let sql = AssertSqlSafe(format!("PRAGMA incremental_vacuum({pages})"));
        sqlx::raw_sql(sql).fetch_all(connection).await?;
    }
    Ok(pages)
}
