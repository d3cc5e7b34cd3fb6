//! Each policy shares reads out as it says.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tests::harness::cluster::{Between, Cluster, Options, eventually};
use tests::harness::network::{Fault, Rule};
use tokio::task::JoinSet;

use super::{endpoint, grown, shown, tell};
use crate::synod;

const BALANCER: &str = "balancer-1";

/// Whether all are in, and how often any was out for being slow or failing.
fn steadiness(shown: &Value) -> Result<(bool, Vec<Value>)> {
    let (mut all_in, mut trouble) = (true, Vec::new());
    for id in ["replica-1", "replica-2", "replica-3"] {
        let each = endpoint(shown, id)?;
        all_in &=
            each["in"] == true && each["share"].as_f64() == each["operator"]["weight"].as_f64();
        trouble
            .extend([each["requests"]["ejections"].clone(), each["requests"]["failures"].clone()]);
    }
    Ok((all_in, trouble))
}

/// How many of so many reads each replica got, one after the other. Policies choose among
/// those that are in, so it is only looked at where all were all the while.
async fn shares(
    cluster: &Cluster,
    reads: usize,
    read: impl Fn(usize) -> reqwest::RequestBuilder,
) -> Result<BTreeMap<String, u64>> {
    eventually("all replicas were in while it was read", || async {
        let before = shown(cluster, BALANCER).await?;
        for number in 0..reads {
            let status = read(number).send().await?.status();
            ensure!(status == 200, "{status}");
        }
        let after = shown(cluster, BALANCER).await?;
        let (was, is) = (steadiness(&before)?, steadiness(&after)?);
        ensure!(was.0 && was == is, "{was:?} {is:?}");
        grown(&before, &after)
    })
    .await
}

async fn policy(cluster: &Cluster, name: &str) -> Result<()> {
    tell(cluster, BALANCER, "policy", &json!({ "policy": name })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_policy_shares_reads_out_as_it_says() -> Result<()> {
    let told = ["--hedge-percent", "0", "--slow-start-ms", "0", "--hash-header", "x-user"];
    let args: &[(&str, &[&str])] = &[(BALANCER, &told)];
    let options = Options { args, between: Between::Proxies, ..Options::default() };
    let cluster = Cluster::start_with(synod(), &options).await?;
    let (http, door) = (cluster.http().clone(), cluster.url(BALANCER).to_owned());
    let key = format!("{door}/v1/kv/harness/ready");
    // First, while there were too few reads for anybody to count as slow.
    works_on_less(&cluster, &key).await?;
    policy(&cluster, "round-robin").await?;
    let equal = shares(&cluster, 60, |_| http.get(&key)).await?;
    ensure!(equal.values().all(|count| *count == 20), "{equal:?}");
    let weigh = |weight: u32| {
        let said = json!({ "weight": weight });
        let cluster = &cluster;
        async move { tell(cluster, BALANCER, "endpoints/replica-1", &said).await }
    };
    weigh(3).await?;
    let weighted = shares(&cluster, 50, |_| http.get(&key)).await?;
    ensure!(weighted["replica-1"].abs_diff(30) <= 2, "{weighted:?}");
    ensure!(weighted["replica-2"].abs_diff(10) <= 2, "{weighted:?}");
    weigh(1).await?;
    policy(&cluster, "random").await?;
    let random = shares(&cluster, 300, |_| http.get(&key)).await?;
    // Five standard deviations to either side.
    ensure!(random.values().all(|count| (60..=140).contains(count)), "{random:?}");
    policy(&cluster, "consistent-hash").await?;
    let one_key = shares(&cluster, 20, |_| http.get(&key)).await?;
    ensure!(one_key.values().any(|count| *count == 20), "{one_key:?}");
    let listed = |number| http.get(format!("{door}/v1/kv?prefix={number}")).header("x-user", "u");
    let one_user = shares(&cluster, 20, listed).await?;
    ensure!(one_user.values().any(|count| *count == 20), "{one_user:?}");
    let many = |number: usize| http.get(&key).header("x-user", number);
    let many_users = shares(&cluster, 90, many).await?;
    ensure!(many_users.values().all(|count| *count >= 10), "{many_users:?}");
    Ok(())
}

/// By round-robin a third of these would go to the slow one.
async fn works_on_less(cluster: &Cluster, key: &str) -> Result<()> {
    const CLIENTS: usize = 6;
    const EACH: usize = 15;
    policy(cluster, "least-in-flight").await?;
    let late = Duration::from_millis(100);
    cluster.network().set(vec![Rule::between(BALANCER, "replica-3", Fault::Delayed(late, late))]);
    let before = shown(cluster, BALANCER).await?;
    let mut clients: JoinSet<Result<()>> = JoinSet::new();
    for _ in 0..CLIENTS {
        let (http, key) = (cluster.http().clone(), key.to_owned());
        clients.spawn(async move {
            for _ in 0..EACH {
                let status = http.get(&key).send().await?.status();
                ensure!(status == 200, "{status}");
            }
            Ok(())
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    let after = shown(cluster, BALANCER).await?;
    cluster.network().heal();
    let shares = grown(&before, &after)?;
    let all = shares.values().sum::<u64>();
    ensure!(all >= (CLIENTS * EACH) as u64, "{shares:?}");
    ensure!(shares["replica-3"] * 4 < all, "{shares:?}");
    ensure!(shares["replica-1"] * 4 > all && shares["replica-2"] * 4 > all, "{shares:?}");
    Ok(())
}
