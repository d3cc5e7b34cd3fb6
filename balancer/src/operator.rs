//! What the operator sees and says: `/v1/balancer`.
//!
//! It is this balancer's own memory, and ends with its process; other balancers know
//! nothing of it. Of an endpoint it is by name, so that it outlives the endpoint's restart.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use http::{HeaderMap, Uri, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::deadline::Deadline;
use shared::ids::{Epoch, Name, Slot};
use shared::problem::{Outcome, Problem};
use shared::wire::{BodyLimit, Encoding, MediaType, read_body};

use crate::clients::{Clients, Limits};
use crate::endpoints::Endpoints;
use crate::pool::{Budget, Endpoint, Health, Order, Policy, Pool, Reads, Role, Service};

/// The routes, as they stand in metrics.
pub(crate) const SHOW: &str = "/v1/balancer";
pub(crate) const ENDPOINT: &str = "/v1/balancer/endpoints/{id}";
pub(crate) const POLICY: &str = "/v1/balancer/policy";

/// The longest thing that is said here.
const SAID: BodyLimit = BodyLimit { what: "word to a balancer", bytes: 4 << 10 };

/// What is shown and changed.
#[derive(Debug)]
pub(crate) struct Operated {
    pub(crate) id: Name,
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) clients: Arc<Clients>,
}

pub(crate) fn routes(operated: Operated) -> Router {
    Router::new()
        .route(SHOW, get(show))
        .route(ENDPOINT, put(order))
        .route(POLICY, put(policy))
        .with_state(Arc::new(operated))
}

/// The template of a path of these.
pub(crate) fn route_of(path: &str) -> &str {
    let below = path.strip_prefix("/v1/balancer/endpoints/");
    if below.is_some_and(|id| !id.is_empty() && !id.contains('/')) { ENDPOINT } else { path }
}

#[derive(Debug, Serialize)]
struct Shown {
    id: Name,
    zone: Option<Name>,
    policy: Policy,
    policies: [Policy; Policy::ALL.len()],
    primary: Option<Name>,
    /// From when on a read is hedged, and an answer slow.
    hedge_after_ms: Option<u64>,
    slow_after_ms: Option<u64>,
    retries: ShownBudget,
    hedges: ShownBudget,
    clients: ShownClients,
    endpoints: Vec<ShownEndpoint>,
}

#[derive(Debug, Serialize)]
struct ShownBudget {
    sent: u64,
    refused: u64,
    left: u64,
}

impl From<&Budget> for ShownBudget {
    fn from(budget: &Budget) -> Self {
        Self { sent: budget.spent(), refused: budget.refused(), left: budget.left() }
    }
}

#[derive(Debug, Serialize)]
struct ShownClients {
    remembered: usize,
    rate: Option<u32>,
    requests: Option<usize>,
    refused: u64,
}

#[derive(Debug, Serialize)]
struct ShownEndpoint {
    id: Name,
    url: String,
    zone: Option<Name>,
    /// Whether it gets linearizable reads in turn.
    #[serde(rename = "in")]
    is_in: bool,
    why: Vec<String>,
    /// Its share beside the others', as it is now.
    share: f64,
    /// What it says of itself.
    replica: Option<Said>,
    /// What requests show.
    requests: Seen,
    /// What the operator says.
    operator: ShownOrder,
}

