//! The primary role moves while clients write and read through the balancer: on request,
//! before the primary ends, and as every service is started anew, one after the other. No
//! client sees an error or an older state than any was told of, nothing acknowledged is lost,
//! nothing is executed twice, and in no longer time than a request has nobody is answered.
//!
//! `SYNOD_SWITCH_OVERS` says how many switch-overs on request (8).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::{Value, json};
use tests::harness::cluster::{Cluster, Options, Size, eventually};
use tokio::time::{Instant, sleep};

use crate::synod;

mod load;

pub(crate) use load::{Load, Refused};

/// Between two changes.
const PEACE: Duration = Duration::from_millis(250);
/// A process that is told to end does so within this.
const ENDING: Duration = Duration::from_secs(20);

/// Every replica has executed each acknowledged put once, and no other.
async fn count(cluster: &Cluster, key: &str, acknowledged: usize) -> Result<()> {
    for replica in cluster.names("replica") {
        let url = format!("{}/v1/kv/{key}", cluster.url(&replica));
        let response = cluster.http().get(url).send().await?.error_for_status()?;
        let version = response.headers().get("synod-version").context("no version")?.to_str()?;
        ensure!(
            version == acknowledged.to_string(),
            "{replica} counts {version} puts of {key}, and {acknowledged} were acknowledged"
        );
    }
    Ok(())
}

async fn ask_at(cluster: &Cluster, service: &str, body: &Value) -> Result<(StatusCode, Value)> {
    let url = format!("{}/v1/cluster/primary", cluster.url(service));
    let response = cluster.http().post(url).json(body).send().await?;
    Ok((response.status(), response.json().await?))
}

/// Has a replica made primary, and holds the answer to what then is so.
async fn switch(cluster: &Cluster, asked: &str, to: &str) -> Result<Duration> {
    let began = Instant::now();
    let (status, view) = ask_at(cluster, asked, &json!({ "replica": to })).await?;
    let took = began.elapsed();
    ensure!(status == StatusCode::OK && view["primary"] == to, "{status}: {view}");
    let primary = cluster.primary().await?;
    ensure!(primary == to, "{primary} is primary, and not {to}");
    Ok(took)
}

