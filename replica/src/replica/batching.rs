//! The primary's batches: what waits, what flies, and what is to be proposed (again).
//!
//! Commands that arrive while a batch flies make the next one: natural batching, which
//! never waits for more to come. A batch is encoded once and keeps its epoch and number
//! however often it is proposed. Proposing it again is safe, because only the first copy
//! that is executed in its order counts, and necessary, because a proposal may be lost
//! with the coordinator that had it. It is done when it is *executed*: that it was chosen
//! says nothing yet, for it may be chosen in an order in which it is void.
//!
//! A request has one command here at most: who sends it again while that waits or flies
//! waits with the first one, and what comes of it is said of the request's identity.

mod clock;
mod flying;
mod footprint;
mod invariants;
mod making;
mod proposing;
mod requesters;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use shared::ids::{BatchNumber, Epoch};
use shared::message::LogPrefix;

use crate::machine::command::{AnswerRetention, Command, Op, limits};
use crate::machine::identity::RequestIdentity;
use crate::replica::config::Config;
use crate::replica::event::{LimitHit, NotApplied, RequestId};
pub(crate) use clock::{Counting, ReplicatedClock};
pub(crate) use flying::{Due, GivenUp, Joined, Made, Mutation};
use flying::{Flying, Stage};
use requesters::Requesters;

/// More than the encoding of a batch takes beside its commands.
const BATCH_OVERHEAD: usize = 64;

/// So many wait for what comes of one request: its client, again and again.
const REQUESTERS: usize = 16;

/// The batches of one primary in one epoch.
#[derive(Clone, Debug)]
pub(crate) struct Batching {
    pipeline: usize,
    batch_commands: usize,
    batch_bytes: usize,
    queue_limit: usize,
    queue_bytes_limit: usize,
    retention: AnswerRetention,
    epoch: Epoch,
    /// What is executed here, where the log's format has room for it.
    executed: Option<LogPrefix>,
    clock: ReplicatedClock,
    next_number: BatchNumber,
    queue: VecDeque<Mutation>,
    queued_bytes: usize,
    flying: BTreeMap<BatchNumber, Flying>,
    requesters: Requesters,
    attempts: u64,
}

