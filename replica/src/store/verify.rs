//! Holds every row of a file against its checksum, when the file is opened and is small
//! enough for that.

use futures::TryStreamExt;
use shared::ids::Slot;
use sqlx::sqlite::SqliteConnection;

use super::error::StoreError;
use super::log::{self, LogQuery};
use super::record::{Checked, counter, item_of};

/// So much of the log is held in memory at once.
const PAGE_SLOTS: usize = 256;
const PAGE_BYTES: usize = 8 << 20;

/// Reads the whole log and every version of every key.
pub(super) async fn rows(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    versions(connection).await?;
    live(connection).await?;
    log(connection).await
}

/// The values of the log are partly in the versions, so those come first.
async fn log(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut from = Slot(0);
    loop {
        let query = LogQuery { from, limit: PAGE_SLOTS, max_bytes: PAGE_BYTES };
        let Some(last) = log::rows(connection, &query).await?.pop() else { return Ok(()) };
        from = last.slot.next();
    }
}

async fn versions(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    const SQL: &str = "SELECT key, revision, created_revision, version, sum, content_type, value, \
        (SELECT revision FROM meta) \
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

/// Every key that exists is in `live` with its newest version, and no other is.
async fn live(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    const SQL: &str = "WITH current AS (SELECT key, revision FROM versions v WHERE value IS NOT \
        NULL \
        AND NOT EXISTS (SELECT 1 FROM versions w WHERE w.key = v.key AND w.revision > v.revision)) \
        SELECT (SELECT count(*) FROM current), (SELECT count(*) FROM live), \
        (SELECT count(*) FROM current c JOIN live l ON l.key = c.key AND l.revision = c.revision)";
    let row = sqlx::query(SQL).persistent(false).fetch_one(connection).await?;
    let (current, live, both) = (counter(&row, 0)?, counter(&row, 1)?, counter(&row, 2)?);
    if current == both && live == both {
        return Ok(());
    }
    Err(StoreError::Damaged(format!(
        "{current} keys exist by their versions, {live} by the list of live keys, {both} by both"
    )))
}
