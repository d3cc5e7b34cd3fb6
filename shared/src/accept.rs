//! Which format of an answer a caller prefers: `Accept` (RFC 9110, sections 12.4.2 and
//! 12.5.1). Pure.

use http::{HeaderMap, header};

/// A quality of 1, in thousandths.
const FULL: u16 = 1_000;

/// Which of these media types is preferred. Of each, the most specific range that has it says
/// how much; where that is the same, one that is named goes before one that a wildcard means,
/// and then the first of these. It is the first as well where none is acceptable: an answer
/// serves a caller better than a refusal.
///
/// # Panics
/// When nothing is offered.
#[must_use]
pub fn preferred<'a>(headers: &HeaderMap, offered: &[&'a str]) -> &'a str {
    let (mut best, mut most) = (offered[0], rank(headers, offered[0]));
    for media_type in &offered[1..] {
        let rank = rank(headers, media_type);
        if rank > most {
            (best, most) = (media_type, rank);
        }
    }
    best
}

/// How narrow a range is that has a media type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    /// None has it.
    #[default]
    None,
    /// `*/*`.
    Any,
    /// `text/*`.
    OfType,
    /// It is named.
    Named,
}

/// How much a media type is wanted, and by how narrow a range.
fn rank(headers: &HeaderMap, media_type: &str) -> (u16, Match) {
    let ranges = ranges(headers).map(|(range, quality)| (match_of(range, media_type), quality));
    let (narrow, quality) = ranges.filter(|(it, _)| *it != Match::None).max().unwrap_or_default();
    if quality == 0 { Default::default() } else { (quality, narrow) }
}

fn match_of(range: &str, media_type: &str) -> Match {
    if range.eq_ignore_ascii_case(media_type) {
        return Match::Named;
    }
    match range.split_once('/') {
        Some(("*", "*")) => Match::Any,
        Some((kind, "*")) => {
            let of = media_type.split('/').next().unwrap_or_default();
            if kind.eq_ignore_ascii_case(of) { Match::OfType } else { Match::None }
        }
        Some(_) | None => Match::None,
    }
}

/// All ranges, without their parameters, and the quality of each in thousandths.
pub(crate) fn ranges(headers: &HeaderMap) -> impl Iterator<Item = (&str, u16)> {
    let fields = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    fields.flat_map(|value| value.split(',')).map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        let quality = parts.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim_end().eq_ignore_ascii_case("q").then(|| quality(value.trim_start()))
        });
        (essence, quality.flatten().unwrap_or(FULL))
    })
}

/// A quality in thousandths; none where it is malformed, which counts as if it were not there.
fn quality(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{part:0<3}").parse().ok()?;
    match (whole, thousandths) {
        ("0", _) => Some(thousandths),
        ("1", 0) => Some(FULL),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_wanted_most_is_preferred_and_the_first_on_a_tie() {
        let (json, lines, csv) = ("application/json", "application/x-ndjson", "text/csv");
        for (accept, expected) in [
            (&[][..], json),
            (&[""], json),
            (&["*/*"], json),
            (&["application/x-ndjson"], lines),
            (&["Application/X-NDJSON"], lines),
            (&["application/json, application/x-ndjson"], json),
            (&["application/x-ndjson, application/json"], json),
            (&["application/x-ndjson", "application/json"], json),
            (&["application/json;q=0.5, application/x-ndjson"], lines),
            (&["application/json;q=0.9, application/x-ndjson;q=0.1"], json),
            (&["application/json; Q = 0.25 ,application/x-ndjson; q=0.251"], lines),
            (&["application/x-ndjson;q=0"], json),
            (&["application/x-ndjson;q=0.000, */*"], json),
            (&["application/x-ndjson;q=0.001"], lines),
            (&["application/json;q=0, */*"], lines),
            (&["application/json;q=0, application/*"], lines),
            (&["application/json;q=0, application/x-ndjson;q=0"], json),
            (&["*/*, application/x-ndjson"], lines),
            (&["*/*, application/x-ndjson;q=0.9"], json),
            (&["text/*, application/json;q=0.9"], csv),
            (&["TEXT/*;q=0.9, */*;q=0.8"], csv),
            (&["image/png, text/html"], json),
            (&["application/x-ndjson;profile=x;q=0.5, text/csv;q=0.7"], csv),
            (&["application/x-ndjson;q=high, text/csv;q=0.9"], lines),
            (&["application/x-ndjson;q=0.1234, text/csv;q=0.9"], lines),
            (&["application/x-ndjson;q=1.5, text/csv;q=0.9"], lines),
        ] {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(header::ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(preferred(&headers, &[json, lines, csv]), expected, "{accept:?}");
        }
    }
}
