//! Increments of counters by clients that send every request again, by the same
//! `Idempotency-Key`, until they hear what came of it, while primaries and leaders are
//! killed: each is executed exactly once.
//!
//! `SYNOD_INCREMENTS` says how many (1,600).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::header::{ETAG, IF_MATCH};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tests::harness::cluster::{Cluster, Size, eventually};
use tokio::time::{Instant, sleep, timeout};

use crate::synod;

const CLIENTS: u64 = 16;
/// Between two kills.
const PEACE: Duration = Duration::from_millis(700);
/// How long a service is dead.
const DEAD: Duration = Duration::from_millis(900);
/// What a client gives a request, and how long it goes on asking.
const TIMEOUT: Duration = Duration::from_millis(1_500);
const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(20);
/// One answer in so many is forgotten, and the request sent again.
const FORGOTTEN: u64 = 16;

/// What has been heard of all clients.
#[derive(Debug, Default)]
struct Acknowledged {
    /// Requests that were sent again, as nothing was known of them.
    again: AtomicU64,
    /// First answers that came again.
    replayed: AtomicU64,
    /// Compare-and-swaps that did not hold.
    failed: AtomicU64,
}

struct Client {
    number: u64,
    doors: Vec<String>,
    http: reqwest::Client,
    heard: Arc<Acknowledged>,
    requests: u64,
}

/// A mutation that may be sent often.
#[derive(Debug)]
struct Put<'a> {
    name: &'a str,
    value: u64,
    guard: Option<&'a str>,
    key: &'a str,
}

/// What a mutation was answered, the first time and whenever it came again.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: StatusCode,
    body: String,
}

impl Client {
    /// Puts a value, by a key of its own, until it is known what came of it.
    async fn put(&mut self, name: &str, value: u64, guard: Option<&str>) -> Result<Answer> {
        self.requests += 1;
        let put = Put { name, value, guard, key: &format!("{}-{}", self.number, self.requests) };
        let mut sent = 0;
        let answer = self.settled(&put, &mut sent).await?;
        if self.requests.is_multiple_of(FORGOTTEN) {
            let again = self.settled(&put, &mut sent).await?;
            ensure!(again == answer, "{put:?}: first {answer:?}, then {again:?}");
        }
        Ok(answer)
    }

    /// Sends a put until it is answered, each time to another door.
    async fn settled(&self, put: &Put<'_>, sent: &mut u64) -> Result<Answer> {
        let began = Instant::now();
        loop {
            ensure!(began.elapsed() < PATIENCE, "{put:?}: {sent} times, and no answer");
            let door = self.door(*sent);
            *sent += 1;
            if let Some(answer) = self.attempt(door, put).await? {
                return Ok(answer);
            }
            self.heard.again.fetch_add(1, Ordering::Relaxed);
            sleep(PAUSE).await;
        }
    }

    /// Whom it asks when it asks for the so manieth time.
    fn door(&self, turn: u64) -> &str {
        let turn = usize::try_from(self.number + turn).expect("few requests");
        &self.doors[turn % self.doors.len()]
    }

    /// Sends it once; none where nobody knows what came of it.
    async fn attempt(&self, door: &str, put: &Put<'_>) -> Result<Option<Answer>> {
        let Put { name, value, guard, key } = *put;
        let mut request = self
            .http
            .put(format!("{door}/v1/kv/{name}"))
            .header("Idempotency-Key", key)
            .header("Synod-Timeout", "1s")
            .body(value.to_string());
        if let Some(guard) = guard {
            request = request.header(IF_MATCH, guard);
        }
        let Ok(Ok(response)) = timeout(TIMEOUT, request.send()).await else { return Ok(None) };
        let status = response.status();
        match status.as_u16() {
            200 | 201 | 412 => {
                let replayed = response.headers().contains_key("idempotency-replayed");
                let Ok(Ok(body)) = timeout(TIMEOUT, response.text()).await else {
                    return Ok(None);
                };
                self.heard.replayed.fetch_add(replayed.into(), Ordering::Relaxed);
                // A problem names the trace of the request that it answers.
                let body =
                    if status == StatusCode::PRECONDITION_FAILED { String::new() } else { body };
                Ok(Some(Answer { status, body }))
            }
            502..=504 => Ok(None),
            _ => bail!("{put:?}: {status}: {}", response.text().await?),
        }
    }

    /// Reads what a counter says, and its tag.
    async fn read(&self, name: &str) -> Result<(u64, String)> {
        let began = Instant::now();
        for turn in 0.. {
            ensure!(began.elapsed() < PATIENCE, "nobody reads {name}");
            let url = format!("{}/v1/kv/{name}", self.door(turn));
            if let Ok(Ok(response)) = timeout(TIMEOUT, self.http.get(url).send()).await
                && response.status() == StatusCode::OK
            {
                let tag = text_of(&response, ETAG.as_str())?;
                if let Ok(Ok(value)) = timeout(TIMEOUT, response.text()).await {
                    return Ok((value.parse()?, tag));
                }
            }
            sleep(PAUSE).await;
        }
        unreachable!("the loop has no end of its own")
    }

    /// Increments a counter of which nobody knows the value: its version counts.
    async fn increment(&mut self, name: &str) -> Result<()> {
        let answer = self.put(name, 0, None).await?;
        ensure!(answer.status.is_success(), "an unconditional put: {answer:?}");
        Ok(())
    }

