//! The task that owns the pure replica: feeds it what happens, and does what it says.
//!
//! It decides nothing. Whatever takes time is a task of its own that ends with an input:
//! calls to other services (`calls`), executing (`executor`). Handlers speak to it
//! through a `Handle`.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks and starts tasks")]

mod calls;
mod checkpoints;
mod error;
mod executor;
mod handle;
mod news;
mod perform;
mod pin;
mod probed;
mod published;
mod snapshots;
mod spans;
mod timers;
mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use shared::discovery::{Acceptors, Mixups};
use shared::events::Events;
use shared::ids::{ClusterId, Instance, Name, Slot};
use shared::message::{Directory, DirectoryEntry, Member, View};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::machine::access::Access;
use crate::machine::change::ChangeCounts;
use crate::machine::state::RemovedReplica;
use crate::metrics::Measured;
use crate::replica::Replica;
use crate::replica::config::Config;
use crate::replica::event::{Answer, Claimant, Followed, Input, Refusal, RequestId};
use crate::replica::status::{Identity, Missing, Recovered};
use crate::snapshot::FetchProgress;
use crate::store::{Checkpointer, StoreError, Writer};
use calls::Calls;
use checkpoints::{Checkpoints, WalStatus};
pub(crate) use error::DriverError;
use error::executor_ended;
use executor::{Job, Orders, Results};
pub(crate) use handle::{Handle, MutationEnd, NotReleased, command};
use handle::{Message, Subscriptions, WAITING_MESSAGES};
use news::News;
pub(crate) use pin::NotPinned;
use pin::Pin;
pub(crate) use published::Published;
use snapshots::Snapshots;
use spans::BatchSpans;
use timers::Timers;
use waits::Untold;
pub(crate) use waits::{LockWaits, TooManyWait, Waiting};

/// The most results of calls that wait for the driver; whoever has one waits then.
const WAITING_INPUTS: usize = 1_024;
/// The most messages that are taken before it is published what they led to.
const MESSAGES_AT_ONCE: usize = 256;
/// The most entries in one answer to a peer that copies the log.
pub(crate) const LOG_PAGE_ENTRIES: usize = 1_024;
/// The most bytes in one, well under what a client of ours reads; a larger entry goes
/// alone.
pub(crate) const LOG_PAGE_BYTES: usize = 8 << 20;

/// What the driver is made of.
pub(crate) struct Parts {
    /// The core's limits and times.
    pub(crate) config: Config,
    /// Who this replica is.
    pub(crate) identity: Identity,
    /// Below which slot votes were cast when its state joined the cluster.
    pub(crate) joined_at: Slot,
    /// The connection that writes.
    pub(crate) writer: Writer,
    /// Makes durable what it wrote.
    pub(crate) checkpointer: Checkpointer,
    /// Of which cluster the state is, once that is known.
    pub(crate) joined: watch::Sender<Option<ClusterId>>,
    /// Where the state is.
    pub(crate) dir: PathBuf,
    /// What makes the state unusable while it is read.
    pub(crate) fatal: mpsc::Receiver<StoreError>,
    /// Those who wait for locks.
    pub(crate) waits: LockWaits,
    /// How many watch: what is executed is stored at once for them.
    pub(crate) watching: watch::Receiver<usize>,
    /// The acceptors by now.
    pub(crate) acceptors: watch::Receiver<Acceptors>,
    /// Has them asked at once who has followed them.
    pub(crate) follow: Arc<Notify>,
    /// The services that were heard from lately.
    pub(crate) members: watch::Receiver<Vec<Member>>,
    /// Which of them are mixed up.
    pub(crate) mixups: Mixups,
    /// What is counted.
    pub(crate) measured: Measured,
    /// What happens, for those who follow it.
    pub(crate) events: Arc<Events>,
}

/// Starts the driver. It runs until `stop`, or until it fails, and then says so by
/// `ending`; so it does where this replica is to end, and it goes on.
pub(crate) fn spawn(
    parts: Parts,
    stop: CancellationToken,
    ending: CancellationToken,
) -> (Handle, JoinHandle<Result<(), DriverError>>) {
    let (messages, message_queue) = mpsc::channel(WAITING_MESSAGES);
    let (driver, waits) = (Driver::new(&parts, ending.clone()), parts.waits.clone());
    let measured = parts.measured.clone();
    let (publish, published) = watch::channel(driver.publishable());
    let (publish_access, access) =
        watch::channel(parts.writer.access().cloned().unwrap_or_default());
    let said = Said { published: publish, access: publish_access };
    let running = tokio::spawn(async move {
        let result = Box::pin(driver.run(parts, message_queue, said, stop)).await;
        ending.cancel();
        result
    });
    (Handle::new(messages, Subscriptions { published, access }, waits, measured), running)
}

