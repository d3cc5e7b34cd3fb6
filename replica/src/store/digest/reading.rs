//! Reads the rows of a pinned state, piece by piece, and adds them up.

use futures::TryStreamExt as _;
use shared::chain::ChainHash;
use shared::ids::Revision;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::hashed::{Counted, RowSum, encoded};
use super::meta_of;
use crate::machine::access::AccessMeta;
use crate::store::access;
use crate::store::answers;
use crate::store::deletions::{Deletions, not_hidden};
use crate::store::error::StoreError;
use crate::store::meta::MetaRow;
use crate::store::record::{Checked, Item, counter, item_of, lease_of};
use crate::store::sum::VersionFields;
use crate::store::versions;

/// So many rows are read before it is asked whether to go on …
const PIECE_ROWS: u32 = 256;

/// … or so many bytes of keys and values.
const PIECE_BYTES: usize = 1 << 20;

/// All versions, and whether sweeping would leave each: `?1` is up to where history is
/// dropped, `?2` whether all of that is swept.
const VERSIONS: &str = "SELECT key, revision, created_revision, version, lease, sum, \
    content_type, value, CASE WHEN revision > ?1 THEN 1 WHEN value IS NULL THEN 0 WHEN ?2 THEN 1 \
    ELSE NOT EXISTS (SELECT 1 FROM versions w WHERE w.key = v.key AND w.revision > v.revision \
    AND w.revision <= ?1) END FROM versions v ORDER BY id";

/// The live versions that a deletion of many hides.
const HIDDEN: &str = concat!(
    "SELECT v.key, v.revision, v.created_revision, v.version, v.lease, v.sum, v.content_type, \
     v.value FROM live l LEFT JOIN versions v ON v.key = l.key AND v.revision = l.revision \
     WHERE NOT (",
    not_hidden!("l", "?1"),
    ") ORDER BY l.key"
);

/// The keys that exist.
const LIVE: &str = concat!(
    "SELECT l.key, l.revision, l.lease FROM live l WHERE ",
    not_hidden!("l", "?1"),
    " ORDER BY l.key"
);

const ANSWERS: &str = "SELECT key, expires_ms, request, outcome, sum FROM answers ORDER BY key";

pub(super) struct Reading<'a, F> {
    pub(super) connection: &'a mut SqliteConnection,
    pace: Pace<'a, F>,
}

impl<'a, F> Reading<'a, F> {
    pub(super) fn new(connection: &'a mut SqliteConnection, may_go_on: &'a mut F) -> Self {
        Self { connection, pace: Pace::new(may_go_on) }
    }

    /// Before tokens are required there is neither a token nor a policy, and nothing of them
    /// in the digest.
    pub(super) async fn meta<E: From<StoreError>>(&mut self, row: &MetaRow) -> Result<ChainHash, E>
    where
        F: FnMut() -> Result<(), E>,
    {
        let mut hasher = meta_of(row);
        if row.meta.access != AccessMeta::default() {
            for sql in access::SUMS {
                self.add_sums(sql, &mut hasher).await?;
            }
        }
        Ok(hasher.finish())
    }

