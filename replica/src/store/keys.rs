//! The keys of the state: what executing loads of them, and what it writes.
//!
//! `versions` has every version of every key; `live` says which keys there are now and
//! which version of each, so that nobody who asks for those meets deleted ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use bytes::Bytes;
use futures::TryStreamExt;
use shared::ids::{LeaseId, Revision};
use sqlx::AssertSqlSafe;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::deletions::{Deletions, not_hidden};
use super::error::StoreError;
use super::head_cache::HeadCache;
use super::multi_row::MultiRow;
use super::record::{Checked, Item, counter, item_of};
use super::statements::{Bound, Statements};
use super::{rollback, versions};
use crate::machine::keys::{Content, Deletion, KeyNeeds, KeyScan, LoadedKeys, Record, VersionRow};

/// SQL: how many bytes the content of the row `$row` has. SQLite reads none of it for that, and
/// notices a length that does not go with the row's.
macro_rules! content_bytes {
    ($row:literal) => {
        concat!(
            "coalesce(length(",
            $row,
            ".value), 0) + coalesce(length(CAST(",
            $row,
            ".content_type AS BLOB)), 0)"
        )
    };
}
pub(super) use content_bytes;

/// The current versions `v` of the keys that were asked for.
macro_rules! current {
    () => {
        " FROM asked a CROSS JOIN versions v ON v.id = \
         (SELECT id FROM versions WHERE key = a.key ORDER BY revision DESC LIMIT 1)"
    };
}

static SELECT_KEYS: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "WITH asked(key) AS (VALUES ",
        "(?)",
        concat!(
            ") SELECT v.key, v.revision, v.created_revision, v.version, v.lease, v.sum, v.content_type, \
             CASE WHEN v.value IS NULL THEN NULL ELSE x'' END, ",
            content_bytes!("v"),
            current!()
        ),
    )
});

static SELECT_CONTENTS: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "WITH asked(key) AS (VALUES ",
        "(?)",
        concat!(
            ") SELECT v.key, v.revision, v.created_revision, v.version, v.lease, v.sum, v.content_type, \
             v.value",
            current!()
        ),
    )
});

/// The keys of a range that no deletion of many hides, but for those that are bound to some
/// leases.
const SCAN: &str = concat!(
    "SELECT v.key, v.revision, v.created_revision, v.version, v.lease, v.sum, v.content_type, \
     CASE WHEN v.value IS NULL THEN NULL ELSE x'' END, ",
    content_bytes!("v"),
    " FROM live l LEFT JOIN versions v ON v.key = l.key AND v.revision = l.revision \
     WHERE l.key >= ?1 AND l.key < ?2 AND ",
    not_hidden!("l", "?3"),
    " AND (l.lease IS NULL OR l.lease NOT IN (SELECT value FROM json_each(?5))) \
     ORDER BY l.key LIMIT ?4"
);

static PUT_LIVE: LazyLock<MultiRow> = LazyLock::new(|| {
    const THEN: &str =
        " ON CONFLICT(key) DO UPDATE SET revision = excluded.revision, lease = excluded.lease";
    MultiRow::new("INSERT INTO live(key, revision, lease) VALUES ", "(?,?,?)", THEN)
});

static DELETE_LIVE: LazyLock<MultiRow> =
    LazyLock::new(|| MultiRow::new("DELETE FROM live WHERE key IN (", "?", ")"));

/// Loads what executing looks at of the keys. The tombstones of those that are hidden go
/// to `hidden`: they are to be written before anything newer.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    needs: &KeyNeeds,
    deletions: &Deletions,
    cache: &mut HeadCache,
    hidden: &mut Vec<VersionRow>,
) -> Result<LoadedKeys, StoreError> {
    let KeyNeeds { heads, contents, scans, rollback } = needs;
    let mut loaded = LoadedKeys {
        heads: load_heads(connection, heads, deletions, cache, hidden).await?,
        contents: load_contents(connection, contents).await?,
        scans: Vec::with_capacity(scans.len()),
        rollback: None,
    };
    for scan in scans {
        loaded.scans.push(load_scan(connection, scan).await?);
    }
    if let Some(scan) = rollback {
        loaded.rollback = Some(rollback::changed(connection, scan).await?);
    }
    Ok(loaded)
}

