//! Services with an address of their own for each other.

use anyhow::{Result, ensure};
use serde_json::Value;
use tests::harness::cluster::{Cluster, Options};
use tests::harness::ports::Ports;

use crate::synod;

/// What another service asks each of them.
const INTERNAL: [(&str, &str); 2] =
    [("replica-1", "/v1/replication/log?cluster=0&from=0"), ("coordinator-1", "/v1/chosen?from=0")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_works_whose_services_ask_each_other_where_clients_do_not() -> Result<()> {
    let mut ports = Ports::reserve()?;
    let mut addresses = Vec::new();
    for _ in INTERNAL {
        addresses.push(format!("127.0.0.1:{}", ports.take()?));
    }
    let flags: Vec<[&str; 2]> =
        addresses.iter().map(|address| ["--listen-internal", address.as_str()]).collect();
    let args: Vec<(&str, &[&str])> =
        INTERNAL.iter().zip(&flags).map(|((name, _), flags)| (*name, &flags[..])).collect();
    let cluster =
        Cluster::start_with(synod(), &Options { args: &args, ..Options::default() }).await?;

    let at = |name: &str| cluster.url(name).to_owned();
    for key in 0..20 {
        let url = format!("{}/v1/kv/{key}", at("balancer-1"));
        let put = cluster.http().put(url).body("v").send().await?;
        ensure!(put.status().is_success(), "{put:?}");
    }
    let listed: Value =
        cluster.http().get(at("balancer-1") + "/v1/cluster").send().await?.json().await?;
    for ((name, internal), address) in INTERNAL.iter().zip(&addresses) {
        let refused = cluster.http().get(at(name) + internal).send().await?;
        ensure!(refused.status() == 404, "{name}: {refused:?}");
        let problem = refused.text().await?;
        ensure!(problem.contains("--listen-internal"), "{name}: {problem}");
        let known = cluster.http().get(format!("http://{address}{internal}")).send().await?;
        ensure!(known.status() != 404, "{name}: {known:?}");
        for public in ["/v1/status", "/livez", "/metrics"] {
            let answer = cluster.http().get(at(name) + public).send().await?;
            ensure!(answer.status() == 200, "{name} {public}: {answer:?}");
        }
        ensure!(listed.to_string().contains(address), "{name} is not at {address}: {listed}");
    }
    let read = cluster.http().get(at("replica-1") + "/v1/kv/7").send().await?;
    ensure!(read.status() == 200, "clients read where they always do: {read:?}");
    Ok(())
}
