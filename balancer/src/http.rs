//! What the balancer answers itself, and what it passes on.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::middleware::from_fn;
use axum::routing::get;
use axum::{Json, Router};
use http::request::Parts;
use http::{Method, Request, Response};
use hyper::service::{Service as HyperService, service_fn};
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use shared::console;
use shared::discovery::Mixups;
use shared::events::{self, Events};
use shared::health::{self, Check};
use shared::ids::{Epoch, Name, Slot};
use shared::message::Service;
use shared::metrics::Metrics;
use shared::openapi;
use shared::places::ClientNetwork;
use shared::problem::{Outcome, Problem};
use shared::query::refuse_all;
use shared::server::{Admission, RequestBody, Requests, expose, with_fallbacks};
use shared::spans::{self, Gather, SpanScope};
use shared::status::{Identity, Status};
use shared::telemetry::{self, RequestTrace, Traced};
use tokio::sync::OwnedSemaphorePermit;

use crate::clients::{Client, Clients, Refused};
use crate::endpoints::Endpoints;
use crate::openapi::with_own_paths;
use crate::operator::{self, Operated};
use crate::operators::Operators;
use crate::pool::{Endpoint, Health, Intent, Pool, Reads, Role, To};
use crate::proxy::Proxy;

/// The route that stands in spans for everything that is passed on; the replica's span
/// has the exact one.
const FORWARDED_ROUTE: &str = "/v1/{*path}";

/// What is counted and traced of requests.
const TRACED: Traced = Traced {
    service: Service::Balancer,
    names: &[
        ("GET", FORWARDED_ROUTE, "balancer.forward"),
        ("HEAD", FORWARDED_ROUTE, "balancer.forward"),
        ("PUT", FORWARDED_ROUTE, "balancer.forward"),
        ("POST", FORWARDED_ROUTE, "balancer.forward"),
        ("DELETE", FORWARDED_ROUTE, "balancer.forward"),
        ("PUT", operator::ENDPOINT, "balancer.order"),
        ("PUT", operator::POLICY, "balancer.set_policy"),
    ],
    polls: &[("GET", operator::SHOW), ("GET", events::PATH)],
};

/// What the balancer tells of itself.
#[derive(Debug)]
pub(crate) struct OwnService {
    pub(crate) identity: Identity,
    pub(crate) mixups: Mixups,
    pub(crate) metrics: Metrics,
    pub(crate) events: Arc<Events>,
    pub(crate) gather: Gather,
}

/// Everything that a connection needs to answer requests.
#[derive(Debug)]
pub(crate) struct Front {
    own: TowerToHyperService<Router>,
    proxy: Arc<Proxy>,
    admission: Admission,
    clients: Arc<Clients>,
    operators: Operators,
    requests: Requests,
}

/// The other end of a connection.
#[derive(Debug)]
struct Peer {
    address: IpAddr,
    client: Arc<Client>,
}

/// Who answers a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answerer {
    /// The balancer, also with 404.
    Balancer,
    /// The balancer, whom its operator tells what to do.
    Operated,
    /// A replica.
    Replica,
}

/// Replicas answer the client API; what services say to each other is no business of
/// clients. The path is looked at as it came: a replica decodes nothing but keys, so what
/// is spelt otherwise is nothing to it either.
fn answerer_of(method: &Method, path: &str) -> Answerer {
    if path == openapi::PATH {
        return Answerer::Replica;
    }
    let Some(below) = path.strip_prefix("/v1/") else { return Answerer::Balancer };
    let first = below.split('/').next().unwrap_or_default();
    match first {
        "balancer" if !method.is_safe() => Answerer::Operated,
        "status" | "replication" | "succession" | "balancer" | "events" | "spans" => {
            Answerer::Balancer
        }
        _ => Answerer::Replica,
    }
}

impl Front {
    pub(crate) fn new(
        OwnService { identity, mixups, metrics, events, gather }: OwnService,
        endpoints: Arc<Endpoints>,
        proxy: Arc<Proxy>,
        clients: Arc<Clients>,
        operators: Operators,
        admission: Admission,
    ) -> Arc<Self> {
        let (requests, exposed) = expose(metrics, TRACED, &admission);
        let heard = Arc::clone(&endpoints);
        let requests = requests.naming(move || heard.read(Pool::newest_revision));
        let (id, clients_of) = (identity.name().clone(), Arc::clone(&clients));
        let operated = Operated { id, endpoints: Arc::clone(&endpoints), clients: clients_of };
        let own = own_routes(identity, endpoints, Arc::clone(&proxy), mixups)
            .merge(operator::routes(operated))
            .route(events::PATH, get(follow).with_state(events))
            .merge(spans::routes(SpanScope::Cluster(gather)))
            .merge(exposed);
        let own = TowerToHyperService::new(with_fallbacks(own));
        Arc::new(Self { own, proxy, admission, clients, operators, requests })
    }

