//! What a balancer does with its replicas, shown and told.

use anyhow::{Result, ensure};
use tests::harness::cluster::{Cluster, Size, eventually};

use super::command::Synod;
use crate::synod;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_are_shown_and_drained_and_weighed_at_each_balancer() -> Result<()> {
    let cluster = Cluster::start(synod(), Size { balancers: 2, ..Size::default() }, &[]).await?;
    eventually("both balancers know all replicas", || async {
        let status = cluster.json("balancer-2", "/v1/status").await?;
        ensure!(status["linearizable"] == 3, "{status}");
        Ok(())
    })
    .await?;
    let both = format!("{},{}", cluster.url("balancer-1"), cluster.url("balancer-2"));
    let (synod, second) = (Synod::at(both), Synod::at(cluster.url("balancer-2")));
    let shown = synod.text(&["endpoints", "show"]).await?;
    ensure!(shown.lines().count() == 6, "{shown}");
    let line = "balancer-2\treplica-3\tin\t1\tit is healthy and current\n";
    ensure!(shown.contains(line), "{shown}");

    let drained = synod.text(&["endpoints", "drain", "replica-3"]).await?;
    ensure!(drained == "replica-3\tdrained\t1\n".repeat(2), "{drained}");
    let json = synod.json(&["endpoints", "show"]).await?;
    ensure!(json.len() == 2 && json[1]["id"] == "balancer-2", "{json:?}");
    for balancer in &json {
        let third = &balancer["endpoints"][2];
        ensure!(third["in"] == false && third["operator"]["drain"] == true, "{third}");
    }
    let shown = second.terminal(&["endpoints", "show"]).await?;
    let why = "the operator has drained it";
    ensure!(
        shown.starts_with("balancer-2: reads by round-robin") && shown.contains(why),
        "{shown}"
    );

    let weighed = second.terminal(&["endpoints", "weight", "replica-2", "3"]).await?;
    ensure!(weighed == "replica-2 gets requests, with weight 3\n", "{weighed}");
    let back = synod.json(&["endpoints", "undrain", "replica-3"]).await?;
    let expected = serde_json::json!({"id": "replica-3", "drain": false, "weight": 1});
    ensure!(back == [expected.clone(), expected], "{back:?}");
    let policy = second.terminal(&["endpoints", "policy", "least-in-flight"]).await?;
    ensure!(policy == "reads are shared out by least-in-flight\n", "{policy}");
    let json = synod.json(&["endpoints", "show"]).await?;
    ensure!(json[0]["policy"] == "round-robin" && json[1]["policy"] == "least-in-flight");

    let unknown = synod.run(&["endpoints", "drain", "replica-9"]).await?;
    unknown.with(3, "there is no endpoint replica-9")?;
    synod.run(&["endpoints", "weight", "replica-1", "0"]).await?.with(2, "1..=100")?;
    synod.run(&["endpoints", "policy", "by-name"]).await?.with(2, "round-robin")?;
    let replica = Synod::at(cluster.url("replica-1"));
    replica.run(&["endpoints", "show"]).await?.with(3, "/v1/balancer")?;
    // One that is gone keeps nobody from telling the others.
    let partly = Synod::at(format!("http://127.0.0.1:1,{}", cluster.url("balancer-1")));
    let args = ["endpoints", "drain", "replica-1", "--timeout-seconds", "1"];
    let partly = partly.run(&args).await?.with(5, "127.0.0.1:1")?;
    ensure!(partly.stdout == b"replica-1\tdrained\t1\n", "{partly:?}");
    Ok(())
}
