//! What a listing asks for, and where it goes on. A cursor is an opaque text that carries
//! the whole request and the revision of its first page, so that all pages show one state
//! however long a client takes between them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::ids::Revision;
use shared::problem::Problem;
use shared::query::Query;

use super::cursor;
use super::parameter::{CONSISTENCY, CURSOR, LIMIT, PREFIX, Parameter, REVISION};

/// The parameters of a listing.
pub const PARAMETERS: [Parameter; 9] = [
    PREFIX,
    Parameter::prefix("start", "app/a"),
    Parameter::prefix("end", "app/z"),
    LIMIT,
    CURSOR,
    Parameter::flag("keys_only", "true"),
    REVISION,
    Parameter::flag("reverse", "false"),
    CONSISTENCY,
];

/// What is listed: what a request's parameters say, with nothing left open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Only keys that begin like this.
    pub prefix: String,
    /// Only keys from here on.
    pub start: String,
    /// Only keys below this one.
    pub end: Option<String>,
    /// Against byte order.
    pub reverse: bool,
    /// Without values.
    pub keys_only: bool,
}

/// A listing that stopped somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The listing.
    pub listing: Listing,
    /// The revision that all its pages show.
    pub revision: Revision,
    /// The last key that was looked at.
    pub after: Bytes,
}

const FORMAT: u8 = 1;

impl Cursor {
    /// The text of it: safe in URLs as it is.
    #[must_use]
    pub fn encode(&self) -> String {
        cursor::encode(FORMAT, self)
    }

    /// Reads the text of one.
    ///
    /// # Errors
    /// 400 where it is none.
    pub fn decode(text: &str) -> Result<Self, Problem> {
        cursor::decode(FORMAT, text)
    }
}

/// What is listed, and from where on.
#[derive(Clone, Debug)]
pub struct ListRequest {
    /// The listing.
    pub listing: Listing,
    /// As of this revision.
    pub revision: Option<Revision>,
    /// After this key.
    pub after: Option<Bytes>,
}

impl ListRequest {
    /// What the parameters ask for. Those beside a cursor may repeat what it says, and
    /// nothing else.
    ///
    /// # Errors
    /// 400 where a parameter is none of its kind, or contradicts the cursor.
    pub fn of(query: &Query) -> Result<Self, Problem> {
        let text = |name: &str| query.text(name).unwrap_or_default().to_owned();
        let named = Listing {
            prefix: text("prefix"),
            start: text("start"),
            end: query.text("end").map(str::to_owned),
            reverse: query.flag("reverse")?,
            keys_only: query.flag("keys_only")?,
        };
        let revision = query.number("revision")?.map(Revision);
        let Some(cursor) = query.text("cursor") else {
            return Ok(Self { listing: named, revision, after: None });
        };
        let Cursor { listing, revision: pinned, after } = Cursor::decode(cursor)?;
        let differs = [
            ("prefix", named.prefix != listing.prefix),
            ("start", named.start != listing.start),
            ("end", named.end != listing.end),
            ("reverse", named.reverse != listing.reverse),
            ("keys_only", named.keys_only != listing.keys_only),
            ("revision", revision != Some(pinned)),
        ];
        if let Some((name, _)) =
            differs.into_iter().find(|(name, differs)| *differs && query.has(name))
        {
            return Err(Problem::bad_request(format!(
                "query parameter {name:?} contradicts the cursor, which has it already"
            )));
        }
        Ok(Self { listing, revision: Some(pinned), after: Some(after) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursor() -> Cursor {
        let listing = Listing {
            prefix: "ä/".into(),
            start: String::new(),
            end: Some("ä/9".into()),
            reverse: true,
            keys_only: false,
        };
        Cursor { listing, revision: Revision(u64::MAX), after: Bytes::from_static(b"\xc3\xa4/5") }
    }

    #[test]
    fn a_cursor_is_read_back_and_safe_in_a_url() {
        let text = cursor().encode();
        assert_eq!(Cursor::decode(&text).unwrap(), cursor());
        assert!(
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'),
            "{text}"
        );
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
