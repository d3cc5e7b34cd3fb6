//! Range tombstones: deletions of prefixes that are not yet changes of keys. A transaction may
//! have several, none of them within another. What becomes of them is in
//! [`deletions`](crate::store::deletions).

use std::sync::LazyLock;

use shared::ids::Revision;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::machine::keys::RangeTombstone;
use crate::store::bounds::above_prefix;
use crate::store::error::StoreError;
use crate::store::multi_row::MultiRow;
use crate::store::record::counter;
use crate::store::statements::Statements;
use crate::store::sum;

/// A deletion of which the keys from `first` on are not swept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) revision: Revision,
    pub(super) first: Vec<u8>,
    pub(super) below: Vec<u8>,
}

impl Range {
    /// Whether it deletes the version of a key.
    pub(super) fn hides(&self, key: &[u8], version: Revision) -> bool {
        self.revision > version && *self.first <= *key && *key < *self.below
    }
}

impl From<&RangeTombstone> for Range {
    fn from(tombstone: &RangeTombstone) -> Self {
        let first = tombstone.prefix.clone().into_bytes();
        let below = above_prefix(&first).to_vec();
        Self { revision: tombstone.revision, first, below }
    }
}

/// Reads all of them, the oldest first.
pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Vec<Range>, StoreError> {
    const SQL: &str =
        "SELECT revision, first, below, sum FROM range_tombstones ORDER BY revision, below";
    let rows = sqlx::query(SQL).fetch_all(connection).await?;
    rows.iter().map(range_of).collect()
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
    const HEAD: &str =
        "INSERT OR ROLLBACK INTO range_tombstones(revision, first, below, sum) VALUES ";
    MultiRow::new(HEAD, "(?,?,?,?)", "")
});

/// Adds new ones.
pub(super) async fn write(
    statements: &mut Statements<'_>,
    ranges: &[Range],
) -> Result<(), StoreError> {
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

/// Its beginning has moved.
pub(super) async fn update(
    connection: &mut SqliteConnection,
    range: &Range,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE range_tombstones SET first = ?, sum = ? WHERE revision = ? AND below = ?")
        .bind(range.first.clone())
        .bind(sum_of(range).to_vec())
        .bind(range.revision.0.cast_signed())
        .bind(range.below.clone())
        .execute(connection)
        .await?;
    Ok(())
}

/// It is swept.
pub(super) async fn delete(
    connection: &mut SqliteConnection,
    range: &Range,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM range_tombstones WHERE revision = ? AND below = ?")
        .bind(range.revision.0.cast_signed())
        .bind(range.below.clone())
        .execute(connection)
        .await?;
    Ok(())
}
