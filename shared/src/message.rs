//! Everything that the services say to each other.
//!
//! A write (W), a read (R), an election (E) and the copying of the log (C):
//!
//! ```text
//! W  primary ──Proposal──▶ leading coordinator ──Accept──▶ acceptors
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
//! ```
//!
//! | message | sent by | to | answered by |
//! | --- | --- | --- | --- |
//! | [`Prepare`] | coordinator in Phase 1 | acceptor `POST /v1/prepare` | [`PrepareReply`] |
//! | [`Accept`] | leader | acceptor `POST /v1/accept` | [`AcceptReply`] |
//! | – | coordinators, replicas | acceptor `GET /v1/watermarks` | [`Watermarks`] |
//! | – | leader (recovery), people | acceptor `GET /v1/votes?from=` | [`VotesPage`] |
//! | [`Member`] | every service | acceptor `PUT /v1/members/{name}` | [`Directory`] |
//! | [`Proposal`] | primary | coordinator `POST /v1/proposals` | [`ProposalReply`] |
//! | [`Heartbeat`] | replica | coordinator `POST /v1/heartbeats` | [`HeartbeatReply`] |
//! | – | replicas | coordinator `GET /v1/chosen?from=` | [`ChosenReply`] |
//! | – | replicas | replica `GET /v1/replication/log?from=` | [`ChosenReply`] |
//!
//! *Accepted is not chosen, chosen is not learned, learned is not executed.*

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::chain::ChainHash;
use crate::ids::{
    AcceptorId, Ballot, BatchNumber, ClusterId, CoordinatorId, Draw, Epoch, Generation, Instance,
    LogFormat, Name, Slot,
};

/// The acceptors of one cluster: sorted, without repeats, an odd number of them.
///
/// The first one is made when the cluster forms, which needs every acceptor at once:
/// every coordinator then makes the same roster of the same answers, so forming needs no
/// agreement of its own. An acceptor adopts the first roster that names it and keeps it
/// on disk; one that lost its disk has another identity, is named by no roster and is
/// never counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Listed", into = "Listed")]
pub struct Roster {
    cluster: ClusterId,
    generation: Generation,
    acceptors: Vec<AcceptorId>,
}

/// A [`Roster`] as it is written, not checked yet.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Roster", deny_unknown_fields)]
struct Listed {
    cluster: ClusterId,
    generation: Generation,
    #[serde(deserialize_with = "bounded::list")]
    acceptors: Vec<AcceptorId>,
}

/// A list of acceptors is not a [`Roster`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// An even number of acceptors (or none) tolerates no more faults than one fewer.
    #[error("a cluster has an odd number of acceptors, at most {max}, not {0}", max = Roster::MAX_LEN)]
    Size(usize),
    /// Two of the addresses lead to the same acceptor.
    #[error("acceptor {0} is named twice")]
    Repeated(AcceptorId),
}

impl Roster {
    /// The most acceptors in a cluster: more make every write slower and tolerate faults
    /// that nobody has at once.
    pub const MAX_LEN: usize = 9;

    /// Sorts and checks a list of acceptors.
    ///
    /// # Errors
    /// When the number is even, zero or above [`Roster::MAX_LEN`], or one is named twice.
    pub fn new(
        cluster: ClusterId,
        generation: Generation,
        mut acceptors: Vec<AcceptorId>,
    ) -> Result<Self, RosterError> {
        if acceptors.len().is_multiple_of(2) || acceptors.len() > Self::MAX_LEN {
            return Err(RosterError::Size(acceptors.len()));
        }
        acceptors.sort_unstable();
        match acceptors.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(RosterError::Repeated(pair[0])),
            None => Ok(Self { cluster, generation, acceptors }),
        }
    }

    /// The roster of a cluster that forms of these acceptors. Its identity is a digest of
    /// what each has drawn, in the order of the acceptors: so whoever hears the same
    /// acceptors makes the same one, and an acceptor with another disk makes it another.
    ///
    /// # Errors
    /// As of [`Roster::new`].
    pub fn form(mut drawn: Vec<(AcceptorId, Draw)>) -> Result<Self, RosterError> {
        drawn.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        for (_, draw) in &drawn {
            hasher.update(&draw.0.to_le_bytes());
        }
        let digest = hasher.finalize();
        let (head, _) = digest.as_bytes().split_first_chunk::<8>().expect("a digest of 32 bytes");
        let acceptors = drawn.into_iter().map(|(acceptor, _)| acceptor).collect();
        Self::new(ClusterId(u64::from_le_bytes(*head)), Generation(0), acceptors)
    }

    /// The cluster's identity.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Which of the cluster's rosters this is.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The acceptors, in order.
    #[must_use]
    pub fn acceptors(&self) -> &[AcceptorId] {
        &self.acceptors
    }

    /// Whether the acceptor has a vote in this cluster.
    #[must_use]
    pub fn contains(&self, acceptor: AcceptorId) -> bool {
        self.acceptors.binary_search(&acceptor).is_ok()
    }

    /// The size of a majority: any two quorums share an acceptor.
    #[must_use]
    pub fn quorum(&self) -> usize {
        quorum(self.acceptors.len())
    }
}

/// The size of a majority of `acceptors`.
#[must_use]
pub fn quorum(acceptors: usize) -> usize {
    acceptors / 2 + 1
}

