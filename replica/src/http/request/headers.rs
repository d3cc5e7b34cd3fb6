//! What a read's header fields ask for, beside conditions and deadlines.

use http::{HeaderMap, header};
use shared::ids::Revision;
use shared::problem::Problem;

use super::query::whole_number;

/// The media type of one JSON document a line.
pub const NDJSON: &str = "application/x-ndjson";

const MIN_REVISION: &str = "synod-min-revision";

/// Whether `Accept` asks for one JSON document a line, as a stream of everything.
#[must_use]
pub fn wants_ndjson(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case(NDJSON))
            && !parts.any(|parameter| parameter == "q=0")
    })
}

/// Reads `Synod-Min-Revision`.
///
/// # Errors
/// 400 where it is no whole number, or given more than once.
pub fn min_revision(headers: &HeaderMap) -> Result<Option<Revision>, Problem> {
    let mut values = headers.get_all(MIN_REVISION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str().unwrap_or_default();
            let refuse =
                || Problem::bad_request("Synod-Min-Revision is not a revision: a whole number");
            whole_number(text).map(|number| Some(Revision(number))).ok_or_else(refuse)
        }
        (Some(_), Some(_)) => {
            Err(Problem::bad_request("Synod-Min-Revision is given more than once"))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn lines_are_sent_to_whom_asks_for_them() {
        let wants = |accept: &'static str| {
            wants_ndjson(&HeaderMap::from_iter([(
                header::ACCEPT,
                HeaderValue::from_static(accept),
            )]))
        };
        assert!(wants("application/x-ndjson"));
        assert!(wants("text/html, Application/X-NDJSON;q=0.9, */*"));
        assert!(!wants("*/*"));
        assert!(!wants("application/json"));
        assert!(!wants("application/x-ndjson;q=0"));
        assert!(!wants_ndjson(&HeaderMap::new()));
    }

    #[test]
    fn a_least_revision_is_a_whole_number_given_once() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(MIN_REVISION, HeaderValue::from_static(value));
            }
            min_revision(&headers).map_err(|problem| problem.status().as_u16())
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["17"]), Ok(Some(Revision(17))));
        for bad in [&["x"][..], &[""], &["-1"], &["+1"], &["1", "1"], &["18446744073709551616"]] {
            assert_eq!(of(bad), Err(400), "{bad:?}");
        }
    }
}
