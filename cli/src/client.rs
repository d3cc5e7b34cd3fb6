//! The HTTP API as the commands see it: one request, one whole answer, and failures told
//! apart by what they leave open.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use reqwest::{RequestBuilder, Url};
use serde::de::DeserializeOwned;
use shared::client::http_client_builder;

use crate::answer::{Page, describe, retry_after};
use crate::url_key::{Unsayable, encode_key};

/// The longest wait for a connection: the cluster may be far away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest wait for a whole answer: above the services' own deadline (10 s), so that
/// it is they who say what happened.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// The largest answer taken: a full page of the largest values, encoded, stays well
/// below.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// Where the cluster is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Endpoint {
    /// The balancer, or any replica.
    #[arg(
        long,
        env = "SYNOD_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8000",
        value_parser = parse_url,
    )]
    pub(crate) url: Url,
}

impl Endpoint {
    pub(crate) fn api(&self) -> Api {
        Api::new(&self.url, ANSWER_TIMEOUT)
    }
}

/// Takes `http://HOST[:PORT][/PATH]`.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let url: Url =
        text.parse().map_err(|error| format!("{error}; for instance http://127.0.0.1:8000"))?;
    if url.scheme() != "http" || url.host().is_none() {
        return Err(String::from(
            "it must begin with http:// and name a host, for instance http://127.0.0.1:8000",
        ));
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

impl From<Unsayable> for Failure {
    fn from(unsayable: Unsayable) -> Self {
        Self::Malformed { reason: unsayable.to_string() }
    }
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
        serde_json::from_slice(&self.body).map_err(|error| Failure::Malformed {
            reason: format!("the answer is not what was asked for: {error}"),
        })
    }
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
        let http = http_client_builder()
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .timeout(timeout)
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
    pub(crate) async fn put(
        &self,
        key: &str,
        value: Bytes,
        headers: HeaderMap,
    ) -> Result<Answer, Failure> {
        self.send(self.http.put(self.key_url(key)?).headers(headers).body(value)).await
    }

    pub(crate) async fn delete(&self, key: &str, headers: HeaderMap) -> Result<Answer, Failure> {
        self.send(self.http.delete(self.key_url(key)?).headers(headers)).await
    }

    pub(crate) async fn delete_prefix(
        &self,
        prefix: &str,
        headers: HeaderMap,
    ) -> Result<Answer, Failure> {
        let mut query = vec![("prefix", prefix)];
        if prefix.is_empty() {
            query.push(("all", "true"));
        }
        let request = self.http.delete(format!("{}/v1/kv", self.base)).query(&query);
        self.send(request.headers(headers)).await
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
                return Err(Failure::Malformed {
                    reason: format!("the answer is longer than {MAX_ANSWER_BYTES} bytes"),
                });
            }
            body.extend_from_slice(&chunk);
        }
        let (status, retry_after, body) =
            (response.status(), retry_after(response.headers()), body.freeze());
        if status.is_success() {
            Ok(Answer { status, body })
        } else {
            Err(Failure::Answered { status, retry_after, detail: describe(&body) })
        }
    }
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
    fn only_http_urls_are_taken() {
        assert!(parse_url("http://localhost:8000/synod").is_ok());
        for bad in ["localhost:8000", "https://localhost", "ftp://a", "http://a/?q=1", "http://"] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
    }
}
