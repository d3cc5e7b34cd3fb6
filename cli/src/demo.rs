//! `synod demo`: a small cluster in a temporary folder, under load, of which a service is
//! killed again and again, and what comes of it in plain words. At the end every write that
//! was acknowledged is looked for at every replica.
//!
//! The services are children of this process as those of `up` are, by the same code, and end
//! with it, whatever ends it.
//!
//! In reading order: `story` (who is killed, and why nothing is lost), `tally` (what was
//! survived; both pure), `load` (the clients), `killing` (one after the other).

mod killing;
mod load;
mod story;
mod tally;

use std::cell::RefCell;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use client::Client;
use shared::config::Scheme;
use shared::message::Service;
use tokio::sync::mpsc;

use self::load::Load;
use self::tally::Tally;
use crate::console::{self, Paint};
use crate::seconds;
use crate::signals::Signals;
use crate::up::plan::{Counts, Keepers, Planned, base_port, plan};
use crate::up::report::Board;
use crate::up::supervisor::{Cluster, Event, Policy};
use crate::up::{self, checks};

/// The cluster is given up on when it does not serve after this long. Seconds.
const READY_SECONDS: u32 = 60;
/// Where a base port is looked for that nobody uses, and how far apart.
const FIRST_BASE: u16 = 18_000;
const LAST_BASE: u16 = 60_000;
const NEXT_BASE: u16 = 1_000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long there is load
    #[arg(
        long,
        env = "SYNOD_DEMO_SECONDS",
        value_name = "N",
        default_value_t = 65,
        value_parser = seconds::whole(1_u16, 600),
    )]
    seconds: u16,
    /// A service is killed every so many seconds, or once all are back, where that is later
    #[arg(
        long,
        env = "SYNOD_DEMO_EVERY",
        value_name = "N",
        default_value_t = 10,
        value_parser = seconds::whole(1_u16, 600),
    )]
    every: u16,
    /// The balancer's port, and so all others, as of `synod up`; free ones if not given
    #[arg(long, env = "SYNOD_BASE_PORT", value_name = "PORT", value_parser = base_port())]
    base_port: Option<u16>,
}

/// Shows it, and ends with 1 where anything was lost.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    ensure!(args.every < args.seconds, "--every is not below --seconds: nothing would be killed");
    let mut signals = Signals::new()?;
    let folder = tempfile::Builder::new().prefix("synod-demo-").tempdir();
    let folder = folder.context("cannot make a temporary folder")?;
    let plan = planned(args.base_port, folder.path())?;
    let acceptors = counts().keepers.acceptors;
    let _lock = checks::pass(folder.path(), acceptors, &plan).await?;
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    console::say(format_args!("starting {} services in {}", plan.len(), folder.path().display()));
    let (cluster, mut events) = Cluster::start(&plan, &program, folder.path(), Policy::Restart)?;
    let outcome = tokio::select! {
        outcome = show(&args, &plan, folder.path(), &mut events) => outcome,
        name = signals.next() => {
            console::say(format_args!("{name}: ending all services"));
            Err(anyhow::anyhow!("it was ended before the writes were looked for"))
        }
    };
    drop(events);
    up::end(cluster, &mut signals).await;
    let tally = outcome?;
    console::say(format_args!("\n{tally}\nall services have ended, and their data is removed"));
    match tally.failure() {
        None => Ok(ExitCode::SUCCESS),
        Some(failure) => bail!("{failure}"),
    }
}

fn counts() -> Counts {
    let keepers = Keepers { acceptors: 3, replicas: 3 };
    Counts { coordinators: 2, keepers, balancers: 1 }
}

/// All services, on ports that nobody uses.
fn planned(base_port: Option<u16>, folder: &Path) -> anyhow::Result<Vec<Planned>> {
    let of = |base| plan(&counts(), base, folder, Scheme::Http);
    if let Some(base) = base_port {
        return Ok(of(base));
    }
    let mut plans = (FIRST_BASE..=LAST_BASE).step_by(NEXT_BASE.into()).map(of);
    plans
        .find(|plan| checks::ports_are_free(plan).is_ok())
        .context("no ports are free: --base-port says which to take")
}

/// Has all of it happen.
async fn show(
    args: &Args,
    plan: &[Planned],
    folder: &Path,
    events: &mut mpsc::Receiver<Event>,
) -> anyhow::Result<Tally> {
    let paint = Paint::for_stdout();
    let mut board = Board::new(plan);
    up::wait_until_served(READY_SECONDS, folder, plan, events, &mut board).await?;
    let of = |kind: Service| plan.iter().filter(move |planned| planned.service == kind);
    let urls: Vec<String> =
        of(Service::Balancer).chain(of(Service::Replica)).map(Planned::url).collect();
    let (board, tally) = (RefCell::new(board), RefCell::new(Tally::default()));
    let load = Load::of(Client::new(&urls.join(","))?, &tally);
    console::say(format_args!(
        "{} clients write through {}, each the next key once the last is acknowledged; they know \
         the replicas, too\n",
        load::CLIENTS,
        urls[0]
    ));
    let seconds = Duration::from_secs(args.seconds.into());
    let every = Duration::from_secs(args.every.into());
    let killing = async {
        let killed = killing::run(plan, (&board, &tally), seconds, every).await;
        load.stop();
        killed
    };
    let watching = async {
        // Whoever dies tells of it, and waits until that is heard.
        while let Some(event) = events.recv().await {
            let is_removal = matches!(&event, Event::Ended { end, .. } if end.is_removal());
            let news = board.borrow_mut().take(event);
            if let Some(reason) = news.is_fatal_at_start() {
                bail!("{reason}");
            }
            // Of what is killed here it is told where that is done.
            news.lines(paint).filter(|_| is_removal).into_iter().for_each(console::say);
        }
        bail!("no service is looked after any more")
    };
    tokio::select! {
        done = async { tokio::try_join!(killing, load.run()) } => drop(done?),
        failed = watching => return failed,
    }
    console::say("looking for every acknowledged write at every replica …");
    let replicas: Vec<Client> = of(Service::Replica)
        .filter(|replica| !board.borrow().is_out(&replica.name))
        .map(|replica| Client::new(&replica.url()))
        .collect::<Result<_, _>>()?;
    load.look_for(&replicas).await?;
    drop(load);
    Ok(tally.into_inner())
}
