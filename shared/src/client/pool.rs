//! The connections to other services: the one way by which a service speaks HTTP to another.
//!
//! HTTP/1.1 on hyper's connections, one request at a time on each. A connection goes back
//! to the idle ones once the answer on it was read whole ([`AnswerBody`]), and the one that
//! came back last is taken first, so that those that are not needed grow old and are closed
//! ([`PoolLimits::idle_timeout`]). Nothing is retried but a request of which no byte was
//! written, because the connection that it was to go on had been closed meanwhile.
//!
//! Short requests that many send at once go together on a connection of their own kind, where
//! the other side knows how ([`Connections::send_short`], [`crate::mux`]).
//!
//! Requests come in origin form (`/path?query`); the field `Host` is set here.

#![expect(clippy::disallowed_methods, reason = "it reads the clock: idle connections grow old")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use tokio::time::Instant;

use rustls::pki_types::ServerName;

use super::answer::AnswerBody;
use super::connection;
use super::lane::Failed;
use super::lanes::Lanes;
use super::sender::Sender;
use super::stream::NotTaken;
use crate::base_url::{BaseUrl, BaseUrlError};
use crate::byte_budget::ByteBudget;
use crate::message::Service;
use crate::tls::{Calls, Trust};

/// How long a connection may take to open, its name looked up and all its addresses tried:
/// on one's own network it takes less, or nobody is there.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// How long an idle connection is kept: less than a server keeps it, so that it is not
/// closed just as a request is sent on it.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Idle connections kept to each service.
pub const MAX_IDLE: usize = 256;

/// The memory of short answers that nobody has read yet, over all services, in bytes.
const ANSWERS_BYTES: usize = 64 << 20;

/// How many connections are kept, and how long.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// See [`CONNECT_TIMEOUT`].
    pub connect_timeout: Duration,
    /// See [`IDLE_TIMEOUT`].
    pub idle_timeout: Duration,
    /// See [`MAX_IDLE`].
    pub max_idle: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { connect_timeout: CONNECT_TIMEOUT, idle_timeout: IDLE_TIMEOUT, max_idle: MAX_IDLE }
    }
}

/// Why a request has no answer: above all whether it may have been carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No byte of it was sent: there was no connection, or it was closed before.
    #[error("{0}")]
    NeverSent(String),
    /// The other side closed before it had taken the request whole, and without an answer.
    #[error("{0}")]
    NotTaken(String),
    /// The connection broke, or said something that isn't HTTP, before the answer's
    /// header was read.
    #[error("{0}")]
    Broken(String),
}

/// Connections, by the URLs of those whom they lead to.
#[derive(Debug)]
pub struct Pool {
    limits: PoolLimits,
    calls: Calls,
    answers: ByteBudget,
    peers: Mutex<Peers>,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            limits: PoolLimits::default(),
            calls: Calls::default(),
            answers: ByteBudget::new(ANSWERS_BYTES),
            peers: Mutex::default(),
        }
    }
}

/// By who is called, as far as that is known, and where.
type Peers = BTreeMap<(Option<Service>, String), Arc<Connections>>;

impl Pool {
    /// A pool of its own limits. No connection is made yet.
    #[must_use]
    pub fn new(limits: PoolLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The same, which calls services so.
    #[must_use]
    pub fn calling(self, calls: Calls) -> Self {
        Self { calls, ..self }
    }

    /// The pool that everything in this process shares.
    #[must_use]
    pub fn of_process() -> &'static Self {
        static POOL: LazyLock<Pool> =
            LazyLock::new(|| Pool::default().calling(Calls::of_process()));
        &POOL
    }

    /// The connections to a service, whichever it is, by its URL. No connection is made yet.
    ///
    /// # Errors
    /// [`SendError::NeverSent`] where the text cannot be a service's URL.
    pub fn to(&self, url: &str) -> Result<Arc<Connections>, SendError> {
        self.to_a(None, url)
    }

    /// The same, to one that must prove to be such a service, where services know each other
    /// by their certificates.
    ///
    /// # Errors
    /// As [`Pool::to`].
    pub fn to_a(&self, called: Option<Service>, url: &str) -> Result<Arc<Connections>, SendError> {
        let mut peers = self.lock();
        let key = (called, url.to_owned());
        if let Some(connections) = peers.get(&key) {
            return Ok(Arc::clone(connections));
        }
        let of_service: BaseUrl =
            url.parse().map_err(|error: BaseUrlError| SendError::NeverSent(error.to_string()))?;
        let authority = of_service.authority();
        let host = HeaderValue::from_str(authority)
            .map_err(|_| SendError::NeverSent(format!("{authority:?} is no host and port")))?;
        let tls = tls_to(&self.calls, &of_service);
        // Nobody asks those any more, and no connection to them is open.
        peers.retain(|_, connections| Arc::strong_count(connections) > 1);
        let connections = Arc::new(Connections {
            authority: authority.to_owned(),
            host,
            called,
            tls,
            limits: self.limits,
            idle: Mutex::default(),
            lanes: Lanes::new(self.answers.clone()),
        });
        peers.insert(key, Arc::clone(&connections));
        Ok(connections)
    }

    /// To how many services connections are kept, or may be.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().expect("a panic under the lock ends the process")
    }
}

