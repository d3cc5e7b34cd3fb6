//! What the replica wants done.

use std::time::Duration;

use shared::bounds::TooFar;
use shared::ids::{Accessor, BatchNumber, ClusterId, Epoch, Revision, Slot};
use shared::message::{ChosenEntry, Heartbeat, Member, Proposal, View};

use super::{
    Answer, Attempt, Claimant, FetchId, ProbeId, ProbeScope, Refusal, RequestId, Role, SourceKind,
    Timer,
};
use crate::machine::state::RemovedReplica;
use crate::replica::{Dispute, WrongHistory};

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
    /// The log here is not the history of the cluster: nothing can be done but to stop
    /// and say so.
    WrongHistory(WrongHistory),
    /// A batch says of the log before it what is not so here: worth a line in the log. Nothing is
    /// answered and that batch is not executed until another replica has said who is right.
    HistoryDisputed(Dispute),
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
    /// [`Input::BatchStarted`](super::Input::BatchStarted). Only for a batch with a
    /// sampled request.
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
        /// Names it in [`Input::Fetched`](super::Input::Fetched).
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
    /// Fetch the state of another replica as a whole, if it is newer than the one here,
    /// and end: the next life goes on from there. Or say that it cannot be had
    /// ([`Input::SnapshotFailed`](super::Input::SnapshotFailed)). One at a time, and one
    /// of both happens.
    FetchSnapshot {
        /// The other replica.
        source: Member,
        /// The cluster of this one, for the source to compare.
        cluster: ClusterId,
    },
    /// Execute these slots, and say so with [`Input::Executed`](super::Input::Executed).
    /// One at a time. It never fails: it is tried until it is done. Soon after that they
    /// are to be stored in the database, all or none of what one such effect has, and
    /// that is to be said, too ([`Input::Stored`](super::Input::Stored)). While the disk
    /// is full that is tried until it isn't.
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
        /// Names it in [`Input::ProbeReply`](super::Input::ProbeReply).
        probe: ProbeId,
        /// Which of them.
        asked: ProbeScope,
    },
    /// Find out at once who has followed the acceptors that are asked, for one of them tells
    /// of a later generation. What is found comes as
    /// [`Input::Acceptors`](super::Input::Acceptors).
    FollowAcceptors,
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
    /// Ask for a compaction at once, by an [`Input::Mutation`](super::Input::Mutation) of
    /// a request that nobody waits for.
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
