//! A bounded HTTP/1.1 server.
//!
//! Everything that a client can make it hold has a limit: connections, requests at once,
//! header bytes, the time to send a header, to take an answer, and (in [`crate::wire`])
//! bodies and the time to send them. Past a limit the client is refused at once, and the
//! refusal reaches it.
//!
//! ```text
//! socket ─▶ (TLS) ─▶ mux: many short requests at once, of services of ours (to Requests)
//!             └▶ stream: heads judged, slow readers given up, a graceful end
//!             └▶ hyper ─▶ guard: refused heads, unread bodies
//!                           └▶ service ─▶ Requests: a trace, and what is counted
//!                               └▶ Admission: Host, Origin, header bytes, places
//!                                   └▶ routes, by the router or directly
//! ```

mod access;
mod admission;
mod body;
mod direct;
mod doors;
mod files;
mod guard;
mod head;
mod hosts;
mod mux;
mod origin;
mod refusal;
mod requests;
mod stream;
mod turn_away;

use std::convert::Infallible;
use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use bytes::BytesMut;
use futures::future::Either;
use http::uri::Authority;
use http::{Method, Request, Response, Uri};
use hyper::body::Body;
use hyper::server::conn::http1;
use hyper::service::{Service as HyperService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use access::turn_on as log_requests;
pub use admission::Admission;
pub use body::RequestBody;
pub use direct::{Answering, Direct, Routes};
pub use doors::Doors;
pub use files::{Files, connections_within};
pub use hosts::AllowedHosts;
pub use requests::{Requests, Underway};

use crate::message::Service;
use crate::metrics::{self, Metrics};
use crate::places::ClientNetwork;
use crate::problem::Problem;
use crate::server::admission::{Reason, admit, nothing_applied};
use crate::server::direct::Shortcut;
use crate::server::doors::ForClients;
use crate::server::guard::guard;
use crate::server::mux::{Multiplexed, Speaks};
use crate::server::refusal::Refusals;
use crate::server::requests::observe;
use crate::server::stream::ClientStream;
use crate::server::turn_away::TurnedAway;
use crate::telemetry::{Seldom, Traced};
use crate::tls::{self, Begun, Caller, Tls, Transport};

/// What a server takes on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; one more is answered 503 and closed.
    pub connections: usize,
    /// Requests at once, over all connections; one more is answered 503. `/livez`,
    /// `/readyz` and `/metrics` are not counted.
    pub requests: usize,
    /// Bytes of request line and header fields; more are answered 431.
    pub header_bytes: usize,
    /// How long a header may take from its first byte to its last; then 408.
    pub header_timeout: Duration,
    /// How long a connection may stay idle. Longer than clients keep idle connections, so
    /// that it is not the server who closes one just as a request is sent on it.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of what is written to it; then it is cut off.
    pub write_timeout: Duration,
    /// How long an answer waits for the rest of a body that nobody read.
    pub unread_timeout: Duration,
    /// How long requests may take to end once the server is told to.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            requests: 1_024,
            header_bytes: 16 * 1_024,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            unread_timeout: Duration::from_secs(5),
            drain: Duration::from_secs(5),
        }
    }
}

impl Limits {
    fn too_large_a_header(&self) -> Problem {
        Problem::header_too_large(format!("{} bytes", self.header_bytes))
    }
}

/// What the system holds of an answer that its client has not taken, in bytes, as far as
/// it lets us say: left to itself, it takes megabytes for each connection, and a client
/// that reads slowly seems not to read at all until it has taken a third of them.
const SEND_BUFFER_BYTES: usize = 128 << 10;

