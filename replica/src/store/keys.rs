//! The keys of the state: what executing loads of them, and what it writes.
//!
//! `versions` has every version of every key; `live` says which keys there are now and
//! which version of each, so that nobody who asks for those meets deleted ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use shared::ids::Revision;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use super::error::StoreError;
use super::multi_row::MultiRow;
use super::ranges::Ranges;
use super::record::{Checked, Item, item_of};
use super::versions;
use crate::machine::keys::{Record, VersionRow};

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

static PUT_LIVE: LazyLock<MultiRow> =
    LazyLock::new(|| MultiRow::new("REPLACE INTO live(key, revision) VALUES ", "(?,?)", ""));

static DELETE_LIVE: LazyLock<MultiRow> =
    LazyLock::new(|| MultiRow::new("DELETE FROM live WHERE key IN (", "?", ")"));

/// What was found of the keys that executing looks at.
#[derive(Debug, Default)]
pub(super) struct LoadedKeys {
    /// Those that exist, without content.
    pub(super) records: Vec<(String, Record)>,
    /// The tombstones of those that a range hides: to be written before anything newer.
    pub(super) hidden: Vec<VersionRow>,
}

/// Loads the keys.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    asked: &BTreeSet<String>,
    ranges: &Ranges,
) -> Result<LoadedKeys, StoreError> {
    let mut loaded = LoadedKeys::default();
    let keys: Vec<&String> = asked.iter().collect();
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

impl LoadedKeys {
    fn add(&mut self, item: Item, ranges: &Ranges) -> Result<(), StoreError> {
        let key = versions::text_of(&item)?;
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

/// Writes changes of keys, in order: their versions, and which of them are live now.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    changes: &[VersionRow],
) -> Result<(), StoreError> {
    versions::write(connection, changes).await?;
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
