//! "Persist before answering", as types.
//!
//! An acceptor "records its intended response in stable storage before actually sending
//! the response" (Lamport, *Paxos Made Simple*, section 2.5). So the core hands out no
//! reply: it hands out a [`Decision`] that holds [`Record`]s for the log to write, and
//! gives up its reply only for a [`Persisted`], which only the log makes, after its sync.

use serde::{Deserialize, Serialize};
use shared::ids::{Ballot, Slot};
use shared::message::{Roster, SlotValue, Succession};

/// A change of an acceptor's state. The state is the sum of its records and nothing else;
/// see [`Acceptor::replay`](crate::acceptor::Acceptor::replay).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// It belongs to this cluster, for good, and votes in its first roster.
    Joined(Roster),
    /// Phase 1b: it accepts nothing below this ballot any more.
    Promised(Ballot),
    /// Phase 2b: it voted, and has thereby promised the ballot too. Without votes it only
    /// promises, or learns what is chosen.
    Voted {
        /// The ballot of all these votes.
        ballot: Ballot,
        /// The votes, ascending by slot.
        votes: Vec<SlotValue>,
        /// Every slot below is chosen.
        chosen_below: Slot,
    },
    /// The votes below were dropped. The other marks stand here too, since the records
    /// that raised them go with the votes.
    Trimmed {
        /// Every slot below is chosen and on disk at enough replicas.
        below: Slot,
        /// One above the highest slot voted in up to here.
        voted_below: Slot,
        /// Every slot below is chosen.
        chosen_below: Slot,
    },
    /// The generation that it votes in has ended, so it votes in it no more.
    Sealed(Box<Succession>),
    /// It votes in the generation that this begins. What it voted for before is chosen and
    /// durable elsewhere, or was never chosen: it is dropped.
    Opened(Box<Succession>),
}

/// What the core would do with a message: what it would record and answer. Nothing has
/// changed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan<R> {
    pub(crate) records: Vec<Record>,
    pub(crate) reply: R,
}

impl<R> Plan<R> {
    /// What would be recorded: the log must have room for it before the core commits to
    /// the plan.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The same, with the reply as the shell amends it by what it alone knows.
    #[must_use]
    pub fn amended(self, amend: impl FnOnce(&mut R)) -> Self {
        let Self { records, mut reply } = self;
        amend(&mut reply);
        Self { records, reply }
    }

    /// What would be answered.
    #[must_use]
    pub fn reply(&self) -> &R {
        &self.reply
    }
}

/// What the core has done with a message: what to record, then what to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the records must be persisted and the reply sent"]
pub struct Decision<R> {
    /// To be written and synced, in order, after the records of every decision before it.
    pub records: Vec<Record>,
    reply: R,
}

impl<R> Decision<R> {
    pub(crate) fn new(records: Vec<Record>, reply: R) -> Self {
        Self { records, reply }
    }

    /// Gives up the reply, for the proof that the records are on disk. A decision without
    /// records needs it as much: its reply may rest on what an earlier one recorded.
    pub fn persisted(self, _proof: Persisted) -> R {
        self.reply
    }
}

/// The proof that the records of a decision, and of all before it, are on disk.
#[derive(Clone, Copy, Debug)]
pub struct Persisted(());

impl Persisted {
    /// Asserts that everything recorded so far survives a crash. Called in two places: by
    /// the log after a sync that succeeded, and by the simulation once its disk holds the
    /// records.
    #[must_use]
    pub fn assert_synced() -> Self {
        Self(())
    }
}
