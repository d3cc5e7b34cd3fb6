//! Replicas are taken out for good, under load: no client of the balancer notices, what was
//! taken out does not come back with its data, and a new one of its name may join.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::StatusCode;
use serde_json::Value;
use shared::service::REMOVED;
use tests::harness::cluster::{Cluster, Size, eventually};
use tokio::time::sleep;

use crate::switch_over::{Load, Refused};
use crate::synod;

const ENDING: Duration = Duration::from_secs(20);
/// Between two changes.
const PEACE: Duration = Duration::from_millis(300);

/// Has a replica taken out, and says what came of that.
async fn take_out(cluster: &Cluster, asked: &str, replica: &str) -> Result<(StatusCode, Value)> {
    let url = format!("{}/v1/cluster/replicas/{replica}", cluster.url(asked));
    let response = cluster.http().delete(url).send().await?;
    Ok((response.status(), response.json().await?))
}

/// It is out by the view that is answered, ends by itself, and says why. It is asked for again
/// for as long as that is refused for now, as one is that has just joined and is yet to hold
/// durably what is trimmed.
async fn is_out(cluster: &mut Cluster, asked: &str, replica: &str) -> Result<()> {
    let view = eventually("it may be taken out", async || {
        let (status, said) = take_out(cluster, asked, replica).await?;
        ensure!(status == StatusCode::OK, "{status}: {said}");
        Ok(said)
    })
    .await?;
    ensure!(!view.to_string().contains(replica), "{replica} is in {view}");
    ends(cluster, replica)?;
    eventually("nobody tells of it any more", async || {
        let told = cluster.json("balancer-1", "/v1/cluster").await?;
        let ids = told["replicas"].as_array().context("no replicas")?;
        ensure!(ids.iter().all(|shown| shown["id"] != replica), "{ids:?}");
        ensure!(!told["view"].to_string().contains(replica), "{}", told["view"]);
        Ok(())
    })
    .await
}

fn ends(cluster: &mut Cluster, replica: &str) -> Result<()> {
    let ended = cluster.service(replica).wait(ENDING).with_context(|| cluster.last_words())?;
    let said = cluster.service(replica).output()?;
    ensure!(ended.code() == Some(REMOVED.into()), "{replica} ended with {ended}: {said}");
    ensure!(said.contains("taken out of the cluster for good"), "{replica} says: {said}");
    ensure!(!said.contains("panicked"), "{replica} says: {said}");
    Ok(())
}

async fn is_refused(
    cluster: &Cluster,
    replica: &str,
    (status, says): (StatusCode, &str),
) -> Result<()> {
    let (answered, problem) = take_out(cluster, "balancer-1", replica).await?;
    let detail = problem["detail"].as_str().context("no detail")?;
    ensure!(answered == status && detail.contains(says), "{replica}: {answered} {problem}");
    ensure!(problem["outcome"] == "not_applied", "{replica}: {problem}");
    Ok(())
}

/// Whoever had no answer asks again, and nothing is done.
async fn is_answered_again(cluster: &Cluster, replica: &str) -> Result<()> {
    let before = cluster.json("balancer-1", "/v1/cluster").await?["view"]["epoch"].clone();
    for asked in ["balancer-1", cluster.primary().await?.as_str()] {
        eventually("it is asked for again, whoever leads", async || {
            let (status, view) = take_out(cluster, asked, replica).await?;
            ensure!(status == StatusCode::OK && view["epoch"] == before, "{status}: {view}");
            Ok(())
        })
        .await?;
    }
    let status = cluster.json(&cluster.primary().await?, "/v1/status").await?;
    let removed = status["removed"].as_array().context("nobody is out")?;
    ensure!(removed.iter().any(|removed| removed["replica"] == replica), "{removed:?}");
    Ok(())
}

async fn is_in_view(cluster: &Cluster, replicas: &[&str]) -> Result<()> {
    eventually("they are the view", async || {
        let told = cluster.json("balancer-1", "/v1/cluster").await?["view"].clone();
        let backups = told["backups"].as_array().context("no backups")?;
        let mut names: Vec<&str> = backups.iter().filter_map(Value::as_str).collect();
        names.extend(told["primary"].as_str());
        names.sort_unstable();
        ensure!(names == replicas, "{told}");
        Ok(())
    })
    .await
    .with_context(|| cluster.last_words())
}

/// How often the key was put, as each of these replicas counts.
async fn count(cluster: &Cluster, replicas: &[&str], acknowledged: usize) -> Result<()> {
    for replica in replicas {
        let url = format!("{}/v1/kv/kept", cluster.url(replica));
        let response = cluster.http().get(url).send().await?.error_for_status()?;
        let version = response.headers().get("synod-version").context("no version")?.to_str()?;
        ensure!(
            version == acknowledged.to_string(),
            "{replica} counts {version} puts, and {acknowledged} were acknowledged"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn replicas_are_taken_out_under_load_and_only_new_ones_come_back() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    is_refused(&cluster, "replica-9", (StatusCode::NOT_FOUND, "replica-9")).await?;
    is_refused(&cluster, "Replica", (StatusCode::BAD_REQUEST, "Replica")).await?;
    let load = Load::start(cluster.front(), "kept", Refused::Fail);
    sleep(PEACE).await;

    let primary = cluster.primary().await?;
    let mut backups = cluster.names("replica");
    backups.retain(|name| *name != primary);
    let (backup, other) = (backups[0].clone(), backups[1].clone());
    is_out(&mut cluster, "balancer-1", &backup).await?;
    is_answered_again(&cluster, &backup).await?;
    sleep(PEACE).await;

    // With its data it ends, and nobody takes it in; without, it is another one.
    cluster.service(&backup).start()?;
    ends(&mut cluster, &backup)?;
    let mut left = [primary.as_str(), other.as_str()];
    left.sort_unstable();
    is_in_view(&cluster, &left).await?;
    std::fs::remove_dir_all(cluster.data_dir(&backup))?;
    cluster.service(&backup).start()?;
    is_in_view(&cluster, &["replica-1", "replica-2", "replica-3"]).await?;
    sleep(PEACE).await;

    // It is asked itself, so its answer comes while it ends.
    is_out(&mut cluster, &primary, &primary).await?;
    let mut left = [backup.as_str(), other.as_str()];
    left.sort_unstable();
    is_in_view(&cluster, &left).await?;
    sleep(PEACE).await;
    let told = load.finish().await.with_context(|| cluster.last_words())?;
    count(&cluster, &left, told.writes()).await?;
    println!("{told}");

    let primary = cluster.primary().await?;
    let backup = if primary == left[0] { left[1] } else { left[0] }.to_owned();
    is_out(&mut cluster, "balancer-1", &backup).await?;
    is_refused(&cluster, &primary, (StatusCode::CONFLICT, "is the last replica")).await?;
    let url = format!("{}/v1/kv/after", cluster.front());
    cluster.http().put(url).body("v").send().await?.error_for_status()?;

    // Who stood by remembers it.
    let leader = cluster.leader().await?;
    cluster.service(&leader).kill()?;
    is_answered_again(&cluster, &backup).await
}