/// Serves the routes ([`Routes`], or a router alone) until `shutdown`, then lets requests end
/// within [`Limits::drain`].
///
/// On every request of the router: whose it is ([`ClientNetwork`]). Around every route: a span and
/// `Trace-Id`, what is counted of it ([`Requests`]), `Synod-Revision` where the routes know one, [`Admission`], and problems for unknown
/// paths (404) and methods (405). Beside them: `/metrics`.
///
/// # Errors
/// When a listener fails for good.
pub async fn serve(
    doors: impl Into<Doors>,
    routes: impl Into<Routes>,
    traced: Traced,
    admission: Admission,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let Routes { router, direct, newest } = routes.into();
    let asked = traced.service;
    let (requests, exposed) = expose(metrics, traced, &admission);
    let requests = Arc::new(requests.named_by(newest));
    let router = with_fallbacks(router.merge(exposed), asked)
        .layer(from_fn_with_state((asked, admission.clone()), admit))
        .layer(from_fn_with_state(Arc::clone(&requests), observe));
    let service = TowerToHyperService::new(router);
    let shortcut = direct
        .map(|direct| Arc::new(Shortcut { direct, asked, admission: admission.clone(), requests }));
    let multiplexed = |for_clients: Option<ForClients>| {
        shortcut.clone().map(|shortcut| Multiplexed { shortcut, for_clients })
    };
    let make = |for_clients: Option<ForClients>| {
        let (service, shortcut) = (service.clone(), shortcut.clone());
        move |client: SocketAddr| {
            let (service, shortcut) = (service.clone(), shortcut.clone());
            let network = ClientNetwork::of(client.ip());
            service_fn(move |mut request: Request<RequestBody>| {
                if let Some(for_clients) = for_clients {
                    request.extensions_mut().insert(for_clients);
                }
                let direct = shortcut
                    .as_ref()
                    .and_then(|shortcut| Some((Arc::clone(shortcut), shortcut.route(&request)?)));
                match direct {
                    Some((shortcut, route)) => {
                        let answer = shortcut.answer(route, request);
                        Either::Left(async move { Ok(answer.await) })
                    }
                    None => {
                        request.extensions_mut().insert(network);
                        Either::Right(service.call(request))
                    }
                }
            })
        }
    };
    match doors.into() {
        Doors { clients, services: None } => {
            accept(clients, (make(None), multiplexed(None)), &admission, shutdown).await
        }
        Doors { clients, services: Some(services) } => {
            let of_clients = (make(Some(ForClients)), multiplexed(Some(ForClients)));
            let of_services = (make(None), multiplexed(None));
            tokio::try_join!(
                accept(clients, of_clients, &admission, shutdown.clone()),
                accept(services, of_services, &admission, shutdown),
            )
            .map(|((), ())| ())
        }
    }
}

/// The route `/metrics` of a service that has filled its registry, and what else is counted
/// in it: of requests by their routes, and of the server itself.
pub fn expose(mut metrics: Metrics, traced: Traced, admission: &Admission) -> (Requests, Router) {
    let requests = Requests::new(traced, &mut metrics);
    admission.register(&mut metrics);
    (requests, metrics::routes(metrics))
}

/// Answers paths that this service does not have with 404 and unknown methods with 405, as problems. That is then all of
/// a service's routes, which the log tells where `RUST_LOG` has `shared::server=trace`: for tests
/// that must not miss one.
pub fn with_fallbacks(router: Router, asked: Service) -> Router {
    let no_such_path = move |method, uri| no_such_path(asked, method, uri);
    let router = router.fallback(no_such_path).method_not_allowed_fallback(no_such_method);
    tracing::trace!(?router, "all routes");
    router
}

/// What was asked for, in words: a request with a method of its own may name a host alone.
fn target(uri: &Uri) -> &str {
    match uri.path() {
        "" => uri.authority().map_or("", Authority::as_str),
        path => path,
    }
}

async fn no_such_path(asked: Service, method: Method, uri: Uri) -> Problem {
    let instead = match asked {
        Service::Acceptor => ": this is an acceptor, and a balancer or a replica may have it",
        Service::Coordinator => ": this is a coordinator, and a balancer or a replica may have it",
        Service::Replica | Service::Balancer => "",
    };
    let problem = format!("there is no {method} {} here{instead}", target(&uri));
    std::future::ready(nothing_applied(&method, Problem::not_found(problem))).await
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let problem =
        Problem::method_not_allowed(format!("{} does not know the method {method}", uri.path()));
    std::future::ready(nothing_applied(&method, problem)).await
}

/// Accepts connections until `shutdown` and hands the requests of each to a hyper
/// service, which `make` makes for the client's address. The service asks an
/// [`Admission`] before anything else.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve_connections<M, S, B>(
    listener: TcpListener,
    make: M,
    admission: &Admission,
    shutdown: CancellationToken,
) -> io::Result<()>
where
    M: Fn(SocketAddr) -> S,
    S: HyperService<Request<RequestBody>, Response = Response<B>, Error = Infallible>
        + Send
        + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    accept(listener, (make, None), admission, shutdown).await
}

