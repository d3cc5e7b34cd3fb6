//! The Rust client against real clusters.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use client::{Client, Event, EventKind};
use futures::{StreamExt, TryStreamExt};
use tests::harness::cluster::{Cluster, PATIENCE, Size};
use tokio::time::{sleep, timeout};

use crate::synod;

/// How many changes there are.
const CHANGES: usize = 600;
/// Every so many of them, all keys of a prefix are deleted.
const SWEEP: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_in_the_readme_does_what_it_says() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_client-example"));
    let output = program.env("SYNOD_URL", cluster.front()).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A client that knows all replicas, beginning with one of them.
fn client_of(cluster: &Cluster, first: usize) -> Result<Client> {
    let mut urls: Vec<String> =
        cluster.names("replica").iter().map(|name| cluster.url(name).to_owned()).collect();
    let count = urls.len();
    urls.rotate_left(first % count);
    Ok(Client::new(&urls.join(","))?.with_timeout(PATIENCE))
}

/// What a watcher knows once it was told so far.
#[derive(Debug, Default)]
struct Mirror {
    keys: BTreeMap<String, (u64, String)>,
    /// Where it was told last, in the order in which everything is told.
    last: (u64, String),
    events: usize,
}

impl Mirror {
    fn take(&mut self, event: Event) -> Result<()> {
        let place = (event.revision(), event.key().unwrap_or_default().to_owned());
        ensure!(place > self.last, "{place:?} after {:?}", self.last);
        self.last = place;
        self.events += 1;
        match event.kind {
            EventKind::Put(put) => {
                let value = String::from_utf8(put.item.value.context("no value")?.to_vec())?;
                let before = self.keys.insert(put.item.key, (put.item.revision, value));
                ensure!(before.map(|(revision, _)| revision) == put.prev_revision, "a gap");
            }
            EventKind::Delete(delete) => {
                let before = self.keys.remove(&delete.key);
                ensure!(before.map(|(revision, _)| revision) == delete.prev_revision, "a gap");
            }
            EventKind::Synced { .. } => {}
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn a_watch_loses_and_repeats_nothing_while_replicas_are_killed() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let writer = client_of(&cluster, 0)?;
    let watchers: Vec<_> = (0..3)
        .map(|first| {
            let events = client_of(&cluster, first)?.watch().prefix("c/").from(1).stream();
            Ok(tokio::spawn(follow(events)))
        })
        .collect::<Result<_>>()?;
    let writing = tokio::spawn(async move {
        for number in 0..CHANGES {
            if number % SWEEP == SWEEP - 1 {
                writer.delete_prefix("c/").await?;
            } else {
                writer.put(&format!("c/{:02}", number % 60), number.to_string()).await?;
            }
            sleep(Duration::from_millis(8)).await;
        }
        writer.put("c/end", "end").await?;
        anyhow::Ok(())
    });
    for replica in cluster.names("replica") {
        sleep(Duration::from_millis(900)).await;
        cluster.service(&replica).kill()?;
        sleep(Duration::from_millis(900)).await;
        cluster.service(&replica).start()?;
    }
    writing.await??;
    let front = Client::new(cluster.front())?;
    let stored: Vec<_> = front.list("c/").limit(7).stream().try_collect().await?;
    for watcher in watchers {
        let mirror = timeout(PATIENCE, watcher).await???;
        println!("{} events", mirror.events);
        let told = mirror.keys.iter().map(|(key, (revision, _))| (key.clone(), *revision));
        let stored = stored.iter().map(|item| (item.key.clone(), item.revision));
        ensure!(told.eq(stored), "{mirror:?}");
        ensure!(mirror.events > CHANGES, "each key of a sweep is an event: {}", mirror.events);
    }
    Ok(())
}

async fn follow(
    mut events: futures::stream::BoxStream<'static, Result<Event, client::Error>>,
) -> Result<Mirror> {
    let mut mirror = Mirror::default();
    while let Some(event) = events.next().await {
        let event = event?;
        let is_end = event.key() == Some("c/end");
        mirror.take(event)?;
        if is_end {
            return Ok(mirror);
        }
    }
    anyhow::bail!("the watch ended: {mirror:?}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_of_one_revision_and_is_followed_by_all_that_came_since() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let client = Client::new(cluster.front())?;
    for number in 0..1_200 {
        client.put(&format!("s/{number:04}"), "1").without_idempotency_key().await?;
    }
    client.put("other", "1").await?;
    let watch = client.watch().key("other").prefix("s/").key("s/0001").snapshot();
    let mut events = watch.stream();
    let first = events.try_next().await?.context("it ended")?;
    ensure!(first.key() == Some("other"), "{first:?}");
    // What is written while the snapshot is read is not in it, and follows it.
    let during = client.put("s/0003", "2").await?.revision;
    client.delete("s/1199").await?;
    let mut keys = Vec::new();
    let synced = loop {
        let event = events.try_next().await?.context("it ended")?;
        match event.kind {
            EventKind::Put(put) => keys.push(put.item.key),
            EventKind::Synced { revision } => break revision,
            EventKind::Delete(_) => anyhow::bail!("a snapshot deletes nothing: {event:?}"),
        }
    };
    ensure!(keys.len() == 1_200 && keys.is_sorted(), "{} keys", keys.len());
    ensure!(synced < during, "{synced} is before {during}");
    let next = events.try_next().await?.context("it ended")?;
    ensure!((next.key(), next.id) == (Some("s/0003"), Some(during)), "{next:?}");
    let last = events.try_next().await?.context("it ended")?;
    ensure!(matches!(&last.kind, EventKind::Delete(gone) if gone.key == "s/1199"), "{last:?}");
    Ok(())
}
