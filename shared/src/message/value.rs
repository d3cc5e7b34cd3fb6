//! What the slots of the log hold.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::ids::{BatchNumber, Epoch, Instance, LogFormat, Name};

/// What a slot holds, as bytes: the number of a [`LogFormat`], then a [`Value`] encoded in
/// it. Opaque to coordinators and acceptors.
pub type EncodedValue = Bytes;

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// Fills a hole; executing it changes nothing.
    Noop,
    /// Says who is primary from here on.
    View(View),
    /// Mutations, in the encoding of the replica crate.
    Batch(Batch),
}

impl Value {
    /// Encodes it in the first format, which every replica can read: so are all no-ops and
    /// views, by which replicas learn of another format.
    #[must_use]
    pub fn encode(&self) -> EncodedValue {
        self.encode_in(LogFormat::FIRST)
    }

    /// Encodes it once, for everyone. It counts only where the log has this format by then,
    /// or a later one.
    #[must_use]
    pub fn encode_in(&self, format: LogFormat) -> EncodedValue {
        let bytes = postcard::to_allocvec(&(format, self));
        Bytes::from(bytes.expect("encoding into memory does not fail"))
    }

    /// Splits an encoded value into the number of its format and what that format is to
    /// make sense of. This much is the same in every format.
    ///
    /// # Errors
    /// When the bytes don't begin with a number.
    pub fn format_of(bytes: &[u8]) -> Result<(LogFormat, &[u8]), postcard::Error> {
        postcard::take_from_bytes(bytes)
    }

    /// Reads a value encoded in any of the formats up to now: they have the same encoding.
    ///
    /// # Errors
    /// When the bytes are not the encoding of exactly one value.
    pub fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        let (_format, bytes) = Self::format_of(bytes)?;
        match postcard::take_from_bytes(bytes)? {
            (value, []) => Ok(value),
            (_, [_, ..]) => Err(postcard::Error::DeserializeBadEncoding),
        }
    }
}

/// Who is primary. Itself a chosen value: a view counts only if the epoch executed before
/// it is `epoch - 1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The number of this view: one above the view before it.
    pub epoch: Epoch,
    /// The only replica that takes mutations in this epoch …
    pub primary: Name,
    /// … and only in this life of its process, so that a number of a batch is never used
    /// twice in an epoch.
    pub primary_instance: Instance,
    /// The other replicas, in order of their names.
    #[serde(deserialize_with = "bounded::list")]
    pub backups: Vec<Name>,
    /// The format of the log from here on: never lower than before, and one that all of
    /// these replicas have said they can read. Whoever cannot must not go on.
    pub format: LogFormat,
}

impl View {
    /// Whether the replica is the primary or a backup.
    #[must_use]
    pub fn contains(&self, replica: &Name) -> bool {
        self.primary == *replica || self.backups.contains(replica)
    }
}

/// Mutations that one primary proposes together. Executed only in its epoch and in the
/// order of its number, else void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The epoch of the primary that made it.
    pub epoch: Epoch,
    /// Its number in that epoch, from 0.
    pub number: BatchNumber,
    /// The commands, in the encoding of the replica crate.
    pub commands: Bytes,
}
