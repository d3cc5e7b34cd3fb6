//! How late watchers hear: clients watch a prefix while keys are written at a given rate.
//!
//! The writers hold to the clock, not to the answers, but each has one request under way: where
//! the cluster is slower than the rate, what it came to is told. A value begins with when it was
//! sent, so that whoever hears of it knows how long that took. Each watcher hears of each write.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use client::{Event, EventKind};
use futures::StreamExt as _;
use futures::future::try_join_all;
use futures::stream::BoxStream;
use http::Method;
use tokio::time::{sleep_until, timeout};

use super::connection::Connection;
use super::load::Load;
use super::tally::{Measured, Outcome, Tally};

/// How many write: enough for each to be answered before its next write is due.
const WRITERS: u32 = 64;
/// The longest that a watcher hears nothing.
const SILENCE: Duration = Duration::from_secs(20);
/// The key of the last write.
const LAST: &str = "last";

type Events = BoxStream<'static, Result<Event, client::Error>>;

/// A measurement that is under way.
struct Watching<'a> {
    load: &'a Load,
    tally: Tally,
    /// The start of all times that values tell.
    epoch: Instant,
    /// Writes that count.
    written: Cell<u64>,
}

impl Load {
    /// Watchers, and `rate` writes a second.
    pub(super) async fn watch(&self, rate: u32) -> anyhow::Result<Measured> {
        let watches = try_join_all((0..self.clients).map(|_| self.begin_watch())).await?;
        let (tally, epoch) = (Tally::over(self.duration)?, Instant::now());
        let watching = Watching { load: self, tally, epoch, written: Cell::new(0) };
        let watchers = try_join_all(watches.into_iter().map(|events| watching.watcher(events)));
        tokio::try_join!(watchers, watching.writers(rate))?;
        let Watching { tally, written, .. } = watching;
        let mut measured = tally.measured();
        let per_second = written.get() as f64 / measured.elapsed.as_secs_f64();
        measured.writes_per_second = Some(per_second);
        Ok(measured)
    }

    /// Begins to watch: nothing that is written from now on is missed.
    async fn begin_watch(&self) -> anyhow::Result<Events> {
        let mut events = self.aside()?.watch().prefix(&self.prefix).snapshot().stream();
        match next(&mut events).await?.kind {
            EventKind::Synced { .. } => Ok(events),
            EventKind::Put(_) | EventKind::Delete(_) => bail!("somebody else writes there"),
        }
    }
}

async fn next(events: &mut Events) -> anyhow::Result<Event> {
    let event = timeout(SILENCE, events.next()).await.context("a watcher hears nothing")?;
    Ok(event.context("a watch has ended")??)
}

impl Watching<'_> {
    /// One watcher, until it has heard of the last write.
    async fn watcher(&self, mut events: Events) -> anyhow::Result<()> {
        let last = format!("{}{LAST}", self.load.prefix);
        loop {
            match next(&mut events).await?.kind {
                EventKind::Put(put) if put.item.key == last => return Ok(()),
                EventKind::Put(put) => self.heard(put.item.value.as_deref().unwrap_or_default())?,
                EventKind::Synced { .. } | EventKind::Delete(_) => {
                    bail!("somebody else writes there")
                }
            }
        }
    }

    fn heard(&self, value: &[u8]) -> anyhow::Result<()> {
        let micros = str::from_utf8(value)?.split(' ').next().unwrap_or_default().parse();
        let sent = self.epoch + Duration::from_micros(micros.context("a value is not ours")?);
        if self.tally.counts(sent) {
            self.tally.took(sent.elapsed());
        }
        Ok(())
    }

    /// All writers, and then the last write.
    async fn writers(&self, rate: u32) -> anyhow::Result<()> {
        let writers = WRITERS.min(rate);
        let pause = Duration::from_secs(1) * writers / rate;
        let writer = |number| self.writer(number, self.epoch + pause * number / writers, pause);
        try_join_all((0..writers).map(writer)).await?;
        let last = format!("{}{LAST}", self.load.prefix);
        self.load.aside()?.put(&last, "").await.context("cannot write for the last time")?;
        Ok(())
    }

    /// Writes a key once in `pause`, or as soon as it is answered where that takes longer.
    async fn writer(&self, number: u32, first: Instant, pause: Duration) -> anyhow::Result<()> {
        let mut connection = Connection::new(&self.load.url)?;
        let path = format!("/v1/kv/{}{number}", self.load.prefix);
        let mut due = first;
        while due < self.tally.end() {
            sleep_until(due.into()).await;
            let sent = Instant::now();
            let request = self.load.request(Method::PUT, &path, self.value(sent))?;
            match connection.ask(request).await {
                Outcome::Done if self.tally.counts(sent) => self.written.update(|count| count + 1),
                Outcome::Failed(error) if self.tally.counts(sent) => self.tally.failed(error),
                Outcome::Done | Outcome::Failed(_) => {}
            }
            due = (due + pause).max(Instant::now());
        }
        Ok(())
    }

    /// What tells when it was sent.
    fn value(&self, sent: Instant) -> Bytes {
        let micros = sent.duration_since(self.epoch).as_micros();
        let width = self.load.value_bytes;
        format!("{:x<width$}", format!("{micros} ")).into()
    }
}
