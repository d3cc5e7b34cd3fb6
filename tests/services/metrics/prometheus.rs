//! Prometheus itself, on a real cluster: it takes what every service answers, and every query
//! of the dashboards.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::harness::cluster::{Cluster, Size, eventually};
use tests::harness::ports::Ports;
use tests::harness::process::Process;
use tests::harness::skip::skipped;

use super::names::{below_top, queries};
use crate::synod;

const PROMTOOL: &str = "/usr/bin/promtool";

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
    let mut empty = BTreeSet::new();
    for (path, query) in queries()? {
        let query = query.replace("$__rate_interval", "1m").replace("$__range", "15m");
        let board = path.file_name().context("a file")?.to_string_lossy().into_owned();
        let found = ask(http, &url, &query).await.with_context(|| board.clone())?;
        if found.as_array().is_none_or(Vec::is_empty) {
            empty.insert(format!("{board}: {query}"));
        }
    }
    // What is shown only where it happens.
    empty.retain(|query| !query.contains(" > 0"));
    ensure!(empty.is_empty(), "nothing is found by {empty:#?}");

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
