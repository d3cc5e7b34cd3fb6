//! Transactions over HTTP, as a user of curl meets them, through the balancer and at every
//! replica.

use anyhow::{Result, ensure};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tests::harness::cluster::{Cluster, Size, eventually};

use crate::synod;

/// Sends a transaction with these headers.
async fn send(
    cluster: &Cluster,
    door: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Result<Response> {
    let mut request = cluster.http().post(format!("{}/v1/txn", cluster.url(door))).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Ok(request.send().await?)
}

/// What a transaction is answered that is executed; sent again for as long as that is for
/// want of a primary, or of the format that has transactions.
async fn execute(cluster: &Cluster, door: &str, txn: &Value) -> Result<Value> {
    eventually("the transaction is executed", async || {
        let headers = [("content-type", "application/json")];
        let response = send(cluster, door, &headers, txn.to_string()).await?;
        let status = response.status();
        let revision = response.headers().get("synod-revision").cloned();
        let said = response.text().await?;
        ensure!(status == StatusCode::OK, "{status}: {said}");
        let said: Value = serde_json::from_str(&said)?;
        let revision: u64 = revision.expect("on every response").to_str()?.parse()?;
        ensure!(said["revision"] == revision, "{said} at revision {revision}");
        Ok(said)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_is_one_step_at_the_balancer_and_at_every_replica() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let mut doors = vec!["balancer-1".to_owned()];
    doors.extend(cluster.names("replica"));
    for door in &doors {
        one_step(&cluster, door).await?;
        exactly_once(&cluster, door).await?;
        refusals(&cluster, door).await?;
    }
    Ok(())
}

async fn one_step(cluster: &Cluster, door: &str) -> Result<()> {
    let key = |name: &str| format!("{door}/{name}");
    let create = json!({
        "if": [{"key": key("a"), "exists": false}],
        "then": [
            {"put": {"key": key("a"), "value": "1", "content_type": "text/plain"}},
            {"put": {"key": key("b"), "value": "/wA=", "encoding": "base64"}},
            {"get": {"key": key("a")}},
        ],
        "else": [{"get": {"prefix": key(""), "limit": 1}}],
    });
    let said = execute(cluster, door, &create).await?;
    let revision = said["revision"].as_u64().unwrap_or_default();
    let item = json!({
        "key": key("a"), "value": "1", "encoding": "utf8", "content_type": "text/plain",
        "revision": revision, "created_revision": revision, "version": 1, "lease": null,
    });
    let put = |name: &str| json!({"key": key(name), "revision": revision, "created_revision": revision, "version": 1});
    let results = json!([put("a"), put("b"), item]);
    let expected = json!({"succeeded": true, "revision": revision, "results": results});
    ensure!(said == expected, "{said}");

    let again = execute(cluster, door, &create).await?;
    let results = json!([{"items": [item], "more": true}]);
    ensure!(again["succeeded"] == false && again["results"] == results, "{again}");

    let change = json!({
        "if": [
            {"key": key("a"), "revision": {"eq": revision}},
            {"key": key("a"), "version": {"lt": 2}},
            {"key": key("b"), "value": {"eq": "/wA="}, "encoding": "base64"},
            {"key": key("none"), "value": {"ne": ""}},
        ],
        "then": [
            {"put": {"key": key("c"), "value": "3"}},
            {"delete": {"prefix": key("")}},
            {"put": {"key": key("a"), "value": "2"}},
            {"delete": {"key": key("b")}},
            {"get": {"key": key("b")}},
        ],
    });
    let said = execute(cluster, door, &change).await?;
    let at = said["revision"].as_u64().unwrap_or_default();
    let written = |name: &str| json!({"key": key(name), "revision": at, "created_revision": at, "version": 1});
    let deleted = |deleted: u64| json!({"deleted": deleted, "revision": at});
    let results = json!([written("c"), deleted(3), written("a"), deleted(0), null]);
    ensure!(said["succeeded"] == true && said["results"] == results && at > revision, "{said}");
    Ok(())
}

async fn exactly_once(cluster: &Cluster, door: &str) -> Result<()> {
    let key = format!("{door}/once");
    let txn = json!({"then": [
        {"get": {"key": key}},
        {"put": {"key": key, "value": "1"}},
        {"get": {"key": key}},
    ]});
    let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
    let first = send(cluster, door, &headers, txn.to_string()).await?;
    ensure!(first.status() == StatusCode::OK, "{first:?}");
    let first: Value = first.json().await?;
    for _ in 0..2 {
        let again = send(cluster, door, &headers, txn.to_string()).await?;
        ensure!(again.headers().contains_key("idempotency-replayed"), "{again:?}");
        let again: Value = again.json().await?;
        ensure!(again == first, "{again} instead of {first}");
    }
    let other = send(cluster, door, &headers, "{}".to_owned()).await?;
    ensure!(other.status() == StatusCode::UNPROCESSABLE_ENTITY, "{other:?}");
    Ok(())
}

async fn refusals(cluster: &Cluster, door: &str) -> Result<()> {
    let json_type = ("content-type", "application/json");
    let then = |op: Value| json!({"then": [op]}).to_string();
    let key = format!("{door}/refused");
    let good = then(json!({"put": {"key": key, "value": "1"}}));
    let long = "x".repeat(1_100_000);
    let many = json!({"then": vec![json!({"put": {"key": key, "value": ""}}); 129]}).to_string();
    let most = "x".repeat(1_048_000);
    for (headers, body, status, named) in [
        (vec![("content-type", "image/png")], good.clone(), 415, "application/json"),
        (vec![("content-type", "text/plain")], good.clone(), 415, "application/json"),
        (vec![json_type, ("if-match", "*")], good.clone(), 400, "If-Match"),
        (vec![json_type, ("content-encoding", "gzip")], good.clone(), 415, "Content-Encoding"),
        (vec![json_type, ("idempotency-key", "")], good.clone(), 400, "Idempotency-Key"),
        (vec![json_type, ("synod-fence", "a")], good.clone(), 400, "Synod-Fence"),
        (vec![json_type], format!("{good}x"), 400, "trailing"),
        (
            vec![json_type],
            then(json!({"put": {"key": key, "value": "", "lease": 1}})),
            404,
            "lease 1",
        ),
        (vec![json_type], then(json!({"put": {"key": "", "value": ""}})), 400, "the key is empty"),
        (vec![json_type], many, 400, "128 operations"),
        (vec![json_type], then(json!({"put": {"key": key, "value": long}})), 413, "1048576"),
    ] {
        let response = send(cluster, door, &headers, body).await?;
        let (said, of) = (response.status(), response.headers().get("content-type").cloned());
        let problem = response.text().await?;
        ensure!(said == status && problem.contains(named), "{said} for {status}: {problem}");
        ensure!(of.is_some_and(|of| of == "application/problem+json"), "{problem}");
        ensure!(problem.contains("\"not_applied\""), "{problem}");
    }
    let url = format!("{}/v1/txn", cluster.url(door));
    let wrong = cluster.http().get(&url).send().await?;
    let allowed = wrong.headers().get("allow").cloned();
    ensure!(wrong.status() == StatusCode::METHOD_NOT_ALLOWED, "{wrong:?}");
    ensure!(allowed.is_some_and(|allowed| allowed == "POST"), "{wrong:?}");
    let misspelt =
        cluster.http().post(format!("{url}?dry_run=true")).json(&json!({})).send().await?;
    ensure!(misspelt.status() == StatusCode::BAD_REQUEST, "{misspelt:?}");
    // Nothing of it has changed anything.
    let read = execute(cluster, door, &json!({"then": [{"get": {"key": key}}]})).await?;
    ensure!(read["results"] == json!([null]), "{read}");

    // What it reads, too, has a limit.
    let large = format!("{door}/large");
    let put = cluster.http().put(format!("{}/v1/kv/{large}", cluster.url(door))).body(most);
    ensure!(put.send().await?.status().is_success());
    let reads = json!({"then": vec![json!({"get": {"key": large}}); 2]}).to_string();
    let response = send(cluster, door, &[json_type], reads).await?;
    let (status, problem) = (response.status(), response.text().await?);
    ensure!(status == StatusCode::PAYLOAD_TOO_LARGE && problem.contains("gets"), "{problem}");
    Ok(())
}
