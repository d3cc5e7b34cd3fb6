//! Services of two clusters meet at one address: the disks of all acceptors and of one replica
//! are lost, and everything starts on the same addresses, so that a new cluster forms beside
//! replicas of the old one; or a replica of another cluster is given the address of one of
//! ours.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::harness::cluster::{Cluster, PATIENCE, Size, eventually};
use tests::harness::process::Process;

use crate::synod;

/// The exit code of what starting again will not help.
const MISCONFIGURED: i32 = 78;
const STOPPING: Duration = Duration::from_secs(20);
const KEYS: u32 = 300;
/// The one that is in the new cluster from its beginning.
const FRESH: &str = "replica-1";
const OLD: [&str; 2] = ["replica-2", "replica-3"];

/// A cluster with data that has stopped, and lost these disks.
async fn lost() -> Result<Cluster> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    for key in 0..KEYS {
        let url = format!("{}/v1/kv/k{key}", cluster.front());
        cluster.http().put(&url).body("old").send().await?.error_for_status()?;
    }
    cluster.wait_until_equal().await?;
    for name in cluster.all() {
        cluster.service(&name).terminate(STOPPING)?;
    }
    lose_disks(&cluster)?;
    Ok(cluster)
}

fn lose_disks(cluster: &Cluster) -> Result<()> {
    for name in cluster.names("acceptor").into_iter().chain([FRESH.to_owned()]) {
        fs::remove_dir_all(cluster.data_dir(&name))?;
    }
    Ok(())
}

/// A linearizable read gives what the new cluster has written, and never an old value.
async fn read(cluster: &Cluster, from: &str, key: u32) -> Result<Option<String>> {
    let url = format!("{}/v1/kv/k{key}", cluster.url(from));
    let Ok(response) = cluster.http().get(url).timeout(Duration::from_secs(2)).send().await else {
        return Ok(None);
    };
    if !response.status().is_success() {
        return Ok(None);
    }
    let value = response.text().await?;
    ensure!(value != "old", "{from} answers k{key} from the old cluster");
    Ok(Some(value))
}

/// Old values are never read, new ones are written and read again, and the replicas of
/// the old cluster end.
async fn a_new_cluster_works(cluster: &mut Cluster) -> Result<()> {
    let url = format!("{}/v1/kv/k0", cluster.front());
    let begun = Instant::now();
    let mut is_written = false;
    while !is_written {
        ensure!(begun.elapsed() < PATIENCE, "no write is acknowledged");
        for replica in [FRESH].into_iter().chain(OLD) {
            read(cluster, replica, 0).await?;
        }
        let write = cluster.http().put(&url).timeout(Duration::from_secs(2)).body("new");
        is_written = write.send().await.is_ok_and(|answer| answer.status().is_success());
    }
    let seen = read(cluster, FRESH, 0).await?;
    ensure!(seen.as_deref() == Some("new"), "{FRESH} reads {seen:?}");
    for key in 1..KEYS / 10 {
        let url = format!("{}/v1/kv/k{key}", cluster.front());
        eventually("a write is acknowledged", || async {
            cluster.http().put(&url).body("new").send().await?.error_for_status()?;
            Ok(())
        })
        .await?;
        let seen = read(cluster, FRESH, key).await?;
        ensure!(seen.as_deref() == Some("new"), "{FRESH} reads {seen:?}");
    }
    let held = cluster.contents(FRESH, "k").await?;
    ensure!(held.len() == KEYS as usize / 10, "{} keys: {held:?}", held.len());
    ensure!(held.values().all(|value| value == "new"), "{held:?}");
    Ok(())
}

