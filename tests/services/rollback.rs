//! Values that clients append to the log, and roll-backs, over HTTP: through the balancer
//! and at every replica, and while primaries are killed.

use anyhow::{Context, Result, ensure};
use futures::StreamExt as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::harness::cluster::{Cluster, Size};

use crate::synod;

/// Sends a request; again for as long as the answer is to come back later.
async fn call(
    cluster: &Cluster,
    (method, door, path): (Method, &str, &str),
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<(StatusCode, http::HeaderMap, Value)> {
    let (status, headers, said) = cluster.call((method, door, path), headers, body).await?;
    let said = serde_json::from_str(&said).with_context(|| said)?;
    Ok((status, headers, said))
}

const JSON: (&str, &str) = ("content-type", "application/json");

async fn put(cluster: &Cluster, door: &str, key: &str, value: &str) -> Result<u64> {
    let asked = (Method::PUT, door, &*format!("/v1/kv/{key}"));
    let (_, _, said) = call(cluster, asked, &[], value.as_bytes()).await?;
    said["revision"].as_u64().with_context(|| said.to_string())
}

async fn roll_back(cluster: &Cluster, door: &str, path: &str, asked: Value) -> Result<Value> {
    let body = asked.to_string();
    let asked = (Method::POST, door, path);
    let (status, headers, said) = call(cluster, asked, &[JSON], body.as_bytes()).await?;
    ensure!(status == StatusCode::OK, "{status}: {said}");
    ensure!(headers["synod-revision"] == said["revision"].to_string().as_str(), "{said}");
    Ok(said)
}

/// What every replica lists, at the same revision at least.
async fn lists(cluster: &Cluster, prefix: &str, revision: u64) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for replica in cluster.names("replica") {
        let path = format!("/v1/kv?prefix={prefix}&revision={revision}");
        let (_, _, said) = call(cluster, (Method::GET, &replica, &path), &[], b"").await?;
        all.push(said["items"].clone());
    }
    Ok(all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_appended_and_what_is_rolled_back_is_the_same_at_every_door() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let mut doors = vec!["balancer-1".to_owned()];
    doors.extend(cluster.names("replica"));
    for door in &doors {
        appends(&cluster, door).await.with_context(|| format!("appending at {door}"))?;
        rolls_back(&cluster, door).await.with_context(|| format!("rolling back at {door}"))?;
        watches(&cluster, door).await.with_context(|| format!("watching {door}"))?;
    }
    Ok(())
}

async fn appends(cluster: &Cluster, door: &str) -> Result<()> {
    let shown = |value: &str, encoding: &str, content_type: Value| json!({"op": "append", "value": value, "encoding": encoding, "content_type": content_type});
    for (body, headers, expected) in [
        (
            &b"hello"[..],
            &[("content-type", "text/plain")][..],
            shown("hello", "utf8", json!("text/plain")),
        ),
        (b"\x00\xff", &[], shown("AP8=", "base64", Value::Null)),
        (b"", &[], shown("", "utf8", Value::Null)),
    ] {
        let asked = (Method::POST, door, "/v1/log");
        let (status, headers, said) = call(cluster, asked, headers, body).await?;
        ensure!(status == StatusCode::CREATED, "{status}: {said}");
        ensure!(headers["synod-revision"] == said["revision"].to_string().as_str(), "{said}");
        let path = format!("/v1/log/{}", said["slot"]);
        ensure!(headers["location"] == path.as_str(), "{headers:?} of {said}");
        for door in cluster.names("replica") {
            let (_, _, slot) = call(cluster, (Method::GET, &door, &path), &[], b"").await?;
            let commands = slot["commands"].as_array().with_context(|| slot.to_string())?;
            let is_it = |command: &Value| {
                let fields = expected.as_object().expect("an object");
                fields.iter().all(|(name, value)| command[name] == *value)
            };
            ensure!(commands.iter().any(is_it), "{slot} of {expected}");
            ensure!(slot["revision"].as_u64() >= said["revision"].as_u64(), "{slot} of {said}");
        }
    }
    let once = format!("append-{door}");
    let headers = [("idempotency-key", once.as_str())];
    let asked = || (Method::POST, door, "/v1/log");
    let (_, _, first) = call(cluster, asked(), &headers, b"once").await?;
    let (status, replayed, again) = call(cluster, asked(), &headers, b"once").await?;
    ensure!(status == StatusCode::CREATED && again == first, "{again}, not {first}");
    ensure!(replayed.contains_key("idempotency-replayed"), "{replayed:?}");
    let (status, _, said) = call(cluster, asked(), &headers, b"twice").await?;
    ensure!(status == StatusCode::UNPROCESSABLE_ENTITY, "{status}: {said}");
    Ok(())
}

async fn rolls_back(cluster: &Cluster, door: &str) -> Result<()> {
    let prefix = format!("rolled/{door}/");
    let key = |name: &str| format!("{prefix}{name}");
    put(cluster, door, &key("changed"), "old").await?;
    put(cluster, door, &key("same"), "same").await?;
    let then = put(cluster, door, &key("gone"), "old").await?;
    put(cluster, door, &key("changed"), "new").await?;
    put(cluster, door, &key("new"), "new").await?;
    let gone = format!("/v1/kv/{}", key("gone"));
    call(cluster, (Method::DELETE, door, &gone), &[], b"").await?;
    let asked = json!({"prefix": prefix, "revision": then});
    let before = lists(cluster, &prefix, then).await?;

    let preview = roll_back(cluster, door, "/v1/rollback?dry_run=true", asked.clone()).await?;
    let change = |name: &str, change: &str| json!({"key": key(name), "change": change});
    let changes = json!([
        change("changed", "restored"),
        change("gone", "restored"),
        change("new", "deleted")
    ]);
    ensure!(preview["changes"] == changes, "{preview}");
    ensure!((&preview["restored"], &preview["deleted"]) == (&json!(2), &json!(1)), "{preview}");

    let said = roll_back(cluster, door, "/v1/rollback", asked.clone()).await?;
    let revision = said["revision"].as_u64().with_context(|| said.to_string())?;
    ensure!(said == json!({"revision": revision, "restored": 2, "deleted": 1}), "{said}");
    ensure!(Some(revision) > preview["revision"].as_u64(), "{said} after {preview}");
    let after = lists(cluster, &prefix, revision).await?;
    ensure!(after.iter().all(|items| *items == after[0]), "replicas differ: {after:?}");
    let contents = |items: &Value| -> Vec<(Value, Value)> {
        let items = items.as_array().into_iter().flatten();
        items.map(|item| (item["key"].clone(), item["value"].clone())).collect()
    };
    ensure!(contents(&after[0]) == contents(&before[0]), "{after:?}, not {before:?}");
    let again = roll_back(cluster, door, "/v1/rollback", asked).await?;
    ensure!(again["restored"] == 2, "what was written again is at another revision: {again}");
    let asked = json!({"prefix": prefix, "revision": again["revision"]});
    let nothing = roll_back(cluster, door, "/v1/rollback", asked).await?;
    ensure!((&nothing["restored"], &nothing["deleted"]) == (&json!(0), &json!(0)), "{nothing}");
    Ok(())
}

/// All changes of a roll-back come in one batch: only the last has its id.
async fn watches(cluster: &Cluster, door: &str) -> Result<()> {
    let prefix = format!("watched/{door}/");
    let then = put(cluster, door, &format!("{prefix}a"), "1").await?;
    put(cluster, door, &format!("{prefix}a"), "2").await?;
    let newest = put(cluster, door, &format!("{prefix}b"), "2").await?;
    let asked = json!({"prefix": prefix, "revision": then});
    let said = roll_back(cluster, door, "/v1/rollback", asked).await?;
    let url = format!("{}/v1/watch?prefix={prefix}&from={}", cluster.url(door), newest + 1);
    let request = cluster.http().get(url).header("accept", "application/x-ndjson");
    let mut body = request.send().await?.bytes_stream();
    let mut text = String::new();
    while text.lines().filter(|line| !line.contains("heartbeat")).count() < 2 {
        text.push_str(str::from_utf8(&body.next().await.context("the watch ended")??)?);
    }
    let events: Vec<Value> = text
        .lines()
        .filter(|line| !line.contains("heartbeat"))
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let (put, delete) = (&events[0], &events[1]);
    ensure!(put["event"] == "put" && put["data"]["value"] == "1" && put["id"].is_null(), "{put}");
    ensure!(delete["event"] == "delete" && delete["id"] == said["revision"], "{delete}");
    ensure!(put["data"]["revision"] == said["revision"], "{put} of {said}");
    Ok(())
}

/// Method, path, headers and body, the status of the refusal, and what it names.
type Case<'a> = (Method, &'a str, Vec<(&'a str, &'a str)>, &'a [u8], u16, &'a str);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_appended_or_rolled_back_is_refused_and_named() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let door = "balancer-1";
    let revision = put(&cluster, door, "k", "v").await?;
    let (log, rollback) = ("/v1/log", "/v1/rollback");
    let good = json!({"prefix": "k", "revision": 1}).to_string();
    let future = json!({"prefix": "k", "revision": revision + 1_000}).to_string();
    let long = json!({"prefix": "k".repeat(1_025), "revision": 1}).to_string();
    let large = vec![0; (1 << 20) + 1];
    let cases: Vec<Case<'_>> = vec![
        (Method::POST, log, vec![], &large, 413, "1048576"),
        (Method::POST, "/v1/log?x=1", vec![], b"", 400, "x"),
        (Method::POST, log, vec![("if-match", "*")], b"", 400, "If-Match"),
        (Method::POST, log, vec![("idempotency-key", "")], b"", 400, "Idempotency-Key"),
        (Method::POST, log, vec![("synod-timeout", "soon")], b"", 400, "Synod-Timeout"),
        (Method::POST, log, vec![("content-encoding", "gzip")], b"", 415, "Content-Encoding"),
        (Method::PUT, log, vec![], b"", 405, "PUT"),
        (Method::POST, "/v1/log/1", vec![], b"", 405, "POST"),
        (Method::GET, rollback, vec![], b"", 405, "GET"),
        (
            Method::POST,
            rollback,
            vec![("content-type", "image/png")],
            good.as_bytes(),
            415,
            "application/json",
        ),
        (
            Method::POST,
            rollback,
            vec![JSON, ("if-none-match", "*")],
            good.as_bytes(),
            400,
            "prefix",
        ),
        (Method::POST, rollback, vec![JSON], future.as_bytes(), 400, "yet to come"),
        (Method::POST, rollback, vec![JSON], long.as_bytes(), 400, "1025"),
        (Method::POST, rollback, vec![JSON], b"[\"k\",1]", 400, "object"),
        (Method::POST, rollback, vec![JSON], br#"{"prefix":"","revision":1}"#, 400, "all"),
        (Method::POST, rollback, vec![JSON], br#"{"prefix":"k","revision":-1}"#, 400, "-1"),
        (Method::POST, rollback, vec![JSON], br#"{"prefix":"k"}"#, 400, "revision"),
        (Method::POST, "/v1/rollback?dry_run=maybe", vec![JSON], good.as_bytes(), 400, "dry_run"),
        (
            Method::POST,
            "/v1/rollback?consistency=local",
            vec![JSON],
            good.as_bytes(),
            400,
            "consistency",
        ),
        (
            Method::POST,
            "/v1/rollback?dry_run=true",
            vec![JSON, ("idempotency-key", "k")],
            good.as_bytes(),
            400,
            "Idempotency-Key",
        ),
        (Method::POST, "/v1/rollback?dry_run=true", vec![JSON], future.as_bytes(), 400, "future"),
    ];
    for (method, path, headers, body, status, named) in cases {
        let asked = (method.clone(), door, path);
        let (found, answered, problem) = call(&cluster, asked, &headers, body).await?;
        ensure!(found == status, "{method} {path} {headers:?}: {found}: {problem}");
        ensure!(
            problem["detail"].as_str().unwrap_or_default().contains(named),
            "{path}: {problem}"
        );
        ensure!(found != 405 || answered.contains_key("allow"), "{path}: {answered:?}");
        ensure!(method == Method::GET || problem["outcome"] == "not_applied", "{path}: {problem}");
    }
    ensure!(put(&cluster, door, "k", "v").await? == revision + 1, "something was changed");
    Ok(())
}
