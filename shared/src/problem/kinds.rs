//! The kinds of problem there are, each with its status, its `type` and its title.

use std::fmt;
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};

use super::{Holder, Problem, RETRY_AFTER, Retryable};
use crate::ids::Revision;
use crate::message::ClusterError;

macro_rules! kind {
    ($word:literal) => {
        concat!("urn:synod:problem:", $word)
    };
}

impl Problem {
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
}
