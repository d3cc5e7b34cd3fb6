//! `synod verify`: whether what is on disk is whole, while nothing runs on it, and without
//! changing a byte; and with `--cluster` whether the replicas that run have the same state
//! (`cluster`).
//!
//! Of an acceptor, every record against its checksum, and the chain through all segments. Of
//! a replica, SQLite's structure, every row against its checksum, the chain of the log, and
//! that both end alike; with `--execute` also that executing the log once more comes to the
//! same state. Of a folder of `synod up` all of them, and the replicas against each other.

mod cluster;
mod votes;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use acceptor::acceptor::Limits;
use anyhow::{Context, bail};
use clap::builder::BoolishValueParser;
use replica::diverged;
use replica::machine::state::Meta;
use replica::store::{audit, audit_snapshot, execute_again};
use serde::Serialize;
use shared::datadir::{lock_to_read, owner};
use shared::ids::{ClusterId, Name, Slot};
use shared::message::Service;

use crate::console;
use crate::endpoint::LateEndpoint;
use crate::output::{self, Format, Output};
use votes::Votes;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    endpoint: LateEndpoint,
    /// The data directory of an acceptor, a replica or `synod up`; or a snapshot
    #[arg(required_unless_present = "cluster")]
    path: Option<PathBuf>,
    /// Compare the states of the replicas that run, at one slot and while they go on. A
    /// replica that differs from a majority of the view ends
    #[arg(
        long,
        env = "SYNOD_CLUSTER",
        value_parser = BoolishValueParser::new(),
        conflicts_with_all = ["path", "execute"],
    )]
    cluster: bool,
    /// Execute the logs of replicas once more, and compare what it comes to: takes as long
    /// as it took the first time, and as much room in the folder for temporary files
    #[arg(long, env = "SYNOD_EXECUTE", value_parser = BoolishValueParser::new())]
    execute: bool,
}

/// What is done beyond reading.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Read,
    Execute,
}

/// What was found of one service, or of a snapshot.
#[derive(Debug, Serialize)]
struct Report {
    path: String,
    /// `acceptor`, `replica` or `snapshot`.
    kind: &'static str,
    /// How far it has come, in words.
    holds: String,
    /// What is wrong, in words.
    faults: Vec<String>,
}

impl Report {
    fn new(path: &Path, kind: &'static str) -> Self {
        let path = path.display().to_string();
        Self { path, kind, holds: String::from("nothing yet"), faults: Vec::new() }
    }
}

/// Verifies; succeeds only where nothing is wrong.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Some(path) = args.path else {
        return cluster::run(&args.endpoint.read()?, &args.output).await;
    };
    let depth = if args.execute { Depth::Execute } else { Depth::Read };
    let mut reports = Vec::new();
    if path.is_file() {
        reports.push(snapshot(&path).await);
    } else {
        let mut members = Members::default();
        for folder in folders(&path)? {
            reports.push(service(&folder, depth, &mut members).await?);
        }
        members.votes.compare(&mut reports);
    }
    let is_whole = reports.iter().all(|report| report.faults.is_empty());
    for report in &reports {
        say(report, args.output.format())?;
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn say(report: &Report, format: Format) -> anyhow::Result<()> {
    let Report { path, kind, holds, faults } = report;
    match format {
        Format::Json => output::json(report)?,
        Format::Plain | Format::Table => {
            let verdict = match faults.len() as u64 {
                0 => String::from("whole"),
                count => console::counted(count, "fault"),
            };
            output::line(format_args!("{path}\t{kind}\t{verdict}\t{holds}"))?;
            for fault in faults {
                output::line(format_args!("{path}\tfault\t{fault}"))?;
            }
        }
    }
    Ok(())
}

/// The folders of services: this one, or those in it.
fn folders(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if owner(path)?.is_some() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let folder = entry?.path();
        if folder.is_dir() && owner(&folder)?.is_some() {
            found.push(folder);
        }
    }
    found.sort();
    if found.is_empty() {
        bail!("{} is no data directory, and has none in it", path.display());
    }
    Ok(found)
}

