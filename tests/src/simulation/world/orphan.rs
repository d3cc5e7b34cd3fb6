//! The fault that leaves an orphaned vote: see
//! [`FaultKind::OrphanVote`](crate::simulation::plan::faults::FaultKind::OrphanVote).

use std::time::Duration;

use super::World;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::network::Cut;
use crate::simulation::nodes::process::NodeId;
use crate::simulation::plan::faults::{Moment, Target};

/// The acceptor that keeps an orphaned vote.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeper {
    fault: usize,
    node: NodeId,
    awaits: Awaits,
}

/// Whom a fault waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    SecondLeader,
    ThirdLeader,
}

impl World {
    /// The leader reaches one acceptor only, and of the coordinators only the leader
    /// reaches that one.
    pub(super) fn orphan_first_act(&mut self, index: usize, lasts: Duration) {
        let Some(leader) = self.resolve(Target::Leader) else { return };
        let mut acceptors = self.env.plan.topology.acceptors();
        self.random.shuffle(&mut acceptors);
        let node = acceptors.pop().expect("there are acceptors");
        self.sever(index, vec![Cut::Strangled(leader, acceptors)], lasts);
        let others = self
            .env
            .plan
            .topology
            .coordinators()
            .into_iter()
            .filter(|other| *other != leader)
            .collect();
        self.keep_apart(index, Cut::Between(vec![node], others));
        self.keeper = Some(Keeper { fault: index, node, awaits: Awaits::SecondLeader });
        self.env.ambushes.push((Moment::Led, index));
    }

    /// A leader came that the fault waited for.
    pub(super) fn orphan_goes_on(&mut self, index: usize, leader: NodeId, lasts: Duration) {
        match self.keeper.filter(|keeper| keeper.fault == index && !self.is_healed) {
            Some(Keeper { node, awaits: Awaits::SecondLeader, .. }) => {
                self.orphan_second_act(index, node, lasts)
            }
            Some(Keeper { node, awaits: Awaits::ThirdLeader, .. }) => {
                self.orphan_third_act(node, leader)
            }
            None => {}
        }
    }

    /// The second leader is cut off, and without the keeper of the orphaned vote there is
    /// no quorum for a third.
    fn orphan_second_act(&mut self, index: usize, keeper: NodeId, lasts: Duration) {
        self.keeper = None;
        self.mend_apart(index);
        let Some(leader) = self.resolve(Target::Leader) else { return };
        self.isolate(index, leader, lasts);
        let mut others: Vec<NodeId> = self
            .env
            .plan
            .topology
            .acceptors()
            .into_iter()
            .filter(|other| *other != keeper)
            .collect();
        self.random.shuffle(&mut others);
        others.truncate(others.len() / 2);
        self.keep_apart(index, Cut::Between(others, self.env.plan.topology.coordinators()));
        self.keeper = Some(Keeper { fault: index, node: keeper, awaits: Awaits::ThirdLeader });
        self.env.ambushes.push((Moment::Led, index));
    }

    /// The third leader leads, and its quorum has the keeper in it.
    fn orphan_third_act(&mut self, keeper: NodeId, leader: NodeId) {
        self.keeper = None;
        let (NodeId::Acceptor(keeper), NodeId::Coordinator(leader)) = (keeper, leader) else {
            return;
        };
        let keeper = self.acceptors[usize::from(keeper)].core().id();
        let ballot = self.coordinators[usize::from(leader)].core().ballot();
        if ballot.is_some_and(|ballot| self.env.observer.votes().keeps_an_orphan(keeper, ballot)) {
            self.env.coverage.hit(Reached::Orphaned);
        }
    }

    /// Cuts links for as long as the orphaned vote needs it. A play that begins takes the
    /// place of one under way.
    fn keep_apart(&mut self, index: usize, cut: Cut) {
        if let Some((_, before)) = self.apart.take() {
            self.env.network.cut(&before, false);
        }
        self.env.network.cut(&cut, true);
        self.apart = Some((index, cut));
    }

    /// Gives back what a play has cut, if no other has taken its place.
    fn mend_apart(&mut self, index: usize) {
        if let Some((_, cut)) = self.apart.take_if(|(fault, _)| *fault == index) {
            self.env.network.cut(&cut, false);
        }
    }

    /// The last act is over, or the first found no second.
    pub(super) fn orphan_ends(&mut self, index: usize) {
        let keeper = self.keeper.filter(|keeper| keeper.fault == index);
        if keeper.is_none_or(|keeper| keeper.awaits == Awaits::ThirdLeader) {
            self.keeper = self.keeper.filter(|keeper| keeper.fault != index);
            self.mend_apart(index);
        }
    }
}
