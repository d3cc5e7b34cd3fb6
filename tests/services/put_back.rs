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

fn stop_all(cluster: &mut Cluster) -> Result<()> {
    for name in cluster.all() {
        cluster.service(&name).terminate(STOPPING)?;
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
    stop_all(&mut cluster)?;
    let copies = cluster.dir().join("copies");
    for name in with_folders(&cluster) {
        copy_folder(&cluster.data_dir(&name), &copies.join(&name))?;
    }
    cluster.heal()?;
    write(&cluster, 3..8).await?;
    cluster.wait_until_equal().await?;
    stop_all(&mut cluster)?;
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
    for name in cluster.all().into_iter().filter(|name| name != ODD) {
        cluster.service(&name).start()?;
    }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_says_that_acceptors_have_lost_votes() -> Result<()> {
    let mut cluster = put_back().await?;
    for name in cluster.names("acceptor") {
        cluster.service(&name).start()?;
    }
    cluster.service(ODD).start()?;
    says_why_it_ended(&mut cluster, "acceptors have lost votes")
}
