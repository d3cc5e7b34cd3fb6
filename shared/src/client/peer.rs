//! One bounded exchange with one service.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CallError;
use crate::base_url::BaseUrl;
use crate::wire::{Encoding, MAX_MESSAGE_BYTES, POSTCARD};
use crate::{deadline, problem, telemetry};

/// How long a connection may take to open: on one's own network it takes less, or nobody
/// is there.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest error body that is read, in bytes.
const MAX_PROBLEM_BYTES: usize = 64 * 1024;

/// The process's pool of connections.
#[must_use]
pub fn http_client() -> reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build()
            .expect("plain HTTP needs nothing from the system")
    });
    CLIENT.clone()
}

/// One service, spoken to over the process's pool.
#[derive(Clone, Debug)]
pub struct Peer {
    client: reqwest::Client,
    url: BaseUrl,
}

impl Peer {
    /// The service at the URL. No connection is made yet.
    #[must_use]
    pub fn new(url: BaseUrl) -> Self {
        Self { client: http_client(), url }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &BaseUrl {
        &self.url
    }

    /// `GET` of a path with its query; the answer is a postcard message.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn get<R: DeserializeOwned>(
        &self,
        path_and_query: &str,
        timeout: Duration,
    ) -> Result<R, CallError> {
        self.call(Method::GET, path_and_query, None, timeout).await
    }

    /// Sends a message and reads the answer.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn send<Q: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        message: &Q,
        timeout: Duration,
    ) -> Result<R, CallError> {
        self.call(method, path, Some(Encoding::Postcard.encode(message)), timeout).await
    }

    /// `GET /v1/status`, as JSON.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn status(&self, timeout: Duration) -> Result<serde_json::Value, CallError> {
        let bytes = self.exchange(Method::GET, "/v1/status", None, Encoding::Json, timeout).await?;
        self.decode(Encoding::Json, &bytes)
    }

    async fn call<R: DeserializeOwned>(
        &self,
        method: Method,
        path_and_query: &str,
        body: Option<Bytes>,
        timeout: Duration,
    ) -> Result<R, CallError> {
        let bytes =
            self.exchange(method, path_and_query, body, Encoding::Postcard, timeout).await?;
        self.decode(Encoding::Postcard, &bytes)
    }

    async fn exchange(
        &self,
        method: Method,
        path_and_query: &str,
        body: Option<Bytes>,
        accept: Encoding,
        timeout: Duration,
    ) -> Result<Bytes, CallError> {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept.media_type()));
        let granted =
            HeaderValue::from_str(&deadline::header_value(timeout)).expect("digits and a unit");
        headers.insert(HeaderName::from_static(deadline::HEADER), granted);
        telemetry::inject_current(&mut headers);
        let mut request =
            self.client.request(method, format!("{}{path_and_query}", self.url)).timeout(timeout);
        if let Some(body) = body {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(POSTCARD));
            request = request.body(body);
        }
        let response =
            request.headers(headers).send().await.map_err(|error| self.failed(&error, timeout))?;
        let status = response.status();
        if status == StatusCode::OK {
            self.read(response, MAX_MESSAGE_BYTES, timeout).await
        } else {
            let body = self.read(response, MAX_PROBLEM_BYTES, timeout).await.unwrap_or_default();
            Err(self.refused(status, &body))
        }
    }

    async fn read(
        &self,
        mut response: reqwest::Response,
        limit: usize,
        timeout: Duration,
    ) -> Result<Bytes, CallError> {
        let too_long = || CallError::Nonsense {
            url: self.url.clone(),
            reason: format!("a body of more than {limit} bytes"),
        };
        let announced =
            usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(too_long());
        }
        let mut body = BytesMut::with_capacity(announced);
        while let Some(chunk) =
            response.chunk().await.map_err(|error| self.failed(&error, timeout))?
        {
            if body.len() + chunk.len() > limit {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    fn decode<R: DeserializeOwned>(
        &self,
        encoding: Encoding,
        bytes: &[u8],
    ) -> Result<R, CallError> {
        encoding.decode(bytes).map_err(|error| CallError::Nonsense {
            url: self.url.clone(),
            reason: error.to_string(),
        })
    }

    fn failed(&self, error: &reqwest::Error, timeout: Duration) -> CallError {
        let url = self.url.clone();
        if error.is_connect() || error.is_builder() {
            CallError::Connect { url, reason: root_cause(error) }
        } else if error.is_timeout() {
            CallError::Timeout { url, timeout }
        } else {
            CallError::Broken { url, reason: root_cause(error) }
        }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> CallError {
        let problem: Option<Box<problem::Body>> = serde_json::from_slice(body).ok();
        let head = || String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        let detail = problem.as_ref().map_or_else(head, |problem| problem.detail.clone());
        CallError::Refused { url: self.url.clone(), status, detail, problem }
    }
}

/// The innermost reason: the outer ones of reqwest and hyper only repeat the URL.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
