//! The one connection that writes. What makes durable what it wrote is in `checkpoint`.

mod connection;
#[cfg(test)]
mod failing;
mod storing;
mod sweeping;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared::ids::{ClusterId, Slot};
use shared::message::ChosenEntry;
use sqlx::sqlite::SqliteConnection;

use super::ahead::Ahead;
use super::checkpoint::copying::CopyNote;
use super::checkpoint::{self, Committed, Copied, Rest, Synced, WalSpace};
use super::compaction::Sweeping;
use super::error::StoreError;
use super::meta::{self, MetaRow};
use super::tables::Tables;
use super::weighing::Weighing;
use crate::machine::access::Access;
use crate::machine::execute::{ExecutionReport, Run};
use crate::machine::state::Meta;
use crate::replica::event::Unswept;

/// Owns the connection. Not shared: whoever holds it executes.
#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    note: CopyNote,
    tables: Tables,
    /// As the tables have it.
    row: MetaRow,
    /// None after an error: what the failed transaction left behind is known only from the
    /// file.
    ahead: Option<Ahead>,
    /// What is executed and not stored: after an error it is executed again.
    unstored: Vec<ChosenEntry>,
    durable_below: Slot,
    written_bytes: u64,
    /// How far what is compacted is swept.
    compacting: Sweeping,
    weighing: Weighing,
    /// Whether there may be more free pages than are kept.
    may_give_back: bool,
}

impl Writer {
    pub(super) fn new(
        (path, note): (&Path, CopyNote),
        connection: SqliteConnection,
        row: MetaRow,
        ahead: Ahead,
    ) -> Self {
        let compacting = Sweeping::begin(&row);
        Self {
            path: path.to_owned(),
            note,
            tables: Tables::new(connection),
            row,
            ahead: Some(ahead),
            unstored: Vec::new(),
            durable_below: Slot(0),
            written_bytes: 0,
            compacting,
            weighing: Weighing::new(None),
            may_give_back: true,
        }
    }

    /// Has history weighed while the database takes more bytes than this; none: never.
    pub(crate) fn weigh_above(&mut self, bytes: Option<u64>) {
        self.weighing = Weighing::new(bytes);
    }

    /// How far the tables have come.
    pub(crate) fn meta(&self) -> &Meta {
        &self.row.meta
    }

    /// How far executing has come.
    pub(crate) fn executed_below(&self) -> Slot {
        let last = self.unstored.last();
        last.map_or(self.row.meta.executed_below, |last| last.slot.next())
    }

    /// The first slot that the log has, or will have.
    pub(super) fn log_start(&self) -> Slot {
        self.row.retained.log_start
    }

    /// About how many bytes were written since the last checkpoint began.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Every slot below is synced.
    pub(crate) fn durable_below(&self) -> Slot {
        self.durable_below
    }

    /// Whether everything stored is synced.
    pub(crate) fn is_durable(&self) -> bool {
        self.durable_below == self.row.meta.executed_below
    }

    /// A checkpoint begins: says what it is to make durable.
    pub(crate) fn begin_checkpoint(&mut self) -> Committed {
        self.written_bytes = 0;
        Committed(self.row.meta.executed_below)
    }

    /// So far everything is durable.
    pub(crate) fn synced(&mut self, synced: &Synced) {
        self.durable_below = self.durable_below.max(synced.below());
    }

    /// Executes the entries. Readers see it once it is stored.
    ///
    /// # Errors
    /// Then none of them is executed, and the same may be tried again unless the error is
    /// fatal.
    pub(crate) async fn execute(
        &mut self,
        entries: Vec<ChosenEntry>,
    ) -> Result<ExecutionReport, StoreError> {
        let mut ahead = self.take_ahead().await?;
        let executed = ahead.execute(&mut self.tables, Run::new(entries.clone())).await;
        self.note_ended();
        match executed {
            Ok(report) => {
                self.ahead = Some(ahead);
                self.unstored.extend(entries);
                Ok(report)
            }
            Err(error) => {
                self.tables.close().await;
                Err(error)
            }
        }
    }

    /// Begins to make everything durable that is stored, and to copy the rest of the WAL, so
    /// that it starts over, beside executing; not while anything is under way there.
    ///
    /// # Errors
    /// When the file cannot be opened again.
    pub(crate) async fn begin_copying(&mut self, space: WalSpace) -> Result<(), StoreError> {
        self.open().await?;
        let committed = self.begin_checkpoint();
        let (path, note) = (self.path.clone(), self.note.clone());
        self.tables.begin_copying(Rest { path, note, committed, space });
        Ok(())
    }

    /// Whether the WAL is being copied.
    pub(crate) fn is_copying(&self) -> bool {
        self.tables.is_copying()
    }

    /// Whether either is under way.
    pub(crate) fn is_busy_beside(&self) -> bool {
        self.is_storing() || self.is_copying()
    }

    /// What is executed and not swept.
    pub(crate) fn unswept(&self) -> Unswept {
        let deletions = self.ahead.as_ref().map_or_else(Unswept::default, Ahead::unswept);
        Unswept { revisions: self.unswept_revisions(), ..deletions }
    }

    fn unswept_revisions(&self) -> u64 {
        let executed = self.ahead.as_ref().map_or(&self.row.meta, |ahead| ahead.state().meta());
        executed.compacted_below.0.saturating_sub(self.row.retained.swept_through.0)
    }

    /// When the next lease or token ends, unless it is renewed. Milliseconds of replicated
    /// time.
    pub(crate) fn next_expiry_ms(&self) -> Option<u64> {
        self.ahead.as_ref().and_then(|ahead| ahead.state().next_expiry_ms())
    }

    /// Who may do what, in the state as executed; none after an error, until the file is open
    /// again.
    pub(crate) fn access(&self) -> Option<&Arc<Access>> {
        self.ahead.as_ref().map(|ahead| ahead.state().access())
    }

    /// How many locks are held.
    pub(crate) fn locks_held(&self) -> usize {
        self.ahead.as_ref().map_or(0, |ahead| ahead.state().locks().held())
    }

    /// Makes everything durable, and copies what it can of the WAL while nobody writes:
    /// where that is all of it, the WAL starts over.
    pub(crate) async fn checkpoint(&mut self) -> Result<Copied, StoreError> {
        let mut connection = self.take_connection().await?;
        let committed = self.begin_checkpoint();
        self.synced(&checkpoint::sync(&self.path, committed).await?);
        match checkpoint::copy(&mut connection, &self.path, &self.note).await {
            Ok(copied) => {
                self.tables.give_back(connection);
                Ok(copied)
            }
            Err(error) => {
                self.discard(connection).await;
                Err(error)
            }
        }
    }

    /// Notes which cluster the state is of, for good, and below which slot votes were cast
    /// by then.
    pub(crate) async fn join(&mut self, cluster: ClusterId, at: Slot) -> Result<(), StoreError> {
        let mut connection = self.take_connection().await?;
        let row = MetaRow { cluster: Some(cluster), joined_at: at, ..self.row.clone() };
        let result = meta::save(&mut connection, &row).await;
        match result {
            Ok(()) => {
                self.tables.give_back(connection);
                self.row = row;
            }
            Err(_) => self.discard(connection).await,
        }
        result
    }

    /// Makes everything durable and closes the file.
    pub(crate) async fn close(mut self) -> Result<(), StoreError> {
        self.store().await?;
        self.checkpoint().await?;
        let connection = self.take_connection().await?;
        checkpoint::close(connection, &self.path, &self.note).await
    }
}
