//! A rolling upgrade: one process after another ends and comes back as another program,
//! under load. What clients heard is held against the log, no acknowledged write is lost,
//! and no request fails but where the one process that could answer it is away: the only
//! balancer; or a primary of an old program, which may not hand over before it ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tests::harness::cluster::{Cluster, Size, eventually};
use tests::harness::mix::{Mix, Shape, Vocabulary};
use tests::harness::recorder::{Ask, Recorder};
use tests::harness::skip::{UPGRADE_MUST_RUN, skipped_unless};
use tests::harness::verify::verify;
use tests::operations::{Guard, Outcome};
use tokio::task::JoinSet;

use crate::synod;

/// Names the old program: of the oldest commit whose processes may run beside ours.
const OLD_BINARY: &str = "SYNOD_OLD_BINARY";

/// Clients that only write, by the balancer, and wait as long as the API's default.
const WRITERS: usize = 4;
const PATIENT: Duration = Duration::from_secs(10);
/// After a write that failed.
const BACK_OFF: Duration = Duration::from_millis(20);
/// Writes that must be acknowledged before a process is replaced, and again after it.
const PROGRESS: usize = 50;
/// A process that is told to end does so within this.
const ENDING: Duration = Duration::from_secs(30);
/// Writes stop for a fail-over and not longer; on a busy machine that takes some seconds.
const LONGEST_GAP: Duration = Duration::from_secs(15);
const SEED: u64 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_is_replaced_under_load_and_nothing_acknowledged_is_lost() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let copy = dir.path().join("synod");
    std::fs::copy(synod(), &copy)?;
    upgrade(&copy, Old::Same, synod(), Vocabulary::Whole).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_and_new_programs_serve_side_by_side_while_each_process_is_upgraded() -> Result<()> {
    match std::env::var_os(OLD_BINARY) {
        // It has the first format.
        Some(old) => upgrade(&PathBuf::from(old), Old::Other, synod(), Vocabulary::First).await,
        None => skipped_unless(
            UPGRADE_MUST_RUN,
            &format!("{OLD_BINARY} names no old program; `.ci/long upgrade` builds it"),
        ),
    }
}

/// What the program is that is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Old {
    /// The one that it is replaced by.
    Same,
    /// An older one.
    Other,
}

async fn upgrade(old: &Path, kind: Old, new: &Path, vocabulary: Vocabulary) -> Result<()> {
    let mut cluster = Cluster::start(old, Size::default(), &[]).await?;
    let recorder = Recorder::new(SEED)?;
    let shape = Shape { vocabulary, ..Shape::default() };
    let mut mix = Mix::start(&cluster, &recorder, shape, SEED);
    mix.wait_for_progress(PROGRESS).await?;
    // All coordinators before the last replica: see ARCHITECTURE.md, "Rolling upgrade".
    for name in order(&cluster).await? {
        replace(&mut cluster, &recorder, &mut mix, &name, (kind, new)).await?;
        mix.check()?;
    }
    mix.wait_for_progress(PROGRESS).await?;
    mix.finish().await?;
    transact(&cluster).await?;
    let summary = verify(&cluster, &recorder).await?;
    println!("upgraded: {summary}");
    Ok(())
}

/// Once all programs are new, the log has come to the format that has transactions.
async fn transact(cluster: &Cluster) -> Result<()> {
    eventually("a transaction is executed", async || {
        let url = format!("{}/v1/txn", cluster.front());
        let response = cluster.http().post(url).json(&serde_json::json!({})).send().await?;
        let status = response.status();
        ensure!(status.is_success(), "{status}: {}", response.text().await?);
        Ok(())
    })
    .await
}

/// Coordinators before replicas, for the log comes to a new format with the last of these;
/// backups before the primary, so that the view goes from old programs to new ones once; the
/// balancer last, which clients notice.
async fn order(cluster: &Cluster) -> Result<Vec<String>> {
    let (primary, leader) = (cluster.primary().await?, cluster.leader().await?);
    let mut order = cluster.names("acceptor");
    order.extend(cluster.names("coordinator").into_iter().filter(|name| *name != leader));
    order.push(leader);
    order.extend(cluster.names("replica").into_iter().filter(|name| *name != primary));
    order.push(primary);
    order.extend(cluster.names("balancer"));
    Ok(order)
}

/// Clients that write under keys of their own, each until all are told to stop.
struct Writers {
    stop: Arc<AtomicBool>,
    clients: JoinSet<Result<Vec<Written>>>,
}

/// How a write ended, and when on the recorder's clock.
struct Written {
    at: Duration,
    outcome: Outcome,
}

impl Writers {
    fn start(cluster: &Cluster, recorder: &Arc<Recorder>, name: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for client in 0..WRITERS {
            let (recorder, stop) = (Arc::clone(recorder), Arc::clone(&stop));
            let (front, prefix) = (cluster.front().to_owned(), format!("{name}/{client}"));
            clients.spawn(async move {
                let ask = Ask { door: &front, timeout: PATIENT };
                let mut written = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let key = format!("{prefix}/{}", written.len());
                    let outcome = recorder.put(ask, &key, Guard::Always).await?;
                    if !outcome.is_acknowledged() {
                        tokio::time::sleep(BACK_OFF).await;
                    }
                    written.push(Written { at: recorder.now(), outcome });
                }
                Ok(written)
            });
        }
        Self { stop, clients }
    }

    async fn finish(mut self) -> Result<Vec<Written>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        while let Some(written) = self.clients.join_next().await {
            all.extend(written??);
        }
        Ok(all)
    }
}

/// The longest time without an acknowledged write.
fn longest_gap(written: &[Written]) -> Duration {
    let acknowledged = written.iter().filter(|write| write.outcome.is_acknowledged());
    let mut times: Vec<Duration> = acknowledged.map(|write| write.at).collect();
    times.sort_unstable();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// Ends a process, starts another program in its place, and waits until all is whole
/// again, with clients that write through the balancer.
async fn replace(
    cluster: &mut Cluster,
    recorder: &Arc<Recorder>,
    mix: &mut Mix,
    name: &str,
    (old, program): (Old, &Path),
) -> Result<()> {
    let was_primary = cluster.primary().await? == name;
    let writers = Writers::start(cluster, recorder, name);
    mix.wait_for_progress(PROGRESS).await?;
    let service = cluster.service(name);
    let ended = service.terminate(ENDING)?;
    ensure!(ended.success(), "{name} ended with {ended}");
    service.set_program(program);
    service.start()?;
    let url = format!("{}/readyz", cluster.url(name));
    eventually("the new process is ready", async || {
        let ready = cluster.http().get(&url).send().await?;
        ensure!(ready.status().is_success(), "{name}: {}", ready.text().await?);
        Ok(())
    })
    .await
    .with_context(|| cluster.last_words())?;
    cluster.wait_until_whole().await?;
    mix.wait_for_progress(PROGRESS).await?;
    let written = writers.finish().await?;
    let failed = written.iter().filter(|write| !write.outcome.is_acknowledged()).count();
    let gap = longest_gap(&written);
    println!(
        "replaced {name}: {} acknowledged, {failed} refused or open, longest gap {gap:?}",
        written.len() - failed
    );
    // Every writer has one request under way. What was at an old primary that ends may fail,
    // and what comes while there is no other one; while the balancer is away nobody is
    // reached.
    ensure!(gap < LONGEST_GAP, "writes stopped while {name} was replaced");
    let is_excused = was_primary && old == Old::Other || name.starts_with("balancer");
    ensure!(failed == 0 || is_excused, "{failed} writes failed while {name} was replaced");
    Ok(())
}
