//! The own digests: one is made at a time, on a thread that rests half of the time, and the last
//! one is kept for a moment, so that whoever asks for the same slot again is answered at once.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks")]

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use shared::deadline::SNAPSHOT_WAIT;
use shared::disk::Space;
use shared::ids::Slot;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::message::DigestOutcome;
use crate::driver::{Handle, NotPinned};
use crate::snapshot::DISK_RESERVE_BYTES;
use crate::snapshot::file::beside;
use crate::store::{PinnedState, StateDigest, StoreError, connect};

/// How long the transaction that reads the state lives at most.
pub(crate) const READ_AT_MOST: Duration = SNAPSHOT_WAIT;
/// So long the WAL may become while the state is read, in bytes: it starts over once that has
/// ended.
pub(crate) const MOST_WAL_BYTES: u64 = 1 << 30;
/// A digest counts for so long: what a disk gives back later may be another state.
const FRESH: Duration = Duration::from_secs(60);
/// After each piece the reader rests for as long as that took, but no longer: whatever else is
/// to be done goes on.
const LONGEST_REST: Duration = Duration::from_millis(50);

/// Why a state was not read to its end.
#[derive(Debug, thiserror::Error)]
enum NotRead {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the state cannot be opened now: {0}")]
    NotOpened(StoreError),
    #[error(transparent)]
    NotPinned(#[from] NotPinned),
    #[error("nobody waits for it any more")]
    Cancelled,
    #[error("reading the state has taken more than {READ_AT_MOST:?}")]
    TooLong,
    #[error(
        "the WAL has grown to {bytes} bytes while the state was read, and the limit is \
         {MOST_WAL_BYTES}: verify while less is written"
    )]
    WalTooLong { bytes: u64 },
    #[error(
        "the disk has {free} bytes free, and {DISK_RESERVE_BYTES} are to stay so while the WAL \
         grows, by up to {MOST_WAL_BYTES}"
    )]
    NoRoom { free: u64 },
    #[error("no thread could be started: {0}")]
    NoThread(std::io::Error),
}

impl NotRead {
    /// What shows that the state cannot be used any more: not that it cannot be opened once more
    /// now, as where the process may have no more files.
    fn fatal(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) if error.is_fatal() => Some(error),
            Self::NotOpened(error @ StoreError::Damaged(_)) => Some(error),
            Self::Store(_)
            | Self::NotOpened(_)
            | Self::NotPinned(_)
            | Self::Cancelled
            | Self::TooLong
            | Self::WalTooLong { .. }
            | Self::NoRoom { .. }
            | Self::NoThread(_) => None,
        }
    }
}

/// The digests of the state of this replica.
#[derive(Debug)]
pub(crate) struct Digests {
    state: PathBuf,
    driver: Handle,
    /// Told of a state that cannot be used any more.
    fatal: mpsc::Sender<StoreError>,
    reading: Arc<Semaphore>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    last: Option<(StateDigest, Instant)>,
    under_way: Option<(Slot, Weak<Wait>)>,
}

/// Somebody waits; once nobody does, reading ends.
#[derive(Debug)]
struct Wait {
    outcome: watch::Receiver<Option<DigestOutcome>>,
    _cancel: DropGuard,
}

