//! What a replica answers over HTTP. Each request has a file of its own; what they share
//! stands beside them.
//!
//! Reading order: [`request`] (what a request says), `reading` (how new the state must
//! be), `paging` (pages and streams), `get`, `list`, `diff`, `log`, `sql`, `snapshot` and
//! `watching`; `mutate`, `append`, `txn`, `rollback`, `compact`, `leases` and `locks` (what
//! mutations say), `mutation` (what they come to) and `forward` (from a backup to the
//! primary); `tokens` and `policies` (who may do what), `authorize` (whether somebody may) and
//! `shown` (what of a list); `refused` (every way to say no); `replication`, `status`, `events`,
//! `cluster` and what is changed in one: `cluster::primary` (another one), `removal` (a replica
//! fewer), `acceptors` (others), `verify` (whether all have the same); `openapi` (all of it, for
//! programs).

mod append;
pub mod authorize;
mod cluster;
mod compact;
mod diff;
mod events;
pub(crate) mod forward;
mod get;
mod leases;
mod list;
mod locks;
mod log;
mod mutate;
pub(crate) mod mutation;
mod ndjson;
mod openapi;
mod paging;
mod policies;
mod reading;
mod refused;
mod render;
mod replication;
pub mod request;
mod rollback;
mod shown;
mod snapshot;
mod sql;
mod status;
mod tokens;
mod txn;
mod watching;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::IntoResponse as _;
use axum::routing::{MethodRouter, delete, get, post, put};
use http::Method;
use http::request::Parts;
use shared::byte_budget::ByteBudget;
use shared::config::BaseUrl;
use shared::console;
use shared::discovery::{self, Acceptors, Mixups};
use shared::events::Events;
use shared::health;
use shared::ids::{Instance, Name};
use shared::message::Member;
use shared::problem::{Outcome, Problem};
use shared::query::refuse_all;
use shared::server::{Answering, Direct, RequestBody};
use shared::spans::{self, Gather, SpanScope};
use shared::status::Identity;
use shared::telemetry::SpanNames;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::driver::Handle;
use crate::followed::Addresses;
pub(crate) use crate::http::authorize::{
    Auth, BeforeBootstrap, Refusals, Services, TELL_APART, tell_of_refusals, warn_of_open_door,
};
use crate::http::authorize::{guarded, require};
pub(crate) use crate::http::render::RenderedChange;
use crate::http::request::path::key_of_path;
use crate::http::request::tenure::lock_of_path;
use crate::snapshot::Shelf;
use crate::sql::Workers;
use crate::store::Reader;
use crate::verification::Verification;
use crate::watch::Hub;

/// Health checks, status and the copying of the log make no spans: they are polls.
pub(crate) const SPANS: SpanNames = &[
    ("GET", "/v1/kv/{*key}", "replica.get"),
    ("HEAD", "/v1/kv/{*key}", "replica.get"),
    ("PUT", "/v1/kv/{*key}", "replica.put"),
    ("DELETE", "/v1/kv/{*key}", "replica.delete"),
    ("GET", "/v1/kv", "replica.list"),
    ("DELETE", "/v1/kv", "replica.delete_prefix"),
    ("POST", "/v1/txn", "replica.txn"),
    ("POST", "/v1/rollback", "replica.rollback"),
    ("POST", "/v1/compact", "replica.compact"),
    ("POST", "/v1/leases", "replica.grant_lease"),
    ("GET", "/v1/leases", "replica.leases"),
    ("GET", "/v1/leases/{id}", "replica.lease"),
    ("DELETE", "/v1/leases/{id}", "replica.revoke_lease"),
    ("POST", "/v1/leases/{id}/renew", "replica.renew_lease"),
    ("PUT", "/v1/locks/{*name}", "replica.acquire_lock"),
    ("GET", "/v1/locks/{*name}", "replica.lock"),
    ("DELETE", "/v1/locks/{*name}", "replica.release_lock"),
    ("GET", "/v1/locks", "replica.locks"),
    ("POST", "/v1/replication/commands", "replica.command"),
    ("GET", "/v1/diff", "replica.diff"),
    ("POST", "/v1/log", "replica.append"),
    ("GET", "/v1/log", "replica.log"),
    ("GET", "/v1/log/{slot}", "replica.log"),
    ("GET", "/v1/snapshot", "replica.snapshot"),
    ("POST", "/v1/cluster/primary", "replica.switch_over"),
    ("POST", "/v1/cluster/acceptors", "replica.acceptors"),
    ("DELETE", "/v1/cluster/replicas/{id}", "replica.take_out"),
    ("POST", "/v1/cluster/verify", "replica.verify"),
    ("POST", "/v1/sql", "replica.sql"),
    ("GET", "/v1/watch", "replica.watch"),
    ("POST", "/v1/tokens", "replica.create_token"),
    ("GET", "/v1/tokens", "replica.tokens"),
    ("GET", "/v1/tokens/self", "replica.token"),
    ("POST", "/v1/tokens/bootstrap", "replica.bootstrap"),
    ("GET", "/v1/tokens/{accessor}", "replica.token"),
    ("DELETE", "/v1/tokens/{accessor}", "replica.delete_token"),
    ("GET", "/v1/policies", "replica.policies"),
    ("GET", "/v1/policies/{name}", "replica.policy"),
    ("PUT", "/v1/policies/{name}", "replica.put_policy"),
    ("DELETE", "/v1/policies/{name}", "replica.delete_policy"),
];

