//! Clients that watch: what they are told, whatever happens to services and connections.

mod behind_nginx;
mod cost;
mod writers;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::harness::cluster::{Cluster, Options, PATIENCE, Size, eventually};
use tests::harness::events::{Event, Events};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use self::writers::{Written, write};
use crate::synod;

/// How often the connection of a restless watcher is cut.
const CUT_AFTER: Duration = Duration::from_secs(1);

/// What is written under the eyes of a slow reader, each time.
const VALUE_BYTES: usize = 32_768;

/// How many changes there are, unless `SYNOD_WATCH_EVENTS` says otherwise.
fn event_count(ordinary: usize) -> Result<usize> {
    match std::env::var("SYNOD_WATCH_EVENTS") {
        Ok(count) => count.parse().context("SYNOD_WATCH_EVENTS"),
        Err(_) => Ok(ordinary),
    }
}

/// A client without a bound on the time of an answer, and with a connection for each.
fn watcher() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build()?)
}

/// What an event says of the key that `write` wrote.
fn written(event: &Event) -> Result<(u64, Written)> {
    let revision = event.data["revision"].as_u64().context("no revision")?;
    ensure!(event.id == Some(revision), "each change is a revision of its own: {event:?}");
    let key = event.data["key"].as_str().context("no key")?.to_owned();
    let value = event.data["value"].as_str().map(str::to_owned);
    ensure!((event.event == "put") == value.is_some(), "{event:?}");
    Ok((revision, Written { key, value }))
}

