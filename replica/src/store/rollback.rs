//! What a roll-back looks at, and what it writes.
//!
//! No deletion of many keys may be left to be swept then: `versions` has every change.

use std::sync::LazyLock;

use futures::TryStreamExt as _;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::bounds::above_prefix;
use super::error::StoreError;
use super::keys::{self, content_bytes, head_at};
use super::multi_row::MultiRow;
use super::record::{Checked, item_of};
use super::statements::Statements;
use super::versions;
use crate::machine::command::limits;
use crate::machine::keys::{
    ChangedKey, ChangedKeys, Content, RestoredRow, RollbackScan, VersionRow,
};
use crate::machine::outcome::RollbackRefused;

/// So many bytes of contents are in memory at once, and one content more.
const COPIED_AT_ONCE: usize = 1 << 20;

/// SQL: of the keys of `$touched` those whose version now is another one than at the
/// revision `?3`; both versions, without contents.
macro_rules! changed {
    ($with:literal, $touched:literal) => {
        concat!(
            $with,
            " SELECT t.key, n.key, n.revision, n.created_revision, n.version, n.lease, n.sum, \
             n.content_type, CASE WHEN n.value IS NULL THEN NULL ELSE x'' END, ",
            content_bytes!("n"),
            ", p.key, p.revision, p.created_revision, p.version, p.lease, p.sum, p.content_type, \
             CASE WHEN p.value IS NULL THEN NULL ELSE x'' END, ",
            content_bytes!("p"),
            " FROM ",
            $touched,
            " t CROSS JOIN versions n ON n.id = (SELECT id FROM versions WHERE key = t.key \
             ORDER BY revision DESC LIMIT 1) LEFT JOIN versions p ON p.id = (SELECT id \
             FROM versions WHERE key = t.key AND revision <= ?3 ORDER BY revision DESC LIMIT 1) \
             WHERE t.key IS NOT NULL AND n.id IS NOT p.id ORDER BY t.key"
        )
    };
}

/// From key to key, over the index of all versions.
const OF_PREFIX: &str = changed!(
    "WITH RECURSIVE hop(key) AS (SELECT min(key) FROM versions WHERE key >= ?1 AND key < ?2 \
     UNION ALL SELECT (SELECT min(key) FROM versions WHERE key > hop.key AND key < ?2) \
     FROM hop WHERE hop.key IS NOT NULL)",
    "hop"
);

/// Those that have a change since.
const SINCE: &str = changed!(
    "WITH since(key) AS (SELECT DISTINCT key FROM versions WHERE revision > ?3 \
     AND key >= ?1 AND key < ?2)",
    "since"
);

/// Whether there are more than `?2` changes since revision `?1`.
const MORE_CHANGES: &str =
    "SELECT EXISTS (SELECT 1 FROM versions WHERE revision > ?1 LIMIT 1 OFFSET ?2)";

/// Whether there are more than `?3` keys from `?1` up to `?2` that are not dropped: those are
/// dropped that were deleted at revision `?4` or before, and not written since.
const MORE_KEYS: &str = "WITH RECURSIVE hop(key, kept) AS (\
     SELECT (SELECT min(key) FROM versions WHERE key >= ?1 AND key < ?2), 0 \
     UNION ALL SELECT (SELECT min(key) FROM versions WHERE key > hop.key AND key < ?2), \
     kept + (SELECT value IS NOT NULL OR revision > ?4 FROM versions WHERE key = hop.key \
     ORDER BY revision DESC LIMIT 1) FROM hop WHERE hop.key IS NOT NULL AND kept <= ?3) \
     SELECT EXISTS (SELECT 1 FROM hop WHERE kept > ?3)";

static SELECT_CONTENTS: LazyLock<MultiRow> = LazyLock::new(|| {
    const TAIL: &str = ") SELECT v.key, v.revision, v.created_revision, v.version, v.lease, \
        v.sum, v.content_type, v.value FROM asked a CROSS JOIN versions v \
        ON v.key = a.key AND v.revision = a.revision ORDER BY a.ordinal";
    MultiRow::new("WITH asked(ordinal, key, revision) AS (VALUES ", "(?,?,?)", TAIL)
});

