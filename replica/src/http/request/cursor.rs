//! Opaque texts that carry where an answer of pages goes on.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::problem::Problem;

/// The text of a cursor: safe in URLs as it is. `format` tells its encoding from that of
/// every other kind, and from whatever comes later.
///
/// # Panics
/// Never: encoding into memory does not fail.
pub(super) fn encode(format: u8, cursor: &impl Serialize) -> String {
    let mut bytes = vec![format];
    bytes.extend(postcard::to_allocvec(cursor).expect("encoding into memory does not fail"));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads the text of one.
///
/// # Errors
/// 400 where it is none.
pub(super) fn decode<T: DeserializeOwned>(format: u8, text: &str) -> Result<T, Problem> {
    let decode = || {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (found, rest) = bytes.split_first()?;
        let (cursor, left) = postcard::take_from_bytes(rest).ok()?;
        (*found == format && left.is_empty()).then_some(cursor)
    };
    decode().ok_or_else(|| Problem::bad_request("the cursor is not one that this API gave out"))
}
