//! The way to the writer for everyone else: a bounded queue in, and a snapshot of what is
//! on disk out.

use std::time::{Duration, Instant};

use shared::byte_budget::{BudgetSpent, ByteBudget, ByteShare};
use shared::ids::{AcceptorId, Ballot, ClusterId, Draw, Slot};
use shared::message::{
    Accept, AcceptReply, Marks, Prepare, PrepareReply, Roster, Succession, SuccessionReply,
    SuccessionRequest, VotesPage,
};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Span;

use crate::acceptor::{AcceptError, Acceptor};

/// Requests that may wait for the writer. As many as the server admits at once: more
/// can't come.
pub(crate) const QUEUE_REQUESTS: usize = 1_024;

/// Bytes of accepts that may be read or wait for the writer, several groups' worth.
pub(crate) const QUEUE_BYTES: usize = 256 << 20;

/// Why a request got no answer of the protocol. Nothing was recorded for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The queue is full.
    #[error("{limit} wait for the log")]
    Busy {
        /// Of what there is too much.
        limit: String,
    },
    /// The accepts that are being read or wait take all the memory that they may.
    #[error(transparent)]
    Full(#[from] BudgetSpent),
    /// No correct leader sends this.
    #[error(transparent)]
    Broken(#[from] AcceptError),
    /// The disk is full, and a promise can't be recorded.
    #[error("no space left on disk for the log: {0}")]
    NoSpace(String),
    /// The log failed or was closed. It may or may not have recorded the request; nobody
    /// is ever answered on its strength.
    #[error("the log is closed")]
    Closed,
}

/// What the writer is asked for.
#[derive(Debug)]
pub(crate) enum Job {
    Prepare(Prepare, Answer<PrepareReply>),
    Accept(Accept, Answer<AcceptReply>),
    Succession(SuccessionRequest, Answer<SuccessionReply>),
    Votes { from: Slot, limit: usize, answer: Answer<VotesPage> },
    Close,
}

/// Where the answer goes.
#[derive(Debug)]
pub(crate) struct Answer<R> {
    to: oneshot::Sender<Result<R, Refusal>>,
    /// The request's share of [`QUEUE_BYTES`], from before its body is read until it is
    /// answered.
    _held: Option<ByteShare>,
    /// That of the request, where it is recorded.
    span: Span,
}

impl<R> Answer<R> {
    /// A span of the sync that this answer waits for, where the request is recorded.
    pub(crate) fn sync_span(&self, bytes: usize, requests: usize) -> Option<Span> {
        (!self.span.is_disabled())
            .then(|| tracing::info_span!(parent: &self.span, "acceptor.sync", bytes, requests))
    }

    pub(crate) fn send(self, reply: Result<R, Refusal>) {
        let Self { to, _held: held, span: _ } = self;
        drop(held);
        // Who asked may have gone.
        let _gone = to.send(reply);
    }
}

/// How often the log was written to and synced since the process started, and how long that
/// took in all: of two looks, how long a sync takes between them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Syncs {
    pub(crate) count: u64,
    pub(crate) time: Duration,
}

/// The acceptor as far as it is on disk. Quorum reads rest on it: a vote is here before
/// anyone is told of it.
#[derive(Clone, Debug)]
pub(crate) struct Durable {
    pub(crate) acceptor: AcceptorId,
    pub(crate) draw: Draw,
    pub(crate) roster: Option<Roster>,
    /// The latest succession that it knows of.
    pub(crate) succession: Option<Succession>,
    /// Whether its generation has ended and it is in no later one.
    pub(crate) has_left: bool,
    pub(crate) promised: Option<Ballot>,
    pub(crate) marks: Marks,
    pub(crate) votes: usize,
    pub(crate) vote_bytes: usize,
    pub(crate) log_bytes: u64,
    pub(crate) log_segments: usize,
    pub(crate) syncs: Syncs,
    /// When it last heard from a leader: an accept at the promised ballot, a promise, or
    /// its own start.
    pub(crate) heard: Instant,
    /// When it last had to refuse a message of another cluster, unless it has taken one
    /// since.
    pub(crate) estranged: Option<Instant>,
    /// Of which cluster that was.
    pub(crate) estranged_in: Option<ClusterId>,
    /// When the disk was last found full, until it is found not to be.
    pub(crate) full: Option<Instant>,
}

