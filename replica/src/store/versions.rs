//! Rows of `versions`: every version of every key.

use std::sync::LazyLock;

use super::error::StoreError;
use super::multi_row::MultiRow;
use super::record::Item;
use super::statements::Statements;
use super::sum::VersionFields;
use crate::machine::keys::VersionRow;

static INSERT: LazyLock<MultiRow> = LazyLock::new(|| {
    const HEAD: &str = "INSERT OR ROLLBACK INTO versions(key, revision, created_revision, version, lease, \
        sum, content_type, value) VALUES ";
    MultiRow::new(HEAD, "(?,?,?,?,?,?,?,?)", "")
});

/// The key of an item as executing knows it.
pub(super) fn text_of(item: &Item) -> Result<String, StoreError> {
    String::from_utf8(item.key.to_vec())
        .map_err(|error| StoreError::Damaged(format!("a key is not UTF-8: {error}")))
}

/// `live` names a version that does not exist.
pub(super) fn missing() -> StoreError {
    StoreError::Damaged("a live key has no version, or one that is deleted".to_owned())
}

/// Writes them, and nothing of which are live.
pub(super) async fn write(
    statements: &mut Statements<'_>,
    changes: &[VersionRow],
) -> Result<(), StoreError> {
    statements
        .add_rows(&INSERT, changes, |bound, row| {
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
                lease: row.lease,
                is_deleted: value.is_none(),
            };
            bound
                .bind(row.key.as_bytes().to_vec())
                .bind(row.revision.0.cast_signed())
                .bind(row.created_revision.0.cast_signed())
                .bind(row.version.cast_signed())
                .bind(row.lease.map(|lease| lease.0.cast_signed()))
                .bind(fields.sums(content_type, value).to_vec())
                .bind(content_type.map(str::to_owned))
                .bind(value.map(<[u8]>::to_vec));
        })
        .await
}
