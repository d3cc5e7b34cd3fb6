//! How long writes stop when a process is killed: the longest time between two
//! acknowledgements, over all clients, from the kill on.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;
use std::slice::from_ref;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::ValueEnum;
use client::Client;
use futures::future::try_join_all;
use serde::Serialize;
use tokio::time::sleep;

use super::load::Load;
use super::processes::{self, Discovered};
use super::tally::Outcome;
use crate::console::{self, grouped};
use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};
use crate::seconds;

/// How long the load runs before the kill.
const BEFORE: Duration = Duration::from_secs(2);
/// How long a killed service may take to be ready again before the next round.
const RETURN_PATIENCE: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// Which process to kill
    #[arg(long, env = "SYNOD_BENCH_KILL", value_enum)]
    kill: Victim,
    /// How many clients write
    #[arg(
        long,
        env = "SYNOD_BENCH_GAP_CLIENTS",
        value_name = "N",
        default_value_t = 16,
        value_parser = super::clients(),
    )]
    clients: u16,
    /// How long the load goes on after the kill
    #[arg(
        long,
        env = "SYNOD_BENCH_GAP_SECONDS",
        value_name = "N",
        default_value_t = 10,
        value_parser = seconds::whole(1_u32, 3_600),
    )]
    seconds: u32,
    /// How often; from the second round on the one killed before must be ready again
    #[arg(
        long,
        env = "SYNOD_BENCH_ROUNDS",
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=1000),
    )]
    rounds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Victim {
    /// The replica that takes mutations
    Primary,
    /// The coordinator that leads
    Leader,
}

/// What one kill did.
#[derive(Debug, Serialize)]
struct Gap {
    killed: String,
    pid: i32,
    acknowledged_before: u64,
    acknowledged_after: u64,
    /// The longest time without an acknowledged write, from the kill to the end of the
    /// load.
    longest_gap_ms: f64,
    errors: BTreeMap<String, u64>,
}

/// Kills and measures, as many rounds as wanted.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = args.endpoint.client();
    let prefix = format!("bench/{:08x}/", rand::random::<u32>());
    let mut gaps = Vec::new();
    for round in 1..=args.rounds {
        let victim = find(&client, args.kill).await?;
        console::warn(format_args!(
            "round {round} of {}: {} (pid {}) is to die",
            args.rounds, victim.status.id, victim.status.pid
        ));
        gaps.push(measure(&args, &victim, &prefix).await?);
        if round < args.rounds {
            wait_until_ready(&victim).await?;
        }
    }
    client.delete_prefix(&prefix).await.context("cannot delete the keys again")?;
    for gap in &gaps {
        match args.output.format() {
            Format::Json => output::json(gap)?,
            Format::Table | Format::Plain => output::line(gap)?,
        }
    }
    let recovered = gaps.iter().all(|gap| gap.acknowledged_after > 0);
    Ok(if recovered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn find(client: &Client, victim: Victim) -> anyhow::Result<Discovered> {
    let services =
        processes::discover(client).await.context("cannot tell which services there are")?;
    let found = services.into_iter().find(|service| match victim {
        Victim::Primary => service.status.is_primary(),
        Victim::Leader => service.status.leads(),
    });
    found.with_context(|| {
        format!("no service says that it is the {}", format!("{victim:?}").to_lowercase())
    })
}

async fn measure(args: &Args, victim: &Discovered, prefix: &str) -> anyhow::Result<Gap> {
    let load = Load {
        url: args.endpoint.first().clone(),
        prefix: prefix.to_owned(),
        clients: args.clients.into(),
        value_bytes: 256,
        duration: Duration::from_secs(args.seconds.into()),
    };
    let clock = RefCell::new(GapClock::default());
    let errors = RefCell::new(BTreeMap::new());
    let stop = Cell::new(false);
    let note = |_sent, outcome| {
        match outcome {
            Outcome::Done => clock.borrow_mut().acknowledged(Instant::now()),
            Outcome::Failed(error) => *errors.borrow_mut().entry(error).or_insert(0) += 1,
        }
        !stop.get()
    };
    let clients =
        try_join_all((0..load.clients).map(|client| load.client(load.writes(client), &note)));
    let killer = async {
        sleep(BEFORE).await;
        victim.kill()?;
        clock.borrow_mut().killed(Instant::now());
        sleep(load.duration).await;
        clock.borrow_mut().ended(Instant::now());
        stop.set(true);
        anyhow::Ok(())
    };
    // The clients end by themselves only when told to; whoever fails first ends the
    // round.
    tokio::try_join!(clients, killer)?;
    let GapClock { before, after, longest, .. } = clock.into_inner();
    if before == 0 {
        bail!("no write was acknowledged before the kill: {:?}", errors.into_inner());
    }
    Ok(Gap {
        killed: victim.status.id.clone(),
        pid: victim.status.pid,
        acknowledged_before: before,
        acknowledged_after: after,
        longest_gap_ms: longest.as_secs_f64() * 1_000.0,
        errors: errors.into_inner(),
    })
}

async fn wait_until_ready(service: &Discovered) -> anyhow::Result<()> {
    let client = Client::of_urls(from_ref(&service.url))?.with_timeout(RETURN_PATIENCE);
    client.fetch("/readyz").await.map(drop).with_context(|| {
        let id = &service.status.id;
        format!("{id} is not ready again; does anyone restart it?")
    })
}

/// Finds the longest time without an acknowledgement that reaches beyond the kill.
#[derive(Debug, Default)]
struct GapClock {
    last: Option<Instant>,
    killed: Option<Instant>,
    ended: Option<Instant>,
    longest: Duration,
    before: u64,
    after: u64,
}

impl GapClock {
    fn acknowledged(&mut self, now: Instant) {
        if self.ended.is_some() {
            return;
        }
        match self.killed {
            None => self.before += 1,
            Some(_) => {
                self.after += 1;
                self.close(now);
            }
        }
        self.last = Some(now);
    }

    fn killed(&mut self, now: Instant) {
        self.killed = Some(now);
    }

    /// A gap that is still open when the load ends counts as far as it was seen.
    fn ended(&mut self, now: Instant) {
        self.close(now);
        self.ended = Some(now);
    }

    fn close(&mut self, now: Instant) {
        if let Some(since) = self.last.or(self.killed) {
            self.longest = self.longest.max(now.saturating_duration_since(since));
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (grouped(self.acknowledged_before), grouped(self.acknowledged_after));
        write!(
            f,
            "{} (pid {}) killed: longest gap in acknowledged writes {:.0} ms; {before} writes \
             before, {after} after",
            self.killed, self.pid, self.longest_gap_ms
        )?;
        self.errors.iter().try_for_each(|(error, count)| write!(f, "\n    {count} times {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_the_longest_pause_that_reaches_beyond_the_kill() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut clock = GapClock::default();
        clock.acknowledged(at(0));
        clock.acknowledged(at(5_000));
        clock.killed(at(5_100));
        clock.acknowledged(at(5_900));
        clock.acknowledged(at(6_000));
        clock.ended(at(6_300));
        clock.acknowledged(at(9_000));
        assert_eq!((clock.before, clock.after, clock.longest), (2, 2, Duration::from_millis(900)));
    }

    #[test]
    fn writes_that_never_come_back_are_one_long_gap() {
        let start = Instant::now();
        let mut clock = GapClock::default();
        clock.acknowledged(start);
        clock.killed(start + Duration::from_secs(1));
        clock.ended(start + Duration::from_secs(11));
        assert_eq!((clock.before, clock.after, clock.longest), (1, 0, Duration::from_secs(11)));
    }
}
