//! Clients that put one key and read it back, again and again, and are never to hear of an
//! error; and how long they were kept waiting.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const CLIENTS: u64 = 16;
/// A client waits so long for an answer: longer than a service does by default, so that what
/// it hears is the service's word.
const TIMEOUT: Duration = Duration::from_secs(15);
/// A client whose balancer is away asks again after this, and for so long.
const PAUSE: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(30);
/// In no longer time nobody is answered: that which a request has by default. It is far above
/// what a change takes, for these are debug builds on a machine that others use, too.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What clients do who are told that nobody listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is an error.
    Fail,
    /// They ask again, a put by the same `Idempotency-Key`.
    AskAgain,
}

/// Clients that put one key, again and again, and read it: its version counts the puts.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<Result<Told>>,
}

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
struct Request {
    sent: Instant,
    answered: Instant,
}

/// All requests of some clients, each answered as it should be.
#[derive(Debug, Default)]
pub(crate) struct Told {
    writes: Vec<Request>,
    reads: Vec<Request>,
}

impl Load {
    /// Clients of the service at this URL.
    pub(crate) fn start(door: &str, key: &str, refused: Refused) -> Self {
        let (stop, newest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let (url, newest) = (format!("{door}/v1/kv/{key}"), Arc::clone(&newest));
            let client = Writer { number, url, refused, newest, told: Told::default() };
            clients.spawn(client.work(Arc::clone(&stop)));
        }
        Self { stop, clients }
    }

    /// Waits until all have stopped: what they were told, in the order of the answers.
    ///
    /// # Errors
    /// An answer that is an error, or of the past; a pause that is too long.
    pub(crate) async fn finish(mut self) -> Result<Told> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Told::default();
        while let Some(told) = self.clients.join_next().await {
            let Told { writes, reads } = told??;
            all.writes.extend(writes);
            all.reads.extend(reads);
        }
        all.writes.sort_by_key(|request| request.answered);
        all.reads.sort_by_key(|request| request.answered);
        let pause = longest(&all.writes).0.max(longest(&all.reads).0);
        ensure!(pause < LONGEST_PAUSE, "nobody was answered for {pause:?}: {all}");
        Ok(all)
    }
}

impl Told {
    /// How many puts were acknowledged.
    pub(crate) fn writes(&self) -> usize {
        self.writes.len()
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (write_pause, slowest_write) = longest(&self.writes);
        let (read_pause, slowest_read) = longest(&self.reads);
        write!(
            f,
            "{} writes: longest pause {write_pause:?}, slowest {slowest_write:?}; {} reads: \
             longest pause {read_pause:?}, slowest {slowest_read:?}",
            self.writes.len(),
            self.reads.len()
        )
    }
}

/// The longest time in which nobody was answered, and the longest that somebody waited.
fn longest(requests: &[Request]) -> (Duration, Duration) {
    let pauses = requests.windows(2).map(|pair| pair[1].answered - pair[0].answered);
    let waits = requests.iter().map(|request| request.answered - request.sent);
    (pauses.max().unwrap_or_default(), waits.max().unwrap_or_default())
}

struct Writer {
    number: u64,
    url: String,
    refused: Refused,
    /// The newest revision that any of the clients was told of: none may read an older state.
    newest: Arc<AtomicU64>,
    told: Told,
}

impl Writer {
    async fn work(mut self, stop: Arc<AtomicBool>) -> Result<Told> {
        let http = Client::builder().timeout(TIMEOUT).no_proxy().build()?;
        while !stop.load(Ordering::Relaxed) {
            let put = || {
                let put = http.put(&self.url).body(self.number.to_string());
                match self.refused {
                    Refused::Fail => put,
                    Refused::AskAgain => {
                        let key = format!("{}-{}", self.number, self.told.writes.len());
                        put.header("Idempotency-Key", key)
                    }
                }
            };
            let (request, _, body) = self.ask("put", put).await?;
            let said: Value = serde_json::from_str(&body)?;
            let revision = said["revision"].as_u64().context("a put tells its revision")?;
            self.newest.fetch_max(revision, Ordering::Relaxed);
            self.told.writes.push(request);

            let newest = self.newest.load(Ordering::Relaxed);
            let (request, headers, _) = self.ask("get", || http.get(&self.url)).await?;
            let modified = headers.get("etag").context("a read tells its revision")?.to_str()?;
            let modified: u64 = modified.trim_matches('"').parse()?;
            ensure!(modified >= newest, "revision {modified} was read, after {newest} was told of");
            self.newest.fetch_max(modified, Ordering::Relaxed);
            self.told.reads.push(request);
        }
        Ok(self.told)
    }

    /// Asks until there is an answer; one that is no success is an error.
    async fn ask(
        &self,
        what: &str,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<(Request, HeaderMap, String)> {
        let sent = Instant::now();
        let at = || format!("{what} {} of client {}", self.told.writes.len(), self.number);
        let response = loop {
            match request().send().await {
                Err(_) if self.refused == Refused::AskAgain && sent.elapsed() < PATIENCE => {
                    sleep(PAUSE).await;
                }
                result => break result.with_context(at),
            }
        }?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.text().await.with_context(at)?;
        ensure!(status.is_success(), "{}: {status}: {body}", at());
        Ok((Request { sent, answered: Instant::now() }, headers, body))
    }
}
