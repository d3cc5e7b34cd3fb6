//! A service that meets a peer of another version of the messages says so, by name, and
//! reads nothing of what it said.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::harness::cluster::{Cluster, Size};

use crate::synod;

/// A version that nobody speaks yet.
const NEXT: &str = "application/vnd.synod.v2+postcard";
/// What a peer of that version calls itself.
const PEER: &str = "synod/9.9.9 (acceptor-9)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_names_a_peer_of_another_version_and_reads_nothing_of_it() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    for (name, method, path, status) in [
        ("acceptor-1", "GET", "/v1/watermarks", 406),
        ("acceptor-1", "GET", "/v1/votes?from=0", 406),
        ("acceptor-2", "POST", "/v1/prepare", 415),
        ("acceptor-3", "POST", "/v1/accept", 415),
        ("acceptor-3", "PUT", "/v1/members/acceptor-9", 415),
        ("coordinator-1", "POST", "/v1/heartbeats", 415),
        ("coordinator-1", "GET", "/v1/chosen?from=0&wait_ms=0", 406),
        ("coordinator-2", "POST", "/v1/proposals", 415),
        ("replica-1", "GET", "/v1/replication/log?from=0", 406),
        ("replica-2", "POST", "/v1/replication/commands", 415),
    ] {
        let asked = format!("{method} {name}{path}");
        let request =
            cluster.http().request(method.parse()?, format!("{}{path}", cluster.url(name)));
        let request = request.header("user-agent", PEER);
        let request = match status {
            415 => request.header("content-type", NEXT).body("\0\0\0\0"),
            _ => request.header("accept", NEXT),
        };
        let response = request.send().await?;
        ensure!(response.status() == status, "{asked}: {}", response.status());
        let spoken = response.headers().get("accept").context("no Accept")?.to_str()?.to_owned();
        ensure!(spoken == "application/vnd.synod.v1+postcard, application/json", "{spoken}");
        let problem: Value = serde_json::from_slice(&response.bytes().await?)?;
        ensure!(problem["type"] == "urn:synod:problem:other-version", "{asked}: {problem}");
        let detail = problem["detail"].as_str().context("no detail")?;
        ensure!(detail.contains("version 1") && detail.contains("version 2"), "{detail}");

        let status = cluster.json(name, "/v1/status").await?;
        let others = serde_json::json!([{"peer": PEER, "version": 2}]);
        ensure!(status["other_versions"] == others, "{asked}: {status}");
        let ready = cluster.http().get(format!("{}/readyz?verbose", cluster.url(name))).send();
        let ready = ready.await?.text().await?;
        ensure!(ready.contains(&format!("{PEER} speaks 2")), "{asked}: {ready}");
    }
    cluster.wait_until_whole().await
}