/// The connections to one service.
#[derive(Debug)]
pub struct Connections {
    authority: String,
    host: HeaderValue,
    /// What whoever answers must be.
    called: Option<Service>,
    /// What is believed of whoever answers, and the name that it must prove; none without
    /// TLS. Or why it cannot be called at all.
    tls: Result<Option<(Trust, ServerName<'static>)>, String>,
    limits: PoolLimits,
    /// In the order in which they came back.
    idle: Mutex<Vec<Idle>>,
    /// Those on which short requests go together.
    lanes: Lanes,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    since: Instant,
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    FromIdle,
    JustOpened,
}

impl Connections {
    /// Sends a request and waits for the answer's header. A request that finds its idle
    /// connection closed before a byte was written is sent on another one: at most once for
    /// each idle connection, and then on a new one.
    ///
    /// Dropped before it has ended, or with the answer's body dropped midway, it closes the
    /// connection.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(
        self: &Arc<Self>,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<AnswerBody>, SendError> {
        request.headers_mut().insert(header::HOST, self.host.clone());
        loop {
            let (mut sender, taken) = match self.take_idle() {
                Some(sender) => (sender, Taken::FromIdle),
                None => (connection::open(self).await?, Taken::JustOpened),
            };
            let mut failed = match sender.try_send_request(request).await {
                Ok(answer) => {
                    return Ok(answer.map(|body| AnswerBody::new(body, sender, Arc::clone(self))));
                }
                Err(failed) => failed,
            };
            // hyper gives a request back only where it had not begun to write it.
            request = match (failed.take_message(), taken) {
                (Some(request), Taken::FromIdle) => request,
                (Some(_), Taken::JustOpened) => {
                    return Err(SendError::NeverSent(root_cause(&failed.into_error())));
                }
                (None, _) => return Err(broken_off(&failed.into_error())),
            };
        }
    }

    /// Sends a request that is short and has a short answer, as a rule: together with others on
    /// one connection, where the other side knows how and takes it. Otherwise it goes as any
    /// request does. Dropped before it has ended, the other side stops working on it.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send_short(
        self: &Arc<Self>,
        mut request: Request<Bytes>,
    ) -> Result<Response<AnswerBody>, SendError> {
        request.headers_mut().insert(header::HOST, self.host.clone());
        let request = match self.lanes.send(self, request).await {
            Ok(answer) => return Ok(answer),
            Err(Failed::Broken(reason)) => return Err(SendError::Broken(reason)),
            Err(Failed::NotTaken(request)) => *request,
        };
        self.send(request.map(Full::new)).await
    }

    /// Whether it can be called at all, by what its URL says and what is believed here.
    ///
    /// # Errors
    /// Why not, in words. Trying again does not help.
    pub fn check(&self) -> Result<(), String> {
        self.tls().map(drop).map_err(str::to_owned)
    }

    /// How many connections are idle.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn tls(&self) -> Result<Option<&(Trust, ServerName<'static>)>, &str> {
        self.tls.as_ref().map(Option::as_ref).map_err(String::as_str)
    }

    pub(super) fn called(&self) -> Option<Service> {
        self.called
    }

    /// Host and port.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    pub(super) fn limits(&self) -> PoolLimits {
        self.limits
    }

    pub(super) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// Keeps a connection on which everything was read, if there is room for it.
    pub(super) fn put_back(&self, sender: Sender) {
        let mut idle = self.lock();
        if !sender.is_closed() && idle.len() < self.limits.max_idle {
            idle.push(Idle { sender, since: Instant::now() });
        }
    }

    /// Closes what was idle for too long, and says when to look again. Each connection's
    /// task looks, so that it is done as long as there is one.
    pub(super) fn sweep(&self) -> Instant {
        let mut idle = self.lock();
        let now = Instant::now();
        idle.retain(|idle| !idle.sender.is_closed() && !self.is_too_old(idle, now));
        idle.first().map_or(now, |oldest| oldest.since) + self.limits.idle_timeout
    }

    /// The connection that came back last and can take a request. One whose last answer
    /// was just read may need a moment yet, and is passed over.
    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.lock();
        let now = Instant::now();
        for at in (0..idle.len()).rev() {
            if idle[at].sender.is_closed() || self.is_too_old(&idle[at], now) {
                idle.remove(at);
            } else if idle[at].sender.is_ready() {
                return Some(idle.remove(at).sender);
            }
        }
        None
    }

    fn is_too_old(&self, idle: &Idle, now: Instant) -> bool {
        now >= idle.since + self.limits.idle_timeout
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().expect("a panic under the lock ends the process")
    }
}

/// What to call a service with.
fn tls_to(calls: &Calls, url: &BaseUrl) -> Result<Option<(Trust, ServerName<'static>)>, String> {
    let Some(trust) = calls.to(url)? else { return Ok(None) };
    let authority = url.authority();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _port)| host);
    // An address of IPv6 has brackets in a URL only.
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("{host}: {error}"))?;
    Ok(Some((trust.clone(), name)))
}

/// What it means that a request that was begun has no answer.
fn broken_off(error: &hyper::Error) -> SendError {
    let is_not_taken = causes(error).any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.and_then(std::io::Error::get_ref).is_some_and(|inner| inner.is::<NotTaken>())
    });
    let reason = root_cause(error);
    if is_not_taken { SendError::NotTaken(reason) } else { SendError::Broken(reason) }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The innermost reason: the outer ones say only that a request failed.
pub(super) fn root_cause(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map_or_else(String::new, ToString::to_string)
}