    /// The service of a client's connection.
    pub(crate) fn connection(
        self: &Arc<Self>,
        client: SocketAddr,
    ) -> impl HyperService<
        Request<RequestBody>,
        Response = Response<Body>,
        Error = Infallible,
        Future: Send,
    > + Send
    + use<> {
        let front = Arc::clone(self);
        let peer = Peer { client: self.clients.at(client.ip()), address: client.ip() };
        let peer = Arc::new(peer);
        service_fn(move |request| {
            let (front, peer) = (Arc::clone(&front), Arc::clone(&peer));
            // It is moved several times before it runs, and is large.
            Box::pin(async move { Ok(front.answer(&peer, request).await) })
        })
    }

    async fn answer(&self, peer: &Peer, request: Request<RequestBody>) -> Response<Body> {
        let answerer = answerer_of(request.method(), request.uri().path());
        let (parts, body) = request.into_parts();
        let method = parts.method.clone();
        // The routes of its own have no parameters but those of the operator.
        let route = match answerer {
            Answerer::Replica => FORWARDED_ROUTE,
            Answerer::Balancer | Answerer::Operated => operator::route_of(parts.uri.path()),
        };
        let (name, underway) = self.requests.begin(&parts.method, route);
        let trace = self.requests.trace(name, &parts.method, route, &parts.headers);
        let admitted = self.admission.admit(&parts);
        let request = Request::from_parts(parts, body);
        let mut response = match admitted {
            Ok(place) => {
                let answering = Box::pin(self.answer_by(answerer, peer, place, request, &trace));
                trace.run(answering).await
            }
            Err(problem) => problem.to_http().map(Body::from),
        };
        self.requests.end(underway, &method, &mut response, trace);
        response
    }

    /// Has it answered. Of what is no look at the balancer itself, a client has no more than
    /// it may; a refusal of that holds no place while it waits.
    async fn answer_by(
        &self,
        answerer: Answerer,
        peer: &Peer,
        place: Option<OwnedSemaphorePermit>,
        mut request: Request<RequestBody>,
        trace: &RequestTrace,
    ) -> Response<Body> {
        let asked_for = self.clients.asked_for(peer.address, request.headers());
        if answerer == Answerer::Balancer {
            let network = ClientNetwork::of(asked_for.unwrap_or(peer.address));
            request.extensions_mut().insert(network);
            return self.answer_self(request).await;
        }
        // An operator is heard also while clients of the same address flood; who is none
        // counts as they do.
        let not_operator = if answerer == Answerer::Operated {
            match self.operators.check((peer.address, asked_for), &request) {
                Ok(()) => return self.answer_self(request).await,
                Err(problem) => Some(problem),
            }
        } else {
            None
        };
        let by_token = self.clients.of_token(request.headers());
        let client = by_token.or_else(|| asked_for.map(|address| self.clients.at(address)));
        let problem = match self.clients.admit(client.as_ref().unwrap_or(&peer.client)) {
            Ok(_held) => match not_operator {
                None => {
                    let learn = self.clients.to_learn(request.headers());
                    let is_contract = request.uri().path() == openapi::PATH;
                    let method = request.method().clone();
                    let answer = self.proxy.forward(peer.address, request, trace).await;
                    learn.iter().for_each(|learn| learn(&answer));
                    if is_contract {
                        return with_own_paths(&method, answer).await;
                    }
                    return answer;
                }
                Some(problem) => problem,
            },
            Err(Refused { reason, problem, pause }) => {
                drop(place);
                telemetry::attribute(trace.span(), "refused", reason.as_str());
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                problem
            }
        };
        refuse(request.method(), problem).to_http().map(Body::from)
    }

    async fn answer_self(&self, request: Request<RequestBody>) -> Response<Body> {
        let Ok(response) = self.own.call(request).await;
        response
    }
}

