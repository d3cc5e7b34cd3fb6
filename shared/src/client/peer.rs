//! One bounded exchange with one service.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::pool::root_cause;
use super::{AnswerBody, CallError, Connections, Pool, SendError, user_agent};
use crate::base_url::BaseUrl;
use crate::message::Service;
use crate::wire::{Encoding, MAX_MESSAGE_BYTES, MediaType, POSTCARD};
use crate::{deadline, problem, telemetry, versions};

/// The longest error body that is read, in bytes.
const MAX_PROBLEM_BYTES: usize = 64 * 1024;

/// The longest status of a service, in bytes: the limits of what is listed there make a
/// tenth of it.
const MAX_STATUS_BYTES: usize = 1 << 20;

/// So much of a media type is repeated, in characters.
const SHOWN_CHARS: usize = 100;

/// Fields of a request: those below, those of a trace, and `Host`.
const HEADERS: usize = 8;

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// What the other side is told.
    granted: Duration,
    /// What the answer is waited for.
    timeout: Duration,
}

impl Times {
    fn of(timeout: Duration) -> Self {
        Self { granted: timeout, timeout }
    }
}

/// What is sent to a service.
struct Call<'a> {
    method: Method,
    path_and_query: &'a str,
    body: Option<Bytes>,
    /// What the answer is to be …
    accept: Encoding,
    /// … and how long at most, in bytes.
    limit: usize,
}

/// One service, spoken to over the process's pool.
#[derive(Clone, Debug)]
pub struct Peer {
    connections: Arc<Connections>,
    url: BaseUrl,
}

impl Peer {
    /// The service at the URL, whichever it is. No connection is made yet.
    #[must_use]
    pub fn new(url: BaseUrl) -> Self {
        Self::called(None, url)
    }

    /// The same, which must prove to be such a service, where services know each other by
    /// their certificates.
    #[must_use]
    pub fn of(service: Service, url: BaseUrl) -> Self {
        Self::called(Some(service), url)
    }

    fn called(called: Option<Service>, url: BaseUrl) -> Self {
        let connections =
            Pool::of_process().to_a(called, url.as_str()).expect("a service's URL is one");
        Self { connections, url }
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
        self.call(Method::GET, path_and_query, None, Times::of(timeout)).await
    }

