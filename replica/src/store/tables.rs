//! Who has the connection that writes: whoever asks for it, or what is done on it while
//! executing goes on: a transaction that stores what is executed, or copying the rest of the
//! WAL.
#![expect(clippy::disallowed_methods, reason = "the shell starts tasks")]

use std::mem;

use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;
use tokio::task::JoinHandle;

use super::checkpoint::{Rest, Synced};
use super::error::StoreError;
use super::storing::{JustStored, Unstored};

/// The connection, of which there is one.
#[derive(Debug)]
pub(super) struct Tables {
    held: Held,
    /// What was done beside executing that its writer has not heard of.
    ended: Vec<Ended>,
}

/// What was done beside executing.
#[derive(Debug)]
pub(super) enum Ended {
    /// A transaction.
    Stored(Box<JustStored>),
    /// Copying, before which this was made durable.
    Copied(Synced),
}

type Beside = JoinHandle<Result<(SqliteConnection, Ended), StoreError>>;

#[derive(Debug)]
enum Held {
    Free(SqliteConnection),
    Storing(Beside),
    Copying(Beside),
    /// Somebody has it, or it was closed.
    Nothing,
}

impl Tables {
    pub(super) fn new(connection: SqliteConnection) -> Self {
        Self { held: Held::Free(connection), ended: Vec::new() }
    }

    /// Whether it has to be opened.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.held, Held::Nothing)
    }

    /// Whether a transaction is under way.
    pub(super) fn is_storing(&self) -> bool {
        matches!(self.held, Held::Storing(_))
    }

    /// Whether the WAL is being copied.
    pub(super) fn is_copying(&self) -> bool {
        matches!(self.held, Held::Copying(_))
    }

    /// Takes the connection out, after what is under way on it. Whoever has it gives it back,
    /// or closes it.
    ///
    /// # Errors
    /// When that failed, or nobody has opened the connection.
    pub(super) async fn take(&mut self) -> Result<SqliteConnection, StoreError> {
        self.end().await?;
        match mem::replace(&mut self.held, Held::Nothing) {
            Held::Free(connection) => Ok(connection),
            Held::Storing(_) | Held::Copying(_) | Held::Nothing => {
                Err(StoreError::Failed("the connection that writes is not open".to_owned()))
            }
        }
    }

    /// Has it again.
    pub(super) fn give_back(&mut self, connection: SqliteConnection) {
        self.held = Held::Free(connection);
    }

    /// Begins a transaction; not while anything is under way, nor while somebody has the
    /// connection.
    pub(super) fn begin_storing(&mut self, unstored: Unstored) {
        let mut connection = self.begin();
        self.held = Held::Storing(tokio::spawn(async move {
            let stored = unstored.store(&mut connection).await;
            keep(connection, stored.map(|stored| Ended::Stored(Box::new(stored)))).await
        }));
    }

    /// Begins to copy the rest of the WAL; when, as above.
    pub(super) fn begin_copying(&mut self, rest: Rest) {
        let mut connection = self.begin();
        self.held = Held::Copying(tokio::spawn(async move {
            let synced = rest.copy(&mut connection).await;
            keep(connection, synced.map(Ended::Copied)).await
        }));
    }

    fn begin(&mut self) -> SqliteConnection {
        match mem::replace(&mut self.held, Held::Nothing) {
            Held::Free(connection) => connection,
            Held::Storing(_) | Held::Copying(_) | Held::Nothing => {
                panic!("something was begun without a connection")
            }
        }
    }

    /// Waits for what is under way, if there is anything. It goes on when this is dropped.
    ///
    /// # Errors
    /// When it failed. The connection is closed then.
    pub(super) async fn end(&mut self) -> Result<(), StoreError> {
        let (Held::Storing(task) | Held::Copying(task)) = &mut self.held else { return Ok(()) };
        let ended = task.await;
        self.held = Held::Nothing;
        let (connection, ended) = ended
            .map_err(|error| StoreError::Failed(format!("what was done beside executing: {error}")))
            .flatten()?;
        self.held = Held::Free(connection);
        self.ended.push(ended);
        Ok(())
    }

    /// What was done since this was asked last.
    pub(super) fn take_ended(&mut self) -> Vec<Ended> {
        mem::take(&mut self.ended)
    }

    /// Closes the connection, if it is here.
    pub(super) async fn close(&mut self) {
        if let Held::Free(connection) = mem::replace(&mut self.held, Held::Nothing) {
            close(connection).await;
        }
    }
}

async fn keep(
    connection: SqliteConnection,
    ended: Result<Ended, StoreError>,
) -> Result<(SqliteConnection, Ended), StoreError> {
    match ended {
        Ok(ended) => Ok((connection, ended)),
        Err(error) => {
            close(connection).await;
            Err(error)
        }
    }
}

/// A connection on which something failed may or may not be in a transaction: closing it
/// ends that.
pub(super) async fn close(connection: SqliteConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "closing the connection after an error failed");
    }
}
