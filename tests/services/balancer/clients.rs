//! One client that floods takes nothing from another: it is refused, and what it may is
//! bounded, whatever it sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::harness::cluster::{Cluster, Options, Size, eventually};
use tokio::task::JoinSet;

use super::{Load, client_at, more, shown};
use crate::synod;

/// Limits the requests of each client in a second.
const BY_RATE: &str = "balancer-1";
const RATE: u64 = 50;
/// The flood ends after so many refusals.
const REFUSALS: u64 = 150;
/// Limits nothing but the requests of all at once.
const BY_SHARE: &str = "balancer-2";
const PLACES: usize = 32;

/// What came of a flood.
#[derive(Debug, Default)]
struct Flood {
    answered: u64,
    refused: u64,
}

/// Sends without a pause until it was refused often, over many connections.
async fn flood(door: &str) -> Result<Flood> {
    let (http, refused) = (client_at(3)?, Arc::<AtomicU64>::default());
    let mut connections: JoinSet<Result<Flood>> = JoinSet::new();
    for _ in 0..24 {
        let (http, refused) = (http.clone(), Arc::clone(&refused));
        let key = format!("{door}/v1/kv/harness/ready");
        connections.spawn(async move {
            let mut flood = Flood::default();
            while refused.load(Ordering::Relaxed) < REFUSALS {
                let answer = http.get(&key).send().await?;
                if answer.status() == 429 {
                    let after = answer.headers().get("retry-after").context("when to come")?;
                    ensure!(after.to_str()?.parse::<u64>()? >= 1, "{after:?}");
                    ensure!(answer.text().await?.contains("--client-rate"));
                    flood.refused += 1;
                    refused.fetch_add(1, Ordering::Relaxed);
                } else {
                    ensure!(answer.status() == 200, "{}", answer.status());
                    flood.answered += 1;
                }
            }
            Ok(flood)
        });
    }
    let mut all = Flood::default();
    while let Some(ended) = connections.join_next().await {
        let one = ended??;
        all = Flood { answered: all.answered + one.answered, refused: all.refused + one.refused };
    }
    Ok(all)
}

/// Requests of a modest client, none of which may be refused.
fn modest(door: &str) -> Result<Load> {
    let (http, key) = (client_at(2)?, format!("{door}/v1/kv/harness/ready"));
    // Half of what it may at most, however fast it is answered.
    let pause = Duration::from_millis(1_000 * 2 / RATE);
    Ok(Load::start(1, pause, move |_, _| http.get(&key)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_that_floods_is_refused_and_takes_nothing_from_another() -> Result<()> {
    let (rate, places) = (RATE.to_string(), PLACES.to_string());
    let by_rate = ["--client-rate", rate.as_str(), "--client-burst", "20"];
    let by_share = ["--max-requests", places.as_str()];
    let args: &[(&str, &[&str])] = &[(BY_RATE, &by_rate), (BY_SHARE, &by_share)];
    let size = Size { balancers: 2, ..Size::default() };
    let options = Options { args, size, ..Options::default() };
    let cluster = Cluster::start_with(synod(), &options).await?;
    let door = cluster.url(BY_RATE).to_owned();
    let (load, began) = (modest(&door)?, Instant::now());
    load.goes_on(20).await?;
    let before = shown(&cluster, BY_RATE).await?;
    let flood = flood(&door).await?;
    // The connections that were under way at the end may have waited for a moment.
    let most = RATE * (began.elapsed().as_secs() + 1) + 20;
    load.goes_on(20).await?;
    let after = shown(&cluster, BY_RATE).await?;
    ensure!(more(&before, &after, "/clients/refused")? == flood.refused, "{after}: {flood:?}");
    ensure!(flood.answered <= most, "{flood:?}, of {most}");
    let modest = load.end().await?;
    println!("{} requests of a modest client beside {flood:?}, none refused", modest.len());
    holds_its_share(&cluster).await
}

/// Requests that take long hold places; a client that has its share of them gets no more.
async fn holds_its_share(cluster: &Cluster) -> Result<()> {
    let door = cluster.url(BY_SHARE).to_owned();
    eventually("the second balancer serves", || async {
        let status = cluster.http().get(format!("{door}/readyz")).send().await?.status();
        ensure!(status == 200, "{status}");
        Ok(())
    })
    .await?;
    let load = modest(&door)?;
    load.goes_on(5).await?;
    let http = client_at(3)?;
    let mut held: JoinSet<Result<(u16, Value)>> = JoinSet::new();
    for _ in 0..2 * PLACES {
        // What nobody has executed yet is waited for.
        let request = http.get(format!("{door}/v1/kv/harness/ready"));
        let request = request.header("synod-min-revision", "1000000000");
        let request = request.header("synod-timeout", "20s");
        held.spawn(async move {
            let answer = request.send().await?;
            Ok((answer.status().as_u16(), answer.json().await?))
        });
    }
    // The last fourth of the places is for others; the modest client may have one of the rest.
    let most = PLACES - PLACES / 4;
    while held.len() > most {
        let (status, problem) = held.join_next().await.context("a refusal")???;
        ensure!(status == 429, "{status} {problem}");
        ensure!(problem["detail"].as_str().is_some_and(|said| said.contains("share")), "{problem}");
    }
    load.goes_on(30).await?;
    while let Some(ended) = held.try_join_next() {
        let (status, problem) = ended??;
        ensure!(status == 429, "{status} {problem}");
    }
    ensure!(held.len() >= most - 1, "{} hold a place", held.len());
    drop(held);
    load.end().await?;
    Ok(())
}
