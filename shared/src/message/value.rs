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
    /// Takes a replica out of the view for good. Not in a format below
    /// [`Removal::FORMAT`].
    Removal(Removal),
}

impl Value {
    /// Encodes it in the first format that has it: all no-ops and views in one that every
    /// replica can read, for by these replicas learn of another format.
    #[must_use]
    pub fn encode(&self) -> EncodedValue {
        self.encode_in(match self {
            Self::Noop | Self::View(_) | Self::Batch(_) => LogFormat::FIRST,
            Self::Removal(_) => Removal::FORMAT,
        })
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

    /// Whom it takes out, if it does: what is of an older format is not decoded for that.
    #[must_use]
    pub fn removal(bytes: &[u8]) -> Option<Removal> {
        let (format, _) = Self::format_of(bytes).ok()?;
        match (format >= Removal::FORMAT).then(|| Self::decode(bytes))? {
            Ok(Self::Removal(removal)) => Some(removal),
            Ok(Self::Noop | Self::View(_) | Self::Batch(_)) | Err(_) => None,
        }
    }

    /// Reads a value encoded in any of the formats up to now: they have the same encoding,
    /// and what a format does not have is no value in it.
    ///
    /// # Errors
    /// When the bytes are not the encoding of exactly one value of their format.
    pub fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        let (format, bytes) = Self::format_of(bytes)?;
        match postcard::take_from_bytes(bytes)? {
            (Self::Removal(removal), []) if !removal.is_one_in(format) => {
                Err(postcard::Error::DeserializeBadEncoding)
            }
            (value, []) => Ok(value),
            (_, [_, ..]) => Err(postcard::Error::DeserializeBadEncoding),
        }
    }
}

/// A view that is the next one without a replica, and says that the replica is out for
/// good: what its database was when this was chosen is in no later view. A new, empty
/// database of the same name may join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// The view from here on. It does not name the replica.
    pub view: View,
    /// The replica that is taken out.
    pub replica: Name,
}

impl Removal {
    /// The format that brought it.
    pub const FORMAT: LogFormat = LogFormat(5);

    /// Whether a value of this format can say it: older programs could not read it.
    fn is_one_in(&self, format: LogFormat) -> bool {
        format >= Self::FORMAT && !self.view.contains(&self.replica)
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
