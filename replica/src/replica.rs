//! The replica's core: who executes what when, and who is answered.
//!
//! ```text
//! Mutation ─▶ batching ─Propose─▶ leading coordinator ─ProposalReply::Chosen─┐
//!                                                                            ▼
//!             other sources ─────────Fetched────────────────────────────▶ learner ─Execute─▶ shell ─Executed─▶ Answer
//!                                                                                              └────Stored───▶ Release
//! Read ─────▶ quorum reads ─Probe─▶ acceptors ─ProbeReply─▶ a slot to wait for ──────Store───────────────────────┘
//! ```
//!
//! **Who is primary** is itself part of the log: a replica takes mutations from the
//! execution of a view that names it *and this life of its process* until the execution
//! of one that doesn't. So a batch number is never used twice in an epoch, and nothing
//! that a deposed primary still proposes can take effect: it is void wherever it is
//! chosen. Executing a view that names another therefore settles what was open: it did
//! not happen and never will.
//!
//! **Executed and stored.** Mutations are answered from what executing them came to. The
//! database follows soon, or at once where somebody waits to read it: what others are told
//! to be executed is what it has.
//!
//! **Answers** come from executed results only. What was given up while in a batch is
//! unknown; everything else is definite.
//!
//! **Nothing here is trusted to arrive.** Proposals, fetches, probes and heartbeats are
//! made again by timers; late and repeated answers are facts (what was chosen stays
//! chosen) or are ignored (what was refused then says nothing about now).
//!
//! Not done here: leases for reads (a read always asks a quorum).
//!
//! The parts: `batching`, `compacting`, `learner`, `fetching`, `installing`, `history`,
//! `quorum_read`, `members`, `retaining`, `time`; below, `clients`, `network`, `removal` and
//! `execution` put them together, and `invariants` holds them against each other.

pub mod answer;
pub mod config;
pub mod event;
pub mod status;

mod batching;
mod compacting;
mod fetching;
mod history;
mod installing;
mod learner;
mod members;
mod quorum_read;
mod recent;
mod retaining;
mod time;

mod clients;
mod execution;
mod footprint;
mod invariants;
mod network;
mod removal;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use shared::ids::{ClusterId, Revision, Slot};
use shared::message::{ChosenReply, ClusterError, OfCluster, same_cluster};
use shared::page::PageLimits;

pub use self::footprint::Footprint;
use crate::machine::state::{Meta, RemovedReplica};
use crate::replica::batching::Batching;
use crate::replica::compacting::Compacting;
use crate::replica::config::Config;
use crate::replica::event::{
    Effect, Followed, Input, NoAnswer, RequestId, Storage, Stored, Timer, Unswept,
};
use crate::replica::fetching::Fetching;
use crate::replica::history::History;
pub use crate::replica::history::WrongHistory;
use crate::replica::installing::Installing;
pub use crate::replica::learner::Dispute;
use crate::replica::learner::Learner;
use crate::replica::members::Members;
use crate::replica::quorum_read::QuorumReads;
use crate::replica::recent::RecentRequests;
pub use crate::replica::status::{Identity, Leader, LogPage, Missing, Recovered, Status};

