//! Range tombstones: deletions of prefixes that are not yet changes of keys.
//!
//! Executing a deletion of a prefix writes one row here, however many keys it deletes; a
//! transaction may delete several, none of them within another.
//! At revision N, a version of a key is *hidden* when a range covers the key whose
//! revision is above the version's and not above N; whatever reads `versions` or `live`
//! applies that (`not_hidden!`). *Sweeping* then turns ranges into tombstones in
//! `versions`, the oldest range first, a bounded number of keys in each transaction, and
//! takes the ranges away. So the state that can be read, at whatever revision, is the
//! same however far a replica has swept, and once it has swept everything its tables are
//! the same as every other's.
//!
//! The oldest first, because the tombstone of a key is at the revision of the first
//! deletion after its version. A key that is written while it is hidden gets its
//! tombstone from the writing transaction, before the new version.

use std::collections::VecDeque;
use std::sync::LazyLock;

use shared::ids::Revision;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::bounds::{above_prefix, lowest_above};
use super::error::StoreError;
use super::multi_row::MultiRow;
use super::record::{Checked, Item, counter, item_of};
use super::statements::Statements;
use super::{sum, versions};
use crate::machine::keys::{RangeTombstone, VersionRow};

/// The most keys that one transaction sweeps: some milliseconds, which is how long
/// whatever is to be executed then has to wait.
const SWEPT_AT_ONCE: usize = 512;

/// SQL: whether no range hides the row `$row` of `versions` or `live` at the revision
/// `$at`. The table is nearly always empty.
macro_rules! not_hidden {
    ($row:literal, $at:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM range_tombstones t WHERE t.revision > ",
            $row,
            ".revision AND t.revision <= ",
            $at,
            " AND t.first <= ",
            $row,
            ".key AND t.below > ",
            $row,
            ".key)"
        )
    };
}
pub(crate) use not_hidden;

/// A deletion of which the keys from `first` on are not swept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) revision: Revision,
    pub(super) first: Vec<u8>,
    pub(super) below: Vec<u8>,
}

impl From<&RangeTombstone> for Range {
    fn from(tombstone: &RangeTombstone) -> Self {
        let first = tombstone.prefix.clone().into_bytes();
        let below = above_prefix(&first).to_vec();
        Self { revision: tombstone.revision, first, below }
    }
}

/// Which deletions of prefixes are to be swept, as the table has them.
#[derive(Clone, Debug)]
pub(super) struct Ranges {
    /// The oldest first.
    unswept: VecDeque<Range>,
    /// The most keys that are swept in one transaction.
    at_once: usize,
}

impl Ranges {
    /// Reads them.
    pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Self, StoreError> {
        const SQL: &str =
            "SELECT revision, first, below, sum FROM range_tombstones ORDER BY revision, below";
        let rows = sqlx::query(SQL).fetch_all(connection).await?;
        let unswept = rows.iter().map(range_of).collect::<Result<_, StoreError>>()?;
        Ok(Self { unswept, at_once: SWEPT_AT_ONCE })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.unswept.len()
    }

    /// Has fewer keys swept in one transaction.
    #[cfg(test)]
    pub(super) fn sweep_at_once(&mut self, keys: usize) {
        self.at_once = keys;
    }

    /// The revision of the first deletion that hides the version of a key, if one does.
    pub(super) fn hidden_by(&self, key: &[u8], version: Revision) -> Option<Revision> {
        let hides = |range: &&Range| {
            range.revision > version && *range.first <= *key && *key < *range.below
        };
        self.unswept.iter().find(hides).map(|range| range.revision)
    }

    /// Adds new ones, in the transaction at hand, and sweeps some keys: a deletion of a
    /// few is done with at once.
    pub(super) async fn add(
        &mut self,
        statements: &mut Statements<'_>,
        new: &[RangeTombstone],
    ) -> Result<(), StoreError> {
        if new.is_empty() {
            return Ok(());
        }
        let new: Vec<Range> = new.iter().map(Range::from).collect();
        write(statements, &new).await?;
        self.unswept.extend(new);
        self.sweep(statements.run().await?).await
    }

    /// Sweeps all there is to sweep, in the transaction at hand.
    pub(super) async fn sweep_all(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        while !self.unswept.is_empty() {
            self.sweep_keys(connection, SWEPT_AT_ONCE).await?;
        }
        Ok(())
    }