    /// Increments a counter by compare-and-swap, until one holds.
    async fn swap(&mut self, name: &str) -> Result<()> {
        loop {
            let (value, tag) = self.read(name).await?;
            if self.put(name, value + 1, Some(&tag)).await?.status.is_success() {
                return Ok(());
            }
            self.heard.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn text_of(response: &Response, header: &str) -> Result<String> {
    let value = response.headers().get(header).with_context(|| format!("no {header}"))?;
    Ok(value.to_str()?.to_owned())
}

fn increments() -> Result<u64> {
    Ok(std::env::var("SYNOD_INCREMENTS").map_or(Ok(1_600), |text| text.parse())?)
}

/// Kills the primary and the leader in turn until the clients are done.
async fn kill_until(cluster: &mut Cluster, done: &AtomicU64) -> Result<u64> {
    let mut kills = 0;
    while done.load(Ordering::Relaxed) < CLIENTS {
        let victim =
            if kills % 2 == 0 { cluster.primary().await? } else { cluster.leader().await? };
        cluster.service(&victim).kill()?;
        kills += 1;
        sleep(DEAD).await;
        cluster.service(&victim).start()?;
        cluster.wait_until_serving().await?;
        sleep(PEACE).await;
    }
    Ok(kills)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_increment_is_executed_exactly_once_while_primaries_and_leaders_die() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let each = increments()?.div_ceil(2 * CLIENTS);
    let (heard, done) = (Arc::new(Acknowledged::default()), Arc::new(AtomicU64::new(0)));
    let doors: Vec<String> = [cluster.front().to_owned()]
        .into_iter()
        .chain(cluster.names("replica").iter().map(|name| cluster.url(name).to_owned()))
        .collect();
    let client = |number| Client {
        number,
        doors: doors.clone(),
        http: reqwest::Client::new(),
        heard: heard.clone(),
        requests: 0,
    };
    // Of those that compare and swap, few meet at each counter.
    let swapped = |number: u64| format!("swapped/{}", number / 4);
    for number in (0..CLIENTS).step_by(4) {
        client(1_000 + number).put(&swapped(number), 0, None).await?;
    }
    let began = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let (mut client, done, swapped) = (client(number), done.clone(), swapped(number));
        clients.spawn(async move {
            for _ in 0..each {
                client.increment("counted").await?;
                client.swap(&swapped).await?;
            }
            done.fetch_add(1, Ordering::Relaxed);
            anyhow::Ok(())
        });
    }
    let all = async {
        while let Some(ended) = clients.join_next().await {
            ended??;
        }
        anyhow::Ok(())
    };
    let (ended, kills) = tokio::join!(
        async {
            let ended = all.await;
            // Also where one failed: nobody waits for the others.
            done.store(CLIENTS, Ordering::Relaxed);
            ended
        },
        kill_until(&mut cluster, &done)
    );
    ended?;
    let (kills, took) = (kills?, began.elapsed());
    for replica in cluster.names("replica") {
        let url = |name: &str| format!("{}/v1/kv/{name}", cluster.url(&replica));
        let counted = cluster.http().get(url("counted")).send().await?.error_for_status()?;
        let version: u64 = text_of(&counted, "synod-version")?.parse()?;
        ensure!(version == CLIENTS * each, "{replica} counted {version} of {}", CLIENTS * each);
        for number in (0..CLIENTS).step_by(4) {
            let swapped = cluster.http().get(url(&swapped(number))).send().await?;
            let value: u64 = swapped.error_for_status()?.text().await?.parse()?;
            ensure!(value == 4 * each, "{replica} swapped {value} of {}", 4 * each);
        }
    }
    let (again, replayed) =
        (heard.again.load(Ordering::Relaxed), heard.replayed.load(Ordering::Relaxed));
    println!(
        "{} increments in {took:.0?}, {kills} kills: {again} sent again, {replayed} answers \
         replayed, {} compare-and-swaps failed",
        2 * CLIENTS * each,
        heard.failed.load(Ordering::Relaxed)
    );
    ensure!(again > 0 && replayed > 0, "nothing was ever sent again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_beyond_those_that_are_kept_is_refused_and_the_others_go_on() -> Result<()> {
    let env = [("SYNOD_MAX_ANSWERS", "1")];
    let cluster = Cluster::start(synod(), Size::default(), &env).await?;
    let put = async |door: &str, key: Option<&str>| -> Result<Response> {
        let mut request = cluster.http().put(format!("{}/v1/kv/few", cluster.url(door)));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        Ok(request.body("1").send().await?)
    };
    eventually("a first key is kept", async || {
        put("balancer-1", Some("kept")).await?.error_for_status()?;
        Ok(())
    })
    .await?;
    for door in ["balancer-1", "replica-1", "replica-2", "replica-3"] {
        eventually("a second one is refused", async || {
            let refused = put(door, Some("more")).await?;
            let (status, headers) = (refused.status(), refused.headers().clone());
            let problem: Value = refused.json().await?;
            let detail = problem["detail"].as_str().unwrap_or_default();
            ensure!(status == 503 && headers.contains_key("retry-after"), "{door}: {status}");
            ensure!(detail.contains("too many idempotency keys"), "{door}: {problem}");
            ensure!(problem["retryable"] == true, "{door}: {problem}");
            ensure!(problem["outcome"] == "not_applied", "{door}: {problem}");
            Ok(())
        })
        .await?;
        eventually("the first one is known, and others need none", async || {
            let again = put(door, Some("kept")).await?.error_for_status()?;
            ensure!(text_of(&again, "idempotency-replayed")? == "true", "{door}");
            put(door, None).await?.error_for_status()?;
            Ok(())
        })
        .await?;
    }
    Ok(())
}
