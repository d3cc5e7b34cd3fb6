//! Several balancers need nothing of each other: each hears its operator alone, and goes on
//! when another one dies.

use std::time::Duration;

use anyhow::{Result, ensure};
use client::Client;
use serde_json::json;
use tests::harness::cluster::{Cluster, Size, eventually};

use super::{Load, drain, endpoint, grown, shown, tell};
use crate::synod;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balancers_need_nothing_of_each_other() -> Result<()> {
    let size = Size { balancers: 3, ..Size::default() };
    let mut cluster = Cluster::start(synod(), size, &[]).await?;
    let balancers = cluster.names("balancer");
    for balancer in &balancers {
        eventually("it knows all replicas", || async {
            let status = cluster.json(balancer, "/v1/status").await?;
            ensure!(status["linearizable"] == 3, "{status}");
            Ok(())
        })
        .await?;
    }
    let loads: Vec<Load> = ["balancer-1", "balancer-3"]
        .iter()
        .map(|balancer| Load::of_reads(&cluster, balancer, 2, Duration::from_millis(3)))
        .collect();
    drain(&cluster, "balancer-1", "replica-1", true).await?;
    tell(&cluster, "balancer-2", "policy", &json!({"policy": "random"})).await?;
    let before = [shown(&cluster, "balancer-1").await?, shown(&cluster, "balancer-3").await?];
    for load in &loads {
        load.goes_on(100).await?;
    }
    let after = [shown(&cluster, "balancer-1").await?, shown(&cluster, "balancer-3").await?];
    ensure!(grown(&before[0], &after[0])?["replica-1"] == 0, "{after:?}");
    ensure!(grown(&before[1], &after[1])?["replica-1"] >= 10, "{after:?}");
    ensure!(after.iter().all(|shown| shown["policy"] == "round-robin"), "{after:?}");

    // Of several addresses, a client goes on with those that are left.
    let urls: Vec<&str> = balancers.iter().map(|name| cluster.url(name)).collect();
    let client = Client::new(&urls[1..].join(","))?;
    client.put("several", "before").await?;
    cluster.service("balancer-2").kill()?;
    client.put("several", "after").await?;
    for load in &loads {
        load.goes_on(100).await?;
    }
    cluster.service("balancer-2").start()?;
    eventually("it is back, and knows nothing of what was said", || async {
        let shown = shown(&cluster, "balancer-2").await?;
        ensure!(shown["policy"] == "round-robin", "{shown}");
        for replica in ["replica-1", "replica-2", "replica-3"] {
            ensure!(endpoint(&shown, replica)?["in"] == true, "{shown}");
        }
        Ok(())
    })
    .await?;
    ensure!(endpoint(&shown(&cluster, "balancer-1").await?, "replica-1")?["in"] == false);
    for load in loads {
        load.end().await?;
    }
    Ok(())
}
