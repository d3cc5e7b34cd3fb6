//! Whether a request is let in: everything that is judged before any route is.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::hosts::AllowedHosts;
use super::refusal::Refused;
use super::{Limits, hosts, origin};
use crate::problem::{Outcome, Problem};
use crate::status;

/// The rules for requests, shared by all connections.
#[derive(Clone, Debug)]
pub struct Admission {
    limits: Limits,
    hosts: AllowedHosts,
    requests: Arc<Semaphore>,
}

impl Admission {
    /// Nothing admitted yet.
    #[must_use]
    pub fn new(limits: Limits, hosts: AllowedHosts) -> Self {
        Self { limits, hosts, requests: Arc::new(Semaphore::new(limits.requests)) }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// A place for a request, to be held until it is answered; none for `/livez` and
    /// `/readyz`, which are not counted.
    ///
    /// # Errors
    /// 400 for a malformed head or `Host`, 403 for what a foreign web page asks, 421 for
    /// a name that is none of the service's, 431 for too long a header, 501 for an
    /// unknown transfer coding, 503 where all places are taken. Of what may have been
    /// meant as a mutation it is said that nothing happened.
    pub fn admit(&self, request: &Parts) -> Result<Option<OwnedSemaphorePermit>, Problem> {
        self.check(request).map_err(|problem| nothing_applied(&request.method, problem))?;
        if ["/livez", "/readyz"].contains(&request.uri.path()) {
            return Ok(None);
        }
        let place = Arc::clone(&self.requests).try_acquire_owned().map_err(|_| {
            let most = self.limits.requests;
            let full = format!("{most} requests are being served, the limit of this server");
            nothing_applied(&request.method, Problem::overloaded(full))
        })?;
        status::count_request();
        Ok(Some(place))
    }

    fn check(&self, request: &Parts) -> Result<(), Problem> {
        if let Some(Refused(problem)) = request.extensions.get() {
            return Err(problem.clone());
        }
        let Parts { method, uri, version, headers, .. } = request;
        if header_bytes(uri, headers) > self.limits.header_bytes {
            return Err(self.limits.too_large_a_header());
        }
        let named = hosts::check(&self.hosts, *version, uri, headers)?;
        origin::check(&self.hosts, method, named.as_ref(), headers)?;
        match unknown_transfer_coding(headers) {
            None => Ok(()),
            Some(coding) => Err(Problem::new(
                StatusCode::NOT_IMPLEMENTED,
                "urn:synod:problem:not-implemented",
                "Not implemented",
                format!("the transfer coding {coding:?} is not known here, only chunked"),
            )),
        }
    }
}

/// Says of what may have been meant as a mutation that it did not happen.
pub(super) fn nothing_applied(method: &Method, problem: Problem) -> Problem {
    if method.is_safe() { problem } else { problem.with_outcome(Outcome::NotApplied) }
}

/// Stored bytes are those that the client meant, so a coding around them that nobody
/// takes off is refused (RFC 9112, section 6.1).
fn unknown_transfer_coding(headers: &HeaderMap) -> Option<String> {
    let codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let mut names =
        codings.flat_map(|value| value.to_str().unwrap_or("?").split(',')).map(str::trim);
    names.find(|name| !name.eq_ignore_ascii_case("chunked")).map(str::to_owned)
}

fn header_bytes(uri: &Uri, headers: &HeaderMap) -> usize {
    let line = uri.path_and_query().map_or(0, |path| path.as_str().len());
    // Four for the colon, the blank and the line end.
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>() + line
}

pub(super) async fn admit(
    State(admission): State<Admission>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    match admission.admit(&parts) {
        Ok(_place) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => problem.into_response(),
    }
}
