//! A cluster of the past: all acceptors have lost their disks, and whoever is of it ends.

use std::collections::BTreeSet;

use coordinator::membership::foreign::WrongCluster;
use shared::ids::ClusterId;

use super::Observer;
use crate::simulation::nodes::process::NodeId;

impl Observer {
    /// All acceptors have lost their disks: what is of this cluster is of the past.
    pub fn begins_after(&mut self, former: ClusterId) {
        self.former = Some(former);
    }

    /// Whether another cluster was there before.
    #[must_use]
    pub fn has_former(&self) -> bool {
        self.former.is_some()
    }

    /// Whether that is the cluster of the past.
    #[must_use]
    pub fn is_foreign(&self, cluster: Option<ClusterId>) -> bool {
        self.former.is_some() && cluster == self.former
    }

    /// A replica ends, having found that its data is of another cluster.
    pub fn replica_of_another_cluster(&mut self, node: NodeId, own: ClusterId, found: ClusterId) {
        assert!(
            self.is_foreign(Some(own)),
            "there is one cluster, and {node} of {own} has found {found}"
        );
        self.ended.insert(node);
    }

    /// A coordinator ends, having found that its acceptors are no longer its cluster's.
    pub fn ends_in_another_cluster(
        &mut self,
        node: NodeId,
        own: Option<ClusterId>,
        wrong: WrongCluster,
    ) {
        assert!(self.is_foreign(own), "there is one cluster, and {node} ends: {wrong}");
        self.ended.insert(node);
    }

    /// Who has ended because it is of the former cluster.
    #[must_use]
    pub fn ended(&self) -> &BTreeSet<NodeId> {
        &self.ended
    }

    pub(super) fn invariant_the_former_cluster_is_no_more(&self, node: NodeId) {
        assert!(
            !self.strangers.contains(&node),
            "invariant: {node}, whose data is of the former cluster, executes and answers nothing"
        );
    }
}