/// Says of what may have been meant as a mutation that it did not happen.
fn refuse(method: &Method, problem: Problem) -> Problem {
    if method.is_safe() { problem } else { problem.with_outcome(Outcome::NotApplied) }
}

fn own_routes(
    identity: Identity,
    endpoints: Arc<Endpoints>,
    proxy: Arc<Proxy>,
    mixups: Mixups,
) -> Router {
    let ready = {
        let endpoints = Arc::clone(&endpoints);
        move || {
            vec![
                Check::new(
                    "replicas",
                    endpoints.read(|pool| {
                        let lacks = if pool.healthy() == 0 {
                            Some("no replica is healthy")
                        } else if pool.able(Intent::LocalRead, To::Take) == 0 {
                            Some("all healthy replicas are drained at this balancer")
                        } else {
                            None
                        };
                        lacks.map(str::to_owned)
                    }),
                ),
                mixups.check(),
            ]
        }
    };
    Router::new()
        .route("/v1/status", get(status).route_layer(from_fn(refuse_all)))
        .with_state(Arc::new(StatusState { identity, endpoints, proxy }))
        .merge(health::routes(ready))
        .merge(console::routes())
}

/// `GET /v1/events`.
async fn follow(State(told): State<Arc<Events>>, parts: Parts) -> Result<Response<Body>, Problem> {
    std::future::ready(events::answer(&told, &parts)).await
}

struct StatusState {
    identity: Identity,
    endpoints: Arc<Endpoints>,
    proxy: Arc<Proxy>,
}

/// What the balancer says of itself in `GET /v1/status`.
#[derive(Debug, Serialize)]
struct BalancerStatus {
    /// Where mutations go, if it is known.
    primary: Option<Name>,
    /// How many endpoints get requests …
    healthy: usize,
    /// … and how many of them linearizable reads.
    linearizable: usize,
    /// Requests that wait for another primary or a replica.
    waiting: usize,
    /// Requests for replicas since the start.
    forwarded: u64,
    /// Attempts beyond a request's first.
    retries: u64,
    /// Requests answered with a problem of the balancer's own.
    refusals: u64,
    endpoints: Vec<EndpointStatus>,
}

#[derive(Debug, Serialize)]
struct EndpointStatus {
    id: Name,
    url: String,
    healthy: bool,
    health: &'static str,
    reads: Option<&'static str>,
    role: Option<&'static str>,
    epoch: Option<Epoch>,
    executed_slot: Option<Slot>,
    requests: u64,
    in_flight: u64,
    failures: u64,
    checks: u64,
    check_failures: u64,
}

impl EndpointStatus {
    fn of(pool: &Pool, endpoint: &Endpoint) -> Self {
        let (counts, report) = (endpoint.counts, endpoint.report.as_ref());
        Self {
            id: endpoint.member.name.clone(),
            url: endpoint.member.url.clone(),
            healthy: endpoint.health == Health::Healthy,
            health: endpoint.health.as_str(),
            reads: report.map(|_| Reads::as_str(pool.reads(endpoint))),
            role: report.map(|report| Role::as_str(report.role)),
            epoch: report.map(|report| report.epoch),
            executed_slot: report.and_then(|report| report.executed_slot),
            requests: counts.requests,
            in_flight: counts.in_flight,
            failures: counts.failures,
            checks: counts.checks,
            check_failures: counts.check_failures,
        }
    }
}

async fn status(State(own): State<Arc<StatusState>>) -> Json<Status<BalancerStatus>> {
    let measured = own.proxy.measured();
    let role = own.endpoints.read(|pool| {
        let primary = pool.primary().and_then(|id| pool.endpoint(id));
        let mut endpoints: Vec<EndpointStatus> =
            pool.endpoints().map(|endpoint| EndpointStatus::of(pool, endpoint)).collect();
        endpoints.sort_by(|one, other| one.id.cmp(&other.id));
        BalancerStatus {
            primary: primary.map(|endpoint| endpoint.member.name.clone()),
            healthy: pool.healthy(),
            linearizable: pool.able(Intent::Read, To::Take),
            waiting: own.endpoints.waiting(),
            forwarded: measured.requests(),
            retries: measured.retries.get(),
            refusals: measured.refusals.get(),
            endpoints,
        }
    });
    std::future::ready(Json(own.identity.status(role))).await
}
