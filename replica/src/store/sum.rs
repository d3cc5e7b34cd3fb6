//! Checksums of rows: SQLite has none of its own, and a bit that flips inside a value
//! leaves a well-formed file.
//!
//! Whatever is read is checked, before it is answered, executed on or sent to another
//! replica: damage on one disk must not become another value for a client, and must not
//! spread through the log. A sum binds a row's columns together, its key included, so
//! that a row found in the wrong place is noticed as well. What is checked when the state
//! is opened is in [`verify`](super::verify).

use shared::ids::{ClusterId, Slot};

use super::error::StoreError;
use super::log::LogRow;
use super::ranges::Range;
use crate::machine::working_set::Meta;

/// The length of one sum: what 64 bits miss is not found by accident.
const BYTES: usize = 8;
/// The length of the sums of a row of `versions`: of all but the value, and of
/// everything.
pub(super) const VERSION_BYTES: usize = 2 * BYTES;

type Sum = [u8; BYTES];

/// A row of `versions`.
#[derive(Clone, Copy, Debug)]
pub(super) struct VersionFields<'a> {
    pub(super) key: &'a [u8],
    pub(super) revision: u64,
    pub(super) created_revision: u64,
    pub(super) version: u64,
    pub(super) is_deleted: bool,
}

impl VersionFields<'_> {
    /// The sums of the row with this content.
    pub(super) fn sums(
        &self,
        content_type: Option<&str>,
        value: Option<&[u8]>,
    ) -> [u8; VERSION_BYTES] {
        let head = self.head();
        let mut sums = [0; VERSION_BYTES];
        sums[..BYTES].copy_from_slice(&head);
        sums[BYTES..].copy_from_slice(&whole(&head, content_type, value));
        sums
    }

    /// Holds the row's sums against all but its content.
    pub(super) fn check_head(&self, sums: &[u8]) -> Result<(), StoreError> {
        let is_right = sums.len() == VERSION_BYTES && sums[..BYTES] == self.head();
        if is_right { Ok(()) } else { Err(self.damaged()) }
    }

    /// Holds the row's sums against all of it.
    pub(super) fn check(
        &self,
        content_type: Option<&str>,
        value: Option<&[u8]>,
        sums: &[u8],
    ) -> Result<(), StoreError> {
        if *sums == self.sums(content_type, value) { Ok(()) } else { Err(self.damaged()) }
    }

    fn head(&self) -> Sum {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(self.key.len() as u64).to_le_bytes()).update(self.key);
        for number in
            [self.revision, self.created_revision, self.version, u64::from(self.is_deleted)]
        {
            hasher.update(&number.to_le_bytes());
        }
        cut(&hasher)
    }

    fn damaged(&self) -> StoreError {
        let key = String::from_utf8_lossy(self.key);
        StoreError::Damaged(format!(
            "the record of {key:?} at revision {} does not match its checksum",
            self.revision
        ))
    }
}

fn whole(head: &Sum, content_type: Option<&str>, value: Option<&[u8]>) -> Sum {
    let mut hasher = blake3::Hasher::new();
    hasher.update(head);
    for field in [content_type.map(str::as_bytes), value] {
        hasher.update(&[u8::from(field.is_some())]);
        let bytes = field.unwrap_or_default();
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    }
    cut(&hasher)
}

/// The sum of a row of `log`. The value is bound by the hash.
pub(super) fn of_log(slot: Slot, ballot: (u64, u64), revision: u64, hash: &[u8; 32]) -> Sum {
    let mut hasher = blake3::Hasher::new();
    for number in [slot.0, ballot.0, ballot.1, revision] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(hash);
    cut(&hasher)
}

/// Holds a row of the log against its sum, and against the hash of the slot before.
pub(super) fn check_log(row: &LogRow, sum: &[u8]) -> Result<(), StoreError> {
    let slot = row.slot;
    let ballot = (row.ballot.round, row.ballot.coordinator.0);
    if *sum != of_log(slot, ballot, row.revision.0, &row.hash) {
        return Err(StoreError::Damaged(format!(
            "the row of slot {slot} does not match its checksum"
        )));
    }
    if crate::machine::chain::ChainHash(row.previous_hash).next(slot, &row.value).0 != row.hash {
        return Err(StoreError::Damaged(format!(
            "the hash of slot {slot} is not that of its value"
        )));
    }
    Ok(())
}

/// The sum of a row of `range_tombstones`.
pub(super) fn of_range(range: &Range) -> Sum {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&range.revision.0.to_le_bytes());
    for field in [&range.first, &range.below] {
        hasher.update(&(field.len() as u64).to_le_bytes()).update(field);
    }
    cut(&hasher)
}

/// Holds a row of `range_tombstones` against its sum.
pub(super) fn check_range(range: &Range, sum: &[u8]) -> Result<(), StoreError> {
    if *sum == of_range(range) {
        return Ok(());
    }
    Err(StoreError::Damaged(format!(
        "the range tombstone of revision {} does not match its checksum",
        range.revision
    )))
}

/// The sum of `meta`. `view` is the view as it is stored.
pub(super) fn of_meta(meta: &Meta, view: Option<&str>, cluster: Option<ClusterId>) -> Sum {
    let mut hasher = blake3::Hasher::new();
    for number in [meta.executed_below.0, meta.revision.0, meta.next_batch.0, meta.time_ms] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(&meta.hash.0);
    let cluster = cluster.map(|cluster| cluster.0.to_le_bytes());
    for field in [view.map(str::as_bytes), cluster.as_ref().map(<[u8; 8]>::as_slice)] {
        hasher.update(&[u8::from(field.is_some())]);
        let bytes = field.unwrap_or_default();
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    }
    cut(&hasher)
}

fn cut(hasher: &blake3::Hasher) -> Sum {
    *hasher.finalize().as_bytes().first_chunk().expect("a digest has 32 bytes")
}
