//! Whether all replicas have made the same of the log: `synod verify --cluster` while clients
//! write, a replica whose state is another one, and what becomes of it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tests::harness::cluster::{Cluster, Options, PATIENCE, Size, eventually};

use crate::cli::command::Synod;
use crate::switch_over::{Load, Refused};
use crate::synod;

/// The exit code of what starting again will not help.
const MISCONFIGURED: i32 = 78;
/// Not all replicas have the same state.
const DIVERGED: i32 = 10;
const UNAVAILABLE: i32 = 5;
const STOPPING: Duration = Duration::from_secs(20);
const ODD: &str = "replica-2";

/// Clients that write while this lives.
fn writing(cluster: &Cluster) -> Load {
    Load::start(cluster.front(), "busy", Refused::AskAgain)
}

fn verdicts(check: &Value) -> Vec<(&str, &str)> {
    let replicas = check["replicas"].as_array().map(Vec::as_slice).unwrap_or_default();
    replicas
        .iter()
        .map(|replica| {
            let field = |name: &str| replica[name].as_str().unwrap_or_default();
            (field("replica"), field("verdict"))
        })
        .collect()
}

async fn put(cluster: &Cluster, key: &str, value: &str) -> Result<()> {
    let url = format!("{}/v1/kv/{key}", cluster.front());
    eventually("a write is acknowledged", || async {
        let status = cluster.http().put(&url).body(value.to_owned()).send().await?.status();
        ensure!(status.is_success(), "{status}");
        Ok(())
    })
    .await
}

/// Gives a key another value in the state of a replica that is stopped, with the checksum that
/// goes with it: as a defect of executing would have done it.
async fn change(dir: &Path, key: &str, value: &str) -> Result<()> {
    let options = SqliteConnectOptions::new().filename(dir.join(replica::store::FILE));
    let mut connection: SqliteConnection = options.connect().await?;
    let sql = "SELECT id, revision, created_revision, version, content_type FROM versions \
        WHERE key = ?";
    let row = sqlx::query(sql).bind(key.as_bytes()).fetch_optional(&mut connection).await?;
    let row = row.with_context(|| format!("{key} is not there"))?;
    let mut head = blake3::Hasher::new();
    head.update(&(key.len() as u64).to_le_bytes()).update(key.as_bytes());
    for number in [row.get::<i64, _>(1), row.get(2), row.get(3), 0] {
        head.update(&number.to_le_bytes());
    }
    let head = head.finalize().as_bytes()[..8].to_vec();
    let mut whole = blake3::Hasher::new();
    whole.update(&head);
    for field in [row.get::<Option<String>, _>(4).map(String::into_bytes), Some(value.into())] {
        whole.update(&[u8::from(field.is_some())]);
        let bytes = field.unwrap_or_default();
        whole.update(&(bytes.len() as u64).to_le_bytes()).update(&bytes);
    }
    let sums = [head, whole.finalize().as_bytes()[..8].to_vec()].concat();
    let changed = sqlx::query("UPDATE versions SET value = ?, sum = ? WHERE id = ?")
        .bind(value.as_bytes())
        .bind(sums)
        .bind(row.get::<i64, _>(0))
        .execute(&mut connection)
        .await?;
    ensure!(changed.rows_affected() == 1, "{key} is not there once");
    connection.close().await?;
    Ok(())
}

/// Waits until a replica has stored this value of the key.
async fn holds(cluster: &Cluster, name: &str, value: &str) -> Result<()> {
    eventually("a replica has stored it", || async {
        let held = cluster.contents(name, "colour").await?;
        ensure!(held.get("colour").map(String::as_str) == Some(value), "{held:?}");
        Ok(())
    })
    .await
}

/// Stops a replica, gives a key another value there, and starts it again.
async fn spoil(cluster: &mut Cluster, name: &str) -> Result<()> {
    holds(cluster, name, "red").await?;
    cluster.service(name).terminate(STOPPING)?;
    change(&cluster.data_dir(name), "colour", "green").await?;
    cluster.service(name).start()
}

