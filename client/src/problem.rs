//! What an answer says that is no success: whoever answers may be anything that listens on
//! the port.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};

pub use shared::problem::Body as Problem;

/// The most characters that are kept of a text for people.
const SHOWN_CHARS: usize = 600;

/// Reads the body of an error. What it leaves out of a problem, as a proxy's may, is filled
/// in; one that is no problem becomes one, with the body's beginning as its detail. Its texts
/// hold nothing that a terminal obeys, and no more than people read.
#[must_use]
pub fn read(status: StatusCode, body: &[u8]) -> Box<Problem> {
    let said: Option<Map<String, Value>> = serde_json::from_slice(body).ok();
    let text = |name: &str| said.as_ref().and_then(|said| said.get(name)?.as_str()).map(shown);
    let title = || status.canonical_reason().unwrap_or("Error").to_owned();
    let detail = || match &said {
        Some(_) => String::from("no detail was given"),
        None => shown(&String::from_utf8_lossy(body)),
    };
    let filled = [
        ("type", text("type").unwrap_or_else(|| String::from("about:blank"))),
        ("title", text("title").unwrap_or_else(title)),
        ("detail", text("detail").unwrap_or_else(detail)),
    ];
    let mut least: Map<String, Value> =
        filled.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect();
    least.insert(String::from("status"), status.as_u16().into());
    let mut whole = said.unwrap_or_default();
    whole.extend(least.clone());
    // Fields of another type than ours are not ours.
    let problem = serde_json::from_value(whole.into());
    problem.unwrap_or_else(|_| {
        serde_json::from_value(least.into()).expect("these are all that a problem must have")
    })
}

/// A secret that is told beside an error.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    /// Without it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The secret that the body of an error tells, if it is one that can be sent.
#[must_use]
pub fn secret(body: &[u8]) -> Option<Secret> {
    let said: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let secret = said.get("secret")?.as_str()?;
    let is_one = !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic());
    is_one.then(|| Secret(secret.to_owned()))
}

/// What a terminal shows as it is, and no more of it than people read.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `Retry-After` in seconds; the form with a date is not used by Synod.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use shared::problem::Outcome;

    use super::*;

    fn line(body: &[u8]) -> String {
        read(StatusCode::GONE, body).to_string()
    }

    #[test]
    fn a_problem_is_read_whatever_it_leaves_out() {
        let problem = br#"{"type":"about:blank","title":"No quorum","status":503,"detail":"1 of 3","outcome":"unknown"}"#;
        let read = read(StatusCode::SERVICE_UNAVAILABLE, problem);
        assert_eq!(read.to_string(), "503 No quorum: 1 of 3");
        assert_eq!(read.outcome, Some(Outcome::Unknown));
        assert_eq!(line(br#"{"title":"Compacted"}"#), "410 Compacted: no detail was given");
        assert_eq!(line(b"<html>\nnginx"), "410 Gone: <html> nginx");
        let odd = br#"{"title":"Odd","status":"x","revision":"x","detail":["x"]}"#;
        assert_eq!(line(odd), "410 Odd: no detail was given");
    }

    #[test]
    fn a_problem_says_no_more_than_people_read_and_nothing_that_a_terminal_obeys() {
        let hostile = br#"{"title":"Gone","detail":"\u001b]0;mine\u0007"}"#;
        assert_eq!(line(hostile), "410 Gone:  ]0;mine ");
        let endless = format!(r#"{{"detail":"{}"}}"#, "x".repeat(100_000));
        assert_eq!(read(StatusCode::GONE, endless.as_bytes()).detail.len(), SHOWN_CHARS);
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
