//! What watching costs: how late watchers are told, and what those take who are told
//! nothing.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};
use tests::harness::cluster::{Cluster, Size, eventually};
use tests::harness::events::Events;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::writers::write;
use super::{watcher, written};
use crate::synod;

/// Times, in order.
#[derive(Debug)]
pub(super) struct Delays(Vec<Duration>);

impl fmt::Display for Delays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |share: usize| self.0[(self.0.len() * share / 100).min(self.0.len() - 1)];
        write!(f, "p50 {:?}, p99 {:?}, at most {:?}", at(50), at(99), at(100))
    }
}

/// Has so many watchers told of so many changes, all of which they must hear of in order;
/// how long after its client heard of a change each was told of it.
pub(super) async fn delays(door: &str, watchers: usize, count: usize) -> Result<Delays> {
    let (http, begun) = (watcher()?, Arc::new(Barrier::new(watchers + 1)));
    let mut watching = JoinSet::new();
    for _ in 0..watchers {
        let (http, begun) = (http.clone(), Arc::clone(&begun));
        let url = format!("{door}/v1/watch?prefix=e/");
        watching.spawn(async move {
            let mut events = Events::open(&http, &url, None).await?;
            begun.wait().await;
            let mut told = Vec::with_capacity(count);
            while told.len() < count {
                match events.next().await {
                    Ok(Some(event)) if event.event == "lagged" => {}
                    Ok(Some(event)) => told.push((written(&event)?, Instant::now())),
                    // On a busy machine a replica is left that does not answer for a while.
                    Ok(None) | Err(_) => events = resume(&http, &url, events.last_id()).await?,
                }
            }
            anyhow::Ok(told)
        });
    }
    begun.wait().await;
    let started = Instant::now();
    let acknowledged = write(door.to_owned(), count, || true).await?;
    println!("{count} writes took {:?}", started.elapsed());
    let mut delays = Vec::with_capacity(watchers * count);
    while let Some(told) = watching.join_next().await {
        let told = told??;
        ensure!(told.is_sorted_by(|one, other| one.0.0 < other.0.0), "not in order, or twice");
        for ((revision, change), at) in &told {
            let acknowledged = acknowledged.get(revision).context("what nobody wrote")?;
            ensure!(*change == acknowledged.change, "{change:?} instead of {acknowledged:?}");
            delays.push(at.saturating_duration_since(acknowledged.at));
        }
    }
    println!("all were told {:?} after the first write began", started.elapsed());
    delays.sort();
    Ok(Delays(delays))
}

/// Begins again after what was seen.
async fn resume(http: &reqwest::Client, url: &str, seen: Option<u64>) -> Result<Events> {
    println!("a watch is resumed after {seen:?}");
    eventually("a watch is resumed", || Events::open(http, url, seen)).await
}

/// Memory, in KiB, and time of processors, in ticks of 10 ms, of a process.
fn usage(pid: u32) -> Result<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let memory = line.trim().trim_end_matches(" kB").parse()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok((memory, ticks))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints figures: run it by name"]
async fn a_thousand_watchers_who_are_told_nothing_take_little() -> Result<()> {
    const WATCHERS: usize = 1_000;
    const REST: Duration = Duration::from_secs(20);
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let http = watcher()?;
    for name in ["replica-1", "balancer-1"] {
        let pid = cluster.service(name).pid()?;
        let url = format!("{}/v1/watch?prefix=never/", cluster.url(name));
        // What the first one takes, all share.
        let _first = Events::open(&http, &url, None).await?;
        let (_, ticks) = usage(pid)?;
        tokio::time::sleep(REST).await;
        let (memory, alone) = usage(pid)?;
        let mut watches = Vec::new();
        for _ in 0..WATCHERS {
            watches.push(Events::open(&http, &url, None).await?);
        }
        let (_, before) = usage(pid)?;
        tokio::time::sleep(REST).await;
        let (with, after) = usage(pid)?;
        let each = (with - memory) as f64 / WATCHERS as f64;
        let share = |ticks: u64| ticks as f64 / REST.as_secs_f64();
        println!(
            "{WATCHERS} idle watches at {name}: {each:.1} KiB each, {:.2} % of a processor, \
             without them {:.2} %",
            share(after - before),
            share(alone - ticks)
        );
        ensure!(each < 64.0, "{each} KiB each");
    }
    Ok(())
}
