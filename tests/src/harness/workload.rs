//! Clients that write through the balancer while services die, and remember what they
//! were told.
//!
//! Every write has a key and a value of its own, so that what a replica holds at the end
//! says of each single write whether it happened: an acknowledged one must be there, one
//! answered `not_applied` must not, one left open may be either.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::task::JoinSet;

use super::cluster::{Cluster, until_reached};

/// What a client was told of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Success.
    Acknowledged,
    /// It did not happen and never will.
    NotApplied,
    /// It may have happened, or no answer came.
    Unknown,
}

/// One write and what became of it.
#[derive(Clone, Debug)]
pub struct Write {
    /// Its key, used by no other write.
    pub key: String,
    /// What the client was told.
    pub told: Told,
    /// When the answer came, since the start of the workload.
    pub at: Duration,
}

/// Everything that the clients did.
#[derive(Debug, Default)]
pub struct Record {
    /// In no particular order.
    pub writes: Vec<Write>,
}

/// A running workload.
#[derive(Debug)]
pub struct Workload {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    clients: JoinSet<Result<Vec<Write>>>,
}

impl Workload {
    /// Starts clients that write to the cluster's balancer, one request at a time each,
    /// until [`Workload::finish`].
    #[must_use]
    pub fn start(cluster: &Cluster, clients: usize, label: &str) -> Self {
        let (stop, acknowledged) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let started = Instant::now();
        let mut running = JoinSet::new();
        for client in 0..clients {
            let client = Client {
                stop: Arc::clone(&stop),
                acknowledged: Arc::clone(&acknowledged),
                http: cluster.http().clone(),
                front: cluster.front().to_owned(),
                prefix: format!("{label}/{client}"),
                started,
            };
            running.spawn(client.write());
        }
        Self { stop, acknowledged, clients: running }
    }

    /// Waits until so many more writes are acknowledged.
    ///
    /// # Errors
    /// When a client got an answer that the API does not allow, or there is no progress
    /// for [`PATIENCE`](super::cluster::PATIENCE).
    pub async fn wait_for_progress(&mut self, writes: usize) -> Result<()> {
        let wanted = self.acknowledged.load(Ordering::Relaxed) + writes;
        let progress = until_reached("writes acknowledged", wanted, async || {
            self.acknowledged.load(Ordering::Relaxed)
        })
        .await;
        // Before it is told to, a client ends only for an error, which says more.
        while let Some(ended) = self.clients.try_join_next() {
            ended??;
        }
        progress
    }

    /// Lets every client finish the request it is in, and collects what they were told.
    ///
    /// # Errors
    /// When a client got an answer that the API does not allow.
    pub async fn finish(mut self) -> Result<Record> {
        self.stop.store(true, Ordering::Relaxed);
        let mut record = Record::default();
        while let Some(client) = self.clients.join_next().await {
            record.writes.extend(client??);
        }
        Ok(record)
    }
}

struct Client {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    http: reqwest::Client,
    front: String,
    prefix: String,
    started: Instant,
}

impl Client {
    async fn write(self) -> Result<Vec<Write>> {
        let mut writes = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let key = format!("{}/{}", self.prefix, writes.len());
            let response = self
                .http
                .put(format!("{}/v1/kv/{key}", self.front))
                .body(value_of(&key))
                .send()
                .await;
            let told = match response {
                Ok(response) => told(response).await?,
                Err(_) => Told::Unknown,
            };
            if told == Told::Acknowledged {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            } else {
                // A client that is refused comes back a little later instead of spinning.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            writes.push(Write { key, told, at: self.started.elapsed() });
        }
        Ok(writes)
    }
}

async fn told(response: reqwest::Response) -> Result<Told> {
    let status = response.status();
    if status.is_success() {
        return Ok(Told::Acknowledged);
    }
    ensure!(status.is_server_error(), "a well-formed write was answered {status}");
    // Who answers may be killed within its answer.
    let Ok(body) = response.bytes().await else { return Ok(Told::Unknown) };
    let problem: Value = serde_json::from_slice(&body).with_context(|| {
        format!("{status} is not problem+json: {}", String::from_utf8_lossy(&body))
    })?;
    match problem["outcome"].as_str() {
        Some("not_applied") => Ok(Told::NotApplied),
        Some("unknown") => Ok(Told::Unknown),
        other => bail!("{status} says outcome {other:?}: {problem}"),
    }
}

fn value_of(key: &str) -> String {
    format!("value of {key}")
}

impl Record {
    /// How many writes were told so.
    #[must_use]
    pub fn count(&self, told: Told) -> usize {
        self.writes.iter().filter(|write| write.told == told).count()
    }

    /// The longest time without an acknowledged write, between the first and the last of
    /// them.
    #[must_use]
    pub fn longest_gap(&self) -> Duration {
        let mut times: Vec<Duration> = self
            .writes
            .iter()
            .filter(|write| write.told == Told::Acknowledged)
            .map(|write| write.at)
            .collect();
        times.sort_unstable();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// Holds what one replica has executed against what the clients were told.
    ///
    /// # Errors
    /// Names the first write that is missing, wrong, or there although it was refused.
    pub async fn check(&self, cluster: &Cluster, replica: &str) -> Result<()> {
        let held = cluster.contents(replica, "").await?;
        for write in &self.writes {
            match (held.get(&write.key), write.told) {
                (Some(value), Told::Acknowledged | Told::Unknown) => {
                    ensure!(
                        *value == value_of(&write.key),
                        "{replica} holds {value:?} at {}",
                        write.key
                    );
                }
                (None, Told::NotApplied | Told::Unknown) => {}
                (None, Told::Acknowledged) => {
                    bail!("{replica} lost the acknowledged write {}", write.key)
                }
                (Some(_), Told::NotApplied) => {
                    bail!("{replica} executed {}, answered not_applied", write.key)
                }
            }
        }
        Ok(())
    }
}
