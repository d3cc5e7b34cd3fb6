//! Faults that wait for a moment, and faults in several acts: each leads a cluster to
//! where one rule of the protocol is all that holds it, as chance alone seldom does.

use std::time::Duration;

use super::World;
use crate::random::Random;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::drag::Slow;
use crate::simulation::environment::event::Event;
use crate::simulation::environment::network::Cut;
use crate::simulation::nodes::process::{CrashPoint, NodeId, Presence};
use crate::simulation::plan::faults::{Blow, FaultKind, Moment, Power, Target};

/// What a drag draws is its own: its stream has the number of the time at which it
/// begins, from here on.
const DRAG_STREAMS: u64 = 1 << 48;

/// A leader that was not heard for so long has still not given up, and a coordinator has
/// found it gone.
const LULL: Duration = Duration::from_millis(950);

impl World {
    /// The moment came to a node that a fault waited for.
    pub(super) fn ambush(&mut self, index: usize, at: NodeId) {
        match self.env.plan.faults[index].kind {
            FaultKind::OrphanVote { lasts, .. } => self.orphan_goes_on(index, at, lasts),
            FaultKind::Oversleep { sleeps } => self.oversleep_second_act(index, at, sleeps),
            FaultKind::Ambush { moment, blow, lasts, .. } => {
                let target = match moment {
                    Moment::Led => Target::Leader,
                    Moment::ViewChosen => Target::Primary,
                    Moment::Doubted | Moment::Stopped => Target::Node(at),
                };
                if let Some(node) = self.resolve(target).filter(|_| !self.is_healed) {
                    if self.process(node).presence == Presence::Up {
                        self.env.coverage.hit(Reached::Ambushed);
                    }
                    self.strike(index, node, blow, lasts);
                }
            }
            FaultKind::Crash { .. }
            | FaultKind::PowerCut { .. }
            | FaultKind::Strangle { .. }
            | FaultKind::Drag { .. }
            | FaultKind::Relapse { .. }
            | FaultKind::Deafen { .. }
            | FaultKind::Straggle { .. }
            | FaultKind::Isolate { .. }
            | FaultKind::Cut { .. }
            | FaultKind::Pause { .. }
            | FaultKind::Drift { .. }
            | FaultKind::Jump { .. }
            | FaultKind::SetWall { .. }
            | FaultKind::Full { .. }
            | FaultKind::SlowDisk { .. }
            | FaultKind::Wipe { .. }
            | FaultKind::Damage { .. }
            | FaultKind::SwitchOver { .. }
            | FaultKind::ChangeAcceptors { .. }
            | FaultKind::Remove { .. }
            | FaultKind::Ending { .. }
            | FaultKind::Weather { .. } => unreachable!("it waits for nothing"),
        }
    }

    fn strike(&mut self, index: usize, node: NodeId, blow: Blow, lasts: Duration) {
        match (blow, node) {
            (Blow::Crash, _) => self.crash_soon(node, CrashPoint::Now, lasts, Power::Fails),
            (Blow::Pause, _) => self.pause(node, lasts),
            (Blow::Strangle, NodeId::Coordinator(_)) => self.strangle(index, node, 1, lasts),
            (Blow::Isolate | Blow::Strangle, _) => self.isolate(index, node, lasts),
        }
    }

    pub(super) fn isolate(&mut self, index: usize, node: NodeId, lasts: Duration) {
        let others =
            self.env.plan.topology.all().into_iter().filter(|other| *other != node).collect();
        self.sever(index, vec![Cut::Alone(node, others)], lasts);
    }

    pub(super) fn strangle(&mut self, index: usize, leader: NodeId, reached: u8, lasts: Duration) {
        let mut acceptors = self.env.plan.topology.acceptors();
        self.random.shuffle(&mut acceptors);
        let cut_off = acceptors.split_off(usize::from(reached));
        self.sever(index, vec![Cut::Strangled(leader, cut_off)], lasts);
    }

