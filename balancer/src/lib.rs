//! The balancer service: the front door. It keeps nothing, and any number of them may run
//! side by side.
//!
//! A client needs one address; which replicas there are, which of them answer, and which
//! one is primary is for the balancer to find out. Reads go to the replicas in turn,
//! since each serves linearizable reads unless it says that it can't; mutations go to the
//! primary. When a replica fails under a request, or is slow to answer a read, the request
//! goes to another one, a mutation by its key or the name that it has here, so that it
//! happens once; what is left open all the same is said to be left open (`outcome:
//! unknown`). While a primary or a leader is replaced and nobody can answer, requests wait,
//! a limited number of them and each within its time.
//!
//! ```text
//! acceptors' directory ──▶ health ──▶ pool ◀── endpoints ◀── proxy ◀── http ◀── client
//!                            │ checks          (the lock)     │
//!                            └────────────▶ replicas ◀────────┘
//! ```
//!
//! In reading order: [`pool`] (which replica gets the next request: the pure core),
//! `retry` (what may be sent again, pure), [`headers`] (what a proxy does to them, pure),
//! [`status`] (what a replica says of itself, pure), `clients` (what one client may
//! take), `endpoints` (the pool behind a lock), `health` (discovery and checks), `proxy`
//! (the way of a request), `operator` (what the operator sees and says), `operators`
//! (whose word that is), `http` (what is answered here, what is passed on), `openapi`
//! (the contract of both), `metrics`, `news` (what happens), `args` (the flags). The
//! connections to the replicas are those that all services speak to each other by
//! (`shared::client`).
//!
//! Deliberately absent: caches, because a linearizable read must ask; a queue where replicas
//! are merely busy, because a client that is refused at once can go elsewhere, and one that
//! waits cannot.

pub mod pool;

pub mod headers;
mod retry;
pub mod status;

mod clients;
mod endpoints;
mod health;
mod metrics;
mod news;
mod operators;

mod http;
mod openapi;
mod operator;
mod proxy;

mod args;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use anyhow::Context as _;
pub use args::Args;
use shared::discovery::{self, Acceptors, Discovered};
use shared::events::Events;
use shared::server::{Admission, serve_connections};
use shared::service::Running;
use shared::spans::Gather;
use tokio::sync::watch;

use crate::clients::Clients;
use crate::endpoints::Endpoints;
use crate::http::{Front, OwnService};
use crate::metrics::Measured;
use crate::news::News;
use crate::operators::Operators;
use crate::proxy::Proxy;

/// Runs a balancer until it is told to end.
///
/// # Errors
/// When no cluster can have these acceptors, or the listener fails for good.
pub async fn run(args: Args, mut running: Running) -> anyhow::Result<()> {
    let acceptors = args.acceptors.clients()?;
    let admission = Admission::new(args.server_limits(running.limits), running.hosts.clone())
        .with_tls(running.tls.clone());
    // It keeps nothing, and serves whatever cluster the acceptors are.
    let (_, of_no_cluster) = watch::channel(None);
    let Discovered { members, cluster, acceptors, mixups, withdrawn, .. } = discovery::spawn(
        running.member(),
        of_no_cluster,
        Acceptors::configured(&acceptors),
        running.shutdown.clone(),
    );
    let events = Events::start(
        running.instance,
        members.clone(),
        acceptors.clone(),
        mixups.clone(),
        running.shutdown.clone(),
    );
    let identity = running.identity.following(acceptors.clone());
    let gather = Gather::new(running.name.clone(), acceptors, members.clone());
    let news = Arc::new(News::new(Arc::clone(&events)));
    let endpoints = Endpoints::new(args.rules(), cluster);
    let clients = Clients::new(args.client_limits(), args.trusted_proxies.clone());
    let bound = running.listener.local_addr().context("the address that was bound")?;
    let operators = Operators::new(bound.ip(), args.operators.clone(), running.hosts.clone());
    let patience = args.patience();
    let measured = Measured::register(&mut running.metrics);
    metrics::expose(&mut running.metrics, Arc::clone(&endpoints), patience.max_waiting);
    metrics::expose_clients(&mut running.metrics, Arc::clone(&clients));
    let proxy = Arc::new(Proxy::new(
        running.name,
        Arc::clone(&endpoints),
        args.body_limits(),
        patience,
        args.hash_by(),
        measured,
        running.shutdown.clone(),
    ));
    let own = OwnService { identity, mixups, metrics: running.metrics, events, gather };
    let front =
        Front::new(own, Arc::clone(&endpoints), proxy, clients, operators, admission.clone());
    let serving = serve_connections(
        running.listener,
        |client| front.connection(client),
        &admission,
        running.shutdown,
    );
    let served = tokio::select! {
        served = serving => served.context("the listener failed"),
        () = health::keep(endpoints, members, args.pace(), news) => Ok(()),
    };
    if served.is_ok() {
        withdrawn.await.context("the task that announces this balancer broke")?;
    }
    served
}
