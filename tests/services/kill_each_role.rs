//! `kill -9` of each role in turn while 8 clients are at work: all that they were told
//! holds afterwards, on every replica.

use std::time::Duration;

use anyhow::Result;
use tests::harness::cluster::{Cluster, Size};
use tests::harness::mix::{Mix, Shape};
use tests::harness::recorder::Recorder;
use tests::harness::verify::verify;

use crate::synod;

/// How long the clients are at work before a kill, and while the service is dead.
const STRETCH: Duration = Duration::from_secs(2);
/// Mutations that must be acknowledged before a kill, and again after it, however long
/// that takes.
const PROGRESS: usize = 100;

async fn kill_under_load(cluster: &mut Cluster, mix: &mut Mix, victim: &str) -> Result<()> {
    tokio::time::sleep(STRETCH).await;
    mix.wait_for_progress(PROGRESS).await?;
    cluster.service(victim).kill()?;
    tokio::time::sleep(STRETCH).await;
    cluster.service(victim).start()?;
    cluster.wait_until_serving().await?;
    println!("killed {victim}");
    mix.wait_for_progress(PROGRESS).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_write_is_lost_when_any_one_service_is_killed() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let recorder = Recorder::new(0)?;
    let mut mix = Mix::start(&cluster, &recorder, Shape::default(), 0);
    let leader = cluster.leader().await?;
    kill_under_load(&mut cluster, &mut mix, &leader).await?;
    for acceptor in cluster.names("acceptor") {
        kill_under_load(&mut cluster, &mut mix, &acceptor).await?;
    }
    let primary = cluster.primary().await?;
    kill_under_load(&mut cluster, &mut mix, &primary).await?;
    let primary = cluster.primary().await?;
    let backup =
        cluster.names("replica").into_iter().find(|name| *name != primary).expect("three replicas");
    kill_under_load(&mut cluster, &mut mix, &backup).await?;
    kill_under_load(&mut cluster, &mut mix, "balancer-1").await?;
    mix.finish().await?;
    println!("{}", verify(&cluster, &recorder).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_data_is_there_after_every_service_was_killed_at_once() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let recorder = Recorder::new(0)?;
    let mut mix = Mix::start(&cluster, &recorder, Shape::default(), 0);
    tokio::time::sleep(STRETCH).await;
    mix.wait_for_progress(PROGRESS).await?;
    for name in cluster.all() {
        cluster.service(&name).kill()?;
    }
    mix.finish().await?;
    for name in cluster.all() {
        cluster.service(&name).start()?;
    }
    cluster.wait_until_serving().await?;
    verify(&cluster, &recorder).await?;
    Ok(())
}