/// Follows the changes from the first on, comes again after every cut, and says what it was
/// told, in order, once it was told so many.
async fn follow_restlessly(
    url: String,
    count: impl Fn() -> Option<usize>,
) -> Result<(Vec<(u64, Written)>, u32)> {
    let http = watcher()?;
    let (mut told, mut seen, mut resumed) = (Vec::new(), None, 0);
    let mut since = Instant::now();
    loop {
        let cut = tokio::time::sleep(CUT_AFTER);
        let following = async {
            let mut events = Events::open(&http, &url, seen).await?;
            while let Some(event) = events.next().await?.filter(|event| event.event != "lagged") {
                told.push(written(&event)?);
                seen = events.last_id();
                since = Instant::now();
            }
            anyhow::Ok(())
        };
        tokio::select! {
            followed = following => if let Err(error) = followed {
                println!("a watch ended after {seen:?}: {error:#}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            },
            () = cut => {}
        }
        if count().is_some_and(|count| told.len() >= count) {
            return Ok((told, resumed));
        }
        let silent = since.elapsed();
        ensure!(silent < PATIENCE, "nothing for {silent:?} after {} events, {seen:?}", told.len());
        resumed += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_is_cut_off_every_second_is_told_of_every_change_exactly_once() -> Result<()>
{
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let count = event_count(3_000)?;
    let url = format!("{}/v1/watch?prefix=e/&from=1", cluster.front());
    // However fast the machine is, there is something to be told of after the last cut.
    let over = Arc::new(AtomicBool::new(false));
    let enough = Arc::clone(&over);
    let writing =
        tokio::spawn(write(cluster.front().to_owned(), count, move || enough.load(Relaxed)));
    let total = Arc::new(OnceLock::new());
    let known = Arc::clone(&total);
    let following = tokio::spawn(follow_restlessly(url, move || known.get().copied()));
    tokio::time::sleep(CUT_AFTER * 3 / 2).await;
    let primary = cluster.primary().await?;
    cluster.service(&primary).kill()?;
    tokio::time::sleep(CUT_AFTER * 3 / 2).await;
    cluster.service(&primary).start()?;
    over.store(true, Relaxed);
    let acknowledged = writing.await??;
    ensure!(acknowledged.len() >= count, "{} of {count} are acknowledged", acknowledged.len());
    let count = *total.get_or_init(|| acknowledged.len());
    let (told, resumed) = following.await??;
    ensure!(told.is_sorted_by(|one, other| one.0 < other.0), "not in order, or twice");
    let expected: Vec<(u64, Written)> =
        acknowledged.into_iter().map(|(revision, of)| (revision, of.change)).collect();
    ensure!(told == expected, "told {} of {count}", told.len());
    println!("{count} events, resumed {resumed} times, {primary} killed");
    ensure!(resumed >= 2, "the watch was cut {resumed} times only");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_watchers_are_told_of_every_change() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let count = event_count(1_000)?;
    let delays = cost::delays(cluster.front(), 100, count).await?;
    println!("{count} events to 100 watchers: {delays}");
    Ok(())
}

/// A watch by hand, read no faster than the test says.
struct Slow {
    stream: TcpStream,
    text: Vec<u8>,
}

impl Slow {
    async fn begin(address: &str, path: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        let head = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        Ok(Self { stream, text: Vec::new() })
    }

    /// Reads on until that was told.
    async fn read_until(&mut self, told: &str) -> Result<()> {
        let reading = async {
            let mut searched = 0;
            while !self.text[searched..].windows(told.len()).any(|part| part == told.as_bytes()) {
                searched = self.text.len().saturating_sub(told.len());
                let bytes = self.stream.read_buf(&mut self.text).await?;
                ensure!(bytes > 0, "the connection broke");
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, reading).await.with_context(|| format!("no {told:?}"))?
    }

    /// Takes so much of what has come: a client of whom nothing at all is taken is cut off
    /// before it can be told anything.
    fn take(&mut self, bytes: usize) {
        let mut piece = vec![0; bytes];
        // Nothing there, or the end: `read_until` finds out.
        let taken = self.stream.try_read(&mut piece).unwrap_or_default();
        self.text.extend_from_slice(&piece[..taken]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_who_is_too_slow_is_cut_and_never_served_a_gap() -> Result<()> {
    let env = [("SYNOD_WATCH_BUFFER_BYTES", "65536"), ("SYNOD_MAX_WATCHES", "2")];
    let options = Options { env: &env, ..Options::default() };
    let cluster = Cluster::start_with(synod(), &options).await?;
    let replica = cluster.url("replica-1").to_owned();
    let address = replica.trim_start_matches("http://");
    let mut slow = Slow::begin(address, "/v1/watch?prefix=big/").await?;
    let http = watcher()?;
    let quick = Events::open(&http, &format!("{replica}/v1/watch?prefix=no/"), None).await?;
    eventually("both watch", || async {
        let status = cluster.json("replica-1", "/v1/status").await?;
        ensure!(status["watches"] == 2, "{}", status["watches"]);
        Ok(())
    })
    .await?;
    let refused = http.get(format!("{replica}/v1/watch")).send().await?;
    ensure!(refused.status() == 503 && refused.headers().contains_key("retry-after"));
    let problem = refused.text().await?;
    ensure!(problem.contains("2 watches"), "the limit is named: {problem}");

    // It is answered once it is settled after which revision it begins.
    slow.read_until("\r\n\r\n").await?;
    // More than what stands between takes.
    let keys: usize = 400;
    for key in 0..keys {
        let put = format!("{replica}/v1/kv/big/{key:03}");
        let status = http.put(put).body(vec![b'x'; VALUE_BYTES]).send().await?.status();
        ensure!(status.is_success(), "{status}");
        if key == 0 {
            slow.read_until("\"key\":\"big/000\"").await?;
        }
        slow.take(VALUE_BYTES / 4);
    }
    drop(quick);
    slow.read_until("\r\n0\r\n\r\n").await?;
    let text = String::from_utf8(slow.text)?;
    let told: Vec<usize> = text
        .split("\"key\":\"big/")
        .skip(1)
        .map(|rest| rest[..3].parse())
        .collect::<Result<_, _>>()?;
    ensure!(told == (0..told.len()).collect::<Vec<_>>(), "a gap: {told:?}");
    ensure!(told.len() < keys, "it was told everything");
    ensure!(text.contains("event: lagged\n"), "{}", &text[text.len() - 200..]);
    let id = text.rsplit("id: ").next().and_then(|rest| rest.lines().next());
    let seen = id.context("no id")?.parse()?;
    let url = format!("{replica}/v1/watch?prefix=big/");
    let mut events = Events::open(&http, &url, Some(seen)).await?;
    for key in told.len()..keys {
        let event = events.next().await?.context("it ended")?;
        ensure!(event.data["key"] == format!("big/{key:03}"), "{}", event.data["key"]);
    }
    Ok(())
}
