//! `synod bench` of a cluster that speaks TLS and asks for tokens.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::harness::cluster::eventually;

use super::cluster::{PORTS, Secured};
use crate::cli::command::Synod;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_speaks_tls_and_asks_for_tokens_is_measured() -> Result<()> {
    let dir = TempDir::new()?;
    let up = Secured::started(dir.path()).await?;
    let mut bootstrap = Synod::at(up.url(301)).command(&["token", "bootstrap"]);
    let made = bootstrap.env("SYNOD_CA", up.authority()).output().await?;
    ensure!(made.status.success(), "{made:?}");
    let secret = String::from_utf8(made.stdout)?;
    let front = Synod::at(up.url(0));
    eventually("all services have heard of each other", async || {
        let mut status = front.command(&["status", "--output", "json"]);
        status.env("SYNOD_CA", up.authority()).env("SYNOD_TOKEN", secret.trim());
        let cluster: Value = serde_json::from_slice(&status.output().await?.stdout)?;
        let kinds = ["balancers", "coordinators", "acceptors", "replicas"];
        let services = kinds.iter().filter_map(|kind| cluster[kind].as_array()).flatten();
        let healthy = services.filter(|service| service["healthy"] == true).count();
        ensure!(healthy == PORTS.len(), "{cluster}");
        Ok(())
    })
    .await?;
    let bench =
        || front.command(&["bench", "--clients", "2", "--seconds", "1", "--output", "json"]);
    let mut measured = bench();
    let measured = measured.env("SYNOD_CA", up.authority()).env("SYNOD_TOKEN", secret.trim());
    let measured = measured.output().await?;
    ensure!(measured.status.success(), "{measured:?}");
    let report: Value = serde_json::from_slice(&measured.stdout)?;
    let loads = report["load"].as_array().context("no load")?;
    ensure!(loads.len() == 3, "{report}");
    for load in loads {
        let done = load["operations"].as_u64().context("no number")?;
        ensure!(done > 0 && load["errors"] == json!({}), "{load}");
    }
    let memory = report["memory"].as_array().context("no memory")?;
    ensure!(memory.len() == PORTS.len(), "{report}");
    ensure!(memory.iter().all(|row| row["resident_bytes_after"].is_u64()), "{report}");
    let mut strange = bench();
    let strange =
        strange.env("SYNOD_CA", up.authority()).env_remove("SYNOD_TOKEN").output().await?;
    let said = String::from_utf8_lossy(&strange.stderr);
    ensure!(strange.status.code() == Some(9) && said.contains("no token"), "{said}");
    up.end()
}
