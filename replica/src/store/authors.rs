//! Who made the changes of each revision that is kept, where somebody is named.
//!
//! The log says so, too, but is kept for less long; and of a batch it does not say which of
//! its commands were executed. A replica knows it of what it has executed since its tables
//! have these rows, and of what came with another one's state. So they are no part of the
//! replicated state, nor of its digest.
//!
//! A row goes with the last of the changes of its revision: none is here of a revision that
//! neither `versions` has nor a deletion of many which is to be swept.

use std::sync::LazyLock;

use bytes::Bytes;
use futures::TryStreamExt as _;
use shared::ids::{Accessor, Revision};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::error::{ReadError, StoreError};
use super::multi_row::MultiRow;
use super::record::counter;
use super::statements::{Bound, Statements};
use super::sum::{self, Sum};
use super::transaction::in_transaction;
use crate::machine::access::subject::Subject;
use crate::machine::command::Attribution;
use crate::machine::keys::AuthorRow;

static INSERT: LazyLock<MultiRow> = LazyLock::new(|| {
    const HEAD: &str =
        "INSERT OR ROLLBACK INTO authors(revision, accessor, issuer, subject, sum) VALUES ";
    MultiRow::new(HEAD, "(?,?,?,?,?)", "")
});

/// SQL: where nothing is left of what the revision of a row changed.
macro_rules! has_no_changes {
    () => {
        " AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.revision = authors.revision) \
         AND NOT EXISTS (SELECT 1 FROM range_tombstones t WHERE t.revision = authors.revision) \
         AND NOT EXISTS (SELECT 1 FROM ended_leases e WHERE e.revision = authors.revision)"
    };
}

static FORGET: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new("DELETE FROM authors WHERE revision IN (", "?", concat!(")", has_no_changes!()))
});

/// Who made the last change of the key `?1` up to the revision `?2`: that of its newest
/// version, or the first deletion of many that hides it.
const AUTHOR: &str = "WITH last AS (SELECT key, revision, lease, value IS NOT NULL AS is_live \
    FROM versions WHERE key = ?1 AND revision <= ?2 ORDER BY revision DESC LIMIT 1), \
    deletions(revision) AS (SELECT t.revision FROM last l JOIN range_tombstones t \
    ON t.revision > l.revision AND t.revision <= ?2 AND t.first <= l.key AND t.below > l.key \
    WHERE l.is_live UNION ALL SELECT e.revision FROM last l JOIN ended_leases e \
    ON e.lease = l.lease AND e.revision <= ?2 WHERE l.is_live) \
    SELECT revision, accessor, issuer, subject, sum FROM authors WHERE revision = \
    coalesce((SELECT min(revision) FROM deletions), (SELECT revision FROM last))";

/// Adds new ones.
pub(super) async fn write(
    statements: &mut Statements<'_>,
    rows: &[AuthorRow],
) -> Result<(), StoreError> {
    let bind = |bound: &mut Bound, row: &AuthorRow| {
        let Attribution { by, subject } = &row.attribution;
        bound
            .bind(row.revision.0.cast_signed())
            .bind(by.0.cast_signed())
            .bind(subject.as_ref().map(|subject| subject.issuer.clone()))
            .bind(subject.as_ref().map(|subject| subject.subject.clone()))
            .bind(sum_of(row).to_vec());
    };
    statements.add_rows(&INSERT, rows, bind).await
}

/// Forgets those of these revisions of which no change is left.
pub(super) async fn forget(
    statements: &mut Statements<'_>,
    revisions: &[Revision],
) -> Result<(), StoreError> {
    let bind = |bound: &mut Bound, revision: &Revision| {
        bound.bind(revision.0.cast_signed());
    };
    statements.add_rows(&FORGET, revisions, bind).await
}

/// Reads who made the last change of each of these keys up to a revision, where it is known.
pub(super) async fn of_keys(
    connection: &mut SqliteConnection,
    keys: &[Bytes],
    at: Revision,
) -> Result<Vec<Option<Attribution>>, ReadError> {
    in_transaction(connection, async |connection| {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            let row = of_key(connection, key, at).await?;
            found.push(row.map(|row| row.attribution));
        }
        Ok(found)
    })
    .await
}

async fn of_key(
    connection: &mut SqliteConnection,
    key: &Bytes,
    at: Revision,
) -> Result<Option<AuthorRow>, StoreError> {
    let row = sqlx::query(AUTHOR)
        .bind(key.to_vec())
        .bind(at.0.cast_signed())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(row_of).transpose()
}

/// Holds every row against its checksum.
pub(super) async fn verify(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    const SQL: &str = "SELECT revision, accessor, issuer, subject, sum FROM authors";
    let mut rows = sqlx::query(SQL).persistent(false).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let _row = row_of(&row)?;
    }
    Ok(())
}

fn row_of(row: &SqliteRow) -> Result<AuthorRow, StoreError> {
    let (issuer, subject): (Option<String>, Option<String>) = (row.try_get(2)?, row.try_get(3)?);
    let subject = issuer.zip(subject).map(|(issuer, subject)| Subject { issuer, subject });
    let attribution = Attribution { by: Accessor(counter(row, 1)?), subject };
    let found = AuthorRow { revision: Revision(counter(row, 0)?), attribution };
    if row.try_get::<&[u8], _>(4)? == sum_of(&found) {
        return Ok(found);
    }
    let revision = found.revision;
    Err(StoreError::Damaged(format!("who made revision {revision} does not match its checksum")))
}

fn sum_of(row: &AuthorRow) -> Sum {
    let Attribution { by, subject } = &row.attribution;
    let issuer = subject.as_ref().map(|subject| subject.issuer.as_bytes());
    let subject = subject.as_ref().map(|subject| subject.subject.as_bytes());
    sum::of_columns(&[row.revision.0, by.0], &[issuer, subject])
}
