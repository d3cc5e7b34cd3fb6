//! The coordinator's routes. All logic is elsewhere.

mod acceptors;
mod endings;
mod proposals;
mod status;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use shared::deadline::Deadline;
use shared::discovery::{self, Acceptors, Mixups};
use shared::health::{self, Check};
use shared::ids::{ClusterId, CoordinatorId, Name, Slot};
use shared::message::{ChosenReply, Heartbeat, OfCluster, PrimaryRequest, Service, WantedPrimary};
use shared::problem::Problem;
use shared::query::refuse_all;
use shared::spans::{self, SpanScope};
use shared::status::Identity;
use shared::telemetry::SpanNames;
use shared::tls::Caller;
use shared::wire::{BodyLimit, Reply, Wire};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::coordinator::{ChosenLookup, Trouble};
use crate::driver::handle::{Handle, NoAnswer};
use crate::driver::recovery::Recovery;
use crate::recover::Wanted;
use crate::survey::Surveyor;
use shared::page::PageLimits;

/// The longest sign of life, in bytes: its view names up to 255 backups of 64 bytes, in
/// JSON at worst.
const HEARTBEAT_BYTES: usize = 64 << 10;

/// Requests for other acceptors that are looked at, or wait for what becomes of them, at once:
/// one is under way, and whoever asks for the same again waits with it.
pub(crate) const MAX_CHANGES: usize = 4;

/// The longest request for another primary, in bytes: two names and some numbers, in JSON.
const PRIMARY_REQUEST_BYTES: usize = 4 << 10;

/// The most entries in one answer to a fetch.
const MAX_PAGE_ENTRIES: usize = 1_024;

/// The most bytes of values in one answer to a fetch, if more than one.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// The longest that a fetch waits for something to be chosen.
const MAX_FETCH_WAIT: Duration = Duration::from_secs(10);

/// The spans of the routes. Signs of life and fetches have none: they belong to no
/// request.
pub(crate) const SPAN_NAMES: SpanNames = &[
    ("POST", "/v1/proposals", "coordinator.propose"),
    ("POST", "/v1/endings", "coordinator.take_over"),
    ("POST", "/v1/primary", "coordinator.switch_over"),
    ("POST", "/v1/acceptors", "coordinator.acceptors"),
];

/// Those routes.
pub(crate) const POLLS: &[(&str, &str)] =
    &[("GET", "/v1/chosen"), ("POST", "/v1/heartbeats"), ("GET", "/v1/succession")];

/// What handlers need.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    pub(crate) id: CoordinatorId,
    pub(crate) name: Name,
    pub(crate) identity: Identity,
    /// Which of the services are mixed up.
    pub(crate) mixups: Mixups,
    pub(crate) handle: Handle,
    pub(crate) recovery: Recovery,
    pub(crate) surveyor: Surveyor,
    /// The changes of the acceptors that are known here.
    pub(crate) acceptors: watch::Receiver<Acceptors>,
    /// Requests for other acceptors that are looked at, or wait: at most [`MAX_CHANGES`].
    pub(crate) changes: Arc<Semaphore>,
    pub(crate) max_value_bytes: usize,
    pub(crate) shutdown: CancellationToken,
}

/// The routes.
pub(crate) fn routes(front: Front) -> Router {
    let (handle, mixups) = (front.handle.clone(), front.mixups.clone());
    let acceptors = front.acceptors.clone();
    let body =
        BodyLimit { what: "proposal", bytes: front.max_value_bytes + proposals::PROPOSAL_OVERHEAD };
    let places = (front.handle.clone(), Arc::new(Semaphore::new(proposals::WAITING_PROPOSALS)));
    let sign_of_life = BodyLimit { what: "heartbeat", bytes: HEARTBEAT_BYTES };
    let end = BodyLimit { what: "word of an end", bytes: endings::ENDING_BYTES };
    let other_primary =
        BodyLimit { what: "request for another primary", bytes: PRIMARY_REQUEST_BYTES };
    let other_acceptors =
        BodyLimit { what: "request for other acceptors", bytes: acceptors::REQUEST_BYTES };
    let proposals = post(proposals::propose)
        .layer(axum::Extension(body))
        .layer(from_fn_with_state(places, proposals::admit_proposal));
    Router::new()
        .route("/v1/proposals", proposals)
        .route("/v1/chosen", get(chosen))
        .route("/v1/heartbeats", post(heartbeat).layer(axum::Extension(sign_of_life)))
        .route("/v1/endings", post(endings::ending).layer(axum::Extension(end)))
        .route("/v1/primary", post(primary).layer(axum::Extension(other_primary)))
        .route("/v1/acceptors", post(acceptors::acceptors).layer(axum::Extension(other_acceptors)))
        .route("/v1/status", get(status::status).route_layer(from_fn(refuse_all)))
        .merge(spans::routes(SpanScope::Service(front.name.clone())))
        .with_state(front)
        .merge(discovery::routes(acceptors))
        .merge(health::routes(move || {
            let waiting = handle.waiting_for().map(|what| format!("waiting for {what}"));
            let lost = handle.troubles().into_iter().find_map(|trouble| match trouble {
                Trouble::VotesLost(what)
                | Trouble::SlotsLost(what)
                | Trouble::TwoHistories(what) => Some(what),
                // It can do its work yet: `warnings` of the status have it.
                Trouble::TrimmingHeldUp(_) => None,
            });
            vec![Check::new("acceptors", waiting), Check::new("history", lost), mixups.check()]
        }))
}

