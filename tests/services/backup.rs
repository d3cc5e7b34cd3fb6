//! The whole way of a backup: fetched through the balancer while writes go on, restored into
//! a new folder, and a new cluster that goes on from there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::harness::cluster::{Cluster, PATIENCE, Size, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::synod;

/// The exit code of what starting again will not help.
const MISCONFIGURED: i32 = 78;
const STOPPING: Duration = Duration::from_secs(20);
/// A lease far longer than the test, and what it may lose of that meanwhile.
const TTL_MS: u64 = 600_000;
const LOST_MS: u64 = 120_000;

async fn run(url: &str, args: &[&str]) -> Result<Output> {
    let command = Command::new(synod()).args(args).env("SYNOD_URL", url).output();
    Ok(tokio::time::timeout(PATIENCE, command).await.context("it does not end")??)
}

async fn succeed(url: &str, args: &[&str]) -> Result<Value> {
    let output = run(url, &[args, &["--output", "json"]].concat()).await?;
    ensure!(output.status.success(), "{args:?}: {output:?}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

async fn put(cluster: &Cluster, key: &str, body: impl Into<reqwest::Body>) -> Result<u64> {
    let url = format!("{}/v1/kv/{key}", cluster.front());
    let answer = cluster.http().put(url).body(body).send().await?.error_for_status()?;
    Ok(answer.headers()["synod-revision"].to_str()?.parse()?)
}

async fn post(cluster: &Cluster, path: &str, body: Value) -> Result<Value> {
    let url = format!("{}{path}", cluster.front());
    let request = cluster.http().post(url).header("content-type", "application/json");
    let answer = request.body(body.to_string()).send().await?.error_for_status()?;
    Ok(serde_json::from_slice(&answer.bytes().await?)?)
}

/// All keys as of a revision, as a replica shows them.
async fn items(cluster: &Cluster, name: &str, revision: u64) -> Result<Value> {
    let items = cluster.json(name, &format!("/v1/kv?limit=1000&revision={revision}")).await?;
    Ok(items["items"].clone())
}

/// Something of everything that there is. Says the revision, and the lease.
async fn fill(cluster: &Cluster) -> Result<(u64, u64)> {
    for key in 0..30 {
        put(cluster, &format!("k/{key}"), "one").await?;
    }
    for key in 0..10 {
        put(cluster, &format!("k/{key}"), "two").await?;
    }
    let moved =
        json!({"then": [{"put": {"key": "t/a", "value": "1"}}, {"delete": {"key": "k/29"}}]});
    post(cluster, "/v1/txn", moved).await?;
    let lease = post(cluster, "/v1/leases", json!({"ttl_ms": TTL_MS})).await?;
    let lease = lease["id"].as_u64().context("a lease has an id")?;
    let url = format!("{}/v1/kv/leased?lease={lease}", cluster.front());
    cluster.http().put(url).body("held").send().await?.error_for_status()?;
    let url = format!("{}/v1/kv?prefix=k/1", cluster.front());
    cluster.http().delete(url).send().await?.error_for_status()?;
    Ok((put(cluster, "last", "of these").await?, lease))
}

/// Writes until it is aborted.
fn write_on(cluster: &Cluster) -> JoinHandle<()> {
    let (http, url) = (cluster.http().clone(), format!("{}/v1/kv/on/", cluster.front()));
    tokio::spawn(async move {
        for n in 0_u64.. {
            let put = http.put(format!("{url}{}", n % 50)).body(n.to_string());
            drop(put.send().await);
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_backed_up_while_it_writes_and_a_new_one_goes_on_from_there() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let (filled, lease) = fill(&cluster).await?;
    let file = cluster.dir().join("backup");
    let file = file.to_str().context("a path is UTF-8")?;
    let writer = write_on(&cluster);
    let url = format!("{}/v1/kv/on/20", cluster.front());
    eventually("writes go on", || async {
        cluster.http().get(&url).send().await?.error_for_status()?;
        Ok(())
    })
    .await?;
    let report = succeed(cluster.front(), &["backup", file]).await?;
    writer.abort();
    let revision = report["revision"].as_u64().context("a report has a revision")?;
    ensure!(revision >= filled, "{report} is older than revision {filled}");

    let past = [1, 15, filled / 2, filled, revision];
    let mut expected = Vec::new();
    for at in past {
        expected.push(items(&cluster, "replica-2", at).await?);
    }
    let log = cluster.json("replica-2", "/v1/log?limit=20").await?;
    let old = cluster.json("replica-2", "/v1/cluster").await?["cluster_id"].clone();
    for name in cluster.all() {
        cluster.service(&name).terminate(STOPPING)?;
    }

    let (data, aside) = (cluster.dir().join("data"), cluster.dir().join("old"));
    let dir = data.to_str().context("a path is UTF-8")?;
    let refused = run("", &["restore", file, "--data-dir", dir]).await?;
    let says = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(1) && says.contains("in an empty folder"), "{says}");
    succeed("", &["verify", file]).await?;
    fs::rename(&data, &aside)?;
    succeed("", &["restore", file, "--data-dir", dir]).await?;
    let verified = run("", &["verify", dir, "--execute"]).await?;
    ensure!(verified.status.success(), "{verified:?}");

    for name in cluster.all() {
        cluster.service(&name).start()?;
    }
    cluster.wait_until_whole().await?;
    for (at, expected) in past.into_iter().zip(&expected) {
        for name in cluster.names("replica") {
            let found = items(&cluster, &name, at).await?;
            ensure!(found == *expected, "{name} at {at}: {found} and not {expected}");
        }
    }
    let found = cluster.json("replica-3", "/v1/log?limit=20").await?;
    ensure!(found == log, "{found} and not {log}");
    let kept = cluster.json("balancer-1", &format!("/v1/leases/{lease}")).await?;
    let left = kept["remaining_ms"].as_u64().context("a lease has time left")?;
    ensure!((TTL_MS - LOST_MS..=TTL_MS).contains(&left), "{kept}");
    let next = put(&cluster, "first", "of the new cluster").await?;
    ensure!(next > revision, "the next revision is {next}, after {revision}");
    let new = cluster.json("replica-2", "/v1/cluster").await?["cluster_id"].clone();
    ensure!(new.is_string() && new != old, "{new} and {old}");
    an_old_service_is_refused(&mut cluster, &aside).await
}

/// A replica of the cluster that was backed up ends at the acceptors of the new one.
async fn an_old_service_is_refused(cluster: &mut Cluster, aside: &Path) -> Result<()> {
    cluster.service("replica-3").terminate(STOPPING)?;
    let folder = cluster.data_dir("replica-3");
    fs::rename(&folder, folder.with_extension("new"))?;
    fs::rename(aside.join("replica-3"), &folder)?;
    cluster.service("replica-3").start()?;
    let ended = cluster.service("replica-3").wait(PATIENCE)?;
    let output = cluster.service("replica-3").output()?;
    ensure!(ended.code() == Some(MISCONFIGURED), "{ended}: {output}");
    ensure!(output.contains("the data directory is of cluster"), "{output}");
    put(cluster, "second", "goes on without it").await?;
    Ok(())
}

/// What becomes of a connection that is passed on.
#[derive(Clone, Copy)]
enum Fate {
    /// It is cut after so many bytes of answers.
    Cut(usize),
    /// All is passed on.
    Whole,
}

/// Passes one connection after another on, as long as there is a fate for it.
async fn passing(
    to: String,
    fates: impl IntoIterator<Item = Fate, IntoIter: Send> + Send + 'static,
) -> Result<(String, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let serving = tokio::spawn(async move {
        for fate in fates {
            let Ok((client, _)) = listener.accept().await else { return };
            let Ok(server) = TcpStream::connect(&to).await else { return };
            let most = match fate {
                Fate::Cut(bytes) => bytes,
                Fate::Whole => usize::MAX,
            };
            tokio::spawn(pass(client, server, most));
        }
    });
    Ok((url, serving))
}

async fn pass(client: TcpStream, server: TcpStream, most: usize) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = tokio::spawn(async move {
        drop(tokio::io::copy(&mut from_client, &mut to_server).await);
    });
    let (mut left, mut piece) = (most, vec![0; 16 << 10]);
    while left > 0 {
        let Ok(read @ 1..) = from_server.read(&mut piece).await else { break };
        let passed = read.min(left);
        if to_client.write_all(&piece[..passed]).await.is_err() {
            break;
        }
        left -= passed;
    }
    asking.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_cut_off_goes_on_where_it_was() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    for key in 0..8 {
        put(&cluster, &format!("large/{key}"), vec![b'x'; 1 << 20]).await?;
    }
    let front = cluster.front().trim_start_matches("http://").to_owned();
    let file: PathBuf = cluster.dir().join("backup");
    let path = file.to_str().context("a path is UTF-8")?;

    // One command goes on by itself, whichever replica the balancer asks next.
    let fates = [Fate::Cut(1 << 20), Fate::Cut(3 << 20)];
    let fates = fates.into_iter().chain(std::iter::repeat(Fate::Whole));
    let (url, proxy) = passing(front.clone(), fates).await?;
    let report = succeed(&url, &["backup", path]).await?;
    proxy.abort();
    ensure!(report["bytes"].as_u64() == Some(fs::metadata(&file)?.len()), "{report}");
    succeed("", &["verify", path]).await?;

    // And a second command with what one left behind that gave up.
    let (url, _proxy) = passing(front, [Fate::Cut(2 << 20)]).await?;
    let gave_up = run(&url, &["backup", path, "--force", "--timeout-seconds", "1"]).await?;
    ensure!(gave_up.status.code() == Some(5), "{gave_up:?}");
    let part = fs::metadata(cluster.dir().join("backup.part"))?.len();
    ensure!((1 << 20..2 << 20).contains(&part), "{part} bytes have come");
    let report = succeed(cluster.front(), &["backup", path, "--force"]).await?;
    ensure!(report["resumed_after"] == part, "{report}");
    succeed("", &["verify", path]).await?;
    ensure!(!cluster.dir().join("backup.part").exists(), "the part is left");
    ensure!(!cluster.dir().join("backup.part.json").exists(), "what it was of is left");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rots_in_a_stopped_cluster_is_named_with_its_file() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    for key in 0..40 {
        put(&cluster, &format!("k/{key}"), vec![b'x'; 9_000]).await?;
    }
    let data = cluster.dir().join("data");
    let dir = data.to_str().context("a path is UTF-8")?.to_owned();
    let in_use = run("", &["verify", &dir]).await?;
    let says = String::from_utf8_lossy(&in_use.stderr).into_owned();
    ensure!(
        in_use.status.code() == Some(1) && says.contains("in use by another process"),
        "{says}"
    );
    cluster.wait_until_equal().await?;
    for name in cluster.all() {
        cluster.service(&name).terminate(STOPPING)?;
    }
    let whole = run("", &["verify", &dir]).await?;
    ensure!(whole.status.success(), "{whole:?}");
    for file in ["acceptor-2/log/00000000000000000001.segment", "replica-3/state.sqlite"] {
        let path = data.join(file);
        let before = fs::read(&path)?;
        let mut rotten = before.clone();
        // In a page that holds nothing but a part of a value.
        let value = before.windows(4_000).position(|bytes| bytes.iter().all(|byte| *byte == b'x'));
        rotten[value.context("there is a value")? + 2_000] ^= 1;
        fs::write(&path, &rotten)?;
        let found = run("", &["verify", &dir]).await?;
        let says = String::from_utf8_lossy(&found.stdout).into_owned();
        let service = file.split('/').next().context("a path has a beginning")?;
        let named = says.lines().filter(|line| line.contains("\tfault\t"));
        let named: Vec<&str> = named.collect();
        ensure!(found.status.code() == Some(1) && !named.is_empty(), "{says}");
        ensure!(named.iter().all(|line| line.contains(service)), "{says}");
        ensure!(fs::read(&path)? == rotten, "{file} was changed");
        fs::write(&path, &before)?;
    }
    Ok(())
}
