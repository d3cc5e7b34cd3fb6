//! Prometheus itself, on a real cluster that does something: it takes what every service answers,
//! every query of the dashboards and every part of the rules has a number for an answer, and
//! what shows exemplars has some.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use shared::random;
use tests::harness::cluster::{Cluster, Size, eventually};
use tests::harness::ports::Ports;
use tests::harness::process::Process;
use tests::harness::skip::skipped;

use super::queries::{below_top, parts, queries};
use crate::synod;

const PROMTOOL: &str = "/usr/bin/promtool";

/// With which the shipped Prometheus is started, too.
const EXEMPLARS: &str = "--enable-feature=exemplar-storage";

/// What rules ask for and this cluster has not: certificates, and an issuer of JWTs.
const ABSENT: [&str; 2] = ["synod_tls_", "synod_replica_jwks_"];

/// As the shipped one with the shipped rules, but for where the services are, and that it
/// looks often.
fn configuration(cluster: &Cluster, rules: &Path) -> String {
    let mut text = "global: { scrape_interval: 1s, evaluation_interval: 1s }\n".to_owned();
    let _infallible = writeln!(text, "rule_files: [\"{}\"]", rules.display());
    text.push_str("scrape_configs:\n");
    for kind in ["balancer", "coordinator", "acceptor", "replica"] {
        let of_kind = cluster.names(kind);
        let targets = of_kind.iter().map(|name| cluster.url(name).trim_start_matches("http://"));
        let targets = targets.collect::<Vec<_>>().join(", ");
        let _infallible = writeln!(
            text,
            "  - {{ job_name: synod-{kind}, static_configs: [{{ targets: [\"{}\"] }}] }}",
            targets.replace(", ", "\", \"")
        );
    }
    text
}

/// The alerts that fire, each with the service that it is about where it names one.
async fn firing(http: &reqwest::Client, url: &str) -> Result<BTreeSet<(String, String)>> {
    let answer: Value = http.get(format!("{url}/api/v1/alerts")).send().await?.json().await?;
    let alerts = answer["data"]["alerts"].as_array().context("a list of alerts")?;
    let label =
        |alert: &Value, name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
    let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
    Ok(firing.map(|alert| (label(alert, "alertname"), label(alert, "instance"))).collect())
}

/// What Prometheus answers to a query.
async fn ask(http: &reqwest::Client, url: &str, query: &str) -> Result<Value> {
    let answer = http.get(format!("{url}/api/v1/query")).query(&[("query", query)]).send().await?;
    let answer: Value = answer.json().await?;
    ensure!(answer["status"] == "success", "{query}: {answer}");
    Ok(answer["data"]["result"].clone())
}

/// Whether an answer has a number in it: nothing and NaN are none.
fn has_number(answer: &Value) -> bool {
    let numbers =
        answer.as_array().into_iter().flatten().filter_map(|one| one["value"][1].as_str());
    numbers.filter_map(|number| number.parse().ok()).any(f64::is_finite)
}

/// Writes, reads and deletes a little, each in a trace that is recorded.
async fn do_something(cluster: &Cluster) -> Result<()> {
    let key = format!("{}/v1/kv/seen", cluster.front());
    let http = cluster.http();
    for request in [
        http.put(&key).body("x"),
        http.get(&key),
        http.get(format!("{key}?consistency=local")),
        http.delete(&key),
    ] {
        let traced = format!("00-{:032x}-{:016x}-01", u128::from_be_bytes(random::identity()), 1);
        let answer = request.header("traceparent", traced).send().await?;
        // Who reads locally may not have it yet.
        ensure!(answer.status().as_u16() < 500, "{}", answer.status());
    }
    Ok(())
}

