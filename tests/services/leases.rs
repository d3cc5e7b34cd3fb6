//! Leases and locks on real processes: who holds what while primaries are killed, and what
//! goes when its time is over.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tests::harness::cluster::{Cluster, PATIENCE, Size, eventually};
use tests::harness::exposition::Exposition;

use crate::synod;

/// What is asked of leases and locks at one door.
#[derive(Clone)]
struct Door {
    http: Client,
    url: String,
}

impl Door {
    fn of(cluster: &Cluster, name: &str) -> Self {
        Self { http: cluster.http().clone(), url: cluster.url(name).to_owned() }
    }

    async fn grant(&self, ttl_ms: u64) -> Result<u64> {
        eventually("a lease is granted", async || {
            let url = format!("{}/v1/leases", self.url);
            let response = self.http.post(url).json(&json!({"ttl_ms": ttl_ms})).send().await?;
            let (status, said) = (response.status(), response.json::<Value>().await?);
            ensure!(status == StatusCode::CREATED, "{status}: {said}");
            said["id"].as_u64().context("no id")
        })
        .await
    }

    /// Until somebody answers.
    async fn revoke(&self, lease: u64) -> Result<Value> {
        eventually("a lease is revoked", async || {
            let url = format!("{}/v1/leases/{lease}", self.url);
            let response = self.http.delete(url).send().await?;
            let (status, said) = (response.status(), response.json::<Value>().await?);
            ensure!(status == StatusCode::OK, "{status}: {said}");
            Ok(said)
        })
        .await
    }

    async fn lease(&self, lease: u64) -> Result<Option<Value>> {
        eventually("a lease is read", async || {
            let url = format!("{}/v1/leases/{lease}", self.url);
            let response = self.http.get(url).send().await?;
            let (status, said) = (response.status(), response.json::<Value>().await?);
            match status {
                StatusCode::OK => Ok(Some(said)),
                StatusCode::NOT_FOUND => Ok(None),
                _ => anyhow::bail!("{status}: {said}"),
            }
        })
        .await
    }

    async fn acquire(&self, lock: &str, lease: u64, wait_ms: u64) -> Result<(StatusCode, Value)> {
        let url = format!("{}/v1/locks/{lock}", self.url);
        let body = json!({"lease": lease, "wait_ms": wait_ms});
        let patience = Duration::from_millis(wait_ms) + Duration::from_secs(20);
        let response = self.http.put(url).timeout(patience).json(&body).send().await?;
        Ok((response.status(), response.json().await?))
    }

    /// Waits for a lock until it holds it; at the second door, where the first hangs up. Says
    /// by which fence.
    async fn hold(&self, other: &Self, lock: &str, lease: u64) -> Result<u64> {
        let turns = AtomicUsize::new(0);
        eventually("a waiter holds the lock", async || {
            let door = if turns.fetch_add(1, Ordering::Relaxed) == 0 { self } else { other };
            let (status, said) = door.acquire(lock, lease, 50_000).await?;
            ensure!(status == StatusCode::OK, "{status}: {said}");
            said["fence"].as_u64().context("no fence")
        })
        .await
    }

    async fn put_fenced(&self, key: &str, fence: &str) -> Result<StatusCode> {
        eventually("a put is answered", async || {
            let put = self.http.put(format!("{}/v1/kv/{key}", self.url));
            let status = put.header("synod-fence", fence).body("x").send().await?.status();
            ensure!(!status.is_server_error(), "{status}");
            Ok(status)
        })
        .await
    }

