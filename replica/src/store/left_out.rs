//! A value is stored once: what `versions` has is left out of the rows of `log`, and put
//! back, byte for byte, when the log is read. The hash of the slot says whether what was
//! put together is what was chosen.
//!
//! Left out are the values of puts that were executed, unless they are short. What was
//! not executed (a guard that failed, the other branch of a transaction, a void batch) is
//! in no version, and stays; so does what its own transaction overwrites.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::ids::{Revision, Slot};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};

use super::error::StoreError;
use super::multi_row::MultiRow;
use super::record::counter;
use crate::machine::outcome::{CommandOutcome, Delivery, SlotOutcome};
use crate::machine::put_values::PutValue;

/// Shorter values stay in the log: to say where they are would take as much.
pub(super) const SHORT_BYTES: usize = 64;

static SELECT_VALUES: LazyLock<MultiRow> = LazyLock::new(|| {
    MultiRow::new(
        "WITH asked(ordinal, key, revision) AS (VALUES ",
        "(?,?,?)",
        ") SELECT a.ordinal, v.value FROM asked a CROSS JOIN versions v \
         ON v.key = a.key AND v.revision = a.revision WHERE v.value IS NOT NULL",
    )
});

/// A value that is not in the row: between which bytes it was, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LeftOut {
    /// How many bytes of the row come before it.
    at: u64,
    length: u64,
    /// Its key: how many bytes of the row lie between its end and `at`, and its length.
    key_ends_before: u64,
    key_length: u64,
    revision: Revision,
}

/// A slot's value as a row holds it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) bytes: Vec<u8>,
    pub(super) left_out: Vec<LeftOut>,
}

impl Kept {
    /// Leaves out what executing the slot wrote to `versions`.
    pub(super) fn of(value: &[u8], puts: &[PutValue], outcome: &SlotOutcome) -> Self {
        let mut kept = Self { bytes: Vec::new(), left_out: Vec::new() };
        let mut from = 0;
        for put in puts {
            let Some(revision) = written_at(outcome, put) else { continue };
            kept.bytes.extend_from_slice(&value[from..put.value.start]);
            kept.left_out.push(LeftOut {
                at: kept.bytes.len() as u64,
                length: put.value.len() as u64,
                key_ends_before: (put.value.start - put.key.end) as u64,
                key_length: put.key.len() as u64,
                revision,
            });
            from = put.value.end;
        }
        kept.bytes.extend_from_slice(&value[from..]);
        kept
    }

    /// What was left out, as a column; none where nothing was.
    pub(super) fn column(&self) -> Option<Vec<u8>> {
        let column = || postcard::to_allocvec(&self.left_out);
        (!self.left_out.is_empty()).then(|| column().expect("encoding into memory does not fail"))
    }

    /// Reads the columns.
    pub(super) fn read(bytes: &[u8], column: Option<&[u8]>) -> Result<Self, postcard::Error> {
        let left_out = column.map(postcard::from_bytes).transpose()?.unwrap_or_default();
        Ok(Self { bytes: bytes.to_vec(), left_out })
    }

    /// How long the value is as a whole, by what the row says.
    pub(super) fn whole_len(&self) -> usize {
        self.left_out.iter().fold(self.bytes.len(), |sum, left_out| {
            sum.saturating_add(usize::try_from(left_out.length).unwrap_or(usize::MAX))
        })
    }

    fn key(&self, left_out: &LeftOut) -> Option<&[u8]> {
        let end = left_out.at.checked_sub(left_out.key_ends_before)?;
        let start = end.checked_sub(left_out.key_length)?;
        self.bytes.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }

    /// Puts these values back in.
    fn whole(self, values: impl Iterator<Item = Option<Vec<u8>>>) -> Option<Bytes> {
        if self.left_out.is_empty() {
            return Some(self.bytes.into());
        }
        let (mut whole, mut from) = (Vec::new(), 0);
        for (left_out, value) in self.left_out.iter().zip(values) {
            let at = usize::try_from(left_out.at).ok()?;
            whole.extend_from_slice(self.bytes.get(from..at)?);
            whole.extend_from_slice(&value?);
            from = at;
        }
        whole.extend_from_slice(self.bytes.get(from..)?);
        Some(whole.into())
    }
}

