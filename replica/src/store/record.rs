//! Rows as values.

use bytes::Bytes;
use shared::ids::{LeaseId, Revision};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::error::StoreError;
use super::sum::VersionFields;

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
    /// The lease that it goes with.
    pub(crate) lease: Option<LeaseId>,
}

impl Item {
    /// Bytes of key and value.
    pub(crate) fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

/// What of a row was read, and can be held against its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// All of it.
    Whole,
    /// All but content type and value, of which it is only known whether there is one.
    Head,
}

/// What a row says of a version of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns<'r> {
    key: Option<&'r [u8]>,
    revision: i64,
    created_revision: i64,
    version: i64,
    lease: Option<i64>,
    sums: Option<&'r [u8]>,
    content_type: Option<&'r str>,
    value: Option<&'r [u8]>,
}

impl<'r> Columns<'r> {
    /// Takes `key, revision, created_revision, version, lease, sum, content_type, value`
    /// from the row of a version that there is.
    pub(super) fn of(row: &'r rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let bytes = |column| -> rusqlite::Result<Option<&'r [u8]>> {
            Ok(row.get_ref(column)?.as_bytes_or_null()?)
        };
        Ok(Self {
            key: bytes(0)?,
            revision: row.get(1)?,
            created_revision: row.get(2)?,
            version: row.get(3)?,
            lease: row.get(4)?,
            sums: bytes(5)?,
            content_type: row.get_ref(6)?.as_str_or_null()?,
            value: bytes(7)?,
        })
    }

    /// Checks it; none where there is no row, or the value is NULL: a key that was never
    /// there, or was deleted.
    pub(super) fn item(self, checked: Checked) -> Result<Option<Item>, StoreError> {
        let (key, sums) = match (self.key, self.sums) {
            (Some(key), Some(sums)) => (key, sums),
            (None, None) => return Ok(None),
            (key, None) => {
                return Err(StoreError::Damaged(format!("the record of {key:?} has no checksum")));
            }
            (None, Some(_)) => return Err(StoreError::Damaged("a record has no key".to_owned())),
        };
        let (content_type, value) = (self.content_type, self.value);
        let fields = VersionFields {
            key,
            revision: self.revision.cast_unsigned(),
            created_revision: self.created_revision.cast_unsigned(),
            version: self.version.cast_unsigned(),
            lease: self.lease.map(|lease| LeaseId(lease.cast_unsigned())),
            is_deleted: value.is_none(),
        };
        match checked {
            Checked::Whole => fields.check(content_type, value, sums)?,
            Checked::Head => fields.check_head(sums)?,
        }
        let item = value.map(|value| Item {
            key: Bytes::copy_from_slice(fields.key),
            value: Bytes::copy_from_slice(value),
            content_type: content_type.map(str::to_owned),
            revision: Revision(fields.revision),
            created_revision: Revision(fields.created_revision),
            version: fields.version,
            lease: fields.lease,
        });
        Ok(item)
    }
}

/// Reads `key, revision, created_revision, version, lease, sum, content_type, value` from the
/// column `at` on, and checks it, see [`Columns::item`].
pub(super) fn item_of(
    row: &SqliteRow,
    at: usize,
    checked: Checked,
) -> Result<Option<Item>, StoreError> {
    let number = |column| -> Result<i64, StoreError> {
        Ok(row.try_get::<Option<i64>, _>(column)?.unwrap_or_default())
    };
    let columns = Columns {
        key: row.try_get(at)?,
        revision: number(at + 1)?,
        created_revision: number(at + 2)?,
        version: number(at + 3)?,
        lease: row.try_get(at + LEASE_COLUMN)?,
        sums: row.try_get(at + 5)?,
        content_type: row.try_get(at + 6)?,
        value: row.try_get(at + 7)?,
    };
    columns.item(checked)
}

/// Where an item has its lease, behind where it begins.
pub(super) const LEASE_COLUMN: usize = 4;

/// Reads which lease, if any.
pub(super) fn lease_of(row: &SqliteRow, column: usize) -> Result<Option<LeaseId>, StoreError> {
    let lease: Option<i64> = row.try_get(column)?;
    Ok(lease.map(|lease| LeaseId(lease.cast_unsigned())))
}

/// Reads a count. SQLite's integers have a sign; a count of ours never needs its bit.
pub(super) fn counter(row: &SqliteRow, column: usize) -> Result<u64, StoreError> {
    Ok(row.try_get::<i64, _>(column)?.cast_unsigned())
}

/// Reads a hash.
pub(super) fn hash_of(row: &SqliteRow, column: usize) -> Result<[u8; 32], StoreError> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes
        .try_into()
        .map_err(|_| StoreError::Damaged(format!("a hash of {} bytes instead of 32", bytes.len())))
}
