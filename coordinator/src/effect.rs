//! What goes into the core and what comes out of it.
//!
//! The shell performs each effect and feeds back what comes of it; the simulation does
//! the same in its own way. A message that is lost is simply never answered: the timers
//! bring it again.

use std::fmt;
use std::time::Duration;

use shared::bounds::TooFar;
use shared::ids::{Ballot, CoordinatorId, Instance, Slot};
use shared::message::{
    Accept, AcceptReply, AcceptorsReply, AcceptorsRequest, ChosenEntry, Heartbeat, Phase, Prepare,
    PrepareReply, PrimaryReply, PrimaryRequest, Proposal, ProposalReply, Roster, Succession,
    SuccessionReply, SuccessionRequest, View, Watermarks,
};

pub use crate::ids::{AcceptorIndex, PollNumber, RequestId};
use crate::membership::foreign::{ForeignAcceptor, WrongCluster};
use crate::membership::formation::FormationError;

/// Arming a timer again replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Time to ask all acceptors for their watermarks (Inactive).
    Poll,
    /// The candidate's random wait, or a back-off, is over (Inactive).
    Election,
    /// Time to send Prepare again or to give up (Phase 1).
    Prepare,
    /// Time for a sign of life, retransmissions, and a look at the view (Phase 2).
    Lead,
}

/// What an address that is to be one of an acceptor's was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundAcceptor {
    /// The address.
    pub url: String,
    /// The acceptor that answers there, or in words why none does.
    pub answer: Result<SuccessionReply, String>,
}

/// What a look at acceptors' addresses and at the services has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Who is at the addresses.
    pub found: Vec<FoundAcceptor>,
    /// A service that may not follow a change of the acceptors.
    pub left_behind: Option<LeftBehind>,
}

/// Why a service may not follow, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftBehind {
    /// It does not say that it can.
    Old(String),
    /// It was listed lately and does not answer.
    Silent(String),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The first input.
    Started,
    /// A timer ran out.
    Fired(Timer),
    /// An answer to [`Effect::PollWatermarks`].
    Watermarks {
        /// Where the poll went.
        from: AcceptorIndex,
        /// Which poll.
        poll: PollNumber,
        /// The answer.
        reply: Watermarks,
    },
    /// An answer to [`Effect::Prepare`].
    PrepareReply {
        /// Where the request went.
        from: AcceptorIndex,
        /// The ballot of the request.
        ballot: Ballot,
        /// The answer.
        reply: PrepareReply,
    },
    /// An answer to [`Effect::Accept`].
    AcceptReply {
        /// Where the request went.
        from: AcceptorIndex,
        /// The ballot of the request.
        ballot: Ballot,
        /// The answer.
        reply: AcceptReply,
    },
    /// A primary proposes a batch.
    Proposal {
        /// Named in the [`Effect::ProposalReply`].
        id: RequestId,
        /// What it proposes.
        proposal: Proposal,
    },
    /// A replica's sign of life.
    Heartbeat(Heartbeat),
    /// A replica asks for another primary.
    PrimaryRequest {
        /// Named in the [`Effect::PrimaryReply`].
        id: RequestId,
        /// Whom it asks for.
        request: PrimaryRequest,
    },
    /// An answer to [`Effect::Succession`].
    SuccessionReply {
        /// Where the request went.
        from: AcceptorIndex,
        /// The answer.
        reply: SuccessionReply,
    },
    /// An operator asks for other acceptors.
    Acceptors {
        /// Named in the [`Effect::AcceptorsReply`].
        id: RequestId,
        /// What is wanted.
        request: AcceptorsRequest,
        /// A look at the addresses in it, and at those of the present acceptors.
        survey: Survey,
    },
    /// What an [`Effect::Survey`] has shown.
    Surveyed {
        /// Named in the effect.
        id: RequestId,
        /// It.
        survey: Survey,
    },
    /// Another service says that a generation of the acceptors has ended.
    SuccessionTold(Succession),
    /// This life of a replica or of a coordinator is over, as its connections show. That
    /// wins time: what would follow from its silence follows at once. Nothing else rests
    /// on it.
    Ended(Instance),
    /// A coordinator says that this life of it is about to end. An election may follow, and
    /// nothing else.
    LeaderEnds(CoordinatorId),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask an acceptor for its watermarks.
    PollWatermarks {
        /// Whom.
        to: AcceptorIndex,
        /// To be given back with the answer.
        poll: PollNumber,
    },
    /// Send Phase 1a.
    Prepare {
        /// To whom.
        to: AcceptorIndex,
        /// What.
        message: Prepare,
    },
    /// Send Phase 2a. The shell may merge those of one ballot that wait for the same
    /// acceptor.
    Accept {
        /// To whom.
        to: AcceptorIndex,
        /// What.
        message: Accept,
    },
    /// Start a timer: it fires after `after` and a random time of at most `jitter`.
    Arm {
        /// Which; one that runs is replaced.
        timer: Timer,
        /// The certain wait.
        after: Duration,
        /// The bound of the random wait.
        jitter: Duration,
    },
    /// Answer a proposal. Each is answered at most once, and surely once leadership has
    /// ended or its value is chosen.
    ProposalReply {
        /// Which.
        id: RequestId,
        /// The answer.
        reply: ProposalReply,
    },
    /// Answer a request for another primary. Each is answered at most once, and surely once
    /// leadership has ended or a replica has executed the view.
    PrimaryReply {
        /// Which.
        id: RequestId,
        /// The answer.
        reply: PrimaryReply,
    },
    /// Tell an acceptor of a succession, or ask it.
    Succession {
        /// Whom.
        to: AcceptorIndex,
        /// What.
        request: SuccessionRequest,
    },
    /// There is an acceptor at an address that was not one before. Said before anything is
    /// sent there.
    NewAcceptor {
        /// Its place: one above the highest.
        at: AcceptorIndex,
        /// The address.
        url: String,
    },
    /// Answer a request for other acceptors. Each is answered at most once, and surely once
    /// leadership has ended or they are the acceptors.
    AcceptorsReply {
        /// Which.
        id: RequestId,
        /// The answer.
        reply: AcceptorsReply,
    },
    /// Look at these acceptors' addresses, and at all services, for the request for other
    /// acceptors of that name; see [`Input::Surveyed`]. Should that never come, the request
    /// is refused in time.
    Survey {
        /// Named in the [`Input::Surveyed`].
        id: RequestId,
        /// Where to look.
        urls: Vec<String>,
    },
    /// The end of a generation is chosen; to be logged.
    SuccessionKnown(Succession),
    /// The next generation of the acceptors is the present one from now on; to be logged.
    Succeeded(Succession),
    /// An entry was appended to the window of chosen values: wake who waits for it. In
    /// slot order.
    Chosen(ChosenEntry),
    /// To be logged.
    PhaseChanged(PhaseChange),
    /// The acceptors have lost votes, so nothing is proposed any more; to be logged, with
    /// the reason.
    VotesLost(String),
    /// A view was proposed; to be logged.
    ViewProposed {
        /// Where.
        slot: Slot,
        /// Which.
        view: View,
    },
    /// The cluster is known from now on; to be logged.
    RosterKnown(Roster),
    /// The acceptors do not make up a cluster; to be logged. Sent when the reason
    /// changes.
    NotACluster(FormationError),
    /// The acceptors are no longer those of the cluster: nothing can be done but to stop
    /// and say so. A coordinator keeps nothing that could be wrong; but that a quorum's data
    /// is gone is for people to know before a new, empty cluster takes its place.
    WrongCluster(WrongCluster),
    /// An acceptor said what cannot be so, and is not believed; to be logged.
    ClaimRefused {
        /// Where.
        at: AcceptorIndex,
        /// What.
        why: TooFar,
    },
    /// An answer came from an acceptor that has no vote in this cluster; to be logged.
    /// Sent once for each.
    ForeignAcceptor {
        /// Where.
        at: AcceptorIndex,
        /// Who.
        foreign: ForeignAcceptor,
    },
}

