//! A replica from its flags to its end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use shared::datadir::DataDir;
use shared::discovery::{self, Acceptors, Discovered};
use shared::events::Events;
use shared::ids::{Instance, Name};
use shared::message::Service;
use shared::server::{Doors, Routes, serve};
use shared::service::{BeginAnew, Misconfigured, Removed, Running};
use shared::spans::Gather;
use shared::telemetry::Traced;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::args::Args;
use crate::driver::{self, DriverError, Handle, LockWaits, Parts};
use crate::followed::{self, Remembered};
use crate::http::{App, POLLS, SPANS, routes, tell_of_refusals, warn_of_open_door};
use crate::jwt::Issuer;
use crate::metrics::{self, Measured, Present};
use crate::replica::status::Identity;
use crate::snapshot::Shelf;
use crate::sql::Workers;
use crate::store::{self, StoreError};
use crate::switch_over::hand_over;
use crate::verification::{self, Digests, Diverged, Verification};
use crate::watch::Hub;

/// How long it is waited for that the connections are closed that read the state.
const READERS_END: Duration = Duration::from_secs(1);

/// Runs a replica until it is told to end.
///
/// # Errors
/// When the data directory is not this replica's or is damaged, the acceptors are of
/// another cluster, the disk fails, or the listener does.
pub async fn run(args: Args, mut running: Running) -> anyhow::Result<()> {
    let acceptors = args.acceptors.clients()?;
    let auth = args.auth.told(&mut running)?;
    let dir = DataDir::open(args.data_dir(), Service::Replica, &running.name)?;
    if let Some(why) = verification::diverged(dir.path()).context("the data directory")? {
        return Err(Misconfigured(why).into());
    }
    let read_connections = usize::try_from(args.read_connections).context("--read-connections")?;
    let store =
        store::open(dir.path(), &running.name, read_connections).await.map_err(|error| {
            if error.is_misconfiguration() {
                Misconfigured(error.to_string()).into()
            } else {
                anyhow::Error::from(error)
            }
        })?;
    if store.is_new && !dir.is_new() {
        let file = dir.join(store::FILE);
        tracing::warn!(file = %file.display(), "the state was missing or empty in a data directory \
            that is not new: everything is fetched again");
    }
    let meta = store.writer.meta();
    tracing::info!(executed_below = %meta.executed_below, revision = %meta.revision, hash = %meta.hash, "the state is opened");
    if store.cluster.is_none() {
        tracing::info!(
            acceptors = acceptors.len(),
            "this state is of no cluster yet: waiting for a quorum of acceptors to name theirs"
        );
    }
    // It is told to end, lets go of what it does as primary, and ends.
    let (told, ending) = (running.shutdown.clone(), CancellationToken::new());
    let (joined, cluster) = watch::channel(store.cluster);
    let flags = Acceptors::configured(&acceptors);
    let Remembered { acceptors: found, addresses } =
        followed::remembered(dir.path(), store.cluster, flags);
    let config = args.config(&found);
    let Discovered { members, acceptors, follow, mixups, withdrawn, .. } =
        discovery::spawn(running.member(), cluster.clone(), found, ending.clone());
    let (last_heard, addresses) = watch::channel(addresses);
    let folder = dir.path().to_owned();
    let remembering =
        followed::remember(folder, cluster, acceptors.clone(), members.clone(), last_heard);
    let events = Events::start(
        running.instance,
        members.clone(),
        acceptors.clone(),
        mixups.clone(),
        ending.clone(),
    );
    let watching = watch::Sender::default();
    let (measured, waits) =
        (Measured::register(&mut running.metrics), LockWaits::new(args.lock_waits()));
    let parts = Parts {
        config: config.clone(),
        identity: Identity {
            name: running.name.clone(),
            instance: running.instance,
            url: running.url.to_string(),
        },
        joined_at: store.joined_at,
        writer: store.writer,
        checkpointer: store.checkpointer,
        joined,
        waits: waits.clone(),
        watching: watching.subscribe(),
        dir: dir.path().to_owned(),
        fatal: store.fatal,
        acceptors: acceptors.clone(),
        follow,
        members: members.clone(),
        mixups: mixups.clone(),
        measured: measured.clone(),
        events: Arc::clone(&events),
    };
    // Requests that are under way when the process is told to end still need the driver,
    // so it is stopped after the server.
    let stop = CancellationToken::new();
    let (driver, driving) = driver::spawn(parts, stop.clone(), ending.clone());
    let admission = running.admission();
    let watches = Hub::start(
        store.reader.clone(),
        driver.watch(),
        watching,
        args.watch_limits(),
        ending.clone(),
    );
    let (file, folder) = (dir.join(store::FILE), dir.path().to_owned());
    let verification = Verification::new(verification::Parts {
        name: running.name.clone(),
        driver: driver.clone(),
        members: members.clone(),
        digests: Digests::new(file.clone(), driver.clone(), store.report_fatal),
        diverged: Diverged::new(dir.path(), ending.clone()),
        events: Arc::clone(&events),
        measured,
    });
    let verifying = Arc::clone(&verification).rounds(args.verify_every);
    let looking = issuer_keys(auth.issuer.clone());
    let present = Present {
        driver: driver.clone(),
        watches: Arc::clone(&watches),
        waits,
        config,
        file,
        folder,
    };
    metrics::expose(&mut running.metrics, present);
    let (name, instance) = (running.name, running.instance);
    let letting_go = let_go(driver.clone(), (name.clone(), instance), told, ending.clone());
    let warning = warn_of_open_door(driver.clone(), auth.services);
    let telling = tell_of_refusals(auth.refusals.clone(), Arc::clone(&events), name.clone());
    let app = Arc::new(App {
        gather: Gather::new(name.clone(), acceptors.clone(), members.clone()),
        events,
        name: name.clone(),
        url: running.url,
        instance,
        identity: running.identity.following(acceptors.clone()),
        driver,
        reader: store.reader,
        watches,
        acceptors,
        members,
        addresses,
        mixups,
        snapshots: Shelf::new(&name, dir.path(), &dir.join(store::FILE)),
        verification: Arc::clone(&verification),
        sql: Workers::new(dir.join(store::FILE), args.sql.limits()),
        limits: args.limits(),
        auth,
        bodies: args.bodies(),
        shutdown: ending.clone(),
    });
    let serving = serve(
        Doors::new(running.listener, running.internal),
        Routes::with_direct(routes(Arc::clone(&app)), Arc::clone(&app) as _)
            .naming(move || Some(app.driver.published().status.revision)),
        Traced { service: Service::Replica, names: SPANS, polls: POLLS },
        admission,
        running.metrics,
        ending.clone(),
    );
    let served = tokio::select! {
        served = serving => served.context("the listener failed"),
        gone = dir.gone(&[store::FILE]) => Err(gone.into()),
        never = letting_go => match never {},
        never = remembering => match never {},
        never = verifying => match never {},
        never = looking => match never {},
        never = telling => match never {},
        never = warning => match never {},
    };
    ending.cancel();
    // Whoever closes the state last copies all of its WAL, and removes it.
    if timeout(READERS_END, store.readers.wait()).await.is_err() {
        tracing::debug!("somebody reads the state yet: its WAL stays");
    }
    stop.cancel();
    let driven = driving.await.context("the driver broke")?;
    withdrawn.await.context("the task that announces this replica broke")?;
    // It explains whatever else has failed.
    dir.check()?;
    if let Some(why) = verification.why_diverged() {
        return Err(Misconfigured(why.to_owned()).into());
    }
    if let Err(state @ DriverError::NewState { .. }) = driven {
        store::adopt(dir.path()).context("the new state cannot be adopted")?;
        return Err(BeginAnew(state.to_string()).into());
    }
    driven.map_err(ended)?;
    served?;
    drop(dir);
    Ok(())
}

/// Keeps the keys of an issuer of JWTs up to date, where there is one.
async fn issuer_keys(issuer: Option<Arc<Issuer>>) -> Infallible {
    match issuer {
        Some(issuer) => issuer.keep_current().await,
        None => std::future::pending().await,
    }
}

/// Once the process is told to end: has another replica take over, and then all end.
async fn let_go(
    driver: Handle,
    (name, instance): (Name, Instance),
    told: CancellationToken,
    ending: CancellationToken,
) -> Infallible {
    told.cancelled().await;
    hand_over(&driver, (&name, instance)).await;
    ending.cancel();
    std::future::pending().await
}

/// Tells what starting again will not help from what it may.
fn ended(error: DriverError) -> anyhow::Error {
    match error {
        DriverError::Store(StoreError::Format(_))
        | DriverError::WrongHistory(_)
        | DriverError::WrongCluster { .. } => Misconfigured(error.to_string()).into(),
        DriverError::Removed(_) => Removed(error.to_string()).into(),
        DriverError::Store(_) | DriverError::ExecutorGone | DriverError::NewState { .. } => {
            error.into()
        }
    }
}
