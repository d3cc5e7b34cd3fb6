//! A bounded HTTP/1.1 server.
//!
//! Everything that a client can make it hold has a limit: connections, requests at once,
//! header bytes, the time to send a header, and (in [`crate::wire`]) bodies and the time
//! to send them. Past a limit the client is refused at once.

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::message::Service;
use crate::problem::{Outcome, Problem};
use crate::status;
use crate::telemetry::{SpanNames, Traced, trace_requests};

/// What a server takes on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; one more is answered 503 and closed.
    pub connections: usize,
    /// Requests at once, over all connections; one more is answered 503. `/livez` and
    /// `/readyz` are not counted.
    pub requests: usize,
    /// Bytes of request line and header fields; more are answered 431.
    pub header_bytes: usize,
    /// How long a connection may take to send a header, and stay idle. Longer than
    /// clients keep idle connections, so that it is not the server who closes one just as
    /// a request is sent on it.
    pub header_timeout: Duration,
    /// How long requests may take to end once the server is told to.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            requests: 1_024,
            header_bytes: 16 * 1_024,
            header_timeout: Duration::from_secs(75),
            drain: Duration::from_secs(5),
        }
    }
}

/// Serves the routes until `shutdown`, then lets requests end within [`Limits::drain`].
///
/// Around every route: a span and `Trace-Id` ([`trace_requests`]), the limits, and
/// problems for unknown paths (404) and methods (405).
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    service: Service,
    names: SpanNames,
    limits: Limits,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let router = with_fallbacks(router)
        .layer(from_fn_with_state(Admission::new(limits), admit))
        .layer(from_fn_with_state(Traced { service, names }, trace_requests));
    let service = TowerToHyperService::new(router);
    serve_connections(listener, move |_| service.clone(), limits, shutdown).await
}

/// Answers unknown paths with 404 and unknown methods with 405, as problems.
pub fn with_fallbacks(router: Router) -> Router {
    router.fallback(no_such_path).method_not_allowed_fallback(no_such_method)
}

async fn no_such_path(method: Method, uri: Uri) -> Problem {
    let problem = Problem::not_found(format!("there is no {method} {} here", uri.path()));
    std::future::ready(nothing_applied(&method, problem)).await
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let problem =
        Problem::method_not_allowed(format!("{} does not know the method {method}", uri.path()));
    std::future::ready(nothing_applied(&method, problem)).await
}

/// Says of what may have been meant as a mutation that it did not happen.
fn nothing_applied(method: &Method, problem: Problem) -> Problem {
    if method.is_safe() { problem } else { problem.with_outcome(Outcome::NotApplied) }
}

/// The limits on requests, shared by all connections.
#[derive(Clone, Debug)]
pub struct Admission {
    limits: Limits,
    requests: Arc<Semaphore>,
}

impl Admission {
    /// Nothing admitted yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, requests: Arc::new(Semaphore::new(limits.requests)) }
    }

    /// A place for a request, to be held until it is answered.
    ///
    /// # Errors
    /// 431 for too long a header, 503 where all places are taken.
    pub fn admit(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Option<OwnedSemaphorePermit>, Problem> {
        if header_bytes(uri, headers) > self.limits.header_bytes {
            return Err(Problem::header_too_large(self.limits.header_bytes));
        }
        if let Some(coding) = unknown_transfer_coding(headers) {
            let detail = format!("the transfer coding {coding:?} is not known here, only chunked");
            return Err(Problem::new(
                StatusCode::NOT_IMPLEMENTED,
                "urn:synod:problem:not-implemented",
                "Not implemented",
                detail,
            ));
        }
        if ["/livez", "/readyz"].contains(&uri.path()) {
            return Ok(None);
        }
        let full = || {
            Problem::overloaded(format!(
                "{} requests are being served, the limit of this server",
                self.limits.requests
            ))
        };
        let place = Arc::clone(&self.requests).try_acquire_owned().map_err(|_| full())?;
        status::count_request();
        Ok(Some(place))
    }
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

async fn admit(State(admission): State<Admission>, request: Request, next: Next) -> Response {
    match admission.admit(request.uri(), request.headers()) {
        Ok(_place) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Accepts connections until `shutdown` and hands the requests of each to a hyper
/// service, which `make` makes for the client's address.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve_connections<M, S, B>(
    listener: TcpListener,
    make: M,
    limits: Limits,
    shutdown: CancellationToken,
) -> io::Result<()>
where
    M: Fn(SocketAddr) -> S,
    S: hyper::service::Service<http::Request<Incoming>, Response = http::Response<B>>
        + Send
        + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let places = Arc::new(Semaphore::new(limits.connections));
    let (connections, cut) = (TaskTracker::new(), CancellationToken::new());
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
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let connection = connection(stream, make(client), limits, shutdown.clone());
                let cut = cut.clone();
                connections.spawn(async move {
                    let _place = place;
                    cut.run_until_cancelled(connection).await
                });
            }
            Err(_) => refuse_connection(&stream, limits),
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
    service: S,
    limits: Limits,
    shutdown: CancellationToken,
) where
    S: hyper::service::Service<http::Request<Incoming>, Response = http::Response<B>>
        + Send
        + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn StdError + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let _best_effort = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        // hyper's own 431 has no body; up to here `admit` answers with a problem.
        .max_header_size(4 * limits.header_bytes)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
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
        tracing::warn!(%error, "cannot accept connections");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Says 503 as far as one write carries, and closes.
fn refuse_connection(stream: &TcpStream, limits: Limits) {
    let problem = Problem::overloaded(format!(
        "{} connections are open, the limit of this server",
        limits.connections
    ))
    .to_http();
    let body = String::from_utf8_lossy(problem.body());
    let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\nconnection: close";
    let text = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let _best_effort = stream.try_write(text.as_bytes());
}
