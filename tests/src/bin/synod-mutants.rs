//! Applies one small wrong version of Synod after another and demands that the tests
//! catch each: see `tests::mutants`.
//!
//! ```text
//! synod-mutants [NAME…]                 the mutants with one of these words in their names, or all
//! synod-mutants --list [NAME…]          says what they are
//! synod-mutants --in SUITE [NAME…]      would this suite catch them too? Whichever is to catch them
//! ```
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command that people run")]

use std::collections::VecDeque;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use tests::mutants::campaign::Campaign;
use tests::mutants::patch::Mutant;
use tests::mutants::suite::Suite;

const USAGE: &str = "usage: synod-mutants [--list | --in SUITE] [NAME…]";

/// What is to be done with the mutants.
enum Task {
    List,
    Try,
    TryIn(Suite),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match work(std::env::args().skip(1).collect()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("synod-mutants: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn work(mut arguments: VecDeque<String>) -> Result<()> {
    let task = match arguments.front().map(String::as_str) {
        Some("--list") => Task::List,
        Some("--in") => Task::TryIn(arguments.get(1).context(USAGE)?.parse()?),
        Some(option) if option.starts_with('-') => bail!("{option}? {USAGE}"),
        Some(_) | None => Task::Try,
    };
    arguments.drain(
        ..match task {
            Task::List => 1,
            Task::Try => 0,
            Task::TryIn(_) => 2,
        },
    );
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("this package lies in a workspace")?;
    let mut mutants = Mutant::all(workspace)?;
    mutants.retain(|mutant| {
        arguments.is_empty() || arguments.iter().any(|name| mutant.name.contains(name.as_str()))
    });
    ensure!(!mutants.is_empty(), "no mutant has one of these words in its name: {arguments:?}");
    match task {
        Task::List => mutants.iter().for_each(list),
        Task::Try => try_all(workspace, &mutants).await?,
        Task::TryIn(suite) => {
            mutants.iter_mut().for_each(|mutant| mutant.caught_by = vec![suite.clone()]);
            try_all(workspace, &mutants).await?;
        }
    }
    Ok(())
}

async fn try_all(workspace: &Path, mutants: &[Mutant]) -> Result<()> {
    let campaign = Campaign::new(workspace)?;
    campaign.prove_suites(mutants).await?;
    let findings = campaign.try_all(mutants).await?;
    let failures = findings.failures().len();
    println!(
        "\n{findings}\n{} mutants, {} catches demanded, {failures} missing",
        mutants.len(),
        findings.0.len()
    );
    ensure!(failures == 0, "{failures} times a mutant was not caught where it should have been");
    Ok(())
}

fn list(mutant: &Mutant) {
    let suites: Vec<String> = mutant.caught_by.iter().map(ToString::to_string).collect();
    println!("{}\n    {}\n    caught by: {}", mutant.name, mutant.about, suites.join(", "));
}
