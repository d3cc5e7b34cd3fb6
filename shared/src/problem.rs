//! Errors as clients see them: `application/problem+json` (RFC 9457).
//!
//! Every problem has a `type` that programs may compare, a `title` that names the kind,
//! and a `detail` that names the values of this case. An answer to a mutation that leaves
//! it open whether the mutation happened says `outcome: unknown`; every other problem on
//! a mutation means that it did not happen and never will.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{LeaseId, Revision};
use crate::message::ClusterError;

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// The `Retry-After` where nothing better is known: long enough for an election, short
/// enough for people.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What became of a mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was executed.
    Applied,
    /// It was not executed and never will be.
    NotApplied,
    /// It may have been executed, or may yet be.
    Unknown,
}

/// An error response.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem(Box<Fields>);

#[derive(Clone, Debug, PartialEq)]
struct Fields {
    body: Body,
    retry_after: Option<Duration>,
    headers: HeaderMap,
}

/// The JSON of a problem: what a client parses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct Body {
    /// A URI that identifies the kind: `urn:synod:problem:` and a word.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The kind, for people.
    pub title: Cow<'static, str>,
    /// The HTTP status code.
    pub status: u16,
    /// What happened this time, with the values.
    pub detail: String,
    /// The revision that the problem speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The oldest revision still there, on a 410.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_revision: Option<Revision>,
    /// Whether the same request can succeed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retryable: Option<bool>,
    /// What became of the mutation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Who holds the lock that the problem speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
}

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Holder {
    /// Which lease.
    pub lease: LeaseId,
    /// The revision since which it does.
    pub fence: Revision,
}

macro_rules! kind {
    ($word:literal) => {
        concat!("urn:synod:problem:", $word)
    };
}

