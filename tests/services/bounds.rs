//! Numbers that nobody can have reached, said to every service of a running cluster: they
//! are refused, and nothing is the worse for it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use shared::chain::ChainHash;
use shared::client::{AcceptorClient, CoordinatorClient};
use shared::ids::{Ballot, CoordinatorId, Epoch, Generation, Instance, LogFormat, Slot};
use shared::message::{
    Accept, Heartbeat, Prepare, Roster, Seated, Storage, Succession, SuccessionRequest, View,
};
use tests::harness::cluster::{Cluster, Size, eventually};

use crate::synod;

const TIMEOUT: Duration = Duration::from_secs(5);
const STOPPING: Duration = Duration::from_secs(20);

async fn write(cluster: &Cluster, key: &str) -> Result<()> {
    let url = format!("{}/v1/kv/{key}", cluster.front());
    eventually("a write is acknowledged and read", || async {
        cluster.http().put(&url).body("v").send().await?.error_for_status()?;
        cluster.http().get(&url).send().await?.error_for_status()?;
        Ok(())
    })
    .await
}

async fn refused<T: std::fmt::Debug>(
    call: impl Future<Output = Result<T, shared::client::CallError>>,
    number: u64,
) -> Result<()> {
    let error = call.await.err().context("it was not refused")?.to_string();
    ensure!(error.contains("400") && error.contains(&number.to_string()), "{error}");
    Ok(())
}

/// The last ballot that there is, in both phases, at every acceptor.
async fn forge_ballots(cluster: &Cluster, roster: &Roster) -> Result<()> {
    let (round, coordinator) = ((1 << 63) - 1, CoordinatorId(1));
    let ballot = Ballot { round, coordinator };
    let prepare = Prepare { roster: roster.clone(), ballot, from: Slot(0) };
    let none = Slot(0);
    let accept = Accept {
        roster: roster.clone(),
        ballot,
        proposals: Vec::new(),
        chosen_below: none,
        trim_below: none,
    };
    for name in cluster.names("acceptor") {
        let client = AcceptorClient::new(cluster.url(&name).parse()?);
        refused(client.prepare(&prepare, TIMEOUT), round).await?;
        refused(client.accept(&accept, TIMEOUT), round).await?;
    }
    Ok(())
}

/// A view of an epoch that nobody can have executed, to every coordinator.
async fn forge_heartbeats(cluster: &Cluster, roster: &Roster) -> Result<()> {
    let (epoch, primary) = (1 << 62, "replica-9".parse()?);
    let view = View {
        epoch: Epoch(epoch),
        primary,
        primary_instance: Instance(1),
        backups: Vec::new(),
        format: LogFormat::FIRST,
    };
    let heartbeat = Heartbeat {
        cluster: roster.cluster(),
        replica: "replica-9".parse()?,
        instance: Instance(1),
        url: "http://127.0.0.1:1".to_owned(),
        view: Some(view),
        executed_below: Slot(0),
        hash: ChainHash::default(),
        durable_below: Slot(0),
        highest_format: LogFormat::FIRST,
        storage: Storage::Writable,
        nudge_below: None,
    };
    for name in cluster.names("coordinator") {
        let client = CoordinatorClient::new(cluster.url(&name).parse()?);
        refused(client.heartbeat(&heartbeat, TIMEOUT), epoch).await?;
    }
    Ok(())
}

/// The end of the generation, and the begin of another one of the same acceptors, at a slot
/// that nobody can have reached, to every acceptor.
async fn forge_successions(cluster: &Cluster, roster: &Roster) -> Result<()> {
    let begin = 1 << 62;
    let names = cluster.names("acceptor");
    let urls: Vec<String> = names.iter().map(|name| cluster.url(name).to_owned()).collect();
    let acceptors = roster.acceptors().to_vec();
    let next = Roster::new(roster.cluster(), Generation(1), acceptors)?;
    let seated = |roster: &Roster| Seated { roster: roster.clone(), urls: urls.clone() };
    let forged = Succession::new(seated(roster), seated(&next), Slot(begin))?;
    for name in names {
        let client = AcceptorClient::new(cluster.url(&name).parse()?);
        for told in [SuccessionRequest::Seal, SuccessionRequest::Open] {
            refused(client.succession(&told(forged.clone()), TIMEOUT), begin).await?;
        }
        let marks = client.watermarks(TIMEOUT).await?.marks;
        ensure!(marks.chosen_below.0 < begin, "{name}: {marks:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_round_and_an_epoch_out_of_reach_end_neither_the_cluster_nor_fail_over()
-> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    write(&cluster, "before").await?;
    let acceptor = AcceptorClient::new(cluster.url("acceptor-1").parse()?);
    let roster = acceptor.watermarks(TIMEOUT).await?.roster.context("it belongs to a cluster")?;
    forge_ballots(&cluster, &roster).await?;
    forge_heartbeats(&cluster, &roster).await?;
    forge_successions(&cluster, &roster).await?;
    write(&cluster, "after").await?;
    let primary = cluster.json("replica-1", "/v1/status").await?["view"]["primary"].clone();
    let primary = primary.as_str().context("there is a primary")?.to_owned();
    let leader = {
        let mut leader = None;
        for name in cluster.names("coordinator") {
            if cluster.json(&name, "/v1/status").await?["phase"] == "phase2" {
                leader = Some(name);
            }
        }
        leader.context("somebody leads")?
    };
    for name in [leader, primary] {
        cluster.service(&name).terminate(STOPPING)?;
    }
    write(&cluster, "under another leader and another primary").await
}
