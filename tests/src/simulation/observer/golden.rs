//! The chosen log, executed once more by the same pure function: what every replica must
//! agree with.
//!
//! The function itself might be wrong on all replicas alike, so what the design says of
//! it is checked here in other words: whose turn it was, and what time it is.

mod note;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use replica::machine::execute::{Decoded, Run};
use replica::machine::outcome::{CommandOutcome, Delivery, Executed, ExecutedCommand};
use replica::machine::state::ReplicatedState;
use shared::ids::{Ballot, CoordinatorId, Epoch, Instance, Slot};
use shared::message::{ChosenEntry, Proposal, Removal, View};

use super::Votes;
use super::changes::{invariant_reported_changes_are_the_difference, revisions};
use super::expiries::Expiries;
use super::pace::Pace;
use super::turn::{Due, Turn};
use crate::linearizability::witness::Write;
use crate::operations::{Call, OperationId, Reference, command};
use crate::simulation::environment::coverage::Coverage;
use crate::simulation::nodes::process::NodeId;

/// The log as it must have been executed.
#[derive(Debug)]
pub struct Golden {
    state: ReplicatedState,
    reference: Reference,
    slots: Vec<Executed>,
    operations: BTreeMap<OperationId, (Slot, CommandOutcome)>,
    not_applied: BTreeSet<OperationId>,
    writes: Vec<Write>,
    /// Every view that counted, and where it was chosen.
    views: BTreeMap<Epoch, (Slot, View)>,
    due: Due,
    pace: Pace,
    expiries: Expiries,
}

