//! The connection, and what is ahead of its tables: taken, given back, and opened again after
//! an error.

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnection;

use super::{Ahead, StoreError, Writer};
use crate::machine::execute::Run;
use crate::store::{meta, schema, tables};

impl Writer {
    pub(super) async fn take_connection(&mut self) -> Result<SqliteConnection, StoreError> {
        self.open().await?;
        let taken = self.tables.take().await;
        if taken.is_err() {
            self.ahead = None;
        }
        self.note_ended();
        taken
    }

    /// Opens the file again after an error: it says what of what failed is in it.
    pub(super) async fn open(&mut self) -> Result<(), StoreError> {
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
    pub(super) async fn take_ahead(&mut self) -> Result<Ahead, StoreError> {
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
    pub(super) async fn take(&mut self) -> Result<(SqliteConnection, Ahead), StoreError> {
        let ahead = self.take_ahead().await?;
        let connection = self.tables.take().await;
        self.note_ended();
        Ok((connection?, ahead))
    }

    pub(super) fn keep(&mut self, connection: SqliteConnection, ahead: Ahead) {
        self.tables.give_back(connection);
        self.ahead = Some(ahead);
    }

    pub(super) async fn discard(&mut self, connection: SqliteConnection) {
        self.ahead = None;
        tables::close(connection).await;
    }
}
