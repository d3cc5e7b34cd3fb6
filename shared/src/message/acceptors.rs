//! An operator wants other acceptors: the request, and why it may be refused.

use serde::{Deserialize, Serialize};

use super::succession::Seated;
use crate::bounded;
use crate::ids::{ClusterId, Generation, Name};

/// An operator wants other acceptors. Sent by a replica to the leading coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptorsRequest {
    /// The cluster of whoever asks.
    pub cluster: ClusterId,
    /// The generation that the request is about; none: whichever there is.
    pub base: Option<Generation>,
    /// What is wanted.
    pub wanted: WantedAcceptors,
}

/// Which acceptors are wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WantedAcceptors {
    /// One in the place of another.
    Replace {
        /// The address of the one that leaves.
        leaves: String,
        /// The address of the one that comes.
        comes: String,
    },
    /// These and no others, by their addresses.
    All(#[serde(deserialize_with = "bounded::list")] Vec<String>),
}

/// The answer to [`AcceptorsRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcceptorsReply {
    /// These are the acceptors, and a coordinator leads with them.
    Changed {
        /// Who they are.
        seated: Seated,
        /// The services that have not shown in time that they know.
        not_heard: Vec<Name>,
    },
    /// This coordinator does not lead, so nothing was changed.
    NotLeading,
    /// Nothing was changed, and why.
    Refused(AcceptorsRefused),
    /// The change was proposed, but leadership ended or the wait ran out before it was
    /// known to be over. It may be yet.
    Unresolved,
}

/// Why the acceptors are not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcceptorsRefused {
    /// One at a time.
    #[error("another change of the acceptors is under way: ask again once it is over")]
    ChangeUnderWay,
    /// It was computed from a list that is none any more.
    #[error("the acceptors are of generation {present} by now: look at GET /v1/cluster")]
    OtherGeneration {
        /// Which one there is.
        present: Generation,
    },
    /// The addresses are no list of acceptors.
    #[error("{0}")]
    NoRoster(String),
    /// An acceptor cannot be one of them.
    #[error("{url} cannot be taken in: {why}")]
    Unfit {
        /// Its address.
        url: String,
        /// Why not, and what to do.
        why: String,
    },
    /// Another change came first.
    #[error("another change of the acceptors came first: look at GET /v1/cluster")]
    Overtaken,
    /// Those that are there have to end their generation, and cannot.
    #[error(
        "{needed} of the present acceptors have to end their generation, and these cannot: {missing}"
    )]
    CannotSeal {
        /// Which of them, and why.
        missing: String,
        /// A quorum.
        needed: usize,
    },
    /// Too few of them live.
    #[error("{living} of these {acceptors} acceptors answer and can write, and {needed} must")]
    NoQuorum {
        /// How many answered lately.
        living: usize,
        /// Of how many.
        acceptors: usize,
        /// A quorum.
        needed: usize,
    },
    /// What only the leaving acceptors may have must be at the replicas first.
    #[error("what is chosen has to be durable at the replicas first, and is not: {0}")]
    NotDurable(String),
    /// A service does not know of changes of the acceptors.
    #[error("{0} does not say that it can follow a change of the acceptors: upgrade it first")]
    OldService(String),
    /// A coordinator that was listed lately may run, and be an older program.
    #[error("{0} does not answer: start it, or ask again in 10 s, once it is listed no more")]
    SilentService(String),
}
