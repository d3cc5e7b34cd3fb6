//! `GET /metrics` of every service of a real cluster: well-formed, moving as it should, and
//! no longer for whatever clients send.

mod names;
mod otlp;
mod prometheus;
mod queries;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use tests::harness::cluster::{Cluster, Options, PATIENCE, Size, eventually};
use tests::harness::exposition::Exposition;

use crate::synod;

const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes, reads, keys and paths of each kind.
const EACH: usize = 50;
/// Keys and paths that nobody has asked for before.
const MADE_UP: usize = 2_000;
/// Requests under way at once.
const AT_ONCE: usize = 32;

/// What a service tells now.
async fn scrape(cluster: &Cluster, service: &str) -> Result<Exposition> {
    // As Prometheus asks, in short.
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2,*/*;q=0.1";
    let asked = cluster.http().get(format!("{}/metrics", cluster.url(service)));
    let response = asked.header("accept", accept).send().await?;
    ensure!(response.status() == 200, "{service}: {}", response.status());
    let content_type = response.headers()["content-type"].to_str()?;
    ensure!(content_type == TYPE, "{service}: {content_type}");
    Exposition::read(&response.text().await?).with_context(|| format!("of {service}"))
}

/// What all services tell now, by name.
async fn scrape_all(cluster: &Cluster) -> Result<BTreeMap<String, Exposition>> {
    let mut all = BTreeMap::new();
    for service in cluster.all() {
        all.insert(service.clone(), scrape(cluster, &service).await?);
    }
    Ok(all)
}

/// How much a series of a service has grown.
struct Grown {
    before: BTreeMap<String, Exposition>,
    after: BTreeMap<String, Exposition>,
}

impl Grown {
    /// Of the services of a kind together.
    fn by(&self, kind: &str, series: &str) -> Result<f64> {
        let mut grown = 0.0;
        for (service, after) in self.after.iter().filter(|(name, _)| name.starts_with(kind)) {
            grown += after.value(series)? - self.before[service].value(series)?;
        }
        Ok(grown)
    }
}

/// Sends a request for each of these numbers, some at a time.
async fn send_each(
    cluster: &Cluster,
    count: usize,
    make: impl Fn(usize) -> reqwest::RequestBuilder,
) -> Result<()> {
    for from in (0..count).step_by(AT_ONCE) {
        let some = (from..count.min(from + AT_ONCE)).map(|number| make(number).send());
        for response in futures::future::join_all(some).await {
            ensure!(response?.status().as_u16() < 500, "{}", cluster.last_words());
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_is_counted_once_where_it_happens() -> Result<()> {
    // Nothing is asked twice because the machine is busy.
    let once = ["--slow-read-after-ms=60000", "--hedge-percent=0", "--check-timeout-ms=60000"];
    let options = Options { args: &[("balancer-1", &once)], ..Options::default() };
    let cluster = Cluster::start_with(synod(), &options).await?;
    let (http, front) = (cluster.http(), cluster.front());
    cluster.wait_until_equal().await?;
    let before = scrape_all(&cluster).await?;
    send_each(&cluster, EACH, |n| http.put(format!("{front}/v1/kv/m/{n}")).body("x")).await?;
    send_each(&cluster, EACH, |n| http.get(format!("{front}/v1/kv/m/{n}"))).await?;
    send_each(&cluster, EACH, |n| http.delete(format!("{front}/v1/kv/none/{n}"))).await?;
    cluster.wait_until_equal().await?;
    let after = scrape_all(&cluster).await?;
    let (each, grown) = (EACH as f64, Grown { before, after });
    for (kind, series, by) in [
        ("balancer", "synod_balancer_requests_total{intent=\"mutation\"}", 2.0 * each),
        ("balancer", "synod_balancer_requests_total{intent=\"read\"}", each),
        (
            "balancer",
            "synod_http_requests_total{method=\"PUT\",route=\"/v1/{*path}\",status=\"2xx\"}",
            each,
        ),
        (
            "replica",
            "synod_http_requests_total{method=\"PUT\",route=\"/v1/kv/{*key}\",status=\"2xx\"}",
            each,
        ),
        (
            "replica",
            "synod_http_requests_total{method=\"GET\",route=\"/v1/kv/{*key}\",status=\"2xx\"}",
            each,
        ),
        // Every replica executes all of it.
        ("replica", "synod_replica_executed_commands_total{outcome=\"created\"}", 3.0 * each),
        ("replica", "synod_replica_executed_commands_total{outcome=\"deleted\"}", 3.0 * each),
        ("replica", "synod_replica_keys_written_total", 3.0 * each),
        ("replica", "synod_replica_revision", 3.0 * 2.0 * each),
        ("replica", "synod_replica_primary_changes_total", 0.0),
    ] {
        ensure!(grown.by(kind, series)? == by, "{series}: {}", grown.by(kind, series)?);
    }
    let batches = grown.by("replica", "synod_replica_executed_slots_total{kind=\"batch\"}")? / 3.0;
    let chosen =
        grown.by("coordinator", "synod_coordinator_proposals_total{outcome=\"chosen\"}")?;
    ensure!(batches >= 1.0 && chosen >= batches, "{batches} batches, {chosen} chosen");
    for (kind, series, at_least) in [
        ("acceptor", "synod_acceptor_sync_duration_seconds_count", 2.0 * batches),
        ("acceptor", "synod_acceptor_accepts_total{answer=\"done\"}", 2.0 * batches),
        ("acceptor", "synod_acceptor_accepted_slots_total", 2.0 * batches),
        ("acceptor", "synod_acceptor_log_written_bytes_total", 2.0 * each),
        ("coordinator", "synod_coordinator_decisions_total", batches),
        ("coordinator", "synod_coordinator_chosen_duration_seconds_count", batches),
        ("coordinator", "synod_coordinator_votes_total", 2.0 * batches),
        ("coordinator", "synod_coordinator_value_bytes_sum", each),
        ("replica", "synod_replica_batch_commands_sum", 3.0 * 2.0 * each),
        ("replica", "synod_replica_released_reads_sum", each),
        ("replica", "synod_replica_read_wait_duration_seconds_count", each),
        ("replica", "synod_replica_database_duration_seconds_count{step=\"store\"}", 3.0),
        ("replica", "synod_replica_probes_total{outcome=\"answered\"}", 2.0),
        ("balancer", "synod_balancer_endpoint_requests_total{endpoint=\"replica-1\"}", 1.0),
    ] {
        let by = grown.by(kind, series)?;
        ensure!(by >= at_least, "{series} has grown by {by} and not by {at_least}");
    }
    eventually("everybody says how it is at rest", async || {
        let now = scrape_all(&cluster).await?;
        let is = |kind: &str, series: &str| -> Result<f64> {
            let of_kind = now.iter().filter(|(name, _)| name.starts_with(kind));
            of_kind.map(|(_, exposition)| exposition.value(series)).sum()
        };
        let leading = "synod_coordinator_phase{phase=\"phase2\"}";
        ensure!(is("coordinator", leading)? == 1.0, "one leads");
        ensure!(is("replica", "synod_replica_role{role=\"primary\"}")? == 1.0, "one is primary");
        ensure!(is("replica", "synod_replica_lag_slots")? == 0.0, "all have executed all");
        ensure!(is("balancer", "synod_balancer_healthy_endpoints")? == 3.0, "all are healthy");
        for (kind, services) in [("coordinator", 2.0), ("acceptor", 3.0)] {
            let of = |what: &str| is(kind, &format!("synod_{kind}_{what}_acceptors"));
            ensure!(of("roster")? == 3.0 * services && of("quorum")? == 2.0 * services, "{kind}");
        }
        Ok(())
    })
    .await?;
    for (service, exposition) in &grown.after {
        ensure!(exposition.value("process_open_fds")? > 3.0, "{service}");
        ensure!(exposition.value("process_resident_memory_bytes")? > 1e6, "{service}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fail_over_is_counted_as_one_where_it_is_decided_and_where_it_is_executed() -> Result<()>
{
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let before = scrape_all(&cluster).await?;
    let primary = cluster.primary().await?;
    cluster.service(&primary).kill()?;
    cluster.wait_until_serving().await?;
    let replaced = "synod_coordinator_views_proposed_total{reason=\"primary_replaced\"}";
    let mut proposed = 0.0;
    for coordinator in cluster.names("coordinator") {
        let now = scrape(&cluster, &coordinator).await?.value(replaced)?;
        proposed += now - before[&coordinator].value(replaced)?;
    }
    ensure!(proposed == 1.0, "{proposed} views replaced the primary");
    let changes = "synod_replica_primary_changes_total";
    for replica in cluster.names("replica").iter().filter(|name| **name != primary) {
        eventually("a replica has executed the view", async || {
            let changed = scrape(&cluster, replica).await?.value(changes)?;
            let by = changed - before[replica].value(changes)?;
            ensure!(by == 1.0, "{replica} has seen {by} changes of the primary");
            Ok(())
        })
        .await?;
    }
    let dead = format!("synod_balancer_endpoint_healthy{{endpoint=\"{primary}\"}}");
    eventually("the balancer says who is dead", async || {
        let healthy = scrape(&cluster, "balancer-1").await?;
        ensure!(healthy.value(&dead)? == 0.0, "it takes it for healthy");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_clients_make_up_adds_a_line() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let http = cluster.http();
    let before = scrape_all(&cluster).await?;
    for door in ["balancer-1", "replica-1"] {
        let url = cluster.url(door);
        send_each(&cluster, MADE_UP, |n| http.put(format!("{url}/v1/kv/{door}/{n}")).body("x"))
            .await?;
    }
    for service in cluster.all() {
        let url = cluster.url(&service);
        send_each(&cluster, MADE_UP, |n| {
            let method = reqwest::Method::from_bytes(format!("M{n}").as_bytes());
            match n % 4 {
                0 => http.request(method.expect("a token"), format!("{url}/v1/status")),
                1 => http.get(format!("{url}/nothing/{n}")),
                2 => http.get(format!("{url}/v1/nothing-{n}?q={n}")).header("x-made-up", n),
                _ => http.get(format!("{url}/metrics?{n}")),
            }
        })
        .await?;
    }
    let mut stray = BTreeSet::new();
    for (service, after) in scrape_all(&cluster).await? {
        let (before, after) = (before[&service].lines(), after.lines());
        if before != after {
            stray.insert(format!("{service}: {before} lines, then {after}"));
        }
    }
    ensure!(stray.is_empty(), "{stray:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_got_and_nothing_else_and_by_whoever_may_ask_the_service() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let mut answers = Vec::new();
    for service in cluster.all() {
        let url = format!("{}/metrics", cluster.url(&service));
        for (request, status) in [
            (cluster.http().head(&url), 200),
            (cluster.http().post(&url).body("x"), 405),
            (cluster.http().get(&url).header("host", "evil.example"), 421),
            (cluster.http().get(&url).header("sec-fetch-site", "cross-site"), 403),
        ] {
            let answer = request.timeout(PATIENCE).send().await?.status();
            if answer != status {
                answers.push(format!("{service}: {answer} and not {status}"));
            }
        }
        let refused = scrape(&cluster, &service).await?;
        for reason in ["host", "origin"] {
            let series = format!("synod_http_refusals_total{{reason=\"{reason}\"}}");
            if refused.value(&series)? != 1.0 {
                answers.push(format!("{service}: {series} is {}", refused.value(&series)?));
            }
        }
    }
    ensure!(answers.is_empty(), "{answers:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_of_requests_name_a_trace_that_can_be_looked_at() -> Result<()> {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let put = cluster.http().put(format!("{}/v1/kv/k", cluster.front())).body("x");
    let put = put.header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
    ensure!(put.send().await?.status().is_success());
    let mut named = Vec::new();
    for service in cluster.all() {
        let told = scrape(&cluster, &service).await?;
        let exemplars: Vec<&str> = told.exemplars("synod_http_request_duration_seconds").collect();
        if exemplars.contains(&TRACE) {
            named.push(service);
        }
    }
    let primary = cluster.primary().await?;
    ensure!(named.contains(&"balancer-1".to_owned()) && named.contains(&primary), "{named:?}");
    Ok(())
}
