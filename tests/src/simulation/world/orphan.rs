//! The fault that leaves an orphaned vote: see [`FaultKind::OrphanVote`].

use std::time::Duration;

use super::World;
use crate::simulation::faults::{FaultKind, Moment, Target};
use crate::simulation::network::Cut;
use crate::simulation::node::NodeId;
use crate::simulation::reach::Reached;

impl World {
    /// The leader reaches one acceptor only, and of the coordinators only the leader reaches that one.
    pub(super) fn orphan_first_act(&mut self, index: usize, lasts: Duration) {
        let Some(leader) = self.resolve(Target::Leader) else { return };
        let mut acceptors = self.env.plan.topology.acceptors();
        self.random.shuffle(&mut acceptors);
        let keeper = acceptors.pop().expect("there are acceptors");
        self.cut_for(index, Cut::Between(vec![leader], acceptors), lasts);
        let others = self.env.plan.topology.coordinators().into_iter().filter(|other| *other != leader).collect();
        self.keep_apart(Cut::Between(vec![keeper], others));
        self.keeper = Some((index, keeper));
        self.env.ambushes.push((Moment::Led, index));
    }

    /// The second leader is cut off, and without the keeper of the orphaned vote there is no quorum for a third.
    pub(super) fn orphan_second_act(&mut self, index: usize, lasts: Duration) {
        let Some((_, keeper)) = self.keeper.take_if(|(of, _)| *of == index) else { return };
        self.mend_apart();
        if self.is_healed {
            return;
        }
        let Some(leader) = self.resolve(Target::Leader) else { return };
        self.env.reach.hit(Reached::Orphaned);
        self.isolate(index, leader, lasts);
        let mut others: Vec<NodeId> = self.env.plan.topology.acceptors().into_iter().filter(|other| *other != keeper).collect();
        self.random.shuffle(&mut others);
        others.truncate(others.len() / 2);
        self.keep_apart(Cut::Between(others, self.env.plan.topology.coordinators()));
    }

    /// Cuts links for as long as the orphaned vote needs it.
    fn keep_apart(&mut self, cut: Cut) {
        self.mend_apart();
        self.env.network.cut(&cut, true);
        self.apart = Some(cut);
    }

    pub(super) fn mend_apart(&mut self) {
        if let Some(cut) = self.apart.take() {
            self.env.network.cut(&cut, false);
        }
    }

    /// The last act is over, or the first found no second.
    pub(super) fn orphan_ends(&mut self, index: usize) {
        let is_waiting = self.keeper.is_some_and(|(of, _)| of == index);
        debug_assert!(matches!(self.env.plan.faults[index].kind, FaultKind::OrphanVote { .. }));
        if !is_waiting {
            self.mend_apart();
        }
    }
}
