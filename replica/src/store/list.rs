//! Pages of keys in byte order, as of a revision.
//!
//! Because every version is kept, a page at a revision is the same whenever it is read: a
//! listing of any length needs no snapshot held open between its pages. The present is
//! read from the list of live keys, and costs by those. At an older revision the
//! statement hops from key to key over the index of versions, so that a key with a long
//! history costs no more than another; there, keys that are deleted are visited and not
//! returned. How many a statement visits is bounded, so that none holds a connection for
//! long: whoever gets nothing has to go on.

mod statements;

use bytes::Bytes;
use futures::TryStreamExt;
use shared::ids::Revision;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::error::StoreError;
use super::keys;
use super::reader::ReadError;
use super::record::{Checked, Item, counter, item_of};

/// The most keys that one statement visits, deleted ones among them: some milliseconds.
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

/// A question how many keys there were.
#[derive(Clone, Debug)]
pub(crate) struct CountQuery {
    /// The lowest key that counts.
    pub(crate) from: Bytes,
    /// Keys from here on do not count.
    pub(crate) below: Bytes,
    /// As of which revision.
    pub(crate) at: Revision,
}

impl CountQuery {
    /// How many keys with a prefix there were.
    pub(crate) fn of_prefix(prefix: &str, at: Revision) -> Self {
        let below = Bytes::from([prefix.as_bytes(), ABOVE_EVERY_KEY].concat());
        Self { from: Bytes::copy_from_slice(prefix.as_bytes()), below, at }
    }
}

/// A part of the answer.
#[derive(Debug)]
pub(crate) struct Counted {
    /// How many there were among the keys looked at.
    pub(crate) keys: u64,
    /// What is still to be asked; none at the end.
    pub(crate) rest: Option<CountQuery>,
}

/// The lowest key above another.
pub(crate) fn lowest_above(key: &[u8]) -> Bytes {
    Bytes::from([key, &[0]].concat())
}

impl ListQuery {
    /// What to ask where a page shows nothing and does not come to the end.
    pub(super) fn beyond(&self, page: &ListPage) -> Option<Self> {
        let last = page.more_after.as_ref().filter(|_| page.items.is_empty())?;
        let rest = Self { at: Some(page.at), ..self.clone() };
        Some(match self.order {
            Order::Ascending => Self { from: lowest_above(last), ..rest },
            Order::Descending => Self { below: last.clone(), ..rest },
        })
    }
}

/// Where a row of the statements has key and record.
const RECORD_COLUMN: usize = 2;

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
    const STATE: &str = "SELECT revision, EXISTS (SELECT 1 FROM range_tombstones) FROM meta";
    let row = sqlx::query(STATE).fetch_one(&mut *connection).await.map_err(StoreError::from)?;
    let (revision, sweeping) = (Revision(counter(&row, 0)?), counter(&row, 1)? != 0);
    let at = query.at.unwrap_or(revision);
    if at > revision {
        return Err(ReadError::Future { asked: at, present: revision });
    }
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
        .bind(i64::try_from(query.limit).unwrap_or(i64::MAX).saturating_add(1))
        .fetch(&mut *connection);
    let mut bytes = 0;
    while let Some(row) = rows.try_next().await? {
        let item = item_of(&row, RECORD_COLUMN, query.show.checked())?;
        let item = item.ok_or_else(keys::without_version)?;
        if !page.takes(item, query, &mut bytes) {
            page.more_after = page.items.last().map(|item| item.key.clone());
            return Ok(page);
        }
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
    let mut bytes = 0;
    let mut last_visited = None;
    while let Some(row) = rows.try_next().await? {
        let visited: &[u8] = row.try_get(0)?;
        if let Some(item) = item_of(&row, RECORD_COLUMN, query.show.checked())?
            && !page.takes(item, query, &mut bytes)
        {
            page.more_after = last_visited;
            return Ok(page);
        }
        last_visited = Some(Bytes::copy_from_slice(visited));
        if counter(&row, 1)? >= u64::from(VISITED_PER_PAGE) {
            page.more_after = last_visited;
            return Ok(page);
        }
    }
    Ok(page)
}

impl Show {
    fn checked(self) -> Checked {
        match self {
            Self::Values => Checked::Whole,
            Self::KeysOnly => Checked::Head,
        }
    }
}

impl ListPage {
    /// Takes an item, if there is room for it.
    fn takes(&mut self, item: Item, query: &ListQuery, bytes: &mut usize) -> bool {
        let size = item.key.len() + item.value.len();
        let fits = self.items.len() < query.limit
            && (self.items.is_empty() || *bytes + size <= query.max_bytes);
        if fits {
            *bytes += size;
            self.items.push(item);
        }
        fits
    }
}

/// Counts the first of the keys asked for.
pub(super) async fn count(
    connection: &mut SqliteConnection,
    query: &CountQuery,
) -> Result<Counted, StoreError> {
    let row = sqlx::query(statements::COUNT)
        .bind(query.from.to_vec())
        .bind(query.below.to_vec())
        .bind(query.at.0.cast_signed())
        .bind(VISITED_PER_PAGE)
        .fetch_one(connection)
        .await?;
    let keys = counter(&row, 0)?;
    let visited: Option<i64> = row.try_get(1)?;
    let last: Option<Vec<u8>> = row.try_get(2)?;
    let last = last.filter(|_| visited.is_some_and(|visited| visited >= VISITED_PER_PAGE.into()));
    let rest = last.map(|last| CountQuery { from: lowest_above(&last), ..query.clone() });
    Ok(Counted { keys, rest })
}
