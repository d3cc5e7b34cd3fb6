//! What travels over the simulated network: the services' own messages, and what the
//! shells add to tell answers apart.

use std::sync::Arc;

use coordinator::effect::PollNumber;
use replica::replica::event::{Attempt, FetchId, ProbeId};
use shared::discovery::Listing;
use shared::ids::{Ballot, BatchNumber, ClusterId, Epoch, Slot};
use shared::message::{
    Accept, AcceptReply, Announcement, ChosenReply, Heartbeat, HeartbeatReply, OfCluster, Prepare,
    PrepareReply, PrimaryReply, PrimaryRequest, Proposal, ProposalReply, Roster, SuccessionReply,
    SuccessionRequest, VotesPage, Watermarks,
};

use crate::operations::Outcome;
use crate::simulation::nodes::client::request::Request;
use crate::simulation::nodes::database::Database;
use crate::simulation::nodes::process::{Life, NodeId};

/// A message on its way. A request goes to whoever listens when it arrives; an answer
/// only to the life that asked, since it travels on the connection of its request.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The sender.
    pub from: NodeId,
    /// The sender's life, where an answer is to go.
    pub from_life: Life,
    /// The receiver.
    pub to: NodeId,
    /// The receiver's life, of an answer.
    pub to_life: Option<Life>,
    /// Of a request, how its sender names the call; of an answer, the call that it is
    /// for. 0 where nobody asks.
    pub call: u64,
    /// What is said.
    pub message: Message,
    /// Whether the network gives it twice.
    pub copy: Copied,
}

/// Where the answer to a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Return {
    /// To whom.
    pub to: NodeId,
    /// In which life.
    pub life: Life,
    /// For which call.
    pub call: u64,
}

impl Delivery {
    /// Where its answer goes.
    #[must_use]
    pub fn back(&self) -> Return {
        Return { to: self.from, life: self.from_life, call: self.call }
    }
}

/// Whether a message is one of two copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// It is the only one.
    No,
    /// It is one of two that have this number.
    Twin(u64),
    /// It is the second, and the receiver has taken the first in this life.
    Again,
}

/// Names a client's request on its way through replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// Everything that is said.
#[derive(Clone, Debug)]
pub enum Message {
    /// To an acceptor: `GET /v1/watermarks`, by a coordinator.
    Poll(PollNumber),
    /// Its answer.
    Polled(PollNumber, Watermarks),
    /// To an acceptor: `POST /v1/prepare`.
    Prepare(Prepare),
    /// Its answer, with the ballot of the request.
    Prepared(Ballot, PrepareReply),
    /// To an acceptor: `POST /v1/accept`.
    Accept(Accept),
    /// Its answer, with the ballot of the request.
    Accepted(Ballot, AcceptReply),
    /// To an acceptor: `GET /v1/votes?from=`, by the coordinator on behalf of a fetch.
    ReadVotes(Slot),
    /// Its answer.
    Votes(VotesPage),
    /// To an acceptor: `POST /v1/succession`.
    Succession(SuccessionRequest),
    /// Its answer.
    Succeeded(SuccessionReply),
    /// To an acceptor: `GET /v1/watermarks`, by a replica.
    Probe(ProbeId),
    /// Its answer.
    Probed(ProbeId, Watermarks),
    /// To an acceptor: `PUT /v1/members/{name}`.
    Announce(Announcement),
    /// Its answer.
    Listed(Listing),
    /// To a coordinator: `POST /v1/proposals`.
    Propose(Attempt, Proposal),
    /// Its answer, with the names of the request.
    Proposed(Epoch, BatchNumber, Attempt, OfCluster<ProposalReply>),
    /// To a coordinator: `POST /v1/primary`.
    AskPrimary(PrimaryRequest),
    /// Its answer.
    PrimaryAnswered(OfCluster<PrimaryReply>),
    /// To a coordinator: `POST /v1/heartbeats`.
    Heartbeat(Heartbeat),
    /// Its answer.
    HeartbeatReply(OfCluster<HeartbeatReply>),
    /// To a coordinator or replica: `GET /v1/chosen` or `GET /v1/replication/log`, with
    /// the asker's cluster, the first slot and the wait in milliseconds.
    Fetch(FetchId, ClusterId, Slot, u64),
    /// Its answer.
    Fetched(FetchId, OfCluster<ChosenReply>),
    /// To a replica: `GET /v1/replication/snapshot`, with the asker's cluster.
    FetchSnapshot(ClusterId),
    /// Its answer: the file.
    Snapshot(ClusterId, Arc<Database>),
    /// To a replica: a client's request, or one that another replica forwards.
    Call(CallId, Request),
    /// Its answer.
    Answer(CallId, Outcome),
    /// This request failed at once: nobody listens there and the connection was refused, a
    /// full disk takes no promise, or it is of another cluster.
    Refused(Box<Message>),
}