    pub(super) async fn keys<E: From<StoreError>>(
        &mut self,
        row: &MetaRow,
        deletions: &Deletions,
    ) -> Result<ChainHash, E>
    where
        F: FnMut() -> Result<(), E>,
    {
        let compacted = row.meta.compacted_below;
        let is_swept = row.retained.swept_through >= compacted;
        let mut sum = RowSum::default();
        let query = sqlx::query(VERSIONS).bind(compacted.0.cast_signed()).bind(is_swept);
        let mut rows = query.persistent(false).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
            let item = item_of(&row, 0, Checked::Whole)?;
            if counter(&row, 8)? != 0 {
                sum.add(&row_of(&row)?);
            }
            self.pace.row(item.as_ref().map_or(0, Item::bytes))?;
        }
        drop(rows);
        if deletions.is_empty() {
            return Ok(sum.finish());
        }
        let query = sqlx::query(HIDDEN).bind(row.meta.revision.0.cast_signed());
        let mut rows = query.persistent(false).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
            let item = item_of(&row, 0, Checked::Whole)?.ok_or_else(versions::missing)?;
            let deletion = deletions.hidden_by(&item.key, item.revision, item.lease);
            let deletion = deletion.ok_or_else(versions::missing)?;
            if deletion.revision > compacted {
                let fields = VersionFields {
                    key: &item.key,
                    revision: deletion.revision.0,
                    created_revision: item.created_revision.0,
                    version: item.version,
                    lease: deletion.expired,
                    is_deleted: true,
                };
                sum.add(&encoded(&item.key, deletion.revision.0, &fields.sums(None, None)));
            } else {
                sum.remove(&row_of(&row)?);
            }
            self.pace.row(item.bytes())?;
        }
        Ok(sum.finish())
    }

    pub(super) async fn live<E: From<StoreError>>(
        &mut self,
        present: Revision,
    ) -> Result<ChainHash, E>
    where
        F: FnMut() -> Result<(), E>,
    {
        let mut hasher = Counted::default();
        let query = sqlx::query(LIVE).bind(present.0.cast_signed());
        let mut rows = query.persistent(false).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
            let key: &[u8] = row.try_get(0).map_err(StoreError::from)?;
            let lease = lease_of(&row, 2)?.map_or(0, |lease| lease.0);
            hasher.row(&encoded(key, counter(&row, 1)?, &lease.to_le_bytes()));
            self.pace.row(key.len())?;
        }
        Ok(hasher.finish())
    }

    pub(super) async fn answers<E: From<StoreError>>(&mut self) -> Result<ChainHash, E>
    where
        F: FnMut() -> Result<(), E>,
    {
        let mut hasher = Counted::default();
        let mut rows = sqlx::query(ANSWERS).persistent(false).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
            let _checked = answers::answer_of(&row)?;
            let column = |at| row.try_get::<&[u8], _>(at).map_err(StoreError::from);
            hasher.row(column(0)?);
            hasher.row(column(4)?);
            self.pace.row(column(3)?.len())?;
        }
        Ok(hasher.finish())
    }

    /// Of leases, or of claims, which are checked.
    pub(super) async fn sums<E: From<StoreError>>(
        &mut self,
        sql: &'static str,
    ) -> Result<ChainHash, E>
    where
        F: FnMut() -> Result<(), E>,
    {
        let mut hasher = Counted::default();
        self.add_sums(sql, &mut hasher).await?;
        Ok(hasher.finish())
    }

    async fn add_sums<E: From<StoreError>>(
        &mut self,
        sql: &'static str,
        hasher: &mut Counted,
    ) -> Result<(), E>
    where
        F: FnMut() -> Result<(), E>,
    {
        let mut rows = sqlx::query(sql).persistent(false).fetch(&mut *self.connection);
        while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
            hasher.row(row.try_get(0).map_err(StoreError::from)?);
            self.pace.row(0)?;
        }
        Ok(())
    }
}

/// What of a version is added up: where it is, and its sums, which bind the rest of it.
fn row_of(row: &SqliteRow) -> Result<Vec<u8>, StoreError> {
    let (key, sums): (&[u8], &[u8]) = (row.try_get(0)?, row.try_get(5)?);
    Ok(encoded(key, counter(row, 1)?, sums))
}

/// Asks after each piece whether to go on.
struct Pace<'a, F> {
    may_go_on: &'a mut F,
    rows: u32,
    bytes: usize,
}

impl<'a, F> Pace<'a, F> {
    fn new(may_go_on: &'a mut F) -> Self {
        Self { may_go_on, rows: 0, bytes: 0 }
    }

    fn row<E>(&mut self, bytes: usize) -> Result<(), E>
    where
        F: FnMut() -> Result<(), E>,
    {
        self.rows += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.rows < PIECE_ROWS && self.bytes < PIECE_BYTES {
            return Ok(());
        }
        (self.rows, self.bytes) = (0, 0);
        (self.may_go_on)()
    }
}
