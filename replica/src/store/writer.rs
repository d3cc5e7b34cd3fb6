//! The one connection that writes. What makes durable what it wrote is in `checkpoint`.

mod sweeping;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use shared::ids::{ClusterId, Slot};
use shared::message::ChosenEntry;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnection;

use super::ahead::Ahead;
use super::checkpoint::{self, Committed, Copied, Rest, Synced, WalSpace};
use super::compaction::Sweeping;
use super::copying::CopyNote;
use super::error::StoreError;
use super::meta::{self, MetaRow};
use super::schema;
use super::tables::{self, Ended, Tables};
use crate::machine::access::Access;
use crate::machine::execute::{ExecutionReport, Run};
use crate::machine::state::Meta;
use crate::replica::event::Unswept;

/// So much is executed, at most, while as much is being stored: what that takes is some
/// milliseconds, for which whoever looks at keys that are not in memory waits.
const UNSTORED_BYTES: usize = 1 << 20;

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
            may_give_back: true,
        }
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

    /// Whether a transaction is under way that stores what is executed.
    pub(crate) fn is_storing(&self) -> bool {
        self.tables.is_storing()
    }

    /// Whether the WAL is being copied.
    pub(crate) fn is_copying(&self) -> bool {
        self.tables.is_copying()
    }

    /// Whether either is under way.
    pub(crate) fn is_busy_beside(&self) -> bool {
        self.is_storing() || self.is_copying()
    }

    /// Whether something is executed that no transaction stores yet.
    pub(crate) fn has_unstored(&self) -> bool {
        let waits = |ahead: &Ahead| ahead.has_unstored() || self.is_behind(ahead);
        !self.is_stored() && self.ahead.as_ref().is_none_or(waits)
    }

    /// Whether the file was opened again, and what was executed and not stored is yet to be
    /// executed again.
    fn is_behind(&self, ahead: &Ahead) -> bool {
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
    fn note_ended(&mut self) {
        for ended in self.tables.take_ended() {
            match ended {
                Ended::Stored(stored) => self.stored(stored.row, stored.bytes),
                Ended::Copied(synced) => self.synced(&synced),
            }
        }
    }

    fn stored(&mut self, row: MetaRow, bytes: usize) {
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

    /// How many rows it has inserted, changed or deleted in this life.
    #[cfg(test)]
    pub(crate) async fn rows_written(&mut self) -> u64 {
        let mut connection = self.take_connection().await.unwrap();
        let changes = sqlx::query("SELECT total_changes()").fetch_one(&mut connection).await;
        self.tables.give_back(connection);
        let changes = changes.unwrap();
        sqlx::Row::get::<i64, _>(&changes, 0).cast_unsigned()
    }

    /// Closes the connection, as after an error.
    #[cfg(test)]
    pub(crate) async fn lose(&mut self) {
        let connection = self.take_connection().await.unwrap();
        self.discard(connection).await;
    }

    /// Leaves no room in the file, until something fails and the connection is opened
    /// again.
    #[cfg(test)]
    pub(crate) async fn fill(&mut self) {
        let mut connection = self.take_connection().await.unwrap();
        sqlx::query("PRAGMA max_page_count = 1").execute(&mut connection).await.unwrap();
        self.tables.give_back(connection);
    }

    /// Makes everything durable and closes the file.
    pub(crate) async fn close(mut self) -> Result<(), StoreError> {
        self.store().await?;
        self.checkpoint().await?;
        let connection = self.take_connection().await?;
        checkpoint::close(connection, &self.path, &self.note).await
    }

    async fn take_connection(&mut self) -> Result<SqliteConnection, StoreError> {
        self.open().await?;
        let taken = self.tables.take().await;
        if taken.is_err() {
            self.ahead = None;
        }
        self.note_ended();
        taken
    }

    /// Opens the file again after an error: it says what of what failed is in it.
    async fn open(&mut self) -> Result<(), StoreError> {
        if !self.tables.is_closed() {
            return Ok(());
        }
        let options = schema::writer_options(&self.path).create_if_missing(false);
        let mut connection = options.connect().await?;
        self.row = meta::load(&mut connection).await?;
        self.ahead = Some(Ahead::load(&mut connection, &self.row.meta).await?);
        // A transaction that failed may have been carried out all the same.
        self.unstored.retain(|entry| entry.slot >= self.row.meta.executed_below);
        self.tables.give_back(connection);
        Ok(())
    }

    /// What is ahead of the tables: as far as executing had come.
    async fn take_ahead(&mut self) -> Result<Ahead, StoreError> {
        self.open().await?;
        let mut ahead = self.ahead.take().expect("a connection comes with what is ahead of it");
        if self.is_behind(&ahead) {
            let again = Run::new(self.unstored.clone());
            if let Err(error) = ahead.execute(&mut self.tables, again).await {
                self.tables.close().await;
                return Err(error);
            }
        }
        Ok(ahead)
    }

    /// The connection, and what is ahead of it. Only here, and not where a connection is
    /// opened, for that may begin a transaction, in which no WAL can be copied.
    async fn take(&mut self) -> Result<(SqliteConnection, Ahead), StoreError> {
        let ahead = self.take_ahead().await?;
        let connection = self.tables.take().await;
        self.note_ended();
        Ok((connection?, ahead))
    }

    fn keep(&mut self, connection: SqliteConnection, ahead: Ahead) {
        self.tables.give_back(connection);
        self.ahead = Some(ahead);
    }

    async fn discard(&mut self, connection: SqliteConnection) {
        self.ahead = None;
        tables::close(connection).await;
    }
}
