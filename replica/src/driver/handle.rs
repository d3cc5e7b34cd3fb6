//! How the HTTP handlers speak to the driver.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use shared::deadline::Deadline;
use shared::ids::{ClusterId, LeaseId, Revision, Slot};
use shared::message::ClusterError;
use shared::random;
use shared::repeat::Repeatable;
use shared::telemetry::TraceContext;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Span;

use super::pin::{Held, NotPinned, Pin};
use super::published::Published;
use super::waits::{LockWaits, TooManyWait, Waiting};
use crate::machine::access::Access;
use crate::machine::command::{Command, Op};
use crate::machine::identity::{IdempotencyKey, RequestDigest, RequestIdentity};
use crate::metrics::Measured;
use crate::replica::event::{Answer, LimitHit, NotApplied, Refusal, RequestId, Stall};
use crate::replica::status::{LogPage, Status};

/// The most messages that wait for the driver: a few for each request that the server
/// takes on at once.
pub(super) const WAITING_MESSAGES: usize = 4_096;
/// How long the driver may take to say what became of a request that was given up.
const GIVING_UP: Duration = Duration::from_millis(500);

/// A message to the driver.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "few messages wait, and most of them are mutations")]
pub(super) enum Message {
    /// Change something.
    Mutate {
        id: RequestId,
        command: Command,
        since: Option<Slot>,
        span: Span,
        reply: oneshot::Sender<Answer>,
    },
    /// Say when everything acknowledged before now is executed here.
    Read { id: RequestId, reply: oneshot::Sender<Result<(), Refusal>> },
    /// Say when a revision is executed here.
    WaitRevision { id: RequestId, revision: Revision, reply: oneshot::Sender<Result<(), Refusal>> },
    /// Give a request up.
    Cancel { id: RequestId },
    /// Have the state of exactly one slot read.
    Pin(Pin),
    /// Give a piece of the learned log.
    LogFrom { theirs: ClusterId, from: Slot, reply: oneshot::Sender<Result<LogPage, ClusterError>> },
}

/// Why a read is not released.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub(crate) enum NotReleased {
    /// The core says why.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The process ends.
    #[error("the replica is shutting down")]
    Closed,
}

/// What became of a mutation.
#[derive(Debug)]
pub(crate) enum MutationEnd {
    /// The core says what.
    Answered(Answer),
    /// The process ends, and it was never handed to the core.
    Closed,
    /// The process ended while it was under way.
    Lost,
}

/// Speaks to the driver. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    messages: mpsc::Sender<Message>,
    next_id: Arc<AtomicU64>,
    heard: Subscriptions,
    waits: LockWaits,
    measured: Measured,
}

/// What the replica says of itself, and of who may do what.
#[derive(Clone, Debug)]
pub(super) struct Subscriptions {
    pub(super) published: watch::Receiver<Published>,
    pub(super) access: watch::Receiver<Arc<Access>>,
}

impl Handle {
    pub(super) fn new(
        messages: mpsc::Sender<Message>,
        heard: Subscriptions,
        waits: LockWaits,
        measured: Measured,
    ) -> Self {
        Self { messages, next_id: Arc::default(), heard, waits, measured }
    }

    /// Who may do what, in a state that is no older than any that is read from now on.
    pub(crate) fn access(&self) -> Arc<Access> {
        Arc::clone(&self.heard.access.borrow())
    }

    /// The same, whenever it changes.
    pub(crate) fn watch_access(&self) -> watch::Receiver<Arc<Access>> {
        self.heard.access.clone()
    }

    /// A place to wait for what becomes of a lease's waiting.
    ///
    /// # Errors
    /// When too many wait.
    pub(crate) fn wait_for(&self, lease: LeaseId) -> Result<Waiting, TooManyWait> {
        self.waits.enter(lease)
    }

    /// What the replica says of itself.
    pub(crate) fn published(&self) -> Published {
        self.heard.published.borrow().clone()
    }

    /// Has a look at how the replica is, without a copy of all of it: each mutation does.
    pub(crate) fn with_status<T>(&self, look: impl FnOnce(&Status) -> T) -> T {
        look(&self.heard.published.borrow().status)
    }

