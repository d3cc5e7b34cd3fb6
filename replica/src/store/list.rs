//! Pages of keys in byte order, as of a revision.
//!
//! Because every version is kept, a page at a revision is the same whenever it is read: a
//! listing of any length needs no snapshot held open between its pages. The statement
//! hops from key to key over the index, so that a key with a long history costs no more
//! than another; how many keys it visits is bounded too, since deleted ones are visited
//! and not returned.

use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use shared::ids::Revision;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::error::StoreError;
use super::reader::ReadError;
use super::record::{Checked, Item, counter, item_of};

/// The most keys that one page visits, deleted ones among them: a few milliseconds.
const VISITED_PER_PAGE: u32 = 8_192;

/// Which way a listing runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// By byte order.
    Ascending,
    /// Against it.
    Descending,
}

/// What a listing shows of each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// Everything.
    Values,
    /// All but the value.
    KeysOnly,
}

/// A page that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct ListQuery {
    /// The lowest key that may be listed.
    pub(crate) from: Bytes,
    /// Keys from here on are not listed; [`ABOVE_EVERY_KEY`] where there is no bound.
    pub(crate) below: Bytes,
    /// As of which revision; the present one where none is given.
    pub(crate) at: Option<Revision>,
    /// Which way.
    pub(crate) order: Order,
    /// What of each key.
    pub(crate) show: Show,
    /// The most keys.
    pub(crate) limit: usize,
    /// The most bytes of keys and values; a page has at least one key where there is one.
    pub(crate) max_bytes: usize,
}

/// Keys are UTF-8, which has no such byte.
pub(crate) const ABOVE_EVERY_KEY: &[u8] = &[0xff];

/// A page.
#[derive(Debug)]
pub(crate) struct ListPage {
    /// The keys, in the order asked for.
    pub(crate) items: Vec<Item>,
    /// As of which revision.
    pub(crate) at: Revision,
    /// The last key that was looked at, where there may be more behind it.
    pub(crate) more_after: Option<Bytes>,
}

macro_rules! list_sql {
    ($next:literal, $order:literal, $value:literal) => {
        concat!(
            "WITH RECURSIVE hop(key, visited) AS (",
            "SELECT * FROM (SELECT key, 1 FROM versions WHERE key >= ?1 AND key < ?2 ORDER BY key ",
            $order,
            " LIMIT 1) ",
            "UNION ALL SELECT (SELECT key FROM versions WHERE ",
            $next,
            " ORDER BY key ",
            $order,
            " LIMIT 1), visited + 1 ",
            "FROM hop WHERE hop.key IS NOT NULL AND visited < ?4) ",
            "SELECT hop.key, visited, v.key, v.revision, v.created_revision, v.version, v.sum, v.content_type, ",
            $value,
            " ",
            "FROM hop LEFT JOIN versions v ON v.id = ",
            "(SELECT id FROM versions WHERE key = hop.key AND revision <= ?3 ORDER BY revision DESC LIMIT 1) ",
            "WHERE hop.key IS NOT NULL"
        )
    };
}

const ASCENDING: &str = list_sql!("key > hop.key AND key < ?2", "ASC", "v.value");
const DESCENDING: &str = list_sql!("key >= ?1 AND key < hop.key", "DESC", "v.value");
const ASCENDING_KEYS: &str = list_sql!(
    "key > hop.key AND key < ?2",
    "ASC",
    "CASE WHEN v.value IS NULL THEN NULL ELSE x'' END"
);
const DESCENDING_KEYS: &str = list_sql!(
    "key >= ?1 AND key < hop.key",
    "DESC",
    "CASE WHEN v.value IS NULL THEN NULL ELSE x'' END"
);

/// Where a row of the statements has key and record.
pub(super) const RECORD_COLUMN: usize = 2;

/// Every key with the prefix, however many, without its value; deleted ones have none of
/// what stands for one.
pub(super) fn scan_prefix<'c>(
    connection: &'c mut SqliteConnection,
    prefix: &str,
) -> BoxStream<'c, Result<SqliteRow, sqlx::Error>> {
    sqlx::query(ASCENDING_KEYS)
        .bind(prefix.as_bytes().to_vec())
        .bind([prefix.as_bytes(), ABOVE_EVERY_KEY].concat())
        .bind(i64::MAX)
        .bind(i64::MAX)
        .fetch(connection)
}

/// Reads a page, in one read transaction.
pub(super) async fn page(
    connection: &mut SqliteConnection,
    query: &ListQuery,
) -> Result<ListPage, ReadError> {
    sqlx::query("BEGIN").execute(&mut *connection).await.map_err(StoreError::from)?;
    let result = page_in_transaction(connection, query).await;
    sqlx::query("COMMIT").execute(&mut *connection).await.map_err(StoreError::from)?;
    result
}

async fn page_in_transaction(
    connection: &mut SqliteConnection,
    query: &ListQuery,
) -> Result<ListPage, ReadError> {
    let row = sqlx::query("SELECT revision FROM meta")
        .fetch_one(&mut *connection)
        .await
        .map_err(StoreError::from)?;
    let revision = Revision(counter(&row, 0)?);
    let at = query.at.unwrap_or(revision);
    if at > revision {
        return Err(ReadError::Future { asked: at, present: revision });
    }
    let mut page = ListPage { items: Vec::new(), at, more_after: None };
    read_items(connection, query, &mut page).await?;
    Ok(page)
}

async fn read_items(
    connection: &mut SqliteConnection,
    query: &ListQuery,
    page: &mut ListPage,
) -> Result<(), StoreError> {
    let (sql, checked) = match (query.order, query.show) {
        (Order::Ascending, Show::Values) => (ASCENDING, Checked::Whole),
        (Order::Descending, Show::Values) => (DESCENDING, Checked::Whole),
        (Order::Ascending, Show::KeysOnly) => (ASCENDING_KEYS, Checked::Head),
        (Order::Descending, Show::KeysOnly) => (DESCENDING_KEYS, Checked::Head),
    };
    let mut rows = sqlx::query(sql)
        .bind(query.from.to_vec())
        .bind(query.below.to_vec())
        .bind(page.at.0.cast_signed())
        .bind(VISITED_PER_PAGE)
        .fetch(&mut *connection);
    let mut bytes = 0;
    let mut last_visited = None;
    while let Some(row) = rows.try_next().await? {
        let visited: &[u8] = row.try_get(0)?;
        if let Some(item) = item_of(&row, RECORD_COLUMN, checked)? {
            let size = item.key.len() + item.value.len();
            let fits = page.items.len() < query.limit
                && (page.items.is_empty() || bytes + size <= query.max_bytes);
            if !fits {
                page.more_after = last_visited;
                return Ok(());
            }
            bytes += size;
            page.items.push(item);
        }
        last_visited = Some(Bytes::copy_from_slice(visited));
        if counter(&row, 1)? >= u64::from(VISITED_PER_PAGE) {
            page.more_after = last_visited;
            return Ok(());
        }
    }
    Ok(())
}
