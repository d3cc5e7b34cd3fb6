//! The way of a request through the balancer: buffered, sent to a replica, sent to
//! another one where that is safe (`attempts`), sent again once somebody can answer it
//! (`waiting`), and its answer streamed back.
//!
//! A request's body is read whole before the first attempt, so that a second one can send
//! it again; an answer's body is never held: bytes go to the client as they come. Both
//! the time (the client's `Synod-Timeout`) and the attempts (each replica once, and then
//! one after each pause) are bounded, until the header of the answer is here; how long a
//! stream lasts after that is up to replica and client, and of one that has no end of its
//! own also to the balancer (`endless`).
#![expect(clippy::disallowed_methods, reason = "a shell: how long requests take is measured")]

mod attempts;
mod endless;
mod lateness;
mod retry_state;
mod snapshot;
mod waiting;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use percent_encoding::percent_decode_str;
use shared::byte_budget::{ByteBudget, ByteShare};
use shared::cluster_header;
use shared::deadline::{self, Deadline};
use shared::ids::{ClusterId, Name};
use shared::problem::Problem;
use shared::repeat;
use shared::server::RequestBody;
use shared::telemetry::RequestTrace;
use shared::tls::name_client;
use shared::wire::{BodyLimit, read_body};
use tokio_util::sync::CancellationToken;

use self::retry_state::Sending;
use crate::endpoints::{Endpoints, Paced, Wanted};
use crate::headers::{Origin, end_to_end_option, forward_request};
use crate::metrics::Measured;
use crate::pool::{EndpointId, Intent, Start};
use crate::retry::{self, Repeat, intent_of, repeat_of};

/// How much longer than the client's deadline the balancer waits, so that the replica's
/// own answer to the same deadline, which knows more, comes first.
pub(crate) const SLACK: Duration = Duration::from_millis(250);

/// What the proxy holds at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    /// The longest body of a request, in bytes.
    pub(crate) body_bytes: usize,
    /// All bodies of requests held at once, in bytes.
    pub(crate) buffered_bytes: usize,
}

/// For what a request waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// How long a read waits for an answer before it is sent to one more replica.
    pub(crate) slow_read_after: Duration,
    /// How many requests at once wait for a replica that can answer them.
    pub(crate) max_waiting: usize,
}

/// What consistent hashing goes by.
#[derive(Clone, Debug, Default)]
pub(crate) enum HashBy {
    /// The path.
    #[default]
    Path,
    /// This field, and the path where it is missing.
    Header(HeaderName),
}

/// Forwards requests to the replicas.
#[derive(Debug)]
pub(crate) struct Proxy {
    name: Name,
    endpoints: Arc<Endpoints>,
    limits: BodyLimits,
    patience: Patience,
    hash_by: HashBy,
    buffers: ByteBudget,
    measured: Measured,
    shutdown: CancellationToken,
}

/// A request that can be sent as often as need be.
struct Buffered {
    intent: Intent,
    repeat: Repeat,
    /// Whether it may be sent to one more replica while it waits for one …
    may_be_asked_twice: bool,
    /// … and that before it is late.
    is_hedged: bool,
    /// Whether it asks for a lock, which it may wait for.
    waits_in_line: bool,
    method: Method,
    path: PathAndQuery,
    headers: HeaderMap,
    /// What consistent hashing goes by, where that is not the path.
    hash_key: Option<Bytes>,
    body: Bytes,
    /// Until then a replica is asked; …
    asked_until: Deadline,
    /// … and until then the one that was asked answers.
    deadline: Deadline,
    /// What of that is for waiting for a lock or a snapshot, which the replica adds by
    /// itself.
    extra_wait: Duration,
    /// The memory of the body, until the request is answered.
    _memory: ByteShare,
}

impl Proxy {
    pub(crate) fn new(
        name: Name,
        endpoints: Arc<Endpoints>,
        limits: BodyLimits,
        patience: Patience,
        hash_by: HashBy,
        measured: Measured,
        shutdown: CancellationToken,
    ) -> Self {
        let buffers = ByteBudget::new(limits.buffered_bytes);
        Self { name, endpoints, limits, patience, hash_by, buffers, measured, shutdown }
    }

    pub(crate) fn measured(&self) -> &Measured {
        &self.measured
    }

    /// Answers a request with a replica's answer, or with a problem where there is none
    /// to be had.
    pub(crate) async fn forward(
        &self,
        client: IpAddr,
        request: Request<RequestBody>,
        trace: &RequestTrace,
    ) -> Response<Body> {
        let began = Instant::now();
        let intent = intent_of(request.method(), request.uri());
        self.measured.began(intent);
        let answer = match self.buffer(client, request, trace).await {
            Ok(buffered) => self.forward_buffered(&buffered, trace).await,
            Err(problem) => Err(retry::not_applied(intent, problem)),
        };
        self.measured.answered(intent, began.elapsed(), trace);
        answer.unwrap_or_else(|problem| {
            self.measured.refused(&problem);
            problem.to_http().map(Body::from)
        })
    }

