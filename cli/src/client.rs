//! The HTTP API as the commands see it: one request, one whole answer, and failures told apart by what they leave open.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The unreserved characters of RFC 3986 stand for themselves.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// In a path `/` does too, which keeps URLs readable.
const IN_PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest wait for a whole answer: above the services' own deadline (10 s), so that it is they who say what happened.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// The largest answer taken: a full page of the largest values, encoded, stays well below.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// How much of an answer that is no problem document is shown.
const SHOWN_CHARS: usize = 200;

/// Where the cluster is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Endpoint {
    /// The balancer, or any replica.
    #[arg(long, env = "SYNOD_URL", value_name = "URL", default_value = "http://127.0.0.1:8000", value_parser = parse_url)]
    pub(crate) url: Url,
}

impl Endpoint {
    pub(crate) fn api(&self) -> Api {
        Api::new(&self.url, ANSWER_TIMEOUT)
    }
}

/// Takes `http://HOST[:PORT][/PATH]`.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}; for instance http://127.0.0.1:8000"))?;
    if url.scheme() != "http" || url.host().is_none() {
        return Err(String::from("it must begin with http:// and name a host, for instance http://127.0.0.1:8000"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(String::from("it must not hold a query or a fragment"));
    }
    Ok(url)
}

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Nothing was sent.
    #[error("cannot reach {url}: {reason}")]
    Unreachable { url: String, reason: String },
    /// It was sent, but no whole answer came back: what became of it is unknown.
    #[error("no answer from {url}: {reason}")]
    Lost { url: String, reason: String },
    /// The answer is an error.
    #[error("{status}: {detail}")]
    Answered { status: StatusCode, retry_after: Option<Duration>, detail: String },
    /// The request cannot be said in HTTP, or the answer is not what the API promises.
    #[error("{0}", reason)]
    Malformed { reason: String },
}

impl Failure {
    /// The status of an error that was answered.
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Answered { status, .. } => Some(*status),
            Self::Unreachable { .. } | Self::Lost { .. } | Self::Malformed { .. } => None,
        }
    }
}

/// A successful answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Reads the body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::Malformed { reason: format!("the answer is not what was asked for: {error}") })
    }
}

/// A page of `GET /v1/kv`.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    pub(crate) items: Vec<Item>,
    /// The revision that all pages of one listing speak of.
    pub(crate) revision: u64,
    /// The cursor of the next page.
    pub(crate) next: Option<String>,
}

/// A key in a listing; what this crate does not use is left out.
#[derive(Debug, Deserialize)]
pub(crate) struct Item {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) content_type: Option<String>,
    pub(crate) revision: u64,
    pub(crate) version: u64,
}

/// A connection pool to one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    http: reqwest::Client,
    base: String,
}

impl Api {
    /// Every request gets an answer within `timeout` or is given up.
    pub(crate) fn new(url: &Url, timeout: Duration) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .timeout(timeout)
            .tcp_nodelay(true)
            .user_agent(concat!("synod/", env!("CARGO_PKG_VERSION")))
            .build()
            .expect("a plain HTTP client needs nothing that could be missing");
        Self { http, base: url.as_str().trim_end_matches('/').to_owned() }
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) async fn get(&self, key: &str, query: &[(&str, &str)]) -> Result<Answer, Failure> {
        self.send(self.http.get(self.key_url(key)?).query(query)).await
    }

    /// Stores bytes under a key; `headers` may hold its content type and conditions.
    pub(crate) async fn put(&self, key: &str, value: Bytes, headers: HeaderMap) -> Result<Answer, Failure> {
        self.send(self.http.put(self.key_url(key)?).headers(headers).body(value)).await
    }

    pub(crate) async fn delete(&self, key: &str, headers: HeaderMap) -> Result<Answer, Failure> {
        self.send(self.http.delete(self.key_url(key)?).headers(headers)).await
    }

    pub(crate) async fn delete_prefix(&self, prefix: &str) -> Result<Answer, Failure> {
        let mut query = vec![("prefix", prefix)];
        if prefix.is_empty() {
            query.push(("all", "true"));
        }
        self.send(self.http.delete(format!("{}/v1/kv", self.base)).query(&query)).await
    }

    /// One page of the keys that begin with the prefix, without their values.
    pub(crate) async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Page, Failure> {
        let mut query = vec![("prefix", prefix), ("keys_only", "true"), ("limit", "1000")];
        if let Some(cursor) = cursor {
            query.push(("cursor", cursor));
        }
        self.send(self.http.get(format!("{}/v1/kv", self.base)).query(&query)).await?.json()
    }

    /// Any other page of the API, for instance `/v1/status`.
    pub(crate) async fn page(&self, path: &str) -> Result<Answer, Failure> {
        self.send(self.http.get(format!("{}{path}", self.base))).await
    }

    fn key_url(&self, key: &str) -> Result<String, Failure> {
        Ok(format!("{}/v1/kv/{}", self.base, encode_key(key)?))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let lost = |error: reqwest::Error| {
            let (url, reason) = (self.base.clone(), root_cause(&error));
            if error.is_connect() || error.is_builder() {
                Failure::Unreachable { url, reason }
            } else {
                Failure::Lost { url, reason }
            }
        };
        let mut response = request.send().await.map_err(lost)?;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(Failure::Malformed { reason: format!("the answer is longer than {MAX_ANSWER_BYTES} bytes") });
            }
            body.extend_from_slice(&chunk);
        }
        let (status, retry_after, body) = (response.status(), retry_after(response.headers()), body.freeze());
        if status.is_success() {
            Ok(Answer { status, body })
        } else {
            Err(Failure::Answered { status, retry_after, detail: describe(&body) })
        }
    }
}

