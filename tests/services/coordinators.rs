//! Coordinators end, hand over before, and are replaced.

use std::time::Duration;

use anyhow::{Result, ensure};
use tests::harness::cluster::{Cluster, Size, eventually};
use tests::harness::ports::Ports;
use tests::harness::process::Process;
use tokio::time::sleep;

use crate::switch_over::{Load, Refused};
use crate::synod;

const ENDING: Duration = Duration::from_secs(20);
/// Between two changes.
const PEACE: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coordinators_are_replaced_by_one_of_another_name_while_writes_go_on() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let load = Load::start(cluster.front(), "kept", Refused::Fail);
    let listen = format!("127.0.0.1:{}", Ports::reserve()?.take()?);
    let acceptors = cluster.names("acceptor");
    let acceptors: Vec<&str> = acceptors.iter().map(|name| cluster.url(name)).collect();
    let acceptors = acceptors.join(",");
    let args = ["coordinator", "--id", "coordinator-3", "--listen", &listen];
    let args = args.into_iter().chain(["--acceptors", &acceptors]).map(str::to_owned).collect();
    let mut third = Process::new("coordinator-3", synod(), args, cluster.dir());
    third.start()?;
    eventually("it is listed and ready", || async {
        let ready = cluster.http().get(format!("http://{listen}/readyz")).send().await?;
        ready.error_for_status()?;
        let shown = cluster.json("balancer-1", "/v1/cluster").await?["coordinators"].to_string();
        ensure!(shown.contains("coordinator-3"), "{shown}");
        Ok(())
    })
    .await?;
    let leader = cluster.leader().await?;
    for name in cluster.names("coordinator") {
        sleep(PEACE).await;
        cluster.service(&name).terminate(ENDING)?;
    }
    eventually("the new one leads", || async {
        let shown = cluster.json("balancer-1", "/v1/cluster").await?["leader"].clone();
        ensure!(shown["coordinator"] == "coordinator-3", "{leader} led before: {shown}");
        Ok(())
    })
    .await?;
    sleep(PEACE).await;
    let written = load.finish().await?;
    ensure!(written.writes() > 0, "nothing was written");
    let url = format!("{}/v1/kv/after", cluster.front());
    cluster.http().put(url).body("v").send().await?.error_for_status()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_told_to_end_does_so_once_another_one_leads() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let load = Load::start(cluster.front(), "kept", Refused::Fail);
    for _ in 0..3 {
        let leader = cluster.leader().await?;
        let other = cluster.names("coordinator").into_iter().find(|name| *name != leader);
        let other = other.unwrap_or_default();
        eventually("both know of each other", || async {
            let shown = cluster.json("replica-1", "/v1/cluster").await?["coordinators"].to_string();
            ensure!(shown.matches("\"healthy\":true").count() == 2, "{shown}");
            let ready = cluster.http().get(format!("{}/readyz", cluster.url(&other))).send();
            ready.await?.error_for_status()?;
            Ok(())
        })
        .await?;
        sleep(PEACE).await;
        cluster.service(&leader).terminate(ENDING)?;
        let status = cluster.json(&other, "/v1/status").await?;
        ensure!(status["phase"] == "phase2", "{other} does not lead yet: {status}");
        let said = cluster.service(&leader).output()?;
        ensure!(said.contains("another coordinator leads: this one ends"), "{leader} says: {said}");
        cluster.service(&leader).start()?;
    }
    ensure!(load.finish().await?.writes() > 0, "nothing was written");
    Ok(())
}
