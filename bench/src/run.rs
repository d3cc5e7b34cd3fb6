//! The whole comparison, step by step.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::args::Args;
use crate::cpu::Times;
use crate::machine::Machine;
use crate::measure;
use crate::report::{self, Load, Measured, Report};
use crate::stage::Stage;
use crate::systems::System;
use crate::workload::{KEYS, LARGE_KEYS, Operation, Workload};

/// How many clients write what is to be there before.
const FILLERS: usize = 64;
/// How long the systems are watched while nobody asks for anything.
const REST: Duration = Duration::from_secs(2);

pub(crate) async fn all(args: &Args, stage: &mut Stage) -> anyhow::Result<()> {
    let workloads = chosen(args.only.as_deref())?;
    let machine = Machine::look(stage.folder())?;
    println!("{machine}");
    stage.start(&args.systems, &args.synod, args.base_port).await?;
    let mut report = Report {
        machine,
        versions: stage
            .systems
            .iter()
            .map(|system| Ok((system.name().to_owned(), system.version()?)))
            .collect::<anyhow::Result<_>>()?,
        rounds: args.rounds,
        seconds: args.seconds,
        cpu_at_rest: Default::default(),
        loads: Vec::new(),
    };
    for (name, version) in &report.versions {
        println!("{name}: {version}");
    }
    for system in &stage.systems {
        fill(system, &workloads).await?;
    }
    report.cpu_at_rest = at_rest(&stage.systems).await;
    for workload in &workloads {
        report.loads.push(load(args, &stage.systems, *workload).await?);
    }
    print(&report, args);
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)? + "\n")
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn chosen(only: Option<&[String]>) -> anyhow::Result<Vec<Workload>> {
    let Some(only) = only else { return Ok(Workload::ALL.to_vec()) };
    for name in only {
        let known = Workload::ALL.map(|workload| workload.name);
        ensure!(known.contains(&name.as_str()), "{name} is none of {}", known.join(", "));
    }
    let is_wanted = |workload: &Workload| only.iter().any(|name| name == workload.name);
    Ok(Workload::ALL.into_iter().filter(is_wanted).collect())
}

async fn fill(system: &System, workloads: &[Workload]) -> anyhow::Result<()> {
    let filled = measure::fill(system.connect(FILLERS).await?, KEYS, Operation::Put).await;
    filled.with_context(|| format!("cannot fill {}", system.name()))?;
    if workloads.iter().any(|workload| workload.operation == Operation::PutLarge) {
        let clients = system.connect(FILLERS).await?;
        measure::fill(clients, LARGE_KEYS, Operation::Put).await?;
    }
    Ok(())
}

/// What each takes of a processor while nobody asks for anything, in percent.
async fn at_rest(systems: &[System]) -> std::collections::BTreeMap<String, f64> {
    let processes: Vec<_> = systems.iter().map(System::processes).collect();
    let before: Vec<Times> = processes.iter().map(|processes| Times::of(processes)).collect();
    tokio::time::sleep(REST).await;
    let share = |index: usize| {
        let used = Times::of(&processes[index]).since(&before[index]).total();
        100.0 * used.as_secs_f64() / REST.as_secs_f64()
    };
    systems
        .iter()
        .enumerate()
        .map(|(index, system)| (system.name().to_owned(), share(index)))
        .collect()
}

async fn load(args: &Args, systems: &[System], workload: Workload) -> anyhow::Result<Load> {
    let mut measured: Vec<Measured> =
        systems.iter().map(|system| Measured::new(system.name().to_owned())).collect();
    let duration = Duration::from_secs(args.seconds.into());
    for round in 1..=args.rounds {
        for (system, measured) in systems.iter().zip(&mut measured) {
            eprintln!("{}, round {round} of {}: {}", workload.name, args.rounds, system.name());
            let clients = system.connect(workload.clients).await?;
            let processes = system.processes();
            measured.push(
                measure::run(clients, workload.operation, duration, &processes)
                    .await
                    .with_context(|| format!("{} of {}", workload.name, system.name()))?,
            );
        }
    }
    Ok(Load { workload: workload.name, systems: measured })
}

fn print(report: &Report, args: &Args) {
    let mut references: Vec<String> = Vec::new();
    if let [first, _, ..] = args.synod.as_slice() {
        references.push(first.label.clone());
    }
    references.extend(["etcd", "zookeeper"].map(str::to_owned));
    println!("\n{}", report::table(&report.loads, &references));
    println!("{}", report::cpu_by_process(&report.loads));
    for (name, percent) in &report.cpu_at_rest {
        println!("{name} at rest: {percent:.1} % of a processor");
    }
    print!("{}", report::errors(&report.loads));
}
