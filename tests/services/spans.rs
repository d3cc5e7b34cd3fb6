//! `GET /v1/spans`, and what `synod trace` makes of it: the way of a write with nothing
//! beside the services.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use tests::harness::cluster::{Cluster, Options, Size, eventually};

use crate::cli::command::Synod;
use crate::synod;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// So long a busy machine may take until all have told of a write.
const TELLING: Duration = Duration::from_secs(10);

/// A span, and whose it is.
#[derive(Debug)]
struct Seen {
    service: String,
    span: Value,
}

impl Seen {
    fn named(&self, name: &str) -> bool {
        self.span["name"] == name
    }

    /// An attribute as text, whichever type it has.
    fn attribute(&self, key: &str) -> Option<&str> {
        let attributes = self.span["attributes"].as_array()?;
        let found = attributes.iter().find(|attribute| attribute["key"] == key)?;
        let value = found["value"].as_object()?.values().next()?;
        value.as_str()
    }
}

/// What a service tells of a trace.
async fn told(cluster: &Cluster, at: &str, query: &str) -> Result<(Vec<Seen>, Value)> {
    let answer = cluster.json(at, &format!("/v1/spans?trace={query}")).await?;
    let mut seen = Vec::new();
    for of in answer["resourceSpans"].as_array().context("OTLP")? {
        let attributes = of["resource"]["attributes"].as_array().context("a resource")?;
        let named = attributes.iter().find(|named| named["key"] == "service.instance.id");
        let service = named.context("an instance")?["value"]["stringValue"].as_str();
        let service = service.context("a name")?.to_owned();
        for span in of["scopeSpans"][0]["spans"].as_array().context("spans")? {
            seen.push(Seen { service: service.clone(), span: span.clone() });
        }
    }
    Ok((seen, answer["missing"].clone()))
}

async fn put(cluster: &Cluster, at: &str, key: &str, trace: &str, flags: &str) -> Result<()> {
    let url = format!("{}/v1/kv/{key}", cluster.url(at));
    let traceparent = format!("00-{trace}-00f067aa0ba902b7-{flags}");
    let put = cluster.http().put(url).header("traceparent", traceparent).body("secret-value");
    let answer = put.send().await?;
    ensure!(answer.status().is_success(), "{}", answer.text().await?);
    ensure!(answer.headers()["trace-id"] == trace, "an answer names its trace");
    Ok(())
}

fn services(seen: &[Seen], name: &str) -> Vec<String> {
    let of = seen.iter().filter(|seen| seen.named(name)).map(|seen| seen.service.clone());
    of.collect::<BTreeSet<String>>().into_iter().collect()
}

/// Waits until all acceptors have voted for the same, and for nothing more for a while: then of
/// what is written all are asked by itself.
async fn at_rest(cluster: &Cluster) -> Result<()> {
    let voted = || async {
        let mut voted = Vec::new();
        for acceptor in cluster.names("acceptor") {
            let status = cluster.json(&acceptor, "/v1/status").await?;
            voted.push(status["voted_below"].as_u64().context("a slot")?);
        }
        anyhow::Ok(voted)
    };
    eventually("all acceptors have voted", || async {
        let before = voted().await?;
        ensure!(before.iter().all(|slot| *slot == before[0]), "{before:?}");
        tokio::time::sleep(Duration::from_millis(250)).await;
        ensure!(voted().await? == before, "there is more than {before:?}");
        Ok(())
    })
    .await
}

/// A write, and what is told of it.
struct Followed {
    trace: String,
    request: Vec<Seen>,
    /// The trace of its batch.
    batch: String,
    whole: Vec<Seen>,
}

