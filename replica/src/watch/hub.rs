//! The one feed of a replica, and the places of those who watch.
#![expect(clippy::disallowed_methods, reason = "the shell starts tasks")]

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use shared::deadline::Deadline;
use shared::ids::Revision;
use shared::page::PageLimits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use super::event::Event;
use super::ring::{Found, Piece, Ring, Size};
use crate::driver::Published;
use crate::store::{
    HistoryPage, HistoryQuery, ListPage, ListQuery, Position, ReadError, Reader, RevisionError,
    above_prefix,
};

/// The most that is read, and given to a watcher, at once; a larger value goes alone.
/// Watchers who take nothing hold so much each, and what the server has for them to take.
pub(crate) const PIECE: PageLimits = PageLimits { items: 512, bytes: 64 << 10 };
/// The most events in the ring, beside the bound on its bytes.
const RING_EVENTS: usize = 65_536;
/// The most watchers that read the state at once, those that come from behind: the other
/// connections are for reads.
const READING_AT_ONCE: usize = 2;
/// How long a watcher looks for items of its snapshot before it looks around.
const LOOKING: Duration = Duration::from_secs(1);
/// Between two attempts while the state cannot be read.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// What watching may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Watchers at once.
    pub(crate) watches: usize,
    /// Bytes of the changes that are held for those who keep up.
    pub(crate) buffer_bytes: usize,
}

/// As many watch as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{most} watches are being served, the limit of this replica")]
pub(crate) struct TooManyWatches {
    /// How many may.
    pub(crate) most: usize,
}

/// What all watchers share.
#[derive(Debug)]
pub(crate) struct Hub {
    reader: Reader,
    limits: Limits,
    places: Arc<Semaphore>,
    turns: Semaphore,
    /// None while nobody watches.
    ring: Mutex<Option<Ring>>,
    /// Says that there is something new in the ring.
    grown: watch::Sender<()>,
    watching: watch::Sender<usize>,
}

impl Hub {
    /// Starts the feed, which ends with `shutdown`. Counts in `watching` how many watch.
    pub(crate) fn start(
        reader: Reader,
        published: watch::Receiver<Published>,
        watching: watch::Sender<usize>,
        limits: Limits,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        let hub = Arc::new(Self {
            reader,
            limits,
            places: Arc::new(Semaphore::new(limits.watches)),
            turns: Semaphore::new(READING_AT_ONCE),
            ring: Mutex::default(),
            grown: watch::Sender::default(),
            watching,
        });
        let feeding = Arc::clone(&hub);
        tokio::spawn(async move {
            shutdown.run_until_cancelled(feeding.follow(published)).await;
        });
        hub
    }

    /// How many watch.
    pub(crate) fn watching(&self) -> usize {
        *self.watching.borrow()
    }

    /// How many may.
    pub(crate) fn most(&self) -> usize {
        self.limits.watches
    }

    /// A place for one more.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Watch, TooManyWatches> {
        let most = self.limits.watches;
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| TooManyWatches { most })?;
        self.watching.send_modify(|watching| *watching += 1);
        Ok(Watch { hub: Arc::clone(self), grown: self.grown.subscribe(), _place: place })
    }

    async fn follow(&self, mut published: watch::Receiver<Published>) {
        let mut watching = self.watching.subscribe();
        while watching.wait_for(|watching| *watching > 0).await.is_ok() {
            let present = published.borrow().status.revision;
            self.lock().get_or_insert_with(|| self.ring_from(present));
            self.grown.send_replace(());
            let left = async { watching.wait_for(|watching| *watching == 0).await.is_ok() };
            tokio::select! {
                _ = left => {}
                () = self.feed(&mut published) => return,
            }
            // Whoever came meanwhile may have looked into it already, and goes on with it.
            let mut ring = self.lock();
            if self.watching() == 0 {
                *ring = None;
            }
        }
    }

    /// Puts what is executed into the ring, until the process ends.
    async fn feed(&self, published: &mut watch::Receiver<Published>) {
        loop {
            let Some(after) = self.lock().as_ref().map(|ring| ring.head().clone()) else { return };
            let seen = after.complete;
            if published.wait_for(|now| now.status.revision > seen).await.is_err() {
                return;
            }
            let (from, below) = (Bytes::new(), above_prefix(&[]));
            let query = HistoryQuery { after: after.clone(), from, below, page: PIECE };
            match self.reader.history(query).await {
                Ok(HistoryPage { changes, through }) => {
                    let events = changes.iter().map(Event::of).collect();
                    if let Some(ring) = &mut *self.lock() {
                        ring.push(Piece { after, through, events });
                    }
                    self.grown.send_replace(());
                }
                Err(error) if error.is_for_now() => tokio::time::sleep(RETRY_INTERVAL).await,
                // It took so long that what comes next is not there any more.
                Err(ReadError::Revision(RevisionError::Compacted { .. })) => {
                    let present = published.borrow().status.revision;
                    *self.lock() = Some(self.ring_from(present));
                    self.grown.send_replace(());
                }
                Err(error) => return tracing::error!(%error, "watchers are told nothing more"),
            }
        }
    }

    fn ring_from(&self, revision: Revision) -> Ring {
        let limits = Size { events: RING_EVENTS, bytes: self.limits.buffer_bytes };
        Ring::new(limits, Position::after(revision))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Ring>> {
        self.ring.lock().expect("a panic under the lock ends the process")
    }
}

/// The place of a watcher.
#[derive(Debug)]
pub(crate) struct Watch {
    hub: Arc<Hub>,
    grown: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
}

impl Watch {
    /// What the ring has for whoever has come so far; none while it is not there yet.
    pub(crate) fn next(&mut self, position: &Position) -> Option<Found> {
        // Marked before the look, so that what comes between the look and the wait counts.
        self.grown.mark_unchanged();
        self.hub.lock().as_ref().map(|ring| ring.next(position))
    }

    /// Waits for something new since the last look.
    pub(crate) async fn grown(&mut self) {
        if self.grown.changed().await.is_err() {
            // The hub ends with the process, and with it the watch.
            std::future::pending::<()>().await;
        }
    }

    /// Reads a page of changes.
    ///
    /// # Errors
    /// What does not pass by itself.
    pub(crate) async fn history(&self, query: HistoryQuery) -> Result<HistoryPage, ReadError> {
        loop {
            let turn = self.turn().await?;
            match self.hub.reader.history(query.clone()).await {
                Err(error) if error.is_for_now() => pause(turn).await,
                result => return result,
            }
        }
    }

    /// Reads a page of keys.
    ///
    /// # Errors
    /// What does not pass by itself.
    pub(crate) async fn list(&self, query: ListQuery) -> Result<ListPage, ReadError> {
        loop {
            let turn = self.turn().await?;
            match self.hub.reader.list(query.clone(), Deadline::after(LOOKING)).await {
                Err(error) if error.is_for_now() => pause(turn).await,
                result => return result,
            }
        }
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, ReadError> {
        self.hub.turns.acquire().await.map_err(|_| ReadError::Closed)
    }
}

/// Lets others read while the state cannot be read.
async fn pause(turn: SemaphorePermit<'_>) {
    drop(turn);
    tokio::time::sleep(RETRY_INTERVAL).await;
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.hub.watching.send_modify(|watching| *watching -= 1);
    }
}
