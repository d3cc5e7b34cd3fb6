//! What the promise in README says of lost disks, with what acceptors have trimmed: how
//! far that is, and which replicas can bring it back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::harness::cluster::{Cluster, Options, eventually};
use tests::harness::mix::{Mix, Shape};
use tests::harness::recorder::{Ask, Recorder};
use tests::harness::verify::verify;
use tests::operations::{Call, Guard};

use crate::synod;

/// Mutations that must be acknowledged in each act.
const PROGRESS: usize = 100;
/// Twice the time from a commit until it is said to be durable, and one for a busy
/// machine.
const DURABLE: Duration = Duration::from_secs(6);

/// The lowest slot that every acceptor has.
async fn trimmed_below(cluster: &Cluster) -> Result<u64> {
    let mut lowest = u64::MAX;
    for acceptor in cluster.names("acceptor") {
        let status = cluster.json(&acceptor, "/v1/status").await?;
        lowest = lowest.min(status["trimmed_below"].as_u64().context("a watermark")?);
    }
    Ok(lowest)
}

async fn executed_below(cluster: &Cluster, replica: &str) -> Result<u64> {
    let status = cluster.json(replica, "/v1/status").await?;
    Ok(status["executed_slot"].as_u64().context("it has executed something")? + 1)
}

/// Ends two replicas for good, with their disks, and both coordinators; then starts what
/// is to live.
fn lose(cluster: &mut Cluster, lost: &[String], left: &str) -> Result<()> {
    for name in [lost, &cluster.names("coordinator")].concat() {
        cluster.service(&name).kill()?;
    }
    for name in lost {
        std::fs::remove_dir_all(cluster.data_dir(name))?;
    }
    cluster.service(left).ensure_running()?;
    for name in [&cluster.names("coordinator"), lost].concat() {
        cluster.service(&name).start()?;
    }
    Ok(())
}

/// Ends one backup, and has the others go on without it. Names the primary, the one that is
/// down, and the other.
async fn without_the_slowest(
    cluster: &mut Cluster,
    mix: &mut Mix,
) -> Result<(String, String, String)> {
    let primary = cluster.primary().await?;
    let mut others = cluster.names("replica");
    others.retain(|name| *name != primary);
    let (slowest, other) = (others.remove(0), others.remove(0));
    cluster.service(&slowest).kill()?;
    mix.wait_for_progress(PROGRESS).await?;
    Ok((primary, slowest, other))
}

/// The first act: the slowest replica is down, so nothing is trimmed that it lacks, and
/// the disks of the other two may be lost. The second: all three have it durably, so it is
/// trimmed, and any two disks may be lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn two_disks_and_both_coordinators_lose_nothing_while_the_slowest_replica_is_waited_for()
-> Result<()> {
    let mut cluster = Cluster::start_with(synod(), &Options::default()).await?;
    let recorder = Recorder::new(0)?;
    let mut mix = Mix::start(&cluster, &recorder, Shape::default(), 0);
    mix.wait_for_progress(PROGRESS).await?;
    let (primary, slowest, other) = without_the_slowest(&mut cluster, &mut mix).await?;
    tokio::time::sleep(DURABLE).await;
    mix.wait_for_progress(PROGRESS).await?;
    mix.finish().await?;
    let trimmed = trimmed_below(&cluster).await?;
    let newest = executed_below(&cluster, &primary).await?;
    lose(&mut cluster, &[primary, other], &slowest)?;
    cluster.wait_until_serving().await?;
    verify(&cluster, &recorder).await.context("while the slowest is waited for")?;
    ensure!(trimmed < newest, "all {newest} slots were trimmed, of which {slowest} lacks some");

    eventually("all is trimmed that was executed then", || async {
        let trimmed = trimmed_below(&cluster).await?;
        ensure!(trimmed >= newest, "trimmed below {trimmed} of {newest}");
        Ok(())
    })
    .await?;
    let all = cluster.names("replica");
    lose(&mut cluster, &all[..2], &all[2])?;
    cluster.wait_until_serving().await?;
    verify(&cluster, &recorder).await.context("once all have it")?;
    Ok(())
}

/// Past the bound nobody waits for the slowest, and what two have is trimmed. One of the
/// two disks may be lost then; with both, what only they had is gone, and that is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_the_bound_one_of_two_disks_may_be_lost_and_the_loss_of_both_is_said() -> Result<()> {
    let soon = [("SYNOD_TRIM_BEHIND_SECONDS", "1")];
    let options = Options { env: &soon, ..Options::default() };
    let mut cluster = Cluster::start_with(synod(), &options).await?;
    let recorder = Recorder::new(0)?;
    let mut mix = Mix::start(&cluster, &recorder, Shape::default(), 0);
    mix.wait_for_progress(PROGRESS).await?;
    let (primary, slowest, other) = without_the_slowest(&mut cluster, &mut mix).await?;
    mix.finish().await?;
    trimmed_without_the_slowest(&cluster, &recorder).await?;
    lose(&mut cluster, std::slice::from_ref(&primary), &other)?;
    cluster.wait_until_serving().await?;
    cluster.service(&slowest).ensure_running()?;
    verify(&cluster, &recorder).await.context("one disk of two is left")?;

    cluster.service(&slowest).kill()?;
    trimmed_without_the_slowest(&cluster, &recorder).await?;
    lose(&mut cluster, &[primary, other], &slowest)?;
    eventually("the replica that is left says what it lacks", || async {
        let url = format!("{}/readyz", cluster.url(&slowest));
        let text = cluster.http().get(url).send().await?.text().await?;
        ensure!(text.contains("are missing") && text.contains("trimmed"), "{slowest}: {text}");
        Ok(())
    })
    .await?;
    let read = recorder.perform(Ask::at(cluster.front()), Call::read("hot/0")).await?;
    ensure!(!read.is_answered(), "answered although writes are lost: {read:?}");
    Ok(())
}

/// Writes until all that was written before is trimmed.
async fn trimmed_without_the_slowest(cluster: &Cluster, recorder: &Recorder) -> Result<()> {
    let primary = cluster.primary().await?;
    recorder.put(Ask::at(cluster.front()), "hot/0", Guard::Always).await?;
    let newest = executed_below(cluster, &primary).await?;
    eventually("what two have is trimmed", || async {
        // Whether somebody is behind is looked at when something is chosen.
        recorder.put(Ask::at(cluster.front()), "hot/0", Guard::Always).await?;
        let trimmed = trimmed_below(cluster).await?;
        ensure!(trimmed >= newest, "trimmed below {trimmed} of {newest}");
        Ok(())
    })
    .await
}
