//! Which proposals of an [`Accept`] get a vote, by what the acceptor holds and has room
//! for, and the records that cast it.

use shared::ids::Slot;
use shared::message::{Accept, Full, Marks, SlotValue};

use super::{AcceptError, Acceptor, Record, cost};
use crate::limits::Limits;

/// Which proposals of an [`Accept`] get a vote.
#[derive(Default)]
pub(super) struct AcceptPlan {
    /// To be recorded.
    pub(super) votes: Vec<SlotValue>,
    /// Voted in at the ballot, now or before.
    pub(super) slots: Vec<Slot>,
    /// There was no room for at least one.
    pub(super) refused: bool,
    /// What all votes cost with these.
    pub(super) used: usize,
}

impl Acceptor {
    /// The leader's invariant: one value per slot and ballot.
    pub(super) fn check_one_value(&self, accept: &Accept) -> Result<(), AcceptError> {
        let differs = |proposal: &&SlotValue| {
            let held = self.votes.get(&proposal.slot);
            held.is_some_and(|held| held.ballot == accept.ballot && held.value != proposal.value)
        };
        let Some(SlotValue { slot, value }) = accept.proposals.iter().find(differs) else {
            return Ok(());
        };
        let digest = |value: &[u8]| blake3::hash(value).to_hex().to_string();
        let held = digest(&self.votes[slot].value);
        Err(AcceptError::Conflict {
            slot: *slot,
            ballot: accept.ballot,
            held,
            offered: digest(value),
        })
    }

    /// Decides per proposal: a repeated one is voted for already, a trimmed slot is left
    /// out, and a new vote needs room.
    pub(super) fn place(&self, accept: &Accept, trimmed_below: Slot) -> AcceptPlan {
        let freed: usize =
            self.votes.range(..trimmed_below).map(|(_, vote)| cost(&vote.value)).sum();
        let mut used = self.vote_bytes - freed;
        let mut placed = AcceptPlan::default();
        for proposal in accept.proposals.iter().filter(|proposal| proposal.slot >= trimmed_below) {
            let held = self.votes.get(&proposal.slot);
            if held.is_none_or(|held| held.ballot != accept.ballot) {
                let with_it =
                    used - held.map_or(0, |held| cost(&held.value)) + cost(&proposal.value);
                if with_it > self.room(proposal.slot) {
                    placed.refused = true;
                    continue;
                }
                used = with_it;
                placed.votes.push(proposal.clone());
            }
            placed.slots.push(proposal.slot);
        }
        placed.used = used;
        placed
    }

    /// How many bytes all votes may have with a vote in this slot. See
    /// [`Limits::recovery_bytes`].
    fn room(&self, slot: Slot) -> usize {
        let Limits { vote_bytes, recovery_bytes, .. } = self.limits;
        if slot < self.marks.voted_below {
            vote_bytes.saturating_add(recovery_bytes)
        } else {
            vote_bytes
        }
    }

    pub(super) fn full(&self) -> Full {
        let limit = format!(
            "vote_bytes: {} bytes of untrimmed votes, {} are in use",
            self.limits.vote_bytes, self.vote_bytes
        );
        Full { acceptor: self.id, limit }
    }

    /// What turns the state into one with these votes and marks.
    pub(super) fn accept_records(
        &self,
        accept: &Accept,
        votes: Vec<SlotValue>,
        marks: Marks,
    ) -> Vec<Record> {
        let mut records = self.join(&accept.roster);
        let is_trimmed = marks.trimmed_below > self.marks.trimmed_below;
        if is_trimmed {
            let Marks { chosen_below, trimmed_below, .. } = marks;
            records.push(Record::Trimmed {
                below: trimmed_below,
                voted_below: self.marks.voted_below,
                chosen_below,
            });
        }
        let is_promise = self.promised != Some(accept.ballot);
        let is_news = marks.chosen_below > self.marks.chosen_below && !is_trimmed;
        if is_promise || is_news || !votes.is_empty() {
            records.push(Record::Voted {
                ballot: accept.ballot,
                votes,
                chosen_below: marks.chosen_below,
            });
        }
        records
    }
}