    async fn waiters(&self, lock: &str, wanted: u64) -> Result<()> {
        eventually("waiters are in line", async || {
            let said: Value =
                self.http.get(format!("{}/v1/locks/{lock}", self.url)).send().await?.json().await?;
            ensure!(said["waiters"] == wanted, "{said}");
            Ok(())
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_keep_their_places_when_the_primary_is_killed() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let front = Door::of(&cluster, "balancer-1");
    let primary = cluster.primary().await?;
    let backup = cluster.names("replica").into_iter().find(|name| *name != primary);
    let backup = Door::of(&cluster, &backup.context("three replicas")?);
    let (holder, first, second) =
        (front.grant(60_000).await?, front.grant(60_000).await?, front.grant(60_000).await?);
    let (status, held) = front.acquire("l", holder, 0).await?;
    ensure!(status == StatusCode::OK, "{held}");
    let wait = |lease| {
        let backup = backup.clone();
        tokio::spawn(async move { backup.acquire("l", lease, 50_000).await })
    };
    let one = wait(first);
    front.waiters("l", 1).await?;
    let other = wait(second);
    front.waiters("l", 2).await?;

    cluster.service(&primary).kill()?;
    cluster.wait_until_serving().await?;
    let old = held["fence"].as_u64().context("no fence")?;
    ensure!(front.put_fenced("k", &format!("l={old}")).await?.is_success());
    front.revoke(holder).await?;
    let (status, said) = one.await??;
    ensure!(status == StatusCode::OK && said["lease"] == first, "{status}: {said}");
    let fence = said["fence"].as_u64().context("no fence")?;
    ensure!(fence > old, "{fence} after {old}");
    ensure!(front.put_fenced("k", &format!("l={old}")).await? == StatusCode::PRECONDITION_FAILED);
    ensure!(front.put_fenced("k", &format!("l={fence}")).await?.is_success());
    ensure!(!other.is_finished(), "the second waits for the first");
    front.revoke(first).await?;
    let (status, said) = other.await??;
    ensure!(status == StatusCode::OK && said["lease"] == second, "{status}: {said}");
    Ok(())
}

/// Its place is part of the log, and nobody could take it out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_leave_a_line_is_not_told_that_nothing_happened() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let front = Door::of(&cluster, "balancer-1");
    let primary = cluster.primary().await?;
    let backup = cluster.names("replica").into_iter().find(|name| *name != primary);
    let backup = Door::of(&cluster, &backup.context("three replicas")?);
    let (holder, waiter) = (front.grant(60_000).await?, front.grant(60_000).await?);
    let (status, held) = front.acquire("l", holder, 0).await?;
    ensure!(status == StatusCode::OK, "{held}");
    let waiting = tokio::spawn(async move { backup.acquire("l", waiter, 2_000).await });
    front.waiters("l", 1).await?;
    // Nobody takes over.
    for name in cluster.names("coordinator").iter().chain([&primary]) {
        cluster.service(name).kill()?;
    }
    let (status, said) = waiting.await??;
    ensure!(status.is_server_error() && said["outcome"] == "unknown", "{status}: {said}");
    Ok(())
}

/// They wait at every replica, so that two hear nothing any more of each that is killed, and
/// ask again when all others are in line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_is_served_in_order_of_arrival_over_changes_of_primary() -> Result<()> {
    const WAITERS: u64 = 6;
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let front = Door::of(&cluster, "balancer-1");
    let doors: Vec<Door> =
        cluster.names("replica").iter().map(|name| Door::of(&cluster, name)).collect();
    let holder = front.grant(120_000).await?;
    let (status, held) = front.acquire("l", holder, 0).await?;
    ensure!(status == StatusCode::OK, "{held}");
    let mut line = Vec::new();
    for (place, door) in (1..=WAITERS).zip(doors.iter().cycle()) {
        let lease = front.grant(120_000).await?;
        let (door, other) = (door.clone(), front.clone());
        let waiting = tokio::spawn(async move { door.hold(&other, "l", lease).await });
        front.waiters("l", place).await?;
        line.push((lease, waiting));
    }
    let (mut before, mut lease_before) = (held["fence"].as_u64().context("no fence")?, holder);
    let mut kills = BTreeSet::new();
    for (turn, (lease, waiting)) in line.into_iter().enumerate() {
        if turn.is_multiple_of(2) {
            let primary = cluster.primary().await?;
            cluster.service(&primary).kill()?;
            cluster.wait_until_serving().await?;
            cluster.service(&primary).start()?;
            kills.insert(primary);
        }
        ensure!(!waiting.is_finished(), "{lease} holds it together with {lease_before}");
        front.revoke(lease_before).await?;
        let fence = waiting.await??;
        ensure!(fence > before, "{fence} after {before}");
        (before, lease_before) = (fence, lease);
    }
    ensure!(kills.len() > 1, "only {kills:?} was ever primary");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn an_idle_cluster_ends_leases_after_their_time_and_not_before() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let front = Door::of(&cluster, "balancer-1");
    let lease = front.grant(4_000).await?;
    let granted = Instant::now();
    let put = format!("{}/v1/kv/k?lease={lease}", front.url);
    ensure!(front.http.put(put).body("v").send().await?.status() == StatusCode::CREATED);
    let (status, held) = front.acquire("l", lease, 0).await?;
    ensure!(status == StatusCode::OK, "{held}");
    let said = front.lease(lease).await?.context("it has just been granted")?;
    ensure!(said["keys"] == json!(["k"]), "{said}");

    // All of them are killed: what is left of the time is left after it.
    for name in cluster.all() {
        cluster.service(&name).kill()?;
    }
    let killed = granted.elapsed();
    tokio::time::sleep(Duration::from_secs(5)).await;
    for name in cluster.all() {
        cluster.service(&name).start()?;
    }
    cluster.wait_until_serving().await?;
    let serving = Instant::now();
    ensure!(front.lease(lease).await?.is_some(), "it was killed after {killed:?}");
    let watch = format!("{}/v1/kv/k", front.url);
    eventually("the key is gone", async || {
        let status = front.http.get(&watch).send().await?.status();
        ensure!(status == StatusCode::NOT_FOUND, "{status}");
        Ok(())
    })
    .await?;
    println!("it lasted {:?} after {killed:?}", serving.elapsed());
    ensure!(front.lease(lease).await?.is_none());
    let fence = format!("l={}", held["fence"]);
    ensure!(front.put_fenced("k", &fence).await? == StatusCode::PRECONDITION_FAILED);
    let query = "SELECT change, lease FROM history WHERE key = 'k' ORDER BY revision";
    let said = front.http.post(format!("{}/v1/sql", front.url)).body(query).send().await?;
    let said: Value = said.json().await?;
    ensure!(said["rows"] == json!([["put", lease], ["delete", lease]]), "{said}");
    Ok(())
}

/// Keys of one lease, and in how many transactions they are put.
const KEYS: usize = 100_000;
const AT_ONCE: usize = 100;
/// No transaction sweeps more of them: about twice the replica's own bound.
const SWEPT_AT_ONCE: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn the_end_of_a_lease_with_100_000_keys_holds_nobody_up() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let front = Door::of(&cluster, "balancer-1");
    let lease = front.grant(600_000).await?;
    let mut chunks = tokio::task::JoinSet::new();
    for chunk in 0..KEYS / AT_ONCE {
        if chunks.len() >= 8 {
            chunks.join_next().await.context("eight are there")???;
        }
        let front = front.clone();
        chunks.spawn(async move {
            let put = |at: usize| {
                let key = format!("many/{:06}", chunk * AT_ONCE + at);
                json!({"put": {"key": key, "value": "v", "lease": lease}})
            };
            let body = json!({"then": (0..AT_ONCE).map(put).collect::<Vec<_>>()});
            let response =
                front.http.post(format!("{}/v1/txn", front.url)).json(&body).send().await?;
            let status = response.status();
            ensure!(status == StatusCode::OK, "{status}: {}", response.text().await?);
            Ok(())
        });
    }
    while let Some(put) = chunks.join_next().await {
        put??;
    }
    let said = front.lease(lease).await?.context("it lasts")?;
    ensure!(said["keys"].as_array().is_some_and(|keys| keys.len() == 1_000), "a page of keys");
    ensure!(said["next"].is_string(), "and there are more");

