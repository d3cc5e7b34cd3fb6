//! `synod up`: a whole cluster on 127.0.0.1, each service a child process, and nothing
//! left behind.
//!
//! What is checked comes before anything is started: the data directory is writable and
//! nobody else's, every port is free. Then all services start at once, and when a
//! mutation has gone all the way through the balancer and back, what to do with the
//! cluster is printed. From then on this process restarts what dies, until a signal ends
//! it and everything with it.
//!
//! Children end with this process whatever ends it: each holds the reading end of a pipe
//! whose writing end only this process has, and takes its end for SIGTERM
//! (`services::end_with_parent`).
//!
//! In reading order: `plan` (names, ports, command lines), `tls`, `checks`, `acceptors`, `logs`,
//! `supervisor` (one service's lives), `ready`, `report`.

mod acceptors;
pub(crate) mod checks;
mod logs;
pub(crate) mod plan;
pub(crate) mod ready;
pub(crate) mod report;
pub(crate) mod supervisor;
mod tls;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::builder::BoolishValueParser;
use futures::FutureExt;
use shared::config::Scheme;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

pub(crate) use self::checks::{UNFINISHED, describe};
pub(crate) use self::plan::Keepers;
use self::plan::{Counts, Planned};
use self::supervisor::{Cluster, Event};
use crate::console::{self, Paint};
use crate::seconds;
use crate::signals::Signals;

/// How often the sizes of the logs are looked at.
const LOG_CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// How often it is looked whether certificates end soon.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(3_600);
/// How long services may take to be ready once writes are served; one that isn't is
/// named, and may come later.
const STRAGGLERS_WAIT: Duration = Duration::from_secs(10);
/// Pause between two questions whether writes are served.
const READY_PAUSE: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    counts: Counts,
    /// The balancer's port; coordinators come at +101, acceptors at +201, replicas at
    /// +301
    #[arg(
        long,
        env = "SYNOD_BASE_PORT",
        value_name = "PORT",
        default_value_t = 8000,
        value_parser = plan::base_port(),
    )]
    base_port: u16,
    /// Folder for the data and logs of all services; made where it is missing
    #[arg(long, env = "SYNOD_DATA_DIR", value_name = "DIR", default_value = "synod-data")]
    data_dir: PathBuf,
    /// Leave a service that dies dead
    #[arg(long, env = "SYNOD_NO_RESTART", value_parser = BoolishValueParser::new())]
    no_restart: bool,
    /// Have all services speak TLS and prove to each other who they are, by certificates of an
    /// authority that is made in the data directory
    #[arg(long, env = "SYNOD_UP_TLS", value_parser = BoolishValueParser::new())]
    tls: bool,
    /// Have all replicas require tokens also before the first one is made (`synod token
    /// bootstrap`)
    #[arg(long, env = "SYNOD_UP_AUTH", value_parser = BoolishValueParser::new())]
    auth: bool,
    /// Give up when writes are not served after this long
    #[arg(
        long,
        env = "SYNOD_READY_SECONDS",
        value_name = "N",
        default_value_t = 60,
        value_parser = seconds::whole(0, u32::MAX),
    )]
    ready_seconds: u32,
}

/// Runs the cluster until a signal.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let scheme = if args.tls { Scheme::Https } else { Scheme::Http };
    let mut plan = plan::plan(&args.counts, args.base_port, &args.data_dir, scheme);
    if args.auth {
        plan::require_tokens(&mut plan);
    }
    let _lock = checks::pass(&args.data_dir, args.counts.keepers.acceptors, &plan).await?;
    let tls = args.tls.then(|| tls::Certificates::of(&args.data_dir, &mut plan)).transpose()?;
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let mut signals = Signals::new()?;
    let policy =
        if args.no_restart { supervisor::Policy::LeaveDead } else { supervisor::Policy::Restart };

    console::say(format_args!(
        "starting {} services, data in {}",
        plan.len(),
        args.data_dir.display()
    ));
    let (cluster, mut events) = Cluster::start(&plan, &program, &args.data_dir, policy)?;
    let outcome = tokio::select! {
        outcome = attend(&args, &plan, tls.as_ref(), &mut events) => outcome,
        name = signals.next() => {
            console::say(format_args!("{name}: ending all services"));
            Ok(())
        }
    };
    drop(events);
    end(cluster, &mut signals).await;
    console::say("all services have ended");
    outcome.map(|()| ExitCode::SUCCESS)
}

/// Brings the cluster to where it serves, and then watches over it; ends only by a
/// failure.
async fn attend(
    args: &Args,
    plan: &[Planned],
    tls: Option<&tls::Certificates>,
    events: &mut mpsc::Receiver<Event>,
) -> anyhow::Result<()> {
    let paint = Paint::for_stdout();
    let mut board = report::Board::new(plan);
    wait_until_served(args.ready_seconds, &args.data_dir, plan, events, &mut board).await?;
    console::say(board.announcement(&args.data_dir, tls.map(tls::Certificates::authority), paint));
    let mut stragglers = pin!(ready::stragglers(plan.iter()).fuse());

    let mut renewal = interval(RENEWAL_INTERVAL);
    let mut log_check = interval(LOG_CHECK_INTERVAL);
    log_check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => board.take(event).lines(paint).into_iter().for_each(console::say),
                None => bail!("no service is looked after any more"),
            },
            late = &mut stragglers => for name in late.iter().filter(|name| !board.is_out(name)) {
                console::say(paint.yellow(format_args!("{name} is not ready yet; see its /readyz \
                    and its log")));
            },
            _ = renewal.tick() => if let Some(tls) = tls {
                tls.renew(plan).into_iter().for_each(|line| console::say(paint.yellow(line)));
            },
            _ = log_check.tick() => logs::bound_all(plan, &args.data_dir),
        }
    }
}

/// Waits until a mutation comes through; fails when a service says that it cannot run as
/// it is told, or the time is up.
pub(crate) async fn wait_until_served(
    ready_seconds: u32,
    data_dir: &Path,
    plan: &[Planned],
    events: &mut mpsc::Receiver<Event>,
    board: &mut report::Board<'_>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(ready_seconds.into());
    let paint = Paint::for_stdout();
    let hindrance = RefCell::new(String::from("no answer yet"));
    let mut served = pin!(async {
        loop {
            match ready::writes_are_served(plan).await {
                Ok(()) => return,
                Err(reason) => hindrance.replace(reason),
            };
            sleep(READY_PAUSE).await;
        }
    });
    let timed_out = loop {
        tokio::select! {
            outcome = timeout(deadline.saturating_duration_since(Instant::now()), &mut served) => break outcome.is_err(),
            event = events.recv() => {
                let Some(event) = event else { bail!("no service is looked after any more") };
                let news = board.take(event);
                if let Some(reason) = news.is_fatal_at_start() {
                    bail!("{reason}");
                }
                news.lines(paint).into_iter().for_each(console::say);
            }
        }
    };
    if timed_out {
        bail!(
            "writes are not served after {ready_seconds} s: {}; the logs are in {}",
            hindrance.borrow(),
            logs::folder(data_dir).display()
        );
    }
    Ok(())
}

/// Ends all services; a second signal means: at once.
pub(crate) async fn end(cluster: Cluster, signals: &mut Signals) {
    let hurry = cluster.hurry();
    let mut ended = pin!(cluster.end());
    tokio::select! {
        () = &mut ended => return,
        name = signals.next() => {
            console::say(format_args!("{name} again: killing all services"));
            hurry.kill_all();
        }
    }
    ended.await;
}
