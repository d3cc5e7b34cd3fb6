//! Folders put back from an older copy, but for one replica's: its history is another one
//! then, and it must not answer from it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::harness::cluster::{Cluster, PATIENCE, Size, eventually};

use crate::synod;

/// The exit code of what starting again will not help.
const MISCONFIGURED: i32 = 78;
const STOPPING: Duration = Duration::from_secs(20);
const ODD: &str = "replica-1";

async fn write(cluster: &Cluster, keys: impl Iterator<Item = u32>) -> Result<()> {
    for key in keys {
        let url = format!("{}/v1/kv/k{key}", cluster.front());
        eventually("a write is acknowledged", || async {
            let status = cluster.http().put(&url).body("v").send().await?.status();
            ensure!(status.is_success(), "{status}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

fn start(cluster: &mut Cluster, which: impl Fn(&str) -> bool) -> Result<()> {
    cluster
        .all()
        .iter()
        .filter(|name| which(name))
        .try_for_each(|name| cluster.service(name).start())
}

fn stop(cluster: &mut Cluster, which: impl Fn(&str) -> bool) -> Result<()> {
    for name in cluster.all().iter().filter(|name| which(name)) {
        cluster.service(name).terminate(STOPPING)?;
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

fn with_folders(cluster: &Cluster) -> Vec<String> {
    [cluster.names("acceptor"), cluster.names("replica")].concat()
}

/// Three keys, a copy of everything, five more; then all but the odd replica is put back.
async fn put_back() -> Result<Cluster> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    write(&cluster, 0..3).await?;
    cluster.wait_until_equal().await?;
    stop(&mut cluster, |_| true)?;
    let copies = cluster.dir().join("copies");
    for name in with_folders(&cluster) {
        copy_folder(&cluster.data_dir(&name), &copies.join(&name))?;
    }
    cluster.heal()?;
    write(&cluster, 3..8).await?;
    cluster.wait_until_equal().await?;
    stop(&mut cluster, |_| true)?;
    for name in with_folders(&cluster).into_iter().filter(|name| name != ODD) {
        let folder = cluster.data_dir(&name);
        std::fs::remove_dir_all(&folder)?;
        copy_folder(&copies.join(&name), &folder)?;
    }
    Ok(cluster)
}

fn says_why_it_ended(cluster: &mut Cluster, words: &str) -> Result<()> {
    let ended = cluster.service(ODD).wait(PATIENCE)?;
    ensure!(ended.code() == Some(MISCONFIGURED), "{ODD} ended with {ended}");
    let output = cluster.service(ODD).output()?;
    ensure!(output.contains(words), "{words:?} is not said: {output}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn a_replica_with_another_history_ends_and_answers_nothing_from_it() -> Result<()> {
    let mut cluster = put_back().await?;
    start(&mut cluster, |name| name != ODD)?;
    write(&cluster, 100..110).await?;
    cluster.service(ODD).start()?;
    let (url, key) = (cluster.url(ODD).to_owned(), "/v1/kv/k109");
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(5) {
        let odd = cluster.http().get(format!("{url}{key}")).timeout(Duration::from_secs(1));
        if let Ok(response) = odd.send().await {
            ensure!(response.status().is_server_error(), "{ODD} answers {}", response.status());
        }
        let through = cluster.http().get(format!("{}{key}", cluster.front())).send().await?;
        ensure!(through.status() == 200, "the balancer answers {}", through.status());
    }
    says_why_it_ended(&mut cluster, "two histories")?;
    let value = cluster.contents("replica-2", "k109").await?;
    ensure!(value.get("k109").context("it is still there")? == "v");
    Ok(())
}

/// Whoever has another history answers nothing, for so long.
async fn answers_nothing(cluster: &Cluster, keys: &[&str], length: Duration) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < length {
        for key in keys {
            let url = format!("{}/v1/kv/{key}", cluster.url(ODD));
            let asked = cluster.http().get(url).timeout(Duration::from_secs(1));
            if let Ok(response) = asked.send().await {
                let status = response.status();
                ensure!(status.is_server_error(), "{ODD} answers {status} to a read of {key}");
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_with_another_history_answers_nothing_from_it_though_it_is_there_first()
-> Result<()> {
    let mut cluster = put_back().await?;
    start(&mut cluster, |name| name != ODD)?;
    write(&cluster, 100..110).await?;
    stop(&mut cluster, |name| name != ODD)?;
    let is_other = |name: &str| name.starts_with("replica") && name != ODD;
    start(&mut cluster, |name| !is_other(name))?;
    // It has waited in vain for others to compare its log with by then.
    answers_nothing(&cluster, &["k7", "k109"], Duration::from_secs(6)).await?;
    start(&mut cluster, is_other)?;
    says_why_it_ended(&mut cluster, "two histories")?;
    write(&cluster, 110..112).await?;
    for replica in cluster.names("replica").into_iter().filter(|name| is_other(name)) {
        let values =
            eventually(&format!("{replica} is current"), || cluster.contents(&replica, "k"))
                .await?;
        ensure!(values.get("k109").is_some_and(|value| value == "v"), "{replica}: {values:?}");
        ensure!(!values.contains_key("k7"), "{replica} has what was lost: {values:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_says_that_acceptors_have_lost_votes() -> Result<()> {
    let mut cluster = put_back().await?;
    start(&mut cluster, |name| name.starts_with("acceptor") || name == ODD)?;
    says_why_it_ended(&mut cluster, "acceptors have lost votes")
}