    let primary = cluster.primary().await?;
    let before = sweeps(&cluster, &primary).await?;
    let said = front.revoke(lease).await?;
    ensure!(said["deleted"] == KEYS, "{said}");
    let (least, mut between) = (before + (KEYS / SWEPT_AT_ONCE) as f64, 0);
    let began = Instant::now();
    loop {
        let other = format!("{}/v1/kv/other", front.url);
        ensure!(front.http.put(&other).body("v").send().await?.status().is_success());
        ensure!(front.http.get(&other).send().await?.status() == StatusCode::OK);
        let swept = sweeps(&cluster, &primary).await?;
        if swept >= least {
            break;
        }
        between += usize::from(swept > before);
        ensure!(began.elapsed() < PATIENCE, "swept {} times of {least}", swept - before);
    }
    println!("a put and a get were answered {between} times while keys were swept");
    ensure!(between > 0, "all keys were swept before anybody else had a turn");
    let url = format!("{}/v1/kv?prefix=many/&limit=1", front.url);
    let said: Value = front.http.get(url).send().await?.json().await?;
    ensure!(said["items"] == json!([]), "{said}");
    Ok(())
}

/// How often a replica has swept some keys, each time in a transaction of its own.
async fn sweeps(cluster: &Cluster, replica: &str) -> Result<f64> {
    let asked = cluster.http().get(format!("{}/metrics", cluster.url(replica)));
    let response = asked.header("accept", "application/openmetrics-text").send().await?;
    let told = Exposition::read(&response.text().await?)?;
    told.value("synod_replica_database_duration_seconds_count{step=\"sweep\"}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_wrongly_of_leases_and_locks_is_refused_by_name() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let front = Door::of(&cluster, "balancer-1");
    let lease = front.grant(60_000).await?;
    let long = format!("/v1/locks/{}", "n".repeat(1_025));
    let (own, wait) = (json!({"lease": lease}), json!({"lease": lease, "wait_ms": 600_001}));
    let cases = [
        ("POST", "/v1/leases", "{}".to_owned(), 400, "ttl_ms"),
        ("POST", "/v1/leases", r#"{"ttl_ms": 99}"#.to_owned(), 400, "100 to 604800000"),
        ("POST", "/v1/leases", r#"{"ttl_ms": 1e3}"#.to_owned(), 400, "floating point"),
        ("POST", "/v1/leases", r#"{"ttl_ms": 500, "x": 1}"#.to_owned(), 400, "unknown field"),
        ("POST", "/v1/leases?x=1", r#"{"ttl_ms": 500}"#.to_owned(), 400, "takes none"),
        ("POST", "/v1/leases/x/renew", String::new(), 400, "whole number"),
        ("POST", "/v1/leases/999999/renew", String::new(), 404, "no lease 999999"),
        ("DELETE", "/v1/leases/999999", String::new(), 404, "no lease 999999"),
        ("GET", "/v1/leases/999999", String::new(), 404, "no lease 999999"),
        ("GET", "/v1/leases/-1", String::new(), 400, "whole number"),
        ("GET", "/v1/leases?limit=0", String::new(), 400, "limit"),
        ("GET", "/v1/leases?cursor=x", String::new(), 400, "cursor"),
        ("PUT", "/v1/kv/k?lease=999999", "v".to_owned(), 404, "no lease 999999"),
        ("PUT", "/v1/kv/k?lease=x", "v".to_owned(), 400, "lease"),
        ("PUT", "/v1/locks/", own.to_string(), 400, "empty"),
        ("PUT", &long, own.to_string(), 400, "1024"),
        ("PUT", "/v1/locks/%ff", own.to_string(), 400, "UTF-8"),
        ("PUT", "/v1/locks/l", "{}".to_owned(), 400, "lease"),
        ("PUT", "/v1/locks/l", wait.to_string(), 400, "600000"),
        ("PUT", "/v1/locks/l", r#"{"lease": 999999}"#.to_owned(), 404, "no lease 999999"),
        ("DELETE", "/v1/locks/l", String::new(), 400, "lease=ID"),
        ("DELETE", "/v1/locks/l?lease=999999", String::new(), 409, "nobody does"),
        ("GET", "/v1/locks/l", String::new(), 404, "nobody holds"),
    ];
    for (method, path, body, status, word) in cases {
        let url = format!("{}{path}", front.url);
        let response = front.http.request(method.parse()?, url).body(body.clone()).send().await?;
        let (said, found) = (response.status(), response.json::<Value>().await?);
        let detail = found["detail"].as_str().unwrap_or_default();
        ensure!(said == status && detail.contains(word), "{method} {path} {body}: {said} {found}");
        let outcome = if method == "GET" { Value::Null } else { json!("not_applied") };
        ensure!(found["outcome"] == outcome, "{method} {path}: {found}");
    }
    Ok(())
}