/// Where handlers are told what the replica is at.
#[derive(Debug)]
struct Said {
    published: watch::Sender<Published>,
    access: watch::Sender<Arc<Access>>,
}

/// Whom to tell what became of a request.
#[derive(Debug)]
enum Pending {
    Mutation { span: Span, reply: oneshot::Sender<Answer> },
    Read { reply: oneshot::Sender<Result<(), Refusal>> },
}

struct Driver {
    core: Replica,
    started: Instant,
    missing: Option<Missing>,
    timers: Timers,
    pending: BTreeMap<RequestId, Pending>,
    batches: BatchSpans,
    /// How many requests were its own: their numbers are counted from the highest down.
    own_requests: u64,
    wal: watch::Sender<WalStatus>,
    /// Of another replica's state.
    fetched: watch::Sender<FetchProgress>,
    /// What executing has changed in this life.
    changes: ChangeCounts,
    waits: LockWaits,
    /// Whose waiting for locks may have ended, by what is not stored yet.
    untold: Untold,
    /// How many watch.
    watching: watch::Receiver<usize>,
    /// What the core was told of those who watch, or wait for a lock.
    followed: Followed,
    joined: watch::Sender<Option<ClusterId>>,
    /// What was not believed of whom: it is said once.
    refused: BTreeSet<(Claimant, &'static str)>,
    measured: Measured,
    news: News,
    /// The primary of the view executed last.
    primary: Option<(Name, Instance)>,
    /// That this replica is out for good, once it is.
    removed: Option<RemovedReplica>,
    /// Has the process end.
    ending: CancellationToken,
}

/// What effects are done with.
struct EffectHandlers {
    calls: Calls,
    /// Has all acceptors asked who has followed them.
    follow: Arc<Notify>,
    jobs: mpsc::Sender<Job>,
    /// Has what is executed stored now.
    hurry: Arc<Notify>,
    /// Has the log below this slot forgotten.
    forget: watch::Sender<Slot>,
    /// Has the state of exactly one slot read.
    pins: mpsc::Sender<Pin>,
    snapshots: Snapshots,
}

impl Driver {
    fn new(parts: &Parts, ending: CancellationToken) -> Self {
        let meta = parts.writer.meta().clone();
        let durable_below = parts.writer.durable_below();
        let next_expiry_ms = parts.writer.next_expiry_ms();
        let cluster = *parts.joined.borrow();
        let primary = meta.view.as_ref().map(primary_of);
        let joined_at = parts.joined_at;
        let recovered = Recovered { cluster, joined_at, meta, next_expiry_ms, durable_below };
        Self {
            core: Replica::new(parts.config.clone(), parts.identity.clone(), recovered),
            started: Instant::now(),
            missing: None,
            timers: Timers::default(),
            pending: BTreeMap::new(),
            batches: BatchSpans::default(),
            own_requests: 0,
            wal: watch::Sender::default(),
            fetched: watch::Sender::default(),
            changes: ChangeCounts::default(),
            waits: parts.waits.clone(),
            untold: Untold::default(),
            watching: parts.watching.clone(),
            followed: Followed::default(),
            joined: parts.joined.clone(),
            refused: BTreeSet::new(),
            measured: parts.measured.clone(),
            news: News::new(Arc::clone(&parts.events)),
            primary,
            removed: None,
            ending,
        }
    }