/// What the dashboards and the rules ask that has no number for an answer.
async fn unanswered(http: &reqwest::Client, url: &str) -> Result<BTreeSet<String>> {
    let rules: Value = http.get(format!("{url}/api/v1/rules")).send().await?.json().await?;
    let groups = rules["data"]["groups"].as_array().context("groups of rules")?;
    let rules = groups.iter().filter_map(|group| group["rules"].as_array()).flatten();
    let rules = rules.filter_map(|rule| Some((rule["name"].as_str()?, rule["query"].as_str()?)));
    let rules: Vec<_> = rules.map(|(name, expr)| (name.to_owned(), expr.to_owned())).collect();
    ensure!(rules.len() >= 20, "{rules:?}");
    let asked = queries()?.into_iter().map(|query| (query.place, query.expr));
    let mut unanswered = BTreeSet::new();
    for (place, expr) in asked.chain(rules) {
        let has = |part: &&str| !ABSENT.iter().any(|absent| part.contains(absent));
        for part in parts(&expr).into_iter().filter(has) {
            if !has_number(&ask(http, url, part).await.context(place.clone())?) {
                unanswered.insert(format!("{place}: {part}"));
            }
        }
    }
    Ok(unanswered)
}

/// The queries that show exemplars and have none.
async fn without_exemplars(http: &reqwest::Client, url: &str) -> Result<BTreeSet<String>> {
    let mut without = BTreeSet::new();
    let queries = queries()?;
    ensure!(queries.iter().any(|query| query.exemplar), "nothing shows exemplars");
    for query in queries.into_iter().filter(|query| query.exemplar) {
        let asked = http.get(format!("{url}/api/v1/query_exemplars"));
        let asked = asked.query(&[("query", query.expr.as_str()), ("start", "0"), ("end", "4e9")]);
        let answer: Value = asked.send().await?.json().await?;
        let series = answer["data"].as_array().with_context(|| format!("{answer}"))?;
        let mut exemplars = series.iter().filter_map(|one| one["exemplars"].as_array()).flatten();
        if !exemplars.any(|one| one["labels"]["trace_id"].is_string()) {
            without.insert(format!("{}: {}", query.place, query.expr));
        }
    }
    Ok(without)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_takes_what_all_services_answer_what_the_dashboards_ask_and_tells_of_faults()
-> Result<()> {
    let program = Path::new("/usr/bin/prometheus");
    if !program.exists() {
        return skipped("there is no Prometheus; `apt-get install prometheus` brings it");
    }
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let (folder, mut ports) = (tempfile::tempdir()?, Ports::reserve()?);
    let (http, port) = (cluster.http().clone(), ports.take()?);
    let http = &http;
    let (file, data) = (folder.path().join("prometheus.yml"), folder.path().join("data"));
    std::fs::write(&file, configuration(&cluster, &below_top("deploy/prometheus/alerts.yml")?))?;
    let args = [
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", data.display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
        EXEMPLARS.to_owned(),
    ];
    let mut prometheus = Process::new("prometheus", program, args.into(), folder.path());
    prometheus.start()?;
    let url = format!("http://127.0.0.1:{port}");
    let services = cluster.all().len().to_string();
    let taken = eventually("Prometheus has scraped every service twice", async || {
        let up = "count(count_over_time(up[1m]) >= 2 and last_over_time(up[1m]) == 1)";
        let scraped = ask(http, &url, up).await?;
        ensure!(scraped[0]["value"][1] == services.as_str(), "{scraped}");
        Ok(())
    })
    .await;
    if taken.is_err() {
        let targets = http.get(format!("{url}/api/v1/targets")).send().await?.text().await?;
        taken.context(targets)?;
    }
    eventually("all that is asked has a number for an answer", async || {
        do_something(&cluster).await?;
        let unanswered = unanswered(http, &url).await?;
        ensure!(unanswered.is_empty(), "{unanswered:#?}");
        let without = without_exemplars(http, &url).await?;
        ensure!(without.is_empty(), "there is no exemplar for {without:#?}");
        Ok(())
    })
    .await?;

    // A majority of acceptors: no replica hears a quorum.
    let instance = |name: &str| cluster.url(name).trim_start_matches("http://").to_owned();
    let silent = cluster.names("replica").into_iter().map(|name| ("SynodQuorumSilent", name));
    let down = ["acceptor-1", "acceptor-2"].map(|name| ("SynodAcceptorDown", name.to_owned()));
    let wanted = silent.chain(down).map(|(alert, name)| (alert.to_owned(), instance(&name)));
    let wanted: BTreeSet<_> = wanted.collect();
    let early = firing(http, &url).await?;
    ensure!(wanted.is_disjoint(&early), "nothing is wrong yet: {early:?}");
    for acceptor in ["acceptor-1", "acceptor-2"] {
        cluster.service(acceptor).kill()?;
    }
    eventually("the alerts of a majority that is gone", async || {
        let firing = firing(http, &url).await?;
        ensure!(wanted.is_subset(&firing), "{wanted:?} of {firing:?}");
        Ok(())
    })
    .await?;
    prometheus.kill()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_ask_for_open_metrics_gets_the_text_that_promtool_takes() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let url = format!("{}/v1/kv/k", cluster.front());
    eventually("a write", async || {
        cluster.http().put(&url).body("v").send().await?.error_for_status()?;
        Ok(())
    })
    .await?;
    let mut texts = Vec::new();
    for service in cluster.all() {
        for accept in [None, Some("*/*"), Some("text/plain;version=0.0.4"), Some("text/html")] {
            let mut asked = cluster.http().get(format!("{}/metrics", cluster.url(&service)));
            if let Some(accept) = accept {
                asked = asked.header("accept", accept);
            }
            let answer = asked.send().await?.error_for_status()?;
            let of = answer.headers()["content-type"].to_str()?.to_owned();
            ensure!(of == "text/plain; version=0.0.4; charset=utf-8", "{service} {accept:?}: {of}");
            let text = answer.text().await?;
            for newer in ["# EOF", "# UNIT", " # {"] {
                ensure!(!text.contains(newer), "{service} {accept:?}: {newer} in {text}");
            }
            texts.push((service.clone(), text));
        }
    }
    if !Path::new(PROMTOOL).exists() {
        return skipped("there is no promtool; `apt-get install prometheus` brings it");
    }
    for (service, text) in texts {
        let mut run = std::process::Command::new(PROMTOOL);
        let run = run.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut run = run.stdout(Stdio::piped()).spawn()?;
        run.stdin.take().context("a pipe")?.write_all(text.as_bytes())?;
        let run = run.wait_with_output()?;
        let said = [run.stdout, run.stderr].concat();
        ensure!(run.status.success(), "{service}: {}", String::from_utf8_lossy(&said));
    }
    Ok(())
}

#[test]
fn an_exemplar_leads_from_the_shipped_prometheus_to_the_shipped_jaeger() -> Result<()> {
    let compose = std::fs::read_to_string(below_top("docker-compose.yml")?)?;
    ensure!(compose.contains(&format!("      - {EXEMPLARS}\n")), "Prometheus keeps no exemplars");
    let sources = below_top("deploy/grafana/provisioning/datasources")?;
    let prometheus = std::fs::read_to_string(sources.join("prometheus.yml"))?;
    let link =
        "exemplarTraceIdDestinations:\n        - { name: trace_id, datasourceUid: jaeger }\n";
    ensure!(prometheus.contains(link), "{prometheus}");
    let jaeger = std::fs::read_to_string(sources.join("jaeger.yml"))?;
    ensure!(jaeger.contains("    uid: jaeger\n    type: jaeger\n"), "{jaeger}");
    Ok(())
}

#[test]
fn the_shipped_configuration_and_rules_are_as_prometheus_wants_them() -> Result<()> {
    let program = Path::new(PROMTOOL);
    if !program.exists() {
        return skipped("there is no promtool; `apt-get install prometheus` brings it");
    }
    let folder = below_top("deploy/prometheus")?;
    for args in [
        ["check", "config", "--lint=all", "prometheus.yml"].as_slice(),
        &["check", "rules", "--lint=all", "--lint-fatal", "alerts.yml"],
        &["test", "rules", "alerts_test.yml"],
    ] {
        let run = std::process::Command::new(program).args(args).current_dir(&folder).output()?;
        let said = [run.stdout, run.stderr].concat();
        ensure!(run.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said));
    }
    Ok(())
}