async fn load_heads(
    connection: &mut SqliteConnection,
    asked: &BTreeSet<String>,
    deletions: &Deletions,
    cache: &mut HeadCache,
    hidden: &mut Vec<VersionRow>,
) -> Result<Vec<(String, Record)>, StoreError> {
    let (mut found, mut keys) = (Vec::with_capacity(asked.len()), Vec::new());
    for key in asked {
        match cache.get(key) {
            Some(record) => found.push((key.clone(), record)),
            None => keys.push(key),
        }
    }
    for (sql, piece) in SELECT_KEYS.pieces(&keys) {
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for key in piece {
            query = query.bind(key.as_bytes().to_vec());
        }
        for row in query.fetch_all(&mut *connection).await? {
            let Some((key, record)) = head_at(&row, 0)? else { continue };
            match deletions.hidden_by(key.as_bytes(), record.revision, record.lease) {
                None => {
                    cache.keep(&key, &record);
                    found.push((key, record));
                }
                Some(Deletion { revision, expired: lease }) => {
                    let Record { created_revision, version, .. } = record;
                    let content = None;
                    hidden.push(VersionRow {
                        key,
                        revision,
                        created_revision,
                        version,
                        lease,
                        content,
                    });
                }
            }
        }
    }
    Ok(found)
}

/// Reads a key without its content from the column `at` on; none where it was deleted.
pub(super) fn head_at(row: &SqliteRow, at: usize) -> Result<Option<(String, Record)>, StoreError> {
    /// Behind the columns of an item.
    const CONTENT_BYTES: usize = 8;
    let Some(item) = item_of(row, at, Checked::Head)? else { return Ok(None) };
    let content_bytes = usize::try_from(counter(row, at + CONTENT_BYTES)?).unwrap_or(usize::MAX);
    let key = versions::text_of(&item)?;
    let Item { revision, created_revision, version, lease, .. } = item;
    let content = None;
    let record = Record { revision, created_revision, version, lease, content_bytes, content };
    Ok(Some((key, record)))
}

/// Of each value no more than was asked for is kept, but all of it is read, for its
/// checksum.
async fn load_contents(
    connection: &mut SqliteConnection,
    asked: &BTreeMap<String, usize>,
) -> Result<Vec<(String, Content)>, StoreError> {
    let mut found = Vec::with_capacity(asked.len());
    let keys: Vec<&String> = asked.keys().collect();
    for (sql, piece) in SELECT_CONTENTS.pieces(&keys) {
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for key in piece {
            query = query.bind(key.as_bytes().to_vec());
        }
        let mut rows = query.fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            let Some(item) = item_of(&row, 0, Checked::Whole)? else { continue };
            let key = versions::text_of(&item)?;
            let bytes = asked.get(&key).copied().unwrap_or_default().min(item.value.len());
            // A copy: the rest of the value is not to be kept with it.
            let value = Bytes::copy_from_slice(&item.value[..bytes]);
            found.push((key, Content { value, content_type: item.content_type }));
        }
    }
    Ok(found)
}

async fn load_scan(
    connection: &mut SqliteConnection,
    scan: &KeyScan,
) -> Result<Vec<(String, Record)>, StoreError> {
    let rows = sqlx::query(SCAN)
        .bind(scan.from.clone())
        .bind(scan.below.clone())
        .bind(i64::MAX)
        .bind(i64::try_from(scan.at_most).unwrap_or(i64::MAX))
        .bind(serde_json::to_string(&scan.but_for).expect("plain numbers, into memory"))
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| head_at(row, 0)?.ok_or_else(versions::missing)).collect()
}

/// Writes changes of keys, in order: their versions, and which of them are live now.
pub(super) async fn write(
    statements: &mut Statements<'_>,
    changes: &[VersionRow],
) -> Result<(), StoreError> {
    versions::write(statements, changes).await?;
    let last: BTreeMap<&str, Option<(Revision, Option<LeaseId>)>> = changes
        .iter()
        .map(|row| (row.key.as_str(), row.content.as_ref().map(|_| (row.revision, row.lease))))
        .collect();
    let live: Vec<_> = last.iter().filter_map(|(key, live)| Some((*key, (*live)?))).collect();
    let put = |bound: &mut Bound, (key, live): &(&str, (Revision, Option<LeaseId>))| {
        let (revision, lease) = live;
        bound
            .bind(key.as_bytes().to_vec())
            .bind(revision.0.cast_signed())
            .bind(lease.map(|lease| lease.0.cast_signed()));
    };
    statements.add_rows(&PUT_LIVE, &live, put).await?;
    let gone: Vec<_> =
        last.iter().filter(|(_, live)| live.is_none()).map(|(key, _)| *key).collect();
    let delete = |bound: &mut Bound, key: &&str| {
        bound.bind(key.as_bytes().to_vec());
    };
    statements.add_rows(&DELETE_LIVE, &gone, delete).await
}
