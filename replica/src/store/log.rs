//! Pages of the executed log.

use bytes::Bytes;
use futures::TryStreamExt;
use shared::ids::{Ballot, CoordinatorId, Revision, Slot};
use shared::page::PageLimits;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::error::{ReadError, StoreError};
use super::left_out::{self, Kept};
use super::meta::{self, MetaRow, Retained};
use super::record::{counter, hash_of};
use super::sum::{self, Sum};
use super::transaction::in_transaction;
use crate::machine::chain::ChainHash;

/// A page that is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogQuery {
    /// The first slot.
    pub(crate) from: Slot,
    /// The most slots, and bytes of values.
    pub(crate) page: PageLimits,
}

/// A page: contiguous slots, from the first one asked for.
#[derive(Debug)]
pub(crate) struct LogPage {
    /// The slots.
    pub(crate) rows: Vec<LogRow>,
    /// Every slot below was executed when this was read.
    pub(crate) executed_below: Slot,
    /// The revision of the state then.
    pub(crate) revision: Revision,
}

/// An executed slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogRow {
    /// The position in the log.
    pub(crate) slot: Slot,
    /// A ballot at which the value was chosen, or seen as chosen.
    pub(crate) ballot: Ballot,
    /// The value.
    pub(crate) value: Bytes,
    /// The revision of the state after it.
    pub(crate) revision: Revision,
    /// The hash of the log up to and with this slot.
    pub(crate) hash: [u8; 32],
    /// The hash of the log before this slot.
    pub(crate) previous_hash: [u8; 32],
}

impl LogRow {
    /// Holds it against its sum, and against the hash of the slot before.
    fn check(&self, sum: &[u8]) -> Result<(), StoreError> {
        let slot = self.slot;
        if *sum != sum_of(slot, self.ballot, self.revision, &self.hash) {
            let what = format!("the row of slot {slot} does not match its checksum");
            return Err(StoreError::Damaged(what));
        }
        if ChainHash(self.previous_hash).next(slot, &self.value).0 != self.hash {
            let what = format!("the hash of slot {slot} is not that of its value");
            return Err(StoreError::Damaged(what));
        }
        Ok(())
    }
}

/// The checksum of a row. The value is bound by the hash.
pub(super) fn sum_of(slot: Slot, ballot: Ballot, revision: Revision, hash: &[u8; 32]) -> Sum {
    let numbers = [slot.0, ballot.round, ballot.coordinator.0, revision.0];
    sum::of_columns(&numbers, &[Some(hash)])
}

/// Reads a page, in one read transaction.
pub(super) async fn page(
    connection: &mut SqliteConnection,
    query: &LogQuery,
) -> Result<LogPage, ReadError> {
    in_transaction(connection, async |connection| page_in_transaction(connection, query).await)
        .await
}

async fn page_in_transaction(
    connection: &mut SqliteConnection,
    query: &LogQuery,
) -> Result<LogPage, ReadError> {
    let MetaRow { meta, cluster: _, joined_at: _, retained } = meta::load(&mut *connection).await?;
    let (executed_below, revision) = (meta.executed_below, meta.revision);
    let mut page = LogPage { rows: Vec::new(), executed_below, revision };
    if query.from < retained.log_start {
        return Err(ReadError::Trimmed { asked: query.from, oldest: retained.log_start });
    }
    if query.from < executed_below {
        page.rows = rows(connection, query, &retained).await?;
    }
    Ok(page)
}

/// Reads slots without a gap from the first one asked for, and checks them.
pub(super) async fn rows(
    connection: &mut SqliteConnection,
    query: &LogQuery,
    retained: &Retained,
) -> Result<Vec<LogRow>, StoreError> {
    const SQL: &str = "SELECT slot, ballot_round, ballot_coordinator, value, left_out, hash, \
        revision, sum \
        FROM log WHERE slot >= ? ORDER BY slot LIMIT ?";
    let mut previous_hash = hash_before(connection, query.from, retained).await?;
    let mut stored = sqlx::query(SQL)
        .bind(query.from.0.cast_signed())
        .bind(i64::try_from(query.page.items).unwrap_or(i64::MAX))
        .fetch(&mut *connection);
    let (mut rows, mut values) = (Vec::new(), Vec::new());
    let (mut due, mut room) = (query.from, query.page.begin());
    while let Some(row) = stored.try_next().await? {
        let (row, kept, sum) = log_row(&row, previous_hash)?;
        if row.slot != due {
            let slot = row.slot;
            let what = format!("the log has slot {slot} where slot {due} is due");
            return Err(StoreError::Damaged(what));
        }
        if !room.takes(kept.whole_len()) {
            break;
        }
        (due, previous_hash) = (due.next(), row.hash);
        values.push((row.slot, kept));
        rows.push((row, sum));
    }
    drop(stored);
    let values = left_out::put_back(connection, values).await?;
    let whole = |((row, sum), value): ((LogRow, Vec<u8>), Bytes)| -> Result<LogRow, StoreError> {
        let row = LogRow { value, ..row };
        row.check(&sum)?;
        Ok(row)
    };
    rows.into_iter().zip(values).map(whole).collect()
}

/// The hash that the chain has before a slot.
async fn hash_before(
    connection: &mut SqliteConnection,
    slot: Slot,
    retained: &Retained,
) -> Result<[u8; 32], StoreError> {
    if slot == retained.log_start {
        return Ok(retained.log_start_hash.0);
    }
    let previous = slot.0.saturating_sub(1);
    let row = sqlx::query("SELECT hash FROM log WHERE slot = ?")
        .bind(previous.cast_signed())
        .fetch_one(connection)
        .await?;
    hash_of(&row, 0)
}

/// Reads `slot, ballot_round, ballot_coordinator, value, left_out, hash, revision, sum`:
/// a row without its value, what is kept of that, and its sum.
fn log_row(
    row: &SqliteRow,
    previous_hash: [u8; 32],
) -> Result<(LogRow, Kept, Vec<u8>), StoreError> {
    let slot = Slot(counter(row, 0)?);
    let kept = Kept::read(row.try_get(3)?, row.try_get(4)?)
        .map_err(|error| StoreError::Damaged(format!("what slot {slot} left out: {error}")))?;
    let log_row = LogRow {
        slot,
        ballot: Ballot { round: counter(row, 1)?, coordinator: CoordinatorId(counter(row, 2)?) },
        value: Bytes::new(),
        revision: Revision(counter(row, 6)?),
        hash: hash_of(row, 5)?,
        previous_hash,
    };
    Ok((log_row, kept, row.try_get(7)?))
}
