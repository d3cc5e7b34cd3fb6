//! What is to be proposed (again), and what coordinators answer.

use std::sync::Arc;
use std::time::Duration;

use shared::ids::{BatchNumber, Epoch, Name, Slot};
use shared::message::EncodedValue;

use super::{Batching, Due, Stage};
use crate::replica::event::Attempt;
use crate::replica::status::Leader;

/// So much of what a coordinator says of a limit is kept, for those whom it hits.
/// Characters.
const LIMIT_CHARS: usize = 200;

impl Batching {
    /// What is to be proposed to the coordinator that leads now: what is ready, and what
    /// another one, or this one at another ballot, was asked for.
    pub(crate) fn due(&mut self, now: Duration, leader: &Leader) -> Vec<Due> {
        let first = self.flying.keys().next().copied();
        let mut due = Vec::new();
        for (number, batch) in &mut self.flying {
            let is_due = match &batch.stage {
                Stage::Starting | Stage::Chosen { .. } => false,
                Stage::Ready(_) => true,
                Stage::Proposed { ballot, .. } | Stage::Refused { ballot, .. } => {
                    *ballot != leader.ballot
                }
                Stage::Void(_) => first == Some(*number),
            };
            if let Some(value) = batch.stage.value().filter(|_| is_due).cloned() {
                self.attempts += 1;
                let attempt = Attempt(self.attempts);
                let to = leader.member.name.clone();
                batch.stage = Stage::Proposed {
                    value: value.clone(),
                    attempt,
                    to,
                    ballot: leader.ballot,
                    at: now,
                };
                due.push(Due { number: *number, attempt, value });
            }
        }
        due
    }

    /// Some time has passed: what was refused is ready again, and so is what got no
    /// answer.
    pub(crate) fn tick(&mut self, now: Duration, timeout: Duration) {
        for batch in self.flying.values_mut() {
            let again = match &batch.stage {
                Stage::Refused { value, .. } => Some(value),
                Stage::Proposed { value, at, .. } if now.saturating_sub(*at) >= timeout => {
                    Some(value)
                }
                Stage::Starting
                | Stage::Ready(_)
                | Stage::Proposed { .. }
                | Stage::Void(_)
                | Stage::Chosen { .. } => None,
            };
            if let Some(value) = again.cloned() {
                batch.stage = Stage::Ready(value);
            }
        }
    }

    /// A coordinator didn't take the proposal (for a limit, if it named one), or nobody
    /// knows: the coordinator, if that was the latest attempt. An answer to an earlier
    /// one says nothing about now.
    pub(crate) fn refused(
        &mut self,
        epoch: Epoch,
        number: BatchNumber,
        attempt: Attempt,
        limit: Option<&str>,
    ) -> Option<Name> {
        let batch = self.flying.get_mut(&number).filter(|_| epoch == self.epoch)?;
        match &batch.stage {
            Stage::Proposed { value, attempt: latest, to, ballot, .. } if *latest == attempt => {
                let to = to.clone();
                batch.stage = Stage::Refused { value: value.clone(), ballot: *ballot };
                batch.refused_for =
                    limit.map(|limit| limit.chars().take(LIMIT_CHARS).collect::<String>().into());
                Some(to)
            }
            Stage::Starting
            | Stage::Ready(_)
            | Stage::Proposed { .. }
            | Stage::Refused { .. }
            | Stage::Void(_)
            | Stage::Chosen { .. } => None,
        }
    }

    /// The limit for which a batch was refused last, if one was.
    pub(crate) fn refused_for(&self) -> Option<Arc<str>> {
        self.flying.values().find_map(|batch| batch.refused_for.clone())
    }

    /// The batch is chosen at a slot: its value, to be learned. Whichever attempt it was,
    /// it is a fact; but a slot that is executed already was void, or the batch would not
    /// be flying any more.
    pub(crate) fn chosen(
        &mut self,
        epoch: Epoch,
        number: BatchNumber,
        slot: Slot,
        executed_below: Slot,
    ) -> Option<EncodedValue> {
        let batch = self
            .flying
            .get_mut(&number)
            .filter(|_| epoch == self.epoch && slot >= executed_below)?;
        let value = batch.stage.value()?.clone();
        batch.stage = Stage::Chosen { value: value.clone(), slot };
        Some(value)
    }

    /// A copy of the batch was executed as void, because one before it is missing.
    pub(crate) fn out_of_order(&mut self, epoch: Epoch, number: BatchNumber, slot: Slot) {
        let Some(batch) = self.flying.get_mut(&number).filter(|_| epoch == self.epoch) else {
            return;
        };
        match &batch.stage {
            Stage::Chosen { slot: later, .. } if *later > slot => {}
            Stage::Starting
            | Stage::Ready(_)
            | Stage::Proposed { .. }
            | Stage::Refused { .. }
            | Stage::Void(_)
            | Stage::Chosen { .. } => {
                if let Some(value) = batch.stage.value().cloned() {
                    batch.stage = Stage::Void(value);
                }
            }
        }
    }
}
