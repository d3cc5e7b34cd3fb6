//! Storing what is executed: beside executing, or at once.

use super::{Ahead, MetaRow, StoreError, Writer};
use crate::store::tables::{self, Ended};

/// So much is executed, at most, while as much is being stored: what that takes is some
/// milliseconds, for which whoever looks at keys that are not in memory waits.
const UNSTORED_BYTES: usize = 1 << 20;

impl Writer {
    /// Begins to store what is executed, beside executing: [`Writer::end_beside`] says when
    /// it is. What cannot be stored so is stored at once.
    ///
    /// # Errors
    /// As of [`Writer::store`].
    pub(crate) async fn begin_storing(&mut self) -> Result<(), StoreError> {
        if self.is_busy_beside() || !self.has_unstored() {
            return Ok(());
        }
        let mut ahead = self.take_ahead().await?;
        let unstored = ahead.take_unstored(&self.row);
        self.ahead = Some(ahead);
        match unstored {
            Some(unstored) => {
                self.tables.begin_storing(unstored);
                Ok(())
            }
            None => self.store().await,
        }
    }

    /// Whether a transaction is under way that stores what is executed.
    pub(crate) fn is_storing(&self) -> bool {
        self.tables.is_storing()
    }

    /// Whether something is executed that no transaction stores yet.
    pub(crate) fn has_unstored(&self) -> bool {
        let waits = |ahead: &Ahead| ahead.has_unstored() || self.is_behind(ahead);
        !self.is_stored() && self.ahead.as_ref().is_none_or(waits)
    }

    /// Whether the file was opened again, and what was executed and not stored is yet to be
    /// executed again.
    pub(super) fn is_behind(&self, ahead: &Ahead) -> bool {
        let executed_below = ahead.state().meta().executed_below;
        self.unstored.last().is_some_and(|last| last.slot >= executed_below)
    }

    /// Waits for what is under way beside executing, if there is anything. It goes on when
    /// this is dropped.
    ///
    /// # Errors
    /// As of [`Writer::store`].
    pub(crate) async fn end_beside(&mut self) -> Result<(), StoreError> {
        let ended = self.tables.end().await;
        if ended.is_err() {
            self.ahead = None;
        }
        self.note_ended();
        ended
    }

    /// Follows what was done beside executing.
    pub(super) fn note_ended(&mut self) {
        for ended in self.tables.take_ended() {
            match ended {
                Ended::Stored(stored) => self.stored(stored.row, stored.bytes),
                Ended::Copied(synced) => self.synced(&synced),
            }
        }
    }

    pub(super) fn stored(&mut self, row: MetaRow, bytes: usize) {
        if row.meta.compacted_below > self.row.meta.compacted_below {
            self.compacting.more();
        }
        self.unstored.retain(|entry| entry.slot >= row.meta.executed_below);
        self.row = row;
        self.written_bytes += bytes as u64;
    }

    /// Stores what is executed, in one transaction.
    ///
    /// # Errors
    /// Then nothing of it is stored, and it may be tried again unless the error is fatal.
    pub(crate) async fn store(&mut self) -> Result<(), StoreError> {
        if self.is_stored() {
            return Ok(());
        }
        let (mut connection, mut ahead) = self.take().await?;
        if !ahead.has_unstored() {
            // The transaction that was under way has stored all of it.
            self.keep(connection, ahead);
            return Ok(());
        }
        let bytes = ahead.wal_bytes();
        match ahead.store(&mut connection, &self.row).await {
            Ok(row) => {
                self.keep(connection, ahead);
                self.stored(row, bytes);
                Ok(())
            }
            Err(error) => {
                tables::close(connection).await;
                Err(error)
            }
        }
    }

    /// Whether everything executed is stored.
    pub(crate) fn is_stored(&self) -> bool {
        self.unstored.is_empty()
    }

    /// Whether to store before anything else is executed, for what it is.
    pub(crate) fn is_urgent(&self) -> bool {
        !self.is_stored() && self.ahead.as_ref().is_none_or(Ahead::is_urgent)
    }

    /// Whether to begin storing before anything else is executed, for how much it is.
    pub(crate) fn has_many_unstored(&self) -> bool {
        self.ahead.as_ref().is_some_and(|ahead| ahead.unstored_bytes() >= UNSTORED_BYTES)
    }
}
