//! The command's work: the suites on the tree as it is, then on each mutant.
#![expect(clippy::disallowed_methods, reason = "it measures how long builds and tests take")]
#![expect(clippy::print_stdout, reason = "people wait for it, and want to see how far it is")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::mutant::Mutant;
use super::report::{Finding, Findings, Verdict};
use super::shell::{Build, Ended, Shell};
use super::suite::{Suite, first_failure};
use super::tree::Tree;

/// What is below `target` is nobody's source.
const FOLDER: &str = "target/mutants";

/// The longest that a build may take: the first one builds all dependencies.
const BUILD_LIMIT: Duration = Duration::from_secs(3_600);

/// Mutants to be tried.
#[derive(Debug)]
pub struct Campaign {
    tree: Tree,
    shell: Shell,
    /// The suites that pass without any mutant.
    proved: BTreeSet<Suite>,
}

/// What a suite came to.
struct Run {
    verdict: Verdict,
    took: Duration,
    built: Duration,
}

impl Campaign {
    /// On a copy of the workspace.
    ///
    /// # Errors
    /// When it can't be copied.
    pub fn on_copy(workspace: &Path) -> Result<Self> {
        let folder = workspace.join(FOLDER);
        let tree = Tree::copy(workspace, &folder.join("tree"))?;
        Self::new(tree, Build::Apart(folder.join("build")), folder.join("logs"))
    }

    /// On the workspace itself, with what `cargo test` has built there.
    ///
    /// # Errors
    /// When something in it is not committed.
    pub fn here(workspace: &Path) -> Result<Self> {
        Self::new(Tree::here(workspace)?, Build::Shared, workspace.join(FOLDER).join("logs"))
    }

    fn new(tree: Tree, build: Build, logs: PathBuf) -> Result<Self> {
        let shell = Shell::new(tree.folder(), build, logs)?;
        Ok(Self { tree, shell, proved: BTreeSet::new() })
    }

    /// Runs a suite without any mutant, the first time that one needs it.
    async fn prove(&mut self, suite: &Suite) -> Result<()> {
        if self.proved.contains(suite) {
            return Ok(());
        }
        let run = self.run("no-mutant", suite).await?;
        println!(
            "without a mutant: {suite} takes {} s after {} s of building",
            run.took.as_secs(),
            run.built.as_secs()
        );
        let log = self.shell.log(&log_name("no-mutant", suite));
        ensure!(
            run.verdict == Verdict::Survived,
            "{suite} does not pass without any mutant, so that it catches one would mean \
             nothing: {} ({})",
            run.verdict,
            log.display()
        );
        self.proved.insert(suite.clone());
        Ok(())
    }

    /// Tries each mutant in the suites that are to catch it, and begins no further one
    /// once this much time has passed.
    ///
    /// # Errors
    /// When a suite does not pass without a mutant, the user interrupts it, or the machine
    /// fails. That a mutant survives is a finding.
    pub async fn try_all(
        &mut self,
        mutants: &[Mutant],
        budget: Option<Duration>,
    ) -> Result<Findings> {
        let started = Instant::now();
        let mut findings = Findings::default();
        for (number, mutant) in (1..).zip(mutants) {
            if budget.is_some_and(|budget| started.elapsed() >= budget) {
                findings.not_tried.push(mutant.name.clone());
                continue;
            }
            for suite in &mutant.caught_by {
                self.prove(suite).await?;
            }
            println!("\n{number} of {}: {}\n    {}", mutants.len(), mutant.name, mutant.why);
            let found = self.try_one(mutant).await;
            self.tree.restore()?;
            findings.found.extend(found?);
        }
        Ok(findings)
    }

    async fn try_one(&mut self, mutant: &Mutant) -> Result<Vec<Finding>> {
        self.tree.apply(mutant)?;
        let mut findings = Vec::new();
        for suite in &mutant.caught_by {
            let Run { mut verdict, took, built } = self.run(&mutant.name, suite).await?;
            if verdict == Verdict::Hung && mutant.hangs_in.contains(suite) {
                verdict = Verdict::CaughtHanging;
            }
            println!(
                "    {suite}: {verdict} ({} s, {} s to build)",
                took.as_secs(),
                built.as_secs()
            );
            findings.push(Finding {
                mutant: mutant.name.clone(),
                suite: suite.to_string(),
                verdict,
                took,
                built,
            });
        }
        Ok(findings)
    }

    async fn run(&self, name: &str, suite: &Suite) -> Result<Run> {
        let log = self.shell.log(&log_name(name, suite));
        std::fs::write(&log, "")?;
        let started = Instant::now();
        let ended = self.shell.run(&suite.build(), &log, BUILD_LIMIT).await?;
        let built = started.elapsed();
        if ended != Ended::Passed {
            return Ok(Run { verdict: Verdict::Broken, took: Duration::ZERO, built });
        }
        let started = Instant::now();
        let verdict = self.run_built(suite, &log).await?;
        Ok(Run { verdict, took: started.elapsed(), built })
    }

    async fn run_built(&self, suite: &Suite, log: &Path) -> Result<Verdict> {
        let started = Instant::now();
        for command in suite.runs() {
            let ended = self
                .shell
                .run(&command, log, suite.limit().saturating_sub(started.elapsed()))
                .await?;
            let output = std::fs::read(log)?;
            match (ended, first_failure(&String::from_utf8_lossy(&output))) {
                (Ended::Passed, _) => {}
                (Ended::Failed | Ended::Killed, Some(failure)) => {
                    return Ok(Verdict::Caught(failure));
                }
                (Ended::Failed, None) => return Ok(Verdict::Unclear),
                (Ended::Killed, None) => return Ok(Verdict::Hung),
            }
        }
        Ok(Verdict::Survived)
    }
}

fn log_name(mutant: &str, suite: &Suite) -> String {
    format!("{mutant}-in-{suite}")
}
