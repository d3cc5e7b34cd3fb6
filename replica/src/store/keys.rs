//! The keys of the state: what executing loads of them, and what it writes.
//!
//! `versions` has every version of every key; `live` says which keys there are now and
//! which version of each, so that nobody who asks for those meets deleted ones.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use shared::ids::Revision;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use super::error::StoreError;
use super::multi_row::MultiRow;
use super::ranges::Ranges;
use super::record::{Checked, Item, item_of};
use super::sum::VersionFields;
use crate::machine::working_set::{Needs, Record, VersionRow};

static SELECT_KEYS: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "WITH asked(key) AS (VALUES ",
        "(?)",
        ") SELECT v.key, v.revision, v.created_revision, v.version, v.sum, v.content_type, \
         CASE WHEN v.value IS NULL THEN NULL ELSE x'' END FROM asked a CROSS JOIN versions v ON \
         v.id = \
         (SELECT id FROM versions WHERE key = a.key ORDER BY revision DESC LIMIT 1)",
    )
});

static INSERT_VERSIONS: LazyLock<MultiRow> = LazyLock::new(|| {
    const HEAD: &str = "INSERT INTO versions(key, revision, created_revision, version, sum, \
        content_type, value) VALUES ";
    MultiRow::new(HEAD, "(?,?,?,?,?,?,?)", "")
});

static PUT_LIVE: LazyLock<MultiRow> =
    LazyLock::new(|| MultiRow::new("REPLACE INTO live(key, revision) VALUES ", "(?,?)", ""));

static DELETE_LIVE: LazyLock<MultiRow> =
    LazyLock::new(|| MultiRow::new("DELETE FROM live WHERE key IN (", "?", ")"));

/// What was found of the keys that executing looks at.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Those that exist, without content.
    pub(super) records: Vec<(String, Record)>,
    /// The tombstones of those that a range hides: to be written before anything newer.
    pub(super) hidden: Vec<VersionRow>,
}

/// Loads the keys.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    needs: &Needs,
    ranges: &Ranges,
) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::default();
    let keys: Vec<&String> = needs.keys.iter().collect();
    for (sql, piece) in SELECT_KEYS.pieces(&keys) {
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for key in piece {
            query = query.bind(key.as_bytes().to_vec());
        }
        for row in query.fetch_all(&mut *connection).await? {
            let Some(item) = item_of(&row, 0, Checked::Head)? else { continue };
            loaded.add(item, ranges)?;
        }
    }
    Ok(loaded)
}

impl Loaded {
    fn add(&mut self, item: Item, ranges: &Ranges) -> Result<(), StoreError> {
        let key = text_of(&item)?;
        let Item { revision, created_revision, version, .. } = item;
        let content = None;
        match ranges.hidden_by(key.as_bytes(), revision) {
            None => {
                self.records.push((key, Record { revision, created_revision, version, content }));
            }
            Some(revision) => {
                self.hidden.push(VersionRow { key, revision, created_revision, version, content });
            }
        }
        Ok(())
    }
}

/// The key of an item as executing knows it.
pub(super) fn text_of(item: &Item) -> Result<String, StoreError> {
    String::from_utf8(item.key.to_vec())
        .map_err(|error| StoreError::Damaged(format!("a key is not UTF-8: {error}")))
}

/// `live` names a version that does not exist.
pub(super) fn without_version() -> StoreError {
    StoreError::Damaged("a live key has no version, or one that is deleted".to_owned())
}

/// Writes changes of keys, in order: their versions, and which of them are live now.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    changes: &[VersionRow],
) -> Result<(), StoreError> {
    write_versions(connection, changes).await?;
    let last: BTreeMap<&str, Option<Revision>> = changes
        .iter()
        .map(|row| (row.key.as_str(), row.content.as_ref().map(|_| row.revision)))
        .collect();
    let live: Vec<_> = last.iter().filter_map(|(key, live)| Some((*key, (*live)?))).collect();
    for (sql, piece) in PUT_LIVE.pieces(&live) {
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (key, revision) in piece {
            query = query.bind(key.as_bytes().to_vec()).bind(revision.0.cast_signed());
        }
        query.execute(&mut *connection).await?;
    }
    let gone: Vec<_> =
        last.iter().filter(|(_, live)| live.is_none()).map(|(key, _)| *key).collect();
    for (sql, piece) in DELETE_LIVE.pieces(&gone) {
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for key in piece {
            query = query.bind(key.as_bytes().to_vec());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Writes versions of keys, and nothing of which are live.
pub(super) async fn write_versions(
    connection: &mut SqliteConnection,
    changes: &[VersionRow],
) -> Result<(), StoreError> {
    for (sql, piece) in INSERT_VERSIONS.pieces(changes) {
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for row in piece {
            let content = row.content.as_ref();
            let (content_type, value) = (
                content.and_then(|content| content.content_type.as_deref()),
                content.map(|content| &*content.value),
            );
            let fields = VersionFields {
                key: row.key.as_bytes(),
                revision: row.revision.0,
                created_revision: row.created_revision.0,
                version: row.version,
                is_deleted: value.is_none(),
            };
            query = query
                .bind(row.key.as_bytes().to_vec())
                .bind(row.revision.0.cast_signed())
                .bind(row.created_revision.0.cast_signed())
                .bind(row.version.cast_signed())
                .bind(fields.sums(content_type, value).to_vec())
                .bind(content_type.map(str::to_owned))
                .bind(value.map(<[u8]>::to_vec));
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
