//! No secret is left lying about: neither in what services write nor in what they tell.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, RequestBuilder};
use tests::harness::cluster::{PATIENCE, eventually};

use crate::access::{DOORS, Guarded, rule};

/// Every file below a folder that has a text in it.
pub(crate) fn files_with(folder: &Path, text: &[u8], found: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files_with(&path, text, found)?;
        } else if has(&std::fs::read(&path)?, text) {
            found.push(path.display().to_string());
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_anything_that_any_service_wrote_or_told() -> Result<()> {
    let env = [("RUST_LOG", "debug"), ("SYNOD_ACCESS_LOG", "true")];
    let guarded = Guarded::with(&env).await?;
    let all = rule("", &["read", "write", "list", "watch", "lock", "history"]);
    guarded.settled("balancer-1", Method::PUT, "/v1/policies/all", &all).await?;
    let (_, secret) = guarded.token(&["all"]).await?;
    let mut told = Vec::new();
    for door in DOORS {
        for secret in [&secret, &guarded.root, &secret.replace("synod_", "synod_wrong")] {
            for path in ["/v1/kv/a", "/v1/kv", "/v1/tokens", "/v1/log", "/v1/tokens/self"] {
                hear(guarded.ask(door, Method::GET, path, secret), &mut told).await?;
            }
            let put = guarded.ask(door, Method::PUT, "/v1/kv/a", secret).body("1");
            hear(put, &mut told).await?;
        }
        told_to_who_may_all(&guarded, door, &mut told).await.context(door)?;
    }
    for service in guarded.cluster.all() {
        for path in ["/metrics", "/v1/status", "/readyz?verbose"] {
            hear(guarded.ask(&service, Method::GET, path, &guarded.root), &mut told).await?;
        }
    }
    // What a token is made of stands behind its prefix.
    for secret in [&secret, &guarded.root].map(|secret| secret.trim_start_matches("synod_")) {
        ensure!(!has(&told, secret.as_bytes()), "a secret was told");
        let mut found = Vec::new();
        files_with(guarded.cluster.dir(), secret.as_bytes(), &mut found)?;
        ensure!(found.is_empty(), "a secret is in {found:?}");
    }
    Ok(())
}

fn has(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|part| part == text)
}

/// Asks, and adds the whole answer to what was told; says what the answer is and its trace.
async fn hear(asked: RequestBuilder, told: &mut Vec<u8>) -> Result<(Vec<u8>, String)> {
    let answer = asked.send().await?;
    told.extend(format!("{:?}", answer.headers()).into_bytes());
    let trace = answer.headers().get("trace-id").context("no trace")?.to_str()?.to_owned();
    let body = answer.bytes().await?.to_vec();
    told.extend(&body);
    Ok((body, trace))
}

/// What is for those alone who may everything: all rows by SQL, the whole state as a file,
/// events, and the spans of a write.
async fn told_to_who_may_all(guarded: &Guarded, door: &str, told: &mut Vec<u8>) -> Result<()> {
    let ask = |method, path: &str| guarded.ask(door, method, path, &guarded.root);
    let (body, _) = hear(ask(Method::GET, "/v1/snapshot"), told).await?;
    ensure!(body.starts_with(b"SQLite format 3\0"), "no snapshot");
    for view in ["kv", "history", "leases", "locks", "log"] {
        let sql = format!("SELECT * FROM {view}");
        let (body, _) = hear(ask(Method::POST, "/v1/sql").body(sql), told).await?;
        ensure!(has(&body, b"\"rows\""), "{view}: {}", String::from_utf8_lossy(&body));
    }
    let mut events = ask(Method::GET, "/v1/events?held=true").send().await?;
    let mut heard = Vec::new();
    while !has(&heard, b"event: ") {
        let next = tokio::time::timeout(PATIENCE, events.chunk()).await.context("no event")?;
        heard.extend(next?.context("the events ended")?);
    }
    told.extend(heard);
    let heard = eventually("the spans of a write are told", async || {
        let put = ask(Method::PUT, "/v1/kv/traced").body("1").header("traceparent", sampled());
        let mut heard = Vec::new();
        let (_, trace) = hear(put, &mut heard).await?;
        let path = format!("/v1/spans?trace={trace}&of=cluster");
        let (body, _) = hear(ask(Method::GET, &path), &mut heard).await?;
        ensure!(has(&body, b"replica.put"), "{}", String::from_utf8_lossy(&body));
        Ok(heard)
    });
    told.extend(heard.await?);
    Ok(())
}

/// The parent of a trace that is recorded.
fn sampled() -> String {
    format!("00-{:032x}-{:016x}-01", rand::random::<u128>(), rand::random::<u64>())
}
