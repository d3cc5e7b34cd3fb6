//! Who was taken out for good, by the databases themselves: what a replica is told apart by is
//! when its database joined the cluster, and nothing that a leader could know.

use replica::machine::state::RemovedReplica;
use shared::ids::{Epoch, Slot};

use super::Observer;
use super::trimming::members;
use crate::simulation::environment::coverage::{Coverage, Reached};
use crate::simulation::nodes::database::Database;
use crate::simulation::nodes::process::NodeId;

impl Observer {
    /// A database has joined the cluster, or has lost that with its machine.
    pub fn joined(&mut self, node: NodeId, database: &Database) {
        self.replica_mut(node).joined_at = database.cluster().map(|_| database.joined_at());
    }

    /// Somebody asks for a replica to be taken out. Whether it will be is open for as long as the
    /// request is under way, and that may be longer than faults last.
    pub fn asked_out(&mut self, node: NodeId) {
        self.replica_mut(node).is_asked_out = true;
    }

    /// A replica ends, having found that it was taken out.
    pub fn found_out(&self, node: NodeId, removed: &RemovedReplica, coverage: &mut Coverage) {
        assert!(
            self.is_out(node) && removed.replica.as_str() == node.to_string(),
            "invariant: only whoever is out ends: {node} by {removed:?}, and the log says {:?}",
            self.golden.state().meta().removed
        );
        if self.golden.state().meta().epoch() > removed.epoch {
            coverage.hit(Reached::FoundOutLate);
        }
        if self.replica(node).has_begun_out {
            coverage.hit(Reached::CameBackOut);
        }
    }

    /// Whether what the replica has on disk was taken out for good.
    #[must_use]
    pub fn is_out(&self, node: NodeId) -> bool {
        let removal = self.removal_of(node);
        removal.is_some_and(|at| self.replica(node).joined_at.is_some_and(|joined| joined <= at))
    }

    fn removal_of(&self, node: NodeId) -> Option<Slot> {
        let name = node.to_string().parse().expect("a name");
        self.golden.state().meta().removal_of(&name).map(|removed| removed.slot)
    }

    /// Panics if a view of the log names a replica whose database was out before.
    pub(super) fn invariant_who_is_out_is_in_no_later_view(&mut self, coverage: &mut Coverage) {
        let Some((slot, view)) = self.golden.latest_view() else { return };
        if view.epoch <= self.looked_at {
            return;
        }
        let (slot, view) = (slot, view.clone());
        self.looked_at = view.epoch;
        for node in members(&view) {
            let Some(removal) = self.removal_of(node) else { continue };
            let was_in = self
                .golden
                .view(Epoch(view.epoch.0 - 1))
                .is_some_and(|before| members(before).any(|member| member == node));
            assert!(
                was_in || !self.is_out(node),
                "invariant: who was taken out is in no later view: {node}, at {removal}, and \
                 {view:?} at {slot}"
            );
            if !was_in && removal < slot {
                coverage.hit(Reached::CameBackEmpty);
            }
        }
    }
}
