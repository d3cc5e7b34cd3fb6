//! History that is dropped, by a client and by the primary itself: the same at every door, and
//! the disks stay small.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tests::harness::cluster::{Cluster, Options, Size, eventually};
use tests::harness::disk::folder_bytes;
use tests::harness::events::Events;

use crate::synod;

const JSON: (&str, &str) = ("content-type", "application/json");
const END: Duration = Duration::from_secs(20);

/// Sends a request; again for as long as the answer is to come back later.
async fn call(
    cluster: &Cluster,
    (method, door, path): (Method, &str, &str),
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<(StatusCode, http::HeaderMap, Value)> {
    let (status, headers, said) = cluster.call((method, door, path), headers, body).await?;
    Ok((status, headers, serde_json::from_str(&said).unwrap_or(Value::String(said))))
}

fn doors(cluster: &Cluster) -> Vec<String> {
    let mut doors = vec!["balancer-1".to_owned()];
    doors.extend(cluster.names("replica"));
    doors
}

async fn put(cluster: &Cluster, key: &str, value: &str) -> Result<u64> {
    let path = format!("/v1/kv/{key}");
    let (_, _, said) =
        call(cluster, (Method::PUT, "balancer-1", &path), &[], value.as_bytes()).await?;
    said["revision"].as_u64().with_context(|| said.to_string())
}

async fn compact(cluster: &Cluster, door: &str, revision: u64) -> Result<Value> {
    let body = json!({"revision": revision}).to_string();
    let asked = (Method::POST, door, "/v1/compact");
    let (status, headers, said) = call(cluster, asked, &[JSON], body.as_bytes()).await?;
    ensure!(status == StatusCode::OK, "{status}: {said}");
    ensure!(headers["synod-revision"] == said["revision"].to_string().as_str(), "{said}");
    Ok(said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_drops_is_gone_at_every_door_and_the_rest_is_there() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    bad_input_is_refused(&cluster).await?;
    for door in doors(&cluster) {
        drops(&cluster, &door).await.with_context(|| format!("dropping at {door}"))?;
    }
    once(&cluster).await?;
    Ok(())
}

async fn drops(cluster: &Cluster, at: &str) -> Result<()> {
    let key = format!("of/{at}");
    let first = put(cluster, &key, "one").await?;
    let second = put(cluster, &key, "two").await?;
    let third = put(cluster, &key, "three").await?;
    let said = compact(cluster, at, second).await?;
    ensure!(said == json!({"revision": third, "compacted_below": second}), "{said}");
    let said = compact(cluster, at, first).await?;
    ensure!(said["compacted_below"] == second, "it never goes back: {said}");
    for door in doors(cluster) {
        gone(cluster, &door, &key, (first, second)).await.with_context(|| format!("at {door}"))?;
    }
    for replica in cluster.names("replica") {
        let status = cluster.json(&replica, "/v1/status").await?;
        ensure!(status["compacted_below"] == second, "{status}");
    }
    Ok(())
}

/// Nothing can be read at the revision before, and everything at the oldest and after it.
async fn gone(cluster: &Cluster, door: &str, key: &str, (below, oldest): (u64, u64)) -> Result<()> {
    let refused = |(status, _, said): (StatusCode, http::HeaderMap, Value)| {
        ensure!(status == StatusCode::GONE && said["oldest_revision"] == oldest, "{status} {said}");
        Ok(())
    };
    let read =
        |path: String| async move { call(cluster, (Method::GET, door, &path), &[], b"").await };
    refused(read(format!("/v1/kv/{key}?revision={below}")).await?)?;
    refused(read(format!("/v1/kv?prefix={key}&revision={below}")).await?)?;
    refused(read(format!("/v1/diff?from={below}&to={oldest}")).await?)?;
    refused(read(format!("/v1/watch?key={key}&from={}", below + 1)).await?)?;
    let seen = below.to_string();
    let asked = (Method::GET, door, &*format!("/v1/watch?key={key}"));
    refused(call(cluster, asked, &[("last-event-id", &seen)], b"").await?)?;
    let body = json!({"prefix": key, "revision": below}).to_string();
    let asked = (Method::POST, door, "/v1/rollback");
    refused(call(cluster, asked, &[JSON], body.as_bytes()).await?)?;
    let asked = (Method::POST, door, "/v1/rollback?dry_run=true");
    refused(call(cluster, asked, &[JSON], body.as_bytes()).await?)?;
    let body = json!({"sql": "SELECT * FROM kv", "revision": below}).to_string();
    refused(call(cluster, (Method::POST, door, "/v1/sql"), &[JSON], body.as_bytes()).await?)?;

    let (status, _, said) = read(format!("/v1/kv/{key}?revision={oldest}")).await?;
    ensure!(status == StatusCode::OK && said == "two", "{status} {said}");
    let (_, _, said) =
        read(format!("/v1/diff?from={oldest}&to={}&prefix={key}", oldest + 1)).await?;
    let changes = &said["changes"];
    ensure!(changes[0]["before"]["value"] == "two" && changes[0]["after"]["value"] == "three");
    let url = format!("{}/v1/watch?key={key}", cluster.url(door));
    let mut events = Events::open(cluster.http(), &url, Some(oldest)).await?;
    let event = events.next().await?.context("the watch ended")?;
    ensure!(event.data["value"] == "three", "{event:?}");
    Ok(())
}

async fn once(cluster: &Cluster) -> Result<()> {
    let revision = put(cluster, "once", "").await?;
    let headers = [JSON, ("idempotency-key", "drop")];
    let asked = || (Method::POST, "balancer-1", "/v1/compact");
    let body = json!({"revision": revision}).to_string();
    let (_, _, first) = call(cluster, asked(), &headers, body.as_bytes()).await?;
    put(cluster, "once", "").await?;
    let (status, replayed, again) = call(cluster, asked(), &headers, body.as_bytes()).await?;
    ensure!(status == StatusCode::OK && again == first, "{again}, not {first}");
    ensure!(replayed.contains_key("idempotency-replayed"), "{replayed:?}");
    let body = json!({"revision": revision + 1}).to_string();
    let (status, _, said) = call(cluster, asked(), &headers, body.as_bytes()).await?;
    ensure!(status == StatusCode::UNPROCESSABLE_ENTITY, "{status}: {said}");
    Ok(())
}

async fn bad_input_is_refused(cluster: &Cluster) -> Result<()> {
    let path = "/v1/compact";
    let match_any = ("if-match", "*");
    type Bad<'a> = (Method, &'a str, Vec<(&'a str, &'a str)>, &'a [u8], u16, &'a str);
    let table: [Bad<'_>; 12] = [
        (Method::GET, path, vec![], b"", 405, "GET"),
        (Method::POST, path, vec![("content-type", "text/plain")], b"1", 415, "application/json"),
        (Method::POST, path, vec![JSON], b"", 400, "EOF"),
        (Method::POST, path, vec![JSON], b"{}", 400, "revision"),
        (Method::POST, path, vec![JSON], br#"{"revision":-1}"#, 400, "-1"),
        (Method::POST, path, vec![JSON], br#"{"revision":"1"}"#, 400, "\\\"1\\\""),
        (Method::POST, path, vec![JSON], br#"{"revision":1,"keys":2}"#, 400, "keys"),
        (Method::POST, path, vec![JSON], b"[1]", 400, "object"),
        (Method::POST, path, vec![JSON], br#"{"revision":999999}"#, 400, "future"),
        (
            Method::POST,
            "/v1/compact?dry_run=true",
            vec![JSON],
            br#"{"revision":1}"#,
            400,
            "dry_run",
        ),
        (Method::POST, path, vec![JSON, match_any], br#"{"revision":1}"#, 400, "history"),
        (Method::POST, path, vec![JSON], &[b' '; 5_000], 413, "4096"),
    ];
    for (method, path, headers, body, expected, named) in table {
        let asked = (method, "balancer-1", path);
        let (status, _, said) = call(cluster, asked, &headers, body).await?;
        let about = String::from_utf8_lossy(body);
        ensure!(status == expected && said.to_string().contains(named), "{about}: {status} {said}");
        ensure!(expected == 405 || said["outcome"] == "not_applied", "{about}: {said}");
    }
    let status = cluster.json("replica-1", "/v1/status").await?;
    ensure!(status["compacted_below"] == 0, "{status}");
    Ok(())
}

/// So many revisions are kept, …
const RETAINED: u64 = 50;
/// … and so many slots of the log below what all have, a hundredth of what is written, …
const RETAINED_SLOTS: u64 = 16;
/// … and looked for what is not to be every so often.
const LOOKED: Duration = Duration::from_secs(5);
const KEYS: u64 = 50;
const VALUE_BYTES: u64 = 65_536;
const WRITERS: u64 = 4;
const PAUSE: Duration = Duration::from_millis(50);
const WRITES: u64 = 1_600;
/// What a version takes, with its share of the log, of indexes and of free pages.
const VERSION_BYTES: u64 = VALUE_BYTES + 2_048;
/// What there may be at most: what is kept, what is written between two looks and while that
/// is swept, and the pages that a replica keeps for what comes next.
const MOST_BYTES: u64 =
    (RETAINED + 2 * WRITERS * LOOKED.as_secs() * 1_000 / PAUSE.as_millis() as u64) * VERSION_BYTES
        + (8 << 20);

fn file_bytes(folder: &Path) -> Result<u64> {
    Ok(fs::metadata(folder.join("state.sqlite"))?.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn a_few_keys_that_are_overwritten_for_ever_take_bounded_space() -> Result<()> {
    const { assert!(WRITES * VALUE_BYTES > 3 * MOST_BYTES / 2, "it would not fit unless it is dropped") };
    let (retained, slots) = (RETAINED.to_string(), RETAINED_SLOTS.to_string());
    let env = [("SYNOD_RETAIN_REVISIONS", retained.as_str()), ("SYNOD_RETAIN_LOG", slots.as_str())];
    let mut cluster =
        Cluster::start_with(synod(), &Options { env: &env, ..Options::default() }).await?;
    let seen = put(&cluster, "k/0", "first").await?;
    let write = |writer: u64| {
        let (http, front) = (cluster.http().clone(), cluster.front().to_owned());
        async move {
            for number in 0..WRITES / WRITERS {
                let url = format!("{front}/v1/kv/k/{}", (writer + number * WRITERS) % KEYS);
                let mut value = number.to_string().into_bytes();
                value.resize(usize::try_from(VALUE_BYTES)?, b'v');
                let answer = http.put(url).body(value).send().await?;
                ensure!(answer.status().is_success(), "{}", answer.text().await?);
                tokio::time::sleep(PAUSE).await;
            }
            Ok(())
        }
    };
    let writers = futures::future::try_join_all((0..WRITERS).map(write));
    let folders: Vec<_> =
        cluster.names("replica").iter().map(|name| cluster.data_dir(name)).collect();
    let looking = async {
        let mut largest = 0;
        loop {
            for folder in &folders {
                largest = largest.max(file_bytes(folder)?);
            }
            ensure!(largest <= MOST_BYTES, "{largest} bytes, and {MOST_BYTES} are the most");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        written = writers => written.map(drop)?,
        looked = looking => return looked,
    }
    let url = format!("{}/v1/watch?prefix=k/", cluster.front());
    let resumed = cluster.http().get(url).header("last-event-id", seen).send().await?;
    ensure!(resumed.status() == StatusCode::GONE, "{}", resumed.status());
    let said: Value = serde_json::from_str(&resumed.text().await?)?;
    ensure!(said["oldest_revision"].as_u64() > Some(seen), "{said}");
    cluster.wait_until_equal().await?;
    keeps_few_slots(&cluster).await?;
    for name in cluster.names("acceptor") {
        let bytes = folder_bytes(&cluster.data_dir(&name))?;
        ensure!(bytes <= MOST_BYTES, "{name} has {bytes} bytes, and {MOST_BYTES} are the most");
    }
    holds_what_it_says(&mut cluster).await
}

/// The primary was told how old history may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn history_is_dropped_by_its_age_and_what_there_is_stays() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[("SYNOD_RETAIN", "2s")]).await?;
    put(&cluster, "kept", "as it was").await?;
    let first = put(&cluster, "often", "0").await?;
    let doors = doors(&cluster);
    eventually("it is dropped at every door", || async {
        put(&cluster, "often", "again").await?;
        for door in &doors {
            let path = format!("/v1/kv/often?revision={first}");
            let (status, _, said) = call(&cluster, (Method::GET, door, &path), &[], b"").await?;
            ensure!(status == StatusCode::GONE, "{door}: {status} {said}");
        }
        Ok(())
    })
    .await?;
    let last = put(&cluster, "often", "last").await?;
    for door in &doors {
        let path = format!("/v1/kv/often?revision={last}");
        let (status, _, said) = call(&cluster, (Method::GET, door, &path), &[], b"").await?;
        ensure!(status == StatusCode::OK && said == "last", "{door}: {status} {said}");
        let (_, _, said) = call(&cluster, (Method::GET, door, "/v1/kv/kept"), &[], b"").await?;
        ensure!(said == "as it was", "{door}: {said}");
    }
    Ok(())
}

/// Once all that was written is durable everywhere, and was looked at.
async fn keeps_few_slots(cluster: &Cluster) -> Result<()> {
    const MOST_SLOTS: u64 = RETAINED_SLOTS + RETAINED_SLOTS / 16 + 1;
    for name in cluster.names("replica") {
        eventually("it keeps so many slots and no more", || async {
            let status = cluster.json(&name, "/v1/status").await?;
            let executed_below = status["executed_below"].as_u64().context("no slots")?;
            let log = cluster.json(&name, "/v1/log?limit=1").await?;
            let oldest = log[0]["slot"].as_u64().with_context(|| format!("no log: {log}"))?;
            let slots = executed_below - oldest;
            ensure!(slots >= RETAINED_SLOTS, "{name} has only {slots} slots");
            ensure!(slots <= MOST_SLOTS, "{name} has {slots} slots of {executed_below}: {status}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Each replica's state is whole on disk, and all are the same once they are swept.
async fn holds_what_it_says(cluster: &mut Cluster) -> Result<()> {
    let mut digests = Vec::new();
    let names = cluster.names("replica");
    // Nothing more is chosen, and all execute what was.
    for name in cluster.names("coordinator") {
        cluster.service(&name).terminate(END)?;
    }
    eventually("all have executed the same", || async {
        let mut executed = BTreeSet::new();
        for name in &names {
            let status = cluster.json(name, "/v1/status").await?;
            executed.insert(status["learned_below"].as_u64());
            executed.insert(status["executed_below"].as_u64());
        }
        ensure!(executed.len() == 1, "{executed:?}");
        Ok(())
    })
    .await?;
    for name in &names {
        cluster.service(name).terminate(END)?;
    }
    for name in names {
        let folder = cluster.data_dir(&name);
        let audit = replica::store::audit(&folder).await?.context("it has a state")?;
        ensure!(audit.faults.is_empty(), "{name}: {:?}", audit.faults);
        let found = replica::store::inspect(&folder, &name.parse()?).await?.context("a state")?;
        digests.push((found.meta, found.digest));
    }
    let is_same = digests.windows(2).all(|pair| pair[0] == pair[1]);
    ensure!(is_same, "{digests:?}");
    Ok(())
}