impl Digests {
    pub(crate) fn new(
        state: PathBuf,
        driver: Handle,
        fatal: mpsc::Sender<StoreError>,
    ) -> Arc<Self> {
        let (reading, known) = (Arc::new(Semaphore::new(1)), Mutex::default());
        Arc::new(Self { state, driver, fatal, reading, known })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last one and when it was made, where it is of the state below this slot.
    pub(crate) fn kept(&self, below: Slot) -> Option<(StateDigest, Instant)> {
        self.known().last.clone().filter(|(last, _)| last.executed_below == below)
    }

    /// The digest of the state below a slot, which may be executed a little later.
    pub(crate) async fn of(self: &Arc<Self>, below: Slot) -> DigestOutcome {
        if let Some((kept, made)) = self.kept(below)
            && made.elapsed() < FRESH
        {
            return DigestOutcome::Digest(Box::new(kept));
        }
        let wait = match self.join(below).map_or_else(|| self.begin(below), Ok) {
            Ok(wait) => wait,
            Err(reason) => return DigestOutcome::NotGiven { reason },
        };
        let mut outcome = wait.outcome.clone();
        let outcome = outcome.wait_for(Option::is_some).await;
        let outcome = outcome.ok().and_then(|outcome| outcome.clone());
        outcome.unwrap_or_else(|| DigestOutcome::NotGiven { reason: shutting_down() })
    }

    /// Waits with those who wait for the same one.
    fn join(&self, below: Slot) -> Option<Arc<Wait>> {
        let known = self.known();
        let (_, wait) = known.under_way.as_ref().filter(|(slot, _)| *slot == below)?;
        wait.upgrade()
    }

    fn begin(self: &Arc<Self>, below: Slot) -> Result<Arc<Wait>, String> {
        let busy = || "it reads its state at another slot, one at a time".to_owned();
        let permit = Arc::clone(&self.reading).try_acquire_owned().map_err(|_| busy())?;
        let (told, outcome) = watch::channel(None);
        let cancel = CancellationToken::new();
        let wait = Arc::new(Wait { outcome, _cancel: cancel.clone().drop_guard() });
        self.known().under_way = Some((below, Arc::downgrade(&wait)));
        let digests = Arc::clone(self);
        // Not among the tasks that block: it takes long, and at a lower priority.
        let thread = std::thread::Builder::new().name("digest".to_owned());
        let spawned = thread.spawn(move || {
            let outcome = digests.read(permit, below, &cancel);
            // Those who waited may have gone.
            let _ = told.send(Some(outcome));
        });
        spawned.map_err(|error| NotRead::NoThread(error).to_string())?;
        Ok(wait)
    }

    fn read(
        &self,
        _permit: OwnedSemaphorePermit,
        below: Slot,
        cancel: &CancellationToken,
    ) -> DigestOutcome {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let read = match runtime {
            Ok(runtime) => runtime.block_on(async {
                let read = cancel.run_until_cancelled(self.read_at(below, cancel)).await;
                read.unwrap_or(Err(NotRead::Cancelled))
            }),
            Err(error) => Err(NotRead::NoThread(error)),
        };
        match read {
            Ok(digest) => {
                self.known().last = Some((digest.clone(), Instant::now()));
                DigestOutcome::Digest(Box::new(digest))
            }
            Err(NotRead::NotPinned(NotPinned::Passed { executed_below })) => {
                DigestOutcome::Passed { executed_below }
            }
            Err(NotRead::NotPinned(NotPinned::NotReached { executed_below })) => {
                DigestOutcome::NotReached { executed_below }
            }
            Err(error) => {
                if let Some(fatal) = error.fatal() {
                    // Full means that somebody reported it already.
                    let _ = self.fatal.try_send(fatal.clone());
                }
                DigestOutcome::NotGiven { reason: error.to_string() }
            }
        }
    }

    async fn read_at(
        &self,
        below: Slot,
        cancel: &CancellationToken,
    ) -> Result<StateDigest, NotRead> {
        let connection = connect(&self.state).await.map_err(NotRead::NotOpened)?;
        let held = self.driver.pin(below).await?;
        let pinned = PinnedState::begin(connection).await.map_err(NotRead::NotOpened)?;
        drop(held);
        let executed_below = pinned.executed_below();
        if executed_below != below {
            // This thread was not let run for longer than executing stands still.
            return Err(NotPinned::Passed { executed_below }.into());
        }
        let until = Instant::now() + READ_AT_MOST;
        let [wal, ..] = beside(&self.state);
        let mut piece_began = Instant::now();
        let mut may_go_on = || {
            std::thread::sleep(piece_began.elapsed().min(LONGEST_REST));
            piece_began = Instant::now();
            let bytes = fs::metadata(&wal).map_or(0, |wal| wal.len());
            let free = Space::of_file(&self.state).map_or(u64::MAX, |space| space.free_bytes);
            if cancel.is_cancelled() {
                Err(NotRead::Cancelled)
            } else if Instant::now() > until {
                Err(NotRead::TooLong)
            } else if bytes > MOST_WAL_BYTES {
                Err(NotRead::WalTooLong { bytes })
            } else if free < DISK_RESERVE_BYTES + MOST_WAL_BYTES.saturating_sub(bytes) {
                Err(NotRead::NoRoom { free })
            } else {
                Ok(())
            }
        };
        pinned.digest(&mut may_go_on).await
    }
}

fn shutting_down() -> String {
    "the replica is shutting down".to_owned()
}
