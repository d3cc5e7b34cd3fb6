//! A replica with an empty folder begins with another one's state where nobody keeps the log
//! from its beginning, wherever it is killed.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::RngExt as _;
use serde_json::json;
use tests::harness::cluster::{Cluster, Size, eventually};

use crate::synod;

const WRITES: u64 = 200;
const STOPPING: Duration = Duration::from_secs(20);
/// How often it is killed on the way, and how long after it was started.
const KILLS: u32 = 6;
const SOON: Duration = Duration::from_millis(800);

async fn put(cluster: &Cluster, key: &str, body: String) -> Result<()> {
    let url = format!("{}/v1/kv/{key}", cluster.front());
    cluster.http().put(url).body(body).send().await?.error_for_status()?;
    Ok(())
}

/// The same at both: keys, the log and its hash, locks.
async fn ensure_same(cluster: &Cluster, new: &str, other: &str) -> Result<()> {
    let executed = cluster.json(new, "/v1/status").await?["executed_below"].as_u64();
    let last = executed.context("it has executed the log")? - 2;
    for path in ["/v1/kv?limit=1000", &format!("/v1/log?limit=1&from={last}"), "/v1/locks"] {
        let (found, expected) = (cluster.json(new, path).await?, cluster.json(other, path).await?);
        let parts = |page: &serde_json::Value| [page["items"].clone(), page["log"].clone()];
        ensure!(parts(&found) == parts(&expected), "{path}: {found} and not {expected}");
    }
    Ok(())
}

/// Nobody has the beginning of the log any more: acceptors trim it, and what others remember
/// of it is gone with their processes.
async fn forget_the_log(cluster: &mut Cluster) -> Result<()> {
    for acceptor in cluster.names("acceptor") {
        eventually("it is trimmed", || async {
            let trimmed = cluster.json(&acceptor, "/v1/status").await?["trimmed_below"].as_u64();
            ensure!(trimmed > Some(WRITES / 4), "{acceptor} has trimmed below {trimmed:?}");
            Ok(())
        })
        .await?;
    }
    for name in [cluster.names("coordinator"), cluster.names("replica")].concat() {
        cluster.service(&name).terminate(STOPPING)?;
        cluster.service(&name).start()?;
        cluster.wait_until_whole().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_without_a_state_begins_with_another_ones_wherever_it_is_killed() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    for n in 0..WRITES {
        put(&cluster, &format!("k/{}", n % 40), n.to_string()).await?;
    }
    let leases = format!("{}/v1/leases", cluster.front());
    let lease = cluster.http().post(leases).header("content-type", "application/json");
    let lease = lease.body(json!({"ttl_ms": 600_000}).to_string()).send().await?;
    let lease: serde_json::Value =
        serde_json::from_slice(&lease.error_for_status()?.bytes().await?)?;
    let url = format!("{}/v1/locks/l", cluster.front());
    let lock = cluster.http().put(url).header("content-type", "application/json");
    let held = lock.body(json!({"lease": lease["id"]}).to_string()).send().await?;
    held.error_for_status()?;

    let compact = format!("{}/v1/compact", cluster.front());
    let compact = cluster.http().post(compact).header("content-type", "application/json");
    let compacted = compact.body(json!({"revision": WRITES}).to_string()).send().await?;
    compacted.error_for_status()?;

    forget_the_log(&mut cluster).await?;
    cluster.service("replica-3").terminate(STOPPING)?;
    fs::remove_dir_all(cluster.data_dir("replica-3"))?;
    for n in 0..KILLS {
        cluster.service("replica-3").start()?;
        let lived = rand::rng().random_range(Duration::ZERO..SOON);
        tokio::time::sleep(lived).await;
        put(&cluster, "on", n.to_string()).await?;
        cluster.service("replica-3").kill()?;
    }
    cluster.service("replica-3").start()?;
    cluster.wait_until_whole().await?;
    put(&cluster, "last", "one".to_owned()).await?;
    let url = format!("{}/v1/kv/last", cluster.url("replica-3"));
    eventually("it reads what was written last", || async {
        let answer = cluster.http().get(&url).send().await?.error_for_status()?;
        ensure!(answer.text().await? == "one");
        Ok(())
    })
    .await?;
    ensure_same(&cluster, "replica-3", "replica-1").await?;
    let status = cluster.json("replica-3", "/v1/status").await?;
    let written = status["keys_written"].as_u64().context("it counts keys")?;
    ensure!(written < WRITES / 2, "it has not executed the log: {status}");
    let said = cluster.service("replica-3").output()?;
    ensure!(said.contains("replica-3 begins anew"), "it says so: {said}");
    ensure!(!said.contains("panicked"), "{said}");

    // What it has is whole, and all that there is.
    let dir = cluster.data_dir("replica-3");
    cluster.service("replica-3").terminate(STOPPING)?;
    let dir = dir.to_str().context("a path is UTF-8")?;
    let verified = tokio::process::Command::new(synod()).args(["verify", dir]).output().await?;
    ensure!(verified.status.success(), "{verified:?}");
    for left in ["incoming.sqlite", "next.sqlite"] {
        ensure!(!cluster.data_dir("replica-3").join(left).exists(), "{left} is left");
    }
    Ok(())
}
