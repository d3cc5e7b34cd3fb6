//! The whole comparison, step by step.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use tokio::time::sleep;

use crate::args::{Args, Chosen};
use crate::client::Client;
use crate::cpu::{Named, Times};
use crate::disk;
use crate::gap;
use crate::machine::Machine;
use crate::measure;
use crate::proxies::{self, Proxy};
use crate::report::{Load, Measured, Report};
use crate::stage::Stage;
use crate::systems::{System, Victim};
use crate::workload::{KEYS, LARGE_KEYS, Operation, Workload};

/// How many clients write what is to be there before.
const WRITERS: usize = 64;
/// How often is written before the disk is looked at, the first time of each key included.
const DISK_WRITES: u32 = 100_000;
/// How long the systems are left alone before the disk is looked at, and watched while
/// nobody asks for anything.
const REST: Duration = Duration::from_secs(5);

pub(crate) async fn all(args: &Args, stage: &mut Stage) -> anyhow::Result<()> {
    let Chosen { workloads, proxying, disk, gap } = args.chosen()?;
    let mut report = Report::new(args, Machine::look(stage.folder())?);
    println!("{}", report.machine);
    if !workloads.is_empty() || gap {
        stage.start(args).await?;
        report.versions = versions(&stage.systems).await?;
        for system in &stage.systems {
            fill(system, &workloads).await?;
        }
    }
    if !workloads.is_empty() {
        warm_up(args, &stage.systems).await?;
        report.cpu_at_rest = at_rest(&stage.systems).await;
    }
    for workload in workloads {
        report.loads.push(load(args, &stage.systems, workload).await?);
    }
    if gap {
        for victim in [Victim::Primary, Victim::Leader] {
            for system in &mut stage.systems {
                report.gaps.extend(gap::measure(system, victim, args.kills).await?);
            }
        }
    }
    stage.end_systems().await;
    if proxying {
        stage.start_proxies(args).await?;
        report.versions.insert(proxies::HAPROXY.to_owned(), proxies::haproxy_version()?);
        report.proxying.push(load(args, &stage.proxies, Workload::PROXYING).await?);
        stage.end_systems().await;
    }
    if disk {
        stage.start(args).await?;
        report.versions.extend(versions(&stage.systems).await?);
        report.disk = disk_usage(&stage.systems).await?;
        stage.end_systems().await;
    }
    println!("{report}");
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)? + "\n")
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// What a workload can be run against.
trait Subject {
    fn name(&self) -> &str;
    fn processes(&self) -> Vec<Named>;
    async fn connect(&self, count: usize) -> anyhow::Result<Vec<Client>>;
}

impl Subject for System {
    fn name(&self) -> &str {
        self.name()
    }

    fn processes(&self) -> Vec<Named> {
        self.processes()
    }

    async fn connect(&self, count: usize) -> anyhow::Result<Vec<Client>> {
        self.connect(count).await
    }
}

impl Subject for Proxy {
    fn name(&self) -> &str {
        self.name()
    }

    fn processes(&self) -> Vec<Named> {
        self.processes()
    }

    async fn connect(&self, count: usize) -> anyhow::Result<Vec<Client>> {
        std::future::ready(Ok(self.connect(count))).await
    }
}

async fn versions(systems: &[System]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut versions = BTreeMap::new();
    for system in systems {
        versions.insert(system.name().to_owned(), system.version().await?);
    }
    Ok(versions)
}

async fn fill(system: &System, workloads: &[Workload]) -> anyhow::Result<()> {
    let filled = measure::fill(system.connect(WRITERS).await?, KEYS, Operation::Put).await;
    filled.with_context(|| format!("cannot fill {}", system.name()))?;
    if workloads.iter().any(|workload| workload.operation == Operation::PutLarge) {
        let clients = system.connect(WRITERS).await?;
        measure::fill(clients, LARGE_KEYS, Operation::Put).await?;
    }
    Ok(())
}

/// A run that does not count: a JVM is slow until it has compiled what is used most.
async fn warm_up(args: &Args, systems: &[System]) -> anyhow::Result<()> {
    for system in systems {
        for operation in [Operation::Put, Operation::Get] {
            eprintln!("warming up: {}", system.name());
            let clients = system.connect(WRITERS).await?;
            measure::run(clients, operation, args.duration(), &[]).await?;
        }
    }
    Ok(())
}

/// What each takes of a processor while nobody asks for anything, in percent.
async fn at_rest(systems: &[System]) -> BTreeMap<String, f64> {
    let before: Vec<(Vec<Named>, Times)> =
        systems.iter().map(|system| (system.processes(), Times::of(&system.processes()))).collect();
    sleep(REST).await;
    let share = |(system, (processes, before)): (&System, &(Vec<Named>, Times))| {
        let used = Times::of(processes).since(before).total();
        (system.name().to_owned(), 100.0 * used.as_secs_f64() / REST.as_secs_f64())
    };
    systems.iter().zip(&before).map(share).collect()
}

async fn load<S: Subject>(args: &Args, subjects: &[S], workload: Workload) -> anyhow::Result<Load> {
    let mut measured: Vec<Measured> =
        subjects.iter().map(|subject| Measured::new(subject.name().to_owned())).collect();
    for round in 1..=args.rounds {
        for (subject, measured) in subjects.iter().zip(&mut measured) {
            eprintln!("{}, {round} of {}: {}", workload.name, args.rounds, subject.name());
            let clients = subject.connect(workload.clients).await?;
            let (operation, processes) = (workload.operation, subject.processes());
            let round = measure::run(clients, operation, args.duration(), &processes).await;
            let context = || format!("{} of {}", workload.name, subject.name());
            measured.push(round.with_context(context)?);
        }
    }
    Ok(Load { workload: workload.name, systems: measured })
}

async fn disk_usage(systems: &[System]) -> anyhow::Result<BTreeMap<String, disk::Usage>> {
    for system in systems {
        eprintln!("{DISK_WRITES} writes: {}", system.name());
        fill(system, &[]).await?;
        let clients = system.connect(WRITERS).await?;
        measure::write(clients, Operation::Put, DISK_WRITES - KEYS.count).await?;
    }
    sleep(REST).await;
    systems.iter().map(|system| Ok((system.name().to_owned(), system.disk()?))).collect()
}