/// The pure replica.
#[derive(Clone, Debug)]
pub struct Replica {
    config: Config,
    identity: Identity,
    /// The cluster of the data.
    joined: Option<ClusterId>,
    /// Below which slot a quorum of them had voted when the data joined it.
    joined_at: Slot,
    /// That the data is out for good, once that was executed in this life.
    removed: Option<RemovedReplica>,
    /// The cluster of the acceptors, once a quorum has said so in this life.
    cluster: Option<ClusterId>,
    /// Since when it is known.
    cluster_since: Duration,
    history: History,
    /// As executed.
    meta: Meta,
    /// As readers see it.
    stored: Stored,
    /// Whether it is ordered to store what is executed.
    is_storing: bool,
    durable_below: Slot,
    storage: Storage,
    unswept: Unswept,
    followed: Followed,
    /// When the next lease or token ends, unless it is renewed. Milliseconds of replicated
    /// time.
    next_expiry_ms: Option<u64>,
    /// When replicated time was executed last in this life.
    time_as_of: Option<Duration>,
    /// When the timer for it fires, where it is armed.
    time_due: Option<Duration>,
    members: Members,
    batching: Batching,
    compacting: Compacting,
    /// The log below it was ordered to be forgotten, in this life.
    forgotten_below: Slot,
    recent: RecentRequests,
    learner: Learner,
    fetching: Fetching,
    installing: Installing,
    reads: QuorumReads,
    revision_waits: BTreeSet<(Revision, RequestId)>,
    propose_timer: Armed,
    search_timer: Armed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Armed {
    Yes,
    No,
}

impl Replica {
    /// A replica that has not started yet.
    #[must_use]
    pub fn new(config: Config, identity: Identity, recovered: Recovered) -> Self {
        Self {
            members: Members::new(identity.name.clone(), config.leader_expiry),
            batching: Batching::new(&config),
            compacting: Compacting::new(config.retention),
            forgotten_below: Slot(0),
            recent: RecentRequests::new(recovered.meta.executed_below),
            learner: Learner::new(&config, recovered.meta.executed_below, recovered.meta.hash),
            fetching: Fetching::new(),
            installing: Installing::default(),
            reads: QuorumReads::new(&config, recovered.meta.executed_below),
            revision_waits: BTreeSet::new(),
            propose_timer: Armed::No,
            search_timer: Armed::No,
            joined: recovered.cluster,
            joined_at: recovered.joined_at,
            removed: None,
            cluster: None,
            cluster_since: Duration::ZERO,
            history: History::of(recovered.meta.executed_below),
            stored: Stored::of(&recovered.meta),
            is_storing: false,
            meta: recovered.meta,
            durable_below: recovered.durable_below,
            storage: Storage::Writable,
            unswept: Unswept::default(),
            followed: Followed::default(),
            next_expiry_ms: recovered.next_expiry_ms,
            time_as_of: None,
            time_due: None,
            config,
            identity,
        }
    }

    /// Takes one input and says what is to be done, in order.
    ///
    /// # Panics
    /// When an invariant is broken; in debug builds all of them are checked after each
    /// step.
    pub fn step(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        self.step_all(now, [input])
    }

    /// Takes inputs that came together, in order, and says what is to be done after the last of
    /// them: mutations among them share a batch, where the first one would fly alone and the
    /// others wait for it.
    ///
    /// # Panics
    /// As [`step`](Self::step).
    pub fn step_all(
        &mut self,
        now: Duration,
        inputs: impl IntoIterator<Item = Input>,
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        let learned_before = self.learner.learned_below();
        self.count_time(now);
        for input in inputs {
            self.take(now, input, &mut effects);
        }
        if self.learner.learned_below() > learned_before {
            effects.push(Effect::Learned { below: self.learner.learned_below() });
        }
        self.execute_next(&mut effects);
        self.store_awaited(&mut effects);
        self.propose_due(now, &mut effects);
        self.fetch_missing(now, &mut effects);
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
        effects
    }

