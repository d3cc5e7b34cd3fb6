//! What changed: revision by revision, and within one in byte order of the keys, each key
//! once.
//!
//! A change of a key is a row of `versions`, found by the index over revisions. Of a
//! deletion of many that is still being swept the keys are in two places, as for
//! counting (`list`): those that are swept, or were written again since, have a tombstone
//! of its revision; the others are live, and older than it. So what is read here is the
//! same however far a replica has swept.
//!
//! A page is read in one transaction and looks at a bounded number of rows of the indexes,
//! whatever it finds: whoever gets nothing has to go on at `through`.

mod position;
mod statements;

use bytes::Bytes;
use futures::TryStreamExt as _;
use shared::ids::{LeaseId, Revision};
use shared::page::PageLimits;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

pub(crate) use self::position::Position;
use crate::store::error::{ReadError, RevisionError, StoreError};
use crate::store::record::{Checked, Item, LEASE_COLUMN, counter, item_of, lease_of};
use crate::store::transaction::in_transaction;
use crate::store::versions;

/// The most rows of an index that one statement looks at: some milliseconds.
const VISITED_PER_PAGE: u32 = 8_192;

/// Where a row has the revision before.
const PREVIOUS_COLUMN: usize = 8;

/// Where a row of what is not swept says whether a lease expired.
const EXPIRED_COLUMN: usize = 8;

/// What a revision came to for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyChange {
    /// Which key.
    pub(crate) key: Bytes,
    /// The revision.
    pub(crate) revision: Revision,
    /// The revision that had written what was there before; none where nothing was.
    pub(crate) previous: Option<Revision>,
    /// What is there since; none where it was deleted.
    pub(crate) item: Option<Item>,
    /// The lease whose time was over, where that deleted it.
    pub(crate) expired: Option<LeaseId>,
}

impl KeyChange {
    fn bytes(&self) -> usize {
        self.item.as_ref().map_or(self.key.len(), Item::bytes)
    }
}

/// A page that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct HistoryQuery {
    /// What has been read already.
    pub(crate) after: Position,
    /// The lowest key that is of interest.
    pub(crate) from: Bytes,
    /// Keys from here on are not.
    pub(crate) below: Bytes,
    /// The most changes, and bytes of keys and values.
    pub(crate) page: PageLimits,
}

/// A page.
#[derive(Debug)]
pub(crate) struct HistoryPage {
    /// The changes, in order.
    pub(crate) changes: Vec<KeyChange>,
    /// There are no others up to here.
    pub(crate) through: Position,
}

/// Of which revisions the changes can be read: those above `oldest`, up to `present`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The revision of the state.
    pub(crate) present: Revision,
    /// The oldest one whose state can be read.
    pub(crate) oldest: Revision,
}

impl Extent {
    /// Holds what somebody has seen against it: neither in the future, nor compacted.
    pub(crate) fn check(self, seen: Revision) -> Result<Revision, ReadError> {
        Ok(RevisionError::check(Some(seen), self.present, self.oldest)?)
    }
}

/// Reads of which revisions the changes can be read.
pub(super) async fn extent(connection: &mut SqliteConnection) -> Result<Extent, ReadError> {
    const SQL: &str = "SELECT revision, compacted_below FROM meta";
    let row = sqlx::query(SQL).fetch_one(connection).await.map_err(StoreError::from)?;
    Ok(Extent { present: Revision(counter(&row, 0)?), oldest: Revision(counter(&row, 1)?) })
}

/// Reads a page, in one read transaction.
pub(super) async fn page(
    connection: &mut SqliteConnection,
    query: &HistoryQuery,
) -> Result<HistoryPage, ReadError> {
    in_transaction(connection, async |connection| page_in_transaction(connection, query).await)
        .await
}

