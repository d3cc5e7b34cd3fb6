//! Acceptors are replaced, and become more and fewer, while clients write and read through
//! the balancer: no client sees an error, and nothing acknowledged is lost.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::{Value, json};
use tests::harness::cluster::{Cluster, Size, eventually};
use tests::harness::ports::Ports;
use tests::harness::process::Process;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::synod;

mod lost;

const CLIENTS: u64 = 8;
/// A client waits so long for an answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// For so long a change waits for who has not heard of it.
const HEARING: Duration = Duration::from_secs(5);

/// An acceptor that is not of the cluster yet.
struct Spare {
    url: String,
    _process: Process,
}

impl Spare {
    fn start(name: &str, dir: &Path, ports: &mut Ports) -> Result<Self> {
        let port = ports.take()?;
        let data = dir.join("data").join(name).to_string_lossy().into_owned();
        let listen = format!("127.0.0.1:{port}");
        let args = ["acceptor", "--id", name, "--listen", &listen, "--data-dir", &data];
        let args = args.map(str::to_owned).to_vec();
        let mut process = Process::new(name, synod(), args, dir);
        process.start()?;
        Ok(Self { url: format!("http://{listen}"), _process: process })
    }
}

/// Clients that put and read keys of their own, each the next number.
struct Load {
    stop: tokio::sync::watch::Sender<bool>,
    clients: JoinSet<Result<u64>>,
}

impl Load {
    fn start(front: &str) -> Self {
        let stop = tokio::sync::watch::Sender::new(false);
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn(count(format!("{front}/v1/kv/client-{client}"), stop.subscribe()));
        }
        Self { stop, clients }
    }

    /// What each client has been told to be written, all together.
    async fn finish(mut self) -> Result<u64> {
        self.stop.send_replace(true);
        let mut all = 0;
        while let Some(counted) = self.clients.join_next().await {
            all += counted??;
        }
        Ok(all)
    }
}

async fn count(url: String, stop: tokio::sync::watch::Receiver<bool>) -> Result<u64> {
    let http = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
    let mut number = 0;
    while !*stop.borrow() {
        let put = http.put(&url).body((number + 1).to_string()).send().await?;
        let (status, text) = (put.status(), put.text().await?);
        ensure!(status.is_success(), "put {number}: {status} {text}");
        number += 1;
        let got = http.get(&url).send().await?;
        let (status, text) = (got.status(), got.text().await?);
        ensure!(status.is_success() && text == number.to_string(), "get {number}: {status} {text}");
    }
    Ok(number)
}

async fn change(cluster: &Cluster, body: &Value) -> Result<(StatusCode, Value)> {
    let url = format!("{}/v1/cluster/acceptors", cluster.front());
    let response = cluster.http().post(url).json(body).send().await?;
    let status = response.status();
    Ok((status, response.json().await.context("JSON")?))
}

/// A change that is to succeed; says how long it took. It is asked for again until all have
/// heard of it: the answer names those that a busy machine keeps from that for seconds.
async fn changed(cluster: &Cluster, body: &Value, generation: u64) -> Result<Duration> {
    let ((status, roster), took) = eventually("all have heard of it", async || {
        let began = Instant::now();
        let (status, roster) = change(cluster, body).await?;
        ensure!(status != 200 || roster["not_heard"] == json!([]), "{body}: {roster}");
        Ok(((status, roster), began.elapsed()))
    })
    .await?;
    ensure!(status == 200 && roster["generation"] == generation, "{body}: {status} {roster}");
    for name in ["coordinator", "replica", "balancer"].map(|kind| cluster.names(kind)).concat() {
        let shown = cluster.json(&name, "/v1/status").await?;
        let known =
            if shown["service"] == "coordinator" { "generation" } else { "acceptors_generation" };
        ensure!(shown[known] == generation, "{name} knows of it when the operator does: {shown}");
    }
    Ok(took)
}

