//! Runs simulations for as long as one likes, replays one, or makes a failing one
//! shorter.
//!
//! ```text
//! synod-sim [--from SEED] [--runs N] [--seconds S] [--threads T]   many seeds; without --from, seeds nobody has tried
//! synod-sim --replay RUN                                           one run, with its trace
//! synod-sim --minimise RUN                                         the shortest run that fails as this one does
//! ```
#![expect(clippy::disallowed_methods, reason = "fresh seeds come from outside")]
#![expect(clippy::print_stdout, reason = "a command that people run")]

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tests::simulation::plan::{Plan, RunName};
use tests::simulation::run::batch::{every_core, run_seeds};
use tests::simulation::run::minimise::{Minimised, Search, minimise};
use tests::simulation::run::{Keep, Report, replay_line, run};

/// Simulated clusters of the real cores.
#[derive(Debug, Parser)]
struct Arguments {
    /// The first seed; without it, one that nobody has tried.
    #[arg(long)]
    from: Option<u64>,
    /// How many runs; without it 100, or as many as there is time for.
    #[arg(long)]
    runs: Option<u64>,
    /// For how long runs are begun.
    #[arg(long)]
    seconds: Option<u64>,
    /// How many threads; without it, one for each processor.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Shows one run, event by event.
    #[arg(
        long,
        value_name = "RUN",
        conflicts_with_all = ["from", "runs", "seconds", "threads", "minimise"],
    )]
    replay: Option<RunName>,
    /// Searches for a shorter run that fails as this one does.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["from", "runs", "seconds", "threads"])]
    minimise: Option<RunName>,
}

fn main() -> ExitCode {
    let Arguments { from, runs, seconds, threads, replay, minimise } = Arguments::parse();
    match (replay, minimise) {
        (Some(name), _) => show(&name),
        (None, Some(name)) => shorten(&name),
        (None, None) => many(
            from.unwrap_or_else(rand::random),
            runs,
            seconds,
            threads.unwrap_or_else(every_core),
        ),
    }
}

fn show(name: &RunName) -> ExitCode {
    let plan = Plan::of(name);
    println!("{plan}");
    let report = run(plan, Keep::Text);
    if let Some(trace) = &report.trace {
        println!("{trace}");
    }
    conclude(name, &report)
}

fn conclude(name: &RunName, report: &Report) -> ExitCode {
    let Report { events, simulated, digest, .. } = report;
    println!(
        "run {name}: {events} events in {:.1} s, digest {digest:016x}",
        simulated.as_secs_f64()
    );
    match &report.failure {
        None => {
            println!("it holds");
            ExitCode::SUCCESS
        }
        Some(failure) => {
            println!("it fails: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs that a search for a shorter one may take.
const TRIES: u32 = 2_000;

fn shorten(name: &RunName) -> ExitCode {
    let Minimised { name, search } =
        minimise(name, TRIES, |plan| run(plan.clone(), Keep::Digest).failure);
    match search {
        Search::NotFailing => println!("it does not fail, so there is nothing to make shorter"),
        Search::Finished => println!("no fault can be left out any more"),
        Search::OutOfTries => {
            println!("given up after {TRIES} tries; another search may go on from here")
        }
    }
    let plan = Plan::of(&name);
    println!("{plan}");
    let code = conclude(&name, &run(plan, Keep::Digest));
    println!("{}", replay_line(&name));
    code
}

fn many(first: u64, runs: Option<u64>, seconds: Option<u64>, threads: NonZeroUsize) -> ExitCode {
    let limit = seconds.map(Duration::from_secs);
    let runs = runs.unwrap_or(if limit.is_some() { u64::MAX } else { 100 });
    println!("seeds from {first} on");
    let batch = run_seeds(first, threads, |begun, since| {
        begun < runs && limit.is_none_or(|limit| since < limit)
    });
    println!("{batch}");
    if batch.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
