//! What the acceptor's core lets in: every limit has a name, a reason and a default.

use shared::bounds::{MAX_NUMBER, OPEN_SLOTS, ROUNDS_AHEAD, SLOTS_AHEAD, TooFar, within};
use shared::ids::{Ballot, Slot};
use shared::message::{Accept, Marks, Prepare, SlotValue};

/// What a vote costs beside its value: the map's entry, the ballot and the allocation,
/// rounded up. Bytes.
pub(crate) const VOTE_OVERHEAD: usize = 128;

/// The bounds of an acceptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Votes in one page of a promise, so that a promise is made in bounded time.
    pub page_votes: usize,
    /// Bytes of values in one page, so that a reply is read in bounded memory; a page
    /// always has room for one vote.
    pub page_bytes: usize,
    /// Bytes of untrimmed votes (each with 128 bytes of overhead) up to which slots above
    /// all others are voted in: votes are kept in memory.
    pub vote_bytes: usize,
    /// Bytes beyond `vote_bytes` that are kept for slots below the highest vote: a new
    /// leader must be able to bring them to an end, or nothing is ever executed, trimmed
    /// and freed again.
    pub recovery_bytes: usize,
    /// Bytes of one value.
    pub value_bytes: usize,
    /// Proposals in one `Accept`, so that it is handled in bounded time.
    pub proposals: usize,
    /// How far above `chosen_below` a slot may be. The highest vote never goes back and
    /// every slot below it has to be filled: a leader in its right mind has only a window
    /// of slots in flight.
    pub slots_ahead: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            page_votes: 256,
            page_bytes: 4 << 20,
            vote_bytes: 512 << 20,
            recovery_bytes: 128 << 20,
            value_bytes: 8 << 20,
            proposals: 4_096,
            slots_ahead: OPEN_SLOTS,
        }
    }
}

/// A message that no correct coordinator sends: it says nothing, and nothing is done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// See [`Limits::proposals`].
    #[error("{got} proposals in one accept, at most {limit} are taken")]
    TooManyProposals {
        /// How many came.
        got: usize,
        /// How many may come.
        limit: usize,
    },
    /// Slots ascend, each named once.
    #[error("slot {slot} is proposed after slot {before}: slots ascend and are named once")]
    Unordered {
        /// The slot out of order.
        slot: Slot,
        /// The slot before it in the message.
        before: Slot,
    },
    /// See [`Limits::value_bytes`].
    #[error("the value for slot {slot} has {got} bytes, at most {limit} are taken")]
    ValueTooLarge {
        /// Whose value.
        slot: Slot,
        /// Its bytes.
        got: usize,
        /// The bytes it may have.
        limit: usize,
    },
    /// See [`Limits::slots_ahead`].
    #[error("slot {slot} is too far ahead: slots are voted in below {limit}")]
    SlotTooFar {
        /// The slot proposed.
        slot: Slot,
        /// The first slot too far.
        limit: Slot,
    },
    /// What isn't chosen isn't executed, let alone durable.
    #[error("trim_below {trim_below} is above chosen_below {chosen_below}")]
    TrimAboveChosen {
        /// As sent.
        trim_below: Slot,
        /// As sent.
        chosen_below: Slot,
    },
    /// See [`shared::bounds`].
    #[error(transparent)]
    TooFar(#[from] TooFar),
}

impl Limits {
    /// Checks what can be said of an [`Accept`] by itself, and how far ahead of the
    /// acceptor's watermarks it is.
    pub(crate) fn check_accept(&self, accept: &Accept, marks: Marks) -> Result<(), Malformed> {
        let Accept { proposals, chosen_below: said_chosen_below, trim_below, .. } = accept;
        let chosen_below = marks.chosen_below;
        within("chosen_below", said_chosen_below.0, chosen_below.0, SLOTS_AHEAD)?;
        if trim_below > said_chosen_below {
            return Err(Malformed::TrimAboveChosen {
                trim_below: *trim_below,
                chosen_below: *said_chosen_below,
            });
        }
        if proposals.len() > self.proposals {
            return Err(Malformed::TooManyProposals {
                got: proposals.len(),
                limit: self.proposals,
            });
        }
        if let Some(pair) = proposals.windows(2).find(|pair| pair[0].slot >= pair[1].slot) {
            return Err(Malformed::Unordered { slot: pair[1].slot, before: pair[0].slot });
        }
        let slot_limit = Slot(
            chosen_below.max(*said_chosen_below).0.saturating_add(self.slots_ahead).min(MAX_NUMBER),
        );
        proposals.iter().try_for_each(|proposal| self.check_proposal(proposal, slot_limit))
    }

    fn check_proposal(
        &self,
        SlotValue { slot, value }: &SlotValue,
        slot_limit: Slot,
    ) -> Result<(), Malformed> {
        if *slot >= slot_limit {
            return Err(Malformed::SlotTooFar { slot: *slot, limit: slot_limit });
        }
        if value.len() > self.value_bytes {
            return Err(Malformed::ValueTooLarge {
                slot: *slot,
                got: value.len(),
                limit: self.value_bytes,
            });
        }
        Ok(())
    }
}

/// Checks how far a [`Prepare`] goes beyond what the acceptor has promised.
pub(crate) fn check_prepare(prepare: &Prepare, promised: Option<Ballot>) -> Result<(), TooFar> {
    within("slot", prepare.from.0, 0, MAX_NUMBER)?;
    check_round(prepare.ballot, promised)
}

/// Checks how far a ballot goes beyond what the acceptor has promised.
pub(crate) fn check_round(ballot: Ballot, promised: Option<Ballot>) -> Result<(), TooFar> {
    within("round", ballot.round, promised.map_or(0, |promised| promised.round), ROUNDS_AHEAD)
}