    /// Says in the log, once, that slots are missing, and that they no longer are.
    fn say_what_is_missing(&mut self, missing: Option<Missing>) {
        match (self.missing, missing) {
            (None, Some(missing)) => tracing::error!("{missing}"),
            (Some(_), None) => tracing::info!("the slots that were missing have come"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        self.missing = missing;
    }

    async fn run(
        mut self,
        parts: Parts,
        mut messages: mpsc::Receiver<Message>,
        said: Said,
        stop: CancellationToken,
    ) -> Result<(), DriverError> {
        let Parts {
            config,
            identity,
            mut writer,
            checkpointer,
            dir,
            mut fatal,
            mut acceptors,
            follow,
            mut members,
            mixups,
            measured,
            ..
        } = parts;
        writer.weigh_above(config.retention.bytes);
        let (inputs, mut input_queue) = mpsc::channel(WAITING_INPUTS);
        // Its jobs are never more than one to execute and one to join.
        let (jobs, job_queue) = mpsc::channel(2);
        let (hurry, executing) = (Arc::new(Notify::new()), CancellationToken::new());
        let (forget, forget_log) = watch::channel(Slot(0));
        let (pins, pin_queue) = mpsc::channel(1);
        let checkpoints = Checkpoints::spawn(checkpointer, self.wal.clone(), measured.clone());
        let mut executor = tokio::spawn(executor::run(
            writer,
            checkpoints,
            job_queue,
            Results { inputs: inputs.clone(), access: said.access },
            Orders {
                hurry: hurry.clone(),
                forget_log,
                pins: pin_queue,
                shutdown: executing.clone(),
            },
            measured.clone(),
        ));
        let (install, mut new_state) = mpsc::channel(1);
        let snapshots = Snapshots {
            own: identity.name,
            dir,
            install,
            inputs: inputs.clone(),
            progress: self.fetched.clone(),
            running: JoinSet::new(),
        };
        let calls = Calls::new(inputs, acceptors.clone(), mixups, &config, measured);
        let mut handlers = EffectHandlers { calls, follow, jobs, hurry, forget, pins, snapshots };
        self.step(&mut handlers, Input::Started)?;
        let mut taken = Vec::with_capacity(MESSAGES_AT_ONCE);
        let result = loop {
            let due = self.timers.next();
            let stepped = tokio::select! {
                () = stop.cancelled() => break Ok(()),
                ended = &mut executor => return Err(executor_ended(ended)),
                Some(error) = fatal.recv() => break Err(error.into()),
                Some(state) = new_state.recv() => self.take_state(&mut handlers, state),
                Some(input) = input_queue.recv() => {
                    // It may start the next probe.
                    if matches!(input, Input::ProbeReply { .. }) {
                        gather(&mut messages, &mut taken).await;
                    }
                    let gathered = self.take(&mut handlers, taken.drain(..));
                    gathered.and_then(|()| self.step(&mut handlers, input))
                }
                count = messages.recv_many(&mut taken, MESSAGES_AT_ONCE), if !messages.is_closed() => {
                    debug_assert!(count <= MESSAGES_AT_ONCE);
                    gather(&mut messages, &mut taken).await;
                    self.take(&mut handlers, taken.drain(..))
                }
                Ok(()) = members.changed() => {
                    let directory = directory_of(&members.borrow_and_update());
                    self.step(&mut handlers, Input::Directory(directory))
                }
                Ok(()) = acceptors.changed() => {
                    let (count, generation) = {
                        let present = acceptors.borrow_and_update();
                        (present.clients.len(), present.generation())
                    };
                    self.step(&mut handlers, Input::Acceptors { count, generation })
                }
                () = sleep_until(due.unwrap_or(self.started)), if due.is_some() => self.fire(&mut handlers),
            };
            if let Err(error) = stepped {
                break Err(error);
            }
            let published = self.publishable();
            self.say_what_is_missing(published.status.missing);
            self.news.take(self.started.elapsed(), &published);
            said.published.send_replace(published);
        };
        // Whoever still has something to say must not wait for somebody to listen.
        drop(input_queue);
        executing.cancel();
        let ended = executor.await;
        result.and_then(|()| match (ended, self.removed) {
            (Ok(Ok(())), None) => Ok(()),
            (Ok(Ok(())), Some(removed)) => Err(DriverError::Removed(removed)),
            (ended, _) => Err(executor_ended(ended)),
        })
    }
}

/// What is ready to be done is done, and what comes of it is taken, too: so many reads share
/// a probe, and mutations a batch, that were about to ask for one each. Where nothing is
/// ready, nothing is waited for.
async fn gather(messages: &mut mpsc::Receiver<Message>, taken: &mut Vec<Message>) {
    tokio::task::yield_now().await;
    while taken.len() < MESSAGES_AT_ONCE
        && let Ok(message) = messages.try_recv()
    {
        taken.push(message);
    }
}

/// The primary of a view, in which life of its process.
fn primary_of(view: &View) -> (Name, Instance) {
    (view.primary.clone(), view.primary_instance)
}

/// The members as an acceptor would tell of them.
fn directory_of(members: &[Member]) -> Directory {
    let entry = |member: &Member| DirectoryEntry { member: member.clone(), age_ms: 0 };
    Directory { members: members.iter().map(entry).collect() }
}
