//! Everything that the services say to each other.
//!
//! A write (W), a read (R), an election (E), the copying of the log (C) and a planned change of
//! the view (V):
//!
//! ```text
//! W  backup  ──ForwardedCommand──▶ primary                                   (where a client asked a backup; of the replica's crate)
//!    primary ──Proposal──▶ leading coordinator ──Accept──▶ acceptors
//!    primary ◀─ProposalReply─ coordinator      ◀─AcceptReply─ acceptors      (chosen: a quorum accepted at one ballot)
//!
//! R  replica ──GET /v1/watermarks──▶ acceptors                               (highest vote of a quorum, then execute up to it)
//!    replica ◀─Watermarks─────────── acceptors
//!
//! E  coordinator ──GET /v1/watermarks──▶ acceptors                           (has a quorum not heard from a leader?)
//!    coordinator ──Prepare──▶ acceptors
//!    coordinator ◀─PrepareReply─ acceptors                                   (paged: Prepare again from `next`)
//!
//! C  backup ──GET /v1/replication/log──▶ primary                             (or any replica that is ahead)
//!    backup ◀─ChosenPage──────────────── primary
//!    replica ──GET /v1/chosen──▶ leading coordinator                         (the other source)
//!    replica ──Heartbeat──▶ every coordinator                                (who is alive, who is primary, what is durable)
//!
//! V  replica ──PrimaryRequest──▶ leading coordinator ──Accept──▶ acceptors   (for an operator, who may want one out, or before it ends)
//!    replica ◀─PrimaryReply───── coordinator ◀─Heartbeat─ replicas           (the view is chosen, and one has executed it)
//! ```
//!
//! | message | sent by | to | answered by |
//! | --- | --- | --- | --- |
//! | [`Prepare`] | coordinator in Phase 1 | acceptor `POST /v1/prepare` | [`PrepareReply`] |
//! | [`Accept`] | leader | acceptor `POST /v1/accept` | [`AcceptReply`] |
//! | – | coordinators, replicas | acceptor `GET /v1/watermarks` | [`Watermarks`] |
//! | – | leader (recovery), people | acceptor `GET /v1/votes?from=` | [`VotesPage`] |
//! | [`SuccessionRequest`] | coordinators | acceptor `POST /v1/succession` | [`SuccessionReply`] |
//! | | all services, to ask | acceptor, coordinator, replica `GET /v1/succession` | [`KnownSuccession`] |
//! | [`Announcement`] | every service | acceptor `PUT /v1/members/{name}` | [`Announced`] |
//! | [`Proposal`] | primary | coordinator `POST /v1/proposals` | [`ProposalReply`] |
//! | [`Heartbeat`] | replica | coordinator `POST /v1/heartbeats` | [`HeartbeatReply`] |
//! | [`Ending`] | leader that ends | coordinator `POST /v1/endings` | [`HeartbeatReply`] |
//! | [`PrimaryRequest`] | replica | coordinator `POST /v1/primary` | [`PrimaryReply`] |
//! | [`AcceptorsRequest`] | replica | coordinator `POST /v1/acceptors` | [`AcceptorsReply`] |
//! | – | replicas | coordinator `GET /v1/chosen?cluster=&from=` | [`ChosenReply`] |
//! | – | replicas | replica `GET /v1/replication/log?cluster=&from=` | [`ChosenReply`] |
//! | – | replicas | replica `GET /v1/replication/snapshot?cluster=` | a snapshot, as a file |
//! | – | replicas | replica `GET /v1/replication/digest?cluster=&at=` | `DigestReply`, of the replica's crate |
//! | `Suspicion` | replica | replica `POST /v1/replication/suspicions` | `SuspicionReply` |
//! | `ForwardedCommand` | backup | replica `POST /v1/replication/commands` | `ForwardReply` |
//! | – | all services, as they end | acceptor `DELETE /v1/members/{name}?instance=` | nothing |
//!
//! Every request and every answer says of which cluster it is, but for what changes nothing
//! that must hold: who is there (`/v1/members`) is told by instance, and `/v1/watermarks`,
//! `/v1/votes` and `/v1/succession` are asked of anybody. Answers of acceptors carry the
//! roster, or the identity of an acceptor, which is of one roster only; those of
//! coordinators and replicas are [`OfCluster`]. Where the cluster is another one than the
//! reader's, or the reader doesn't know its own yet, nothing is learned or told.
//!
//! *Accepted is not chosen, chosen is not learned, learned is not executed.*

use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::chain::ChainHash;
use crate::ids::{
    Ballot, BatchNumber, ClusterId, CoordinatorId, Epoch, Instance, LogFormat, Name, Slot,
};

