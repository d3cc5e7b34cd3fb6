//! Applies one small wrong version of Synod after another and demands that the tests catch each: see `tests::mutants`.
//!
//! ```text
//! synod-mutants [NAME…]             the mutants with one of these words in their names, or all
//! synod-mutants --list [NAME…]      says what they are
//! synod-mutants --explore [NAME…]   all cheap suites on each, whichever is to catch it
//! ```
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command that people run")]

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use tests::mutants::campaign::Campaign;
use tests::mutants::patch::Mutant;

const USAGE: &str = "usage: synod-mutants [--list | --explore] [NAME…]";

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

async fn work(arguments: Vec<String>) -> Result<()> {
    let (options, names): (Vec<String>, Vec<String>) = arguments.into_iter().partition(|argument| argument.starts_with("--"));
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("this package lies in a workspace")?;
    let mut mutants = Mutant::all(workspace)?;
    mutants.retain(|mutant| names.is_empty() || names.iter().any(|name| mutant.name.contains(name.as_str())));
    ensure!(!mutants.is_empty(), "no mutant has one of these words in its name: {names:?}");
    match options.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => try_all(workspace, &mutants).await,
        ["--list"] => {
            mutants.iter().for_each(list);
            Ok(())
        }
        ["--explore"] => {
            let findings = Campaign::new(workspace)?.explore(&mutants).await?;
            println!("\n{findings}");
            Ok(())
        }
        _ => anyhow::bail!("{USAGE}"),
    }
}

async fn try_all(workspace: &Path, mutants: &[Mutant]) -> Result<()> {
    let campaign = Campaign::new(workspace)?;
    campaign.prove_suites(mutants).await?;
    let findings = campaign.try_all(mutants).await?;
    let failures = findings.failures().len();
    println!("\n{findings}\n{} mutants, {} catches demanded, {failures} missing", mutants.len(), findings.0.len());
    ensure!(failures == 0, "{failures} times a mutant was not caught where it should have been");
    Ok(())
}

fn list(mutant: &Mutant) {
    let suites: Vec<String> = mutant.caught_by.iter().map(ToString::to_string).collect();
    println!("{}\n    {}\n    caught by: {}", mutant.name, mutant.about, suites.join(", "));
}