/// The routes without spans.
pub(crate) const POLLS: &[(&str, &str)] = &[
    ("GET", "/v1/replication/log"),
    ("GET", "/v1/replication/snapshot"),
    ("GET", "/v1/replication/digest"),
    ("POST", "/v1/replication/suspicions"),
    ("GET", "/v1/succession"),
    ("GET", "/v1/cluster"),
    ("GET", shared::events::PATH),
    ("GET", "/openapi.json"),
];

/// What a client may ask for; within the limits of the log's format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The longest key, in bytes.
    pub(crate) key_bytes: usize,
    /// The longest value, in bytes.
    pub(crate) value_bytes: usize,
    /// The most items in a page.
    pub(crate) page_items: usize,
    /// The longest transaction, in bytes.
    pub(crate) txn_bytes: usize,
    /// The most operations of a transaction, and the most guards.
    pub(crate) txn_operations: usize,
}

/// What the handlers work with.
#[derive(Debug)]
pub(crate) struct App {
    /// The name of this replica …
    pub(crate) name: Name,
    /// … and where it is reached …
    pub(crate) url: BaseUrl,
    /// … in this life of its process.
    pub(crate) instance: Instance,
    /// For the status.
    pub(crate) identity: Identity,
    /// The way to the core.
    pub(crate) driver: Handle,
    /// The way to the state.
    pub(crate) reader: Reader,
    /// Those who are told of changes.
    pub(crate) watches: Arc<Hub>,
    /// What happens in the cluster.
    pub(crate) events: Arc<Events>,
    /// The spans of all services.
    pub(crate) gather: Gather,
    /// The acceptors by now.
    pub(crate) acceptors: watch::Receiver<Acceptors>,
    /// The services that were heard from lately.
    pub(crate) members: watch::Receiver<Vec<Member>>,
    /// Where the replicas were heard of last.
    pub(crate) addresses: watch::Receiver<Addresses>,
    /// Which of them are mixed up.
    pub(crate) mixups: Mixups,
    /// The way to queries in SQL.
    pub(crate) sql: Workers,
    /// The whole state as files.
    pub(crate) snapshots: Arc<Shelf>,
    /// Whether all replicas have the same state.
    pub(crate) verification: Arc<Verification>,
    /// What a client may ask for …
    pub(crate) limits: Limits,
    /// … and which one.
    pub(crate) auth: Auth,
    /// The memory for what clients send.
    pub(crate) bodies: ByteBudget,
    /// Cancelled when the process is to end.
    pub(crate) shutdown: CancellationToken,
}

/// All routes of a replica.
pub(crate) fn routes(app: Arc<App>) -> Router {
    let clients = client_routes()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods))
        .layer(from_fn_with_state(Arc::clone(&app), require));
    let spans = spans::routes(SpanScope::OnRequest(app.gather.clone()))
        .layer(from_fn_with_state(Arc::clone(&app), require));
    let checks = {
        let app = Arc::clone(&app);
        move || {
            let acceptors = app.acceptors.borrow().clients.len();
            let mut checks = status::checks(&app.driver.published(), acceptors);
            checks.push(app.mixups.check());
            checks
        }
    };
    let acceptors = app.acceptors.clone();
    Router::new()
        .route("/v1/replication/log", get(replication::log))
        .route("/v1/replication/snapshot", get(snapshot::for_replica))
        .route("/v1/replication/digest", get(cluster::verify::digest))
        .route("/v1/replication/suspicions", post(cluster::verify::suspicions))
        .route("/v1/replication/commands", post(forward::commands))
        .route("/v1/status", get(status::status).route_layer(from_fn(refuse_all)))
        .merge(spans)
        .merge(clients)
        .with_state(app)
        .merge(discovery::routes(acceptors))
        .merge(health::routes(checks))
        .merge(console::routes())
}