impl TryFrom<Listed> for Roster {
    type Error = RosterError;

    fn try_from(listed: Listed) -> Result<Self, RosterError> {
        Self::new(listed.cluster, listed.generation, listed.acceptors)
    }
}

impl From<Roster> for Listed {
    fn from(Roster { cluster, generation, acceptors }: Roster) -> Self {
        Self { cluster, generation, acceptors }
    }
}

/// What a slot holds, as bytes: the number of a [`LogFormat`], then a [`Value`] encoded in
/// it. Opaque to coordinators and acceptors.
pub type EncodedValue = Bytes;

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// Fills a hole; executing it changes nothing.
    Noop,
    /// Says who is primary from here on.
    View(View),
    /// Mutations, in the encoding of the replica crate.
    Batch(Batch),
}

impl Value {
    /// Encodes it in the first format, which every replica can read: so are all no-ops and
    /// views, by which replicas learn of another format.
    #[must_use]
    pub fn encode(&self) -> EncodedValue {
        self.encode_in(LogFormat::FIRST)
    }

    /// Encodes it once, for everyone. It counts only where the log has this format by then,
    /// or a later one.
    #[must_use]
    pub fn encode_in(&self, format: LogFormat) -> EncodedValue {
        let bytes = postcard::to_allocvec(&(format, self));
        Bytes::from(bytes.expect("encoding into memory does not fail"))
    }

    /// Splits an encoded value into the number of its format and what that format is to
    /// make sense of. This much is the same in every format.
    ///
    /// # Errors
    /// When the bytes don't begin with a number.
    pub fn format_of(bytes: &[u8]) -> Result<(LogFormat, &[u8]), postcard::Error> {
        postcard::take_from_bytes(bytes)
    }

    /// Reads a value encoded in any of the formats up to now: they have the same encoding.
    ///
    /// # Errors
    /// When the bytes are not the encoding of exactly one value.
    pub fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        let (_format, bytes) = Self::format_of(bytes)?;
        match postcard::take_from_bytes(bytes)? {
            (value, []) => Ok(value),
            (_, [_, ..]) => Err(postcard::Error::DeserializeBadEncoding),
        }
    }
}

/// Who is primary. Itself a chosen value: a view counts only if the epoch executed before
/// it is `epoch - 1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The number of this view: one above the view before it.
    pub epoch: Epoch,
    /// The only replica that takes mutations in this epoch …
    pub primary: Name,
    /// … and only in this life of its process, so that a number of a batch is never used
    /// twice in an epoch.
    pub primary_instance: Instance,
    /// The other replicas, in order of their names.
    #[serde(deserialize_with = "bounded::list")]
    pub backups: Vec<Name>,
    /// The format of the log from here on: never lower than before, and one that all of
    /// these replicas have said they can read. Whoever cannot must not go on.
    pub format: LogFormat,
}

impl View {
    /// Whether the replica is the primary or a backup.
    #[must_use]
    pub fn contains(&self, replica: &Name) -> bool {
        self.primary == *replica || self.backups.contains(replica)
    }
}

/// Mutations that one primary proposes together. Executed only in its epoch and in the
/// order of its number, else void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The epoch of the primary that made it.
    pub epoch: Epoch,
    /// Its number in that epoch, from 0.
    pub number: BatchNumber,
    /// The commands, in the encoding of the replica crate.
    pub commands: Bytes,
}

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

/// The kind of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// A durable voter.
    Acceptor,
    /// A distinguished proposer.
    Coordinator,
    /// A learner that executes the chosen log.
    Replica,
    /// The front door.
    Balancer,
}

impl Service {
    /// Its name as it stands in `service` fields, spans and flags.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acceptor => "acceptor",
            Self::Coordinator => "coordinator",
            Self::Replica => "replica",
            Self::Balancer => "balancer",
        }
    }
}

/// A service as it announces itself to the acceptors, which keep it for a short while:
/// how services find each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name, unique in the cluster.
    pub name: Name,
    /// What it is.
    pub service: Service,
    /// Where the others reach it, for instance `http://127.0.0.1:8301`.
    pub url: String,
    /// This life of its process; a coordinator's is also its [`CoordinatorId`].
    pub instance: Instance,
}

/// The services that an acceptor has heard from lately, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// In order of their names.
    #[serde(deserialize_with = "bounded::list")]
    pub members: Vec<DirectoryEntry>,
}

/// The answer to an announcement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// The acceptor that answers, as it is listed itself.
    pub acceptor: Member,
    /// Who is there.
    pub directory: Directory,
    /// The names by which more than one process announces itself.
    #[serde(deserialize_with = "bounded::list")]
    pub conflicts: Vec<NameConflict>,
    /// Whether another process had the announcer's name a moment ago: it may have ended,
    /// or yet turn out to live.
    pub is_contested: bool,
}

/// Two processes that live now and have one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameConflict {
    /// The one that is listed: it was there before.
    pub listed: Member,
    /// The other one.
    pub rival: Member,
}

/// A member and how fresh the news of it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryEntry {
    /// The service.
    pub member: Member,
    /// Milliseconds since it announced itself.
    pub age_ms: u64,
}

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

/// Whether a replica's disk takes more, as its last attempt to write found it.
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
