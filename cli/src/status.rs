//! `synod status`: who leads, who is primary and how far every replica is, as
//! `GET /v1/cluster` tells it.

use std::process::ExitCode;

use client::Cluster;
use serde_json::Value;

use crate::console::{self, Align, Table};
use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
}

/// Prints the cluster as one replica sees it.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = args.endpoint.client();
    match args.output.format() {
        Format::Json => output::json(&client.json::<Value>("/v1/cluster").await?)?,
        Format::Table | Format::Plain => console::say(render_status(&client.cluster().await?)),
    }
    Ok(ExitCode::SUCCESS)
}

fn render_status(cluster: &Cluster) -> String {
    let unknown = || String::from("none known");
    let leader = cluster.leader.as_ref().map_or_else(unknown, |leader| {
        let name = leader
            .coordinator
            .as_str()
            .map_or_else(|| leader.coordinator.to_string(), str::to_owned);
        leader.url.as_ref().map_or_else(|| name.clone(), |url| format!("{name} at {url}"))
    });
    let primary = cluster
        .view
        .as_ref()
        .and_then(|view| Some(format!("{} in epoch {}", view.primary.as_ref()?, view.epoch)));
    let number =
        |number: Option<i64>| number.map_or_else(|| String::from("-"), |number| number.to_string());
    let mut table = Table::new([
        ("replica", Align::Left),
        ("role", Align::Left),
        ("healthy", Align::Left),
        ("slot", Align::Right),
        ("lag", Align::Right),
        ("revision", Align::Right),
        ("url", Align::Left),
    ]);
    for replica in &cluster.replicas {
        table.row([
            replica.id.clone(),
            replica.role.clone().unwrap_or_else(|| String::from("-")),
            String::from(if replica.healthy { "yes" } else { "no" }),
            number(replica.executed_slot),
            number(replica.lag_slots),
            replica.revision.map_or_else(|| String::from("-"), |revision| revision.to_string()),
            replica.url.clone().unwrap_or_else(|| String::from("-")),
        ]);
    }
    let history = match cluster.compacted_below {
        0 => String::new(),
        oldest => format!(", history from revision {oldest} on"),
    };
    format!(
        "cluster {}, revision {}{history}\nleader   {leader}\nprimary  {}\n\n{table}",
        cluster.cluster_id.as_deref().unwrap_or("not formed"),
        cluster.revision,
        primary.unwrap_or_else(unknown),
    )
    .trim_end()
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_also_while_nobody_leads() {
        let json = serde_json::json!({
            "cluster_id": "00ab", "revision": 9, "compacted_below": 4, "leader": null, "view": {"epoch": 2, "primary": "replica-1", "backups": []},
            "coordinators": [], "acceptors": [], "ratios": {},
            "replicas": [{"id": "replica-1", "url": "http://a", "healthy": true, "role": "primary", "executed_slot": 12,
                          "revision": 9, "lag_slots": 0, "hash": "00"}],
        });
        let cluster: Cluster = serde_json::from_value(json).unwrap();
        let expected = "cluster 00ab, revision 9, history from revision 4 on\nleader   none known\nprimary  replica-1 in \
                        epoch 2\n\n  replica    role     healthy  \
                        slot  lag  revision  url\n  replica-1  primary  yes        12    0         9  http://a";
        assert_eq!(render_status(&cluster), expected);
    }
}
