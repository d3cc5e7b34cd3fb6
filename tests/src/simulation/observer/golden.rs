//! The chosen log, executed once more by the same pure function: what every replica must agree with.

use std::collections::{BTreeMap, BTreeSet};

use replica::execute::{Decoded, apply};
use replica::outcome::{CommandOutcome, Executed, SlotOutcome, VoidReason};
use replica::working_set::WorkingSet;
use shared::ids::Slot;
use shared::message::{ChosenEntry, View};

use super::Votes;
use crate::linearizability::history::OperationId;
use crate::linearizability::witness::Write;
use crate::simulation::commands;
use crate::simulation::node::NodeId;
use crate::simulation::reach::{Reach, Reached};

/// The log as it must have been executed.
#[derive(Debug)]
pub struct Golden {
    state: WorkingSet,
    slots: Vec<Executed>,
    operations: BTreeMap<OperationId, (Slot, CommandOutcome)>,
    not_applied: BTreeSet<OperationId>,
    writes: Vec<Write>,
    /// What was executed while there was but one replica in the view; all, while there is no more than one.
    alone_below: Slot,
}

impl Golden {
    /// Nothing executed yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: WorkingSet::complete(),
            slots: Vec::new(),
            operations: BTreeMap::new(),
            not_applied: BTreeSet::new(),
            writes: Vec::new(),
            alone_below: Slot(u64::MAX),
        }
    }

    /// The state after everything chosen without a gap.
    #[must_use]
    pub fn state(&self) -> &WorkingSet {
        &self.state
    }

    /// Every executed mutation, by revision.
    #[must_use]
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// Where a mutation was executed, if it was.
    #[must_use]
    pub fn operation(&self, operation: OperationId) -> Option<Slot> {
        self.operations.get(&operation).map(|(slot, _)| *slot)
    }

    /// On how many replicas everything below a slot must be durable before it is trimmed. A leader that says so has a durable mark
    /// from a heartbeat, and with it a view at least as new.
    #[must_use]
    pub fn copies_needed(&self, below: Slot) -> usize {
        if below <= self.alone_below { 1 } else { 2 }
    }

    /// Executes what is chosen.
    pub fn advance(&mut self, votes: &Votes, reach: &mut Reach) {
        loop {
            let slot = self.state.meta().executed_below;
            if slot >= votes.chosen_below() {
                return;
            }
            let value = votes.chosen(slot).expect("below the chosen watermark").clone();
            // The ballot says nothing about what is executed.
            let ballot = shared::ids::Ballot { round: 0, coordinator: shared::ids::CoordinatorId(0) };
            let entry = ChosenEntry { slot, ballot, value };
            let view = self.state.meta().view.clone();
            let executed = apply(&mut self.state, &entry);
            drop(self.state.take_changes());
            self.note(&entry, &executed, view, reach);
            self.slots.push(executed);
        }
    }

    fn note(&mut self, entry: &ChosenEntry, executed: &Executed, before: Option<View>, reach: &mut Reach) {
        match &executed.outcome {
            SlotOutcome::Noop => {}
            SlotOutcome::View(view) => {
                if view.backups.is_empty() {
                    self.alone_below = Slot(u64::MAX);
                } else if self.alone_below == Slot(u64::MAX) {
                    self.alone_below = entry.slot;
                }
                if before.is_some_and(|before| before.primary != view.primary) {
                    reach.hit(Reached::ViewChanged);
                }
            }
            SlotOutcome::Batch { outcomes, .. } => self.note_batch(entry, outcomes, reach),
            SlotOutcome::Void(reason) => match reason {
                VoidReason::ViewOutOfOrder { .. } => reach.hit(Reached::VoidView),
                VoidReason::OtherEpoch { .. } => reach.hit(Reached::VoidOldEpoch),
                VoidReason::OutOfOrder { .. } => reach.hit(Reached::VoidOutOfOrder),
                VoidReason::Undecodable | VoidReason::ViewTooLarge { .. } | VoidReason::Unreadable { .. } => {
                    panic!("invariant: services propose what can be read: {reason}")
                }
            },
        }
    }

    fn note_batch(&mut self, entry: &ChosenEntry, outcomes: &[CommandOutcome], reach: &mut Reach) {
        let Decoded::Batch { commands: Ok(commands), .. } = Decoded::new(&entry.value) else {
            unreachable!("a batch was executed")
        };
        if outcomes.len() > 1 {
            reach.hit(Reached::Batched);
        }
        for (command, outcome) in commands.commands.iter().zip(outcomes) {
            let operation = commands::operation(command);
            let before = self.operations.insert(operation, (entry.slot, *outcome));
            assert!(before.is_none(), "invariant: {operation:?} is executed once, not at {before:?} and again at {}", entry.slot);
            let refused = self.not_applied.contains(&operation);
            assert!(!refused, "invariant: {operation:?} was said never to happen, and is executed at {}", entry.slot);
            match outcome {
                CommandOutcome::Created { .. } | CommandOutcome::Replaced { .. } | CommandOutcome::Deleted { .. } => {
                    self.writes.push(Write { operation, call: commands::call(command) });
                }
                CommandOutcome::PreconditionFailed { .. } => {}
            }
        }
    }

    /// Somebody heard that a mutation never happens.
    pub fn not_applied(&mut self, operation: OperationId) {
        let executed = self.operations.get(&operation);
        assert!(executed.is_none(), "invariant: {operation:?} is said never to happen, and was executed: {executed:?}");
        self.not_applied.insert(operation);
    }

    /// Panics unless a replica executed a slot as it was executed here.
    pub fn invariant_executed_alike(&self, node: NodeId, executed: &Executed) {
        let golden = &self.slots[index(executed.slot)];
        assert!(golden == executed, "invariant: replicas execute alike: {node} executed {executed:?} instead of {golden:?}");
    }

    /// Panics unless a replica's state is one that this log has passed through.
    pub fn invariant_is_a_state(&self, node: NodeId, state: &WorkingSet) {
        let meta = state.meta();
        let Some(last) = meta.executed_below.0.checked_sub(1).map(Slot) else { return };
        let golden = &self.slots[index(last)];
        let is_equal = (golden.hash, golden.revision) == (meta.hash, meta.revision);
        assert!(is_equal, "invariant: equal logs have equal hashes: {node} has {meta:?} after {last}, not {golden:?}");
    }

    /// Panics unless a mutation was executed with the outcome that is answered.
    pub fn invariant_answer_is_what_was_executed(&self, operation: OperationId, slot: Slot, outcome: &CommandOutcome) {
        let executed = self.operations.get(&operation);
        assert!(
            executed == Some(&(slot, *outcome)),
            "invariant: answers are executed results: {operation:?} is answered with {outcome:?} at {slot}, executed was {executed:?}"
        );
    }
}

impl Default for Golden {
    fn default() -> Self {
        Self::new()
    }
}

fn index(slot: Slot) -> usize {
    usize::try_from(slot.0).expect("a simulated log fits into memory")
}