    /// The cluster, once a quorum of acceptors has said so in this life. Each request asks, and
    /// needs no copy of all the rest.
    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.heard.published.borrow().status.cluster
    }

    /// What the replica says of itself, whenever it changes.
    pub(crate) fn watch(&self) -> watch::Receiver<Published> {
        self.heard.published.clone()
    }

    /// Has a command executed, in the span of the work at hand, unless it was: it may have
    /// been sent before where it says `since` which slot it is not below.
    pub(crate) async fn mutate(
        &self,
        (command, since): (Command, Option<Slot>),
        deadline: Deadline,
    ) -> MutationEnd {
        let id = self.id();
        let (reply, answer) = oneshot::channel();
        let span = Span::current();
        match self.messages.try_send(Message::Mutate { id, command, since, span, reply }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                let full = NotApplied::QueueFull(too_many_messages());
                self.measured.mutation_refused(&full);
                return MutationEnd::Answered(Answer::NotApplied(full));
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return MutationEnd::Closed,
        }
        match self.answer(id, answer, deadline).await {
            Some(Ok(answer)) => MutationEnd::Answered(answer),
            Some(Err(_)) => MutationEnd::Lost,
            None => MutationEnd::Answered(Answer::Unknown(Stall::Slow)),
        }
    }

    /// Waits until everything that was acknowledged before now is executed here.
    pub(crate) async fn read(&self, deadline: Deadline) -> Result<(), NotReleased> {
        let id = self.id();
        let (began, (reply, answer)) = (Instant::now(), oneshot::channel());
        self.release(id, Message::Read { id, reply }, answer, deadline).await?;
        self.measured.read_wait_seconds.observe(began.elapsed().as_secs_f64());
        Ok(())
    }

    /// Waits until the state is at least at the revision.
    pub(crate) async fn at_least(
        &self,
        revision: Revision,
        deadline: Deadline,
    ) -> Result<(), NotReleased> {
        if self.heard.published.borrow().status.revision >= revision {
            return Ok(());
        }
        let id = self.id();
        let (reply, answer) = oneshot::channel();
        self.release(id, Message::WaitRevision { id, revision, reply }, answer, deadline).await
    }

    /// Waits until the tables have exactly the slots below this one, and has executing stand
    /// still there until what is given is dropped.
    pub(crate) async fn pin(&self, below: Slot) -> Result<Held, NotPinned> {
        let (reply, answer) = oneshot::channel();
        let sent = self.messages.try_send(Message::Pin(Pin { below, reply }));
        sent.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotPinned::Busy,
            mpsc::error::TrySendError::Closed(_) => NotPinned::Closed,
        })?;
        answer.await.unwrap_or(Err(NotPinned::Closed))
    }

    /// A piece of the learned log, for a replica of the cluster `theirs`.
    pub(crate) async fn log_from(
        &self,
        theirs: ClusterId,
        from: Slot,
    ) -> Option<Result<LogPage, ClusterError>> {
        let (reply, answer) = oneshot::channel();
        self.messages.try_send(Message::LogFrom { theirs, from, reply }).ok()?;
        answer.await.ok()
    }

    async fn release(
        &self,
        id: RequestId,
        message: Message,
        answer: oneshot::Receiver<Result<(), Refusal>>,
        deadline: Deadline,
    ) -> Result<(), NotReleased> {
        self.messages.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                let full = Refusal::QueueFull(too_many_messages());
                self.measured.read_refused(&full);
                NotReleased::Refused(full)
            }
            mpsc::error::TrySendError::Closed(_) => NotReleased::Closed,
        })?;
        match self.answer(id, answer, deadline).await {
            Some(Ok(result)) => Ok(result?),
            Some(Err(_)) => Err(NotReleased::Closed),
            None => Err(NotReleased::Refused(Refusal::GivenUp(Stall::Slow))),
        }
    }

    /// Waits for the answer; past the deadline gives the request up and waits for what is
    /// then said of it, which is at once unless the driver itself is stuck. A request
    /// whose client leaves is given up too.
    async fn answer<T>(
        &self,
        id: RequestId,
        mut answer: oneshot::Receiver<T>,
        deadline: Deadline,
    ) -> Option<Result<T, oneshot::error::RecvError>> {
        let mut given_up = CancelOnDrop { handle: self, id: Some(id) };
        if let Ok(answered) = deadline.bound(&mut answer).await {
            given_up.id = None;
            return Some(answered);
        }
        drop(given_up);
        tokio::time::timeout(GIVING_UP, answer).await.ok()
    }

    fn id(&self) -> RequestId {
        RequestId(self.next_id.fetch_add(1, Ordering::Relaxed))
    }
}

/// The command of a client who asks for this, by a key of its token's, by a name of the
/// sender's, or once, in the trace of the work at hand. Its identity is the same whether or
/// not a certificate says who asks: an attempt by an older service does not tell.
pub(crate) fn command(op: Op, key: Option<IdempotencyKey>, named: Option<Repeatable>) -> Command {
    // The same name on another request is another one.
    let of_name = |named: Repeatable| {
        let RequestDigest(digest) = op.digest();
        std::array::from_fn(|at| named.identity[at] ^ digest[at])
    };
    let drawn = || RequestIdentity::Drawn(named.map_or_else(random::identity, of_name));
    let own = |key: IdempotencyKey| match op.key_owner() {
        Some(by) => key.of_token(by),
        None => key,
    };
    let request = key.map(own).map_or_else(drawn, RequestIdentity::Keyed);
    Command { op, trace: TraceContext::current(), request }
}

fn too_many_messages() -> LimitHit {
    LimitHit::new("requests that wait for the replica", WAITING_MESSAGES)
}

struct CancelOnDrop<'a> {
    handle: &'a Handle,
    id: Option<RequestId>,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            // Where there is no room for it, the request ends with its answer instead.
            let _ = self.handle.messages.try_send(Message::Cancel { id });
        }
    }
}

#[cfg(test)]
mod tests;
