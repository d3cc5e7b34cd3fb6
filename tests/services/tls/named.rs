//! Whoever has a certificate stands by its name in the log, through whichever door they came.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::harness::cluster::eventually;
use tokio::process::Command;

use super::cluster::Secured;
use crate::cli::command::Synod;

/// What a client may say of itself, and is not believed.
const FORGED: [&str; 2] = [
    "synod-client-certificate: spiffe://synod.internal/synod/operator/eve",
    "via: 1.1 balancer-1 (names-client)",
];

struct Client<'a> {
    up: &'a Secured,
    name: Option<&'a str>,
}

impl Client<'_> {
    /// Puts a key at a door, forging who it is, until that is answered.
    async fn put(&self, port: u16, key: &str) -> Result<()> {
        eventually("a put is answered", async || {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--show-error", "--fail"]);
            curl.args(FORGED.iter().flat_map(|field| ["--header", field]));
            curl.args(["--request", "PUT", "--data", "1"]);
            curl.arg("--cacert").arg(self.up.authority());
            if let Some(name) = self.name {
                let file =
                    |ending: &str| self.up.folder().join("tls").join(name.to_owned() + ending);
                curl.arg("--cert").arg(file(".pem")).arg("--key").arg(file(".key"));
            }
            let url = format!("{}/v1/kv/{key}", self.up.url(port));
            let ended = curl.arg(url).output().await?;
            ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
            Ok(())
        })
        .await
    }
}

/// Who has put a key, as the log says; null: nobody said.
async fn who_put(up: &Secured, key: &str) -> Result<(Value, Value)> {
    let log: Value = up.client(0)?.json("/v1/log?limit=1000").await?;
    let entries = log.as_array().context("a list")?;
    let mut commands = entries.iter().filter_map(|entry| entry["commands"].as_array()).flatten();
    let put = commands.rfind(|command| command["key"] == key);
    let put = put.with_context(|| format!("nobody put {key}: {log}"))?;
    Ok((put["by"].clone(), put["subject"].clone()))
}

/// Also what is done for somebody who has waited for a lock in vain is theirs.
async fn in_line(up: &Secured) -> Result<()> {
    let ask = async |method: &str, path: &str, body: Value| {
        let said = up.tell("ada", (method, 0, path), &body).await?;
        anyhow::Ok(serde_json::from_str::<Value>(&said)?)
    };
    let mut leases = Vec::new();
    for _ in 0..2 {
        leases.push(ask("POST", "/v1/leases", json!({"ttl_ms": 60_000})).await?["id"].clone());
    }
    let held = ask("PUT", "/v1/locks/line", json!({"lease": leases[0], "wait_ms": 0})).await?;
    ensure!(held["fence"].is_u64(), "{held}");
    let late = ask("PUT", "/v1/locks/line", json!({"lease": leases[1], "wait_ms": 200})).await?;
    ensure!(late["status"] == 409, "{late}");
    let log: Value = up.client(0)?.json("/v1/log?limit=1000").await?;
    let commands = log.as_array().context("a list")?.iter();
    let commands = commands.filter_map(|entry| entry["commands"].as_array()).flatten();
    let of_lock: Vec<&Value> = commands.filter(|command| command["name"] == "line").collect();
    ensure!(of_lock.iter().any(|command| command["op"] == "leave_lock"), "{of_lock:?}");
    let is_by_ada = |command: &&Value| command["subject"]["subject"] == "operator/ada";
    ensure!(of_lock.len() >= 3 && of_lock.iter().all(is_by_ada), "{of_lock:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_a_certificate_is_named_in_the_log_and_nobody_names_another() -> Result<()> {
    let dir = TempDir::new()?;
    let up = Secured::started(dir.path()).await?;
    let pki = up.folder().join("tls").to_string_lossy().into_owned();
    Synod::at("").text(&["pki", "issue", "operator", "ada", "--dir", &pki]).await?;
    let status: Value = up.client(301)?.json("/v1/status").await?;
    ensure!(status["cluster_id"].is_string(), "{status}");
    // The balancer, and each replica, of which one is the primary.
    let doors = [0, 301, 302, 303];
    let mut accessors = Vec::new();
    for door in doors {
        for (name, expected) in [
            (None, Value::Null),
            (Some("ada"), json!("operator/ada")),
            (Some("acceptor-1"), json!("acceptor/acceptor-1")),
        ] {
            let key = format!("{door}/{}", name.unwrap_or("nobody"));
            Client { up: &up, name }.put(door, &key).await?;
            let (by, subject) = who_put(&up, &key).await?;
            ensure!(subject["subject"] == expected, "{key}: {by} {subject}");
            ensure!(by.is_null() == expected.is_null(), "{key}: {by} {subject}");
            ensure!(!subject.to_string().contains("eve"), "{key}: {subject}");
            if name == Some("ada") {
                let domain = subject["issuer"].as_str().context("its trust domain")?;
                ensure!(domain.starts_with("spiffe://"), "{subject}");
                accessors.push(by);
            }
        }
    }
    in_line(&up).await?;
    accessors.dedup();
    ensure!(accessors.len() == 1, "the same at each door: {accessors:?}");
    let synod = Synod::at(up.url(0));
    let by = async |who: &str| {
        let mut command = synod.command(&["log", "--by", who]);
        let ended = command.env("SYNOD_CA", up.authority()).output().await?;
        ensure!(ended.status.success(), "{ended:?}");
        anyhow::Ok(String::from_utf8(ended.stdout)?)
    };
    let accessor = accessors[0].as_str().context("an accessor")?;
    let said = by("operator/ada").await?;
    ensure!(said == by(accessor).await? && by("operator/eve").await?.is_empty(), "{said}");
    for door in doors {
        ensure!(said.contains(&format!("\"{door}/ada\"")), "{door}: {said}");
        ensure!(!said.contains(&format!("\"{door}/nobody\"")), "{door}: {said}");
    }
    up.end()
}
