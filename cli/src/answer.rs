//! What the API answers, as the commands read it: whoever answers may be anything that
//! listens on the port.

use std::time::Duration;

use http::{HeaderMap, header};
use serde::Deserialize;

/// How much of an answer's error is shown.
const SHOWN_CHARS: usize = 600;

/// How much of the word that says whether it happened: `not_applied` is the longest.
const OUTCOME_CHARS: usize = 32;

/// A page of `GET /v1/kv`.
#[derive(Debug, Deserialize)]
pub struct Page {
    /// In the order of their keys.
    pub items: Vec<Item>,
    /// The revision that all pages of one listing speak of.
    pub revision: u64,
    /// The cursor of the next page.
    pub next: Option<String>,
}

/// A key in a listing; what this crate does not use is left out.
#[derive(Debug, Deserialize)]
pub struct Item {
    /// The key.
    pub key: String,
    /// The `Content-Type` it was stored with.
    #[serde(default)]
    pub content_type: Option<String>,
    /// The revision that wrote it.
    pub revision: u64,
    /// How often it was written since it was created.
    pub version: u64,
}

/// `Retry-After` in seconds; the form with a date is not used by Synod.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The parts of an RFC 9457 problem that people want to read.
#[derive(Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
    outcome: Option<String>,
}

/// What an error's body says, in one line.
#[must_use]
pub fn describe(body: &[u8]) -> String {
    let Ok(Problem { title, detail, outcome }) = serde_json::from_slice(body) else {
        return shown(&String::from_utf8_lossy(body), SHOWN_CHARS);
    };
    let line = match (title, detail) {
        (Some(title), Some(detail)) => format!("{title}: {detail}"),
        (Some(text), None) | (None, Some(text)) => text,
        (None, None) => String::from("no detail was given"),
    };
    // Whether it happened is what matters most: a long detail must not push it out.
    let outcome = outcome.map(|outcome| format!(" (outcome: {})", shown(&outcome, OUTCOME_CHARS)));
    shown(&line, SHOWN_CHARS) + &outcome.unwrap_or_default()
}

/// What a terminal shows as it is, and no more of it than people read.
fn shown(text: &str, most: usize) -> String {
    text.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_in_one_line() {
        let problem = br#"{"type":"about:blank","title":"No quorum","status":503,"detail":"1 of 3","outcome":"unknown"}"#;
        assert_eq!(describe(problem), "No quorum: 1 of 3 (outcome: unknown)");
        assert_eq!(describe(br#"{"title":"Gone"}"#), "Gone");
        assert_eq!(describe(b"<html>\nnginx"), "<html> nginx");
    }

    #[test]
    fn a_problem_says_no_more_than_people_read_and_nothing_that_a_terminal_obeys() {
        assert_eq!(
            describe(br#"{"title":"Gone","detail":"\u001b]0;mine\u0007"}"#),
            "Gone:  ]0;mine "
        );
        let endless = format!(r#"{{"title":"Gone","detail":"{}"}}"#, "x".repeat(100_000));
        assert_eq!(describe(endless.as_bytes()).len(), SHOWN_CHARS);
        let open = format!(r#"{{"title":"{}","outcome":"unknown"}}"#, "x".repeat(100_000));
        assert!(describe(open.as_bytes()).ends_with("x (outcome: unknown)"));
    }

    #[test]
    fn retry_after_is_seconds() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert(header::RETRY_AFTER, "2".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(2)));
        headers.insert(header::RETRY_AFTER, "Fri, 31 Dec 1999 23:59:59 GMT".parse().unwrap());
        assert_eq!(retry_after(&headers), None);
    }
}
