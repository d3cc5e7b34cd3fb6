//! Two processes by one name, and one acceptor by two addresses.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;
use tests::harness::cluster::{Cluster, Size, eventually};
use tests::harness::process::Process;

use crate::synod;

/// For how long the two run side by side: many signs of life of both.
const BESIDE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_by_the_name_of_the_primary_is_named_and_deposes_nobody() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let key = format!("{}/v1/kv/kept", cluster.front());
    cluster.http().put(&key).body("before").send().await?.error_for_status()?;
    let primary = cluster.primary().await?;
    let before = cluster.json(&primary, "/v1/cluster").await?["view"].clone();
    let acceptors = cluster.names("acceptor");
    let acceptors: Vec<&str> = acceptors.iter().map(|name| cluster.url(name)).collect();
    let acceptors = acceptors.join(",");
    let logs = tempfile::tempdir()?;
    let data = logs.path().join("data").to_string_lossy().into_owned();
    let args = ["replica", "--id", &primary, "--listen", "127.0.0.1:0", "--data-dir", &data];
    let args = args.into_iter().chain(["--acceptors", &acceptors]).map(str::to_owned);
    let mut second = Process::new(&primary, synod(), args.collect(), logs.path());
    second.start()?;
    let named = format!("two processes run by the name {primary}");
    for replica in cluster.names("replica") {
        eventually("it is named", || async {
            let mixups = &cluster.json(&replica, "/v1/cluster").await?["mixups"];
            ensure!(mixups[0].as_str().is_some_and(|text| text.contains(&named)), "{mixups}");
            let ready = cluster.http().get(format!("{}/readyz", cluster.url(&replica)));
            let ready = ready.send().await?;
            let (status, text) = (ready.status(), ready.text().await?);
            ensure!(status == 200 && text.contains(&named), "{replica}: {status} {text}");
            Ok(())
        })
        .await?;
    }
    let began = Instant::now();
    while began.elapsed() < BESIDE {
        cluster.http().put(&key).body("beside").send().await?.error_for_status()?;
    }
    ensure!(second.output()?.contains(&named), "{}", second.output()?);
    let after: Value = cluster.json(&primary, "/v1/cluster").await?["view"].clone();
    ensure!(after == before, "the view {before} became {after}");
    second.kill()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acceptor_listed_by_two_addresses_is_named_in_a_formed_cluster() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let (first, second) = (cluster.url("acceptor-1"), cluster.url("acceptor-2"));
    let acceptors = [first, second, &first.replace("127.0.0.1", "localhost")].join(",");
    let logs = tempfile::tempdir()?;
    let args = ["balancer", "--id", "balancer-9", "--listen", "127.0.0.1:0"];
    let args = args.into_iter().chain(["--acceptors", &acceptors]).map(str::to_owned);
    let mut balancer = Process::new("balancer-9", synod(), args.collect(), logs.path());
    balancer.start()?;
    eventually("it is named", || async {
        let said = balancer.output()?;
        let is_named = said.contains("are the same acceptor, acceptor-1");
        ensure!(is_named && said.contains("localhost"), "{said}");
        Ok(())
    })
    .await?;
    balancer.kill()
}
