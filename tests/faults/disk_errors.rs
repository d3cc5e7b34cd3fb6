//! Disks that fail: a write or a sync that returns an error ends the process, loudly, and
//! nothing is acknowledged from memory.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::harness::cluster::{Cluster, Options, PATIENCE};
use tests::harness::errors::{Failing, Injection, can_inject};
use tests::harness::mix::Shape;

use crate::scenario::Scenario;

/// What brings bytes to a disk, in the acceptor and in SQLite.
const WRITES: &str = "pwrite64";
const SYNCS: &str = "fdatasync,fsync";

fn inject(cluster: &mut Cluster, name: &str, calls: &str, error: &str) -> Result<Injection> {
    let log = cluster.dir().join(format!("{name}.strace"));
    Injection::start(cluster.service(name).pid()?, calls, Failing::With(error), &log)
        .with_context(|| format!("failing {calls} of {name}"))
}

/// Takes the errors away, and sees to it that the service met some.
fn met(injection: Injection, name: &str, calls: &str, error: &str) -> Result<()> {
    let failed = injection.end()?;
    println!("  {failed} {calls} of {name} failed with {error}");
    ensure!(failed > 0, "no {calls} of {name} failed with {error}");
    Ok(())
}

/// Waits until a service has ended by itself, and that it said why; then starts it again.
fn ends_loudly(scenario: &mut Scenario, name: &str, calls: &str) -> Result<()> {
    let service = scenario.cluster.service(name);
    let status =
        service.wait(PATIENCE).with_context(|| format!("{name} goes on although {calls} fails"))?;
    ensure!(!status.success(), "{name} ended with {status} although {calls} failed");
    let output = service.output()?;
    let end: Vec<&str> = output.lines().rev().take(4).collect();
    let said = end.join("\n");
    ensure!(
        said.contains("ERROR") || said.contains("error"),
        "{name} does not say why it ended: {said}"
    );
    ensure!(!said.contains("panicked"), "{name} panicked: {said}");
    service.start()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acceptor_whose_disk_fails_ends_and_has_acknowledged_nothing() -> Result<()> {
    if !can_inject()? {
        return Ok(());
    }
    Scenario::run("failing acceptors", &Options::default(), Shape::default(), async |scenario| {
        for calls in [SYNCS, WRITES] {
            let injection = inject(&mut scenario.cluster, "acceptor-1", calls, "EIO")?;
            ends_loudly(scenario, "acceptor-1", calls)?;
            met(injection, "acceptor-1", calls, "EIO")?;
            scenario.mix.wait_for_progress(100).await?;
        }
        for calls in [SYNCS, WRITES] {
            a_quorum_fails(scenario, calls).await?;
            scenario.mix.wait_for_progress(100).await.context("a quorum is back")?;
        }
        scenario.mix.check()
    })
    .await
}

/// With two of three acceptors unable to keep anything, nothing may be acknowledged that
/// was asked for from then on.
async fn a_quorum_fails(scenario: &mut Scenario, calls: &str) -> Result<()> {
    let first = inject(&mut scenario.cluster, "acceptor-1", calls, "EIO")?;
    let second = inject(&mut scenario.cluster, "acceptor-2", calls, "EIO")?;
    let from = scenario.recorder.now();
    for name in ["acceptor-1", "acceptor-2"] {
        let status = scenario.cluster.service(name).wait(PATIENCE)?;
        ensure!(!status.success(), "{name} ended with {status} although {calls} failed");
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let until = scenario.recorder.now();
    met(first, "acceptor-1", calls, "EIO")?;
    met(second, "acceptor-2", calls, "EIO")?;
    for name in ["acceptor-1", "acceptor-2"] {
        scenario.cluster.service(name).start()?;
    }
    let (from, until) = (u64::try_from(from.as_nanos())?, u64::try_from(until.as_nanos())?);
    for operation in scenario.recorder.history() {
        if operation.outcome.is_acknowledged() {
            let from_memory = operation.called > from && operation.returned < until;
            ensure!(!from_memory, "acknowledged although no quorum could keep it: {operation:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn a_replica_whose_disk_fails_ends_and_another_takes_over() -> Result<()> {
    if !can_inject()? {
        return Ok(());
    }
    Scenario::run("failing replicas", &Options::default(), Shape::default(), async |scenario| {
        for calls in [WRITES, SYNCS] {
            let (primary, backups) = scenario.replicas().await?;
            for name in [&primary, &backups[0]] {
                let injection = inject(&mut scenario.cluster, name, calls, "EIO")?;
                ends_loudly(scenario, name, calls)?;
                met(injection, name, calls, "EIO")?;
                scenario
                    .mix
                    .wait_for_progress(100)
                    .await
                    .with_context(|| format!("{name} is back"))?;
            }
        }
        scenario.mix.check()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_that_are_told_of_a_full_disk_stay_and_heal() -> Result<()> {
    if !can_inject()? {
        return Ok(());
    }
    Scenario::run("told of full disks", &Options::default(), Shape::default(), async |scenario| {
        let (primary, backups) = scenario.replicas().await?;
        for name in [&primary, &backups[0], "acceptor-1"] {
            let pid = scenario.cluster.service(name).pid()?;
            let injection = inject(&mut scenario.cluster, name, WRITES, "ENOSPC")?;
            tokio::time::sleep(Duration::from_secs(2)).await;
            met(injection, name, WRITES, "ENOSPC")?;
            scenario
                .mix
                .wait_for_progress(100)
                .await
                .with_context(|| format!("{name} has space again"))?;
            ensure!(scenario.cluster.service(name).pid()? == pid, "{name} was never restarted");
        }
        scenario.mix.check()
    })
    .await
}
