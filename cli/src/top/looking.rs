//! One look at the cluster: who is asked, and for how long.

use std::collections::BTreeMap;
use std::slice::from_ref;
use std::time::Duration;

use client::{Client, Error, parse_url};
use futures::future::join_all;

use super::cluster::Cluster;
use super::measures::Measures;
use super::seen::Look;

/// How long the cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a service may take to say what it measures: one that cannot be reached from here
/// holds nothing up.
const MEASURES_PATIENCE: Duration = Duration::from_millis(500);
/// The most services that are asked what they measure.
const MOST: usize = 64;

/// Whom to ask.
#[derive(Debug)]
pub(super) struct Looking {
    front: Client,
    /// By address, with their connections.
    services: BTreeMap<String, Client>,
}

impl Looking {
    /// Asks this one, and those that it names.
    pub(super) fn at(front: Client) -> Self {
        Self { front: front.with_timeout(PATIENCE), services: BTreeMap::new() }
    }

    /// Who is asked first.
    pub(super) fn address(&self) -> String {
        self.front.address().to_owned()
    }

    /// Looks once.
    pub(super) async fn look(&mut self) -> Result<Look, Error> {
        let cluster: Cluster = self.front.json("/v1/cluster").await?;
        let asked = cluster.acceptors.iter().chain(&cluster.balancers);
        let asked = asked.filter(|service| service.healthy).take(MOST);
        let named: BTreeMap<String, String> = asked
            .filter_map(|service| Some((service.url.clone()?, service.name().to_owned())))
            .collect();
        self.services.retain(|url, _| named.contains_key(url));
        for url in named.keys() {
            if self.services.contains_key(url) {
                continue;
            }
            let Ok(address) = parse_url(url) else { continue };
            let client = Client::of_urls(from_ref(&address))?.with_timeout(MEASURES_PATIENCE);
            self.services.insert(url.clone(), client.without_retries());
        }
        let measured = self.services.iter().map(async |(url, client)| {
            let text = client.fetch("/metrics").await.ok()?;
            Some((named.get(url)?.clone(), Measures::of(&String::from_utf8_lossy(&text))))
        });
        let measures = join_all(measured).await.into_iter().flatten().collect();
        Ok(Look { cluster, measures })
    }
}
