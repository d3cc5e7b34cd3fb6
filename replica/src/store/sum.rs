//! Checksums of rows: SQLite has none of its own, and a bit that flips inside a value
//! leaves a well-formed file.
//!
//! Whatever is read is checked, before it is answered, executed on or sent to another
//! replica: damage on one disk must not become another value for a client, and must not
//! spread through the log. A sum binds a row's columns together, its key included, so
//! that a row found in the wrong place is noticed as well. What is checked when the state
//! is opened is in [`verify`](super::verify).

use shared::ids::LeaseId;

use super::error::StoreError;

/// The length of one sum: what 64 bits miss is not found by accident.
const BYTES: usize = 8;
/// The length of the sums of a row of `versions`: of all but the value, and of
/// everything.
pub(super) const VERSION_BYTES: usize = 2 * BYTES;

/// A row's checksum.
pub(super) type Sum = [u8; BYTES];

/// A row of `versions`.
#[derive(Clone, Copy, Debug)]
pub(super) struct VersionFields<'a> {
    pub(super) key: &'a [u8],
    pub(super) revision: u64,
    pub(super) created_revision: u64,
    pub(super) version: u64,
    pub(super) lease: Option<LeaseId>,
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
        // Before version 9 there was none.
        if let Some(lease) = self.lease {
            hasher.update(&lease.0.to_le_bytes());
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

/// The sum of a row of another table, whose columns are these: numbers, and texts or bytes
/// where there are any.
pub(super) fn of_columns(numbers: &[u64], fields: &[Option<&[u8]>]) -> Sum {
    let mut hasher = blake3::Hasher::new();
    for number in numbers {
        hasher.update(&number.to_le_bytes());
    }
    for field in fields {
        hasher.update(&[u8::from(field.is_some())]);
        let bytes = field.unwrap_or_default();
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    }
    cut(&hasher)
}

fn cut(hasher: &blake3::Hasher) -> Sum {
    *hasher.finalize().as_bytes().first_chunk().expect("a digest has 32 bytes")
}