async fn page_in_transaction(
    connection: &mut SqliteConnection,
    query: &HistoryQuery,
) -> Result<HistoryPage, ReadError> {
    let extent = extent(connection).await?;
    let after = extent.check(query.after.complete)?;
    if after == extent.present {
        return Ok(HistoryPage { changes: Vec::new(), through: query.after.clone() });
    }
    let page = match next_deletion(connection, after).await? {
        Some((revision, of)) if revision == after.next() => {
            deletion_page(connection, query, of).await?
        }
        Some((revision, _)) => {
            written_page(connection, query, Position::before(revision, Bytes::new())).await?
        }
        None => written_page(connection, query, Position::after(extent.present)).await?,
    };
    Ok(page)
}

/// What a deletion that is to be swept deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum DeletionOf {
    Prefixes,
    Lease(LeaseId),
}

/// The first deletion after a revision that is to be swept.
async fn next_deletion(
    connection: &mut SqliteConnection,
    after: Revision,
) -> Result<Option<(Revision, DeletionOf)>, StoreError> {
    let row = sqlx::query(statements::NEXT_DELETION)
        .bind(after.0.cast_signed())
        .fetch_one(connection)
        .await?;
    let revision = |column| -> Result<Option<Revision>, StoreError> {
        let revision: Option<i64> = row.try_get(column)?;
        Ok(revision.map(|revision| Revision(revision.cast_unsigned())))
    };
    let of_prefixes = revision(0)?.map(|revision| (revision, DeletionOf::Prefixes));
    let of_lease = revision(1)?.zip(lease_of(&row, 2)?);
    let of_lease = of_lease.map(|(revision, lease)| (revision, DeletionOf::Lease(lease)));
    Ok(of_prefixes.into_iter().chain(of_lease).min())
}

/// Of revisions that have no deletion which is to be swept.
async fn written_page(
    connection: &mut SqliteConnection,
    query: &HistoryQuery,
    end: Position,
) -> Result<HistoryPage, StoreError> {
    let end = visited_end(connection, query, end).await?;
    let mut rows = sqlx::query(statements::WRITTEN)
        .bind(query.after.revision().0.cast_signed())
        .bind(query.after.below.to_vec())
        .bind(end.revision().0.cast_signed())
        .bind(end.below.to_vec())
        .bind(query.from.to_vec())
        .bind(query.below.to_vec())
        .fetch(connection);
    let (mut changes, mut room) = (Vec::new(), query.page.begin());
    while let Some(row) = rows.try_next().await? {
        let Some(change) = change_of(&row)? else { continue };
        if !room.takes(change.bytes()) {
            let through = Position::before(change.revision, change.key);
            return Ok(HistoryPage { changes, through });
        }
        changes.push(change);
    }
    Ok(HistoryPage { changes, through: end })
}

/// How far one statement goes.
async fn visited_end(
    connection: &mut SqliteConnection,
    query: &HistoryQuery,
    end: Position,
) -> Result<Position, StoreError> {
    let row = sqlx::query(statements::WRITTEN_END)
        .bind(query.after.revision().0.cast_signed())
        .bind(query.after.below.to_vec())
        .bind(end.revision().0.cast_signed())
        .bind(end.below.to_vec())
        .bind(VISITED_PER_PAGE)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(end) };
    Ok(Position::before(Revision(counter(&row, 0)?), row.try_get::<Vec<u8>, _>(1)?.into()))
}

