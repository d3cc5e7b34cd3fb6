//! The header fields of answers, as the contract has them.

use http::HeaderMap;
use serde_json::{Map, Value, json};

/// A header field of an answer, and what it holds.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    name: &'static str,
    holds: Holds,
}

#[derive(Clone, Copy, Debug)]
enum Holds {
    Text,
    Pattern(&'static str),
    Number,
    True,
}

const fn text(name: &'static str) -> Field {
    Field { name, holds: Holds::Text }
}

const fn pattern(name: &'static str, pattern: &'static str) -> Field {
    Field { name, holds: Holds::Pattern(pattern) }
}

const fn number(name: &'static str) -> Field {
    Field { name, holds: Holds::Number }
}

/// Which trace it is.
pub const TRACE_ID: Field = pattern("Trace-Id", "^[0-9a-f]{32}$");
/// The state that the answer speaks of.
pub const REVISION: Field = number("Synod-Revision");
/// How old that may be, in milliseconds.
pub const LAG: Field = number("Synod-Lag");
/// What a conditional request names.
pub const ETAG: Field = pattern("ETag", "^\"[^\"]+\"$");
/// Where what was made is.
pub const LOCATION: Field = pattern("Location", "^/v1/");
/// Where the next page is.
pub const LINK: Field = pattern("Link", "^<[^>]+>; rel=\"next\"$");
/// When a key was created.
pub const CREATED_REVISION: Field = number("Synod-Created-Revision");
/// How often it was written since.
pub const VERSION: Field = number("Synod-Version");
/// With which lease it goes.
pub const LEASE: Field = number("Synod-Lease");
/// That it is a first answer, told again.
pub const REPLAYED: Field = Field { name: "Idempotency-Replayed", holds: Holds::True };
/// What all of a file hashes to, whatever part of it is sent.
pub const DIGEST: Field = pattern("Repr-Digest", "^sha-256=:[A-Za-z0-9+/]+=*:$");
/// That parts of a file are sent.
pub const ACCEPT_RANGES: Field = text("Accept-Ranges");
/// Which part of a file it is.
pub const CONTENT_RANGE: Field = pattern("Content-Range", "^bytes ");
/// When to come again, in seconds.
pub const RETRY_AFTER: Field = number("Retry-After");
/// How to say who asks.
pub const AUTHENTICATE: Field = pattern("WWW-Authenticate", "^Bearer");

/// What problems say in fields.
const OF_PROBLEMS: [Field; 4] = [RETRY_AFTER, AUTHENTICATE, ETAG, CONTENT_RANGE];

/// Of what problems say in fields, what this one does.
pub(super) fn of(headers: &HeaderMap) -> impl Iterator<Item = Field> {
    OF_PROBLEMS.into_iter().filter(|field| headers.contains_key(field.name))
}

/// As the document has them.
pub(super) fn rendered<'a>(fields: impl IntoIterator<Item = &'a Field>) -> Map<String, Value> {
    let rendered = fields.into_iter().map(|Field { name, holds }| {
        let schema = match holds {
            Holds::Text => json!({"type": "string"}),
            Holds::Pattern(pattern) => json!({"type": "string", "pattern": pattern}),
            Holds::Number => json!({"type": "integer", "minimum": 0}),
            Holds::True => json!({"type": "boolean", "enum": [true]}),
        };
        ((*name).to_owned(), json!({"schema": schema}))
    });
    rendered.collect()
}