/// The same, with who answers many requests on one connection, if anybody does.
async fn accept<M, S, B>(
    listener: TcpListener,
    (make, multiplexed): (M, Option<Multiplexed>),
    admission: &Admission,
    shutdown: CancellationToken,
) -> io::Result<()>
where
    M: Fn(SocketAddr) -> S,
    S: HyperService<Request<RequestBody>, Response = Response<B>, Error = Infallible>
        + Send
        + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let (limits, places) = (admission.limits(), admission.connections());
    let tls = admission.tls();
    let (connections, cut) = (TaskTracker::new(), CancellationToken::new());
    let turned_away = TurnedAway::new(limits);
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                after_accept_error(&error).await;
                continue;
            }
        };
        match Arc::clone(places).try_acquire_owned() {
            Ok(place) => {
                let (service, shutdown, cut) = (make(client), shutdown.clone(), cut.clone());
                let (tls, multiplexed) = (tls.cloned(), multiplexed.clone());
                connections.spawn(async move {
                    let _place = place;
                    let answering = (service, multiplexed);
                    let connection = connection(stream, tls, answering, limits, shutdown);
                    cut.run_until_cancelled(connection).await
                });
            }
            Err(_) => {
                admission.refused(Reason::Connections);
                if let Some(answering) = turned_away.answer(stream, tls.cloned()) {
                    let cut = cut.clone();
                    connections.spawn(async move { cut.run_until_cancelled(answering).await });
                }
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.drain, connections.wait()).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "requests did not end in time and are cut off"
        );
        cut.cancel();
        connections.wait().await;
    }
    Ok(())
}

async fn connection<S, B>(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    (service, multiplexed): (S, Option<Multiplexed>),
    limits: Limits,
    shutdown: CancellationToken,
) where
    S: HyperService<Request<RequestBody>, Response = Response<B>, Error = Infallible>
        + Send
        + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let _best_effort = stream.set_nodelay(true);
    let _best_effort = sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES);
    let (mut transport, caller) = match tls {
        None => (Transport::Plain(stream), None),
        Some(tls) => {
            let beginning = Box::pin(secure(stream, &tls, &limits));
            match shutdown.run_until_cancelled(beginning).await.flatten() {
                Some((transport, caller)) => (transport, Some(caller)),
                None => return,
            }
        }
    };
    let mut input = BytesMut::new();
    if let Some(multiplexed) = multiplexed {
        match mux::listen(&mut transport, &mut input, &limits, &shutdown).await {
            Speaks::Mux => {
                return multiplexed.serve(transport, input, caller, limits, shutdown).await;
            }
            Speaks::Http => {}
            Speaks::Nothing => return,
        }
    }
    let refusals = Arc::new(Refusals::default());
    let ends = caller.as_ref().and_then(Caller::ends);
    let service = guard(service, caller, Arc::clone(&refusals), limits);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout)
        .serve_connection(
            TokioIo::new(ClientStream::new(transport, input, limits, refusals)),
            service,
        );
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        // Whoever is at the other end has to prove anew who they are: what is under way is
        // answered, and nothing else.
        () = tls::over(ends) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Brings a connection to TLS; a client that speaks without is told so.
async fn secure(stream: TcpStream, tls: &Tls, limits: &Limits) -> Option<(Transport, Caller)> {
    match tls.begin(stream, limits).await {
        Begun::Secured(transport, caller) => Some((transport, caller)),
        Begun::Plain(stream) => {
            turn_away::say_within_its_time(Transport::Plain(stream), &Problem::takes_tls()).await;
            None
        }
        Begun::Ended => None,
    }
}

/// Errors of one connection are the client's; errors of the process (no file descriptors
/// left) pass only with time.
async fn after_accept_error(error: &io::Error) {
    let one_connection = [
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionRefused,
    ];
    if !one_connection.contains(&error.kind()) {
        static SAID: Seldom = Seldom::new();
        if let Some(left_out) = SAID.may() {
            tracing::warn!(%error, left_out, "cannot accept connections");
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

/// How long a server that cannot accept waits before it tries again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