async fn snapshot(path: &Path) -> Report {
    let mut report = Report::new(path, "snapshot");
    match replica::snapshot::file::check(path) {
        Ok(contents) => {
            match audit_snapshot(path, &reader()).await {
                Ok(faults) => report.faults = faults,
                Err(error) => report.faults.push(error.to_string()),
            }
            report.holds = format!(
                "revision {}, executed below {}, made at {} by {}",
                contents.revision, contents.executed_below, contents.made_at, contents.replica
            );
        }
        Err(error) => report.faults.push(error.to_string()),
    }
    report
}

/// Whose state a snapshot becomes for as long as it is read.
fn reader() -> Name {
    "verify".parse().expect("it is a name")
}

async fn service(folder: &Path, depth: Depth, members: &mut Members) -> anyhow::Result<Report> {
    let _lock = lock_to_read(folder)?;
    let (service, _name) = owner(folder)?.context("it was there a moment ago")?;
    match service {
        Service::Acceptor => Ok(acceptor(folder, &mut members.votes)),
        Service::Replica => replica(folder, depth, members).await,
        Service::Coordinator | Service::Balancer => {
            bail!("{} is a {}'s, which keeps nothing", folder.display(), service.as_str())
        }
    }
}

fn acceptor(folder: &Path, votes: &mut Votes) -> Report {
    let mut report = Report::new(folder, Service::Acceptor.as_str());
    match acceptor::inspect(&folder.join(acceptor::LOG), Limits::default()) {
        Ok(Some(acceptor)) => {
            let marks = acceptor.marks();
            report.holds = format!(
                "{}, voted below {}, trimmed below {}",
                console::counted(acceptor.vote_count() as u64, "vote"),
                marks.voted_below,
                marks.trimmed_below
            );
            votes.found.push((acceptor.roster().cloned(), acceptor.id(), marks.voted_below));
        }
        Ok(None) => votes.empty.push(report.path.clone()),
        Err(error) => report.faults.push(error.to_string()),
    }
    report
}

async fn replica(folder: &Path, depth: Depth, members: &mut Members) -> anyhow::Result<Report> {
    let mut report = Report::new(folder, Service::Replica.as_str());
    let diverged = diverged(folder).with_context(|| folder.display().to_string())?;
    let Some(found) = audit(folder).await? else {
        members.votes.stateless.push(report.path.clone());
        return Ok(report);
    };
    // What is not what its log comes to is all the more to be executed again.
    let whole = found.faults.is_empty();
    report.faults = diverged.into_iter().chain(found.faults).collect();
    if let Some(meta) = &found.meta {
        report.holds =
            format!("revision {}, executed below {}", meta.revision, meta.executed_below);
        report.faults.extend(members.replicas.compare(folder, meta, found.cluster));
        members.votes.executed.push((report.path.clone(), meta.executed_below));
    }
    if depth == Depth::Execute && whole {
        match execute_again(folder).await? {
            Some(faults) => report.faults.extend(faults),
            None => report.holds.push_str("; the beginning of its log is not kept"),
        }
    }
    Ok(report)
}

/// What the members of a folder say, to be held against each other.
#[derive(Debug, Default)]
struct Members {
    replicas: Replicas,
    votes: Votes,
}

/// What the replicas of a folder say that must be the same.
#[derive(Debug, Default)]
struct Replicas {
    cluster: Option<(PathBuf, ClusterId)>,
    by_slot: BTreeMap<Slot, (PathBuf, Meta)>,
}

impl Replicas {
    /// What one says that another one contradicts, in words.
    fn compare(&mut self, folder: &Path, meta: &Meta, cluster: Option<ClusterId>) -> Vec<String> {
        let mut faults = Vec::new();
        if let Some(cluster) = cluster {
            let (first, expected) = self.cluster.get_or_insert((folder.to_owned(), cluster));
            if *expected != cluster {
                let first = first.display();
                faults.push(format!("it is of cluster {cluster}, and {first} is of {expected}"));
            }
        }
        let first = self.by_slot.entry(meta.executed_below);
        let (first, expected) = first.or_insert_with(|| (folder.to_owned(), meta.clone()));
        if expected != meta {
            faults.push(format!(
                "below slot {} it has hash {} and revision {}, and {} has {} and {}",
                meta.executed_below,
                meta.hash,
                meta.revision,
                first.display(),
                expected.hash,
                expected.revision
            ));
        }
        faults
    }
}
