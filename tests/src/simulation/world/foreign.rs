//! All acceptors and one replica get empty disks, and a new cluster forms beside what is
//! left of the old one.

use std::time::Duration;

use shared::message::Roster;

use super::World;
use crate::simulation::nodes::disk::AcceptorDisk;
use crate::simulation::nodes::process::{NodeId, Presence};
use crate::simulation::observer::Observer;
use crate::simulation::plan::faults::Power;

/// What becomes of the coordinators meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinators {
    /// They start again like all others.
    Restart,
    /// They start again when all others have long been there.
    RestartLate,
    /// They live on, and know the old cluster.
    LiveOn,
}

impl World {
    /// All processes are killed (the coordinators perhaps not), the disks of all acceptors
    /// and of this replica are lost, and all start again in some order.
    ///
    /// # Panics
    /// When there was no cluster yet.
    pub fn replace_acceptors(&mut self, fresh: NodeId, coordinators: Coordinators) {
        let former = self.acceptors.iter().find_map(|node| node.core().roster());
        let former = former.map(Roster::cluster).expect("the cluster has formed");
        let lives_on = |node: &NodeId| {
            coordinators == Coordinators::LiveOn && matches!(node, NodeId::Coordinator(_))
        };
        let mut servers = self.env.plan.topology.servers();
        servers.retain(|node| !lives_on(node));
        for node in &servers {
            self.crash(*node, Presence::Down, Power::Stays);
        }
        for client in &mut self.clients {
            client.begin_anew(&mut self.env);
        }
        self.env.observer = Observer::new(&self.env.plan.topology, &self.env.plan.tuning);
        self.env.observer.begins_after(former);
        for acceptor in &mut self.acceptors {
            let empty = AcceptorDisk::draw(&mut self.random);
            acceptor.wipe(&mut self.env, empty);
        }
        for replica in &mut self.replicas {
            if replica.process.id == fresh {
                replica.wipe(&mut self.env);
            }
        }
        for node in servers {
            let mut down = self.random.magnitude(Duration::from_millis(1), Duration::from_secs(2));
            if coordinators == Coordinators::RestartLate && matches!(node, NodeId::Coordinator(_)) {
                down += Duration::from_secs(2);
            }
            self.restart_after(node, down);
        }
    }
}
