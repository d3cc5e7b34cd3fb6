//! `synod endpoints`.

use std::fmt::Display;
use std::process::ExitCode;

use balancer::pool::Policy;
use clap::{Subcommand, value_parser};
use client::{Balancer, BalancerEndpoint, Client, OrderedEndpoint};
use serde::Serialize;
use serde_json::Value;

use super::Common;
use crate::console::{Align, Table};
use crate::output::{self, Format, printable};

#[derive(clap::Args)]
pub(crate) struct Endpoints {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Show which replicas a balancer sends reads to, and why
    Show {
        #[command(flatten)]
        common: Common,
    },
    /// Send a replica nothing new; what it has it finishes
    Drain {
        #[command(flatten)]
        common: Common,
        /// Which replica, by its name
        id: String,
    },
    /// Send a drained replica requests again, at first a small share
    Undrain {
        #[command(flatten)]
        common: Common,
        /// Which replica, by its name
        id: String,
    },
    /// Give a replica a weight beside the others'
    Weight {
        #[command(flatten)]
        common: Common,
        /// Which replica, by its name
        id: String,
        /// How many times the share of one of weight 1, from 1 to 100
        #[arg(value_parser = value_parser!(u32).range(1..=100))]
        weight: u32,
    },
    /// Share out reads in another way
    Policy {
        #[command(flatten)]
        common: Common,
        /// How
        #[arg(value_enum)]
        policy: Policy,
    },
}

/// Shows or says it. What is said is said to each balancer of `--url`, for each knows only
/// what it is told itself; of several failures the first is reported.
pub(crate) async fn endpoints(args: Endpoints) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Show { common } => common.each(async |client| show(&client, &common).await).await,
        Action::Drain { common, id } => {
            let drain = async |client: Client| client.drain_endpoint(&id, true).await;
            common.each(async |client| common.ordered(&drain(client).await?)).await
        }
        Action::Undrain { common, id } => {
            let undrain = async |client: Client| client.drain_endpoint(&id, false).await;
            common.each(async |client| common.ordered(&undrain(client).await?)).await
        }
        Action::Weight { common, id, weight } => {
            let weigh = async |client: Client| client.weigh_endpoint(&id, weight).await;
            common.each(async |client| common.ordered(&weigh(client).await?)).await
        }
        Action::Policy { common, policy } => {
            let set = async |client: Client| {
                let said = client.set_balancer_policy(policy.as_str()).await?;
                let by = printable(&said.policy);
                common.print(&said, &by, format_args!("reads are shared out by {by}"))
            };
            common.each(set).await
        }
    }
}

impl Common {
    /// Does it at each address.
    async fn each(
        &self,
        act: impl AsyncFn(Client) -> anyhow::Result<()>,
    ) -> anyhow::Result<ExitCode> {
        let (mut failed, clients) = (None, self.endpoint.each());
        let many = clients.len() > 1;
        for client in clients {
            let address = client.address().to_owned();
            if let Err(error) = act(client).await {
                let error = if many { error.context(address) } else { error };
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(ExitCode::SUCCESS), Err)
    }

    fn ordered(&self, said: &OrderedEndpoint) -> anyhow::Result<()> {
        let (id, weight) = (printable(&said.id), said.order.weight);
        let word = if said.order.drain { "drained" } else { "serving" };
        let plain = format!("{id}\t{word}\t{weight}");
        let is = if said.order.drain { "is drained" } else { "gets requests" };
        self.print(said, &plain, format_args!("{id} {is}, with weight {weight}"))
    }

    fn print(&self, said: &impl Serialize, plain: &str, table: impl Display) -> anyhow::Result<()> {
        match self.output.format() {
            Format::Plain => output::line(plain),
            Format::Json => output::json(said),
            Format::Table => output::line(table),
        }
    }
}

async fn show(client: &Client, common: &Common) -> anyhow::Result<()> {
    match common.output.format() {
        Format::Json => output::json(&client.json::<Value>("/v1/balancer").await?),
        Format::Table => output::line(shown(&client.balancer().await?)),
        Format::Plain => {
            let balancer = client.balancer().await?;
            balancer.endpoints.iter().try_for_each(|each| output::line(plain(&balancer, each)))
        }
    }
}

fn state(endpoint: &BalancerEndpoint) -> &'static str {
    if endpoint.is_in { "in" } else { "out" }
}

fn why(endpoint: &BalancerEndpoint) -> String {
    printable(&endpoint.why.join("; "))
}

fn plain(balancer: &Balancer, endpoint: &BalancerEndpoint) -> String {
    let (id, name) = (printable(&balancer.id), printable(&endpoint.id));
    format!("{id}\t{name}\t{}\t{}\t{}", state(endpoint), endpoint.share, why(endpoint))
}

/// A balancer, its endpoints, and why each is in or out.
fn shown(balancer: &Balancer) -> String {
    let columns = ["replica", "reads", "share", "weight", "in flight", "sent", "failed"];
    let align = |column: &&str| match *column {
        "replica" | "reads" => Align::Left,
        _ => Align::Right,
    };
    let columns = columns.iter().map(|column| (*column, align(column)));
    let mut table = Table::new(columns.chain([("zone", Align::Left), ("why", Align::Left)]));
    for endpoint in &balancer.endpoints {
        let requests = &endpoint.requests;
        table.row([
            printable(&endpoint.id),
            state(endpoint).to_owned(),
            endpoint.share.to_string(),
            endpoint.operator.weight.to_string(),
            requests.in_flight.to_string(),
            requests.sent.to_string(),
            requests.failures.to_string(),
            endpoint.zone.as_deref().map(printable).unwrap_or_default(),
            why(endpoint),
        ]);
    }
    let primary = balancer.primary.as_deref().map_or_else(|| String::from("none known"), printable);
    let table = table.without_empty_columns().to_string();
    format!(
        "{}: reads by {}, mutations to the primary ({primary}); {} retries, {} hedged reads\n\n{}",
        printable(&balancer.id),
        printable(&balancer.policy),
        balancer.retries.sent,
        balancer.hedges.sent,
        table.trim_end(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_endpoint_is_shown_with_why_it_is_in_or_out() {
        let requests =
            json!({"health": "healthy", "in_flight": 1, "sent": 20, "failures": 0, "ejections": 0});
        let endpoint = |id: &str, is_in: bool, why: &str| {
            json!({"id": id, "zone": null, "in": is_in, "why": [why], "share": 1.0,
                "requests": requests, "operator": {"drain": !is_in, "weight": 1}})
        };
        let balancer: Balancer = serde_json::from_value(json!({
            "id": "balancer-1", "zone": null, "policy": "random", "primary": "replica-1",
            "retries": {"sent": 2, "refused": 0, "left": 98},
            "hedges": {"sent": 3, "refused": 0, "left": 7},
            "endpoints": [
                endpoint("replica-1", true, "it is healthy and current"),
                endpoint("replica-2", false, "the operator has drained it"),
            ],
        }))
        .unwrap();
        let expected = "balancer-1: reads by random, mutations to the primary (replica-1); \
            2 retries, 3 hedged reads\n\n  \
            replica    reads  share  weight  in flight  sent  failed  why\n  \
            replica-1  in         1       1          1    20       0  it is healthy and current\n  \
            replica-2  out        1       1          1    20       0  the operator has drained it";
        assert_eq!(shown(&balancer), expected);
        let line = "balancer-1\treplica-2\tout\t1\tthe operator has drained it";
        assert_eq!(plain(&balancer, &balancer.endpoints[1]), line);
    }
}
