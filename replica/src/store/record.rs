//! Rows as values.

use bytes::Bytes;
use shared::ids::Revision;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::error::StoreError;

/// A key that exists, as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// The key.
    pub(crate) key: Bytes,
    /// What was stored; empty where only keys were asked for.
    pub(crate) value: Bytes,
    /// The `Content-Type` it was stored with.
    pub(crate) content_type: Option<String>,
    /// The revision that wrote it.
    pub(crate) revision: Revision,
    /// The revision that created the key.
    pub(crate) created_revision: Revision,
    /// How often the key was written since.
    pub(crate) version: u64,
}

/// Reads `key, revision, created_revision, version, content_type, value` from the column `at` on; none where the key is NULL or
/// the value is: a key that was never there, or was deleted.
pub(super) fn item_of(row: &SqliteRow, at: usize) -> Result<Option<Item>, StoreError> {
    let key: Option<&[u8]> = row.try_get(at)?;
    let value: Option<&[u8]> = row.try_get(at + 5)?;
    let (Some(key), Some(value)) = (key, value) else { return Ok(None) };
    Ok(Some(Item {
        key: Bytes::copy_from_slice(key),
        value: Bytes::copy_from_slice(value),
        content_type: row.try_get(at + 4)?,
        revision: Revision(counter(row, at + 1)?),
        created_revision: Revision(counter(row, at + 2)?),
        version: counter(row, at + 3)?,
    }))
}

/// Reads a count. SQLite's integers have a sign; a count of ours never needs its bit.
pub(super) fn counter(row: &SqliteRow, column: usize) -> Result<u64, StoreError> {
    Ok(row.try_get::<i64, _>(column)?.cast_unsigned())
}
