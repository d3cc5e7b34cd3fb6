//! What replicas do, held against the chosen log: what they start with, execute, keep and
//! answer.

use std::time::Duration;

use replica::machine::outcome::{CommandOutcome, Delivery, ExecutionReport};
use replica::replica::{Dispute, WrongHistory};
use shared::ids::{Epoch, Instance, Slot};
use shared::message::{ChosenEntry, Proposal};

use super::Observer;
use crate::operations::OperationId;
use crate::simulation::nodes::database::Database;
use crate::simulation::nodes::process::NodeId;

impl Observer {
    /// A replica starts with this database.
    pub fn replica_started(&mut self, node: NodeId, instance: Instance, database: &Database) {
        self.strangers.remove(&node);
        if self.is_foreign(database.cluster()) {
            self.strangers.insert(node);
            return;
        }
        if self.odd == Some(node) {
            // What it says is checked once it says something.
            self.durable(node, database.durable_below());
        } else {
            self.golden.invariant_is_a_state(node, database.state());
        }
        self.joined(node, database);
        let is_out = self.is_out(node);
        let seen = self.replica_mut(node);
        seen.has_begun_out = is_out;
        (seen.instance, seen.executed_below) = (instance, database.state().meta().executed_below);
        seen.lives_since.insert(instance);
    }

    /// All folders but this replica's were put back.
    pub fn put_back(&mut self, odd: NodeId) {
        self.odd = Some(odd);
    }

    /// The primary of an epoch has executed its view, by its monotonic clock.
    pub fn begins(&mut self, epoch: Epoch, clock: Duration) {
        self.golden.begins(epoch, clock);
    }

    /// A primary proposes a batch, by its monotonic clock.
    pub fn proposes(&mut self, proposal: &Proposal, clock: Duration) {
        self.golden.proposes(proposal, clock);
    }

    /// A replica ends, having found that its log is not the history of the cluster.
    pub fn notices(&mut self, node: NodeId, wrong: WrongHistory) {
        assert!(self.odd.is_some(), "no folder was put back, and {node} ends: {wrong}");
        self.noticed.push((node, wrong));
    }

    /// A batch says of the log of a replica what is not so.
    pub fn disputes(&self, node: NodeId, dispute: &Dispute) {
        assert!(self.odd.is_some(), "no folder was put back, and at {node}: {dispute}");
    }

    /// What replicas found of the kind.
    #[must_use]
    pub fn noticed(&self) -> &[(NodeId, WrongHistory)] {
        &self.noticed
    }

    /// A replica answers linearizable reads from this database.
    pub fn reads(&self, node: NodeId, database: &Database) {
        self.invariant_the_former_cluster_is_no_more(node);
        if self.odd == Some(node) {
            self.golden.invariant_is_a_state(node, database.state());
        }
    }

    /// A replica's database survives up to there, whatever happens but its loss.
    pub fn durable(&mut self, node: NodeId, below: Slot) {
        if self.strangers.contains(&node) {
            return;
        }
        let seen = self.replica_mut(node);
        seen.durable_below = below;
        seen.ever_durable_below = seen.ever_durable_below.max(below);
    }

    /// A replica lost its disk.
    pub fn replica_wiped(&mut self, node: NodeId) {
        let seen = self.replica_mut(node);
        (seen.durable_below, seen.joined_at) = (Slot(0), None);
        seen.lives_since.clear();
    }

    /// A replica took another one's state for its own, durably.
    pub fn installed(&mut self, node: NodeId, database: &Database) {
        if self.odd != Some(node) {
            self.golden.invariant_is_a_state(node, database.state());
        }
        let (had, below) = (self.replica(node).durable_below, database.durable_below());
        assert!(
            had < below,
            "invariant: {node} loses nothing by another one's state: {below} for {had}"
        );
        self.durable(node, below);
    }

    /// A replica executed and committed.
    pub fn executed(&mut self, node: NodeId, entries: &[ChosenEntry], report: &ExecutionReport) {
        self.invariant_the_former_cluster_is_no_more(node);
        let mut due = self.replica(node).executed_below;
        for (entry, executed) in entries.iter().zip(&report.slots) {
            due = invariant_slots_follow_each_other(node, due, [entry.slot, executed.slot]);
            self.votes.invariant_is_chosen(entry.slot, &entry.value);
            self.golden.invariant_executed_alike(node, executed);
        }
        self.replica_mut(node).executed_below = due;
    }

    /// A replica answers a mutation as executed.
    pub fn answered(
        &self,
        operation: OperationId,
        slot: Slot,
        outcome: &CommandOutcome,
        delivery: Delivery,
    ) {
        self.golden.invariant_answer_is_what_was_executed(operation, slot, outcome, delivery);
    }

    /// Somebody heard that a mutation was not executed and never will be.
    pub fn not_applied(&mut self, operation: OperationId) {
        self.golden.not_applied(operation);
    }

    /// A replica will not come back.
    pub fn given_up(&mut self, node: NodeId) {
        if matches!(node, NodeId::Replica(_)) {
            self.replica_mut(node).is_given_up = true;
        }
    }
}

fn invariant_slots_follow_each_other(node: NodeId, due: Slot, executed: [Slot; 2]) -> Slot {
    assert_eq!(
        executed,
        [due, due],
        "invariant: slots are executed in order, each once: at {node}"
    );
    due.next()
}
