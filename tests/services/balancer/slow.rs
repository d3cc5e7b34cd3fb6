//! A slow replica is left alone for a while, and comes back with a small share.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use tests::harness::cluster::{Between, Cluster, Options, eventually};
use tests::harness::network::{Fault, Rule};

use super::{Load, endpoint, grown, more, shown};
use crate::synod;

const BALANCER: &str = "balancer-1";
const SLOW: &str = "replica-2";

fn ejected(shown: &Value) -> usize {
    let all = shown["endpoints"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(|each| !each["requests"]["ejected_for_ms"].is_null()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn a_slow_replica_is_left_alone_and_comes_back_with_a_small_share() -> Result<()> {
    let told = ["--slow-start-ms", "3000"];
    let args: &[(&str, &[&str])] = &[(BALANCER, &told)];
    let options = Options { args, between: Between::Proxies, ..Options::default() };
    let cluster = Cluster::start_with(synod(), &options).await?;
    let load = Load::of_reads(&cluster, BALANCER, 6, Duration::from_millis(4));
    // While all are slow, nobody is.
    let late = Fault::Delayed(Duration::from_millis(10), Duration::from_millis(10));
    let all = cluster.names("replica");
    let rules = all.iter().map(|id| Rule::between(BALANCER, id, late.clone()));
    cluster.network().set(rules.collect());
    load.goes_on(200).await?;
    ensure!(ejected(&shown(&cluster, BALANCER).await?) == 0, "slowness of all is nobody's fault");
    let late = Duration::from_millis(80);
    cluster.network().set(vec![Rule::between(BALANCER, SLOW, Fault::Delayed(late, late))]);
    let out = eventually("it is left alone", || async {
        let shown = shown(&cluster, BALANCER).await?;
        // A third of three: whoever else was slow in a busy moment, no more than one is out.
        ensure!(ejected(&shown) <= 1, "{shown}");
        ensure!(!endpoint(&shown, SLOW)?["requests"]["ejected_for_ms"].is_null(), "{shown}");
        Ok(shown)
    })
    .await?;
    let slow = endpoint(&out, SLOW)?;
    ensure!(slow["in"] == false, "{slow}");
    ensure!(slow["why"].to_string().contains("slower than the others"), "{slow}");
    load.goes_on(100).await?;
    let later = shown(&cluster, BALANCER).await?;
    // Only whom two others have failed may have come to it.
    let most = more(&out, &later, "/retries/sent")?;
    let got = grown(&out, &later)?;
    ensure!(got[SLOW] <= most, "{got:?}, and {most} retries");
    cluster.network().heal();
    let back = eventually("it comes back", || async {
        let shown = shown(&cluster, BALANCER).await?;
        ensure!(endpoint(&shown, SLOW)?["in"] == true, "{shown}");
        Ok(shown)
    })
    .await?;
    let share = endpoint(&back, SLOW)?["share"].as_f64();
    ensure!(share < Some(1.0), "{back}");
    eventually("it has its share again", || async {
        let shown = shown(&cluster, BALANCER).await?;
        ensure!(endpoint(&shown, SLOW)?["share"] == 1.0, "{shown}");
        Ok(())
    })
    .await?;
    let answered = load.end().await?;
    ensure!(answered.len() > 500, "{}", answered.len());
    Ok(())
}