/// Finds the keys that are changed.
pub(super) async fn changed(
    connection: &mut SqliteConnection,
    scan: &RollbackScan,
) -> Result<ChangedKeys, StoreError> {
    let RollbackScan { prefix, revision, oldest } = scan;
    let (from, below) = (prefix.as_bytes().to_vec(), above_prefix(prefix.as_bytes()).to_vec());
    let limit = i64::try_from(limits::ROLLBACK_KEYS).unwrap_or(i64::MAX);
    let more_changes: bool = sqlx::query_scalar(MORE_CHANGES)
        .bind(revision.0.cast_signed())
        .bind(limit)
        .fetch_one(&mut *connection)
        .await?;
    let statement = if more_changes {
        let more_keys: bool = sqlx::query_scalar(MORE_KEYS)
            .bind(from.clone())
            .bind(below.clone())
            .bind(limit)
            .bind(oldest.0.cast_signed())
            .fetch_one(&mut *connection)
            .await?;
        if more_keys {
            return Ok(Err(RollbackRefused::TooManyKeys));
        }
        OF_PREFIX
    } else {
        SINCE
    };
    let mut rows = sqlx::query(statement)
        .bind(from)
        .bind(below)
        .bind(revision.0.cast_signed())
        .fetch(connection);
    let mut found = Vec::new();
    while let Some(row) = rows.try_next().await? {
        found.extend(changed_in(&row)?);
    }
    Ok(Ok(found))
}

/// Reads a row of the statements; none where the key existed neither then nor now.
fn changed_in(row: &SqliteRow) -> Result<Option<ChangedKey>, StoreError> {
    const NOW: usize = 1;
    const THEN: usize = 10;
    let (now, then) = (head_at(row, NOW)?, head_at(row, THEN)?);
    let key = now.as_ref().or(then.as_ref()).map(|(key, _)| key.clone());
    let of = |key| {
        let record = |head: Option<(String, _)>| head.map(|(_, record)| record);
        ChangedKey { key, now: record(now), then: record(then) }
    };
    Ok(key.map(of))
}

/// Writes keys again, a few contents at a time.
pub(super) async fn restore(
    statements: &mut Statements<'_>,
    rows: &[RestoredRow],
) -> Result<(), StoreError> {
    let mut left = rows;
    while !left.is_empty() {
        let (piece, rest) = left.split_at(fitting(left));
        left = rest;
        let contents = contents_of(statements.run().await?, piece).await?;
        let rows: Vec<VersionRow> = piece.iter().zip(contents).map(restored).collect();
        keys::write(statements, &rows).await?;
    }
    Ok(())
}

/// How many of the rows have room in memory: at least one.
fn fitting(rows: &[RestoredRow]) -> usize {
    let mut bytes = 0;
    let has_room = |row: &&RestoredRow| {
        let has_room = bytes < COPIED_AT_ONCE;
        bytes += row.content_bytes;
        has_room
    };
    rows.iter().take_while(has_room).count()
}

fn restored((row, content): (&RestoredRow, Content)) -> VersionRow {
    VersionRow {
        key: row.key.clone(),
        revision: row.revision,
        created_revision: row.created_revision,
        version: row.version,
        lease: None,
        content: Some(content),
    }
}

async fn contents_of(
    connection: &mut SqliteConnection,
    rows: &[RestoredRow],
) -> Result<Vec<Content>, StoreError> {
    let asked: Vec<(i64, &RestoredRow)> = (0..).zip(rows).collect();
    let mut contents = Vec::with_capacity(rows.len());
    for (sql, piece) in SELECT_CONTENTS.pieces(&asked) {
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (ordinal, row) in piece {
            let (key, revision) = (row.key.as_bytes().to_vec(), row.content_of.0.cast_signed());
            query = query.bind(*ordinal).bind(key).bind(revision);
        }
        for row in query.fetch_all(&mut *connection).await? {
            let item = item_of(&row, 0, Checked::Whole)?.ok_or_else(versions::missing)?;
            contents.push(Content { value: item.value, content_type: item.content_type });
        }
    }
    if contents.len() == rows.len() { Ok(contents) } else { Err(versions::missing()) }
}
