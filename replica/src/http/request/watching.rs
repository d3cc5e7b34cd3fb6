//! What a watch asks for: of which keys, and from where on.

use http::HeaderMap;
use shared::ids::Revision;
use shared::problem::Problem;
use shared::query::Query;

use super::headers::last_event_id;
use super::parameter::{CONSISTENCY, KEY, PREFIX, Parameter};
use super::path::check_key;
use crate::watch::{KeyRange, Selection};

/// The most keys and prefixes of one watch.
const MAX_SELECTORS: usize = 64;

/// The parameters of a watch.
pub(crate) const PARAMETERS: [Parameter; 5] = [
    KEY.repeated(MAX_SELECTORS),
    PREFIX.repeated(MAX_SELECTORS),
    Parameter::number("from", "43"),
    Parameter::flag("snapshot", "true"),
    CONSISTENCY,
];

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// With what comes next.
    Present,
    /// With the state as it is, and then what comes next.
    Snapshot,
    /// After a revision that the client has seen.
    After(Revision),
}

/// A watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WatchRequest {
    /// Of which keys.
    pub(crate) selection: Selection,
    /// From where on.
    pub(crate) start: Start,
}

/// Reads the parameters.
///
/// # Errors
/// As [`Query::parse`].
pub(crate) fn parameters(raw: Option<&str>) -> Result<Query, Problem> {
    Query::parse(raw, &PARAMETERS)
}

impl WatchRequest {
    /// What parameters and header ask for. `Last-Event-ID` goes before `from` and
    /// `snapshot`: an `EventSource` that comes again sends it with the URL that it began
    /// with.
    ///
    /// # Errors
    /// 400 where a parameter is none of its kind, or there are too many.
    pub(crate) fn of(
        query: &Query,
        headers: &HeaderMap,
        max_key_bytes: usize,
    ) -> Result<Self, Problem> {
        let selection = selection_of(query, max_key_bytes)?;
        let from: Option<u64> = query.number("from")?;
        let start = match (from, query.flag("snapshot")?) {
            (None, false) => Start::Present,
            (None, true) => Start::Snapshot,
            (Some(from), false) => Start::After(Revision(from.saturating_sub(1))),
            (Some(_), true) => {
                return Err(Problem::bad_request(
                    "query parameters \"from\" and \"snapshot\" exclude each other: a snapshot is \
                     of the state as it is now",
                ));
            }
        };
        let start = last_event_id(headers)?.map_or(start, Start::After);
        Ok(Self { selection, start })
    }
}

fn selection_of(query: &Query, max_key_bytes: usize) -> Result<Selection, Problem> {
    let mut ranges = Vec::new();
    for key in query.texts("key") {
        check_key(key.to_owned(), max_key_bytes)?;
        ranges.push(KeyRange::of_key(key));
    }
    for prefix in query.texts("prefix") {
        if prefix.len() > max_key_bytes {
            let length = prefix.len();
            return Err(Problem::bad_request(format!(
                "the prefix has {length} bytes, and a key at most {max_key_bytes}"
            )));
        }
        ranges.push(KeyRange::of_prefix(prefix));
    }
    if ranges.len() > MAX_SELECTORS {
        let count = ranges.len();
        return Err(Problem::bad_request(format!(
            "{count} keys and prefixes are given, the limit of one watch is {MAX_SELECTORS}"
        )));
    }
    if ranges.is_empty() {
        ranges.push(KeyRange::of_prefix(""));
    }
    Ok(Selection::of(ranges))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(raw: &str, ids: &[&'static str]) -> Result<WatchRequest, Problem> {
        let mut headers = HeaderMap::new();
        for id in ids {
            headers.append("last-event-id", HeaderValue::from_static(id));
        }
        WatchRequest::of(&parameters(Some(raw))?, &headers, 8)
    }

    #[test]
    fn a_watch_begins_where_the_header_or_else_the_url_says() {
        let start = |raw, ids: &[&'static str]| of(raw, ids).unwrap().start;
        let after = |revision| Start::After(Revision(revision));
        for (raw, ids, expected) in [
            ("", &[][..], Start::Present),
            ("snapshot=false", &[], Start::Present),
            ("snapshot=true", &[], Start::Snapshot),
            ("from=0", &[], after(0)),
            ("from=1", &[], after(0)),
            ("from=8&snapshot=0", &[], after(7)),
            ("from=18446744073709551615", &[], after(u64::MAX - 1)),
            ("", &["0"], after(0)),
            ("from=3", &["9"], after(9)),
            ("snapshot=true", &["18446744073709551615"], after(u64::MAX)),
        ] {
            assert_eq!(start(raw, ids), expected, "{raw} {ids:?}");
        }
    }

    #[test]
    fn the_keys_are_those_of_all_parameters_or_all() {
        let selected =
            |raw: &str, key: &str| of(raw, &[]).unwrap().selection.contains(key.as_bytes());
        for (raw, inside, outside) in [
            ("prefix=a&prefix=b&key=c", &["a", "ab", "b/", "c"][..], &["cc", "d"][..]),
            ("key=a%2Fb&key=a%2Fb", &["a/b"], &["a", "a/b/c"]),
            ("prefix=", &["a", "\u{10ffff}"], &[]),
            ("", &["a", "\u{10ffff}"], &[]),
        ] {
            assert!(inside.iter().all(|key| selected(raw, key)), "{raw}");
            assert!(!outside.iter().any(|key| selected(raw, key)), "{raw}");
        }
    }

    #[test]
    fn what_is_malformed_is_refused_by_name() {
        let many = vec!["key=a"; MAX_SELECTORS + 1].join("&");
        for (raw, ids, word) in [
            ("keys=a", &[][..], "keys"),
            ("revision=1", &[], "revision"),
            ("key=", &[], "empty"),
            ("key", &[], "empty"),
            ("key=123456789", &[], "limit is 8"),
            ("prefix=123456789", &[], "at most 8"),
            ("key=%FF", &[], "UTF-8"),
            ("prefix=%C3", &[], "UTF-8"),
            (&many, &[], "64"),
            ("from=", &[], "from"),
            ("from=-1", &[], "from"),
            ("from=x", &[], "from"),
            ("from=18446744073709551616", &[], "from"),
            ("from=1&from=1", &[], "more than once"),
            ("snapshot=yes", &[], "snapshot"),
            ("snapshot=true&snapshot=true", &[], "more than once"),
            ("from=1&snapshot=true", &[], "exclude"),
            ("from=1&snapshot=true", &["7"], "exclude"),
            ("from=x", &["7"], "from"),
            ("", &["x"], "Last-Event-ID"),
            ("", &[""], "Last-Event-ID"),
            ("", &["-1"], "Last-Event-ID"),
            ("", &["7 "], "Last-Event-ID"),
            ("", &["18446744073709551616"], "Last-Event-ID"),
            ("", &["7", "7"], "more than once"),
        ] {
            let problem = of(raw, ids).unwrap_err();
            assert_eq!(problem.status(), 400, "{raw}");
            assert!(problem.body().detail.contains(word), "{raw} {ids:?}: {problem}");
        }
    }
}
