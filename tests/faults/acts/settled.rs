//! Whether anything that an operator asked for is still under way.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::harness::cluster::Cluster;

/// How things stand, as everybody says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// The replicas of the view.
    pub(super) view: BTreeSet<String>,
    /// The addresses of the acceptors.
    pub(super) acceptors: BTreeSet<String>,
}

/// Looks once.
///
/// # Errors
/// When something is under way, or somebody says otherwise, or nothing.
pub(super) async fn look(cluster: &Cluster) -> Result<Settled> {
    let primary = cluster.primary().await?;
    let (settled, generation) = told_by(cluster, &primary).await?;
    for replica in settled.view.iter().filter(|name| **name != primary) {
        let (told, _) = told_by(cluster, replica).await?;
        ensure!(told == settled, "{replica} says {told:?}, and {primary} {settled:?}");
    }
    let others = [cluster.names("coordinator"), cluster.names("balancer")].concat();
    for name in others.iter().chain(&settled.view) {
        let status = cluster.json(name, "/v1/status").await?;
        let is_coordinator = status["service"] == "coordinator";
        let known = if is_coordinator { "generation" } else { "acceptors_generation" };
        ensure!(
            status[known].as_u64() == generation,
            "{name} goes by generation {}, and not {generation:?}",
            status[known]
        );
    }
    Ok(settled)
}

/// What `GET /v1/cluster` of a replica says, and the generation of its acceptors.
async fn told_by(cluster: &Cluster, replica: &str) -> Result<(Settled, Option<u64>)> {
    let told = cluster.json(replica, "/v1/cluster").await?;
    ensure!(told["leader"].is_object(), "nobody leads, says {replica}");
    for coordinator in array(&told, "coordinators")? {
        ensure!(coordinator["healthy"] == true, "{replica} says {coordinator}");
        let waits_for = &coordinator["change_waits_for"];
        ensure!(waits_for.is_null(), "a change waits for {waits_for}");
    }
    let view = &told["view"];
    let backups = array(view, "backups")?.iter().chain([&view["primary"]]);
    let view: BTreeSet<String> = backups.map(text).collect::<Result<_>>()?;
    for name in &view {
        let shown = array(&told, "replicas")?.iter().find(|shown| shown["id"] == name.as_str());
        let shown = shown.with_context(|| format!("{replica} does not show {name}"))?;
        ensure!(shown["healthy"] == true, "{replica} says {shown}");
    }
    let urls = array(&told, "acceptors")?.iter().map(|acceptor| text(&acceptor["url"]));
    let settled = Settled { view, acceptors: urls.collect::<Result<_>>()? };
    let status = cluster.json(replica, "/v1/status").await?;
    Ok((settled, status["acceptors_generation"].as_u64()))
}

fn array<'a>(of: &'a Value, name: &str) -> Result<&'a Vec<Value>> {
    of[name].as_array().with_context(|| format!("no {name} in {of}"))
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().with_context(|| format!("{value} is no text"))?.to_owned())
}
