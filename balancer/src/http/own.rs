//! What the balancer answers of itself, as every service does: health, and its status.

use std::sync::Arc;

use axum::extract::State;
use axum::middleware::from_fn;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use shared::console;
use shared::discovery::Mixups;
use shared::health::{self, Check};
use shared::ids::{Epoch, Name, Slot};
use shared::query::refuse_all;
use shared::status::{Identity, Status};

use crate::endpoints::Endpoints;
use crate::pool::{Endpoint, Health, Intent, Pool, Reads, Role, To};
use crate::proxy::Proxy;

/// The routes of what every service answers, and of the console.
pub(super) fn own_routes(
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
            refusals: measured.refusals(),
            endpoints,
        }
    });
    std::future::ready(Json(own.identity.status(role))).await
}
