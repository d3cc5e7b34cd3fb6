//! What goes into the pure replica, and what comes out of it.
//!
//! The shell performs each [`Effect`] in order and feeds what comes of it back as an
//! [`Input`]. Nothing needs an answer: what is lost is asked again after a time. Only
//! [`Effect::Execute`], [`Effect::Store`], [`Effect::StartBatch`] and
//! [`Effect::FetchSnapshot`] must come to an end (or the process must).

use std::fmt;
use std::time::Duration;

use shared::bounds::TooFar;
use shared::ids::{Accessor, BatchNumber, ClusterId, Epoch, Name, Revision, Slot};
use shared::message::{
    ChosenEntry, ChosenReply, Directory, Heartbeat, HeartbeatReply, Member, OfCluster, Proposal,
    ProposalReply, View, Watermarks,
};

use crate::machine::chain::ChainHash;
use crate::machine::command::{Command, TraceContext};
use crate::machine::execute::ExecutionReport;
use crate::machine::state::{Meta, RemovedReplica};
use crate::replica::WrongHistory;
pub use crate::replica::answer::{Answer, LimitHit, NotApplied, Refusal, Stall};
pub use crate::replica::learner::Claimant;
pub use shared::message::Storage;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A client's request, numbered by the shell; never used twice in a life of the
    /// process.
    RequestId
}
number! {
    /// A quorum read's question to all acceptors.
    ProbeId
}
number! {
    /// A question for a piece of the log.
    FetchId
}
number! {
    /// One of the times that a batch is proposed.
    Attempt
}

/// A request to another service came to nothing: refused, timed out or broken off. It may
/// have been received all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAnswer;

/// Why another replica's state came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotFailure {
    /// That replica gave none: it is away, or refuses. To ask again costs it nothing.
    NotGiven,
    /// It gave one, of no use here: no newer than the state here, not whole, or not to be read.
    Useless,
}

/// What the replica is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The process starts. The first input, and only once.
    Started,
    /// An armed timer ran out.
    Fired(Timer),
    /// The services that were heard from lately.
    Directory(Directory),
    /// A client asks for a change.
    Mutation {
        /// Names the request in its [`Effect::Answer`].
        id: RequestId,
        /// What is asked.
        command: Command,
        /// Where it may have been sent before: every slot below was executed by then.
        since: Option<Slot>,
        /// The wall clock when it came, in milliseconds since 1970: for people.
        wall_ms: u64,
    },
    /// Clients ask for linearizable reads: released after everything that was acknowledged
    /// before now is executed here.
    Reads {
        /// They name the requests in their [`Effect::Release`].
        ids: Vec<RequestId>,
    },
    /// A client asks for a state at least that new (`Synod-Min-Revision`).
    WaitRevision {
        /// Names the request in its [`Effect::Release`].
        id: RequestId,
        /// The revision to wait for.
        revision: Revision,
    },
    /// The client's time ran out, or it left. Answered at once where the request is still
    /// waiting, else ignored.
    Cancel {
        /// The request.
        id: RequestId,
    },
    /// The span of a batch was started.
    BatchStarted {
        /// The epoch of the batch.
        epoch: Epoch,
        /// Its number in that epoch.
        number: BatchNumber,
        /// Its span, if it is sampled.
        trace: Option<TraceContext>,
    },
    /// A coordinator answered a proposal.
    ProposalReply {
        /// The epoch of the batch.
        epoch: Epoch,
        /// Its number in that epoch.
        number: BatchNumber,
        /// Which time it was.
        attempt: Attempt,
        /// What it said.
        reply: Result<OfCluster<ProposalReply>, NoAnswer>,
    },
    /// A source answered a fetch.
    Fetched {
        /// Which fetch.
        fetch: FetchId,
        /// What it said.
        reply: Result<OfCluster<ChosenReply>, NoAnswer>,
    },
    /// The one outstanding [`Effect::FetchSnapshot`] came to nothing.
    SnapshotFailed(SnapshotFailure),
    /// The entries of the one outstanding [`Effect::Execute`] are executed.
    Executed(ExecutionReport),
    /// What was executed so far is in the database: readers see it.
    Stored(Stored),
    /// An acceptor answered a probe.
    ProbeReply {
        /// Which probe.
        probe: ProbeId,
        /// What it said.
        reply: Result<Watermarks, NoAnswer>,
    },
    /// A coordinator answered a heartbeat.
    HeartbeatReply {
        /// Which coordinator.
        from: Name,
        /// What it said.
        reply: Result<OfCluster<HeartbeatReply>, NoAnswer>,
    },
    /// Every slot below is executed and fsynced.
    Durable(Slot),
    /// The disk filled up, or has room again.
    Storage(Storage),
    /// So many deletions of many keys are executed whose keys are still to be swept, and so
    /// much of history. Said before the [`Input::Executed`] of those that are new.
    Unswept(Unswept),
    /// So many acceptors are asked from now on.
    Acceptors(usize),
    /// Somebody is to see the state of exactly the slots below this one: what is handed out
    /// to be executed at once does not go beyond it.
    StopAt(Slot),
    /// Whether somebody is to hear of what is executed as soon as it is. [`Followed::No`]
    /// before the first.
    Followed(Followed),
}

