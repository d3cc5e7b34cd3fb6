//! Without a majority of acceptors nothing is written and nothing is read linearizably;
//! local reads go on; all heals by itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tests::harness::cluster::{Cluster, Size, eventually};

use crate::synod;

/// Puts a key; again while there is nobody to take it.
async fn put(cluster: &Cluster, key: &str, value: &'static str) -> Result<()> {
    eventually("a write is acknowledged", || async {
        let status = cluster.http().put(key).body(value).send().await?.status();
        ensure!(status.is_success(), "{status}");
        Ok(())
    })
    .await
}

async fn assert_unavailable(
    cluster: &Cluster,
    request: reqwest::RequestBuilder,
    deadline: Duration,
) -> Result<Value> {
    let started = Instant::now();
    let response =
        request.header("synod-timeout", format!("{}ms", deadline.as_millis())).send().await?;
    let waited = started.elapsed();
    let by_default = Duration::from_secs(10);
    let status = response.status().as_u16();
    let retry_after = response.headers().contains_key("retry-after");
    let body = response.bytes().await?;
    let problem: Value = serde_json::from_slice(&body).context("an error is problem+json")?;
    ensure!(
        status == 503 && retry_after || status == 504,
        "{status}, Retry-After {retry_after}: {problem}\n{}",
        cluster.last_words()
    );
    ensure!(waited < by_default, "answered after {waited:?}, and not within its {deadline:?}");
    Ok(problem)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_only_local_reads_are_served_and_it_heals() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let key = format!("{}/v1/kv/kept", cluster.front());
    put(&cluster, &key, "before").await?;
    cluster.wait_until_equal().await?;

    for acceptor in ["acceptor-1", "acceptor-2"] {
        cluster.service(acceptor).signal(Signal::STOP)?;
    }
    let deadline = Duration::from_secs(3);
    let at_replica = cluster.http().get(format!("{}/v1/kv/kept", cluster.url("replica-1")));
    let read = assert_unavailable(&cluster, at_replica, deadline).await?;
    ensure!(read["status"] == 503, "a linearizable read without a quorum is answered 503: {read}");
    // It may also say that it has waited in vain for that answer.
    assert_unavailable(&cluster, cluster.http().get(&key), deadline).await?;
    let write =
        assert_unavailable(&cluster, cluster.http().put(&key).body("during"), deadline).await?;
    let outcome =
        write["outcome"].as_str().context("a refused mutation says its outcome")?.to_owned();
    ensure!(["unknown", "not_applied"].contains(&outcome.as_str()), "{write}");
    let local = cluster.http().get(format!("{key}?consistency=local")).send().await?;
    ensure!(
        local.status() == 200 && local.headers().contains_key("synod-lag"),
        "local reads go on"
    );
    ensure!(local.text().await? == "before");

    for acceptor in ["acceptor-1", "acceptor-2"] {
        cluster.service(acceptor).signal(Signal::CONT)?;
    }
    put(&cluster, &key, "after").await?;
    let read = cluster.http().get(&key).send().await?;
    ensure!(read.text().await? == "after");
    cluster.wait_until_equal().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_while_no_coordinator_leads() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let key = format!("{}/v1/kv/kept", cluster.front());
    put(&cluster, &key, "here").await?;
    cluster.wait_until_equal().await?;
    let coordinators = cluster.names("coordinator");
    // All at one moment, and only then wait for their ends. Reads would wait for what one
    // that takes over has begun to propose: nobody is left who could find out whether it
    // was chosen.
    coordinators
        .iter()
        .try_for_each(|coordinator| cluster.service(coordinator).signal(Signal::KILL))?;
    coordinators.iter().try_for_each(|coordinator| cluster.service(coordinator).kill())?;
    for replica in cluster.names("replica") {
        let url = format!("{}/v1/kv/kept", cluster.url(&replica));
        let read = cluster.http().get(url).send().await?;
        ensure!(
            read.status() == 200 && read.text().await? == "here",
            "{replica} reads linearizably without a coordinator"
        );
    }
    let write =
        assert_unavailable(&cluster, cluster.http().put(&key).body("no"), Duration::from_secs(2))
            .await?;
    ensure!(write["outcome"].is_string(), "{write}");
    Ok(())
}
