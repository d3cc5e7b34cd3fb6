//! An operation within another, as bytes of its own: to read it, nobody has to go deeper than
//! there are kinds of nesting. Who does it stands outside of a fence, and neither within itself.

use bytes::Bytes;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Op;

/// The number of [`Op::Fenced`] among the variants.
const FENCED: u32 = 9;
/// The number of [`Op::Attributed`] among the variants.
const ATTRIBUTED: u32 = 12;
/// The number of [`Op::Issued`] among the variants.
pub(super) const ISSUED: u32 = 13;

/// What is within a fence.
pub(in crate::machine) mod fenced {
    use super::{ATTRIBUTED, Deserializer, FENCED, ISSUED, Op, Serializer, decode, encode};

    pub(in crate::machine) fn serialize<S: Serializer>(
        op: &Op,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        encode(op, serializer)
    }

    pub(in crate::machine) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Op, D::Error> {
        decode(deserializer, &[FENCED, ATTRIBUTED, ISSUED])
    }
}

/// What somebody does.
pub(super) mod attributed {
    use super::{ATTRIBUTED, Deserializer, ISSUED, Op, Serializer, decode, encode};

    pub(in crate::machine) fn serialize<S: Serializer>(
        op: &Op,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        encode(op, serializer)
    }

    pub(in crate::machine) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Box<Op>, D::Error> {
        decode(deserializer, &[ATTRIBUTED, ISSUED]).map(Box::new)
    }
}

fn encode<S: Serializer>(op: &Op, serializer: S) -> Result<S::Ok, S::Error> {
    let encoded = postcard::to_allocvec(op).expect("encoding into memory does not fail");
    Bytes::from(encoded).serialize(serializer)
}

/// Any operation but those that begin with one of these numbers.
fn decode<'de, D: Deserializer<'de>>(deserializer: D, refused: &[u32]) -> Result<Op, D::Error> {
    let encoded = Bytes::deserialize(deserializer)?;
    let variant = postcard::take_from_bytes::<u32>(&encoded);
    if variant.is_ok_and(|(variant, _)| refused.contains(&variant)) {
        return Err(D::Error::custom("one is within another"));
    }
    match postcard::take_from_bytes(&encoded) {
        Ok((op, [])) => Ok(op),
        Ok((_, [_, ..])) | Err(_) => Err(D::Error::custom("this is no operation")),
    }
}
