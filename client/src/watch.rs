//! Watching: every change of some keys, once and in order, whatever happens to services and
//! connections on the way.
//!
//! A watch that is cut off is resumed at the next address after the last revision that it
//! has seen whole. A revision that it was given a part of comes again, in byte order of its
//! keys, as it came before, so that what was given already is left out. A snapshot is a list
//! at one revision, read page by page: one that is cut off goes on where it was, where the
//! server's own (`snapshot=true`) would begin anew.

mod selection;
mod told;

use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http::{HeaderName, Method, header};

pub use self::told::{DeleteEvent, Event, EventKind, PutEvent};
use self::told::{Said, Told};
use crate::answer::number;
use crate::call::Call;
use crate::client::Client;
use crate::error::{Error, Failure};
use crate::item::Item;
use crate::lines::{self, Lines};

/// The longest that nothing may come: two heartbeats, and some.
const SILENCE: Duration = Duration::from_secs(25);
/// The pause before a watch that ended by itself is resumed.
const PAUSE: Duration = Duration::from_millis(100);

impl Client {
    /// Watches keys and prefixes; all keys where none is named.
    #[must_use = "nothing is sent before the stream is read"]
    pub fn watch(&self) -> Watch {
        Watch { client: self.clone(), keys: Vec::new(), prefixes: Vec::new(), start: Start::Now }
    }
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Now,
    Snapshot,
    From(u64),
}

/// Watches: [`Client::watch`].
#[derive(Clone, Debug)]
pub struct Watch {
    client: Client,
    keys: Vec<String>,
    prefixes: Vec<String>,
    start: Start,
}

impl Watch {
    /// A key.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.keys.push(key.to_owned());
        self
    }

    /// All keys with a prefix.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefixes.push(prefix.to_owned());
        self
    }

    /// First what there is, as puts, then [`EventKind::Synced`], and then every change.
    #[must_use]
    pub fn snapshot(mut self) -> Self {
        self.start = Start::Snapshot;
        self
    }

    /// From a revision on: to go on after an event, that of its [`Event::id`] and one more.
    #[must_use]
    pub fn from(mut self, revision: u64) -> Self {
        self.start = Start::From(revision);
        self
    }

    /// What happens. A cut is mended without a word; the stream ends with the first error:
    /// [`Error::Unavailable`] once nobody could be reached for as long as the client's
    /// time-out, [`Error::Gone`] where what comes next is not kept any more.
    #[must_use]
    pub fn stream(self) -> BoxStream<'static, Result<Event, Error>> {
        let snapshot = (self.start == Start::Snapshot).then(|| self.snapshot_of());
        let seen = match self.start {
            Start::From(revision) => Some(revision.saturating_sub(1)),
            Start::Now | Start::Snapshot => None,
        };
        let watcher = Watcher {
            call: self.call(),
            client: self.client,
            snapshot,
            told: Told::after(seen),
            lines: None,
            heard: Instant::now(),
        };
        let events = stream::try_unfold(watcher, |mut watcher| async move {
            watcher.next().await.map(|event| Some((event, watcher)))
        });
        events.boxed()
    }

    fn call(&self) -> Call {
        let mut call = Call::read(Method::GET, "/v1/watch");
        self.keys.iter().for_each(|key| call.param("key", key));
        self.prefixes.iter().for_each(|prefix| call.param("prefix", prefix));
        call.header(header::ACCEPT, "application/x-ndjson");
        call
    }

    fn snapshot_of(&self) -> BoxStream<'static, Result<Snapped, Error>> {
        selection::snapshot(self.client.clone(), &self.keys, &self.prefixes)
    }
}

/// What a snapshot gives: items, and at its end the revision that all of them are of.
enum Snapped {
    Item(Item),
    End(u64),
}

/// A watch under way.
struct Watcher {
    client: Client,
    call: Call,
    /// What of the snapshot is still to come.
    snapshot: Option<BoxStream<'static, Result<Snapped, Error>>>,
    told: Told,
    lines: Option<Lines<Said>>,
    /// When something was heard last.
    heard: Instant,
}

impl Watcher {
    async fn next(&mut self) -> Result<Event, Error> {
        if let Some(event) = self.next_of_snapshot().await? {
            return Ok(event);
        }
        loop {
            let mut lines = match self.lines.take() {
                Some(lines) => lines,
                None => self.open().await?,
            };
            match tokio::time::timeout(SILENCE, lines.next()).await {
                Ok(Some(Ok(said))) => {
                    self.heard = Instant::now();
                    self.lines = Some(lines);
                    if let Some(event) = self.told.take(said) {
                        return Ok(event);
                    }
                }
                Ok(Some(Err(reason))) => self.lost(reason).await?,
                Ok(None) => self.lost(String::from("it ended")).await?,
                Err(_elapsed) => self.lost(format!("silent for {SILENCE:?}")).await?,
            }
        }
    }

    async fn next_of_snapshot(&mut self) -> Result<Option<Event>, Error> {
        let Some(snapshot) = &mut self.snapshot else { return Ok(None) };
        match snapshot.next().await.transpose()? {
            Some(Snapped::Item(item)) => Ok(Some(Event::put(item))),
            Some(Snapped::End(revision)) => {
                self.snapshot = None;
                self.heard = Instant::now();
                self.told = Told::after(Some(revision));
                Ok(Some(Event::synced(revision)))
            }
            None => Err(Error::Malformed(String::from("the snapshot has no end"))),
        }
    }

    /// Comes again after what was told.
    async fn open(&mut self) -> Result<Lines<Said>, Error> {
        let mut call = self.call.clone();
        if let Some(seen) = self.told.seen() {
            call.header(HeaderName::from_static("last-event-id"), &seen.to_string());
        }
        let response = self.client.open(&call).await?;
        let after = number(&response.headers, "synod-revision")?;
        self.told.begin(after);
        Ok(lines::of(response))
    }

    /// A connection that said nothing useful for as long as a request may take is no watch.
    async fn lost(&mut self, reason: String) -> Result<(), Error> {
        let waited = self.heard.elapsed();
        if waited > self.client.timeout() + SILENCE {
            let url = self.client.address().to_owned();
            return Err(Error::Unavailable { waited, last: Failure::Lost { url, reason } });
        }
        self.client.turn_away();
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
