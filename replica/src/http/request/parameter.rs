//! What query parameters and header fields of clients are called, what they hold, and an
//! example of each: said once, for whoever reads them and for the contract (`openapi`).

pub(crate) use shared::deadline::TIMEOUT;
pub use shared::query::Parameter;
pub(crate) use shared::query::{KEY_BYTES, Kind};

use crate::machine::command::limits;

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

/// The oldest state that may be answered from.
pub(crate) const MIN_REVISION: Parameter = Parameter::number("Synod-Min-Revision", "0");
/// What a watcher has seen.
pub(crate) const LAST_EVENT_ID: Parameter = Parameter::number("Last-Event-ID", "42");
/// By which a mutation is executed once.
pub(crate) const IDEMPOTENCY_KEY: Parameter =
    Parameter::pattern("Idempotency-Key", IDEMPOTENCY_KEYS, "deploy-42");
const IDEMPOTENCY_KEYS: &str = r#"^([!-~]{1,128}|"[!#-\[\]-~]{1,128}")$"#;
/// The lock that must be held.
pub(crate) const FENCE: Parameter = Parameter::pattern("Synod-Fence", FENCES, "jobs%2Fnightly=42");
const FENCES: &str = "^([!-$&-~]|%[0-9A-Fa-f]{2}){1,1024}=[0-9]{1,19}$";
/// The revision that a key must have.
pub(crate) const IF_MATCH: Parameter = Parameter::pattern("If-Match", TAGS, "\"42\"");
/// Any, or one of up to 64.
const TAGS: &str = r#"^(\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*"){0,63})$"#;
/// The revision that a key must not have, for whoever reads it.
pub(crate) const IF_NONE_MATCH: Parameter = Parameter::pattern("If-None-Match", TAGS, "\"42\"");
/// For whoever writes it: that there is none.
pub(crate) const IF_NONE: Parameter = Parameter::of("If-None-Match", Kind::OneOf(&["*"]), "*");
/// The part of a file that is wanted.
pub(crate) const RANGE: Parameter =
    Parameter::pattern("Range", "^bytes=([0-9]+-[0-9]*|-[0-9]+)$", "bytes=4096-");
/// Of which file.
pub(crate) const IF_RANGE: Parameter =
    Parameter::pattern("If-Range", "^[!-~]+$", "\"replica-1.00000000000000aa\"");
/// The trace that a request is part of.
pub(crate) const TRACEPARENT: Parameter = Parameter::pattern(
    "traceparent",
    "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
);

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use regex_automata::dfa::regex::Regex;
    use shared::deadline::timeout_of;

    use super::*;
    use crate::http::request::conditions::{ReadConditions, guard_of};
    use crate::http::request::headers::idempotency_key;
    use crate::http::request::range::Range;
    use crate::http::request::tenure::fence_of;

    /// Whether a field's value is taken.
    type Taken = fn(&HeaderMap) -> bool;

    #[test]
    fn the_contract_has_what_is_taken_and_nothing_that_is_not() {
        let fences = [format!("{}=1", "n".repeat(1_024)), format!("{}=1", "%C3%A9".repeat(512))];
        let many = vec!["\"1\""; 64].join(", ");
        let time: (Parameter, Taken) = (TIMEOUT, |fields| timeout_of(fields).is_ok());
        let guard: (Parameter, Taken) = (IF_MATCH, |fields| guard_of(fields).is_ok());
        let seen: (Parameter, Taken) = (IF_NONE_MATCH, |it| ReadConditions::of(it).is_ok());
        let fence: (Parameter, Taken) = (FENCE, |fields| fence_of(fields).is_ok());
        let key: (Parameter, Taken) = (IDEMPOTENCY_KEY, |it| idempotency_key(it).is_ok());
        let range: (Parameter, Taken) = (RANGE, |fields| Range::of(fields).is_ok());
        for ((parameter, taken), values, is_taken) in [
            (time, &["1ms", "9999ms", "10000ms", "60000ms", "1s", "10s", "59s", "60s"][..], true),
            (time, &["0ms", "0s", "61s", "60001ms", "99999ms", "1m", "5", "1.5s"], false),
            (guard, &["*", "\"42\"", "\"4\", \"5\"", "W/\"4\"", "\"x\",W/\"5\"", &many], true),
            (seen, &["*", "\"42\"", "\"4\", W/\"5\"", &many], true),
            (guard, &["42", "\"4", "w/\"4\"", "\"4\" \"5\"", "*, \"4\""], false),
            (fence, &["l=7", "a=b=7", "a%2Fb=0", &fences[0], &fences[1]], true),
            (fence, &["l", "=7", "l=", "l=-1", "%zz=1"], false),
            (key, &["k", "\"k\"", "a\"b", "~!"], true),
            (key, &["a b", "\"", "\"\""], false),
            (range, &["bytes=0-", "bytes=0-99", "bytes=-5", "bytes=12345678901-"], true),
            (range, &["bytes=", "bytes=a-b", "bytes=0-1,3-4"], false),
        ] {
            let Kind::Pattern(pattern) = parameter.kind else { panic!("{parameter:?}") };
            let pattern = Regex::new(pattern).unwrap();
            for value in values {
                let fields = HeaderMap::from_iter([(
                    parameter.name.parse::<http::HeaderName>().unwrap(),
                    value.parse().unwrap(),
                )]);
                let said = (taken(&fields), pattern.is_match(value));
                // Of a key the contract says no more than which characters it has.
                let is_in = is_taken || (parameter.name == "Idempotency-Key" && said.1);
                assert_eq!(said, (is_taken, is_in), "{}: {value}", parameter.name);
            }
        }
    }
}
