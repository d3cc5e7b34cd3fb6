//! The one row of `meta`.

use shared::ids::{BatchNumber, ClusterId, Revision, Slot};
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::error::StoreError;
use super::log::{self, LogQuery, hash_of};
use super::record::counter;
use super::sum;
use crate::machine::chain::ChainHash;
use crate::machine::working_set::Meta;

/// Reads it: how far the state has come, and of which cluster it is, where that is known.
pub(super) async fn load(
    connection: &mut SqliteConnection,
) -> Result<(Meta, Option<ClusterId>), StoreError> {
    const SQL: &str =
        "SELECT executed_below, revision, hash, view, next_batch, time_ms, cluster, sum FROM meta";
    let row = sqlx::query(SQL).fetch_one(connection).await?;
    let text: Option<&str> = row.try_get(3)?;
    let view = text
        .map(serde_json::from_str)
        .transpose()
        .map_err(|error| StoreError::Damaged(format!("meta.view: {error}")))?;
    let cluster = row.try_get::<Option<i64>, _>(6)?.map(|id| ClusterId(id.cast_unsigned()));
    let meta = Meta {
        executed_below: Slot(counter(&row, 0)?),
        revision: Revision(counter(&row, 1)?),
        hash: ChainHash(hash_of(&row, 2)?),
        view,
        next_batch: BatchNumber(counter(&row, 4)?),
        time_ms: counter(&row, 5)?,
    };
    if row.try_get::<&[u8], _>(7)? != sum::of_meta(&meta, text, cluster) {
        return Err(StoreError::Damaged(format!(
            "meta does not match its checksum: {meta:?} of cluster {cluster:?}"
        )));
    }
    Ok((meta, cluster))
}

/// Writes how far the state has come, in the transaction at hand.
pub(super) async fn save(
    connection: &mut SqliteConnection,
    meta: &Meta,
    cluster: Option<ClusterId>,
) -> Result<(), StoreError> {
    const SQL: &str = "UPDATE meta SET executed_below = ?, revision = ?, hash = ?, view = ?, \
        next_batch = ?, time_ms = ?, \
        cluster = ?, sum = ?";
    let view =
        meta.view.as_ref().map(|view| serde_json::to_string(view).expect("a view is plain JSON"));
    let sum = sum::of_meta(meta, view.as_deref(), cluster);
    sqlx::query(SQL)
        .bind(meta.executed_below.0.cast_signed())
        .bind(meta.revision.0.cast_signed())
        .bind(meta.hash.0.to_vec())
        .bind(view)
        .bind(meta.next_batch.0.cast_signed())
        .bind(meta.time_ms.cast_signed())
        .bind(cluster.map(|cluster| cluster.0.cast_signed()))
        .bind(sum.to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// Holds the row against the last slot of the log; says what does not fit.
pub(super) async fn inconsistency(
    connection: &mut SqliteConnection,
    meta: &Meta,
) -> Result<Option<String>, StoreError> {
    let last: Option<i64> =
        sqlx::query_scalar("SELECT max(slot) FROM log").fetch_one(&mut *connection).await?;
    let Some(slot) = last.map(|last| Slot(last.cast_unsigned())) else {
        let expected = Meta::default();
        return Ok((*meta != expected).then(|| format!("the log is empty, but meta says {meta:?}")));
    };
    if slot.next() != meta.executed_below {
        return Ok(Some(format!(
            "the log ends with slot {slot}, but meta says that slots below {} are executed",
            meta.executed_below
        )));
    }
    let query = LogQuery { from: slot, limit: 1, max_bytes: 0 };
    let Some(row) = log::rows(connection, &query).await?.pop() else {
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
