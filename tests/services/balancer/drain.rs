//! A replica is drained under load: it gets nothing new, what it has it finishes, who
//! watches goes on at another one, and nobody hears of a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client::{Client, EventKind};
use futures::StreamExt as _;
use tests::harness::cluster::{Cluster, PATIENCE, Size, eventually};
use tokio::task::JoinSet;

use super::{Load, drain, endpoint, grown, shown};
use crate::synod;

const BALANCER: &str = "balancer-1";
/// Of a list that is read while replicas are drained: more than what waits in sockets.
const LONG_KEYS: usize = 60;
const LONG_BYTES: usize = 100_000;
/// Who watches beside the one that is told of all.
const STREAMS: usize = 12;

/// How many watch each replica.
async fn watches(cluster: &Cluster) -> Result<BTreeMap<String, u64>> {
    let mut all = BTreeMap::new();
    for replica in cluster.names("replica") {
        let status = cluster.json(&replica, "/v1/status").await?;
        all.insert(replica, status["watches"].as_u64().context("watches")?);
    }
    Ok(all)
}

/// Reads a stream to its end, which must be none that is broken off.
async fn ends_cleanly(mut response: reqwest::Response) -> Result<()> {
    let end = async {
        while response.chunk().await?.is_some() {}
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, end).await.context("the stream goes on")?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_one_replica_after_the_other_is_drained() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let (http, door) = (cluster.http().clone(), cluster.url(BALANCER).to_owned());
    for key in 0..LONG_KEYS {
        let put = http.put(format!("{door}/v1/kv/long/{key}")).body(vec![b'x'; LONG_BYTES]);
        ensure!(put.send().await?.status().is_success());
    }
    let list = http.get(format!("{door}/v1/kv?prefix=long/"));
    let list = list.header("accept", "application/x-ndjson").timeout(PATIENCE * 2).send().await?;
    let told = Arc::<AtomicUsize>::default();
    let mut following = follow(&door, Arc::clone(&told))?;
    let reads = Load::of_reads(&cluster, BALANCER, 3, Duration::from_millis(3));
    let (writer, to) = (http.clone(), door.clone());
    let writes = Load::start(2, Duration::from_millis(3), move |client, number| {
        writer.put(format!("{to}/v1/kv/w/{client}/{number}")).body("v")
    });
    let primary = cluster.primary().await?;
    let mut order = cluster.names("replica");
    order.sort_by_key(|name| *name == primary);
    for replica in &order {
        streams_go_elsewhere(&cluster, replica).await.with_context(|| replica.clone())?;
        reads.goes_on(30).await?;
        writes.goes_on(10).await?;
        drain(&cluster, BALANCER, replica, false).await?;
    }
    reads.end().await?;
    let written = writes.end().await?.len();
    let listed = list.text().await?;
    ensure!(listed.lines().count() == LONG_KEYS, "{} items", listed.lines().count());
    let all_told = eventually("all that was written is told", || async {
        let told = told.load(Ordering::Relaxed);
        ensure!(told == written, "{told} of {written}");
        Ok(())
    });
    tokio::select! {
        all = all_told => all,
        Some(ended) = following.join_next() => ended?,
    }
}

/// Waits until so many watch; how many of them each replica.
async fn until_watching(cluster: &Cluster, count: u64) -> Result<BTreeMap<String, u64>> {
    eventually("as many watch", || async {
        let now = watches(cluster).await?;
        ensure!(now.values().sum::<u64>() == count, "{now:?}");
        Ok(now)
    })
    .await
}

/// Drains a replica of which some watch, in each format.
async fn streams_go_elsewhere(cluster: &Cluster, replica: &str) -> Result<()> {
    let before = until_watching(cluster, 1).await?;
    let mut streams = JoinSet::new();
    for accept in ["text/event-stream", "application/x-ndjson"].iter().cycle().take(STREAMS) {
        let url = format!("{}/v1/watch?prefix=w/", cluster.url(BALANCER));
        let response = cluster.http().get(url).timeout(PATIENCE * 2).header("accept", *accept);
        streams.spawn(ends_cleanly(response.send().await?));
    }
    let now = until_watching(cluster, 1 + STREAMS as u64).await?;
    let followed = now[replica] - before[replica];
    ensure!(followed >= 1, "nobody came to {replica}: {now:?}");
    drain(cluster, BALANCER, replica, true).await?;
    let drained = shown(cluster, BALANCER).await?;
    for _ in 0..followed {
        streams.join_next().await.context("a stream")???;
    }
    eventually("it has finished all that it had", || async {
        let later = shown(cluster, BALANCER).await?;
        ensure!(endpoint(&later, replica)?["requests"]["in_flight"] == 0, "{later}");
        let now = watches(cluster).await?;
        ensure!(now[replica] == 0, "{now:?}");
        Ok(())
    })
    .await?;
    let later = shown(cluster, BALANCER).await?;
    ensure!(grown(&drained, &later)?[replica] == 0, "it got requests: {drained} {later}");
    ensure!(streams.try_join_next().is_none(), "those of others go on");
    Ok(())
}

/// Follows all writes, none of which may be told twice; counts them.
fn follow(door: &str, count: Arc<AtomicUsize>) -> Result<JoinSet<Result<()>>> {
    let mut watched = Client::new(door)?.watch().prefix("w/").snapshot().stream();
    let mut following = JoinSet::new();
    following.spawn(async move {
        let mut told = BTreeSet::new();
        while let Some(event) = watched.next().await {
            let EventKind::Put(put) = event?.kind else { continue };
            ensure!(told.insert(put.item.key.clone()), "{} was told twice", put.item.key);
            count.store(told.len(), Ordering::Relaxed);
        }
        anyhow::bail!("the watch ended")
    });
    Ok(following)
}
