//! Leases that ended and whose keys are not yet deleted one by one. What becomes of them is
//! in [`deletions`](crate::store::deletions).

use shared::ids::{LeaseId, Revision};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use std::sync::LazyLock;

use crate::machine::keys::LeaseTombstone;
use crate::machine::leases::LeaseEnd;
use crate::store::error::StoreError;
use crate::store::multi_row::MultiRow;
use crate::store::record::counter;
use crate::store::statements::Statements;
use crate::store::sum;

/// An end of a lease of which the keys from `first` on are not swept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) tombstone: LeaseTombstone,
    pub(super) first: Vec<u8>,
}

impl Ended {
    pub(super) fn new(tombstone: LeaseTombstone) -> Self {
        Self { tombstone, first: Vec::new() }
    }

    fn is_expired(&self) -> u64 {
        match self.tombstone.end {
            LeaseEnd::Expired => 1,
            LeaseEnd::Revoked => 0,
        }
    }

    fn sum(&self) -> sum::Sum {
        let LeaseTombstone { lease, revision, end: _ } = self.tombstone;
        sum::of_columns(&[lease.0, revision.0, self.is_expired()], &[Some(&self.first)])
    }
}

/// Reads all of them, the oldest first.
pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Vec<Ended>, StoreError> {
    const SQL: &str =
        "SELECT lease, revision, expired, first, sum FROM ended_leases ORDER BY revision";
    let rows = sqlx::query(SQL).fetch_all(connection).await?;
    rows.iter().map(ended_of).collect()
}

fn ended_of(row: &SqliteRow) -> Result<Ended, StoreError> {
    let end = if counter(row, 2)? == 0 { LeaseEnd::Revoked } else { LeaseEnd::Expired };
    let (lease, revision) = (LeaseId(counter(row, 0)?), Revision(counter(row, 1)?));
    let ended =
        Ended { tombstone: LeaseTombstone { lease, revision, end }, first: row.try_get(3)? };
    if row.try_get::<&[u8], _>(4)? != ended.sum() {
        return Err(StoreError::Damaged(format!(
            "the end of lease {lease} does not match its checksum"
        )));
    }
    Ok(ended)
}

static INSERT: LazyLock<MultiRow> = LazyLock::new(|| {
    const HEAD: &str =
        "INSERT OR ROLLBACK INTO ended_leases(lease, revision, expired, first, sum) VALUES ";
    MultiRow::new(HEAD, "(?,?,?,?,?)", "")
});

/// Adds new ones.
pub(super) async fn write(
    statements: &mut Statements<'_>,
    ended: &[Ended],
) -> Result<(), StoreError> {
    statements
        .add_rows(&INSERT, ended, |bound, ended| {
            bound
                .bind(ended.tombstone.lease.0.cast_signed())
                .bind(ended.tombstone.revision.0.cast_signed())
                .bind(ended.is_expired().cast_signed())
                .bind(ended.first.clone())
                .bind(ended.sum().to_vec());
        })
        .await
}

/// Its beginning has moved.
pub(super) async fn update(
    connection: &mut SqliteConnection,
    ended: &Ended,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE ended_leases SET first = ?, sum = ? WHERE lease = ?")
        .bind(ended.first.clone())
        .bind(ended.sum().to_vec())
        .bind(ended.tombstone.lease.0.cast_signed())
        .execute(connection)
        .await?;
    Ok(())
}

/// It is swept.
pub(super) async fn delete(
    connection: &mut SqliteConnection,
    ended: &Ended,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM ended_leases WHERE lease = ?")
        .bind(ended.tombstone.lease.0.cast_signed())
        .execute(connection)
        .await?;
    Ok(())
}