/// Whether somebody watches what is executed, or waits for a lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Followed {
    /// Somebody does.
    Yes,
    /// Nobody does.
    #[default]
    No,
}

/// What is executed and not swept: how many deletions of many keys, and how much of history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Unswept {
    /// Of prefixes.
    pub prefixes: usize,
    /// Of the keys of leases that ended.
    pub leases: usize,
    /// So many revisions are compacted, and what the state does not have of them is not
    /// swept.
    pub revisions: u64,
}

impl Unswept {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        let Self { prefixes, leases, revisions } = self;
        prefixes + leases == 0 && revisions == 0
    }
}

/// How far the database has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Every slot below is executed and in it.
    pub executed_below: Slot,
    /// The revision of its state.
    pub revision: Revision,
    /// The hash of the slot before `executed_below`.
    pub hash: ChainHash,
    /// The epoch of its view.
    pub epoch: Epoch,
}

impl Stored {
    /// What is stored with this meta data.
    #[must_use]
    pub fn of(meta: &Meta) -> Self {
        let Meta { executed_below, revision, hash, .. } = *meta;
        Self { executed_below, revision, hash, epoch: meta.epoch() }
    }
}

/// What the replica waits for. Arming a timer again replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The next heartbeats are due.
    Heartbeat,
    /// A probe failed, or the next is due.
    Probe,
    /// A probe that asked a quorum may have to ask the others, too.
    ProbeRest,
    /// Batches may have to be proposed again.
    Propose,
    /// Mutations wait, and nobody is known to lead: the coordinators are asked.
    Search,
    /// A fetch failed, or may be made again.
    Fetch,
    /// The source of the log may have stalled.
    FetchStall,
    /// A lease may be due to end, or the log to hear of replicated time.
    Time,
    /// There may be history that is not to be kept.
    Compact,
}

/// Where a piece of the log is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// `GET /v1/replication/log?cluster=&from=` of another replica.
    Replica,
    /// `GET /v1/chosen?cluster=&from=` of a coordinator.
    Coordinator,
}