impl Durable {
    pub(crate) fn of(acceptor: &Acceptor, now: Instant) -> Self {
        let mut durable = Self {
            acceptor: acceptor.id(),
            draw: acceptor.draw(),
            roster: None,
            succession: None,
            has_left: false,
            promised: None,
            marks: Marks::default(),
            votes: 0,
            vote_bytes: 0,
            log_bytes: 0,
            log_segments: 0,
            syncs: Syncs::default(),
            heard: now,
            estranged: None,
            estranged_in: None,
            full: None,
        };
        durable.update(acceptor);
        durable
    }

    pub(crate) fn update(&mut self, acceptor: &Acceptor) {
        if self.roster.as_ref() != acceptor.roster() {
            self.roster = acceptor.roster().cloned();
        }
        if self.succession.as_ref() != acceptor.succession() {
            self.succession = acceptor.succession().cloned();
        }
        self.has_left = acceptor.has_left();
        self.promised = acceptor.promised();
        self.marks = acceptor.marks();
        self.votes = acceptor.vote_count();
        self.vote_bytes = acceptor.vote_bytes();
    }
}

/// The way to the writer.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    jobs: mpsc::Sender<Job>,
    bytes: ByteBudget,
    durable: watch::Receiver<Durable>,
}

impl Handle {
    pub(crate) fn new(jobs: mpsc::Sender<Job>, durable: watch::Receiver<Durable>) -> Self {
        Self { jobs, bytes: ByteBudget::new(QUEUE_BYTES), durable }
    }

    pub(crate) async fn prepare(&self, prepare: Prepare) -> Result<PrepareReply, Refusal> {
        self.ask(None, |answer| Job::Prepare(prepare, answer)).await
    }

    /// The queue's bytes, of which an accept has its share from before its body is read.
    pub(crate) fn bytes(&self) -> &ByteBudget {
        &self.bytes
    }

    pub(crate) async fn accept(
        &self,
        accept: Accept,
        held: ByteShare,
    ) -> Result<AcceptReply, Refusal> {
        self.ask(Some(held), |answer| Job::Accept(accept, answer)).await
    }

    pub(crate) async fn succession(
        &self,
        request: SuccessionRequest,
    ) -> Result<SuccessionReply, Refusal> {
        self.ask(None, |answer| Job::Succession(request, answer)).await
    }

    pub(crate) async fn votes(&self, from: Slot, limit: usize) -> Result<VotesPage, Refusal> {
        self.ask(None, |answer| Job::Votes { from, limit, answer }).await
    }

    /// What is on disk now.
    pub(crate) fn durable(&self) -> Durable {
        self.durable.borrow().clone()
    }

    /// How many requests wait for the writer.
    pub(crate) fn waiting(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    /// Whether the writer has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.jobs.is_closed()
    }

    /// Lets the writer end once it has answered what waits.
    pub(crate) async fn close(&self) {
        // It has ended already where nobody receives.
        let _ended = self.jobs.send(Job::Close).await;
    }

    async fn ask<R>(
        &self,
        held: Option<ByteShare>,
        job: impl FnOnce(Answer<R>) -> Job,
    ) -> Result<R, Refusal> {
        let (to, reply) = oneshot::channel();
        match self.jobs.try_send(job(Answer { to, _held: held, span: Span::current() })) {
            Ok(()) => reply.await.unwrap_or(Err(Refusal::Closed)),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Err(Refusal::Busy { limit: format!("{QUEUE_REQUESTS} requests") })
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Refusal::Closed),
        }
    }
}