/// The coordinator went from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseChange {
    /// The state before.
    pub from: Phase,
    /// The state now.
    pub to: Phase,
    /// The ballot that begins, goes on, or ends.
    pub ballot: Ballot,
    /// Why.
    pub reason: Reason,
}

/// Why a coordinator changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A quorum of acceptors has not heard from a leader.
    LeaderSilent,
    /// The leader of a quorum of acceptors has ended, or was silent.
    LeaderEnded,
    /// No acceptor of a quorum ever promised anything: a fresh cluster.
    NoLeaderYet,
    /// All pages from a quorum of acceptors are here.
    Promised,
    /// An acceptor has promised this higher ballot.
    Outbid(Ballot),
    /// Phase 1 got no further.
    Phase1TimedOut,
    /// No quorum of acceptors answered the leader.
    QuorumSilent,
    /// The leader heard from no replica.
    ReplicasSilent,
    /// Other acceptors have followed.
    Succeeded,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeaderSilent => f.write_str("a quorum of acceptors has not heard from a leader"),
            Self::LeaderEnded => f.write_str("the leader has ended"),
            Self::NoLeaderYet => f.write_str("no acceptor has promised anything yet"),
            Self::Promised => {
                f.write_str("a quorum of acceptors promised and reported all its votes")
            }
            Self::Outbid(ballot) => {
                write!(f, "an acceptor has promised the higher ballot {ballot}")
            }
            Self::Phase1TimedOut => f.write_str("Phase 1 got no further"),
            Self::QuorumSilent => f.write_str("no quorum of acceptors answers"),
            Self::ReplicasSilent => {
                f.write_str("no replica is heard from, and another coordinator may hear them")
            }
            Self::Succeeded => f.write_str("other acceptors have followed"),
        }
    }
}
