//! Runs simulations for as long as one likes, replays one, or makes a failing one shorter.
//!
//! ```text
//! synod-sim [--from SEED] [--runs N | --seconds S]    many seeds; without --from, seeds nobody has tried
//! synod-sim --replay RUN                              one run, with its trace
//! synod-sim --minimise RUN                            the shortest run that fails as this one does
//! ```
#![expect(clippy::disallowed_methods, reason = "it measures how long the real thing takes")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command that people run")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tests::simulation::batch::{Batch, run_seeds};
use tests::simulation::minimise::minimise;
use tests::simulation::plan::{Plan, RunName};
use tests::simulation::run::{Keep, Report, replay_line, run, silence_panics};

const USAGE: &str = "usage: synod-sim [--from SEED] [--runs N | --seconds S] | --replay RUN | --minimise RUN";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)
    };
    silence_panics();
    let outcome = if let Some(name) = option("--replay") {
        name.parse().map(|name| replay(&name)).map_err(|error| error.to_string())
    } else if let Some(name) = option("--minimise") {
        name.parse().map(|name| shorten(&name)).map_err(|error| error.to_string())
    } else {
        let number = |name: &str| option(name).map(|text| text.parse::<u64>().map_err(|_| format!("{name} takes a number")));
        let numbers = (number("--from").transpose(), number("--runs").transpose(), number("--seconds").transpose());
        match numbers {
            (Ok(from), Ok(runs), Ok(seconds)) => Ok(many(from.unwrap_or_else(rand::random), runs, seconds)),
            (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => Err(error),
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("{error}\n{USAGE}");
        ExitCode::FAILURE
    })
}

fn replay(name: &RunName) -> ExitCode {
    let report = run(Plan::of(name), Keep::Text);
    println!("{:#?}", Plan::of(name));
    if let Some(trace) = &report.trace {
        println!("{trace}");
    }
    conclude(name, &report)
}

fn conclude(name: &RunName, report: &Report) -> ExitCode {
    let Report { events, simulated, digest, .. } = report;
    println!("run {name}: {events} events in {:.1} s, digest {digest:016x}", simulated.as_secs_f64());
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
    let shorter = minimise(name, TRIES);
    let code = conclude(&shorter, &run(Plan::of(&shorter), Keep::Digest));
    println!("{}", replay_line(&shorter));
    code
}

fn many(first: u64, runs: Option<u64>, seconds: Option<u64>) -> ExitCode {
    let started = Instant::now();
    let limit = seconds.map(Duration::from_secs);
    let runs = runs.unwrap_or(if limit.is_some() { u64::MAX } else { 100 });
    println!("seeds from {first} on");
    let batch = run_seeds(first, |begun| begun < runs && limit.is_none_or(|limit| started.elapsed() < limit));
    report(&batch, started.elapsed());
    if batch.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(batch: &Batch, took: Duration) {
    for failed in &batch.failures {
        println!("seed {}: {}", failed.seed, failed.failure.as_deref().unwrap_or_default());
        println!("    {}", replay_line(&RunName { seed: failed.seed, kept: None }));
    }
    println!("{}", batch.reach);
    let (simulated, took) = (batch.simulated.as_secs_f64(), took.as_secs_f64());
    let Batch { runs, events, chosen, calls, slowest_healing: (healing, slowest), .. } = batch;
    println!(
        "{runs} runs, {} failed; {chosen} slots chosen, {calls} calls; slowest healing {healing:.1?} (seed {slowest})",
        batch.failures.len()
    );
    println!(
        "{simulated:.0} simulated seconds in {took:.1} s: {:.0} a second; {} events a second",
        simulated / took,
        per_second(*events, took)
    );
}

fn per_second(events: u64, took: f64) -> String {
    // Only for people to read.
    #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = events as f64 / took;
    format!("{rate:.0}")
}
