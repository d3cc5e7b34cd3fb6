//! Reads that are of one state.

use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use super::error::{ReadError, StoreError};

/// Reads in one transaction, so that all that is read is of one state.
pub(super) async fn in_transaction<T>(
    connection: &mut SqliteConnection,
    read: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    let mut transaction = connection.begin().await.map_err(StoreError::from)?;
    let found = read(&mut transaction).await?;
    transaction.commit().await.map_err(StoreError::from)?;
    Ok(found)
}
