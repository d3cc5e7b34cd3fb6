//! Balancers before real replicas: who gets what, and what slow replicas, operators and
//! greedy clients change of it.

mod clients;
mod drain;
mod extra;
mod figures;
mod policies;
mod several;
mod slow;
mod zones;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::harness::cluster::{Cluster, PATIENCE};
use tokio::task::JoinSet;

/// What a balancer shows of itself.
async fn shown(cluster: &Cluster, balancer: &str) -> Result<Value> {
    cluster.json(balancer, "/v1/balancer").await
}

/// Tells a balancer something.
async fn tell(cluster: &Cluster, balancer: &str, path: &str, said: &Value) -> Result<()> {
    let url = format!("{}/v1/balancer/{path}", cluster.url(balancer));
    let answer = cluster.http().put(url).json(said).send().await?;
    ensure!(answer.status() == 200, "{balancer} {path} {said}: {}", answer.text().await?);
    Ok(())
}

/// Drains an endpoint, or puts it back.
async fn drain(cluster: &Cluster, balancer: &str, id: &str, drain: bool) -> Result<()> {
    let said = serde_json::json!({ "drain": drain });
    tell(cluster, balancer, &format!("endpoints/{id}"), &said).await
}

/// An endpoint as a balancer shows it.
fn endpoint<'a>(shown: &'a Value, id: &str) -> Result<&'a Value> {
    let all = shown["endpoints"].as_array().context("endpoints")?;
    all.iter().find(|each| each["id"] == id).with_context(|| format!("no {id} in {shown}"))
}

/// How many requests each endpoint got.
fn sent(shown: &Value) -> Result<BTreeMap<String, u64>> {
    let all = shown["endpoints"].as_array().context("endpoints")?;
    all.iter()
        .map(|each| {
            let id = each["id"].as_str().context("an id")?.to_owned();
            Ok((id, each["requests"]["sent"].as_u64().context("a count")?))
        })
        .collect()
}

/// How many more each endpoint got.
fn grown(before: &Value, after: &Value) -> Result<BTreeMap<String, u64>> {
    let before = sent(before)?;
    let after = sent(after)?.into_iter();
    Ok(after.map(|(id, count)| (id.clone(), count - before.get(&id).unwrap_or(&0))).collect())
}

/// How much a count has grown, such as `/hedges/sent`.
fn more(before: &Value, after: &Value, pointer: &str) -> Result<u64> {
    let count = |shown: &Value| shown.pointer(pointer).and_then(Value::as_u64);
    let (before, after) = (count(before).context("a count")?, count(after).context("a count")?);
    Ok(after - before)
}

/// A client of its own, at an address of this machine of its own.
pub(crate) fn client_at(last: u8) -> Result<reqwest::Client> {
    let builder = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
    Ok(builder.local_address(Some(Ipv4Addr::new(127, 0, 0, last).into())).build()?)
}

/// Clients that ask again and again, of whom none may hear of a failure.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    began: Instant,
    clients: JoinSet<Result<Vec<Answered>>>,
}

/// A request that was answered well.
#[derive(Clone, Copy, Debug)]
struct Answered {
    /// When, since the load began.
    at: Duration,
    took: Duration,
}

impl Load {
    /// So many clients, each of which begins anew when it was answered and has paused.
    fn start(
        clients: usize,
        pause: Duration,
        request: impl Fn(usize, usize) -> reqwest::RequestBuilder + Clone + Send + 'static,
    ) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let began = Instant::now();
        let mut load = JoinSet::new();
        for client in 0..clients {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            let request = request.clone();
            load.spawn(async move {
                let mut all = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    let answer = request(client, all.len()).send().await?;
                    let status = answer.status();
                    let said = answer.text().await?;
                    ensure!(status.is_success(), "{status}: {said}");
                    all.push(Answered { at: began.elapsed(), took: sent.elapsed() });
                    answered.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(pause).await;
                }
                Ok(all)
            });
        }
        Self { stop, answered, began, clients: load }
    }

    /// Reads of a key.
    fn of_reads(cluster: &Cluster, balancer: &str, clients: usize, pause: Duration) -> Self {
        let (http, door) = (cluster.http().clone(), cluster.url(balancer).to_owned());
        Self::start(clients, pause, move |_, _| http.get(format!("{door}/v1/kv/harness/ready")))
    }

    /// How many were answered so far.
    fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until so many more are answered.
    async fn goes_on(&self, answers: usize) -> Result<()> {
        let wanted = self.answered() + answers;
        tests::harness::cluster::until_reached("answers", wanted, async || self.answered()).await
    }

    /// Lets each client finish; all that was answered, unless one heard of a failure.
    async fn end(mut self) -> Result<Vec<Answered>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        while let Some(ended) = self.clients.join_next().await {
            all.extend(ended??);
        }
        Ok(all)
    }
}
