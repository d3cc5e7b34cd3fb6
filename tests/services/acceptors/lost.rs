//! Acceptors that are lost for good, alone, together with a replica, or while the leader is.

use shared::discovery::EXPIRY;

use super::*;

/// What a replica shows of another service.
async fn shown_by(cluster: &Cluster, replica: &str, kind: &str, name: &str) -> Result<Value> {
    let shown = cluster.json(replica, "/v1/cluster").await?;
    let listed = shown[kind].as_array().context("a list")?;
    let found = listed.iter().find(|one| one["id"] == name).cloned();
    found.with_context(|| format!("{replica} shows no {name}: {shown}"))
}

/// No service lists it any more, and a replica that starts now has never heard of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn an_acceptor_that_is_long_dead_is_shown_and_replaced_by_its_name() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let mut ports = Ports::reserve()?;
    let file = cluster.data_dir("replica-1").join("services.json");
    eventually("the replica keeps who was heard of", || async {
        let kept: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        for kind in ["acceptors", "replicas"] {
            ensure!(kept[kind].as_object().is_some_and(|known| known.len() == 3), "{kept}");
        }
        Ok(())
    })
    .await?;
    for name in ["acceptor-3", "replica-3", "replica-1"] {
        cluster.service(name).kill()?;
    }
    cluster.service("replica-1").start()?;
    sleep(EXPIRY + Duration::from_secs(1)).await;
    for replica in ["replica-1", "replica-2"] {
        for (kind, name) in [("acceptors", "acceptor-3"), ("replicas", "replica-3")] {
            let shown = shown_by(&cluster, replica, kind, name).await?;
            ensure!(shown["healthy"] == false && shown["url"].is_string(), "{replica}: {shown}");
        }
    }
    cluster.service("replica-3").start()?;
    let spare = Spare::start("acceptor-4", cluster.dir(), &mut ports)?;
    let body = json!({"replace": "acceptor-3", "with": spare.url});
    let url = format!("{}/v1/cluster/acceptors", cluster.url("replica-1"));
    eventually("it is replaced", || async {
        let response = cluster.http().post(&url).json(&body).send().await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(status == 200 && text.contains("\"generation\":1"), "{status} {text}");
        Ok(())
    })
    .await?;
    eventually("the new one is shown by its name", || async {
        let shown = shown_by(&cluster, "replica-2", "acceptors", "acceptor-4").await?;
        ensure!(shown["healthy"] == true, "{shown}");
        Ok(())
    })
    .await
}

/// The host of both is gone, and others come on a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn an_acceptor_and_a_replica_that_are_lost_together_are_both_replaced() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let mut ports = Ports::reserve()?;
    let load = Load::start(cluster.front());
    sleep(Duration::from_secs(1)).await;
    let primary = cluster.primary().await?;
    let lost = cluster.names("replica").into_iter().find(|name| *name != primary);
    let lost = lost.context("a backup")?;
    for name in ["acceptor-3", &lost] {
        cluster.service(name).kill()?;
        std::fs::remove_dir_all(cluster.data_dir(name))?;
    }
    let spare = Spare::start("acceptor-4", cluster.dir(), &mut ports)?;
    let body = json!({"replace": "acceptor-3", "with": spare.url});
    eventually("it is said what to do", || async {
        let (status, problem) = change(&cluster, &body).await?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        let words = format!("take it out (DELETE /v1/cluster/replicas/{lost})");
        ensure!(status == 409 && detail.contains(&words), "{status} {problem}");
        Ok(())
    })
    .await?;
    let taken_out = format!("{}/v1/cluster/replicas/{lost}", cluster.front());
    eventually("the replica is taken out", || async {
        cluster.http().delete(&taken_out).send().await?.error_for_status()?;
        Ok(())
    })
    .await?;
    eventually("the acceptor is replaced", || async {
        let (status, roster) = change(&cluster, &body).await?;
        ensure!(status == 200, "{status} {roster}");
        Ok(())
    })
    .await?;
    let acceptors = [cluster.url("acceptor-1"), cluster.url("acceptor-2"), &spare.url].join(",");
    let (listen, data) = (format!("127.0.0.1:{}", ports.take()?), cluster.dir().join("replica-4"));
    let data = data.to_string_lossy().into_owned();
    let args = ["replica", "--id", "replica-4", "--listen", &listen, "--data-dir", &data];
    let args = args.into_iter().chain(["--acceptors", &acceptors]).map(str::to_owned).collect();
    let mut replica = Process::new("replica-4", synod(), args, cluster.dir());
    replica.start()?;
    eventually("the replica that came is one of the view", || async {
        let view = cluster.json("balancer-1", "/v1/cluster").await?["view"].to_string();
        ensure!(view.contains("replica-4"), "{view}");
        Ok(())
    })
    .await?;
    ensure!(load.finish().await? > CLIENTS, "nothing was written");
    Ok(())
}

/// It is killed once it has begun with the change, wherever that is by then; the next one
/// brings it to its end, or it is asked for again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_killed_during_a_change_leaves_it_done_or_not_begun() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let mut ports = Ports::reserve()?;
    let spare = Spare::start("acceptor-4", cluster.dir(), &mut ports)?;
    let load = Load::start(cluster.front());
    sleep(Duration::from_secs(1)).await;
    cluster.service("acceptor-3").kill()?;
    let body = json!({"replace": "acceptor-3", "with": spare.url});
    let asked = {
        let url = format!("{}/v1/cluster/acceptors", cluster.front());
        let request = cluster.http().post(url).json(&body);
        tokio::spawn(async move { request.send().await })
    };
    let leader = cluster.leader().await?;
    eventually("the leader has begun", || async {
        let status = cluster.json(&leader, "/v1/status").await?;
        ensure!(status["begins"] == 1 || status["generation"] == 1, "{status}");
        ensure!(status["generation"] == 1 || status["change_waits_for"].is_string(), "{status}");
        Ok(())
    })
    .await?;
    cluster.service(&leader).kill()?;
    let _answered_or_not = asked.await?;
    cluster.service(&leader).start()?;
    eventually("the change is made", || async {
        let (status, roster) = change(&cluster, &body).await?;
        ensure!(status == 200 && roster["generation"] == 1, "{status} {roster}");
        Ok(())
    })
    .await?;
    ensure!(load.finish().await? > CLIENTS, "nothing was written");
    for replica in cluster.names("replica") {
        told_of_generation(&cluster, &replica, 1).await?;
    }
    cluster.wait_until_equal().await?;
    Ok(())
}
