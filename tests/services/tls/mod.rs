//! TLS all the way: `synod up --tls`, `synod pki`, what services say of bad files, and who is
//! answered what ([`certificates`], [`tokens`]).

mod bad_files;
mod bench;
mod certificates;
mod cluster;
mod identities;
mod named;
mod renewal;
mod routes;
mod tokens;

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use rustix::process::Signal;
use tempfile::TempDir;
use tests::harness::cluster::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use self::cluster::Secured;
use crate::cli::command::Synod;

/// So long a command asks where nobody answers.
const TRIED: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_command_starts_a_cluster_that_speaks_tls_and_says_how_to_ask_it() -> Result<()> {
    let dir = TempDir::new()?;
    let up = Secured::started(dir.path()).await?;
    let said = up.output()?;
    let lines: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  curl ")).collect();
    ensure!(lines.len() == 3, "{said}");
    for line in lines {
        let command = format!("curl --silent --show-error --fail {line}");
        let ended = Command::new("sh").args(["-c", &command]).output().await?;
        ensure!(ended.status.success(), "{command}: {}", String::from_utf8_lossy(&ended.stderr));
    }
    // As it says that `synod` is told.
    let synod = Synod::at(up.url(0));
    let mut command = synod.command(&["get", "greeting"]);
    let ended = command.env("SYNOD_CA", up.authority()).output().await?;
    ensure!(ended.stdout == b"hello", "{ended:?}");
    let began = Instant::now();
    let ended = synod.command(&["get", "greeting"]).output().await?;
    let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
    ensure!(ended.status.code() == Some(1) && stderr.contains("--ca"), "{stderr}");
    ensure!(began.elapsed() < TRIED, "it was asked for {:?}", began.elapsed());
    // What works on files alone needs none that is believed.
    let mut command = synod.command(&["completions", "bash"]);
    let ended = command.env("SYNOD_CA", up.folder().join("none")).output().await?;
    ensure!(ended.status.success(), "{ended:?}");
    up.end()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_services_of_the_cluster_are_answered_what_services_ask() -> Result<()> {
    let dir = TempDir::new()?;
    let up = Secured::started(dir.path()).await?;
    let pki = up.folder().join("tls").to_string_lossy().into_owned();
    let none = Synod::at("");
    none.text(&["pki", "issue", "operator", "ada", "--dir", &pki]).await?;
    let files = |name: &str| [format!("{pki}/{name}.pem"), format!("{pki}/{name}.key")];
    let none_of_it = "/v1/replication/log?cluster=0&from=0&wait_ms=0";
    for (port, path, name, expected) in [
        (201, "/v1/watermarks", None, "403"),
        (201, "/v1/watermarks", Some("balancer-1"), "403"),
        (201, "/v1/watermarks", Some("ada"), "403"),
        (201, "/v1/watermarks", Some("replica-1"), "200"),
        (101, "/v1/chosen", None, "403"),
        (101, "/v1/chosen", Some("acceptor-1"), "403"),
        (301, none_of_it, None, "403"),
        (301, none_of_it, Some("coordinator-1"), "403"),
        (301, none_of_it, Some("ada"), "400"),
        (301, "/v1/status", None, "200"),
        (201, "/metrics", None, "200"),
        (0, "/v1/cluster", None, "200"),
    ] {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]);
        curl.arg("--cacert").arg(up.authority()).arg(format!("{}{path}", up.url(port)));
        if let Some([certificate, key]) = name.map(files) {
            curl.args(["--cert", &certificate, "--key", &key]);
        }
        let code = String::from_utf8(curl.output().await?.stdout)?;
        ensure!(code == expected, "{path} at +{port} as {name:?}: {code}, not {expected}");
    }
    up.only_the_primary_proposes().await?;
    up.each_speaks_for_itself().await?;
    let metrics = up.metrics(201).await?;
    for (series, least) in [
        ("synod_tls_refusals_total{role=\"none\",reason=\"certificate\"}", 1.0),
        ("synod_tls_refusals_total{role=\"balancer\",reason=\"role\"}", 1.0),
        ("synod_tls_refusals_total{role=\"operator\",reason=\"role\"}", 1.0),
        ("synod_tls_not_after_seconds{of=\"certificate\"}", 1e9),
        ("synod_tls_not_after_seconds{of=\"authority\"}", 1e9),
    ] {
        let value = cluster::value(&metrics, series)?;
        ensure!(value >= least, "{series} {value}");
    }
    // New files are not waited for where somebody says that there are some.
    let taken = "synod_tls_reloads_total{result=\"taken\"}";
    ensure!(cluster::value(&metrics, taken)? == 0.0, "{metrics}");
    up.kill(201, Signal::HUP).await?;
    eventually("its files are read again", || async {
        ensure!(cluster::value(&up.metrics(201).await?, taken)? == 1.0, "not yet");
        Ok(())
    })
    .await?;
    let mut plain = TcpStream::connect(up.address(0)).await?;
    plain.write_all(b"GET /v1/kv/a HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
    up.end()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_and_a_leader_that_are_killed_are_replaced() -> Result<()> {
    let dir = TempDir::new()?;
    let up = Secured::started(dir.path()).await?;
    let client = up.client(0)?;
    for round in 0..2 {
        let cluster: serde_json::Value = client.json("/v1/cluster").await?;
        let primary = up.port_of(cluster["view"]["primary"].as_str().unwrap_or_default())?;
        client.put("before", round.to_string()).await?;
        up.kill(primary, Signal::KILL).await?;
        client.put("after", round.to_string()).await?;
        let leader = eventually("a coordinator leads", || async {
            for port in [101, 102] {
                let status: serde_json::Value = up.client(port)?.json("/v1/status").await?;
                if status["phase"] == "phase2" {
                    return Ok(port);
                }
            }
            bail!("none leads")
        })
        .await?;
        up.kill(leader, Signal::KILL).await?;
        client.put("after-both", round.to_string()).await?;
        let read = client.get("after-both").await?;
        ensure!(read.value.is_some_and(|value| value == round.to_string().as_bytes()));
        eventually("all services are back", || up.all_ready()).await?;
    }
    up.end()
}