/// Follows a write that all acceptors are asked to accept by itself. They may not be, where one
/// is late with what was written before.
async fn follow(cluster: &Cluster, trace: String) -> Result<Followed> {
    at_rest(cluster).await?;
    put(cluster, "balancer-1", "secret-key", &trace, "01").await?;
    let (request, missing) = told(cluster, "balancer-1", &trace).await?;
    ensure!(missing == serde_json::json!([]), "{missing}");
    let asked = request.iter().find(|seen| seen.named("replica.put")).context("a put")?;
    let batch = asked.span["links"][0]["traceId"].as_str().context("a link to the batch")?;
    let batch = batch.to_owned();
    let telling = eventually("all have told of the batch", || async {
        let (whole, _) = told(cluster, "balancer-1", &batch).await?;
        for name in ["acceptor.accept", "acceptor.sync"] {
            ensure!(services(&whole, name) == cluster.names("acceptor"), "{name}: {whole:?}");
        }
        ensure!(services(&whole, "replica.execute") == cluster.names("replica"), "{whole:?}");
        Ok(whole)
    });
    let whole = tokio::time::timeout(TELLING, telling).await.context("not all have told")??;
    Ok(Followed { trace, request, batch, whole })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_followed_from_the_front_door_to_every_disk_and_every_backup() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    cluster.wait_until_whole().await?;
    let (primary, leader) = (cluster.primary().await?, cluster.leader().await?);
    let mut writes = 0;
    let followed = eventually("a write that all acceptors are asked to accept", || {
        writes += 1;
        follow(&cluster, format!("{writes:032x}"))
    });
    let Followed { trace, request, batch, whole } = followed.await?;
    let (trace, batch) = (trace.as_str(), batch.as_str());
    ensure!(services(&request, "balancer.forward") == ["balancer-1"], "{request:?}");
    ensure!(services(&request, "replica.put") == [primary.clone()], "{request:?}");
    ensure!(services(&whole, "coordinator.propose") == [leader], "{whole:?}");
    let back = whole.iter().find(|seen| seen.named("replica.put")).context("and back")?;
    ensure!(back.span["traceId"] == trace, "the batch's trace has what links to it");
    let propose = whole.iter().find(|seen| seen.named("coordinator.propose")).context("one")?;
    let slot = propose.attribute("slot").context("a slot")?;
    let executed = whole.iter().filter(|seen| seen.named("replica.execute"));
    for execute in executed {
        ensure!(execute.attribute("slot") == Some(slot), "{execute:?}");
    }
    for accept in whole.iter().filter(|seen| seen.named("coordinator.accept")) {
        ensure!(accept.attribute("answer") == Some("accepted"), "{accept:?}");
    }
    // The log leads to the trace, and nothing of the key or value stands in it.
    let entry = cluster.json("balancer-1", &format!("/v1/log/{slot}")).await?;
    ensure!(entry["trace_id"] == batch, "{entry}");
    let text = format!("{request:?}{whole:?}");
    ensure!(!text.contains("secret"), "{text}");
    // Any replica gathers, too, where it is asked to; by itself it tells its own.
    eventually("a replica has gathered", || async {
        let (gathered, _) = told(&cluster, "replica-2", &format!("{batch}&of=cluster")).await?;
        ensure!(services(&gathered, "acceptor.sync").len() == 3, "{gathered:?}");
        Ok(())
    })
    .await?;
    let (own, _) = told(&cluster, "acceptor-1", batch).await?;
    ensure!(own.iter().all(|seen| seen.service == "acceptor-1") && own.len() == 2, "{own:?}");

    let synod = Synod::at(cluster.front());
    eventually("it is drawn whole", || async {
        let drawn = synod.terminal(&["trace", trace]).await?;
        for part in ["balancer.forward", "acceptor.sync", "which made it chosen", "acceptor-3"] {
            ensure!(drawn.contains(part), "no {part} in {drawn}");
        }
        let json = synod.json(&["trace", trace]).await?;
        ensure!(json[0]["trace_id"] == trace && json[0]["missing"] == serde_json::json!([]));
        Ok(())
    })
    .await?;
    let shown = synod.text(&["put", "k", "v", "--trace", "--output", "table"]).await?;
    ensure!(shown.contains("created k at revision") && shown.contains("was chosen"), "{shown}");
    synod.run(&["trace", &"0".repeat(32)]).await?.with(1, "32 hexadecimal digits")?;
    synod.run(&["trace", &"a".repeat(32)]).await?.with(3, "no service holds a span")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_hangs_is_named_as_missing_and_not_waited_for() -> Result<()> {
    let options =
        Options { args: &[("acceptor-1", &["--span-ring-bytes", "0"])], ..Options::default() };
    let mut cluster = Cluster::start_with(synod(), &options).await?;
    cluster.wait_until_whole().await?;
    put(&cluster, "balancer-1", "k", TRACE, "01").await?;
    cluster.service("acceptor-3").signal(Signal::STOP)?;
    // On a busy machine others may be late, too.
    let missing = eventually("only the one that hangs is waited for in vain", || async {
        let began = Instant::now();
        let (seen, missing) = told(&cluster, "balancer-1", TRACE).await?;
        let took = began.elapsed();
        ensure!(took < Duration::from_secs(3), "it took {took:?}");
        ensure!(!seen.is_empty(), "the others have told");
        let missing = missing.as_array().context("a list")?.clone();
        let names: Vec<&str> = missing.iter().filter_map(|one| one["id"].as_str()).collect();
        ensure!(names == ["acceptor-1", "acceptor-3"], "{missing:?}");
        Ok(missing)
    })
    .await?;
    cluster.service("acceptor-3").signal(Signal::CONT)?;
    ensure!(missing[0]["reason"] == "it keeps no spans", "{missing:?}");
    let (_, own) = told(&cluster, "acceptor-1", TRACE).await?;
    let reason = own[0]["reason"].as_str().context("a reason")?;
    ensure!(reason.contains("--span-ring-bytes"), "{own}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_trace_is_refused_by_every_service() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let long = format!("/v1/spans?trace={}", "a".repeat(4_000));
    for service in cluster.all() {
        for path in [
            "/v1/spans",
            "/v1/spans?trace=",
            "/v1/spans?trace=4bf92f",
            "/v1/spans?trace=%3Cscript%3E",
            "/v1/spans?trace=00000000000000000000000000000000",
            "/v1/spans?trace=4bf92f3577b34da6a3ce929d0e0e4736&of=all",
            "/v1/spans?trace=4bf92f3577b34da6a3ce929d0e0e4736&x=1",
            long.as_str(),
        ] {
            let answer = cluster.http().get(format!("{}{path}", cluster.url(&service)));
            let answer = answer.send().await?;
            let status = answer.status();
            ensure!(status == 400, "{service} {path}: {status}");
            ensure!(answer.text().await?.len() < 1_000, "{service} {path}");
        }
    }
    let of_all = format!("{}/v1/spans?trace={TRACE}&of=cluster", cluster.url("acceptor-1"));
    ensure!(cluster.http().get(of_all).send().await?.status() == 400);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_of_many_requests_are_recorded_and_none_that_says_no() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    cluster.wait_until_whole().await?;
    put(&cluster, "balancer-1", "unsampled", TRACE, "00").await?;
    let (seen, _) = told(&cluster, "balancer-1", TRACE).await?;
    ensure!(seen.is_empty(), "{seen:?}");
    let (began, mut recorded) = (Instant::now(), 0);
    for number in 0..400 {
        let url = format!("{}/v1/kv/many/{number}", cluster.front());
        let answer = cluster.http().put(url).body("x").send().await?;
        let trace = answer.headers()["trace-id"].to_str()?.to_owned();
        ensure!(answer.status().is_success(), "{}", answer.text().await?);
        if number % 10 == 0 {
            let (own, _) = told(&cluster, "balancer-1", &format!("{trace}&of=service")).await?;
            recorded += own.len();
        }
    }
    let intervals = began.elapsed().as_millis() / 100 + 1;
    ensure!(recorded as u128 <= intervals, "{recorded} are recorded in {intervals} intervals");
    let log = cluster.json("balancer-1", "/v1/log?from=0&limit=1000").await?;
    let batches: Vec<&Value> = log.as_array().context("slots")?.iter().collect();
    let traced = batches.iter().filter(|slot| slot["trace_id"].is_string()).count();
    ensure!(traced >= 1, "an idle cluster shows what it does");
    ensure!(traced as u128 <= intervals + 20, "{traced} of {} batches", batches.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_every_request_to_be_recorded_gets_a_bounded_number() -> Result<()> {
    const ASKED: usize = 600;
    /// So many a second are recorded at a balancer because they ask for it, and so many at once.
    const MOST: f64 = 100.0;
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    cluster.wait_until_whole().await?;
    let trace = |number: usize| format!("{:032x}", 0xabc_0000 + number);
    let before = Instant::now();
    let mut asking = tokio::task::JoinSet::new();
    for connection in 0..8 {
        let (http, url) = (cluster.http().clone(), format!("{}/v1/kv/none", cluster.front()));
        asking.spawn(async move {
            for number in (connection..ASKED).step_by(8) {
                let parent = format!("00-{}-00f067aa0ba902b7-01", trace(number));
                let answer = http.get(&url).header("traceparent", parent).send().await?;
                ensure!(answer.headers()["trace-id"] == trace(number).as_str(), "its trace");
            }
            Ok(())
        });
    }
    while let Some(ended) = asking.join_next().await {
        ended??;
    }
    let seconds = before.elapsed().as_secs_f64();
    let (mut recorded, mut left_out) = (0, None);
    for number in 0..ASKED {
        let query = format!("{}&of=service", trace(number));
        let (own, _) = told(&cluster, "balancer-1", &query).await?;
        ensure!(own.len() <= 1, "{own:?}");
        recorded += own.len();
        left_out = left_out.or(own.is_empty().then_some(number));
    }
    ensure!(recorded as f64 >= MOST, "{recorded}");
    ensure!(recorded as f64 <= MOST * (seconds + 1.0) + 1.0, "{recorded} in {seconds} s");
    if let Some(number) = left_out {
        let (all, _) = told(&cluster, "balancer-1", &trace(number)).await?;
        ensure!(all.is_empty(), "recorded by others: {all:?}");
    }
    Ok(())
}