fn ended(cluster: &mut Cluster, name: &str, words: &[&str]) -> Result<()> {
    let ended = cluster.service(name).wait(PATIENCE)?;
    ensure!(ended.code() == Some(MISCONFIGURED), "{name} ended with {ended}");
    let output = cluster.service(name).output()?;
    for words in words {
        ensure!(output.contains(words), "{words:?} is not said: {output}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn replicas_are_compared_while_clients_write_and_the_odd_one_ends_for_good() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let synod = Synod::at(cluster.front());
    put(&cluster, "colour", "red").await?;
    let idle = synod.json(&["verify", "--cluster"]).await?;
    ensure!(idle[0]["verdict"] == "agree", "{idle:?}");
    let load = writing(&cluster);
    for _ in 0..3 {
        let check = &synod.json(&["verify", "--cluster"]).await?[0];
        let all = cluster.names("replica");
        let agree: Vec<_> = all.iter().map(|name| (name.as_str(), "agrees")).collect();
        ensure!(verdicts(check) == agree && check["verdict"] == "agree", "{check}");
        let digests = check["replicas"].as_array().context("a list")?;
        ensure!(digests.iter().all(|one| one["digest"] == digests[0]["digest"]), "{check}");
    }
    load.finish().await?;

    // Even as primary, which compares and finds out by itself.
    spoil(&mut cluster, ODD).await?;
    cluster.wait_until_whole().await?;
    holds(&cluster, ODD, "green").await?;
    eventually("its coordinator knows that it is back", || async {
        synod.text(&["primary", ODD]).await.map(drop)
    })
    .await?;
    let load = writing(&cluster);
    let found = synod.run(&["verify", "--cluster", "--output", "json"]).await?;
    let found = found.with(DIVERGED, "empty data directory")?;
    let check: Value = serde_json::from_slice(&found.stdout)?;
    let expected = [("replica-1", "agrees"), (ODD, "odd"), ("replica-3", "agrees")];
    ensure!(verdicts(&check) == expected && check["verdict"] == "diverged", "{check}");
    let detail = "differs from replica-1 and replica-3 in keys";
    ensure!(check["replicas"][1]["detail"] == detail, "{check}");
    ended(&mut cluster, ODD, &[detail, "start this replica on an empty one"])?;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        let colour = synod.text(&["get", "colour"]).await?;
        ensure!(colour == "red", "the balancer answers {colour:?}");
    }
    load.finish().await?;

    // It is in the view still, and nothing is known of it.
    let rest = synod.run(&["verify", "--cluster"]).await?.with(UNAVAILABLE, "synod status")?;
    let rest = String::from_utf8(rest.stdout)?;
    ensure!(rest.contains(&format!("{ODD}\tnot compared\t")), "{rest}");

    // Not even a start brings it back, until it has no data any more.
    cluster.service(ODD).start()?;
    ended(&mut cluster, ODD, &[detail])?;
    let dir = cluster.data_dir(ODD).display().to_string();
    let on_disk = synod.run(&["verify", &dir]).await?.with(1, "")?;
    ensure!(String::from_utf8(on_disk.stdout)?.contains(detail));
    std::fs::remove_dir_all(cluster.data_dir(ODD))?;
    cluster.service(ODD).start()?;
    cluster.wait_until_whole().await?;
    eventually("all have the same again", || async {
        let check = synod.run(&["verify", "--cluster"]).await?;
        ensure!(check.code == 0, "{check:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_compares_every_so_often_and_has_the_odd_one_look_by_itself() -> Result<()> {
    let env = [("SYNOD_VERIFY_EVERY", "500ms")];
    let options = Options { env: &env, ..Options::default() };
    let mut cluster = Cluster::start_with(synod(), &options).await?;
    let synod = Synod::at(cluster.front());
    put(&cluster, "colour", "red").await?;
    if cluster.primary().await? == ODD {
        synod.text(&["primary", "replica-1"]).await?;
    }
    spoil(&mut cluster, ODD).await?;
    ended(&mut cluster, ODD, &["in keys"])?;
    let primary = cluster.primary().await?;
    let metrics = cluster.http().get(format!("{}/metrics", cluster.url(&primary)));
    let metrics = metrics.send().await?.text().await?;
    ensure!(metrics.contains("\nsynod_replica_state_diverged 1\n"), "{metrics}");
    let held = format!("{}/v1/events?held=true", cluster.url(&primary));
    let mut events = cluster.http().get(held).header("accept", "text/event-stream").send().await?;
    let mut told = String::new();
    while !(told.contains("\"what\":\"state\"") && told.contains("in keys")) {
        let piece = events.chunk().await?.with_context(|| format!("it ended: {told}"))?;
        told.push_str(&String::from_utf8_lossy(&piece));
    }
    drop(events);
    ensure!(synod.text(&["get", "colour"]).await? == "red");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_ends_a_replica_by_saying_that_it_is_odd() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let synod = Synod::at(cluster.front());
    put(&cluster, "colour", "red").await?;
    let check = &synod.json(&["verify", "--cluster"]).await?[0];
    let seen = check["executed_below"].as_u64().context("a slot")?;
    let id = cluster.json(ODD, "/v1/status").await?["cluster_id"].clone();
    let other = serde_json::json!("00000000000000aa");
    for (cluster_id, below, answer) in [
        (&id, seen, "\"looks\""),
        (&id, seen + 1_000, "\"unknown\""),
        (&other, seen, "cluster 00000000000000aa"),
    ] {
        let suspicion = serde_json::json!({"cluster": cluster_id, "below": below});
        let url = format!("{}/v1/replication/suspicions", cluster.url(ODD));
        let told = cluster.http().post(url).header("content-type", "application/json");
        let told = told.body(suspicion.to_string()).send().await?;
        let said = told.text().await?;
        ensure!(said.contains(answer), "{said}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    eventually("all are there, and have the same", || async {
        let check = synod.json(&["verify", "--cluster"]).await?;
        ensure!(check[0]["verdict"] == "agree", "{check:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_replicas_neither_is_odd_and_both_go_on() -> Result<()> {
    let size = Size { replicas: 2, ..Size::default() };
    let mut cluster = Cluster::start(synod(), size, &[]).await?;
    let synod = Synod::at(cluster.front());
    put(&cluster, "colour", "red").await?;
    let primary = cluster.primary().await?;
    let backup = cluster.names("replica").into_iter().find(|name| *name != primary);
    let backup = backup.context("a backup")?;
    spoil(&mut cluster, &backup).await?;
    cluster.wait_until_whole().await?;
    let found =
        synod.run(&["verify", "--cluster"]).await?.with(DIVERGED, "no state has a majority")?;
    let found = String::from_utf8(found.stdout)?;
    ensure!(found.lines().all(|line| line.contains("\tdiffers\t")), "{found}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    for name in [&primary, &backup] {
        ensure!(cluster.json(name, "/v1/status").await?["id"] == name.as_str());
    }
    Ok(())
}
