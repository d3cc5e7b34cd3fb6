//! What can happen next.

use shared::ids::Instance;

use super::message::{CallId, Delivery};
use crate::simulation::nodes::process::{Life, NodeId};

/// Something that is due at a time.
#[derive(Debug)]
pub enum Event {
    /// A message arrives.
    Deliver(Box<Delivery>),
    /// A process's timer runs out, unless it was armed again.
    Timer {
        /// Whose.
        node: NodeId,
        /// In which life.
        life: Life,
        /// Which, as the process numbers them.
        timer: u8,
        /// Which arming.
        generation: u32,
    },
    /// Something that a process waits for on its own machine.
    Local {
        /// Whose.
        node: NodeId,
        /// In which life.
        life: Life,
        /// What.
        what: Local,
    },
    /// A client acts.
    Client(u8, ClientEvent),
    /// A process's pause is over.
    Wake(NodeId),
    /// A process is started, if it is down since this life.
    Start(NodeId, Life),
    /// A fault of the plan begins.
    FaultBegins(usize),
    /// A fault of the plan ends.
    FaultEnds(usize),
    /// What a fault of the plan waited for has come to this node.
    Ambush(usize, NodeId),
    /// An operator gives the acceptors by now to this service, for its next start.
    FlagsChanged(NodeId),
}

/// What a process waits for on its own machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// An acceptor's sync returns.
    Synced,
    /// A replica has executed, or joined its cluster.
    Commit,
    /// A replica's transaction commits that stores what it has executed.
    Store,
    /// A replica begins to sync its database.
    Checkpoint,
    /// That sync returns.
    Checkpointed,
    /// A replica reads its database for released reads.
    Serve,
    /// A service tells the acceptors that it is there.
    Announce,
    /// The server's time for a call is over.
    Deadline(u64),
    /// Calls to other services may have taken too long.
    CallsDue(CallKind),
    /// A fetch has waited long enough.
    FetchWaited(u64),
    /// A coordinator takes a process for ended, rightly or not.
    Ended(Instance),
    /// A coordinator's look at the acceptors that are to be is over.
    Surveyed,
}

/// Which of a process's calls, where several kinds have times of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// A coordinator's accepts.
    Accepts,
    /// The proposals that a coordinator waits for.
    Waits,
    /// A coordinator's questions for old votes.
    Votes,
    /// A replica's probes.
    Probes,
    /// A replica's proposals.
    Proposals,
    /// A replica's heartbeats.
    Heartbeats,
    /// A replica's fetch.
    Fetches,
    /// A replica's question for another one's state.
    Snapshots,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// It calls, or sends again what it has no answer to.
    Call,
    /// Its patience with this call is over.
    GiveUp(CallId),
}

impl Event {
    /// Whose clock it goes by, if any.
    #[must_use]
    pub fn clock(&self) -> Option<NodeId> {
        match self {
            Self::Timer { node, .. } => Some(*node),
            Self::Local { node, what, .. } if what.is_by_the_clock() => Some(*node),
            Self::Local { .. }
            | Self::Deliver(_)
            | Self::Client(..)
            | Self::Wake(_)
            | Self::Start(..)
            | Self::FaultBegins(_)
            | Self::FaultEnds(_)
            | Self::Ambush(..)
            | Self::FlagsChanged(_) => None,
        }
    }
}

impl Local {
    /// A number for it, for traces.
    #[must_use]
    pub fn kind(self) -> u64 {
        match self {
            Self::Synced => 0,
            Self::Commit => 1,
            Self::Checkpoint => 2,
            Self::Serve => 3,
            Self::Announce => 4,
            Self::Checkpointed => 5,
            Self::Store => 6,
            Self::Ended(instance) => 7 ^ instance.0 << 3,
            Self::Deadline(number) => 8 + 2 * number,
            Self::CallsDue(kind) => 5 << 32 | kind as u64,
            Self::FetchWaited(number) => 9 + 2 * number,
            Self::Surveyed => 6 << 32,
        }
    }

    /// Whether it is waited for by the machine's clock, and not by a disk.
    #[must_use]
    pub fn is_by_the_clock(self) -> bool {
        match self {
            Self::Synced
            | Self::Commit
            | Self::Store
            | Self::Checkpointed
            | Self::Serve
            | Self::Ended(_)
            | Self::Surveyed => false,
            Self::Checkpoint
            | Self::Announce
            | Self::Deadline(_)
            | Self::CallsDue(_)
            | Self::FetchWaited(_) => true,
        }
    }
}
