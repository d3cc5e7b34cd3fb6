//! What the operator sees and says: `/v1/balancer`.
//!
//! It is this balancer's own memory, and ends with its process; other balancers know
//! nothing of it. Of an endpoint it is by name, so that it outlives the endpoint's restart.

mod shown;

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::middleware::from_fn;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use http::{HeaderMap, Uri, header};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::deadline::{Deadline, TIMEOUT};
use shared::fields::refuse_but_json;
use shared::ids::Name;
use shared::openapi::{Entry, content};
use shared::problem::{Outcome, Problem};
use shared::query::{Parameter, Query, refuse_all};
use shared::wire::{BodyLimit, Encoding, read_body};

use self::shown::{Ordered, Shared, Shown};
use crate::clients::Clients;
use crate::endpoints::Endpoints;
use crate::pool::{Order, Policy, Service};

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
        .route(SHOW, get(show).route_layer(from_fn(refuse_all)))
        .route(ENDPOINT, put(order))
        .route(POLICY, put(policy))
        .with_state(Arc::new(operated))
}

/// The template of a path of these.
pub(crate) fn route_of(path: &str) -> &str {
    let below = path.strip_prefix("/v1/balancer/endpoints/");
    if below.is_some_and(|id| !id.is_empty() && !id.contains('/')) { ENDPOINT } else { path }
}

/// What the contract says of them.
pub(crate) fn entries() -> Vec<Entry> {
    let own = |method, path, id, summary| Entry::own(method, path, (id, summary));
    let endpoint = Parameter::pattern("id", "^[a-z0-9-]{1,64}$", "replica-1");
    let shown = own("get", SHOW, "balancer", "What the balancer asks, and why.");
    let ordered =
        own("put", ENDPOINT, "order", "Says whether, and how much, an endpoint is asked.");
    let policy = own("put", POLICY, "setPolicy", "Says how reads are shared out.");
    let order = json!({"weight": 3, "drain": true});
    vec![
        shown.answers(200, "As it is now.", [content::json(&Shown::example())]),
        ordered
            .of(endpoint)
            .headers(&[TIMEOUT])
            .takes([content::sent::<ToldOrder>(order)])
            .answers(200, "What holds now.", [content::json(&Ordered::example())])
            .refused(&[404, 415]),
        policy
            .headers(&[TIMEOUT])
            .takes([content::sent::<ToldPolicy>(json!({"policy": "least-in-flight"}))])
            .answers(200, "It holds.", [content::json(&Shared { policy: Policy::LeastInFlight })])
            .refused(&[415]),
    ]
}

async fn show(State(operated): State<Arc<Operated>>) -> Response {
    std::future::ready(Json(Shown::of(&operated)).into_response()).await
}

/// What may be said of an endpoint; what is not said stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BalancerOrderRequest")]
struct ToldOrder {
    drain: Option<bool>,
    #[schemars(range(min = *Order::WEIGHTS.start(), max = *Order::WEIGHTS.end()))]
    weight: Option<u32>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BalancerPolicyRequest")]
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
    refuse_but_json(headers, "what is said to a balancer")?;
    Query::parse(uri.query(), &[])?;
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