/// Waits until a service has told, as a `roster` event, that a generation has begun.
async fn told_of_generation(cluster: &Cluster, service: &str, generation: u64) -> Result<()> {
    let url = format!("{}/v1/events?held=true", cluster.url(service));
    let request = cluster.http().get(url).header("accept", "application/x-ndjson");
    let (mut response, mut text) = (request.send().await?, String::new());
    loop {
        let is_it = |line: &str| {
            serde_json::from_str::<Value>(line).is_ok_and(|said| {
                said["event"] == "roster"
                    && said["data"]["generation"] == generation
                    && said["data"]["slot"].is_u64()
            })
        };
        if text.lines().any(is_it) {
            return Ok(());
        }
        let chunk = tokio::time::timeout(TIMEOUT, response.chunk()).await;
        let chunk = chunk.with_context(|| format!("{service} tells {text}"))??;
        text.push_str(std::str::from_utf8(&chunk.context("the end")?)?);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_acceptor_is_replaced_under_load_and_no_client_sees_an_error() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let mut ports = Ports::reserve()?;
    let load = Load::start(cluster.front());
    sleep(Duration::from_secs(1)).await;
    cluster.service("acceptor-3").kill()?;
    std::fs::remove_dir_all(cluster.data_dir("acceptor-3"))?;
    let spare = Spare::start("acceptor-4", cluster.dir(), &mut ports)?;
    let leaves = cluster.url("acceptor-3").to_owned();
    let body = json!({"replace": leaves, "with": spare.url});
    eventually("the new acceptor answers", || async {
        let status = cluster.http().get(format!("{}/v1/status", spare.url)).send().await?;
        ensure!(status.status().is_success());
        Ok(())
    })
    .await?;
    let took = changed(&cluster, &body, 1).await?;
    println!("replaced after {took:?}");
    let again = changed(&cluster, &body, 1).await?;
    ensure!(again < HEARING, "what is so already takes {again:?}");
    sleep(Duration::from_secs(1)).await;

    for door in ["balancer-1", "replica-1", "replica-2"] {
        told_of_generation(&cluster, door, 1).await?;
    }

    // Now the two that are left of the three are not enough without the new one.
    cluster.service("acceptor-2").kill()?;
    sleep(Duration::from_secs(2)).await;
    let written = load.finish().await?;
    ensure!(written > CLIENTS, "only {written} written");
    let shown = cluster.json("replica-1", "/v1/cluster").await?;
    let urls: Vec<&str> = shown["acceptors"]
        .as_array()
        .context("acceptors")?
        .iter()
        .filter_map(|one| one["url"].as_str())
        .collect();
    ensure!(urls.contains(&spare.url.as_str()) && !urls.contains(&leaves.as_str()), "{urls:?}");
    let events = cluster.last_words();
    ensure!(!events.contains("Succession {"), "logs are in words: {events}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_become_five_and_three_again_and_all_start_anew_with_the_old_flags() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let mut ports = Ports::reserve()?;
    let spares = [
        Spare::start("acceptor-4", cluster.dir(), &mut ports)?,
        Spare::start("acceptor-5", cluster.dir(), &mut ports)?,
    ];
    let first: Vec<String> =
        cluster.names("acceptor").iter().map(|name| cluster.url(name).to_owned()).collect();
    let five: Vec<&String> = first.iter().chain(spares.iter().map(|spare| &spare.url)).collect();
    eventually("the new acceptors answer", || async {
        for spare in &spares {
            cluster.http().get(format!("{}/v1/status", spare.url)).send().await?;
        }
        Ok(())
    })
    .await?;
    let load = Load::start(cluster.front());
    sleep(Duration::from_secs(1)).await;
    let grown = changed(&cluster, &json!({"acceptors": five}), 1).await?;
    sleep(Duration::from_secs(1)).await;
    let three = [&first[0], &spares[0].url, &spares[1].url];
    let shrunk = changed(&cluster, &json!({"acceptors": three}), 2).await?;
    println!("three to five in {grown:?}, five to three in {shrunk:?}");
    sleep(Duration::from_secs(1)).await;
    let written = load.finish().await?;
    ensure!(written > CLIENTS, "only {written} written");

    // Whoever left says so, and the cluster goes on without it, over a restart of all that
    // know only the first three.
    eventually("who has left says so", || async {
        let url = format!("{}/readyz?verbose", first[1]);
        let text = cluster.http().get(url).send().await?.text().await?;
        ensure!(text.contains("no acceptor of the cluster any more"), "{text}");
        Ok(())
    })
    .await?;
    cluster.service("acceptor-3").kill()?;
    for name in
        ["coordinator", "replica"].iter().flat_map(|kind| cluster.names(kind)).collect::<Vec<_>>()
    {
        cluster.service(&name).kill()?;
        cluster.service(&name).start()?;
    }
    cluster.wait_until_serving().await?;
    let load = Load::start(cluster.front());
    sleep(Duration::from_millis(500)).await;
    ensure!(load.finish().await? > 0, "nothing is written after the restart");
    let logs = cluster.last_words();
    ensure!(logs.contains("other acceptors have followed those of --acceptors"), "{logs}");
    drop(spares);
    Ok(())
}

/// All acceptors are replaced and stopped while a replica is down: when it starts, nobody is
/// left whom its flags name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_missed_the_change_is_told_by_the_other_services() -> Result<()> {
    let env = [("SYNOD_REPLICA_GONE_AFTER", "3")];
    let mut cluster = Cluster::start(synod(), Size::default(), &env).await?;
    let mut ports = Ports::reserve()?;
    let spares = [4, 5, 6]
        .map(|number| Spare::start(&format!("acceptor-{number}"), cluster.dir(), &mut ports));
    let spares = spares.into_iter().collect::<Result<Vec<_>>>()?;
    let urls: Vec<&String> = spares.iter().map(|spare| &spare.url).collect();
    // It has kept where the others are.
    let file = cluster.data_dir("replica-3").join("acceptors.json");
    eventually("the replica keeps the addresses of the others", || async {
        let kept: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        let services = kept["services"].as_array().context("services")?;
        ensure!(services.len() > 2, "{kept}");
        Ok(())
    })
    .await?;
    cluster.service("replica-3").kill()?;
    let body = json!({"acceptors": urls});
    eventually("the silent replica is waited for no more", || async {
        let (status, roster) = change(&cluster, &body).await?;
        ensure!(status == 200 && roster["generation"] == 1, "{status} {roster}");
        Ok(())
    })
    .await?;
    for name in cluster.names("acceptor") {
        cluster.service(&name).kill()?;
    }
    let put = cluster.http().put(format!("{}/v1/kv/late", cluster.front())).body("1");
    ensure!(put.send().await?.status().is_success(), "the next ones go on alone");
    cluster.service("replica-3").start()?;
    eventually("it has found the way", || async {
        let shown = cluster.json("replica-3", "/v1/status").await?;
        ensure!(shown["acceptors_generation"] == 1, "{shown}");
        let read = cluster.http().get(format!("{}/v1/kv/late", cluster.url("replica-3")));
        ensure!(read.send().await?.text().await? == "1", "it has not caught up");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn what_could_not_go_on_is_refused_and_says_what_to_do() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let mut ports = Ports::reserve()?;
    let nobody = format!("http://127.0.0.1:{}", ports.take()?);
    let leaves = cluster.url("acceptor-3").to_owned();
    let refused = async |body: Value, expected: u16, part: &str| -> Result<()> {
        let (status, problem) = change(&cluster, &body).await?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        ensure!(status == expected && detail.contains(part), "{body}: {status} {problem}");
        ensure!(status != 409 || problem["retryable"] == false, "it cannot pass: {problem}");
        Ok(())
    };
    let words = "not an acceptor of Synod that answers and can follow: start it, or upgrade it";
    refused(json!({"replace": leaves, "with": nobody}), 409, words).await?;
    for kind in ["coordinator", "replica", "balancer"] {
        let url = cluster.url(&format!("{kind}-1")).to_owned();
        let words = format!("{url} cannot be taken in: a {kind} answers there, and no acceptor");
        refused(json!({"replace": leaves, "with": url}), 409, &words).await?;
    }
    let present = cluster.url("acceptor-1").to_owned();
    let words = "is one of the acceptors already";
    refused(json!({"replace": leaves, "with": present}), 409, words).await?;
    let twice = json!({"acceptors": [leaves, present, present]});
    refused(twice, 409, "is named twice: name each acceptor once").await?;
    refused(json!({"acceptors": [present, leaves]}), 409, "odd number").await?;
    refused(json!({"replace": "acceptor-9", "with": nobody}), 404, "acceptor-9").await?;
    refused(json!({"replace": leaves}), 400, "either").await?;
    refused(json!({"replace": leaves, "with": "ftp://x"}), 400, "only http").await?;
    let base = json!({"acceptors": [present], "base": 7});
    refused(base, 409, "generation 0").await?;

    // One that has been an acceptor of a cluster does not come to another one as it is.
    let other = Cluster::start(synod(), Size::default(), &[]).await?;
    let foreign = other.url("acceptor-1").to_owned();
    let words = "it is an acceptor of another cluster: name where a new acceptor was started";
    refused(json!({"replace": leaves, "with": foreign}), 409, words).await?;

    // Two of three are gone: what is left could not choose anything.
    let spare = Spare::start("acceptor-4", cluster.dir(), &mut ports)?;
    eventually("the one that would come answers", || async {
        let alive = cluster.http().get(format!("{}/livez", spare.url)).send().await?;
        alive.error_for_status()?;
        Ok(())
    })
    .await?;
    // One that is listed and hangs might be of an older program.
    let leader = cluster.leader().await?;
    let standby = if leader == "coordinator-1" { "coordinator-2" } else { "coordinator-1" };
    cluster.service(standby).signal(Signal::STOP)?;
    let (status, problem) =
        change(&cluster, &json!({"replace": leaves, "with": spare.url})).await?;
    let detail = problem["detail"].as_str().unwrap_or_default();
    let words = format!("{standby} does not answer: start it, or ask again in 10 s");
    ensure!(status == 409 && detail.contains(&words), "{status} {problem}");
    ensure!(problem["retryable"] == true, "{problem}");
    cluster.service(standby).signal(Signal::CONT)?;

    for name in ["acceptor-2", "acceptor-3"] {
        cluster.service(name).kill()?;
    }
    let (status, problem) =
        change(&cluster, &json!({"replace": leaves, "with": spare.url})).await?;
    // Whether the order takes a token, nobody can say either.
    ensure!(status == 503 && problem["outcome"] == "not_applied", "{status} {problem}");
    let detail = problem["detail"].as_str().unwrap_or_default();
    ensure!(detail.contains("no quorum of acceptors answers"), "{status} {problem}");
    cluster.heal()?;
    Ok(())
}
