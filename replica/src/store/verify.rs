//! What is checked when a file is opened: that `meta` and the end of the log are of one
//! state; and where the file is small enough for that, every row against its checksum.

use futures::TryStreamExt;
use shared::ids::{Revision, Slot};
use shared::page::PageLimits;
use sqlx::sqlite::SqliteConnection;

use super::access;
use super::answers;
use super::authors;
use super::error::StoreError;
use super::log::{self, LogQuery};
use super::meta::{self, MetaRow};
use super::record::{Checked, counter, item_of};
use super::tenure;
use crate::machine::chain::ChainHash;
use crate::machine::state::Meta;

/// So much of the log is held in memory at once.
const PAGE_SLOTS: usize = 256;
const PAGE_BYTES: usize = 8 << 20;

/// Reads `meta`, and holds it against itself and against the last slot of the log.
pub(super) async fn meta(connection: &mut SqliteConnection) -> Result<MetaRow, StoreError> {
    let row = meta::load(connection).await?;
    match inconsistency(connection, &row).await? {
        None => Ok(row),
        Some(what) => Err(StoreError::Damaged(what)),
    }
}

async fn inconsistency(
    connection: &mut SqliteConnection,
    row: &MetaRow,
) -> Result<Option<String>, StoreError> {
    let MetaRow { meta, cluster: _, joined_at: _, retained } = row;
    let (compacted, revision) = (meta.compacted_below, meta.revision);
    if compacted > revision {
        return Ok(Some(format!("meta says compacted below {compacted} and revision {revision}")));
    }
    if retained.swept_through > compacted {
        let swept = retained.swept_through;
        return Ok(Some(format!("meta says compacted below {compacted} and swept to {swept}")));
    }
    // Those before it are still to be swept.
    let last: Option<i64> = sqlx::query_scalar("SELECT max(slot) FROM log WHERE slot >= ?")
        .bind(retained.log_start.0.cast_signed())
        .fetch_one(&mut *connection)
        .await?;
    let Some(slot) = last.map(|last| Slot(last.cast_unsigned())) else {
        let started = (meta.executed_below, meta.hash);
        let is_right = started == (retained.log_start, retained.log_start_hash)
            && (started.0 > Slot(0) || *meta == Meta::default());
        return Ok((!is_right).then(|| format!("the log is empty, but meta says {row:?}")));
    };
    if slot.next() != meta.executed_below {
        return Ok(Some(format!(
            "the log ends with slot {slot}, but meta says that slots below {} are executed",
            meta.executed_below
        )));
    }
    let query = LogQuery { from: slot, page: PageLimits { items: 1, bytes: 0 } };
    let Some(row) = log::rows(connection, &query, retained).await?.pop() else {
        return Ok(Some(format!("slot {slot} is gone")));
    };
    let (hash, revision) = (ChainHash(row.hash), row.revision);
    if (hash, revision) != (meta.hash, meta.revision) {
        let (said, has) = ((meta.hash, meta.revision), (hash, revision));
        return Ok(Some(format!(
            "meta says hash and revision {said:?}, but slot {slot} has {has:?}"
        )));
    }
    Ok(None)
}

/// Reads the whole log and every version of every key.
pub(super) async fn rows(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    versions(connection).await?;
    live(connection).await?;
    answers::verify(connection).await?;
    tenure::verify(connection).await?;
    tokens_and_policies(connection).await?;
    authors::verify(connection).await?;
    log(connection).await
}

/// The same, and what is wrong with each kind of rows though others are wrong, too.
pub(super) async fn each(connection: &mut SqliteConnection) -> [Result<(), StoreError>; 7] {
    [
        versions(connection).await,
        live(connection).await,
        answers::verify(connection).await,
        tenure::verify(connection).await,
        tokens_and_policies(connection).await,
        authors::verify(connection).await,
        log(connection).await,
    ]
}

/// They are held against their number in `meta` as they are read.
async fn tokens_and_policies(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let said = meta::load(&mut *connection).await?.meta.access;
    access::load(connection, &said).await.map(drop)
}

/// The values of the log are partly in the versions, so those come first.
async fn log(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let retained = meta::load(&mut *connection).await?.retained;
    let mut from = retained.log_start;
    let mut revision = Revision(0);
    loop {
        let query = LogQuery { from, page: PageLimits { items: PAGE_SLOTS, bytes: PAGE_BYTES } };
        let page = log::rows(connection, &query, &retained).await?;
        for row in &page {
            if row.revision < revision {
                let (slot, back) = (row.slot, row.revision);
                let what = format!("slot {slot} is at revision {back}, after revision {revision}");
                return Err(StoreError::Damaged(what));
            }
            revision = row.revision;
        }
        let Some(last) = page.last() else { return Ok(()) };
        from = last.slot.next();
    }
}

async fn versions(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    const SQL: &str = "SELECT key, revision, created_revision, version, lease, sum, content_type, \
        value, (SELECT revision FROM meta) \
        FROM versions ORDER BY id";
    let mut rows = sqlx::query(SQL).persistent(false).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let _item = item_of(&row, 0, Checked::Whole)?;
        let (revision, present) = (counter(&row, 1)?, counter(&row, 8)?);
        if revision > present {
            return Err(StoreError::Damaged(format!(
                "there is a record of revision {revision}, but meta says {present}"
            )));
        }
    }
    Ok(())
}

/// Every key that exists is in `live` with its newest version and that one's lease, and no other
/// is.
async fn live(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    const SQL: &str = "WITH current AS (SELECT key, revision, lease FROM versions v WHERE value IS \
        NOT NULL \
        AND NOT EXISTS (SELECT 1 FROM versions w WHERE w.key = v.key AND w.revision > v.revision)) \
        SELECT (SELECT count(*) FROM current), (SELECT count(*) FROM live), \
        (SELECT count(*) FROM current c JOIN live l ON l.key = c.key AND l.revision = c.revision \
        AND l.lease IS c.lease)";
    let row = sqlx::query(SQL).persistent(false).fetch_one(connection).await?;
    let (current, live, both) = (counter(&row, 0)?, counter(&row, 1)?, counter(&row, 2)?);
    if current == both && live == both {
        return Ok(());
    }
    Err(StoreError::Damaged(format!(
        "{current} keys exist by their versions, {live} by the list of live keys, {both} by both \
         and with the same lease"
    )))
}
