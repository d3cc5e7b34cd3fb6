//! Applies one small wrong version of Synod after another and demands that the tests
//! catch each: see `tests::mutants`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command that people run")]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use tests::mutants::campaign::Campaign;
use tests::mutants::changed::{checked_out, concerns, files_changed_since};
use tests::mutants::mutant::Mutant;
use tests::mutants::suite::Suite;

/// Tries mutants: small wrong versions of Synod, each of which the tests must notice.
#[derive(Debug, Parser)]
struct Args {
    /// Those with one of these words in their names. [default: all]
    names: Vec<String>,
    /// Only those of files that differ from this commit's.
    #[arg(long, value_name = "COMMIT")]
    changed: Option<String>,
    /// Say what they are, and try none.
    #[arg(long, conflicts_with_all = ["in", "here", "seconds"])]
    list: bool,
    /// In this checkout, in which all is committed, with what `cargo test` has built in it,
    /// and only in suites of its profile. Instead of in a copy.
    #[arg(long)]
    here: bool,
    /// Would this suite catch them too? Instead of those that are to catch them.
    #[arg(long, value_name = "SUITE")]
    r#in: Option<Suite>,
    /// Begin none after so many seconds. Which come first is another lot for each commit, and
    /// the same one each time: chance does not decide what a change is told.
    #[arg(long)]
    seconds: Option<u64>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match work(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("synod-mutants: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn work(args: Args) -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("this package lies in a workspace")?;
    let mut mutants = Mutant::all(workspace)?;
    let is_named = |mutant: &Mutant| args.names.iter().any(|name| mutant.name.contains(name));
    mutants.retain(|mutant| args.names.is_empty() || is_named(mutant));
    ensure!(!mutants.is_empty(), "no mutant has one of these words in its name: {:?}", args.names);
    if let Some(base) = &args.changed {
        let files = files_changed_since(workspace, base)?;
        mutants.retain(|mutant| concerns(mutant, &files));
    }
    if args.list {
        mutants.iter().for_each(list);
        return Ok(());
    }
    if let Some(suite) = &args.r#in {
        mutants.iter_mut().for_each(|mutant| mutant.caught_by = vec![suite.clone()]);
    }
    if args.here {
        mutants.iter_mut().for_each(|mutant| mutant.caught_by.retain(Suite::is_of_cargo_test));
        mutants.retain(|mutant| !mutant.caught_by.is_empty());
    }
    if args.seconds.is_some() {
        let commit = checked_out(workspace)?;
        mutants.sort_by_cached_key(|mutant| lot(&commit, mutant));
    }
    let campaign = if args.here { Campaign::here } else { Campaign::on_copy };
    let budget = args.seconds.map(Duration::from_secs);
    try_all(campaign(workspace)?, &mutants, budget).await
}

fn lot(commit: &str, mutant: &Mutant) -> [u8; 32] {
    blake3::hash(format!("{commit} {}", mutant.name).as_bytes()).into()
}

async fn try_all(
    mut campaign: Campaign,
    mutants: &[Mutant],
    budget: Option<Duration>,
) -> Result<()> {
    match budget {
        Some(budget) => println!("{} mutants, in {} s", mutants.len(), budget.as_secs()),
        None => println!("{} mutants", mutants.len()),
    }
    let findings = campaign.try_all(mutants, budget).await?;
    let failures = findings.failures().len();
    println!(
        "\n{findings}\n{} mutants tried, {} left, {} catches demanded, {failures} missing",
        mutants.len() - findings.not_tried.len(),
        findings.not_tried.len(),
        findings.found.len()
    );
    ensure!(failures == 0, "{failures} times a mutant was not caught where it should have been");
    Ok(())
}

fn list(mutant: &Mutant) {
    let suites: Vec<String> = mutant.caught_by.iter().map(ToString::to_string).collect();
    println!("{}\n    {}\n    caught by: {}", mutant.name, mutant.why, suites.join(", "));
}