impl Problem {
    /// A problem of any kind; `kind` is a URI such as `urn:synod:problem:no-quorum`.
    #[must_use]
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        let body = Body {
            kind: Cow::Borrowed(kind),
            title: Cow::Borrowed(title),
            status: status.as_u16(),
            detail: detail.into(),
            revision: None,
            oldest_revision: None,
            retryable: None,
            outcome: None,
            holder: None,
        };
        Self(Box::new(Fields { body, retry_after: None, headers: HeaderMap::new() }))
    }

    /// 400: the request is malformed.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind!("bad-request"), "Bad request", detail)
    }

    /// 400: a client speaks without TLS to a service that listens with TLS.
    #[must_use]
    pub fn takes_tls() -> Self {
        Self::bad_request("this service listens with TLS: its URL begins with https://")
    }

    /// 400: a client speaks with TLS to a service that listens without.
    #[must_use]
    pub fn takes_no_tls() -> Self {
        Self::bad_request("this service speaks HTTP/1.1 without TLS: its URL begins with http://")
    }

    /// 401: nobody knows who asks; `detail` says how to say it.
    #[must_use]
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, kind!("unauthorized"), "Unauthorized", detail)
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            .with_retryable(Retryable::No)
    }

    /// 403: a page of another origin asks.
    #[must_use]
    pub fn foreign_origin(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, kind!("foreign-origin"), "Foreign origin", detail)
    }

    /// 403: whoever asks may not; `detail` says how one may.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, kind!("forbidden"), "Forbidden", detail)
    }

    /// 404: nothing is there.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, kind!("not-found"), "Not found", detail)
    }

    /// 410: the state as it was at that revision is not kept any more.
    #[must_use]
    pub fn compacted(detail: impl Into<String>, oldest: Revision) -> Self {
        Self::new(StatusCode::GONE, kind!("compacted"), "Compacted", detail)
            .with_oldest_revision(oldest)
            .with_retryable(Retryable::No)
    }

    /// 410: that slot of the log is not kept any more.
    #[must_use]
    pub fn trimmed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, kind!("trimmed"), "Trimmed", detail)
            .with_retryable(Retryable::No)
    }

    /// 405: the path is known, the method is not; `allow` lists the methods that are.
    #[must_use]
    pub fn method_not_allowed(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            kind!("method-not-allowed"),
            "Method not allowed",
            detail,
        )
    }

    /// The service that asks is of another cluster (409), or it is not known yet of which
    /// one this service is (503).
    #[must_use]
    pub fn of_cluster(error: ClusterError) -> Self {
        match error {
            ClusterError::Other(other) => Self::new(
                StatusCode::CONFLICT,
                kind!("other-cluster"),
                "Other cluster",
                other.to_string(),
            )
            .with_retryable(Retryable::No),
            ClusterError::Unknown => Self::unavailable(error.to_string()),
        }
    }

    /// 409: the cluster is not in a state to do it; `detail` says what to do. Nothing was
    /// done.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, kind!("conflict"), "Conflict", detail)
            .with_retryable(Retryable::Yes)
    }

    /// 409: a lock is not held by whom it should be; nothing was done.
    #[must_use]
    pub fn lock_conflict(detail: impl Into<String>, holder: Option<Holder>) -> Self {
        let (kind, title) = (kind!("lock-conflict"), "Lock conflict");
        Self::new(StatusCode::CONFLICT, kind, title, detail).with_holder(holder)
    }

    /// 412: a condition of the request does not hold; nothing was written.
    #[must_use]
    pub fn precondition_failed(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            kind!("precondition-failed"),
            "Precondition failed",
            detail,
        )
    }

    /// 413: a body above the limit, which is named.
    #[must_use]
    pub fn too_large(limit: &str, bytes: usize) -> Self {
        Self::above_limit(format!("the {limit} is limited to {bytes} bytes"))
    }

    /// 413: what is asked for is above a limit, which `detail` names.
    #[must_use]
    pub fn above_limit(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, kind!("too-large"), "Too large", detail)
    }

    /// 415: a body in a format that is not spoken here.
    #[must_use]
    pub fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            kind!("unsupported-media-type"),
            "Unsupported media type",
            detail,
        )
    }

    /// 416: of a file the part that is asked for is not there.
    #[must_use]
    pub fn range_not_satisfiable(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            kind!("range-not-satisfiable"),
            "Range not satisfiable",
            detail,
        )
    }

    /// 421: the request is for a host that is not this service.
    #[must_use]
    pub fn misdirected(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            kind!("misdirected"),
            "Misdirected request",
            detail,
        )
    }

    /// 422: well-formed, but it contradicts a request before it.
    #[must_use]
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, kind!("unprocessable"), "Unprocessable", detail)
    }

    /// 408: the header took too long to come.
    #[must_use]
    pub fn slow_header(limit: Duration) -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            kind!("slow-header"),
            "Header too slow",
            format!("the request's header did not come within {limit:?}"),
        )
    }

    /// 431: a request line or header fields above the limit, which is named.
    #[must_use]
    pub fn header_too_large(limit: impl fmt::Display) -> Self {
        let detail = format!("the request's header is limited to {limit}");
        Self::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            kind!("header-too-large"),
            "Header too large",
            detail,
        )
    }

    /// 500: a defect of the service.
    #[must_use]
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, kind!("internal"), "Internal error", detail)
    }

    /// 501: the request needs what is not known here.
    #[must_use]
    pub fn not_implemented(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, kind!("not-implemented"), "Not implemented", detail)
    }

    /// 502: another service answered with something that makes no sense.
    #[must_use]
    pub fn bad_gateway(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, kind!("bad-gateway"), "Bad gateway", detail)
    }

    /// 503: not now (no quorum, no primary, shutting down); retryable, with a
    /// `Retry-After`.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind!("unavailable"), "Unavailable", detail)
            .with_retry_after(RETRY_AFTER)
    }

    /// 503: no quorum of acceptors can be had.
    #[must_use]
    pub fn no_quorum(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind!("no-quorum"), "No quorum", detail)
            .with_retry_after(RETRY_AFTER)
    }

    /// 503: a limit on work in progress is reached; retryable, with a `Retry-After`.
    #[must_use]
    pub fn overloaded(limit: impl fmt::Display) -> Self {
        let detail = format!("too much at once: {limit}");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, kind!("overloaded"), "Overloaded", detail)
            .with_retry_after(RETRY_AFTER)
    }

    /// 429: a client has taken what it may; retryable, with a `Retry-After`.
    #[must_use]
    pub fn too_many_requests(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            kind!("too-many-requests"),
            "Too many requests",
            detail,
        )
        .with_retry_after(RETRY_AFTER)
    }

    /// 504: the request's deadline passed.
    #[must_use]
    pub fn timeout(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, kind!("timeout"), "Deadline passed", detail)
            .with_retryable(Retryable::Yes)
    }

    /// 507: there is no room on disk; nothing was written.
    #[must_use]
    pub fn insufficient_storage(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INSUFFICIENT_STORAGE,
            kind!("insufficient-storage"),
            "Insufficient storage",
            detail,
        )
    }

    /// Says of which state the problem speaks, in the body and as `Synod-Revision`.
    #[must_use]
    pub fn with_revision(mut self, revision: Revision) -> Self {
        self.0.body.revision = Some(revision);
        self
    }

    /// The same problem, with who holds the lock that it speaks of.
    #[must_use]
    pub fn with_holder(mut self, holder: Option<Holder>) -> Self {
        self.0.body.holder = holder;
        self
    }

    /// Says which revision is the oldest that is left.
    #[must_use]
    pub fn with_oldest_revision(mut self, revision: Revision) -> Self {
        self.0.body.oldest_revision = Some(revision);
        self
    }

    /// Says what became of the mutation.
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.0.body.outcome = Some(outcome);
        self
    }

    /// Says whether the same request can succeed later.
    #[must_use]
    pub fn with_retryable(mut self, retryable: Retryable) -> Self {
        self.0.body.retryable = Some(matches!(retryable, Retryable::Yes));
        self
    }

    /// Says when to try again (rounded up to a whole second), and so that it is worth
    /// trying.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self.with_retryable(Retryable::Yes)
    }

    /// Adds a header to the response, for instance `Allow`.
    #[must_use]
    pub fn with_header(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// What goes into the JSON.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.0.body
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The response with the body in one piece, for servers without axum.
    #[must_use]
    pub fn to_http(&self) -> http::Response<Bytes> {
        let json = serde_json::to_vec(&self.0.body).expect("a problem is plain JSON");
        let mut response = http::Response::new(Bytes::from(json));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.extend(self.0.headers.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if let Some(after) = self.0.retry_after {
            let seconds = after.as_millis().div_ceil(1_000).max(1);
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from_str(&seconds.to_string()).expect("digits"),
            );
        }
        if let Some(revision) = self.0.body.revision {
            headers.insert("synod-revision", HeaderValue::from(revision.0));
        }
        response
    }
}

/// Whether a request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retryable {
    /// Later it may succeed.
    Yes,
    /// It will be refused again.
    No,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.to_http().map(axum::body::Body::from)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.body)
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.title, self.detail)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests;