/// The revision at which the slot wrote a value.
fn written_at(outcome: &SlotOutcome, put: &PutValue) -> Option<Revision> {
    let SlotOutcome::Batch { commands, .. } = outcome else { return None };
    let executed = commands.get(put.command)?;
    if executed.delivery == Delivery::Replayed {
        return None;
    }
    match &executed.outcome {
        CommandOutcome::Created { revision } | CommandOutcome::Replaced { revision, .. } => {
            Some(*revision)
        }
        CommandOutcome::Txn(txn) => (put.branch == Some(txn.guards)).then_some(txn.revision),
        CommandOutcome::Deleted { .. }
        | CommandOutcome::DeletedPrefix { .. }
        | CommandOutcome::PreconditionFailed { .. }
        | CommandOutcome::KeyReused { .. }
        | CommandOutcome::TooManyKeys { .. }
        | CommandOutcome::TxnTooLarge { .. }
        | CommandOutcome::TxnWithoutRoom { .. }
        | CommandOutcome::Appended { .. }
        | CommandOutcome::RolledBack { .. }
        | CommandOutcome::RollbackRefused { .. }
        | CommandOutcome::LeaseGranted { .. }
        | CommandOutcome::LeaseRenewed { .. }
        | CommandOutcome::LeaseRevoked { .. }
        | CommandOutcome::NoSuchLease { .. }
        | CommandOutcome::TooManyLeases { .. }
        | CommandOutcome::TooManyOwnedLeases { .. }
        | CommandOutcome::LockHeld { .. }
        | CommandOutcome::LockAwaited { .. }
        | CommandOutcome::LockBusy { .. }
        | CommandOutcome::LockReleased { .. }
        | CommandOutcome::LockNotHeld { .. }
        | CommandOutcome::TooManyClaims { .. }
        | CommandOutcome::FenceFailed { .. }
        | CommandOutcome::Compacted { .. }
        | CommandOutcome::CompactionAhead { .. }
        | CommandOutcome::Access { .. }
        | CommandOutcome::AccessRefused { .. }
        | CommandOutcome::Denied { .. } => None,
    }
}

/// The values as they were chosen: what was left out of each is put back.
pub(super) async fn put_back(
    connection: &mut SqliteConnection,
    rows: Vec<(Slot, Kept)>,
) -> Result<Vec<Bytes>, StoreError> {
    let mut asked = Vec::new();
    for (slot, kept) in &rows {
        for left_out in &kept.left_out {
            let key = kept.key(left_out).ok_or_else(|| damaged(*slot))?;
            asked.push((asked.len(), key.to_vec(), left_out.revision));
        }
    }
    let mut found = BTreeMap::new();
    for (sql, piece) in SELECT_VALUES.pieces(&asked) {
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (ordinal, key, revision) in piece {
            query = query
                .bind(i64::try_from(*ordinal).unwrap_or(i64::MAX))
                .bind(key.clone())
                .bind(revision.0.cast_signed());
        }
        for row in query.fetch_all(&mut *connection).await? {
            found.insert(counter(&row, 0)?, row.try_get::<Vec<u8>, _>(1)?);
        }
    }
    let mut values = (0..).map(|ordinal| found.remove(&ordinal));
    let whole = |(slot, kept): (Slot, Kept)| {
        let count = kept.left_out.len();
        kept.whole(values.by_ref().take(count)).ok_or_else(|| damaged(slot))
    };
    rows.into_iter().map(whole).collect()
}

fn damaged(slot: Slot) -> StoreError {
    StoreError::Damaged(format!(
        "the hash of slot {slot} is not that of its value: a value that was left out is not there"
    ))
}