fn the_old_replicas_end(cluster: &mut Cluster) -> Result<()> {
    for name in OLD {
        let ended = cluster.service(name).wait(PATIENCE)?;
        ensure!(ended.code() == Some(MISCONFIGURED), "{name} ended with {ended}");
        let output = cluster.service(name).output()?;
        ensure!(output.contains("the data directory is of cluster"), "{name} says {output}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_cluster_learns_nothing_of_the_old_one_though_coordinators_come_late() -> Result<()> {
    let mut cluster = lost().await?;
    let coordinators = cluster.names("coordinator");
    for name in cluster.all().into_iter().filter(|name| !coordinators.contains(name)) {
        cluster.service(&name).start()?;
    }
    // What is tested is the wait: by then everything else has found everything.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for name in coordinators {
        cluster.service(&name).start()?;
    }
    a_new_cluster_works(&mut cluster).await?;
    the_old_replicas_end(&mut cluster)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_cluster_learns_nothing_of_the_old_one_when_all_start_at_once() -> Result<()> {
    let mut cluster = lost().await?;
    for name in cluster.all() {
        cluster.service(&name).start()?;
    }
    a_new_cluster_works(&mut cluster).await?;
    the_old_replicas_end(&mut cluster)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coordinators_that_live_on_end_when_their_acceptors_have_lost_their_data() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let url = format!("{}/v1/kv/k0", cluster.front());
    cluster.http().put(&url).body("old").send().await?.error_for_status()?;
    for name in cluster.names("acceptor").into_iter().chain([FRESH.to_owned()]) {
        cluster.service(&name).terminate(STOPPING)?;
    }
    lose_disks(&cluster)?;
    for name in cluster.names("acceptor").into_iter().chain([FRESH.to_owned()]) {
        cluster.service(&name).start()?;
    }
    for name in cluster.names("coordinator") {
        let ended = cluster.service(&name).wait(PATIENCE)?;
        ensure!(ended.code() == Some(MISCONFIGURED), "{name} ended with {ended}");
        let output = cluster.service(&name).output()?;
        ensure!(output.contains("has lost its data"), "{name} says {output}");
    }
    read(&cluster, FRESH, 0).await.context("it has no cluster, and no data")?;
    for name in cluster.names("coordinator") {
        cluster.service(&name).start()?;
    }
    a_new_cluster_works(&mut cluster).await?;
    the_old_replicas_end(&mut cluster)
}

/// Sends to the balancer for as long as a balancer believes what it was told of a member, and
/// longer.
const BESIDE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_of_another_cluster_at_the_address_of_one_of_ours_is_asked_for_nothing()
-> Result<()> {
    let mut ours = Cluster::start(synod(), Size::default(), &[]).await?;
    let mut theirs = Cluster::start(synod(), Size::default(), &[]).await?;
    for (cluster, value) in [(&ours, "ours"), (&theirs, "theirs")] {
        let url = format!("{}/v1/kv/k", cluster.front());
        cluster.http().put(url).body(value).send().await?.error_for_status()?;
        cluster.wait_until_equal().await?;
    }
    let primary = ours.primary().await?;
    let names = ours.names("replica");
    let gone = names.iter().find(|name| **name != primary).context("a backup")?.clone();
    ours.service(&gone).kill()?;
    theirs.service(&gone).kill()?;
    let acceptors = theirs.names("acceptor");
    let acceptors: Vec<&str> = acceptors.iter().map(|name| theirs.url(name)).collect();
    let listen = ours.url(&gone).trim_start_matches("http://").to_owned();
    let data = theirs.data_dir(&gone).to_string_lossy().into_owned();
    let args = ["replica", "--id", &gone, "--listen", &listen, "--data-dir", &data];
    let acceptors = acceptors.join(",");
    let args = args.into_iter().chain(["--acceptors", &acceptors]).map(str::to_owned);
    let logs = tempfile::tempdir()?;
    let mut foreign = Process::new(&gone, synod(), args.collect(), logs.path());
    foreign.start()?;
    let theirs_ready = format!("{}/readyz", ours.url(&gone));
    eventually("it is ready there", || async {
        ours.http().get(&theirs_ready).send().await?.error_for_status()?;
        Ok(())
    })
    .await?;
    // It becomes the primary of its own, by a later epoch than any of ours.
    eventually("it is primary there", || async {
        let url = format!("{}/v1/cluster/primary", theirs.front());
        let asked = serde_json::json!({ "replica": &gone });
        theirs.http().post(url).json(&asked).send().await?.error_for_status()?;
        Ok(())
    })
    .await?;
    let url = format!("{}/v1/kv/k", ours.front());
    let local = format!("{url}?consistency=local");
    let begun = Instant::now();
    let mut writes = 0;
    while begun.elapsed() < BESIDE {
        for read in [&url, &local] {
            let value = ours.http().get(read).send().await?.error_for_status()?.text().await?;
            ensure!(value == "ours", "{read} gives {value:?}");
        }
        let url = format!("{}/v1/kv/written-{writes}", ours.front());
        ours.http().put(url).body("ours").send().await?.error_for_status()?;
        writes += 1;
    }
    // What was executed last is in a local list once somebody has waited to read it.
    let last = format!("{}/v1/kv/written-{}", ours.url(&primary), writes - 1);
    ours.http().get(last).send().await?.error_for_status()?;
    let held = ours.contents(&primary, "written-").await?;
    ensure!(held.len() == writes, "{writes} writes are acknowledged, and {} are here", held.len());
    let strayed = theirs.contents(&primary, "written-").await?;
    ensure!(strayed.is_empty(), "the other cluster has {strayed:?}");
    let said = ours.service("balancer-1").output()?;
    ensure!(said.contains("a replica of another cluster answers there"), "{said}");
    let shown = &ours.json(&primary, "/v1/cluster").await?["replicas"];
    let shown = shown.as_array().into_iter().flatten().find(|shown| shown["id"] == gone.as_str());
    ensure!(shown.is_none_or(|shown| shown["healthy"] == false), "{shown:?}");
    foreign.kill()
}
