//! Pages of keys in byte order, as of a revision.
//!
//! Because every version is kept, a page at a revision is the same whenever it is read: a
//! listing of any length needs no snapshot held open between its pages. The present is
//! read from the list of live keys, and costs by those. At an older revision the
//! statement hops from key to key over the index of versions, so that a key with a long
//! history costs no more than another; there, keys that are deleted are visited and not
//! returned. How many a statement visits is bounded, so that none holds a connection for
//! long: whoever gets nothing has to go on.

mod query;
mod statements;

use bytes::Bytes;
use futures::TryStreamExt;
use shared::ids::Revision;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

pub(crate) use self::query::{CountQuery, Counted, ListPage, ListQuery, Order, Show};
use crate::store::bounds::lowest_above;
use crate::store::error::{ReadError, RevisionError, StoreError};
use crate::store::record::{counter, item_of};
use crate::store::transaction::in_transaction;
use crate::store::versions;

/// The most keys that one statement visits, deleted ones among them: some milliseconds.
const VISITED_PER_PAGE: u32 = 8_192;
/// The most keys of each index that one statement counts: about as long.
const COUNTED_AT_ONCE: u32 = 65_536;

/// Where a row of the statements has key and record.
const RECORD_COLUMN: usize = 2;

/// Reads a page, in one read transaction.
pub(super) async fn page(
    connection: &mut SqliteConnection,
    query: &ListQuery,
) -> Result<ListPage, ReadError> {
    in_transaction(connection, async |connection| page_in_transaction(connection, query).await)
        .await
}

async fn page_in_transaction(
    connection: &mut SqliteConnection,
    query: &ListQuery,
) -> Result<ListPage, ReadError> {
    const STATE: &str = "SELECT revision, compacted_below, EXISTS (SELECT 1 FROM range_tombstones) \
        OR EXISTS (SELECT 1 FROM ended_leases) FROM meta";
    let row = sqlx::query(STATE).fetch_one(&mut *connection).await.map_err(StoreError::from)?;
    let (revision, oldest) = (Revision(counter(&row, 0)?), Revision(counter(&row, 1)?));
    let sweeping = counter(&row, 2)? != 0;
    let at = RevisionError::check(query.at, revision, oldest)?;
    let page = ListPage { items: Vec::new(), at, more_after: None };
    if at < revision {
        return Ok(past(connection, query, page).await?);
    }
    // Keys that are still to be swept are live and not shown.
    let last = if sweeping { nth_live(connection, query).await? } else { None };
    Ok(present(connection, query, page, last).await?)
}

/// The last key that a page looks at, where there may be more behind it.
async fn nth_live(
    connection: &mut SqliteConnection,
    query: &ListQuery,
) -> Result<Option<Bytes>, StoreError> {
    let row = sqlx::query(statements::nth_live(query.order))
        .bind(query.from.to_vec())
        .bind(query.below.to_vec())
        .bind(VISITED_PER_PAGE - 1)
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok(Bytes::from(row.try_get::<Vec<u8>, _>(0)?))).transpose()
}

async fn present(
    connection: &mut SqliteConnection,
    query: &ListQuery,
    mut page: ListPage,
    last: Option<Bytes>,
) -> Result<ListPage, StoreError> {
    let (mut from, mut below) = (query.from.clone(), query.below.clone());
    match (query.order, &last) {
        (Order::Ascending, Some(last)) => below = lowest_above(last),
        (Order::Descending, Some(last)) => from = last.clone(),
        (Order::Ascending | Order::Descending, None) => {}
    }
    let mut rows = sqlx::query(statements::present(query.order, query.show))
        .bind(from.to_vec())
        .bind(below.to_vec())
        .bind(page.at.0.cast_signed())
        // One more says whether there is more.
        .bind(i64::try_from(query.page.items).unwrap_or(i64::MAX).saturating_add(1))
        .fetch(&mut *connection);
    let mut room = query.page.begin();
    while let Some(row) = rows.try_next().await? {
        let item = item_of(&row, RECORD_COLUMN, query.show.checked())?;
        let item = item.ok_or_else(versions::missing)?;
        if !room.takes(item.bytes()) {
            page.more_after = page.items.last().map(|item| item.key.clone());
            return Ok(page);
        }
        page.items.push(item);
    }
    page.more_after = last;
    Ok(page)
}

async fn past(
    connection: &mut SqliteConnection,
    query: &ListQuery,
    mut page: ListPage,
) -> Result<ListPage, StoreError> {
    let mut rows = sqlx::query(statements::past(query.order, query.show))
        .bind(query.from.to_vec())
        .bind(query.below.to_vec())
        .bind(page.at.0.cast_signed())
        .bind(VISITED_PER_PAGE)
        .fetch(&mut *connection);
    let mut room = query.page.begin();
    let mut last_visited = None;
    while let Some(row) = rows.try_next().await? {
        let visited: &[u8] = row.try_get(0)?;
        if let Some(item) = item_of(&row, RECORD_COLUMN, query.show.checked())? {
            if !room.takes(item.bytes()) {
                page.more_after = last_visited;
                return Ok(page);
            }
            page.items.push(item);
        }
        last_visited = Some(Bytes::copy_from_slice(visited));
        if counter(&row, 1)? >= u64::from(VISITED_PER_PAGE) {
            page.more_after = last_visited;
            return Ok(page);
        }
    }
    Ok(page)
}

/// Counts the first of the keys asked for, in one read transaction.
///
/// A deletion that is being swept is in two places: the keys that are swept have a
/// tombstone of its revision, the others are still live, and written before it. Each is
/// counted over an index, and nothing is read of a record.
pub(super) async fn count(
    connection: &mut SqliteConnection,
    query: &CountQuery,
) -> Result<Counted, ReadError> {
    in_transaction(connection, async |connection| count_in_transaction(connection, query).await)
        .await
}

async fn count_in_transaction(
    connection: &mut SqliteConnection,
    query: &CountQuery,
) -> Result<Counted, ReadError> {
    let (from, below, deletion) = (query.from.to_vec(), query.below.to_vec(), query.deletion);
    let lease = query.lease.map(|lease| lease.0.cast_signed());
    let (state_sql, count_sql) = match lease {
        None => (statements::COUNT_STATE, statements::COUNT),
        Some(_) => (statements::COUNT_STATE_OF_LEASE, statements::COUNT_OF_LEASE),
    };
    let row = sqlx::query(state_sql)
        .bind(from.clone())
        .bind(below.clone())
        .bind(deletion.0.cast_signed())
        .bind(COUNTED_AT_ONCE)
        .bind(lease)
        .fetch_one(&mut *connection)
        .await
        .map_err(StoreError::from)?;
    let oldest = Revision(counter(&row, 0).map_err(ReadError::Store)?);
    // What was deleted at the oldest revision may be swept already.
    if deletion <= oldest {
        return Err(ReadError::Revision(RevisionError::Compacted { asked: deletion, oldest }));
    }
    let ends: [Option<Vec<u8>>; 2] =
        [row.try_get(1).map_err(StoreError::from)?, row.try_get(2).map_err(StoreError::from)?];
    let end = ends.into_iter().flatten().min();
    let row = sqlx::query(count_sql)
        .bind(from)
        .bind(end.clone().unwrap_or(below))
        .bind(deletion.0.cast_signed())
        .bind(COUNTED_AT_ONCE)
        .bind(lease)
        .fetch_one(connection)
        .await
        .map_err(StoreError::from)?;
    let keys = counter(&row, 0)?;
    let rest = end.map(|end| CountQuery { from: end.into(), ..query.clone() });
    Ok(Counted { keys, rest })
}