/// What the replica wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Fire the timer after a time, plus a random one up to `jitter`.
    Arm {
        /// Which timer; it replaces what was armed before.
        timer: Timer,
        /// The least wait.
        after: Duration,
        /// The most that is added at random.
        jitter: Duration,
    },
    /// The cluster is known: keep it with the data, before anything is executed.
    Join {
        /// The cluster.
        cluster: ClusterId,
        /// A quorum of acceptors has voted below this slot by now.
        at: Slot,
    },
    /// This replica was taken out for good, with the data that it has: it takes part no
    /// more. What its clients wait for may still be told; then it is to stop and say so.
    Removed(RemovedReplica),
    /// The acceptors belong to another cluster than the data: nothing can be done but to
    /// stop and say so.
    WrongCluster {
        /// The cluster of the data.
        expected: ClusterId,
        /// The cluster of the acceptors.
        found: ClusterId,
    },
    /// The log here is not the history of the cluster: nothing can be done but to stop and
    /// say so.
    WrongHistory(WrongHistory),
    /// Somebody said what cannot be so, and is not believed: worth a line in the log.
    ClaimRefused {
        /// Who.
        from: Claimant,
        /// What.
        why: TooFar,
    },
    /// The view changed, or what this replica is in it: worth a line in the log.
    RoleChanged {
        /// What it is now.
        role: Role,
        /// The view.
        view: View,
    },
    /// Start the span of a batch, link it with its requests, and say so at once with
    /// [`Input::BatchStarted`]. Only for a batch with a sampled request.
    StartBatch {
        /// The epoch of the batch.
        epoch: Epoch,
        /// Its number in that epoch.
        number: BatchNumber,
        /// The requests, in the order of their commands.
        requests: Vec<RequestId>,
    },
    /// Ask a coordinator to have a batch chosen.
    Propose {
        /// The coordinator.
        to: Member,
        /// Which time it is.
        attempt: Attempt,
        /// The batch.
        proposal: Proposal,
    },
    /// Ask for the log from a slot on. A fetch before this one is given up; where it goes
    /// on, what it brings late is of use, too.
    Fetch {
        /// Names it in [`Input::Fetched`].
        fetch: FetchId,
        /// What the source is.
        kind: SourceKind,
        /// The source.
        source: Member,
        /// The cluster of this replica, for the source to compare.
        cluster: ClusterId,
        /// The first slot asked for.
        from: Slot,
        /// How long the source may wait for something new, in milliseconds.
        wait_ms: u64,
    },
    /// Fetch the state of another replica as a whole, if it is newer than the one here, and
    /// end: the next life goes on from there. Or say that it cannot be had
    /// ([`Input::SnapshotFailed`]). One at a time, and one of both happens.
    FetchSnapshot {
        /// The other replica.
        source: Member,
        /// The cluster of this one, for the source to compare.
        cluster: ClusterId,
    },
    /// Execute these slots, and say so with [`Input::Executed`]. One at a time. It never
    /// fails: it is tried until it is done. Soon after that they are to be stored in the
    /// database, all or none of what one such effect has, and that is to be said, too
    /// ([`Input::Stored`]). While the disk is full that is tried until it isn't.
    Execute {
        /// Ascending, without a gap, from `executed_below` on.
        entries: Vec<ChosenEntry>,
    },
    /// Store now what was executed: somebody waits to read it.
    Store,
    /// Have the log below a slot forgotten: it is more than is to be kept.
    ForgetLog {
        /// The first slot that is kept.
        below: Slot,
    },
    /// Ask acceptors for their watermarks.
    Probe {
        /// Names it in [`Input::ProbeReply`].
        probe: ProbeId,
        /// Which of them.
        asked: ProbeScope,
    },
    /// Send a heartbeat.
    Heartbeat {
        /// The coordinator.
        to: Member,
        /// What to say.
        message: Heartbeat,
    },
    /// More of the log is learned: whoever waits for it can have it
    /// ([`Replica::log_from`](crate::replica::Replica::log_from)).
    Learned {
        /// Every slot below is learned.
        below: Slot,
    },
    /// Ask for a compaction at once, by an [`Input::Mutation`] of a request that nobody
    /// waits for.
    Compact {
        /// The oldest revision whose state is to be readable.
        revision: Revision,
        /// Who is to stand in the log for it, where somebody has to.
        by: Option<Accessor>,
    },
    /// Answer a mutation.
    Answer {
        /// The request.
        id: RequestId,
        /// What came of it.
        answer: Answer,
    },
    /// Serve these reads, from the database as it is now or newer.
    Release {
        /// The requests.
        ids: Vec<RequestId>,
        /// Every slot below is executed and stored.
        executed_below: Slot,
        /// The revision of that state.
        revision: Revision,
    },
    /// Refuse a read.
    Refuse {
        /// The request.
        id: RequestId,
        /// Why.
        refusal: Refusal,
    },
}

/// Which acceptors a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeScope {
    /// A majority: for each probe another one, so that all have as much to do, and best
    /// none that did not answer of late.
    Quorum,
    /// Those that were not asked by the probe yet.
    Rest,
    /// Every one.
    All,
}

impl ProbeScope {
    /// Takes these of all acceptors, which are in the order in which they are best asked.
    #[must_use]
    pub fn of<T>(self, mut acceptors: Vec<T>) -> Vec<T> {
        let quorum = acceptors.len() / 2 + 1;
        match self {
            Self::Quorum => acceptors.truncate(quorum),
            Self::Rest => drop(acceptors.drain(..quorum.min(acceptors.len()))),
            Self::All => {}
        }
        acceptors
    }
}

/// What a replica is in the view that it executed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// No view, or one that doesn't name it, or that names its life before a restart as
    /// primary.
    Waiting,
    /// It copies the primary's log.
    Backup,
    /// It takes mutations.
    Primary,
}

impl Role {
    /// Its name in `GET /v1/status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Backup => "backup",
            Self::Primary => "primary",
        }
    }
}