impl Message {
    /// Whether the network may give it twice. A client's request travels on one
    /// connection and is not sent again by itself.
    #[must_use]
    pub fn may_be_duplicated(&self) -> bool {
        !matches!(self, Self::Call(..) | Self::Answer(..) | Self::Refused(_) | Self::Snapshot(..))
    }

    /// The cluster that it speaks of.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        let of = |roster: &Option<Roster>| roster.as_ref().map(Roster::cluster);
        match self {
            Self::Polled(_, reply) | Self::Probed(_, reply) => of(&reply.roster),
            Self::Prepare(prepare) => Some(prepare.roster.cluster()),
            Self::Accept(accept) => Some(accept.roster.cluster()),
            Self::Votes(page) => of(&page.roster),
            Self::Announce(announcement) => announcement.cluster,
            Self::Listed(listing) => listing.cluster,
            Self::Propose(_, proposal) => Some(proposal.cluster),
            Self::Proposed(.., reply) => Some(reply.cluster()),
            Self::AskPrimary(request) => Some(request.cluster),
            Self::PrimaryAnswered(reply) => Some(reply.cluster()),
            Self::Heartbeat(heartbeat) => Some(heartbeat.cluster),
            Self::HeartbeatReply(reply) => Some(reply.cluster()),
            Self::Fetch(_, cluster, ..) => Some(*cluster),
            Self::Fetched(_, reply) => Some(reply.cluster()),
            Self::FetchSnapshot(cluster) | Self::Snapshot(cluster, _) => Some(*cluster),
            Self::Refused(request) => request.cluster(),
            // Asked of anybody, or answered to whoever named the cluster.
            Self::Poll(_)
            | Self::Succession(_)
            | Self::Succeeded(_)
            | Self::Probe(_)
            | Self::ReadVotes(_)
            | Self::Prepared(..)
            | Self::Accepted(..)
            | Self::Call(..)
            | Self::Answer(..) => None,
        }
    }

    /// A word for it, for traces.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Poll(_) => "poll",
            Self::Polled(..) => "polled",
            Self::Prepare(_) => "prepare",
            Self::Prepared(..) => "prepared",
            Self::Accept(_) => "accept",
            Self::Accepted(..) => "accepted",
            Self::ReadVotes(_) => "read-votes",
            Self::Succession(_) => "succession",
            Self::Succeeded(_) => "succeeded",
            Self::Votes(_) => "votes",
            Self::Probe(_) => "probe",
            Self::Probed(..) => "probed",
            Self::Announce(_) => "announce",
            Self::Listed(_) => "listed",
            Self::Propose(..) => "propose",
            Self::Proposed(..) => "proposed",
            Self::AskPrimary(_) => "ask-primary",
            Self::PrimaryAnswered(_) => "primary-answered",
            Self::Heartbeat(_) => "heartbeat",
            Self::HeartbeatReply(_) => "heartbeat-reply",
            Self::Fetch(..) => "fetch",
            Self::Fetched(..) => "fetched",
            Self::FetchSnapshot(_) => "fetch-snapshot",
            Self::Snapshot(..) => "snapshot",
            Self::Call(..) => "call",
            Self::Answer(..) => "answer",
            Self::Refused(_) => "refused",
        }
    }
}
