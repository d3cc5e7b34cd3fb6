//! What coordinators and replicas ask of an acceptor, and what it answers.

use serde::{Deserialize, Serialize};

use super::roster::Roster;
use super::value::EncodedValue;
use crate::bounded;
use crate::ids::{AcceptorId, Ballot, Draw, Slot};

/// What an acceptor has accepted: its latest vote for a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The position in the log.
    pub slot: Slot,
    /// The ballot it was accepted at.
    pub ballot: Ballot,
    /// What was accepted.
    pub value: EncodedValue,
}

/// Phase 1a: asks for a promise, and for every vote from a slot on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prepare {
    /// Whom the sender takes for the cluster.
    pub roster: Roster,
    /// The ballot to promise.
    pub ballot: Ballot,
    /// The first slot whose vote is asked for.
    pub from: Slot,
}

/// The answer to [`Prepare`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrepareReply {
    /// Phase 1b.
    Promise(Promise),
    /// A higher ballot was promised before.
    Nack(Nack),
    /// The acceptor belongs to no cluster or to another one.
    Stranger(Stranger),
}

/// Phase 1b: nothing below `ballot` will be accepted any more, and these are the votes so
/// far: one page of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// Who promises.
    pub acceptor: AcceptorId,
    /// The ballot promised.
    pub ballot: Ballot,
    /// The slot that was asked from; a trimmed slot is not reported as unvoted, see
    /// `trimmed_below`.
    pub from: Slot,
    /// All votes in `from..next` (to the end where `next` is none), ascending.
    #[serde(deserialize_with = "bounded::list")]
    pub votes: Vec<Vote>,
    /// Where the next page starts.
    pub next: Option<Slot>,
    /// The watermarks of the acceptor when it answered.
    pub marks: Marks,
}

/// An acceptor's watermarks: none of them ever goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// One above the highest slot ever voted in.
    pub voted_below: Slot,
    /// Every slot below is chosen, as far as a leader has said.
    pub chosen_below: Slot,
    /// Every slot below is chosen, executed durably by replicas, and gone from here.
    pub trimmed_below: Slot,
}

/// A refusal by the protocol: a higher ballot was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nack {
    /// Who refuses.
    pub acceptor: AcceptorId,
    /// What it has promised.
    pub promised: Ballot,
}

/// A refusal because sender and acceptor are not of one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranger {
    /// Who refuses.
    pub acceptor: AcceptorId,
    /// The cluster it belongs to, if any.
    pub roster: Option<Roster>,
}

/// Phase 2a: asks to accept values at a ballot. Without values it is the leader's sign of
/// life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// Whom the sender takes for the cluster.
    pub roster: Roster,
    /// The leader's ballot.
    pub ballot: Ballot,
    /// The values, ascending by slot, each slot once.
    #[serde(deserialize_with = "bounded::list")]
    pub proposals: Vec<SlotValue>,
    /// Every slot below is chosen.
    pub chosen_below: Slot,
    /// Every slot below may be trimmed: enough replicas hold it durably.
    pub trim_below: Slot,
}

/// A value for a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotValue {
    /// The position in the log.
    pub slot: Slot,
    /// What it is to hold.
    pub value: EncodedValue,
}

/// The answer to [`Accept`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcceptReply {
    /// Phase 2b.
    Accepted(Accepted),
    /// A higher ballot was promised before.
    Nack(Nack),
    /// The acceptor belongs to no cluster or to another one.
    Stranger(Stranger),
    /// Nothing was accepted: there is no room (disk, or the limit on untrimmed votes).
    Full(Full),
}

/// Phase 2b: the votes for these slots are on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Who accepted.
    pub acceptor: AcceptorId,
    /// The ballot of the votes.
    pub ballot: Ballot,
    /// The slots voted in. Those below `marks.trimmed_below` are left out: they are
    /// chosen, and gone from here. So are those for which there was no room, where there
    /// was room for others.
    #[serde(deserialize_with = "bounded::list")]
    pub slots: Vec<Slot>,
    /// The watermarks of the acceptor when it answered.
    pub marks: Marks,
    /// How much room for votes it has with these.
    pub room: VoteRoom,
}

/// What an acceptor's untrimmed votes take of what they may take. At the limit it refuses
/// all that is new, so the leader must have it trim before that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteRoom {
    /// Bytes of untrimmed votes.
    pub used_bytes: u64,
    /// The most of them.
    pub limit_bytes: u64,
}

/// An acceptor has no room for more votes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Full {
    /// Who refuses.
    pub acceptor: AcceptorId,
    /// Which limit was hit, in words.
    pub limit: String,
}

/// What an acceptor has *on disk*: asked by a quorum read and by coordinators that stand
/// by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermarks {
    /// Who answers.
    pub acceptor: AcceptorId,
    /// The cluster it belongs to, if any. Answers without it, or of another cluster,
    /// count for nothing.
    pub roster: Option<Roster>,
    /// What it drew for the cluster that it will form; of no use once it belongs to one.
    pub draw: Draw,
    /// The highest ballot promised.
    pub promised: Option<Ballot>,
    /// The watermarks.
    pub marks: Marks,
    /// Milliseconds since an [`Accept`] at the promised ballot, or a promise, or (if
    /// neither came in this life) the start.
    pub leader_silent_ms: u64,
}

/// One page of an acceptor's votes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VotesPage {
    /// Who answers.
    pub acceptor: AcceptorId,
    /// The cluster it belongs to, if any.
    pub roster: Option<Roster>,
    /// All votes in the asked range up to `next`, ascending.
    #[serde(deserialize_with = "bounded::list")]
    pub votes: Vec<Vote>,
    /// Where the next page starts.
    pub next: Option<Slot>,
    /// The watermarks.
    pub marks: Marks,
}
