//! Everything but one replica's folder is put back from an older copy.

use std::time::Duration;

use super::World;
use crate::simulation::nodes::database::Database;
use crate::simulation::nodes::process::{NodeId, Presence};
use crate::simulation::plan::faults::Power;

impl World {
    /// A replica's database.
    ///
    /// # Panics
    /// When there is no such replica.
    #[must_use]
    pub fn database(&self, node: NodeId) -> &Database {
        let found = self.replicas.iter().find(|replica| replica.process.id == node);
        &found.expect("a replica").database
    }

    /// All processes are killed, and start again: this is the moment of the copy that is
    /// put back, but for this replica, whose folder is newer.
    pub fn put_back(&mut self, odd: NodeId, newer: Database) {
        for node in self.env.plan.topology.servers() {
            self.crash(node, Presence::Down, Power::Stays);
            let longest = Duration::from_secs(if node == odd { 10 } else { 2 });
            let down = self.random.magnitude(Duration::from_millis(1), longest);
            self.restart_after(node, down);
        }
        let found = self.replicas.iter_mut().find(|replica| replica.process.id == odd);
        found.expect("a replica").database = newer;
        self.env.observer.put_back(odd);
    }
}
