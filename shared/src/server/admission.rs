//! Whether a request is let in: everything that is judged before any route is.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, Method, Uri, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::doors::ForClients;
use super::hosts::AllowedHosts;
use super::refusal::Refused;
use super::{Limits, hosts, origin};
use crate::message::Service;
use crate::metrics::{Counter, Metrics, Series};
use crate::problem::{Outcome, Problem};
use crate::status;
use crate::tls::{self, Caller, Tls, Who};

/// Why a server refuses before any route is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Connections,
    Requests,
    Head,
    HeaderBytes,
    Host,
    Origin,
    TransferCoding,
    Caller,
}

impl Reason {
    /// Their names, in their order.
    const NAMES: [&str; 8] = [
        "connections",
        "requests",
        "head",
        "header_bytes",
        "host",
        "origin",
        "transfer_coding",
        "caller",
    ];
}

/// The rules for requests, shared by all connections.
#[derive(Clone, Debug)]
pub struct Admission {
    limits: Limits,
    hosts: AllowedHosts,
    requests: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    tls: Option<Arc<Tls>>,
    refusals: [Counter; Reason::NAMES.len()],
}

impl Admission {
    /// Nothing admitted yet.
    #[must_use]
    pub fn new(limits: Limits, hosts: AllowedHosts) -> Self {
        let requests = Arc::new(Semaphore::new(limits.requests));
        let connections = Arc::new(Semaphore::new(limits.connections));
        let refusals = Reason::NAMES.map(|_| Counter::default());
        Self { limits, hosts, requests, connections, tls: None, refusals }
    }

    /// The same, of a service that listens with TLS, where there is any.
    #[must_use]
    pub fn with_tls(self, tls: Option<Arc<Tls>>) -> Self {
        Self { tls, ..self }
    }

    pub(super) fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// The places for connections.
    pub(super) fn connections(&self) -> &Arc<Semaphore> {
        &self.connections
    }

    pub(super) fn refused(&self, reason: Reason) {
        self.refusals[reason as usize].inc();
    }

    pub(super) fn register(&self, metrics: &mut Metrics) {
        let refusals = Series::by("reason", &Reason::NAMES, &self.refusals);
        metrics.register(
            "synod_http_refusals_total",
            "Connections and requests that the server refused before any route was asked",
            refusals,
        );
        let tls = self.tls.as_ref().map(|tls| Arc::clone(tls.counts())).unwrap_or_default();
        tls.register(metrics);
        let own = self.clone();
        metrics.at_scrape(move |scrape| {
            let ends = own.tls.as_ref().map(|tls| tls.ends()).unwrap_or_default();
            scrape.gauges(
                "synod_tls_not_after_seconds",
                "Until when what TLS is spoken with counts, in seconds since 1970",
                "of",
                ends,
            )?;
            let Limits { connections, requests, .. } = own.limits;
            let taken =
                |most: usize, left: &Semaphore| most.saturating_sub(left.available_permits());
            for (name, help, value) in [
                (
                    "synod_http_requests_in_flight",
                    "Requests that are being served, health checks and this one left out",
                    taken(requests, &own.requests),
                ),
                ("synod_http_requests_limit", "How many may be served at once", requests),
                (
                    "synod_http_connections_open",
                    "Connections of clients",
                    taken(connections, &own.connections),
                ),
                ("synod_http_connections_limit", "How many may be open at once", connections),
            ] {
                scrape.gauge(name, help, value)?;
            }
            Ok(())
        });
    }

    /// Lets a request in that stands under the route, if under any: gives it a place, see
    /// [`Admission::admit`].
    ///
    /// # Errors
    /// Where it has none, and where whoever asks may not ask for that.
    pub(super) fn let_in(
        &self,
        asked: Service,
        route: Option<&str>,
        request: &Parts,
    ) -> Result<Option<OwnedSemaphorePermit>, Problem> {
        let place = self.admit(request)?;
        self.allow(asked, route, request)?;
        Ok(place)
    }

    /// Whether whoever asks a service may ask for what stands under the route. Everybody may
    /// ask for what is nowhere, and hears that it is not there: 403 where services are known
    /// by their certificates, and this is not for this one; 404 for what services ask each
    /// other, at an address that is for clients alone.
    fn allow(&self, asked: Service, route: Option<&str>, request: &Parts) -> Result<(), Problem> {
        let (extensions, method) = (&request.extensions, &request.method);
        let Some(route) = route else { return Ok(()) };
        let is_for_clients = extensions.get::<ForClients>().is_some();
        let judged = if is_for_clients && tls::who_may(asked, method, route) != Some(Who::Anyone) {
            let elsewhere = format!(
                "{route} is for the services of the cluster, and they have an address of their \
                 own (--listen-internal)"
            );
            Err(Problem::not_found(elsewhere))
        } else {
            extensions.get::<Caller>().map_or(Ok(()), |caller| caller.may_ask(asked, method, route))
        };
        judged.map_err(|problem| {
            self.refused(Reason::Caller);
            nothing_applied(method, problem)
        })
    }

    /// A place for a request, to be held until it is answered; none for `/livez`,
    /// `/readyz` and `/metrics`, which are not counted.
    ///
    /// # Errors
    /// 400 for a malformed head or `Host`, 403 for what a foreign web page asks, 421 for
    /// a name that is none of the service's, 431 for too long a header, 501 for an
    /// unknown transfer coding, 503 where all places are taken. Of what may have been
    /// meant as a mutation it is said that nothing happened.
    pub fn admit(&self, request: &Parts) -> Result<Option<OwnedSemaphorePermit>, Problem> {
        self.check(request).map_err(|(reason, problem)| {
            self.refused(reason);
            nothing_applied(&request.method, problem)
        })?;
        if ["/livez", "/readyz", "/metrics"].contains(&request.uri.path()) {
            return Ok(None);
        }
        let place = Arc::clone(&self.requests).try_acquire_owned().map_err(|_| {
            self.refused(Reason::Requests);
            let most = self.limits.requests;
            let full = format!("{most} requests are being served, the limit of this server");
            nothing_applied(&request.method, Problem::overloaded(full))
        })?;
        status::count_request();
        Ok(Some(place))
    }

    fn check(&self, request: &Parts) -> Result<(), (Reason, Problem)> {
        if let Some(Refused(problem)) = request.extensions.get() {
            return Err((Reason::Head, problem.clone()));
        }
        let Parts { method, uri, version, headers, .. } = request;
        if header_bytes(uri, headers) > self.limits.header_bytes {
            return Err((Reason::HeaderBytes, self.limits.too_large_a_header()));
        }
        let named = hosts::check(&self.hosts, *version, uri, headers)
            .map_err(|problem| (Reason::Host, problem))?;
        origin::check(&self.hosts, method, named.as_ref(), headers)
            .map_err(|problem| (Reason::Origin, problem))?;
        match unknown_transfer_coding(headers) {
            None => Ok(()),
            Some(coding) => Err((
                Reason::TransferCoding,
                Problem::not_implemented(format!(
                    "the transfer coding {coding:?} is not known here, only chunked"
                )),
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
    State((service, admission)): State<(Service, Admission)>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let route = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    match admission.let_in(service, route, &parts) {
        Ok(_place) => next.run(Request::from_parts(parts, body)).await,
        Err(problem) => problem.into_response(),
    }
}