#[derive(Debug, Serialize)]
struct Said {
    role: &'static str,
    reads: &'static str,
    epoch: Epoch,
    executed_slot: Option<Slot>,
    quorum_answers: bool,
    can_execute: bool,
    lag_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Seen {
    health: &'static str,
    ejected_for_ms: Option<u64>,
    ejections: u64,
    in_flight: u64,
    sent: u64,
    failures: u64,
}

#[derive(Debug, Serialize)]
struct ShownOrder {
    drain: bool,
    weight: u32,
}

impl From<Order> for ShownOrder {
    fn from(order: Order) -> Self {
        Self { drain: order.service == Service::Drained, weight: order.weight }
    }
}

/// The answer to what is said of an endpoint.
#[derive(Debug, Serialize)]
struct Ordered {
    id: Name,
    #[serde(flatten)]
    order: ShownOrder,
}

#[derive(Debug, Serialize)]
struct Shared {
    policy: Policy,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl ShownEndpoint {
    fn of(pool: &Pool, endpoint: &Endpoint, now: Duration) -> Self {
        let (standing, report) = (pool.standing(endpoint, now), endpoint.report.as_ref());
        let ejected = endpoint.record.ejected_until.map(|until| until.saturating_sub(now));
        Self {
            id: endpoint.member.name.clone(),
            url: endpoint.member.url.clone(),
            zone: report.and_then(|report| report.zone.clone()),
            is_in: standing.is_in,
            why: standing.why,
            share: f64::from(pool.weight(endpoint, now)) / 100.0,
            replica: report.map(|report| Said {
                role: Role::as_str(report.role),
                reads: Reads::as_str(pool.reads(endpoint)),
                epoch: report.epoch,
                executed_slot: report.executed_slot,
                quorum_answers: report.quorum_answers,
                can_execute: report.can_execute,
                lag_ms: report.lag.map(millis),
            }),
            requests: Seen {
                health: Health::as_str(endpoint.health),
                ejected_for_ms: ejected.map(millis),
                ejections: endpoint.counts.ejections,
                in_flight: endpoint.counts.in_flight,
                sent: endpoint.counts.requests,
                failures: endpoint.counts.failures,
            },
            operator: endpoint.order.into(),
        }
    }
}

async fn show(State(operated): State<Arc<Operated>>) -> Response {
    let now = operated.endpoints.now();
    let Limits { rate, requests, .. } = operated.clients.limits();
    let clients = ShownClients {
        remembered: operated.clients.remembered(),
        rate: rate.map(std::num::NonZeroU32::get),
        requests,
        refused: operated.clients.refused().iter().sum(),
    };
    let shown = operated.endpoints.read(|pool| {
        let primary = pool.primary().and_then(|id| pool.endpoint(id));
        let [retries, hedges] = pool.budgets();
        let [slow_after, hedge_after] = pool.slowness();
        let mut endpoints: Vec<ShownEndpoint> =
            pool.endpoints().map(|endpoint| ShownEndpoint::of(pool, endpoint, now)).collect();
        endpoints.sort_by(|one, other| one.id.cmp(&other.id));
        Shown {
            id: operated.id.clone(),
            zone: pool.zone().cloned(),
            policy: pool.policy(),
            policies: Policy::ALL,
            primary: primary.map(|endpoint| endpoint.member.name.clone()),
            hedge_after_ms: hedge_after.map(millis),
            slow_after_ms: slow_after.map(millis),
            retries: retries.into(),
            hedges: hedges.into(),
            clients,
            endpoints,
        }
    });
    std::future::ready(Json(shown).into_response()).await
}

/// What may be said of an endpoint; what is not said stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldOrder {
    drain: Option<bool>,
    weight: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldPolicy {
    policy: Policy,
}

async fn order(
    State(operated): State<Arc<Operated>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    answer(set_order(&operated, &id, request).await)
}

async fn policy(State(operated): State<Arc<Operated>>, request: Request) -> Response {
    answer(set_policy(&operated, request).await)
}

fn answer<T: Serialize>(result: Result<T, Problem>) -> Response {
    match result {
        Ok(said) => Json(said).into_response(),
        Err(problem) => problem.with_outcome(Outcome::NotApplied).into_response(),
    }
}

async fn set_order(operated: &Operated, id: &str, request: Request) -> Result<Ordered, Problem> {
    let told: ToldOrder =
        read(request, "{\"drain\": true, \"weight\": 3}, or one of the two").await?;
    let unknown = || Problem::not_found(format!("there is no endpoint {id:.80} here"));
    let name: Name = id.parse().map_err(|_| unknown())?;
    if told.drain.is_none() && told.weight.is_none() {
        return Err(Problem::bad_request("say \"drain\" or \"weight\", or both"));
    }
    if let Some(weight) = told.weight
        && !Order::WEIGHTS.contains(&weight)
    {
        let (least, most) = (Order::WEIGHTS.start(), Order::WEIGHTS.end());
        return Err(Problem::bad_request(format!(
            "the weight {weight} is not in {least} to {most}; to send an endpoint nothing, drain it"
        )));
    }
    let change = |before: Order| Order {
        service: match told.drain {
            Some(true) => Service::Drained,
            Some(false) => Service::Serving,
            None => before.service,
        },
        weight: told.weight.unwrap_or(before.weight),
    };
    let order = operated.endpoints.order(&name, change).ok_or_else(unknown)?;
    Ok(Ordered { id: name, order: order.into() })
}

async fn set_policy(operated: &Operated, request: Request) -> Result<Shared, Problem> {
    let told: ToldPolicy = read(request, "{\"policy\": \"least-in-flight\"}").await?;
    operated.endpoints.set_policy(told.policy);
    Ok(Shared { policy: told.policy })
}

/// Reads what is said, strictly.
async fn read<T: DeserializeOwned>(request: Request, form: &str) -> Result<T, Problem> {
    let (parts, body) = request.into_parts();
    let deadline = Deadline::of(&parts.headers)?;
    check(&parts.headers, &parts.uri)?;
    let body = deadline
        .bound(read_body(body, SAID))
        .await
        .map_err(|elapsed| Problem::timeout(format!("{elapsed} before the body was read")))??;
    // serde would take an array of the fields as well.
    let is_object = body.trim_ascii_start().starts_with(b"{");
    let told = Encoding::Json.decode::<T>(&body).map_err(|error| error.to_string());
    told.and_then(|told| is_object.then_some(told).ok_or_else(|| "it is no object".to_owned()))
        .map_err(|error| Problem::bad_request(format!("this is not {form}: {error}")))
}

fn check(headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match said.and_then(MediaType::of) {
        Some(MediaType::Spoken(Encoding::Json)) => {}
        Some(MediaType::Spoken(Encoding::Postcard) | MediaType::OtherVersion(_)) | None => {
            return Err(Problem::unsupported_media_type(
                "what is said to a balancer is JSON: send it with Content-Type: application/json",
            ));
        }
    }
    if uri.query().is_some() {
        return Err(Problem::bad_request("there are no parameters here"));
    }
    let condition = [header::IF_MATCH, header::IF_NONE_MATCH]
        .into_iter()
        .find(|name| headers.contains_key(name));
    match condition {
        Some(name) => {
            Err(Problem::bad_request(format!("{name} is about one key, not about a balancer")))
        }
        None => Ok(()),
    }
}