fn switch_overs() -> Result<usize> {
    Ok(std::env::var("SYNOD_SWITCH_OVERS").map_or(Ok(8), |text| text.parse())?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_role_moves_on_request_and_no_client_of_the_balancer_notices() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let load = Load::start(cluster.front(), "moved", Refused::Fail);
    let doors: Vec<String> =
        cluster.names("replica").into_iter().chain(cluster.names("balancer")).collect();
    let mut slowest = Duration::ZERO;
    for turn in 0..switch_overs()? {
        sleep(PEACE).await;
        let primary = cluster.primary().await?;
        let backups = cluster.names("replica").into_iter().filter(|name| *name != primary);
        let to = backups.collect::<Vec<_>>().swap_remove(turn % 2);
        let took = switch(&cluster, &doors[turn % doors.len()], &to)
            .await
            .with_context(|| cluster.last_words())?;
        slowest = slowest.max(took);
    }
    sleep(PEACE).await;
    let told = load.finish().await.with_context(|| cluster.last_words())?;
    cluster.wait_until_equal().await?;
    count(&cluster, "moved", told.writes()).await?;
    println!("{} switch-overs, the slowest {slowest:?}; {told}", switch_overs()?);
    Ok(())
}

/// Ends a service and starts it again, and waits until the cluster is whole.
async fn restart(cluster: &mut Cluster, name: &str) -> Result<Duration> {
    let began = Instant::now();
    let ended = cluster.service(name).terminate(ENDING)?;
    let took = began.elapsed();
    ensure!(ended.success(), "{name} ended with {ended}");
    cluster.service(name).start()?;
    let url = format!("{}/readyz", cluster.url(name));
    eventually("the new process is ready", async || {
        let ready = cluster.http().get(&url).send().await?;
        ensure!(ready.status().is_success(), "{name}: {}", ready.text().await?);
        Ok(())
    })
    .await
    .with_context(|| cluster.last_words())?;
    cluster.wait_until_whole().await?;
    Ok(took)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_is_started_anew_under_load_and_no_client_of_the_balancer_notices()
-> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let mut names: Vec<String> = cluster.all();
    names.retain(|name| !name.starts_with("balancer"));
    let mut total = 0;
    for name in names {
        let what = if cluster.primary().await? == name {
            " (primary)"
        } else if cluster.leader().await? == name {
            " (leader)"
        } else {
            ""
        };
        let load = Load::start(cluster.front(), "restarted", Refused::Fail);
        sleep(PEACE).await;
        let ended = restart(&mut cluster, &name).await;
        if what == " (primary)" {
            let output = cluster.service(&name).output()?;
            ensure!(output.contains(" takes over"), "{name} ended as primary: {output}");
        }
        sleep(PEACE).await;
        let told = load.finish().await.with_context(|| cluster.last_words())?;
        total += told.writes();
        println!("{name}{what} ended in {:?}; {told}", ended?);
    }
    cluster.wait_until_equal().await?;
    count(&cluster, "restarted", total).await?;
    // While the only balancer is away nobody is reached; what it had taken on it finishes.
    let load = Load::start(cluster.front(), "away", Refused::AskAgain);
    sleep(PEACE).await;
    restart(&mut cluster, "balancer-1").await?;
    sleep(PEACE).await;
    let told = load.finish().await.with_context(|| cluster.last_words())?;
    cluster.wait_until_equal().await?;
    count(&cluster, "away", told.writes()).await?;
    println!("balancer-1 was away; {told}");
    Ok(())
}

/// How many replicas there are in the view of the primary, and in which epoch.
async fn view_of(cluster: &Cluster, primary: &str) -> Result<(usize, u64)> {
    let view = cluster.json(primary, "/v1/status").await?["view"].clone();
    ensure!(view["primary"] == primary, "{view}");
    let backups = view["backups"].as_array().context("no backups")?;
    Ok((backups.len() + 1, view["epoch"].as_u64().context("no epoch")?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_joins_and_leaves_and_the_primary_refuses_nothing() -> Result<()> {
    let soon: &[&str] = &["--replica-gone-after", "2"];
    let args = &[("coordinator-1", soon), ("coordinator-2", soon)];
    let mut cluster = Cluster::start_with(synod(), &Options { args, ..Options::default() }).await?;
    let primary = cluster.primary().await?;
    let backup = cluster.names("replica").into_iter().find(|name| *name != primary);
    let backup = backup.context("no backup")?;
    let (_, before) = view_of(&cluster, &primary).await?;
    // Nobody sends again what the primary itself refuses.
    let load = Load::start(cluster.url(&primary), "stays", Refused::Fail);
    for _ in 0..3 {
        cluster.service(&backup).kill()?;
        eventually("it has left the view", async || {
            ensure!(view_of(&cluster, &primary).await?.0 == 2, "it has not");
            Ok(())
        })
        .await?;
        cluster.service(&backup).start()?;
        eventually("it is in the view", async || {
            ensure!(view_of(&cluster, &primary).await?.0 == 3, "it is not");
            Ok(())
        })
        .await?;
    }
    let told = load.finish().await.with_context(|| cluster.last_words())?;
    let (_, after) = view_of(&cluster, &primary).await?;
    ensure!(after >= before + 6, "from epoch {before} to {after}");
    cluster.wait_until_equal().await?;
    count(&cluster, "stays", told.writes()).await?;
    println!("{} changes of the view; {told}", after - before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_over_that_cannot_be_is_refused_with_what_to_do() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let primary = cluster.primary().await?;
    let (status, view) = ask_at(&cluster, "balancer-1", &json!({ "replica": primary })).await?;
    ensure!(status == StatusCode::OK && view["primary"] == primary.as_str(), "{status}: {view}");
    let url = format!("{}/v1/cluster/primary", cluster.front());
    for (body, status, says) in [
        ("{}", 400, "replica"),
        ("{", 400, "EOF"),
        (r#"{"replica":"Replica 1"}"#, 400, "Replica 1"),
        (r#"{"replica":"replica-1","by":"force"}"#, 400, "by"),
        (r#"["replica-1"]"#, 400, "object"),
        (r#"{"replica":"replica-9"}"#, 404, "replica-9"),
        (r#"{"replica":"balancer-1"}"#, 404, "GET /v1/cluster"),
    ] {
        let post = cluster.http().post(&url).header("content-type", "application/json");
        let response = post.body(body).send().await?;
        let (answered, problem) = (response.status(), response.json::<Value>().await?);
        let detail = problem["detail"].as_str().context("no detail")?;
        ensure!(answered == status && detail.contains(says), "{body}: {answered} {problem}");
        ensure!(problem["outcome"] == "not_applied", "{body}: {problem}");
    }
    let text = cluster.http().post(&url).header("content-type", "image/png");
    let text = text.body(r#"{"replica":"replica-1"}"#).send().await?;
    ensure!(text.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE, "{}", text.status());

    let mut backups = cluster.names("replica");
    backups.retain(|name| *name != primary);
    cluster.service(&backups[0]).signal(Signal::STOP)?;
    eventually("it is said that it is not heard from", async || {
        let (status, problem) =
            ask_at(&cluster, &primary, &json!({ "replica": backups[0] })).await?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        ensure!(
            status == StatusCode::CONFLICT && detail.contains("not heard from"),
            "{status}: {problem}"
        );
        Ok(())
    })
    .await?;
    cluster.service(&backups[0]).signal(Signal::CONT)?;

    for coordinator in cluster.names("coordinator") {
        cluster.service(&coordinator).kill()?;
    }
    eventually("it is said that nobody leads", async || {
        let body = json!({ "replica": backups[1] });
        let (status, problem) = ask_at(&cluster, &primary, &body).await?;
        ensure!(status == StatusCode::SERVICE_UNAVAILABLE, "{status}: {problem}");
        Ok(())
    })
    .await
}
