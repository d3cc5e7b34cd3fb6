//! What query parameters and header fields are called, what they hold, and an example of
//! each: said once, for whoever reads them and for the contract (`openapi`).

use crate::machine::command::limits;

/// The longest key, in bytes, unless `--max-key-bytes` says otherwise.
pub(crate) const KEY_BYTES: usize = 1_024;

/// A parameter of the path or the query, or a header field.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// What it is called.
    pub name: &'static str,
    /// What it holds.
    pub(crate) kind: Kind,
    /// How many times it may be given.
    pub(crate) most: usize,
    /// As it may be written.
    pub(crate) example: &'static str,
}

/// What a parameter holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Text, of at least and at most so many characters.
    Text(usize, usize),
    /// Text that this regular expression describes.
    Pattern(&'static str),
    /// A whole number that is not below this one.
    Number(u64),
    /// `true` or `false`.
    Flag,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

impl Parameter {
    const fn of(name: &'static str, kind: Kind, example: &'static str) -> Self {
        Self { name, kind, most: 1, example }
    }

    /// Any text.
    #[must_use]
    pub const fn text(name: &'static str, example: &'static str) -> Self {
        Self::of(name, Kind::Text(0, usize::MAX), example)
    }

    /// Text that a regular expression describes.
    pub(crate) const fn pattern(
        name: &'static str,
        pattern: &'static str,
        example: &'static str,
    ) -> Self {
        Self::of(name, Kind::Pattern(pattern), example)
    }

    /// A key.
    #[must_use]
    pub const fn key(name: &'static str, example: &'static str) -> Self {
        Self::of(name, Kind::Text(1, KEY_BYTES), example)
    }

    /// The beginning or the bound of keys.
    #[must_use]
    pub const fn prefix(name: &'static str, example: &'static str) -> Self {
        Self::of(name, Kind::Text(0, KEY_BYTES), example)
    }

    /// A whole number.
    #[must_use]
    pub const fn number(name: &'static str, example: &'static str) -> Self {
        Self::of(name, Kind::Number(0), example)
    }

    /// `true` or `false`.
    #[must_use]
    pub const fn flag(name: &'static str, example: &'static str) -> Self {
        Self::of(name, Kind::Flag, example)
    }

    /// How long something may take.
    pub(crate) const fn time(name: &'static str, example: &'static str) -> Self {
        Self::pattern(name, "^([1-9][0-9]{0,3}ms|[1-9]s)$", example)
    }

    /// The same, which may be given so many times.
    #[must_use]
    pub const fn repeated(self, most: usize) -> Self {
        Self { most, ..self }
    }
}

/// How new the state must be that a read sees.
pub const CONSISTENCY: Parameter =
    Parameter::of("consistency", Kind::OneOf(&["linearizable", "local"]), "linearizable");
/// How many items are asked for.
pub(crate) const LIMIT: Parameter = Parameter::of("limit", Kind::Number(1), "100");
/// Where a list goes on.
pub(crate) const CURSOR: Parameter = Parameter::text("cursor", "AgAB");
/// How keys begin.
pub(crate) const PREFIX: Parameter = Parameter::prefix("prefix", "app/");
/// The state that is looked at.
pub(crate) const REVISION: Parameter = Parameter::number("revision", "42");
/// Whose key, or whose lock, it is.
pub(crate) const LEASE: Parameter = Parameter::number("lease", "41");

/// Asks a service for all that it rests on.
pub(crate) const VERBOSE: Parameter = Parameter::of("verbose", Kind::Text(0, 0), "");

/// The trace whose spans are asked for, as `shared::spans` reads it, …
pub(crate) const TRACE: Parameter =
    Parameter::pattern("trace", "^[0-9a-f]{32}$", "4bf92f3577b34da6a3ce929d0e0e4736");
/// … and whose spans.
pub(crate) const OF: Parameter =
    Parameter::of("of", Kind::OneOf(&["service", "cluster"]), "cluster");

/// The key in a path.
pub(crate) const KEY: Parameter = Parameter::key("key", "app/web");
/// The lock in a path.
pub(crate) const LOCK: Parameter =
    Parameter::of("name", Kind::Text(1, limits::LOCK_NAME_BYTES), "jobs/nightly");
/// The lease in a path.
pub(crate) const LEASE_ID: Parameter = Parameter::number("id", "41");
/// The replica in a path.
pub(crate) const REPLICA: Parameter = Parameter::pattern("id", "^[a-z0-9-]{1,64}$", "replica-9");
/// The token in a path.
pub(crate) const ACCESSOR: Parameter =
    Parameter::pattern("accessor", "^[0-9a-f]{16}$", "00000000000000aa");
/// The policy in a path.
pub(crate) const POLICY: Parameter = Parameter::pattern("name", "^[A-Za-z0-9_-]{1,128}$", "app");
/// The slot in a path.
pub(crate) const SLOT: Parameter = Parameter::number("slot", "7");

/// How long a request may take.
pub(crate) const TIMEOUT: Parameter = Parameter::time("Synod-Timeout", "2s");
/// The oldest state that may be answered from.
pub(crate) const MIN_REVISION: Parameter = Parameter::number("Synod-Min-Revision", "0");
/// What a watcher has seen.
pub(crate) const LAST_EVENT_ID: Parameter = Parameter::number("Last-Event-ID", "42");
/// By which a mutation is executed once.
pub(crate) const IDEMPOTENCY_KEY: Parameter =
    Parameter::pattern("Idempotency-Key", "^[!-~]{1,128}$", "deploy-42");
/// The lock that must be held.
pub(crate) const FENCE: Parameter =
    Parameter::pattern("Synod-Fence", "^[A-Za-z0-9/._-]{1,64}=[0-9]{1,9}$", "jobs/nightly=42");
/// The revision that a key must have.
pub(crate) const IF_MATCH: Parameter = Parameter::pattern("If-Match", "^\"[0-9]{1,9}\"$", "\"42\"");
/// The revision that a key must not have, for whoever reads it.
pub(crate) const IF_NONE_MATCH: Parameter =
    Parameter::pattern("If-None-Match", "^\"[0-9]{1,9}\"$", "\"42\"");
/// For whoever writes it: that there is none.
pub(crate) const IF_NONE: Parameter = Parameter::of("If-None-Match", Kind::OneOf(&["*"]), "*");
/// The part of a file that is wanted.
pub(crate) const RANGE: Parameter =
    Parameter::pattern("Range", "^bytes=[0-9]{1,9}-$", "bytes=4096-");
/// Of which file.
pub(crate) const IF_RANGE: Parameter = Parameter::pattern(
    "If-Range",
    "^\"[a-z0-9-]{1,32}\\.[0-9a-f]{16}\"$",
    "\"replica-1.00000000000000aa\"",
);
/// The trace that a request is part of.
pub(crate) const TRACEPARENT: Parameter = Parameter::pattern(
    "traceparent",
    "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
);

#[cfg(test)]
mod tests {
    use shared::deadline;

    use super::*;

    #[test]
    fn the_time_of_a_request_is_called_as_every_service_reads_it() {
        assert!(TIMEOUT.name.eq_ignore_ascii_case(deadline::HEADER));
    }
}
