//! `synod log verify`: whether the log is one chain, and whether every replica holds it.
//!
//! The hash of a slot is made of that of the slot before it, its number and its value
//! (`shared::chain`). `GET /v1/log` shows hashes and no values, so by it alone only the links
//! can be followed: that each slot names the hash of the one before it. The values are to be
//! had from the replicas, by the endpoint from which they copy the log from each other, which
//! no balancer passes on: from those of them that can be reached, the hashes are recomputed,
//! and held against those of the log. What could not be recomputed is said.

mod links;
mod recompute;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use client::{Client, Cluster, Log, Replica};
use serde::Serialize;
use shared::config::BaseUrl;
use shared::ids::ClusterId;

use self::links::Links;
use self::recompute::{Recompute, Standing, WAIT};
use crate::console::{self, Align, Table};
use crate::endpoint::Endpoint;
use crate::exit;
use crate::output::{self, Format, Output};

/// So many slots are looked at in one go.
const PAGE: u32 = 500;
/// From asking where the replicas are to asking again.
const ASK_EVERY: Duration = Duration::from_millis(100);

#[derive(clap::Args)]
pub(super) struct Verify {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// Begin at this slot; at the oldest that is kept where it is not given
    #[arg(long, env = "SYNOD_FROM_SLOT", value_name = "SLOT")]
    from: Option<u64>,
    /// The replicas to have the values from, set apart by commas, where they are reached by
    /// other addresses than those that the cluster names
    #[arg(long, env = "SYNOD_REPLICA_URLS", value_name = "URL", value_delimiter = ',')]
    replicas: Vec<BaseUrl>,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    /// The first slot that was looked at, and the last one.
    from: u64,
    to: u64,
    /// Of the last one, and so of all of them.
    hash: String,
    replicas: Vec<Standing>,
}

/// Verifies; succeeds only where hashes were recomputed, and none differs.
pub(super) async fn verify(args: Verify) -> anyhow::Result<ExitCode> {
    let client = args.endpoint.client();
    let cluster = cluster(&client, &args.replicas).await?;
    let id: ClusterId = cluster.cluster_id.as_deref().context("no cluster has formed")?.parse()?;
    let end = cluster.replicas.iter().filter_map(|replica| replica.executed_slot).max();
    let end = u64::try_from(end.context("no replica has executed anything")?)?;
    let mut replicas = replicas(id, &args.replicas, &cluster);
    let Some(links) = follow(&client, args.from, end, &mut replicas).await? else {
        anyhow::bail!("there is nothing to verify: the log ends with slot {end}");
    };
    let report = Report {
        from: links.first(),
        to: links.last(),
        hash: links.hash().to_string(),
        replicas: replicas.into_iter().map(Recompute::standing).collect(),
    };
    match args.output.format() {
        Format::Table | Format::Plain => console::say(shown(&report)),
        Format::Json => output::json(&report)?,
    }
    Ok(report.code())
}

/// Where everybody is. A replica that has just started, as the one that is asked may have, is
/// heard of by the others a moment later: each is waited for, unless others are named.
async fn cluster(client: &Client, given: &[BaseUrl]) -> anyhow::Result<Cluster> {
    let began = Instant::now();
    loop {
        let cluster = client.cluster().await?;
        let is_whole = cluster.replicas.iter().all(|replica| replica.url.is_some());
        if is_whole || !given.is_empty() || began.elapsed() >= WAIT {
            return Ok(cluster);
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Those that are named, or else all that the cluster knows of.
fn replicas(id: ClusterId, given: &[BaseUrl], cluster: &Cluster) -> Vec<Recompute> {
    if !given.is_empty() {
        return given.iter().map(|url| Recompute::new(id, url.to_string())).collect();
    }
    let recompute = |replica: &Replica| match &replica.url {
        Some(url) => Recompute::new(id, url.clone()),
        None => Recompute::unheard(id, replica.id.clone()),
    };
    cluster.replicas.iter().map(recompute).collect()
}

/// Goes along the log, page by page, with all replicas side by side.
async fn follow(
    client: &Client,
    from: Option<u64>,
    end: u64,
    replicas: &mut [Recompute],
) -> anyhow::Result<Option<Links>> {
    let mut links: Option<Links> = None;
    loop {
        let next = links.as_ref().map_or(from, |links| Some(links.last() + 1));
        if next.is_some_and(|next| next > end) {
            return Ok(links);
        }
        let log = client.log().limit(PAGE);
        let page = next.into_iter().fold(log, Log::from).await?;
        let Some(first) = page.first() else { return Ok(links) };
        let chain = links.get_or_insert_with(|| Links::before(first));
        for entry in &page {
            chain.take(entry)?;
        }
        for replica in &mut *replicas {
            replica.take(&page).await;
        }
    }
}

impl Report {
    fn code(&self) -> ExitCode {
        if self.replicas.iter().any(Standing::differs) {
            ExitCode::FAILURE
        } else if self.is_recomputed() {
            ExitCode::SUCCESS
        } else {
            exit::UNAVAILABLE.into()
        }
    }

    /// Whether one replica at least holds every value.
    fn is_recomputed(&self) -> bool {
        self.replicas.iter().any(|standing| standing.is_whole(self.from, self.to))
    }
}

fn shown(report: &Report) -> String {
    let Report { from, to, hash, replicas } = report;
    let mut table =
        Table::new([("replica", Align::Left), ("recomputed", Align::Left), ("found", Align::Left)]);
    for standing in replicas {
        table.row(standing.cells());
    }
    let links = format!(
        "slots {from} to {to}: each names the hash of the one before it\nhash of the last: {hash}\n"
    );
    let note = if report.is_recomputed() {
        ""
    } else {
        "the hashes of all these slots could not be recomputed: that takes a replica that holds \
         their values and can be reached (--replicas)\n"
    };
    format!("{links}{note}\n{table}").trim_end().to_owned()
}

#[cfg(test)]
mod tests;