mod acceptors;
mod cluster;
mod members;
mod primary;
mod roster;
mod succession;
mod value;
mod vote;

pub use acceptors::*;
pub use cluster::*;
pub use members::*;
pub use primary::*;
pub use roster::*;
pub use succession::*;
pub use value::*;
pub use vote::*;

/// A primary asks for a batch to be chosen at some slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// The primary's cluster.
    pub cluster: ClusterId,
    /// The epoch of the batch.
    pub epoch: Epoch,
    /// The number of the batch in its epoch; proposing the same number again is safe,
    /// only one is executed.
    pub number: BatchNumber,
    /// The encoded [`Value::Batch`].
    pub value: EncodedValue,
}

/// The answer to [`Proposal`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalReply {
    /// The value was chosen.
    Chosen {
        /// Where.
        slot: Slot,
        /// At which ballot.
        ballot: Ballot,
        /// Every slot below is chosen.
        chosen_below: Slot,
    },
    /// This coordinator does not lead, so nothing was proposed.
    NotLeading,
    /// This request had nothing proposed (one before it may have): a limit was hit, named
    /// here.
    Overloaded {
        /// Which limit, in words.
        limit: String,
    },
    /// It was proposed, but leadership ended or the wait ran out before it was known to
    /// be chosen. It may be chosen yet.
    Unresolved,
}

/// A replica's sign of life, sent to every coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// The replica's cluster.
    pub cluster: ClusterId,
    /// Its name.
    pub replica: Name,
    /// This life of its process.
    pub instance: Instance,
    /// Where it is reached.
    pub url: String,
    /// The view it executed last.
    pub view: Option<View>,
    /// Every slot below is executed here.
    pub executed_below: Slot,
    /// The hash of the log below that slot: replicas of one history have the same.
    pub hash: ChainHash,
    /// Every slot below is executed here and fsynced.
    pub durable_below: Slot,
    /// The highest format of the log that this replica can read.
    pub highest_format: LogFormat,
    /// Whether its disk takes what executing writes: a primary that cannot execute is
    /// replaced.
    pub storage: Storage,
    /// A read waits for every slot below to be chosen: votes were seen that nobody seems
    /// to bring to an end.
    pub nudge_below: Option<Slot>,
}

/// Whether a service's disk takes more, as its last attempt to write found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// It does.
    Writable,
    /// It is full: mutations are refused until it is not.
    Full,
    /// Another process keeps the file from being written to.
    Locked,
}

/// The answer to [`Heartbeat`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatReply {
    /// Who answers.
    pub coordinator: CoordinatorId,
    /// Its state.
    pub phase: Phase,
    /// The ballot it leads at or prepares.
    pub ballot: Option<Ballot>,
    /// Every slot below is chosen, as far as it knows.
    pub chosen_below: Slot,
}

/// The state of a coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It stands by.
    Inactive,
    /// It has asked for promises.
    Phase1,
    /// It leads.
    Phase2,
}

/// A chosen slot, with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenEntry {
    /// The position in the log.
    pub slot: Slot,
    /// A ballot at which the value was chosen, or seen as chosen; two replicas may have
    /// seen different ones.
    pub ballot: Ballot,
    /// The value.
    pub value: EncodedValue,
}

/// All of a log below a slot: two replicas of one history have the same hash there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogPrefix {
    /// The first slot that is not in it.
    pub below: Slot,
    /// The hash of the slot before that one.
    pub hash: ChainHash,
}

/// A piece of the chosen log, or where to look for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChosenReply {
    /// Entries from the asked slot on, without a gap; none if none came within the wait.
    Entries {
        /// Ascending, contiguous.
        #[serde(deserialize_with = "bounded::list")]
        entries: Vec<ChosenEntry>,
        /// Every slot below is chosen, as far as the sender knows.
        chosen_below: Slot,
        /// The sender's log below the slot asked for, where it is a replica and has it.
        previous: Option<LogPrefix>,
    },
    /// The sender no longer has the slot asked for; its oldest is named.
    Trimmed {
        /// The oldest slot that the sender has.
        oldest: Slot,
    },
    /// The sender cannot serve this now (a coordinator that does not lead).
    Unavailable,
}

impl ChosenReply {
    /// Of a replica that does not know yet whether its log is that of the others: the hash
    /// to compare, and nothing of what is chosen, for it may be chosen in another history.
    #[must_use]
    pub fn only_hash(previous: Option<LogPrefix>) -> Self {
        Self::Entries { entries: Vec::new(), chosen_below: Slot(0), previous }
    }
}