    /// Reads the request whole and makes it ready to be sent on.
    async fn buffer(
        &self,
        client: IpAddr,
        request: Request<RequestBody>,
        trace: &RequestTrace,
    ) -> Result<Buffered, Problem> {
        let (mut parts, body) = request.into_parts();
        if parts.method == Method::CONNECT {
            return Err(retry::refuse_connect());
        }
        let deadline = Deadline::of(&parts.headers)?;
        let path = parts
            .uri
            .path_and_query()
            .cloned()
            .ok_or_else(|| Problem::bad_request("the request names no path"))?;
        if let Some(name) = end_to_end_option(&parts.headers) {
            return Err(Problem::bad_request(format!(
                "Connection names {name}, which is not for this connection only"
            )));
        }
        let (body, memory) = self.hold(body, deadline).await?;
        let lock_wait = retry::lock_wait(&parts.method, &parts.uri, &parts.headers, &body);
        let extra_wait = lock_wait.max(snapshot::wait(&path));
        let origin = Origin { client, version: parts.version, balancer: &self.name };
        let hash_key = match &self.hash_by {
            HashBy::Path => decoded(path.path()),
            HashBy::Header(name) => {
                parts.headers.get(name).map(|value| Bytes::copy_from_slice(value.as_bytes()))
            }
        };
        name_client(&mut parts);
        forward_request(&mut parts.headers, origin, trace.context());
        let intent = intent_of(&parts.method, &parts.uri);
        let may_be_asked_twice = lateness::may_be_asked_twice(intent, &parts.method, &path);
        Ok(Buffered {
            intent,
            repeat: repeat_of(intent, &parts.headers),
            may_be_asked_twice,
            is_hedged: may_be_asked_twice && lateness::is_short(&path, &parts.headers),
            waits_in_line: retry::asks_for_lock(&parts.method, path.path()),
            hash_key,
            method: parts.method,
            path,
            headers: parts.headers,
            body,
            asked_until: deadline.extended(lock_wait),
            deadline: deadline.extended(extra_wait),
            extra_wait,
            _memory: memory,
        })
    }

    /// Reads a body into memory that is counted: as much as it announces, or as much as
    /// it may have.
    async fn hold(
        &self,
        body: RequestBody,
        deadline: Deadline,
    ) -> Result<(Bytes, ByteShare), Problem> {
        let limit = BodyLimit { what: "body of a request", bytes: self.limits.body_bytes };
        let announced = hyper::body::Body::size_hint(&body)
            .upper()
            .and_then(|bytes| usize::try_from(bytes).ok());
        let bytes = announced.unwrap_or(limit.bytes).min(limit.bytes);
        let memory =
            self.buffers.reserve(bytes).map_err(|spent| Problem::overloaded(spent.to_string()))?;
        let body = deadline.bound(read_body(body, limit)).await.map_err(|elapsed| {
            let detail = format!("{elapsed} before the body was read");
            Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "urn:synod:problem:slow-body",
                "Body too slow",
                detail,
            )
        })??;
        Ok((body, memory))
    }
}

/// A path as a replica reads it, where that is not how it is written: one key has several
/// spellings.
fn decoded(path: &str) -> Option<Bytes> {
    path.contains('%').then(|| percent_decode_str(path).collect())
}

impl Buffered {
    /// What is asked of the pool for it.
    fn wanted<'a>(&'a self, start: Start, tried: &'a [EndpointId]) -> Wanted<'a> {
        let key = self.hash_key.as_deref().unwrap_or_else(|| self.path.path().as_bytes());
        let paced = if self.is_hedged { Paced::Yes } else { Paced::No };
        Wanted { intent: self.intent, start, tried, key, paced }
    }

    /// The request for a replica of that cluster, its path byte for byte as the client sent
    /// it, and with the time that is left.
    fn outgoing(&self, sending: Sending, cluster: Option<ClusterId>) -> Request<Bytes> {
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.path.clone());
        *request.headers_mut() = self.headers.clone();
        // What a replica adds by itself, it adds from when it is asked first.
        if self.extra_wait.is_zero() || sending.attempt > 1 {
            let left = deadline::header_value(self.asked_until.remaining());
            let left = HeaderValue::try_from(left).expect("digits and a unit");
            request.headers_mut().insert(HeaderName::from_static(deadline::HEADER), left);
        }
        if let Some(cluster) = cluster {
            let named = cluster_header::header_value(cluster);
            request.headers_mut().insert(HeaderName::from_static(cluster_header::HEADER), named);
        }
        if let Some(name) = sending.name {
            let name = HeaderValue::try_from(name.to_string()).expect("digits and a word");
            request.headers_mut().insert(HeaderName::from_static(repeat::HEADER), name);
        }
        if self.body.is_empty() && self.intent == Intent::Mutation {
            request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(0_u64));
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_key_are_hashed_alike() {
        let hashed =
            |path: &'static str| decoded(path).unwrap_or(Bytes::from_static(path.as_bytes()));
        assert_eq!(hashed("/v1/kv/x%2Fy"), hashed("/v1/kv/x/y"));
        assert_eq!(hashed("/v1/kv/%78%2fy"), hashed("/v1/kv/x/y"));
        assert_ne!(hashed("/v1/kv/x%2Fy"), hashed("/v1/kv/x/z"));
    }
}