    /// `DELETE` of a path with its query; the answer is a postcard message.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delete<R: DeserializeOwned>(
        &self,
        path_and_query: &str,
        timeout: Duration,
    ) -> Result<R, CallError> {
        self.call(Method::DELETE, path_and_query, None, Times::of(timeout)).await
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
        self.send_granting(method, path, message, timeout, timeout).await
    }

    /// Sends a message and reads the answer, for which the other side is granted less time
    /// than is waited for it: so it can say what it did not come to.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn send_granting<Q: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        message: &Q,
        granted: Duration,
        timeout: Duration,
    ) -> Result<R, CallError> {
        let body = Encoding::Postcard.encode(message);
        self.call(method, path, Some(body), Times { granted, timeout }).await
    }

    /// As [`Peer::send`], where the answer has at most so many bytes: what is there may be
    /// anything.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn ask<Q: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        path_and_query: &str,
        message: Option<&Q>,
        timeout: Duration,
        limit: usize,
    ) -> Result<R, CallError> {
        let body = message.map(|message| Encoding::Postcard.encode(message));
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let call = Call { method, path_and_query, body, accept: Encoding::Postcard, limit };
        let bytes = self.bounded(call, Times::of(timeout)).await?;
        self.decode(Encoding::Postcard, &bytes)
    }

    /// `GET /v1/status`, as JSON.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn status(&self, timeout: Duration) -> Result<serde_json::Value, CallError> {
        let bytes = self.json("/v1/status", timeout, MAX_STATUS_BYTES).await?;
        self.decode(Encoding::Json, &bytes)
    }

    /// `GET` of JSON of at most so many bytes, which is not read yet.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn json(
        &self,
        path_and_query: &str,
        timeout: Duration,
        limit: usize,
    ) -> Result<Bytes, CallError> {
        let (method, accept) = (Method::GET, Encoding::Json);
        let call = Call { method, path_and_query, body: None, accept, limit };
        self.bounded(call, Times::of(timeout)).await
    }

    /// `GET` of what is too long for a message, with further fields of the request: a 200, or
    /// what a range came to (206, 416), whose body is still to come. The answer's header
    /// is waited for until the `timeout`.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn open(
        &self,
        path_and_query: &str,
        fields: HeaderMap,
        timeout: Duration,
    ) -> Result<Response<AnswerBody>, CallError> {
        let (method, accept) = (Method::GET, Encoding::Json);
        let limit = MAX_MESSAGE_BYTES;
        let call = Call { method, path_and_query, body: None, accept, limit };
        let mut request = self.request(call, timeout)?;
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        request.headers_mut().extend(fields);
        let sent = tokio::time::timeout(timeout, self.connections.send(request)).await;
        let sent = sent.map_err(|_| CallError::Timeout { url: self.url.clone(), timeout })?;
        let answer = sent.map_err(|error| self.failed(error))?;
        let status = answer.status();
        let of_range = [StatusCode::PARTIAL_CONTENT, StatusCode::RANGE_NOT_SATISFIABLE];
        if status == StatusCode::OK || of_range.contains(&status) {
            return Ok(answer);
        }
        let body = self.read(answer.into_body(), MAX_PROBLEM_BYTES);
        let body = tokio::time::timeout(timeout, body).await;
        Err(self.refused(status, &body.unwrap_or(Ok(Bytes::new())).unwrap_or_default()))
    }

    async fn call<R: DeserializeOwned>(
        &self,
        method: Method,
        path_and_query: &str,
        body: Option<Bytes>,
        times: Times,
    ) -> Result<R, CallError> {
        let (accept, limit) = (Encoding::Postcard, MAX_MESSAGE_BYTES);
        let call = Call { method, path_and_query, body, accept, limit };
        let bytes = self.bounded(call, times).await?;
        self.decode(Encoding::Postcard, &bytes)
    }

    async fn bounded(&self, call: Call<'_>, times: Times) -> Result<Bytes, CallError> {
        let Times { granted, timeout } = times;
        tokio::time::timeout(timeout, self.exchange(call, granted))
            .await
            .unwrap_or_else(|_| Err(CallError::Timeout { url: self.url.clone(), timeout }))
    }

    async fn exchange(&self, call: Call<'_>, granted: Duration) -> Result<Bytes, CallError> {
        let (accept, limit) = (call.accept, call.limit);
        let request = self.request(call, granted)?;
        let response = self.connections.send(request).await.map_err(|error| self.failed(error))?;
        let status = response.status();
        if status == StatusCode::OK {
            self.check_type(response.headers(), accept)?;
            self.read(response.into_body(), limit).await
        } else if let Some(theirs) = version_of_refusal(status, response.headers()) {
            versions::met_other(self.url.as_str(), theirs);
            Err(CallError::OtherVersion { url: self.url.clone(), theirs })
        } else {
            let body = self.read(response.into_body(), MAX_PROBLEM_BYTES).await.unwrap_or_default();
            Err(self.refused(status, &body))
        }
    }

    fn request(
        &self,
        call: Call<'_>,
        granted: Duration,
    ) -> Result<Request<Full<Bytes>>, CallError> {
        let path = PathAndQuery::try_from(call.path_and_query).map_err(|error| {
            CallError::Connect { url: self.url.clone(), reason: error.to_string() }
        })?;
        let mut headers = HeaderMap::with_capacity(HEADERS);
        headers.insert(header::USER_AGENT, user_agent());
        headers.insert(header::ACCEPT, HeaderValue::from_static(call.accept.media_type()));
        let granted =
            HeaderValue::from_str(&deadline::header_value(granted)).expect("digits and a unit");
        headers.insert(HeaderName::from_static(deadline::HEADER), granted);
        telemetry::inject_current(&mut headers);
        if call.body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(POSTCARD));
        }
        let mut request = Request::new(Full::new(call.body.unwrap_or_default()));
        *request.method_mut() = call.method;
        *request.uri_mut() = Uri::from(path);
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// What is not said to be a message of our version is not read as one.
    fn check_type(&self, headers: &HeaderMap, expected: Encoding) -> Result<(), CallError> {
        let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let text = text.unwrap_or_default();
        match MediaType::of(text) {
            Some(MediaType::Spoken(encoding)) if encoding == expected => {
                if encoding == Encoding::Postcard {
                    versions::met_own(self.url.as_str());
                }
                return Ok(());
            }
            Some(MediaType::OtherVersion(theirs)) => {
                versions::met_other(self.url.as_str(), theirs);
            }
            Some(MediaType::Spoken(_)) | None => {}
        }
        let given: String = text.chars().take(SHOWN_CHARS).collect();
        Err(CallError::Nonsense {
            url: self.url.clone(),
            reason: format!("a body of the type {given:?}, not {}", expected.media_type()),
        })
    }

    async fn read(&self, mut answer: AnswerBody, limit: usize) -> Result<Bytes, CallError> {
        let too_long = || CallError::Nonsense {
            url: self.url.clone(),
            reason: format!("a body of more than {limit} bytes"),
        };
        let announced = usize::try_from(answer.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(too_long());
        }
        let mut body = BytesMut::with_capacity(announced);
        while let Some(frame) = answer.frame().await {
            let frame =
                frame.map_err(|error| self.failed(SendError::Broken(root_cause(&error))))?;
            // Trailers say nothing to us.
            let Ok(chunk) = frame.into_data() else { continue };
            if body.len() + chunk.len() > limit {
                return Err(too_long());
            }
            if body.is_empty() && answer.is_end_stream() {
                // Most answers come in one piece, which needs not be copied.
                return Ok(chunk);
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

    fn failed(&self, error: SendError) -> CallError {
        let url = self.url.clone();
        match error {
            SendError::NeverSent(reason) => CallError::Connect { url, reason },
            SendError::NotTaken(reason) | SendError::Broken(reason) => {
                CallError::Broken { url, reason }
            }
        }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> CallError {
        let problem: Option<Box<problem::Body>> = serde_json::from_slice(body).ok();
        let head = || String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        let detail = problem.as_ref().map_or_else(head, |problem| problem.detail.clone());
        CallError::Refused { url: self.url.clone(), status, detail, problem }
    }
}

/// Which version is spoken where ours is not: a refusal for it names in `Accept` what it
/// would have taken (RFC 9110, section 15.5.16).
fn version_of_refusal(status: StatusCode, headers: &HeaderMap) -> Option<u32> {
    let is_for_type =
        [StatusCode::UNSUPPORTED_MEDIA_TYPE, StatusCode::NOT_ACCEPTABLE].contains(&status);
    let spoken = headers.get(header::ACCEPT).filter(|_| is_for_type)?.to_str().ok()?;
    spoken.split(',').find_map(|named| match MediaType::of(named) {
        Some(MediaType::OtherVersion(theirs)) => Some(theirs),
        Some(MediaType::Spoken(_)) | None => None,
    })
}
