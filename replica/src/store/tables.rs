//! Who has the connection that writes: whoever asks for it, or a transaction that stores
//! what is executed while executing goes on.
#![expect(clippy::disallowed_methods, reason = "the shell starts tasks")]

use std::mem;

use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;
use tokio::task::JoinHandle;

use super::error::StoreError;
use super::storing::{JustStored, Unstored};

/// The connection, of which there is one.
#[derive(Debug)]
pub(super) struct Tables {
    held: Held,
    /// What a transaction has stored that its writer has not heard of.
    just_stored: Option<JustStored>,
}

#[derive(Debug)]
enum Held {
    Free(SqliteConnection),
    Storing(JoinHandle<Result<(SqliteConnection, JustStored), StoreError>>),
    /// Somebody has it, or it was closed.
    Nothing,
}

impl Tables {
    pub(super) fn new(connection: SqliteConnection) -> Self {
        Self { held: Held::Free(connection), just_stored: None }
    }

    /// Whether it has to be opened.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.held, Held::Nothing)
    }

    /// Whether a transaction is under way.
    pub(super) fn is_storing(&self) -> bool {
        matches!(self.held, Held::Storing(_))
    }

    /// Takes the connection out, after the transaction that is under way. Whoever has it
    /// gives it back, or closes it.
    ///
    /// # Errors
    /// When that transaction failed, or nobody has opened the connection.
    pub(super) async fn take(&mut self) -> Result<SqliteConnection, StoreError> {
        self.end_storing().await?;
        match mem::replace(&mut self.held, Held::Nothing) {
            Held::Free(connection) => Ok(connection),
            Held::Storing(_) | Held::Nothing => {
                Err(StoreError::Failed("the connection that writes is not open".to_owned()))
            }
        }
    }

    /// Has it again.
    pub(super) fn give_back(&mut self, connection: SqliteConnection) {
        self.held = Held::Free(connection);
    }

    /// Begins a transaction; not while there is one, nor while somebody has the connection.
    pub(super) fn begin_storing(&mut self, unstored: Unstored) {
        let Held::Free(mut connection) = mem::replace(&mut self.held, Held::Nothing) else {
            panic!("a transaction was begun without a connection");
        };
        self.held = Held::Storing(tokio::spawn(async move {
            match unstored.store(&mut connection).await {
                Ok(stored) => Ok((connection, stored)),
                Err(error) => {
                    close(connection).await;
                    Err(error)
                }
            }
        }));
    }

    /// Waits for the transaction that is under way, if there is one. It goes on when this is
    /// dropped.
    ///
    /// # Errors
    /// When it failed. The connection is closed then.
    pub(super) async fn end_storing(&mut self) -> Result<(), StoreError> {
        let Held::Storing(task) = &mut self.held else { return Ok(()) };
        let ended = task.await;
        self.held = Held::Nothing;
        let (connection, stored) = ended
            .map_err(|error| StoreError::Failed(format!("storing what is executed: {error}")))
            .flatten()?;
        (self.held, self.just_stored) = (Held::Free(connection), Some(stored));
        Ok(())
    }

    /// What a transaction has stored since this was asked last.
    pub(super) fn just_stored(&mut self) -> Option<JustStored> {
        self.just_stored.take()
    }

    /// Closes the connection, if it is here.
    pub(super) async fn close(&mut self) {
        if let Held::Free(connection) = mem::replace(&mut self.held, Held::Nothing) {
            close(connection).await;
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
