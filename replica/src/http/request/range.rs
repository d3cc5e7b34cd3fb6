//! Parts of a file that is asked for again (RFC 9110, section 14): one range of bytes, of
//! the file that `If-Range` names.
//!
//! Without `If-Range` there is no telling whether the rest is of the same file, so that a
//! range alone is left out of account, as the RFC allows, and all is sent.

use http::{HeaderMap, header};
use shared::fields::only;
use shared::problem::Problem;

use super::parameter::IF_RANGE;

/// What of a file is wanted. Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// From the one to the other, both included; to the end where none is named.
    From(u64, Option<u64>),
    /// So many at the end.
    Last(u64),
}

/// A part that is there: its first byte, and how many there are of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The position of the first one.
    pub from: u64,
    /// How many.
    pub bytes: u64,
}

impl Range {
    /// What `Range` says; none where it is not there, or of another unit than bytes.
    ///
    /// # Errors
    /// 416 where it is malformed, or names more than one range.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(header::RANGE).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let text = value.to_str().unwrap_or_default();
        let Some((unit, ranges)) = text.split_once('=') else { return Err(malformed(text)) };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Ok(None);
        }
        let range = if values.next().is_none() { parse(ranges.trim()) } else { None };
        range.map(Some).ok_or_else(|| malformed(text))
    }

    /// The part of so many bytes that it asks for.
    ///
    /// # Errors
    /// 416 where there is none; `Content-Range` says how many bytes there are.
    pub fn within(self, length: u64) -> Result<Part, Problem> {
        let (from, end) = match self {
            Self::From(from, last) => {
                (from, last.map_or(length, |last| last.saturating_add(1).min(length)))
            }
            Self::Last(bytes) => (length.saturating_sub(bytes), length),
        };
        if from < end {
            return Ok(Part { from, bytes: end - from });
        }
        let value = format!("bytes */{length}").try_into().expect("digits and signs");
        let detail = format!("Range asks for none of the {length} bytes that there are");
        Err(Problem::range_not_satisfiable(detail).with_header(header::CONTENT_RANGE, value))
    }
}

/// One range: `A-B`, `A-` or `-N`.
fn parse(text: &str) -> Option<Range> {
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // Beyond all that there is, in whatever way.
        is_number.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    match text.split_once('-')? {
        ("", last) => number(last).map(Range::Last),
        (from, "") => number(from).map(|from| Range::From(from, None)),
        (from, last) => {
            let (from, last) = (number(from)?, number(last)?);
            (from <= last).then_some(Range::From(from, Some(last)))
        }
    }
}

fn malformed(text: &str) -> Problem {
    let shown: String = text.chars().take(64).collect();
    Problem::range_not_satisfiable(format!(
        "Range {shown:?} is not one range of bytes, such as bytes=1000- or bytes=0-999"
    ))
}

/// The entity tag that `If-Range` names; none where it is a date, or a weak one: those never
/// match.
///
/// # Errors
/// 400 where it is given more than once.
pub fn if_range(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let value = only(headers, IF_RANGE.name)?.and_then(|value| value.to_str().ok());
    Ok(value.map(str::trim).filter(|value| value.starts_with('"')))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(value: &'static str) -> Result<Option<Range>, u16> {
        let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(value))]);
        Range::of(&headers).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn a_range_is_one_of_three_forms_and_of_bytes() {
        for (value, range) in [
            ("bytes=0-", Range::From(0, None)),
            ("bytes=5-9", Range::From(5, Some(9))),
            ("Bytes= 5-5", Range::From(5, Some(5))),
            ("bytes=-7", Range::Last(7)),
            ("bytes=99999999999999999999-", Range::From(u64::MAX, None)),
        ] {
            assert_eq!(of(value), Ok(Some(range)), "{value}");
        }
        assert_eq!(of("lines=1-2"), Ok(None));
        for bad in [
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-",
            "bytes=1-a",
            "bytes=9-5",
            "bytes=1-2,4-5",
            "bytes=+1-2",
            "bytes=1",
            "5-9",
            "",
        ] {
            assert_eq!(of(bad), Err(416), "{bad}");
        }
        let twice = [("range", "bytes=0-"), ("range", "bytes=1-")]
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in twice {
            headers.append::<http::HeaderName>(name, value);
        }
        assert_eq!(Range::of(&headers).unwrap_err().status().as_u16(), 416);
    }

    #[test]
    fn a_part_lies_within_what_there_is() {
        let part = |from, bytes| Ok(Part { from, bytes });
        let within = |range: Range| range.within(10).map_err(|problem| problem.status().as_u16());
        assert_eq!(within(Range::From(0, None)), part(0, 10));
        assert_eq!(within(Range::From(9, None)), part(9, 1));
        assert_eq!(within(Range::From(3, Some(5))), part(3, 3));
        assert_eq!(within(Range::From(3, Some(u64::MAX))), part(3, 7));
        assert_eq!(within(Range::Last(4)), part(6, 4));
        assert_eq!(within(Range::Last(40)), part(0, 10));
        for none in [Range::From(10, None), Range::From(u64::MAX, None), Range::Last(0)] {
            let refused = none.within(10).unwrap_err();
            assert_eq!(refused.status().as_u16(), 416, "{none:?}");
            assert_eq!(refused.to_http().headers()["content-range"], "bytes */10");
        }
    }

    #[test]
    fn only_a_strong_entity_tag_names_a_file() {
        let of = |value: &'static str| {
            let headers =
                HeaderMap::from_iter([(header::IF_RANGE, HeaderValue::from_static(value))]);
            if_range(&headers).unwrap().map(str::to_owned)
        };
        assert_eq!(of("\"replica-1.17\""), Some("\"replica-1.17\"".to_owned()));
        assert_eq!(of("W/\"replica-1.17\""), None);
        assert_eq!(of("Sun, 29 Nov 2026 09:00:00 GMT"), None);
        let mut twice = HeaderMap::new();
        for _ in 0..2 {
            twice.append(header::IF_RANGE, HeaderValue::from_static("\"replica-1.17\""));
        }
        assert_eq!(if_range(&twice).unwrap_err().status().as_u16(), 400);
    }
}
