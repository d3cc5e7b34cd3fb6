//! `kill -9` of each role in turn while 8 clients write: every acknowledged write is on
//! every replica afterwards.

use std::time::Duration;

use anyhow::Result;
use tests::harness::cluster::{Cluster, Size};
use tests::harness::workload::{Told, Workload};

use crate::synod;

const CLIENTS: usize = 8;
/// How long the workload runs before the kill, while the service is dead, and after it is
/// back.
const STRETCH: Duration = Duration::from_secs(2);
/// Writes that must be acknowledged before a kill, and again after it, however long that
/// takes.
const PROGRESS: usize = 100;

async fn kill_under_load(cluster: &mut Cluster, victim: &str) -> Result<()> {
    let mut workload = Workload::start(cluster, CLIENTS, victim);
    tokio::time::sleep(STRETCH).await;
    workload.wait_for_progress(PROGRESS).await?;
    cluster.service(victim).kill()?;
    tokio::time::sleep(STRETCH).await;
    cluster.service(victim).start()?;
    tokio::time::sleep(STRETCH).await;
    workload.wait_for_progress(PROGRESS).await?;
    let record = workload.finish().await?;
    cluster.wait_until_serving().await?;
    cluster.wait_until_equal().await?;
    for replica in cluster.names("replica") {
        record.check(cluster, &replica).await?;
    }
    println!(
        "killed {victim}: {} acknowledged, {} refused, {} open, longest gap {:?}",
        record.count(Told::Acknowledged),
        record.count(Told::NotApplied),
        record.count(Told::Unknown),
        record.longest_gap(),
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost_when_any_one_service_is_killed() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let leader = cluster.leader().await?;
    kill_under_load(&mut cluster, &leader).await?;
    for acceptor in cluster.names("acceptor") {
        kill_under_load(&mut cluster, &acceptor).await?;
    }
    let primary = cluster.primary().await?;
    kill_under_load(&mut cluster, &primary).await?;
    let primary = cluster.primary().await?;
    let backup =
        cluster.names("replica").into_iter().find(|name| *name != primary).expect("three replicas");
    kill_under_load(&mut cluster, &backup).await?;
    kill_under_load(&mut cluster, "balancer-1").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_data_is_there_after_every_service_was_killed_at_once() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let mut workload = Workload::start(&cluster, CLIENTS, "all");
    tokio::time::sleep(STRETCH).await;
    workload.wait_for_progress(PROGRESS).await?;
    let names: Vec<String> = ["balancer", "coordinator", "acceptor", "replica"]
        .iter()
        .flat_map(|kind| cluster.names(kind))
        .collect();
    for name in &names {
        cluster.service(name).kill()?;
    }
    let record = workload.finish().await?;
    for name in &names {
        cluster.service(name).start()?;
    }
    cluster.wait_until_serving().await?;
    cluster.wait_until_equal().await?;
    for replica in cluster.names("replica") {
        record.check(&cluster, &replica).await?;
    }
    Ok(())
}