    pub(super) fn deafen(&mut self, index: usize, missed: u8, lasts: Duration) {
        let Some(leader) = self.resolve(Target::Leader) else { return };
        let mut heard_by = self.env.plan.topology.acceptors();
        self.random.shuffle(&mut heard_by);
        let missed = heard_by.split_off(heard_by.len() - usize::from(missed));
        self.sever(
            index,
            vec![Cut::Deaf(leader, heard_by), Cut::Between(vec![leader], missed)],
            lasts,
        );
    }

    pub(super) fn drag(
        &mut self,
        index: usize,
        coordinators: Vec<NodeId>,
        slow: Slow,
        lasts: Duration,
    ) {
        let (plan, acceptors) = (&self.env.plan, self.env.plan.topology.acceptors());
        let begins = u64::try_from(plan.faults[index].at.as_nanos())
            .expect("simulated times are below 500 years");
        self.env.drags.begin(
            index,
            coordinators,
            acceptors,
            slow,
            Random::new(plan.seed, DRAG_STREAMS + begins),
        );
        self.env.queue.after(lasts, Event::FaultEnds(index));
    }

    pub(super) fn relapse(
        &mut self,
        index: usize,
        coordinator: NodeId,
        slow: Slow,
        lasts: Duration,
    ) {
        let topology = &self.env.plan.topology;
        let others =
            topology.coordinators().into_iter().filter(|other| *other != coordinator).collect();
        self.sever(index, vec![Cut::Between(others, topology.acceptors())], lasts);
        self.drag(index, vec![coordinator], slow, lasts);
    }

    pub(super) fn straggle(
        &mut self,
        index: usize,
        (replica, sleeps): (NodeId, Duration),
        slow: Slow,
        lasts: Duration,
    ) {
        let topology = &self.env.plan.topology;
        let (others, coordinators) = (
            topology.replicas().into_iter().filter(|other| *other != replica),
            topology.coordinators(),
        );
        let cut = Cut::Between(vec![replica], others.collect());
        self.sever(index, vec![cut], lasts);
        self.drag(index, coordinators, slow, lasts);
        self.pause(replica, sleeps);
    }

    pub(super) fn oversleep_first_act(&mut self, index: usize) {
        let Some(leader) = self.resolve(Target::Leader) else { return };
        let acceptors = self.env.plan.topology.acceptors();
        self.sever(index, vec![Cut::OneWay(vec![leader], acceptors)], LULL);
        self.env.ambushes.push((Moment::Doubted, index));
    }

    fn oversleep_second_act(&mut self, index: usize, doubter: NodeId, sleeps: Duration) {
        if let Some((cuts, _)) = self.severed.remove(&index).filter(|_| !self.is_healed) {
            self.mend(&cuts);
            self.pause(doubter, sleeps);
        }
    }

    /// Cuts links for a fault, in place of those that it has cut before.
    pub(super) fn sever(&mut self, index: usize, cuts: Vec<Cut>, lasts: Duration) {
        for cut in &cuts {
            self.env.network.cut(cut, true);
        }
        let until = self.env.queue.now() + lasts;
        if let Some((before, _)) = self.severed.insert(index, (cuts, until)) {
            self.mend(&before);
        }
        self.env.queue.after(lasts, Event::FaultEnds(index));
    }

    /// Gives back what a fault has cut, unless it has cut something else meanwhile.
    pub(super) fn mend_if_over(&mut self, index: usize) {
        let is_over =
            self.severed.get(&index).is_some_and(|(_, until)| *until <= self.env.queue.now());
        if is_over && let Some((cuts, _)) = self.severed.remove(&index) {
            self.mend(&cuts);
        }
    }

    fn mend(&mut self, cuts: &[Cut]) {
        for cut in cuts {
            self.env.network.cut(cut, false);
        }
    }
}
