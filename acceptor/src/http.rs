//! What an acceptor answers over HTTP. A refusal by the protocol is a 200; 4xx and 5xx
//! mean malformed or unavailable.
#![expect(clippy::disallowed_methods, reason = "the shell reads the clock")]

mod members;
mod refusals;
mod status;

use std::future::{Ready, ready};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{FromRequest as _, Query, Request, State};
use axum::middleware::from_fn;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Router};
use http::{Method, Uri};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use shared::deadline::Deadline;
use shared::health;
use shared::ids::{Ballot, ClusterId, Slot};
use shared::message::{
    Accept, KnownSuccession, Member, Prepare, Roster, SuccessionRequest, Watermarks,
};
use shared::problem::Problem;
use shared::query::refuse_all;
use shared::server::{Answering, Direct, RequestBody, Routes};
use shared::spans::{self, SpanScope};
use shared::status::Identity;
use shared::telemetry::{SpanNames, attribute};
use shared::wire::{BodyLimit, Reply, Wire};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Span;

use crate::directory::Members;
use crate::handle::{Durable, Handle};
use crate::http::refusals::{late, refused};

/// Health checks, status, the directory, watermarks and pages of votes make no spans:
/// they are polls.
pub(crate) const SPANS: SpanNames =
    &[("POST", "/v1/prepare", "acceptor.prepare"), ("POST", "/v1/accept", "acceptor.accept")];

/// Those routes.
pub(crate) const POLLS: &[(&str, &str)] = &[
    ("GET", "/v1/votes"),
    ("GET", "/v1/watermarks"),
    ("GET", "/v1/succession"),
    ("POST", "/v1/succession"),
    ("GET", "/v1/members"),
    ("PUT", "/v1/members/{name}"),
];

/// What replicas ask for with each linearizable read, or a few.
const WATERMARKS: &str = "/v1/watermarks";

/// The longest [`Accept`]: a leader packs about 8 MiB into one, or a single value. Three
/// times that in JSON. Bytes.
const ACCEPT_BYTES: usize = 32 << 20;

/// The longest [`Prepare`] or [`Announcement`](shared::message::Announcement). Bytes.
const SMALL_BYTES: usize = 4 << 10;

/// The longest [`SuccessionRequest`]: two rosters with their addresses. Bytes.
const SUCCESSION_BYTES: usize = 32 << 10;

/// The most votes in a page.
const MAX_PAGE: usize = 256;

/// Pages of votes that may be on their way at once: each takes up to 4 MiB, or one value,
/// until it is read. A refused coordinator or replica asks again.
const PAGES_AT_ONCE: usize = 32;

/// What the handlers work on.
pub(crate) struct Service {
    handle: Handle,
    identity: Identity,
    started: Instant,
    /// This acceptor as it stands in its own directory.
    own: Member,
    members: Mutex<Members>,
    pages: Arc<Semaphore>,
    log: LogFolder,
}

/// Where the log is.
pub(crate) struct LogFolder {
    pub(crate) path: PathBuf,
    /// What one more segment of it takes.
    pub(crate) segment_bytes: u64,
}

impl Service {
    pub(crate) fn new(
        handle: Handle,
        identity: Identity,
        own: Member,
        log: LogFolder,
    ) -> Arc<Self> {
        let (members, pages) = (Mutex::default(), Arc::new(Semaphore::new(PAGES_AT_ONCE)));
        Arc::new(Self { handle, identity, started: Instant::now(), own, members, pages, log })
    }

    /// A place for a page of votes, to be held until it is sent.
    fn page(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let full =
            |_| Problem::overloaded(format!("{PAGES_AT_ONCE} pages of votes are on their way"));
        Arc::clone(&self.pages).try_acquire_owned().map_err(full)
    }

    /// The cluster that it belongs to, on disk.
    fn cluster(&self) -> Option<ClusterId> {
        self.handle.durable().roster.as_ref().map(Roster::cluster)
    }
}

pub(crate) fn routes(service: Arc<Service>) -> Routes {
    let direct = Arc::clone(&service);
    let checks = {
        let service = Arc::clone(&service);
        move || service.checks()
    };
    let limited = |what, bytes| Extension(BodyLimit { what, bytes });
    let router = Router::new()
        .route("/v1/accept", post(accept).layer(limited("accept", ACCEPT_BYTES)))
        .route("/v1/prepare", post(prepare).layer(limited("prepare", SMALL_BYTES)))
        .route("/v1/votes", get(votes))
        .route(
            "/v1/succession",
            post(succession).layer(limited("succession", SUCCESSION_BYTES)).get(known_succession),
        )
        .route(WATERMARKS, get(watermarks))
        .route("/v1/members", get(members::members))
        .route(
            "/v1/members/{name}",
            put(members::announce).layer(limited("member", SMALL_BYTES)).delete(members::withdraw),
        )
        .route("/v1/status", get(status::status).route_layer(from_fn(refuse_all)))
        .merge(spans::routes(SpanScope::Service(service.own.name.clone())))
        .with_state(service)
        .merge(health::routes(checks));
    Routes::with_direct(router, direct)
}

