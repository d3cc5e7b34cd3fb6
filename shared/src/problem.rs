//! Errors as clients see them: `application/problem+json` (RFC 9457).
//!
//! Every problem has a `type` that programs may compare, a `title` that names the kind,
//! and a `detail` that names the values of this case. An answer to a mutation that leaves
//! it open whether the mutation happened says `outcome: unknown`; every other problem on
//! a mutation means that it did not happen and never will.

mod kinds;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{LeaseId, Revision};

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Which state an answer speaks of.
pub const REVISION: HeaderName = HeaderName::from_static("synod-revision");

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
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
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
            headers.insert(REVISION, HeaderValue::from(revision.0));
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