impl Golden {
    /// Nothing executed yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: ReplicatedState::complete(),
            reference: Reference::default(),
            slots: Vec::new(),
            operations: BTreeMap::new(),
            not_applied: BTreeSet::new(),
            writes: Vec::new(),
            views: BTreeMap::new(),
            due: Due::default(),
            pace: Pace::default(),
            expiries: Expiries::default(),
        }
    }

    /// The state after everything chosen without a gap.
    #[must_use]
    pub fn state(&self) -> &ReplicatedState {
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

    /// The view of an epoch that a replica has executed.
    #[must_use]
    pub fn view(&self, epoch: Epoch) -> Option<&View> {
        self.views.get(&epoch).map(|(_, view)| view)
    }

    /// The latest view that counted, and where it was chosen.
    #[must_use]
    pub fn latest_view(&self) -> Option<(Slot, &View)> {
        self.views.last_key_value().map(|(_, (slot, view))| (*slot, view))
    }

    /// As if this view had been executed.
    #[cfg(test)]
    pub fn assume_view(&mut self, view: View) {
        self.views.insert(view.epoch, (Slot(0), view));
    }

    /// The primary of an epoch has executed its view, by its monotonic clock.
    pub fn begins(&mut self, epoch: Epoch, clock: Duration) {
        self.pace.begins(epoch, clock);
    }

    /// A primary proposes a batch, by its monotonic clock.
    pub fn proposes(&mut self, proposal: &Proposal, clock: Duration) {
        self.pace.proposes(proposal.epoch, proposal.number, clock);
    }

    /// Executes what is chosen.
    pub fn advance(&mut self, votes: &Votes, coverage: &mut Coverage) {
        loop {
            let slot = self.state.meta().executed_below;
            if slot >= votes.chosen_below() {
                return;
            }
            let value = votes.chosen(slot).expect("below the chosen watermark").clone();
            // The ballot says nothing about what is executed.
            let ballot = Ballot { round: 0, coordinator: CoordinatorId(0) };
            let run = Run::new(vec![ChosenEntry { slot, ballot, value }]);
            let turn = Turn::of(&run.decoded()[0]);
            let removal = removal_in(&run.decoded()[0]);
            let removed_before = self.state.meta().removed.to_vec();
            let time_before = self.state.meta().time_ms;
            let before = revisions(&self.state);
            let executed = run.apply(&mut self.state).slots.remove(0);
            drop(self.state.take_rows());
            invariant_reported_changes_are_the_difference(before, &self.state, &executed);
            self.due.invariant_only_what_is_due_takes_effect(slot, &turn, &executed.outcome);
            let times = (time_before, self.state.meta().time_ms);
            self.pace.invariant_time_follows_the_primary_s_clock(
                slot,
                times,
                (&turn, &executed.outcome),
                coverage,
            );
            self.note_removal(removal, removed_before, &executed, coverage);
            self.note(slot, turn, &executed, coverage);
            self.note_ends(&executed, coverage);
            self.slots.push(executed);
        }
    }

    /// Panics unless what a repeat gets is what came of the request when it was executed.
    fn invariant_a_repeat_gets_the_first_answer(
        &self,
        operation: OperationId,
        slot: Slot,
        executed: &ExecutedCommand,
    ) {
        let first = self.operations.get(&operation);
        assert!(
            first.is_some_and(|(_, outcome)| *outcome == executed.outcome),
            "invariant: a repeat gets the first answer: {operation:?} at {slot} got {executed:?}, \
             and was executed as {first:?}"
        );
    }

    fn invariant_executed_as_the_reference_does(
        &mut self,
        slot: Slot,
        call: &Call,
        outcome: &CommandOutcome,
    ) -> bool {
        let executed = self.reference.execute(call);
        let expected = command::outcome(call, &executed, slot);
        assert_eq!(
            command::without_leases(outcome),
            expected,
            "invariant: a command does what it says: {call:?} at {slot}"
        );
        executed.is_write
    }

    /// Panics unless the state is what executing one call after the other comes to.
    pub fn invariant_state_is_the_references(&self) {
        assert!(
            command::is_state_of(&self.state, &self.reference),
            "invariant: the state is what its commands say: {:?} is not {:?}",
            self.state.keys().records(),
            self.reference
        );
    }

    fn invariant_a_mutation_is_executed_once(
        &mut self,
        operation: OperationId,
        slot: Slot,
        outcome: CommandOutcome,
    ) {
        let before = self.operations.insert(operation, (slot, outcome));
        assert!(
            before.is_none(),
            "invariant: {operation:?} is executed once, not at {before:?} and again at {slot}"
        );
        let refused = self.not_applied.contains(&operation);
        assert!(
            !refused,
            "invariant: {operation:?} was said never to happen, and is executed at {slot}"
        );
    }

    /// Somebody heard that a mutation never happens.
    pub fn not_applied(&mut self, operation: OperationId) {
        let executed = self.operations.get(&operation);
        assert!(
            executed.is_none(),
            "invariant: {operation:?} is said never to happen, and was executed: {executed:?}"
        );
        self.not_applied.insert(operation);
    }

    /// Panics unless whoever proposes a batch is the primary of its epoch, in this very
    /// life, and has executed the view that says so.
    pub fn invariant_only_a_primary_proposes(
        &self,
        node: NodeId,
        instance: Instance,
        executed_below: Slot,
        proposal: &Proposal,
    ) {
        let Proposal { epoch, number, .. } = proposal;
        let Some((slot, view)) = self.views.get(epoch) else {
            panic!(
                "invariant: only a primary proposes: {node} proposes batch {number} of epoch \
                 {epoch}, which has no view"
            )
        };
        let is_primary =
            view.primary_instance == instance && view.primary.as_str() == node.to_string();
        assert!(
            is_primary && executed_below > *slot,
            "invariant: only a primary proposes, having executed its view: {node} ({instance}) \
             proposes batch {number} of {view:?}, \
             chosen at {slot}, and has executed below {executed_below}"
        );
    }

    /// Panics unless a replica executed a slot as it was executed here.
    pub fn invariant_executed_alike(&self, node: NodeId, executed: &Executed) {
        let golden = &self.slots[index(executed.slot)];
        assert!(
            golden == executed,
            "invariant: replicas execute alike: {node} executed {executed:?} instead of {golden:?}"
        );
    }

    /// Panics unless a replica's state is one that this log has passed through.
    pub fn invariant_is_a_state(&self, node: NodeId, state: &ReplicatedState) {
        let meta = state.meta();
        let Some(last) = meta.executed_below.0.checked_sub(1).map(Slot) else { return };
        let golden = &self.slots[index(last)];
        let is_equal = (golden.hash, golden.revision) == (meta.hash, meta.revision);
        assert!(
            is_equal,
            "invariant: equal logs have equal hashes: {node} has {meta:?} after {last}, not \
             {golden:?}"
        );
    }

    /// Panics unless a mutation was executed with the outcome that is answered.
    pub fn invariant_answer_is_what_was_executed(
        &self,
        operation: OperationId,
        slot: Slot,
        outcome: &CommandOutcome,
        delivery: Delivery,
    ) {
        let executed = self.operations.get(&operation);
        let is_it = |(at, of): &(Slot, CommandOutcome)| match delivery {
            Delivery::First => *at == slot && of == outcome,
            Delivery::Replayed => *at <= slot && of == outcome,
        };
        assert!(
            executed.is_some_and(is_it),
            "invariant: answers are executed results: {operation:?} is answered with {outcome:?} \
             at {slot}, executed was {executed:?}"
        );
    }
}

impl Default for Golden {
    fn default() -> Self {
        Self::new()
    }
}

fn removal_in(decoded: &Decoded) -> Option<Removal> {
    match decoded {
        Decoded::Removal(removal) => Some(removal.clone()),
        Decoded::Noop | Decoded::View(_) | Decoded::Batch { .. } | Decoded::Undecodable => None,
    }
}

fn index(slot: Slot) -> usize {
    usize::try_from(slot.0).expect("a simulated log fits into memory")
}