async fn prepare(
    State(service): State<Arc<Service>>,
    reply: Reply,
    deadline: Deadline,
    Wire(message): Wire<Prepare>,
) -> Result<Response, Problem> {
    describe(message.ballot, Some(message.from));
    let place = service.page()?;
    let answer = deadline.bound(service.handle.prepare(message)).await.map_err(late)?;
    Ok(hold(place, reply.send(&answer.map_err(refused)?)))
}

async fn accept(
    State(service): State<Arc<Service>>,
    reply: Reply,
    deadline: Deadline,
    request: Request,
) -> Result<Response, Problem> {
    let held = service
        .handle
        .bytes()
        .reserve_body(request.headers(), ACCEPT_BYTES)
        .map_err(|spent| refused(spent.into()))?;
    let Wire(message) = Wire::<Accept>::from_request(request, &()).await?;
    describe(message.ballot, message.proposals.first().map(|proposal| proposal.slot));
    let answer = deadline.bound(service.handle.accept(message, held)).await.map_err(late)?;
    Ok(reply.send(&answer.map_err(refused)?))
}

/// Holds a place until the response is sent, or given up.
fn hold(place: OwnedSemaphorePermit, response: Response) -> Response {
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &place;
            frame
        }))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VotesQuery {
    #[serde(default)]
    from: u64,
    #[serde(default = "VotesQuery::whole_page")]
    limit: usize,
}

impl VotesQuery {
    fn whole_page() -> usize {
        MAX_PAGE
    }
}

async fn votes(
    State(service): State<Arc<Service>>,
    reply: Reply,
    deadline: Deadline,
    uri: Uri,
) -> Result<Response, Problem> {
    let query =
        Query::try_from_uri(&uri).map_err(|error| Problem::bad_request(error.body_text()))?;
    let Query(VotesQuery { from, limit }) = query;
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad_request(format!(
            "limit {limit} is not a number of votes from 1 to {MAX_PAGE}"
        )));
    }
    let place = service.page()?;
    let page = deadline.bound(service.handle.votes(Slot(from), limit)).await.map_err(late)?;
    Ok(hold(place, reply.send(&page.map_err(refused)?)))
}

async fn succession(
    State(service): State<Arc<Service>>,
    reply: Reply,
    deadline: Deadline,
    Wire(message): Wire<SuccessionRequest>,
) -> Result<Response, Problem> {
    let answer = deadline.bound(service.handle.succession(message)).await.map_err(late)?;
    Ok(reply.send(&answer.map_err(refused)?))
}

fn known_succession(State(service): State<Arc<Service>>, reply: Reply) -> Ready<Response> {
    ready(reply.send(&KnownSuccession { latest: service.handle.durable().succession }))
}

fn watermarks(State(service): State<Arc<Service>>, reply: Reply) -> Ready<Response> {
    ready(marks(&service, reply))
}

impl Direct for Service {
    fn route(&self, method: &Method, path: &str) -> Option<&'static str> {
        (method == Method::GET && path == WATERMARKS).then_some(WATERMARKS)
    }

    fn answer(self: Arc<Self>, request: http::Request<RequestBody>) -> Answering {
        let reply = Reply::of(request.headers());
        let answer = reply.map_or_else(Problem::into_response, |reply| marks(&self, reply));
        Box::pin(ready(answer))
    }
}

fn marks(service: &Service, reply: Reply) -> Response {
    let Durable { acceptor, draw, roster, promised, marks, heard, .. } = service.handle.durable();
    let leader_silent_ms = u64::try_from(heard.elapsed().as_millis()).unwrap_or(u64::MAX);
    reply.send(&Watermarks { acceptor, roster, draw, promised, marks, leader_silent_ms })
}

/// Names the ballot and the (first) slot in the request's span.
fn describe(ballot: Ballot, slot: Option<Slot>) {
    let span = Span::current();
    if !span.is_disabled() {
        attribute(&span, "ballot", ballot.to_string());
        if let Some(Slot(slot)) = slot {
            attribute(&span, "slot", i64::try_from(slot).unwrap_or(i64::MAX));
        }
    }
}

#[cfg(test)]
mod tests;