/// A key as it stands in a URL's path.
pub(crate) fn encode_key(key: &str) -> Result<String, Failure> {
    if key == "." || key == ".." {
        // Every URL library takes these for "here" and "up", also when they are percent-encoded.
        return Err(Failure::Malformed { reason: format!("the key {key:?} cannot be said in a URL") });
    }
    // A whole segment of dots would be taken for a step in the tree; with its slashes encoded there is no such segment.
    let has_dot_segment = key.split('/').any(|segment| segment == "." || segment == "..");
    let set = if has_dot_segment { UNRESERVED } else { IN_PATH };
    Ok(utf8_percent_encode(key, set).to_string())
}

/// `Retry-After` in seconds; the form with a date is not used by Synod.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
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
fn describe(body: &[u8]) -> String {
    let Ok(Problem { title, detail, outcome }) = serde_json::from_slice(body) else {
        let text = String::from_utf8_lossy(body);
        return text.chars().take(SHOWN_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    };
    let mut line = match (title, detail) {
        (Some(title), Some(detail)) => format!("{title}: {detail}"),
        (Some(text), None) | (None, Some(text)) => text,
        (None, None) => String::from("no detail was given"),
    };
    if let Some(outcome) = outcome {
        line.push_str(&format!(" (outcome: {outcome})"));
    }
    line
}

/// The innermost error of a chain: the outer ones only say that there was one.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_percent_encoded_once_and_its_slashes_stay() {
        assert_eq!(encode_key("inc/sys/a b%2F?#é.h").unwrap(), "inc/sys/a%20b%252F%3F%23%C3%A9.h");
        assert_eq!(encode_key("/lead//double/").unwrap(), "/lead//double/");
    }

    #[test]
    fn a_key_with_dot_segments_survives_url_normalisation() {
        for key in ["a/../b", "./a", "../../etc/passwd", "a/."] {
            let encoded = encode_key(key).unwrap();
            let url: Url = format!("http://localhost/v1/kv/{encoded}").parse().unwrap();
            let sent = url.path().strip_prefix("/v1/kv/").unwrap();
            assert_eq!(percent_encoding::percent_decode_str(sent).decode_utf8().unwrap(), key);
        }
        assert!(encode_key("..").is_err());
        assert!(encode_key(".").is_err());
        assert!(encode_key("...").is_ok());
    }

    #[test]
    fn a_problem_is_told_in_one_line() {
        let problem = br#"{"type":"about:blank","title":"No quorum","status":503,"detail":"1 of 3","outcome":"unknown"}"#;
        assert_eq!(describe(problem), "No quorum: 1 of 3 (outcome: unknown)");
        assert_eq!(describe(br#"{"title":"Gone"}"#), "Gone");
        assert_eq!(describe(b"<html>\nnginx"), "<html> nginx");
    }

    #[test]
    fn only_http_urls_are_taken() {
        assert!(parse_url("http://localhost:8000/synod").is_ok());
        for bad in ["localhost:8000", "https://localhost", "ftp://a", "http://a/?q=1", "http://"] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
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