/// What clients ask for; the file of each says what the contract says of it (`entries`).
fn client_routes() -> Vec<(&'static str, MethodRouter<Arc<App>>)> {
    vec![
        ("/v1/kv", get(list::list).delete(mutate::delete_prefix)),
        ("/v1/kv/", put(empty_key).get(empty_key).delete(empty_key)),
        (get::ROUTE, put(mutate::put).get(get::get).delete(mutate::delete)),
        ("/v1/diff", get(diff::diff)),
        ("/v1/txn", post(txn::txn)),
        ("/v1/rollback", post(rollback::rollback)),
        ("/v1/compact", post(compact::compact)),
        ("/v1/leases", post(leases::grant).get(leases::list)),
        ("/v1/leases/{id}", get(leases::get).delete(leases::revoke)),
        ("/v1/leases/{id}/renew", post(leases::renew)),
        ("/v1/locks", get(locks::list)),
        ("/v1/locks/", put(empty_name).get(empty_name).delete(empty_name)),
        ("/v1/locks/{*name}", put(locks::acquire).get(locks::get).delete(locks::release)),
        ("/v1/log", get(log::list).post(append::append)),
        ("/v1/log/{slot}", get(log::slot)),
        ("/v1/snapshot", get(snapshot::snapshot)),
        ("/v1/sql", post(sql::query)),
        ("/v1/watch", get(watching::watch)),
        ("/v1/tokens", post(tokens::create).get(tokens::list)),
        ("/v1/tokens/self", get(tokens::own)),
        ("/v1/tokens/bootstrap", post(tokens::bootstrap)),
        ("/v1/tokens/{accessor}", get(tokens::get).delete(tokens::delete)),
        ("/v1/policies", get(policies::list)),
        ("/v1/policies/{name}", put(policies::put).get(policies::get).delete(policies::delete)),
        ("/v1/cluster", get(cluster::cluster)),
        (shared::events::PATH, get(events::events)),
        ("/v1/cluster/primary", post(cluster::primary::primary)),
        ("/v1/cluster/acceptors", post(cluster::acceptors::acceptors)),
        ("/v1/cluster/replicas/{id}", delete(cluster::removal::remove)),
        ("/v1/cluster/verify", post(cluster::verify::verify)),
        ("/openapi.json", get(openapi::openapi).route_layer(from_fn(refuse_all))),
    ]
}

/// The path of a key without a key.
async fn empty_key(State(app): State<Arc<App>>, request: Request) -> Problem {
    let refused = key_of_path(request.uri().path(), app.limits.key_bytes);
    std::future::ready(not_there(&request, refused.err())).await
}

/// The path of a lock without a name.
async fn empty_name(request: Request) -> Problem {
    let refused = lock_of_path(request.uri().path());
    std::future::ready(not_there(&request, refused.err())).await
}

fn not_there(request: &Request, refused: Option<Problem>) -> Problem {
    let refused = refused.unwrap_or_else(|| Problem::not_found("there is nothing here"));
    if request.method().is_safe() { refused } else { refused.with_outcome(Outcome::NotApplied) }
}

/// Single keys are asked for most: read and written.
impl Direct for App {
    fn route(&self, method: &Method, path: &str) -> Option<&'static str> {
        let is_key = path.strip_prefix("/v1/kv/").is_some_and(|key| !key.is_empty());
        (is_key && (method == Method::GET || method == Method::PUT)).then_some(get::ROUTE)
    }

    fn answer(self: Arc<Self>, request: http::Request<RequestBody>) -> Answering {
        let (parts, body) = request.into_parts();
        Box::pin(async move {
            let answer = async |parts: Parts| match parts.method {
                Method::PUT => mutate::put_key(&self, parts, body).await,
                _ => get::answer(&self, &parts).await.into_response(),
            };
            guarded(&self, get::ROUTE, parts, answer).await
        })
    }
}
