//! A few keys that are overwritten for ever: every service's disk stays under a bound, at all
//! times.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::StatusCode;
use tests::harness::cluster::{Cluster, Options, Size};
use tests::harness::disk::folder_bytes;

use crate::synod;

const KEYS: u64 = 50;
const VALUE_BYTES: u64 = 16 << 10;
const WRITERS: u64 = 8;
/// So much of history is kept, …
const RETAINED_BYTES: u64 = 1 << 20;
/// … and so many slots; acceptors have segments of a mebibyte, …
const RETAINED_SLOTS: &str = "64";
const SEGMENT_BYTES: u64 = 1 << 20;
/// … and vote for nothing more while they keep so much.
const VOTES_MIB: u64 = 48;

/// A version with its share of indexes and of the log.
const VERSION_BYTES: u64 = VALUE_BYTES + 1_024;
/// What a replica keeps in the database beside what there is: history, revisions that are not
/// weighed yet and those that come while a compaction is under way, and free pages.
const DATABASE_BYTES: u64 =
    3 * KEYS * VERSION_BYTES + RETAINED_BYTES / 16 * 17 + 2 * 256 * VERSION_BYTES + (4 << 20);
/// A WAL is made to start over at 24 MiB, and grows on until nobody reads what it has.
const WAL_BYTES: u64 = 48 << 20;

/// The most that a service of this kind may have.
fn most_bytes(name: &str) -> u64 {
    match name.split('-').next() {
        Some("replica") => DATABASE_BYTES + WAL_BYTES,
        Some("acceptor") => (VOTES_MIB << 20) + 4 * SEGMENT_BYTES,
        _ => 64 << 10,
    }
}

/// The largest that each service's folder was.
type Largest = BTreeMap<String, u64>;

fn look(folders: &[(String, PathBuf)], largest: &mut Largest) -> Result<()> {
    for (name, folder) in folders {
        let (bytes, most) = (folder_bytes(folder)?, most_bytes(name));
        let seen = largest.entry(name.clone()).or_default();
        *seen = bytes.max(*seen);
        ensure!(bytes <= most, "{name} has {bytes} bytes, and {most} are the most");
    }
    Ok(())
}

/// Overwrites the keys in turns until so many bytes are written, and looks at the disks all the
/// time.
async fn overwrite(cluster: &Cluster, bytes: u64) -> Result<Largest> {
    let (next, writes) = (AtomicU64::new(0), bytes / VALUE_BYTES);
    let write = |_| async {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= writes {
                return Ok(());
            }
            let url = format!("{}/v1/kv/k/{}", cluster.front(), number % KEYS);
            let mut value = number.to_string().into_bytes();
            value.resize(usize::try_from(VALUE_BYTES)?, b'v');
            let answer = cluster.http().put(url).body(value).send().await?;
            ensure!(answer.status().is_success(), "{}", answer.text().await?);
        }
    };
    let writing = futures::future::try_join_all((0..WRITERS).map(write));
    let folders: Vec<_> =
        cluster.all().into_iter().map(|name| (name.clone(), cluster.data_dir(&name))).collect();
    let mut largest = Largest::new();
    let looking = async {
        loop {
            if let Err(error) = look(&folders, &mut largest) {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        written = writing => written.map(drop)?,
        error = looking => return Err(error),
    }
    look(&folders, &mut largest)?;
    Ok(largest)
}

async fn stays_small(size: Size, bytes: u64) -> Result<()> {
    let (retained, votes) = (RETAINED_BYTES.to_string(), VOTES_MIB.to_string());
    let env = [
        ("SYNOD_RETAIN_REVISIONS", "0"),
        ("SYNOD_RETAIN_BYTES", retained.as_str()),
        ("SYNOD_RETAIN_LOG", RETAINED_SLOTS),
        ("SYNOD_SEGMENT_MIB", "1"),
        ("SYNOD_MAX_VOTES_MIB", votes.as_str()),
    ];
    let options = Options { size, env: &env, ..Options::default() };
    let cluster = Cluster::start_with(synod(), &options).await?;
    let largest = overwrite(&cluster, bytes).await.with_context(|| cluster.last_words())?;
    println!("{} MiB were written, and the largest folders had {largest:?} bytes", bytes >> 20);
    cluster.wait_until_equal().await?;
    for name in cluster.names("replica") {
        keeps_what_there_is(&cluster, &name, bytes / VALUE_BYTES).await.context(name)?;
    }
    Ok(())
}

/// Every key has a value that was written last, the newest history is there, and the oldest is
/// not.
async fn keeps_what_there_is(cluster: &Cluster, replica: &str, writes: u64) -> Result<()> {
    let status = cluster.json(replica, "/v1/status").await?;
    let compacted = status["compacted_below"].as_u64().context("it says what is dropped")?;
    ensure!(compacted > writes - writes / 10, "{compacted} of {writes}");
    let read = |path: String| cluster.http().get(format!("{}{path}", cluster.url(replica))).send();
    for key in 0..KEYS {
        let value = read(format!("/v1/kv/k/{key}")).await?.text().await?;
        let number: u64 = value.trim_end_matches('v').parse()?;
        ensure!(number % KEYS == key && number + 2 * KEYS > writes, "{key}: {number} of {writes}");
        let kept = read(format!("/v1/kv/k/{key}?revision={}", writes - 2 * WRITERS)).await?;
        ensure!(kept.status() == StatusCode::OK, "{key}: {}", kept.text().await?);
    }
    let gone = read("/v1/kv/k/0?revision=100".to_owned()).await?;
    ensure!(gone.status() == StatusCode::GONE, "{}", gone.text().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_times_what_is_kept_of_history_leaves_every_disk_small() -> Result<()> {
    stays_small(Size::default(), 100 * RETAINED_BYTES).await
}

/// A hundred times what any of the disks may have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn a_hundred_times_what_a_disk_may_have_leaves_every_disk_small() -> Result<()> {
    let size = Size { replicas: 2, ..Size::default() };
    stays_small(size, 100 * (DATABASE_BYTES + WAL_BYTES)).await
}
