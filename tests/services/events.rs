//! `GET /v1/events`: what happens in the cluster, told by balancers and replicas.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tests::harness::cluster::{Cluster, PATIENCE, Size, eventually};

use crate::access::Guarded;
use crate::balancer::client_at;
use crate::cli::command::Synod;
use crate::synod;

/// How long nothing may be said.
const SILENCE: Duration = Duration::from_secs(20);

/// One who follows, line by line.
struct Follower {
    response: reqwest::Response,
    text: String,
    last: Option<String>,
}

impl Follower {
    async fn open(cluster: &Cluster, at: &str, query: &str, last: Option<&str>) -> Result<Self> {
        let url = format!("{}/v1/events{query}", cluster.url(at));
        Self::open_by(cluster.http(), &url, last).await
    }

    async fn open_by(http: &reqwest::Client, url: &str, last: Option<&str>) -> Result<Self> {
        let mut request = http.get(url).header("accept", "application/x-ndjson");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await?;
        ensure!(response.status() == 200, "{}", response.text().await?);
        Ok(Self { response, text: String::new(), last: None })
    }

    /// The next line; none at the end.
    async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let said: Value = serde_json::from_str(line)?;
                self.text = rest.to_owned();
                self.last = said["id"].as_str().map(str::to_owned).or(self.last.take());
                return Ok(Some(said));
            }
            let chunk = tokio::time::timeout(SILENCE, self.response.chunk()).await;
            match chunk.context("nothing is said")?? {
                Some(chunk) => self.text.push_str(std::str::from_utf8(&chunk)?),
                None => return Ok(None),
            }
        }
    }

    /// Waits for an event that is such.
    async fn until(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
        let waiting = async {
            let mut told = Vec::new();
            while let Some(said) = self.next().await? {
                if is(&said) {
                    return Ok(said);
                }
                told.push(said);
            }
            bail!("the stream ended before {what}: {told:?}")
        };
        tokio::time::timeout(PATIENCE, waiting).await.with_context(|| what.to_owned())?
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leads_who_is_primary_and_who_comes_again_is_told_as_it_happens() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    cluster.wait_until_whole().await?;
    let primary = cluster.primary().await?;
    let backups = cluster.names("replica");
    let backup = backups.iter().find(|name| **name != primary).context("a backup")?.clone();
    let mut followers = Vec::new();
    for door in ["balancer-1", backup.as_str()] {
        let mut follower = Follower::open(&cluster, door, "?held=true", None).await?;
        for kind in ["leader", "view", "member", "roster"] {
            // In whatever order they came about.
            let mut again = Follower::open(&cluster, door, "?held=true", None).await?;
            let told = again.until(kind, |said| said["event"] == kind).await?;
            ensure!(told["data"]["time"].is_string(), "{told}");
        }
        follower.until("the present", |said| said["event"] == "member").await?;
        followers.push(follower);
    }
    let before = cluster.json(&backup, "/v1/status").await?["epoch"].as_u64().context("epoch")?;
    cluster.service(&primary).kill()?;
    for follower in &mut followers {
        let is_next =
            |said: &Value| said["event"] == "view" && said["data"]["epoch"].as_u64() > Some(before);
        let view = follower.until("another view", is_next).await?;
        ensure!(view["data"]["primary"] != primary.as_str(), "{view}");
    }
    // A replica has executed it, so it knows the slot.
    cluster.service(&primary).start()?;
    for follower in &mut followers {
        let is_back = |said: &Value| {
            said["data"]["id"] == primary.as_str() && said["data"]["state"] == "restarted"
        };
        let said = follower.until("it is back", is_back).await?;
        ensure!(said["data"]["executed_slot"].is_u64(), "where it is in the log: {said}");
    }
    let leader = cluster.leader().await?;
    let led = cluster.json(&backup, "/v1/status").await?["leader"]["ballot"]["round"].as_u64();
    // Meanwhile nobody follows, and nothing is missed.
    let seen: Vec<Option<String>> = followers.into_iter().map(|follower| follower.last).collect();
    cluster.service(&leader).kill()?;
    cluster.wait_until_serving().await?;
    for (door, last) in ["balancer-1", backup.as_str()].into_iter().zip(seen) {
        let last = last.context("each event has an id")?;
        let mut again = Follower::open(&cluster, door, "", Some(&last)).await?;
        let is_next = |said: &Value| {
            said["event"] == "leader" && said["data"]["ballot"]["round"].as_u64() > led
        };
        let next = again.until("another leader", is_next).await?;
        ensure!(next["data"]["coordinator"] != leader.as_str(), "{next}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_follows_is_bounded_refused_in_words_and_let_go_when_the_service_ends() -> Result<()>
{
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    for door in ["balancer-1", "replica-1"] {
        let url = format!("{}/v1/events", cluster.url(door));
        for (query, last) in [("?x=1", None), ("?held=perhaps", None), ("", Some("17"))] {
            let mut request = cluster.http().get(format!("{url}{query}"));
            if let Some(last) = last {
                request = request.header("last-event-id", last);
            }
            let status = request.send().await?.status();
            ensure!(status == 400, "{door} {query} {last:?}: {status}");
        }
        let other = Some("00000000000000aa-3");
        let mut stranger = Follower::open(&cluster, door, "", other).await?;
        stranger.until("it says so", |said| said["event"] == "lagged").await?;
        let mut followers = vec![stranger];
        // A fourth of the places is for each client, whatever it sends.
        for last in [1, 2, 3, 4, 5] {
            let own = client_at(last)?;
            while followers.len() < 64 && followers.len() < 16 * usize::from(last) {
                followers.push(Follower::open_by(&own, &url, None).await?);
            }
            let refused = own.get(&url).send().await?;
            let expected = if last < 4 { 429 } else { 503 };
            ensure!(refused.status() == expected, "{door} {last}: {}", refused.status());
            ensure!(refused.headers().contains_key("retry-after"), "{door}");
        }
        let mut last = followers.pop().context("many")?;
        cluster.service(door).terminate(Duration::from_secs(10))?;
        while last.next().await?.is_some() {}
        cluster.service(door).start()?;
        cluster.wait_until_serving_at(door).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_followed_from_the_command_line() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    cluster.wait_until_whole().await?;
    let synod = Synod::at(cluster.front());
    let held = synod.json(&["events", "--held", "--count", "2"]).await?;
    ensure!(held.len() == 2 && held[0]["data"]["time"].is_string(), "{held:?}");
    let shown = synod.terminal(&["events", "--held", "--count", "1"]).await?;
    ensure!(shown.contains('T') && shown.lines().count() == 1, "{shown}");
    let args = ["events", "--count", "4", "--output", "json"];
    let follow = synod.command(&args).stdout(Stdio::piped()).spawn()?;
    let primary = cluster.primary().await?;
    let next = cluster.names("replica").into_iter().find(|name| *name != primary);
    let next = next.context("a backup")?;
    let told = follow.wait_with_output();
    tokio::pin!(told);
    // The role goes to and fro until the command, which may begin late, has told of it.
    let told = loop {
        synod.run(&["primary", &next]).await?;
        synod.run(&["primary", &primary]).await?;
        if let Ok(told) = tokio::time::timeout(Duration::from_millis(500), told.as_mut()).await {
            break told?;
        }
    };
    let told = String::from_utf8(told.stdout)?;
    let told: Vec<Value> = told.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(told.len() == 4 && told.iter().any(|event| event["event"] == "view"), "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_refused_is_told_of_by_reason_and_nothing_of_what_they_came_with() -> Result<()>
{
    let guarded = Guarded::with(&[]).await?;
    let cluster = &guarded.cluster;
    let mut fields = HeaderMap::new();
    fields.insert("authorization", format!("Bearer {}", guarded.root).try_into()?);
    let root = reqwest::Client::builder().default_headers(fields).build()?;
    let url = |door: &str| format!("{}/v1/events?held=true", cluster.url(door));
    let mut followers = vec![
        Follower::open_by(&root, &url("balancer-1"), None).await?,
        Follower::open_by(&root, &url("replica-1"), None).await?,
    ];
    let made_up = "synod_made-up-by-nobody";
    for _ in 0..20 {
        let refused = guarded.ask("replica-1", Method::GET, "/v1/kv/a", made_up).send().await?;
        ensure!(refused.status() == 401, "{}", refused.status());
    }
    let is_told = |said: &Value| {
        said["event"] == "access"
            && said["data"]["id"] == "replica-1"
            && said["data"]["reason"] == "unknown_token"
    };
    for follower in &mut followers {
        let told = follower.until("the refusal", is_told).await?;
        let count = told["data"]["count"].as_u64().context("it is counted")?;
        ensure!((1..=20).contains(&count) && told["data"]["time"].is_string(), "{told}");
        ensure!(!told.to_string().contains("made-up"), "{told}");
    }
    // As many as there were until then, on a terminal.
    let mut again = Follower::open_by(&root, &url("balancer-1"), None).await?;
    let mut count = 0;
    loop {
        let said = again.next().await?.context("it goes on")?;
        count += u64::from(said["event"] != "heartbeat");
        if is_told(&said) {
            break;
        }
    }
    let synod = Synod::at(cluster.front());
    let mut shown = synod.command(&["events", "--held", "--count", &count.to_string()]);
    let shown = shown.env("SYNOD_TOKEN", &guarded.root).output().await?.stdout;
    let shown = String::from_utf8(shown)?;
    ensure!(shown.contains("access\treplica-1 refused ") && shown.contains(": unknown_token"));
    ensure!(!shown.contains("made-up"), "{shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_with_a_token_is_told_nothing_more_once_that_has_ended() -> Result<()> {
    let guarded = Guarded::with(&[]).await?;
    let policy = json!({"cluster": ["read"]});
    guarded.settled("balancer-1", Method::PUT, "/v1/policies/watcher", &policy).await?;
    let (accessor, secret) = guarded.token(&["watcher"]).await?;
    let mut fields = HeaderMap::new();
    fields.insert("authorization", format!("Bearer {secret}").try_into()?);
    let watcher = reqwest::Client::builder().default_headers(fields).build()?;
    for door in ["balancer-1", "replica-2"] {
        let url = format!("{}/v1/events", guarded.cluster.url(door));
        // A backup may have yet to execute what made the first token.
        eventually("who has no token is refused", async || {
            let refused = guarded.cluster.http().get(&url).send().await?.status();
            ensure!(refused == 401, "{door}: {refused}");
            Ok(())
        })
        .await?;
    }
    let url = format!("{}/v1/events?held=true", guarded.cluster.front());
    let mut follower = Follower::open_by(&watcher, &url, None).await?;
    follower.next().await?.context("it is told what is held")?;
    let path = format!("/v1/tokens/{accessor}");
    guarded.settled("balancer-1", Method::DELETE, &path, &Value::Null).await?;
    while follower.next().await?.is_some() {}
    // The one that ended it was told of the end; another backup may have yet to execute it.
    eventually("an ended token is refused", async || {
        ensure!(watcher.get(&url).send().await?.status() == 401);
        Ok(())
    })
    .await
}
