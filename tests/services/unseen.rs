//! Clients of the balancer that send each request once, by no key, and take every error for
//! a failure, while primaries and leaders are killed: they see none, and each of their
//! mutations is executed once.
//!
//! `SYNOD_KILLS` says how many die (6).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::harness::cluster::{Cluster, Size};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::synod;

const CLIENTS: u64 = 16;
/// Between two requests of a client.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two kills.
const PEACE: Duration = Duration::from_secs(1);
/// An answer takes long that takes so long.
const LONG: Duration = Duration::from_millis(50);
/// How long a service is dead.
const DEAD: Duration = Duration::from_secs(1);

struct Client {
    number: u64,
    front: String,
    http: reqwest::Client,
    writes: u64,
    /// How long it waited for answers, where that was long, and until when.
    waits: Vec<(Instant, Duration)>,
}

/// What died, and when.
struct Kill {
    victim: String,
    at: Instant,
}

impl Client {
    /// Works until the kills are over.
    async fn work(mut self, over: Arc<AtomicBool>) -> Result<Self> {
        while !over.load(Ordering::Relaxed) {
            self.writes += 1;
            let value = format!("{}-{}", self.number, self.writes);
            let append = self.http.post(format!("{}/v1/log", self.front)).body(value);
            let count = self.http.put(format!("{}/v1/kv/count/{}", self.front, self.number));
            for request in [append, count.body("")] {
                let asked = Instant::now();
                let answer = request.send().await.context("the balancer broke off")?;
                let status = answer.status();
                let body = answer.text().await?;
                ensure!(status.is_success(), "client {}: {status}: {body}", self.number);
                let waited = asked.elapsed();
                if waited >= LONG {
                    self.waits.push((Instant::now(), waited));
                }
            }
            sleep(PAUSE).await;
        }
        Ok(self)
    }
}

fn kills() -> Result<usize> {
    Ok(std::env::var("SYNOD_KILLS").map_or(Ok(6), |text| text.parse())?)
}

/// Kills the primary and the leader in turn.
async fn kill_them(cluster: &mut Cluster) -> Result<Vec<Kill>> {
    let mut killed = Vec::new();
    for kill in 0..kills()? {
        sleep(PEACE).await;
        let victim =
            if kill % 2 == 0 { cluster.primary().await? } else { cluster.leader().await? };
        cluster.service(&victim).kill()?;
        killed.push(Kill { victim: victim.clone(), at: Instant::now() });
        sleep(DEAD).await;
        cluster.service(&victim).start()?;
        cluster.wait_until_serving().await?;
    }
    Ok(killed)
}

/// How often each value was appended, as one replica's log has it. The log has void batches,
/// too, which leave the revision as it was.
async fn appended(cluster: &Cluster) -> Result<BTreeMap<String, u64>> {
    let (mut appended, mut from, mut revision) = (BTreeMap::new(), 0, 0);
    loop {
        let page = cluster.json("replica-1", &format!("/v1/log?from={from}&limit=1000")).await?;
        let slots = page.as_array().context("no list")?;
        for slot in slots {
            from = slot["slot"].as_u64().context("no slot")? + 1;
            let before = revision;
            revision = slot["revision"].as_u64().context("no revision")?;
            let commands = slot["commands"].as_array().context("no commands")?;
            let values = commands.iter().filter_map(|command| command["value"].as_str());
            for value in values.filter(|_| revision > before) {
                *appended.entry(value.to_owned()).or_default() += 1;
            }
        }
        if slots.is_empty() {
            return Ok(appended);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_the_balancer_see_no_error_while_primaries_and_leaders_die() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (front, http) = (cluster.front().to_owned(), reqwest::Client::new());
        let client = Client { number, front, http, writes: 0, waits: Vec::new() };
        clients.spawn(client.work(over.clone()));
    }
    let killed = kill_them(&mut cluster).await;
    over.store(true, Ordering::Relaxed);
    let mut done = Vec::new();
    while let Some(ended) = clients.join_next().await {
        done.push(ended??);
    }
    let killed = killed?;
    let appended = appended(&cluster).await?;
    for client in &done {
        let count = format!("/v1/kv/count/{}", client.number);
        let answer = cluster.http().get(format!("{}{count}", cluster.front())).send().await?;
        let version = answer.headers().get("synod-version").context("no version")?.to_str()?;
        ensure!(version == client.writes.to_string(), "{version} of {} counted", client.writes);
        for write in 1..=client.writes {
            let value = format!("{}-{write}", client.number);
            ensure!(appended.get(&value) == Some(&1), "{value}: {:?}", appended.get(&value));
        }
    }
    let writes: u64 = done.iter().map(|client| 2 * client.writes).sum();
    ensure!(appended.len() as u64 == writes / 2, "{} values of {writes}", appended.len());
    for Kill { victim, at } in &killed {
        let after = |wait: &&(Instant, Duration)| wait.0 > *at && wait.0 < *at + DEAD;
        let waits = done.iter().flat_map(|client| client.waits.iter().filter(after));
        let longest = waits.map(|(_, waited)| *waited).max().unwrap_or_default();
        println!("{victim} killed: no answer took longer than {longest:.0?}");
    }
    println!("{writes} mutations over {} kills, none failed", killed.len());
    Ok(())
}
