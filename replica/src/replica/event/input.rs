//! What the replica is told.

use shared::ids::{BatchNumber, Epoch, Generation, Name, Revision, Slot};
use shared::message::{
    ChosenReply, Directory, HeartbeatReply, OfCluster, ProposalReply, Watermarks,
};

use super::{
    Attempt, FetchId, Followed, NoAnswer, ProbeId, RequestId, SnapshotFailure, Storage, Stored,
    Timer, Unswept, Weighed,
};
use crate::machine::command::{Command, TraceContext};
use crate::machine::execute::ExecutionReport;

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
        /// Names the request in its [`Effect::Answer`](super::Effect::Answer).
        id: RequestId,
        /// What is asked.
        command: Command,
        /// Where it may have been sent before: every slot below was executed by then.
        since: Option<Slot>,
        /// The wall clock when it came, in milliseconds since 1970: for people.
        wall_ms: u64,
    },
    /// Clients ask for linearizable reads: released after everything that was
    /// acknowledged before now is executed here.
    Reads {
        /// They name the requests in their [`Effect::Release`](super::Effect::Release).
        ids: Vec<RequestId>,
    },
    /// A client asks for a state at least that new (`Synod-Min-Revision`).
    WaitRevision {
        /// Names the request in its [`Effect::Release`](super::Effect::Release).
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
    /// The one outstanding [`Effect::FetchSnapshot`](super::Effect::FetchSnapshot) came
    /// to nothing.
    SnapshotFailed(SnapshotFailure),
    /// The entries of the one outstanding [`Effect::Execute`](super::Effect::Execute) are
    /// executed.
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
    /// So many deletions of many keys are executed whose keys are still to be swept, and
    /// so much of history. Said before the [`Input::Executed`] of those that are new.
    Unswept(Unswept),
    /// So much more of history is stored: each version is said once in a life of the process,
    /// by ascending revisions, and none while the database takes no more than
    /// [`Retention::bytes`](crate::replica::config::Retention::bytes).
    Weighed(Weighed),
    /// So many acceptors are asked from now on, of this generation.
    Acceptors {
        /// How many.
        count: usize,
        /// Which of the cluster's rosters they are.
        generation: Generation,
    },
    /// Somebody is to see the state of exactly the slots below this one: what is handed
    /// out to be executed at once does not go beyond it.
    StopAt(Slot),
    /// Whether somebody is to hear of what is executed as soon as it is. [`Followed::No`]
    /// before the first.
    Followed(Followed),
}
