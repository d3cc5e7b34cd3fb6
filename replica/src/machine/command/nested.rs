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
/// The number of [`Op::Certified`] among the variants.
const CERTIFIED: u32 = 14;

/// Reads what is within a fence.
pub(in crate::machine) fn fenced<'de, D: Deserializer<'de>>(from: D) -> Result<Op, D::Error> {
    decode(from, &[FENCED, ATTRIBUTED, ISSUED, CERTIFIED])
}

/// Reads what somebody does.
pub(super) fn done<'de, D: Deserializer<'de>>(from: D) -> Result<Box<Op>, D::Error> {
    decode(from, &[ATTRIBUTED, ISSUED, CERTIFIED]).map(Box::new)
}

pub(in crate::machine) fn encode<S: Serializer>(op: &Op, serializer: S) -> Result<S::Ok, S::Error> {
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
