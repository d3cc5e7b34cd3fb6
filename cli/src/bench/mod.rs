//! `synod bench`: what a cluster does, measured from outside, through the balancer.
//!
//! - `load` is a closed loop: each client has one connection, kept alive, and sends its
//!   next request when it has the answer to the last. `tally` counts for all of them.
//! - `keys`, `txn`, `renew`, `lock` and `watch` are what clients do: a file each.
//! - `gap` kills the primary or the leading coordinator under such a load and measures
//!   the longest time without an acknowledged write.
//! - `processes` finds the services' processes and their memory, and proves that a
//!   process is the service before it is killed.

mod connection;
mod gap;
mod keys;
mod load;
mod lock;
pub(crate) mod processes;
mod renew;
mod report;
mod tally;
mod txn;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::builder::BoolishValueParser;
use clap::{Subcommand, ValueEnum};

use self::load::Load;
use self::processes::Discovered;
use self::report::{LoadRow, MemoryRow, Report};
use self::tally::Measured;
use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};
use crate::{console, seconds};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    load: LoadArgs,
}

#[derive(Subcommand)]
enum Other {
    /// Kill a process under load, and measure the longest gap in acknowledged writes
    Gap(gap::Args),
}

#[derive(clap::Args)]
struct LoadArgs {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// What the clients do, one measurement each
    #[arg(
        long,
        env = "SYNOD_BENCH_WORK",
        value_name = "WORK,WORK",
        value_enum,
        value_delimiter = ',',
        default_value = "write,read,local-read"
    )]
    work: Vec<Work>,
    /// How many writes a second the clients of `watch` hear of
    #[arg(
        long,
        env = "SYNOD_BENCH_RATE",
        value_name = "N",
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..=100_000),
    )]
    rate: u32,
    /// How many clients, one measurement each
    #[arg(
        long,
        env = "SYNOD_BENCH_CLIENTS",
        value_name = "N,N,N",
        value_delimiter = ',',
        default_value = "1,16,64",
        value_parser = clients(),
    )]
    clients: Vec<u16>,
    /// How long each measurement takes, after half a second that is not counted
    #[arg(
        long,
        env = "SYNOD_BENCH_SECONDS",
        value_name = "N",
        default_value_t = 5,
        value_parser = seconds::whole(1_u32, 3_600),
    )]
    seconds: u32,
    /// The size of a value
    #[arg(
        long,
        env = "SYNOD_BENCH_VALUE_BYTES",
        value_name = "BYTES",
        default_value_t = 256,
        value_parser = clap::value_parser!(u32).range(0..=1 << 20),
    )]
    value_bytes: u32,
    /// Leave the keys in the store
    #[arg(long, env = "SYNOD_BENCH_KEEP", value_parser = BoolishValueParser::new())]
    keep: bool,
}

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Work {
    /// Put values
    Write,
    /// Get values, linearizably
    Read,
    /// Get values as one replica has them
    LocalRead,
    /// Transactions: a guard, and two keys written
    Txn,
    /// Renew leases, one for each client
    Renew,
    /// Hand one lock over to each other: from the release to the next one's having it
    Lock,
    /// Watch while others write at --rate: from sending a write to hearing of it
    Watch,
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "linearizable read",
            Self::LocalRead => "local read",
            Self::Txn => "transaction",
            Self::Renew => "lease renewal",
            Self::Lock => "lock hand-over",
            Self::Watch => "watch",
        }
    }

    async fn measure(self, load: &Load, rate: u32) -> anyhow::Result<Measured> {
        match self {
            Self::Write => load.write().await,
            Self::Read => load.read("").await,
            Self::LocalRead => load.read("?consistency=local").await,
            Self::Txn => load.txn().await,
            Self::Renew => load.renew().await,
            Self::Lock => load.hand_over().await,
            Self::Watch => load.watch(rate).await,
        }
    }
}

/// A connection each: above this the machine's limits are measured, not the cluster.
fn clients() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=1024)
}

/// Measures.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.other {
        Some(Other::Gap(args)) => gap::run(args).await,
        None => measure_load(args.load).await,
    }
}

async fn measure_load(args: LoadArgs) -> anyhow::Result<ExitCode> {
    let client = args.endpoint.client();
    let services =
        processes::discover(&client).await.context("cannot tell which services there are")?;
    let rest = services.iter().map(Discovered::resident_bytes).collect::<Vec<_>>();
    let mut report = Report {
        value_bytes: args.value_bytes,
        seconds: args.seconds,
        load: Vec::new(),
        memory: Vec::new(),
    };
    let prefix = format!("bench/{:08x}/", rand::random::<u32>());
    for &clients in &args.clients {
        for work in &args.work {
            let load = Load {
                url: args.endpoint.first().clone(),
                prefix: format!("{prefix}{}/{clients}/", work.name().replace(' ', "-")),
                clients: clients.into(),
                value_bytes: usize::try_from(args.value_bytes).expect("at most a MiB"),
                duration: Duration::from_secs(args.seconds.into()),
            };
            console::warn(format_args!(
                "measuring: {}, {}",
                work.name(),
                console::counted(clients.into(), "client")
            ));
            let measured = work.measure(&load, args.rate).await?;
            report.load.push(LoadRow::new(work.name(), clients, &measured));
        }
    }
    let after = services.iter().map(Discovered::resident_bytes);
    report.memory = services
        .iter()
        .zip(rest)
        .zip(after)
        .map(|((service, rest), after)| MemoryRow::new(service, rest, after))
        .collect();
    if !args.keep {
        client.delete_prefix(&prefix).await.context("cannot delete the keys again")?;
    }
    match args.output.format() {
        Format::Json => output::json(&report)?,
        Format::Table | Format::Plain => output::line(&report)?,
    }
    Ok(ExitCode::SUCCESS)
}
