//! Holds every row of a file against its checksum, when the file is opened and is small
//! enough for that.

use futures::TryStreamExt;
use shared::ids::Slot;
use sqlx::sqlite::SqliteConnection;

use super::error::StoreError;
use super::log::log_row;
use super::record::{Checked, counter, item_of};

/// Reads the whole log and every version of every key.
pub(super) async fn rows(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    log(connection).await?;
    versions(connection).await
}

async fn log(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    const SQL: &str = "SELECT slot, ballot_round, ballot_coordinator, value, hash, revision, sum FROM log ORDER BY slot";
    let mut rows = sqlx::query(SQL).persistent(false).fetch(connection);
    let (mut due, mut hash) = (Slot(0), [0; 32]);
    while let Some(row) = rows.try_next().await? {
        let slot = counter(&row, 0)?;
        if slot != due.0 {
            return Err(StoreError::Damaged(format!(
                "the log has slot {slot} where slot {due} is due"
            )));
        }
        let read = log_row(&row, hash)?;
        (due, hash) = (due.next(), read.hash);
    }
    Ok(())
}

async fn versions(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    const SQL: &str = "SELECT key, revision, created_revision, version, sum, content_type, value, (SELECT revision FROM meta) \
        FROM versions ORDER BY id";
    let mut rows = sqlx::query(SQL).persistent(false).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let _item = item_of(&row, 0, Checked::Whole)?;
        let (revision, present) = (counter(&row, 1)?, counter(&row, 7)?);
        if revision > present {
            return Err(StoreError::Damaged(format!(
                "there is a record of revision {revision}, but meta says {present}"
            )));
        }
    }
    Ok(())
}
