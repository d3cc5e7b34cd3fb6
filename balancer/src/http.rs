//! What the balancer answers itself, and what it passes on.

mod guard;
mod own;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::get;
use http::request::Parts;
use http::{Method, Request, Response, Uri};
use hyper::service::{Service as HyperService, service_fn};
use hyper_util::service::TowerToHyperService;
use shared::discovery::Mixups;
use shared::events::{self, Events};
use shared::message::Service;
use shared::metrics::Metrics;
use shared::openapi;
use shared::places::ClientNetwork;
use shared::problem::{Outcome, Problem};
use shared::server::{Admission, RequestBody, Requests, expose, with_fallbacks};
use shared::spans::{self, Gather, SpanScope};
use shared::status::Identity;
use shared::telemetry::{self, RequestTrace, Traced};
use tokio::sync::OwnedSemaphorePermit;

use self::guard::{Asker, Guard};
use self::own::own_routes;
use crate::clients::{Client, Clients, Refused};
use crate::endpoints::Endpoints;
use crate::openapi::with_own_paths;
use crate::operator::{self, Operated};
use crate::operators::Operators;
use crate::pool::Pool;
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
    guard: Arc<Guard>,
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
    /// The balancer, to whom a replica tells of the cluster, too.
    Guarded,
    /// The balancer, to those and to its operator.
    Shown,
    /// The balancer, whom its operator tells what to do.
    Operated,
    /// A replica.
    Replica,
}

/// Replicas answer the client API; what services say to each other is no business of
/// clients. The path is looked at as it came: a replica decodes nothing but keys, so what
/// is spelt otherwise is nothing to it either.
fn answerer_of(method: &Method, uri: &Uri) -> Answerer {
    let path = uri.path();
    if path == openapi::PATH {
        return Answerer::Replica;
    }
    let Some(below) = path.strip_prefix("/v1/") else { return Answerer::Balancer };
    let first = below.split('/').next().unwrap_or_default();
    match first {
        "balancer" if !method.is_safe() => Answerer::Operated,
        "balancer" => Answerer::Shown,
        // Services ask each other for their own.
        "spans" if asks_for_own_spans(uri.query()) => Answerer::Balancer,
        "events" | "spans" => Answerer::Guarded,
        "status" | "replication" | "succession" => Answerer::Balancer,
        _ => Answerer::Replica,
    }
}

/// Whether it is the spans of this service alone that are asked for. What is encoded may say
/// otherwise.
fn asks_for_own_spans(query: Option<&str>) -> bool {
    let parameters = || query.unwrap_or_default().split('&');
    let says_so = |parameter: &str| parameter == "of=service";
    let is_trace = |it: &str| it.starts_with("trace=") && !it.contains(['%', '+']);
    parameters().any(says_so) && parameters().all(|it| says_so(it) || is_trace(it))
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
        let own = TowerToHyperService::new(with_fallbacks(own, Service::Balancer));
        let guard = Guard::new(Arc::clone(&proxy));
        Arc::new(Self { own, proxy, guard, admission, clients, operators, requests })
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
        let answerer = answerer_of(request.method(), request.uri());
        let (parts, body) = request.into_parts();
        let method = parts.method.clone();
        // The routes of its own have no parameters but those of the operator.
        let route = match answerer {
            Answerer::Replica => FORWARDED_ROUTE,
            Answerer::Balancer | Answerer::Guarded | Answerer::Shown | Answerer::Operated => {
                operator::route_of(parts.uri.path())
            }
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
        if answerer != Answerer::Replica {
            let network = ClientNetwork::of(asked_for.unwrap_or(peer.address));
            request.extensions_mut().insert(network);
        }
        // An operator is heard also while clients of the same address flood; who is none
        // counts as they do.
        let operates = || self.operators.check((peer.address, asked_for), &request);
        let not_operator = match answerer {
            Answerer::Balancer => return self.answer_self(request).await,
            Answerer::Operated | Answerer::Shown => match operates() {
                Ok(()) => return self.answer_self(request).await,
                Err(problem) => Some(problem).filter(|_| answerer == Answerer::Operated),
            },
            Answerer::Guarded | Answerer::Replica => None,
        };
        let by_token = self.clients.of_token(request.headers());
        let client = by_token.or_else(|| asked_for.map(|address| self.clients.at(address)));
        let problem = match self.clients.admit(client.as_ref().unwrap_or(&peer.client)) {
            Ok(_held) => match (not_operator, answerer) {
                (None, Answerer::Replica) => return self.forward(peer, request, trace).await,
                (None, _) => return self.answer_guarded(peer, request, trace).await,
                (Some(problem), _) => problem,
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

    /// Has a replica answer it.
    async fn forward(
        &self,
        peer: &Peer,
        request: Request<RequestBody>,
        trace: &RequestTrace,
    ) -> Response<Body> {
        let learn = self.clients.to_learn(request.headers());
        let is_contract = request.uri().path() == openapi::PATH;
        let method = request.method().clone();
        let answer = self.proxy.forward(peer.address, request, trace).await;
        learn.iter().for_each(|learn| learn(&answer));
        self.guard.learn(&answer);
        if is_contract { with_own_paths(&method, answer).await } else { answer }
    }

    /// Answers it itself, to whom a replica would tell of the cluster.
    async fn answer_guarded(
        &self,
        peer: &Peer,
        request: Request<RequestBody>,
        trace: &RequestTrace,
    ) -> Response<Body> {
        let asker = Asker::of(peer.address, request.headers());
        if let Err(refused) = self.guard.check(&asker, trace).await {
            return refused;
        }
        let follows = request.uri().path() == events::PATH;
        let response = self.answer_self(request).await;
        if follows { self.guard.ending(response, asker) } else { response }
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

/// `GET /v1/events`.
async fn follow(State(told): State<Arc<Events>>, parts: Parts) -> Result<Response<Body>, Problem> {
    std::future::ready(events::answer(&told, &parts)).await
}