    /// Sweeps some keys, in the transaction at hand.
    pub(super) async fn sweep(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        self.sweep_keys(connection, self.at_once).await
    }

    async fn sweep_keys(
        &mut self,
        connection: &mut SqliteConnection,
        most: usize,
    ) -> Result<(), StoreError> {
        let mut left = most;
        while let Some(range) = self.unswept.front_mut().filter(|_| left > 0) {
            let visited = sweep_keys(connection, range, left).await?;
            if visited < left {
                delete(connection, range).await?;
                self.unswept.pop_front();
            } else {
                update(connection, range).await?;
            }
            left -= visited;
        }
        Ok(())
    }
}

fn range_of(row: &SqliteRow) -> Result<Range, StoreError> {
    let range = Range {
        revision: Revision(counter(row, 0)?),
        first: row.try_get(1)?,
        below: row.try_get(2)?,
    };
    if row.try_get::<&[u8], _>(3)? != sum_of(&range) {
        let revision = range.revision;
        return Err(StoreError::Damaged(format!(
            "the range tombstone of revision {revision} does not match its checksum"
        )));
    }
    Ok(range)
}

fn sum_of(range: &Range) -> sum::Sum {
    sum::of_columns(&[range.revision.0], &[Some(&range.first), Some(&range.below)])
}

static INSERT: LazyLock<MultiRow> = LazyLock::new(|| {
    const HEAD: &str = "INSERT INTO range_tombstones(revision, first, below, sum) VALUES ";
    MultiRow::new(HEAD, "(?,?,?,?)", "")
});

async fn write(statements: &mut Statements<'_>, ranges: &[Range]) -> Result<(), StoreError> {
    statements
        .add_rows(&INSERT, ranges, |bound, range| {
            bound
                .bind(range.revision.0.cast_signed())
                .bind(range.first.clone())
                .bind(range.below.clone())
                .bind(sum_of(range).to_vec());
        })
        .await
}

async fn update(connection: &mut SqliteConnection, range: &Range) -> Result<(), StoreError> {
    sqlx::query("UPDATE range_tombstones SET first = ?, sum = ? WHERE revision = ? AND below = ?")
        .bind(range.first.clone())
        .bind(sum_of(range).to_vec())
        .bind(range.revision.0.cast_signed())
        .bind(range.below.clone())
        .execute(connection)
        .await?;
    Ok(())
}

async fn delete(connection: &mut SqliteConnection, range: &Range) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM range_tombstones WHERE revision = ? AND below = ?")
        .bind(range.revision.0.cast_signed())
        .bind(range.below.clone())
        .execute(connection)
        .await?;
    Ok(())
}

/// Turns the first keys of the range into tombstones and moves its beginning past them;
/// says how many live keys it looked at.
async fn sweep_keys(
    connection: &mut SqliteConnection,
    range: &mut Range,
    most: usize,
) -> Result<usize, StoreError> {
    const LIVE: &str = "SELECT v.key, v.revision, v.created_revision, v.version, v.sum, \
        v.content_type, \
        CASE WHEN v.value IS NULL THEN NULL ELSE x'' END \
        FROM live l LEFT JOIN versions v ON v.key = l.key AND v.revision = l.revision \
        WHERE l.key >= ? AND l.key < ? ORDER BY l.key LIMIT ?";
    let rows = sqlx::query(LIVE)
        .bind(range.first.clone())
        .bind(range.below.clone())
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&mut *connection)
        .await?;
    let mut tombstones = Vec::with_capacity(rows.len());
    let mut last = None;
    for row in &rows {
        let item = item_of(row, 0, Checked::Head)?.ok_or_else(versions::missing)?;
        last = Some(item.key.clone());
        if item.revision < range.revision {
            let (key, Item { created_revision, version, .. }) = (versions::text_of(&item)?, item);
            let revision = range.revision;
            let content = None;
            tombstones.push(VersionRow { key, revision, created_revision, version, content });
        }
    }
    let Some(last) = last else { return Ok(0) };
    let next = lowest_above(&last).to_vec();
    let mut statements = Statements::new(connection);
    versions::write(&mut statements, &tombstones).await?;
    statements.add("DELETE FROM live WHERE key >= ? AND key < ? AND revision < ?", |bound| {
        let revision = range.revision.0.cast_signed();
        bound.bind(range.first.clone()).bind(next.clone()).bind(revision);
    });
    statements.run().await?;
    range.first = next;
    Ok(rows.len())
}