    fn take(&mut self, now: Duration, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Started => {
                effects.push(Effect::Arm {
                    timer: Timer::Heartbeat,
                    after: self.config.heartbeat_interval,
                    jitter: Duration::ZERO,
                });
                self.reads.fired(now, effects);
                self.compact_due(now, effects);
                self.look_for_removal(effects);
            }
            Input::Fired(timer) => self.fired(now, timer, effects),
            Input::Directory(directory) => self.members.update(directory),
            Input::Mutation { id, command, since, wall_ms } => {
                self.mutation(id, (command, since), wall_ms, effects)
            }
            Input::Reads { ids } => self.read(now, &ids, effects),
            Input::WaitRevision { id, revision } => self.wait_revision(id, revision, effects),
            Input::Cancel { id } => self.cancel(now, id, effects),
            Input::BatchStarted { epoch, number, trace } => {
                self.batching.started(epoch, number, trace)
            }
            Input::ProposalReply { epoch, number, attempt, reply } => {
                let reply = self.of_own_cluster(reply);
                self.proposal_reply(epoch, number, attempt, reply, (now, effects))
            }
            Input::Fetched { fetch, reply } => {
                self.fetched(now, fetch, self.of_own_cluster(reply), effects)
            }
            Input::SnapshotFailed(failure) => self.snapshot_failed(now, failure),
            Input::Executed(report) => self.executed(now, report, effects),
            Input::Stored(stored) => self.stored(now, stored, effects),
            Input::ProbeReply { probe, reply } => self.probe_reply(now, probe, reply, effects),
            Input::HeartbeatReply { from, reply } => {
                self.heartbeat_reply(now, &from, self.of_own_cluster(reply), effects)
            }
            Input::Durable(below) => self.durable_below = self.durable_below.max(below),
            Input::Storage(storage) => self.storage_changed(storage, effects),
            Input::Unswept(unswept) => self.unswept = unswept,
            Input::Weighed(weighed) => self.weighed(now, weighed, effects),
            Input::Acceptors { count, generation } => {
                self.reads.ask(now, (count, generation), effects)
            }
            Input::Followed(followed) => self.followed = followed,
            Input::StopAt(below) => self.learner.stop_at(below),
        }
    }

    /// An answer of another cluster is none, and so is one that comes before a quorum of
    /// acceptors has said in this life which one is our own.
    fn of_own_cluster<T>(&self, reply: Result<OfCluster<T>, NoAnswer>) -> Result<T, NoAnswer> {
        let own = self.cluster.ok_or(NoAnswer)?;
        reply?.for_cluster(own).map_err(|_other| NoAnswer)
    }

    fn fired(&mut self, now: Duration, timer: Timer, effects: &mut Vec<Effect>) {
        match timer {
            Timer::Heartbeat => {
                effects.push(Effect::Arm {
                    timer,
                    after: self.config.heartbeat_interval,
                    jitter: Duration::ZERO,
                });
                self.fetching.expire(now, self.config.fetch_timeout);
                self.learner.forget_silent(now);
                self.settle_history(now, effects);
                self.send_heartbeats(now, effects);
            }
            Timer::Probe => self.reads.fired(now, effects),
            Timer::ProbeRest => self.reads.ask_rest(effects),
            Timer::Propose => {
                self.propose_timer = Armed::No;
                self.batching.tick(now, self.config.proposal_timeout);
            }
            Timer::Search => {
                self.search_timer = Armed::No;
                if self.members.leader(now).is_none() {
                    self.send_heartbeats(now, effects);
                }
            }
            Timer::Fetch => self.fetching.retry(),
            Timer::FetchStall => self.look_whether_stalled(now, effects),
            Timer::Time => self.time_due = None,
            Timer::Compact => self.compact_due(now, effects),
        }
    }

    /// Every slot below is executed.
    #[must_use]
    pub fn executed_below(&self) -> Slot {
        self.meta.executed_below
    }

    /// Below which slot a quorum of acceptors had voted when its data joined the cluster.
    #[must_use]
    pub fn joined_at(&self) -> Slot {
        self.joined_at
    }

    /// A piece of the learned log from a slot on, for a peer of the cluster `theirs`: `GET
    /// /v1/replication/log`. While it may be of another history, a peer gets nothing but
    /// the hash of what it has already.
    ///
    /// # Errors
    /// When the peer is of another cluster, or a quorum of acceptors has not said yet in
    /// this life which one is our own.
    pub fn log_from(
        &self,
        theirs: ClusterId,
        from: Slot,
        limits: PageLimits,
    ) -> Result<LogPage, ClusterError> {
        same_cluster(self.cluster, theirs)?;
        Ok(match self.history {
            History::Unconfirmed | History::Disputed => match self.learner.prefix(from) {
                None if from < self.learner.learned_below() => LogPage::OnlyHash,
                previous => LogPage::Nothing(ChosenReply::only_hash(previous)),
            },
            History::Confirmed => self.learner.log_from(from, limits),
        })
    }
}
