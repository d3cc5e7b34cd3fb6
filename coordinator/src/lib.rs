//! The coordinator: the distinguished proposer. One leads (Phase 2), the others stand by
//! (Inactive). It gives every value its slot, has the acceptors vote, and counts; it
//! chooses nothing by itself and keeps nothing on disk.
//!
//! The core does no I/O and reads no clock. In reading order: [`effect`] (what goes in
//! and what comes out), [`coordinator`] (the state machine), [`membership`] with
//! [`membership::formation`] (who the acceptors are), `election` (when to try to lead),
//! [`phase1`] (a quorum's promises and the safe values), `phase2` with `liveness` (values in
//! flight), `replicas` (who is primary, and what may be trimmed), `succession` (other
//! acceptors), [`chosen_window`] and
//! [`recover`] (the chosen log for who fetches it), [`config`] (every limit),
//! [`footprint`] (states told apart, for a model checker). The shell: [`driver`] (performs
//! effects), `http`, `survey` (who is at an address, and who has heard), `metrics`, `args`.

pub mod effect;
mod ids;

pub mod coordinator;

pub mod membership;

mod election;

pub mod phase1;

mod liveness;
mod phase2;

mod replicas;

mod succession;

pub mod chosen_window;
pub mod recover;

pub mod config;

pub mod footprint;

pub mod driver;

mod hand_over;
mod http;
mod metrics;
mod survey;

mod args;

use std::sync::Arc;

use anyhow::Context as _;
pub use args::Args;
use shared::discovery::{Acceptors, presence};
use shared::ids::CoordinatorId;
use shared::message::{Member, Service};
use shared::server::{Doors, serve};
use shared::service::{Misconfigured, Running};
use shared::telemetry::Traced;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::driver::recovery::Recovery;
use crate::driver::{Around, Driver};
use crate::hand_over::hand_over;
use crate::http::{Front, POLLS, SPAN_NAMES, routes};
use crate::metrics::Measured;
use crate::survey::Surveyor;

/// Of the others, whoever may lead or be primary.
fn is_followed(own: CoordinatorId) -> impl Fn(&Member) -> bool {
    move |member| match member.service {
        Service::Replica => true,
        Service::Coordinator => member.instance.0 != own.0,
        Service::Acceptor | Service::Balancer => false,
    }
}

/// Runs a coordinator until it is told to end.
///
/// # Errors
/// When no cluster can have these acceptors, they are no longer those of the cluster, or
/// the listener fails for good.
pub async fn run(args: Args, mut running: Running) -> anyhow::Result<()> {
    let acceptors = args.acceptors.clients()?;
    // It is told to end, has another one lead, and ends.
    let (told, shutdown) = (running.shutdown.clone(), CancellationToken::new());
    let (config, own) = (args.config(), running.member());
    let id = CoordinatorId(running.instance.0);
    let max_value_bytes = config.max_accept_bytes;
    let measured = Measured::register(&mut running.metrics, &config);
    let (driver, handle) = Driver::new(config, id, acceptors.clone(), measured);
    metrics::expose(&mut running.metrics, handle.clone());
    let discovered = shared::discovery::spawn(
        running.member(),
        handle.cluster(),
        Acceptors::configured(&acceptors),
        shutdown.clone(),
    );
    let members = discovered.members.clone();
    let surveyor = Surveyor::new(id, members.clone());
    let acceptors = discovered.acceptors.clone();
    let ended = presence::follow(discovered.members, is_followed(id), shutdown.clone());
    let recovery = Recovery::new(handle.present_acceptors());
    let (admission, leading) = (running.admission(), handle.clone());
    let front = Front {
        id,
        name: running.name,
        identity: running.identity.following(acceptors.clone()),
        mixups: discovered.mixups,
        handle,
        recovery,
        surveyor: surveyor.clone(),
        acceptors: acceptors.clone(),
        changes: Arc::new(Semaphore::new(http::MAX_CHANGES)),
        max_value_bytes,
        shutdown: shutdown.clone(),
    };
    let server = async {
        let traced = Traced { service: Service::Coordinator, names: SPAN_NAMES, polls: POLLS };
        let served = serve(
            Doors::new(running.listener, running.internal),
            routes(front),
            traced,
            admission,
            running.metrics,
            shutdown.clone(),
        )
        .await;
        shutdown.cancel();
        served
    };
    let driving = async {
        let around = Around { processes: ended, acceptors, surveyor };
        let driven = driver.run(around, shutdown.clone()).await;
        shutdown.cancel();
        driven
    };
    let handing_over = async {
        if shutdown.run_until_cancelled(told.cancelled()).await.is_some() {
            hand_over(&leading, &own, &members).await;
            shutdown.cancel();
        }
    };
    let (served, driven, withdrawn, ()) =
        tokio::join!(server, driving, discovered.withdrawn, handing_over);
    driven.map_err(|wrong| Misconfigured(wrong.to_string()))?;
    withdrawn.context("the task that announces this coordinator broke")?;
    served.context("the listener failed")
}
