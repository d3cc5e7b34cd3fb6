//! `compare`: Synod beside etcd and ZooKeeper, measured in turns on one machine by one
//! generator. `docs/performance.md` says what is measured and how.
//!
//! In reading order: `args`, `workload` (what is asked), `systems` (of whom), `measure` (the
//! closed loop), `gap` (what a kill does), `proxies` (the balancer alone), `stage` (who
//! runs, and that nothing stays), `run` (all of it, step by step), `report`.

mod args;
mod client;
mod cpu;
mod disk;
mod gap;
mod http;
mod machine;
mod measure;
mod process;
mod proxies;
mod report;
mod run;
mod stage;
mod systems;
mod table;
mod workload;

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Args;
use crate::stage::Stage;

/// One thread: it takes as little as can be from what is measured beside it, and it is the
/// one whose end ends its children (`process`).
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut stage = Stage::new(&args.folder)?;
    let outcome = tokio::select! {
        outcome = run::all(&args, &mut stage) => outcome.map(|()| ExitCode::SUCCESS),
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
        _ = terminate.recv() => Ok(ExitCode::from(143)),
    };
    stage.end().await;
    outcome
}