impl Batching {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            pipeline: config.pipeline.max(1),
            // Beyond the limits of the format a batch is void.
            batch_commands: config.batch_commands.clamp(1, limits::BATCH_COMMANDS),
            batch_bytes: config.batch_bytes.min(limits::BATCH_BYTES - BATCH_OVERHEAD),
            queue_limit: config.queued_mutations,
            queue_bytes_limit: config.queued_bytes,
            retention: config.answers,
            epoch: Epoch(0),
            executed: None,
            clock: ReplicatedClock::starting_at(0, Duration::ZERO),
            next_number: BatchNumber(0),
            queue: VecDeque::new(),
            queued_bytes: 0,
            flying: BTreeMap::new(),
            requesters: Requesters::default(),
            attempts: 0,
        }
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn flying_mutations(&self) -> usize {
        self.flying.values().map(|batch| batch.mutations.len()).sum()
    }

    /// How many deletions of prefixes wait or fly.
    pub(crate) fn ranges(&self) -> usize {
        self.commands().map(|command| command.op.ranges()).sum()
    }

    /// How many roll-backs wait or fly.
    pub(crate) fn rollbacks(&self) -> usize {
        self.commands().filter(|command| command.op.is_rollback()).count()
    }

    /// Whether a compaction waits or flies.
    pub(crate) fn is_compacting(&self) -> bool {
        self.commands().any(|command| matches!(command.op.bare(), Op::Compact { .. }))
    }

    fn commands(&self) -> impl Iterator<Item = &Command> {
        let flying = self.flying.values().flat_map(|batch| &batch.mutations);
        self.queue.iter().chain(flying).map(|mutation| &mutation.command)
    }

    pub(crate) fn is_flying(&self) -> bool {
        !self.flying.is_empty()
    }

    /// Whether a coordinator has a batch whose fate is open: its slot may soon be learned
    /// from the answer.
    pub(crate) fn has_open_proposal(&self) -> bool {
        self.flying.values().any(|batch| matches!(batch.stage, Stage::Proposed { .. }))
    }

    /// Where the request's command waits or flies already, its requester waits with those
    /// who are there.
    ///
    /// # Errors
    /// When too many do, or when that command is another one.
    pub(crate) fn join(&mut self, id: RequestId, command: &Command) -> Result<Joined, NotApplied> {
        let request = command.request;
        if !self.requesters.knows(&request) {
            return Ok(Joined::No);
        }
        let known = self.commands().find(|known| known.request == request);
        if known.is_some_and(|known| known.op.digest() != command.op.digest()) {
            return Err(NotApplied::IdentityTaken);
        }
        if self.requesters.of(&request).len() >= REQUESTERS {
            let name = "requests that wait for one mutation";
            return Err(NotApplied::QueueFull(LimitHit::new(name, REQUESTERS)));
        }
        self.requesters.add(request, id);
        Ok(Joined::Yes)
    }

    /// Takes a mutation whose command is not here yet.
    ///
    /// # Errors
    /// When too many wait, or too many bytes.
    pub(crate) fn push(&mut self, id: RequestId, mutation: Mutation) -> Result<(), LimitHit> {
        let size = mutation.command.op.size();
        if self.queue.len() >= self.queue_limit {
            return Err(LimitHit::new("mutations that wait", self.queue_limit));
        }
        if self.queued_bytes + size > self.queue_bytes_limit {
            return Err(LimitHit::new("bytes of the mutations that wait", self.queue_bytes_limit));
        }
        self.queued_bytes += size;
        self.requesters.add(mutation.command.request, id);
        self.queue.push_back(mutation);
        Ok(())
    }

    /// Forgets a requester, and the mutation where it was the last one and that is not in
    /// a batch.
    pub(crate) fn give_up(&mut self, id: RequestId) -> GivenUp {
        let Some(request) = self.requesters.give_up(id) else { return GivenUp::NotHere };
        // Where another waits for it, it may happen yet.
        if !self.requesters.of(&request).is_empty() {
            return GivenUp::Flying;
        }
        let is_its = |mutation: &Mutation| mutation.command.request == request;
        let Some(at) = self.queue.iter().position(is_its) else { return GivenUp::Flying };
        let removed = self.queue.remove(at).expect("a position that was just found");
        self.queued_bytes -= removed.command.op.size();
        self.requesters.take(&request);
        GivenUp::Queued
    }

    /// When the oldest batch was made that flies.
    pub(crate) fn flying_since(&self) -> Option<Duration> {
        self.flying.values().next().map(|batch| batch.made)
    }

    /// Replicated time goes on to now, or stands still.
    pub(crate) fn count_time(&mut self, now: Duration, counting: Counting) {
        self.clock.look(now, counting);
    }

    /// What replicated time would be in a batch that is made now. Milliseconds.
    pub(crate) fn time_ms(&self, now: Duration) -> u64 {
        self.clock.clone().advance(now)
    }

    /// The batch was executed, with outcomes for these requests: takes those out who want
    /// to know, each list in the order in which they came.
    ///
    /// # Panics
    /// When the outcomes are not those of the mutations in the batch.
    pub(crate) fn executed(
        &mut self,
        epoch: Epoch,
        number: BatchNumber,
        requests: impl IntoIterator<Item = RequestIdentity>,
    ) -> Vec<Vec<RequestId>> {
        let Some(batch) = self.take_flying(epoch, number) else { return Vec::new() };
        let flew = batch.mutations.iter().map(|mutation| mutation.command.request);
        let requests: Vec<RequestIdentity> = requests.into_iter().collect();
        assert!(
            flew.eq(requests.iter().copied()),
            "invariant: the outcomes of batch {number} of epoch {epoch} are those of its requests"
        );
        requests.iter().map(|request| self.requesters.take(request)).collect()
    }

    /// The batch was executed as one that nobody can read: takes those out who want to
    /// know.
    pub(crate) fn unreadable(&mut self, epoch: Epoch, number: BatchNumber) -> Vec<RequestId> {
        let mutations = self.take_flying(epoch, number).map_or_else(Vec::new, |it| it.mutations);
        self.requesters_of(mutations)
    }

    fn take_flying(&mut self, epoch: Epoch, number: BatchNumber) -> Option<Flying> {
        if epoch == self.epoch { self.flying.remove(&number) } else { None }
    }

    fn requesters_of(&mut self, mutations: impl IntoIterator<Item = Mutation>) -> Vec<RequestId> {
        let take = |mutation: Mutation| self.requesters.take(&mutation.command.request);
        mutations.into_iter().flat_map(take).collect()
    }

    /// So much is executed: batches that are made from now on say so.
    pub(crate) fn note_executed(&mut self, executed: Option<LogPrefix>) {
        self.executed = executed;
    }

    /// This replica is primary in a new epoch, and time goes on from where the log left it.
    /// What flew in an older one is void from now on, so it goes back to the queue, ahead of
    /// what waited; what was given up goes nowhere.
    pub(crate) fn begin(&mut self, epoch: Epoch, clock: ReplicatedClock) {
        let flew: Vec<Mutation> = std::mem::take(&mut self.flying)
            .into_values()
            .flat_map(|batch| batch.mutations)
            .collect();
        for mutation in flew.into_iter().rev() {
            let request = &mutation.command.request;
            if self.requesters.of(request).is_empty() {
                self.requesters.take(request);
                continue;
            }
            self.queued_bytes += mutation.command.op.size();
            self.queue.push_front(mutation);
        }
        self.epoch = epoch;
        self.clock = clock;
        self.next_number = BatchNumber(0);
    }

    /// Takes everything out that waits: the requesters, in order.
    pub(crate) fn drain_queue(&mut self) -> Vec<RequestId> {
        self.queued_bytes = 0;
        let queue = std::mem::take(&mut self.queue);
        self.requesters_of(queue)
    }

    /// Takes everything out: the requesters of what flew and of what waited, in order.
    pub(crate) fn drain(&mut self) -> Vec<RequestId> {
        let flew = std::mem::take(&mut self.flying).into_values().flat_map(|batch| batch.mutations);
        let flew: Vec<Mutation> = flew.collect();
        let mut requesters = self.requesters_of(flew);
        requesters.extend(self.drain_queue());
        requesters
    }
}
