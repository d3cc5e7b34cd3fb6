//! Where a listing goes on: an opaque text that carries the whole request and the revision of its first page, so that all pages
//! show one state however long a client takes between them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::ids::Revision;
use shared::problem::Problem;

/// What is listed: what a request's parameters say, with nothing left open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listing {
    /// Only keys that begin like this.
    pub(super) prefix: String,
    /// Only keys from here on.
    pub(super) start: String,
    /// Only keys below this one.
    pub(super) end: Option<String>,
    /// Against byte order.
    pub(super) reverse: bool,
    /// Without values.
    pub(super) keys_only: bool,
}

/// A listing that stopped somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// The listing.
    pub(super) listing: Listing,
    /// The revision that all its pages show.
    pub(super) revision: Revision,
    /// The last key that was looked at.
    pub(super) after: Bytes,
}

/// Tells this encoding from whatever comes later.
const FORMAT: u8 = 1;

impl Cursor {
    /// The text of it: safe in URLs as it is.
    pub(super) fn encode(&self) -> String {
        let mut bytes = vec![FORMAT];
        bytes.extend(postcard::to_allocvec(self).expect("encoding into memory does not fail"));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads the text of one.
    pub(super) fn decode(text: &str) -> Result<Self, Problem> {
        let decode = || {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let (format, rest) = bytes.split_first()?;
            let (cursor, left) = postcard::take_from_bytes(rest).ok()?;
            (*format == FORMAT && left.is_empty()).then_some(cursor)
        };
        decode().ok_or_else(|| Problem::bad_request("the cursor is not one that this API gave out"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursor() -> Cursor {
        let listing =
            Listing { prefix: "ä/".into(), start: String::new(), end: Some("ä/9".into()), reverse: true, keys_only: false };
        Cursor { listing, revision: Revision(u64::MAX), after: Bytes::from_static(b"\xc3\xa4/5") }
    }

    #[test]
    fn a_cursor_is_read_back_and_safe_in_a_url() {
        let text = cursor().encode();
        assert_eq!(Cursor::decode(&text).unwrap(), cursor());
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'), "{text}");
    }

    #[test]
    fn a_cursor_that_was_cut_or_lengthened_is_refused() {
        let text = cursor().encode();
        for bad in [&text[..text.len() - 2], &format!("{text}AAAA"), "", "!", "AAAA"] {
            assert_eq!(Cursor::decode(bad).unwrap_err().status(), 400, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_fail_otherwise(text in "\\PC*") {
            if let Err(problem) = Cursor::decode(&text) {
                prop_assert_eq!(problem.status(), 400);
            }
        }
    }
}