async fn heartbeat(
    State(front): State<Front>,
    caller: Caller,
    reply: Reply,
    Wire(heartbeat): Wire<Heartbeat>,
) -> Result<Response, Problem> {
    caller.must_be(Service::Replica, &heartbeat.replica)?;
    let cluster = front.handle.same_cluster(heartbeat.cluster).map_err(Problem::of_cluster)?;
    let answer = front.handle.heartbeat(heartbeat).await.map_err(no_answer)?;
    let answer = answer.map_err(|too_far| Problem::bad_request(too_far.to_string()))?;
    Ok(reply.send(&OfCluster::new(cluster, answer)))
}

async fn primary(
    State(front): State<Front>,
    caller: Caller,
    deadline: Deadline,
    reply: Reply,
    Wire(request): Wire<PrimaryRequest>,
) -> Result<Response, Problem> {
    match &request.wanted {
        WantedPrimary::Another { than, .. } => caller.must_be(Service::Replica, than)?,
        // What an operator asked a replica for.
        WantedPrimary::Replica(_) | WantedPrimary::Without { .. } => {}
    }
    let cluster = front.handle.same_cluster(request.cluster).map_err(Problem::of_cluster)?;
    let answer = front.handle.primary(request, deadline.remaining()).await.map_err(no_answer)?;
    Ok(reply.send(&OfCluster::new(cluster, answer)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fetch {
    cluster: ClusterId,
    from: Slot,
    limit: Option<usize>,
    wait_ms: Option<u64>,
}

impl<S: Send + Sync> FromRequestParts<S> for Fetch {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut http::request::Parts,
        state: &S,
    ) -> Result<Self, Problem> {
        let query: Result<Query<Self>, QueryRejection> =
            Query::from_request_parts(parts, state).await;
        let Query(fetch) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
        if fetch.limit.is_some_and(|limit| !(1..=MAX_PAGE_ENTRIES).contains(&limit)) {
            return Err(Problem::bad_request(format!(
                "limit is a number from 1 to {MAX_PAGE_ENTRIES}"
            )));
        }
        Ok(fetch)
    }
}

async fn chosen(
    State(front): State<Front>,
    reply: Reply,
    fetch: Fetch,
) -> Result<Response, Problem> {
    let cluster = front.handle.same_cluster(fetch.cluster).map_err(Problem::of_cluster)?;
    let limits =
        PageLimits { items: fetch.limit.unwrap_or(MAX_PAGE_ENTRIES), bytes: MAX_PAGE_BYTES };
    let wait = Duration::from_millis(fetch.wait_ms.unwrap_or(0)).min(MAX_FETCH_WAIT);
    let found = tokio::select! {
        () = front.shutdown.cancelled() => Err(NoAnswer::Ending),
        found = front.handle.chosen(fetch.from, limits, wait) => found,
    };
    let answer = match found {
        Ok(ChosenLookup::Here(answer)) => answer,
        Ok(ChosenLookup::Older { roster, from, below, chosen_below }) => {
            front.recovery.recover(Wanted { roster, from, below, chosen_below, limits }).await
        }
        Err(NoAnswer::Ending) => ChosenReply::Unavailable,
        Err(busy @ NoAnswer::Busy) => return Err(no_answer(busy)),
    };
    Ok(reply.send(&OfCluster::new(cluster, answer)))
}

fn no_answer(reason: NoAnswer) -> Problem {
    match reason {
        NoAnswer::Busy => Problem::overloaded(reason),
        NoAnswer::Ending => Problem::unavailable(reason.to_string()),
    }
}
