//! How long reads take by each policy with one slow replica, and a modest client's beside one
//! that floods: figures for people, of `docs/balancer.md`.
//!
//! ```text
//! cargo test -p tests --test services -- --ignored --nocapture figures
//! ```

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::harness::cluster::{Between, Cluster, Options, eventually};
use tests::harness::network::{Fault, Rule};

use super::{Answered, Load, client_at, shown};
use crate::synod;

const BALANCER: &str = "balancer-1";
const SLOW: &str = "replica-3";
/// What a request and its answer wait on their way to the slow one and back, each.
const LATE: Duration = Duration::from_millis(50);
const CLIENTS: usize = 8;
const KEYS: usize = 64;

/// What half, and 99 of 100, of these take at most, in milliseconds.
fn quantiles(answered: &[Answered]) -> Result<(f64, f64)> {
    let mut took: Vec<Duration> = answered.iter().map(|one| one.took).collect();
    took.sort_unstable();
    let at = |percent: usize| took.get((took.len() * percent / 100).min(took.len() - 1));
    let millis = |found: Option<&Duration>| Some(found?.as_secs_f64() * 1_000.0);
    ensure!(took.len() >= 100, "only {} were answered", took.len());
    Ok((millis(at(50)).context("half")?, millis(at(99)).context("99 of 100")?))
}

/// Restarts the balancer, which then knows nothing of before.
async fn anew(cluster: &mut Cluster, policy: &str) -> Result<()> {
    let balancer = cluster.service(BALANCER);
    balancer.kill()?;
    balancer.start()?;
    eventually("it knows all replicas", || async {
        let status = cluster.json(BALANCER, "/v1/status").await?;
        ensure!(status["linearizable"] == 3, "{status}");
        Ok(())
    })
    .await?;
    super::tell(cluster, BALANCER, "policy", &serde_json::json!({ "policy": policy })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures for people: run by name"]
async fn figures_of_each_policy_with_one_slow_replica() -> Result<()> {
    let options = Options { between: Between::Proxies, ..Options::default() };
    let mut cluster = Cluster::start_with(synod(), &options).await?;
    for key in 0..KEYS {
        let put = cluster.http().put(format!("{}/v1/kv/figures/{key}", cluster.url(BALANCER)));
        ensure!(put.body("value").send().await?.status().is_success());
    }
    println!("{CLIENTS} clients; {SLOW} answers {} ms late", LATE.as_millis() * 2);
    println!("| policy | p50 | p99 | p50 later | p99 later | reads/s later |");
    for policy in ["round-robin", "random", "least-in-flight", "consistent-hash"] {
        anew(&mut cluster, policy).await?;
        let fault = Fault::Delayed(LATE, LATE);
        cluster.network().set(vec![Rule::between(BALANCER, SLOW, fault)]);
        let (http, door) = (cluster.http().clone(), cluster.url(BALANCER).to_owned());
        let load = Load::start(CLIENTS, Duration::ZERO, move |client, number| {
            // By consistent hash, paths go to all of them.
            http.get(format!("{door}/v1/kv/figures/{}", (client * 7 + number) % KEYS))
        });
        eventually("the slow one is left alone", || async {
            let shown = shown(&cluster, BALANCER).await?;
            let slow = super::endpoint(&shown, SLOW)?;
            ensure!(!slow["requests"]["ejected_for_ms"].is_null(), "{slow}");
            Ok(())
        })
        .await?;
        let left_alone = load.began.elapsed();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let answered = load.end().await?;
        cluster.network().heal();
        let (first, later): (Vec<Answered>, Vec<Answered>) =
            answered.iter().partition(|one| one.at < left_alone);
        let (first, rate) = (quantiles(&first)?, later.len() / 3);
        let later = quantiles(&later)?;
        println!(
            "| {policy} | {:.1} | {:.1} | {:.1} | {:.1} | {rate} |",
            first.0, first.1, later.0, later.1
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures for people: run by name"]
async fn figures_of_a_modest_client_beside_one_that_floods() -> Result<()> {
    let told = ["--client-rate", "200"];
    let args: &[(&str, &[&str])] = &[(BALANCER, &told)];
    let cluster = Cluster::start_with(synod(), &Options { args, ..Options::default() }).await?;
    let key = format!("{}/v1/kv/harness/ready", cluster.url(BALANCER));
    let modest = |lasts: Duration| {
        let (http, key) = (client_at(2), key.clone());
        async move {
            let http = http?;
            let load = Load::start(1, Duration::from_millis(10), move |_, _| http.get(&key));
            tokio::time::sleep(lasts).await;
            load.end().await
        }
    };
    let alone = modest(Duration::from_secs(5)).await?;
    let (http, flooded) = (client_at(3)?, key.clone());
    let flood = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        for _ in 0..32 {
            let (http, key) = (http.clone(), flooded.clone());
            connections.spawn(async move { while http.get(&key).send().await.is_ok() {} });
        }
        connections.join_all().await
    });
    let beside = modest(Duration::from_secs(5)).await?;
    flood.abort();
    let refused = shown(&cluster, BALANCER).await?["clients"]["refused"].clone();
    let (quiet, loud) = (quantiles(&alone)?, quantiles(&beside)?);
    println!("| modest client | requests in 5 s | p50 | p99 |");
    println!("| alone | {} | {:.1} | {:.1} |", alone.len(), quiet.0, quiet.1);
    println!("| beside a flood | {} | {:.1} | {:.1} |", beside.len(), loud.0, loud.1);
    println!("{refused} requests of the flood were refused");
    Ok(())
}
