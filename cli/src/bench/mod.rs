//! `synod bench`: what a cluster does, measured from outside, through the balancer.
//!
//! - `load` is a closed loop: each client has one connection, kept alive, and sends its
//!   next request when it has the answer to the last.
//! - `gap` kills the primary or the leading coordinator under such a load and measures
//!   the longest time without an acknowledged write.
//! - `processes` finds the services' processes and their memory, and proves that a
//!   process is the service before it is killed.

mod connection;
mod gap;
mod load;
pub(crate) mod processes;
mod report;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use clap::builder::BoolishValueParser;

use self::load::{Load, Work};
use self::processes::Discovered;
use self::report::{LoadRow, MemoryRow, Report};
use crate::console;
use crate::endpoint::Endpoint;

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
        value_parser = clap::value_parser!(u32).range(1..=3600),
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
    /// Print JSON instead of tables
    #[arg(long, env = "SYNOD_BENCH_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
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
        let load = Load {
            url: args.endpoint.first().clone(),
            prefix: format!("{prefix}{clients}/"),
            clients: clients.into(),
            value_bytes: usize::try_from(args.value_bytes).expect("at most a MiB"),
            duration: Duration::from_secs(args.seconds.into()),
        };
        for work in [Work::Write, Work::LinearizableRead, Work::LocalRead] {
            console::warn(format_args!(
                "measuring: {}, {}",
                work.name(),
                console::counted(clients.into(), "client")
            ));
            report.load.push(LoadRow::new(work, clients, &load.run(work).await?));
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
    if args.json {
        console::say(serde_json::to_string_pretty(&report)?);
    } else {
        console::say(&report);
    }
    Ok(ExitCode::SUCCESS)
}
