//! Queries in SQL, over HTTP: how they are asked and answered, and that whatever they ask
//! costs no more than it may.

use std::time::Duration;

use anyhow::{Result, ensure};
use reqwest::Response;
use serde_json::{Value, json};
use tests::harness::cluster::{Cluster, Options, Size};
use tokio::time::Instant;

use crate::synod;

/// More than a refused query may take on a busy machine.
const BOUNDED: Duration = Duration::from_secs(20);

async fn ask(cluster: &Cluster, content_type: &str, body: impl Into<String>) -> Result<Response> {
    let url = format!("{}/v1/sql", cluster.front());
    let request = cluster.http().post(url).header("content-type", content_type).body(body.into());
    Ok(request.send().await?)
}

/// Puts a key, and says the revision.
async fn put(cluster: &Cluster, key: &str, value: &str) -> Result<u64> {
    let url = format!("{}/v1/kv/{key}", cluster.front());
    let put = cluster.http().put(url).body(value.to_owned()).send().await?.error_for_status()?;
    Ok(put.headers()["synod-revision"].to_str()?.parse()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_answered_in_the_format_that_is_asked_for() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let first = put(&cluster, "q/a", "1").await?;
    put(&cluster, "q/b", "two, \"2\"").await?;
    let last = put(&cluster, "q/a", "one").await?;
    let query = "SELECT key, value, version FROM kv WHERE key LIKE 'q/%' ORDER BY key";
    for content_type in
        ["text/plain", "text/plain; charset=utf-8", "application/x-www-form-urlencoded"]
    {
        let answer = ask(&cluster, content_type, query).await?;
        ensure!(answer.headers()["synod-revision"] == *last.to_string(), "{answer:?}");
        let expected = json!({
            "columns": ["key", "value", "version"],
            "rows": [["q/a", "one", 2], ["q/b", "two, \"2\"", 1]],
            "revision": last,
        });
        let seen: Value = answer.error_for_status()?.json().await?;
        ensure!(seen == expected, "{content_type}: {seen}");
    }
    let past =
        json!({"sql": "SELECT value FROM kv WHERE key = ?", "params": ["q/a"], "revision": first});
    let seen: Value = ask(&cluster, "application/json", past.to_string()).await?.json().await?;
    ensure!(seen == json!({"columns": ["value"], "rows": [["1"]], "revision": first}), "{seen}");
    for (accept, expected) in [
        (
            "application/x-ndjson",
            "{\"key\":\"q/a\",\"value\":\"one\",\"version\":2}\n{\"key\":\"q/b\",\"value\":\"two, \\\"2\\\"\",\"version\":1}\n",
        ),
        ("text/csv", "key,value,version\nq/a,one,2\nq/b,\"two, \"\"2\"\"\",1\n"),
    ] {
        let url = format!("{}/v1/sql?consistency=local", cluster.url("replica-1"));
        let request = cluster.http().post(url).header("accept", accept).body(query);
        let answer = request.send().await?.error_for_status()?;
        ensure!(answer.headers()["content-type"] == accept, "{answer:?}");
        let seen = answer.text().await?;
        ensure!(seen == expected, "{accept}: {seen}");
    }
    let twice = "SELECT 1 AS a, 2 AS b, 3 AS b";
    for (accept, status, says) in [
        ("application/x-ndjson", 400, "two columns are called \\\"b\\\""),
        ("application/x-ndjson;q=0.5, application/json;q=0.6", 200, "[\"a\",\"b\",\"b\"]"),
        ("text/csv", 200, "a,b,b\n1,2,3"),
    ] {
        let url = format!("{}/v1/sql?consistency=local", cluster.url("replica-1"));
        let answer = cluster.http().post(url).header("accept", accept).body(twice).send().await?;
        let (seen, said) = (answer.status(), answer.text().await?);
        ensure!(seen == status && said.contains(says), "{accept}: {seen} {said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_is_malformed_or_hostile_is_refused_in_bounded_time() -> Result<()> {
    let env = [("SYNOD_MAX_SQL_MS", "2000"), ("SYNOD_MAX_SQL_MEMORY_BYTES", "67108864")];
    let cluster =
        Cluster::start_with(synod(), &Options { env: &env, ..Options::default() }).await?;
    put(&cluster, "k", "v").await?;
    let bomb = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) ";
    let text = |sql: &str| ("text/plain", sql.to_owned());
    let json = |body: Value| ("application/json", body.to_string());
    for ((content_type, body), status, names) in [
        (text(""), 400, "no statement"),
        (text("SELECT 1; SELECT 2"), 400, "more than one statement"),
        (text("SELEC 1"), 400, "syntax error"),
        (text("ATTACH 'x' AS x"), 400, "reads the views"),
        (text("PRAGMA user_version"), 400, "reads the views kv, history, leases, locks, log"),
        (text("SELECT load_extension('x')"), 400, "reads the views"),
        (text("SELECT * FROM meta"), 400, "reads the views"),
        (text("DELETE FROM kv"), 400, "is a view"),
        (text(&format!("{bomb} SELECT count(*) FROM n")), 504, "not done after 2s"),
        (text(&format!("{bomb} SELECT i FROM n")), 413, "10000 rows"),
        (
            text(&format!(
                "{bomb} SELECT group_concat(substr(x, 1, 1)) \
                 FROM (SELECT printf('%01000d', i) AS x FROM n ORDER BY x DESC)"
            )),
            413,
            "67108864 bytes of memory",
        ),
        (text("SELECT zeroblob(2000000000)"), 413, "bytes"),
        (text(&format!("SELECT '{}'", "x".repeat(70_000))), 413, "65536 bytes"),
        (json(json!({"sql": "SELECT ?"})), 400, "1 parameters"),
        (json(json!({"sql": "SELECT ?", "params": [[1]]})), 400, "parameter 1"),
        (json(json!({"sql": "SELECT 1", "revision": 99})), 400, "future"),
        (json(json!({"sql": "SELECT 1", "revision": -1})), 400, "expected JSON"),
        (json(json!({"sql": "SELECT 1", "at": 1})), 400, "unknown field `at`"),
        (json(json!({"params": []})), 400, "missing field `sql`"),
        (json(json!([1])), 400, "expected JSON"),
        (("application/xml", "<q/>".to_owned()), 415, "text/plain"),
    ] {
        let began = Instant::now();
        let answer = ask(&cluster, content_type, body.clone()).await?;
        let (seen, problem): (u16, Value) = (answer.status().as_u16(), answer.json().await?);
        let detail = problem["detail"].as_str().unwrap_or_default();
        let body: String = body.chars().take(90).collect();
        ensure!(seen == status && detail.contains(names), "{body}: {seen} {problem}");
        ensure!(began.elapsed() < BOUNDED, "{body}: {:?}", began.elapsed());
    }
    let get = cluster.http().get(format!("{}/v1/sql", cluster.front())).send().await?;
    ensure!((get.status().as_u16(), &get.headers()["allow"]) == (405, &"POST".parse()?), "{get:?}");
    let odd =
        cluster.http().post(format!("{}/v1/sql?revision=1", cluster.front())).body("SELECT 1");
    ensure!(odd.send().await?.status() == 400, "an unknown parameter");
    let seen: Value =
        ask(&cluster, "text/plain", "SELECT value FROM kv WHERE key = 'k'").await?.json().await?;
    ensure!(seen["rows"] == json!([["v"]]), "{seen}");
    Ok(())
}