/// Of the one revision that is due, a deletion of which is to be swept.
async fn deletion_page(
    connection: &mut SqliteConnection,
    query: &HistoryQuery,
    of: DeletionOf,
) -> Result<HistoryPage, StoreError> {
    let revision = query.after.revision();
    let from = query.from.clone().max(query.after.below.clone());
    let (end_sql, unswept_sql, lease) = match of {
        DeletionOf::Prefixes => (statements::DELETION_END, statements::UNSWEPT_AT, None),
        DeletionOf::Lease(lease) => {
            (statements::LEASE_END, statements::UNSWEPT_OF_LEASE, Some(lease.0.cast_signed()))
        }
    };
    let row = sqlx::query(end_sql)
        .bind(revision.0.cast_signed())
        .bind(from.to_vec())
        .bind(query.below.to_vec())
        .bind(VISITED_PER_PAGE)
        .bind(lease)
        .fetch_one(&mut *connection)
        .await?;
    let ends: [Option<Vec<u8>>; 2] = [row.try_get(0)?, row.try_get(1)?];
    let end = ends.into_iter().flatten().min().map(Bytes::from);
    let keys = Keys { from, below: end.clone().unwrap_or_else(|| query.below.clone()) };
    let written = keys.rows(connection, statements::WRITTEN_AT, query, None).await?;
    let written: Vec<KeyChange> =
        written.iter().filter_map(|row| change_of(row).transpose()).collect::<Result<_, _>>()?;
    let unswept = keys.rows(connection, unswept_sql, query, lease).await?;
    let unswept: Vec<KeyChange> =
        unswept.iter().map(|row| deleted_in(row, revision)).collect::<Result<_, _>>()?;
    let (mut written, mut unswept) = (written.into_iter(), unswept.into_iter());
    let (mut changes, mut room) = (Vec::new(), query.page.begin());
    let (mut one, mut other) = (written.next(), unswept.next());
    loop {
        let is_written = match (&one, &other) {
            (Some(one), Some(other)) => one.key < other.key,
            (one, _) => one.is_some(),
        };
        let next = if is_written {
            std::mem::replace(&mut one, written.next())
        } else {
            std::mem::replace(&mut other, unswept.next())
        };
        let Some(change) = next else { break };
        if !room.takes(change.bytes()) {
            return Ok(HistoryPage { changes, through: Position::before(revision, change.key) });
        }
        changes.push(change);
    }
    let through = end.map_or(Position::after(revision), |end| Position::before(revision, end));
    Ok(HistoryPage { changes, through })
}

/// A range of keys of one revision.
struct Keys {
    from: Bytes,
    below: Bytes,
}

impl Keys {
    /// The first rows that a statement finds of the revision that is due: one more than a
    /// page holds, so that none behind them is taken for the next.
    async fn rows(
        &self,
        connection: &mut SqliteConnection,
        sql: &'static str,
        query: &HistoryQuery,
        lease: Option<i64>,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let most = i64::try_from(query.page.items).unwrap_or(i64::MAX).saturating_add(1);
        sqlx::query(sql)
            .bind(query.after.revision().0.cast_signed())
            .bind(self.from.to_vec())
            .bind(self.below.to_vec())
            .bind(most)
            .bind(lease)
            .fetch_all(connection)
            .await
    }
}

/// Reads a live record that was deleted at the revision.
fn deleted_in(row: &SqliteRow, revision: Revision) -> Result<KeyChange, StoreError> {
    let record = item_of(row, 0, Checked::Head)?.ok_or_else(versions::missing)?;
    let expired = if counter(row, EXPIRED_COLUMN)? == 0 { None } else { record.lease };
    let previous = Some(record.revision);
    Ok(KeyChange { key: record.key, revision, previous, item: None, expired })
}

/// Reads a record, and the revision before; none where a key was written and deleted at
/// one revision, and was not there before.
fn change_of(row: &SqliteRow) -> Result<Option<KeyChange>, StoreError> {
    let previous: Option<i64> = row.try_get(PREVIOUS_COLUMN)?;
    let previous = previous.map(|revision| Revision(revision.cast_unsigned()));
    let item = item_of(row, 0, Checked::Whole)?;
    if item.is_none() && previous.is_none() {
        return Ok(None);
    }
    let key = Bytes::from(row.try_get::<Vec<u8>, _>(0)?);
    // That of a deletion is the one that it went with.
    let expired = if item.is_none() { lease_of(row, LEASE_COLUMN)? } else { None };
    Ok(Some(KeyChange { key, revision: Revision(counter(row, 1)?), previous, item, expired }))
}
