//! Faults begin and end.

use std::time::Duration;

use shared::message::{Phase, WantedPrimary};

use super::World;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::event::Event;
use crate::simulation::nodes::disk::AcceptorDisk;
use crate::simulation::nodes::process::{CrashPoint, NodeId, Presence};
use crate::simulation::plan::faults::{FaultKind, Power, Target};

impl World {
    pub(super) fn fault_begins(&mut self, index: usize) {
        if self.is_healed {
            return;
        }
        let kind = self.env.plan.faults[index].kind.clone();
        let now = self.env.queue.now();
        self.env.trace.mark(now, u64::MAX, index as u64);
        if self.env.trace.is_text_kept() {
            self.env.trace.line(now, format_args!("fault {index}: {kind:?}"));
        }
        match kind {
            FaultKind::Crash { target, point, down, power } => {
                if let Some(node) = self.resolve(target) {
                    self.crash_soon(node, point, down, power);
                }
            }
            FaultKind::PowerCut { nodes, down } => {
                self.power_cut(&nodes, down);
            }
            FaultKind::Cut { cut, lasts } => {
                self.env.network.cut(&cut, true);
                self.env.queue.after(lasts, Event::FaultEnds(index));
            }
            FaultKind::Isolate { target, lasts } => {
                if let Some(node) = self.resolve(target) {
                    self.isolate(index, node, lasts);
                }
            }
            FaultKind::Strangle { reached, lasts } => {
                if let Some(node) = self.resolve(Target::Leader) {
                    self.strangle(index, node, reached, lasts);
                }
            }
            FaultKind::OrphanVote { lasts, .. } => self.orphan_first_act(index, lasts),
            FaultKind::Drag { target, slow, lasts } => {
                if let Some(node) = self.resolve(target) {
                    self.drag(index, vec![node], slow, lasts);
                }
            }
            FaultKind::Relapse { coordinator, slow, lasts } => {
                self.relapse(index, coordinator, slow, lasts)
            }
            FaultKind::Deafen { missed, lasts } => self.deafen(index, missed, lasts),
            FaultKind::Oversleep { .. } => self.oversleep_first_act(index),
            FaultKind::Straggle { replica, sleeps, slow, lasts } => {
                self.straggle(index, (replica, sleeps), slow, lasts)
            }
            FaultKind::Ambush { moment, .. } => self.env.ambushes.push((moment, index)),
            FaultKind::Pause { target, lasts } => {
                if let Some(node) = self.resolve(target) {
                    self.pause(node, lasts);
                }
            }
            FaultKind::Drift { node, rate } => {
                self.change_clock(node, |clock| clock.set_rate(now, rate))
            }
            FaultKind::Jump { node, by } => self.jump(node, by),
            FaultKind::SetWall { node, by_ms } => self.process(node).clock.set_wall(by_ms),
            FaultKind::Full { node, lasts } => {
                self.set_full(node, true);
                self.env.queue.after(lasts, Event::FaultEnds(index));
            }
            FaultKind::SlowDisk { node, sync, lasts } => {
                self.set_slow(node, Some(sync));
                self.env.queue.after(lasts, Event::FaultEnds(index));
            }
            FaultKind::Wipe { node, down } => self.wipe(node, down),
            FaultKind::Damage { node } => self.damage(node),
            FaultKind::ChangeAcceptors { destroy } => self.change_acceptors(destroy),
            FaultKind::SwitchOver { asked, wanted } => {
                let wanted = wanted.to_string().parse().expect("a name");
                self.ask_for_primary(asked, WantedPrimary::Replica(wanted));
            }
            FaultKind::Remove { asked, target } => {
                if let Some(node) = self.resolve(target) {
                    let removed = node.to_string().parse().expect("a name");
                    self.env.observer.asked_out(node);
                    self.ask_for_primary(
                        asked,
                        WantedPrimary::Without { removed, out_since: None },
                    );
                }
            }
            FaultKind::Ending { target, after, .. } => {
                if let Some(node) = self.resolve(target) {
                    self.told_to_end(index, node, after);
                }
            }
            FaultKind::Weather { weather, lasts } => {
                self.env.network.set_weather(weather);
                self.env.queue.after(lasts, Event::FaultEnds(index));
            }
        }
    }

    pub(super) fn fault_ends(&mut self, index: usize) {
        if self.is_healed {
            return;
        }
        match self.env.plan.faults[index].kind.clone() {
            FaultKind::Cut { cut, .. } => self.env.network.cut(&cut, false),
            FaultKind::Isolate { .. }
            | FaultKind::Strangle { .. }
            | FaultKind::Ambush { .. }
            | FaultKind::Deafen { .. }
            | FaultKind::Oversleep { .. } => self.mend_if_over(index),
            FaultKind::OrphanVote { .. } => {
                self.mend_if_over(index);
                if !self.severed.contains_key(&index) {
                    self.orphan_ends(index);
                }
            }
            FaultKind::Drag { .. } => self.env.drags.end(index),
            FaultKind::Relapse { .. } | FaultKind::Straggle { .. } => {
                self.mend_if_over(index);
                self.env.drags.end(index);
            }
            FaultKind::Ending { down, .. } => self.ends(index, down),
            FaultKind::Full { node, .. } => self.set_full(node, false),
            FaultKind::SlowDisk { node, .. } => self.set_slow(node, None),
            FaultKind::Weather { .. } => self.env.network.set_weather(self.env.plan.weather),
            FaultKind::Crash { .. }
            | FaultKind::PowerCut { .. }
            | FaultKind::Pause { .. }
            | FaultKind::Drift { .. }
            | FaultKind::Jump { .. }
            | FaultKind::SetWall { .. }
            | FaultKind::SwitchOver { .. }
            | FaultKind::ChangeAcceptors { .. }
            | FaultKind::Remove { .. }
            | FaultKind::Wipe { .. }
            | FaultKind::Damage { .. } => unreachable!("it has no end of its own"),
        }
    }

    fn ask_for_primary(&mut self, asked: NodeId, wanted: WantedPrimary) {
        let NodeId::Replica(number) = asked else { unreachable!("{asked} is no replica") };
        let replica = &mut self.replicas[usize::from(number)];
        if replica.process.presence == Presence::Up {
            replica.ask_for_primary(&mut self.env, wanted);
        }
    }

    /// A replica has ended for good. It is started again all the same, with its old disk or an
    /// empty one; at last with that, for then all are to be of use.
    pub(super) fn taken_out(&mut self, node: NodeId) {
        self.crash(node, Presence::Down, Power::Stays);
        let is_healed = self.is_healed;
        let random = &mut self.process(node).random;
        let comes_back_empty = is_healed || random.chance(500_000);
        let down = random.magnitude(Duration::from_millis(1), Duration::from_secs(5));
        if comes_back_empty {
            let NodeId::Replica(number) = node else { unreachable!("{node} is no replica") };
            self.replicas[usize::from(number)].wipe(&mut self.env);
        }
        if is_healed {
            self.clients.iter_mut().for_each(|client| client.breaks_off(&mut self.env, node));
        }
        self.restart_after(node, if is_healed { Duration::ZERO } else { down });
    }

    fn told_to_end(&mut self, index: usize, node: NodeId, after: Duration) {
        let NodeId::Replica(number) = node else { unreachable!("{node} is no replica") };
        let replica = &self.replicas[usize::from(number)];
        if replica.process.presence != Presence::Up {
            return;
        }
        let (than, instance) = (node.to_string().parse().expect("a name"), replica.instance());
        let was_primary = self.resolve(Target::Primary) == Some(node);
        self.ending.insert(index, (node, instance, was_primary));
        self.ask_for_primary(node, WantedPrimary::Another { than, instance });
        self.env.queue.after(after, Event::FaultEnds(index));
    }

    /// A replica that was told to end ends, unless it was killed before.
    fn ends(&mut self, index: usize, down: Duration) {
        let Some((node, instance, was_primary)) = self.ending.remove(&index) else { return };
        let NodeId::Replica(number) = node else { unreachable!("{node} is no replica") };
        let replica = &self.replicas[usize::from(number)];
        if replica.process.presence != Presence::Up || replica.instance() != instance {
            return;
        }
        if was_primary {
            let is_primary = self.resolve(Target::Primary) == Some(node);
            let reached = if is_primary { Reached::EndedAsPrimary } else { Reached::HandedOver };
            self.env.coverage.hit(reached);
        }
        self.crash(node, Presence::Down, Power::Stays);
        self.restart_after(node, down);
    }

    /// Whoever was told to end has said so, and is nobody's choice for a primary any more: it
    /// does end, also where all is healed before its time.
    pub(super) fn end_those_told_to(&mut self) {
        let indices: Vec<usize> = self.ending.keys().copied().collect();
        for index in indices {
            self.ends(index, Duration::ZERO);
        }
    }

    fn power_cut(&mut self, nodes: &[NodeId], down: Duration) {
        let mut hit = 0;
        for &node in nodes {
            hit += usize::from(self.process(node).presence == Presence::Up);
            self.crash(node, Presence::Down, Power::Fails);
            self.restart_after(node, down);
        }
        if hit > 1 {
            self.env.coverage.hit(Reached::PowerCut);
        }
    }

    pub(super) fn pause(&mut self, node: NodeId, lasts: Duration) {
        if self.process(node).presence != Presence::Up {
            return;
        }
        let now = self.env.queue.now();
        let until = now + lasts;
        let process = self.process(node);
        process.paused_since.get_or_insert(now);
        process.paused_until = process.paused_until.max(until);
        self.env.queue.at(until, Event::Wake(node));
    }

    fn jump(&mut self, node: NodeId, by: Duration) {
        let now = self.env.queue.now();
        self.change_clock(node, |clock| clock.jump(now, by));
        self.was_away(node, by);
    }

    /// Whom a fault hits now, if anybody.
    pub(super) fn resolve(&self, target: Target) -> Option<NodeId> {
        match target {
            Target::Node(node) => Some(node),
            Target::Leader => {
                let leading = self.coordinators.iter().filter(|node| {
                    node.process.presence == Presence::Up && node.core().phase() == Phase::Phase2
                });
                leading.max_by_key(|node| node.core().ballot()).map(|node| node.process.id)
            }
            Target::Primary => {
                let view = self.env.observer.golden().state().meta().view.as_ref()?;
                let is_primary = |node: &NodeId| node.to_string() == view.primary.as_str();
                self.env.plan.topology.replicas().into_iter().find(is_primary)
            }
        }
    }

    pub(super) fn crash_soon(
        &mut self,
        node: NodeId,
        point: CrashPoint,
        down: Duration,
        power: Power,
    ) {
        match point {
            CrashPoint::Now => {
                self.crash(node, Presence::Down, power);
                self.restart_after(node, down);
            }
            CrashPoint::Decided
            | CrashPoint::Written
            | CrashPoint::WrittenMany
            | CrashPoint::Synced
            | CrashPoint::Stepped
            | CrashPoint::ReplicaStepped
            | CrashPoint::Committed => self.process(node).armed = Some(point),
        }
    }

    /// A process reached the step at which it was to be killed.
    pub(super) fn crash_at_point(&mut self, node: NodeId) {
        let process = self.process(node);
        let is_to_tear = process.armed == Some(CrashPoint::WrittenMany);
        let random = &mut process.random;
        let power = if is_to_tear || random.chance(500_000) { Power::Fails } else { Power::Stays };
        let down = random.magnitude(Duration::from_millis(1), Duration::from_secs(5));
        self.crash(node, Presence::Down, power);
        self.restart_after(node, down);
    }

    pub(super) fn restart_after(&mut self, node: NodeId, down: Duration) {
        let process = self.process(node);
        let life = process.life;
        if process.presence == Presence::Down {
            self.env.queue.after(down, Event::Start(node, life));
        }
    }

    pub(super) fn set_full(&mut self, node: NodeId, is_full: bool) {
        match node {
            NodeId::Acceptor(number) => {
                self.acceptors[usize::from(number)].disk.is_full = is_full;
                if is_full {
                    self.env.observer.acceptor_filled();
                }
            }
            NodeId::Replica(number) => self.replicas[usize::from(number)].set_full(is_full),
            NodeId::Coordinator(_) | NodeId::Client(_) => unreachable!("{node} has no disk"),
        }
    }

    pub(super) fn set_slow(&mut self, node: NodeId, slow: Option<Duration>) {
        match node {
            NodeId::Acceptor(number) => self.acceptors[usize::from(number)].slow_sync = slow,
            NodeId::Replica(number) => self.replicas[usize::from(number)].slow_commit = slow,
            NodeId::Coordinator(_) | NodeId::Client(_) => unreachable!("{node} has no disk"),
        }
    }

    /// A disk is lost. While the cluster forms nothing could tell a new acceptor from an
    /// old one, so that waits; and the only replica there was is not to be lost.
    fn wipe(&mut self, node: NodeId, down: Duration) {
        let is_spared = !self.env.observer.is_formed() || self.env.observer.is_only_copy(node);
        if is_spared || self.process(node).presence == Presence::Gone {
            return;
        }
        self.crash(node, Presence::Down, Power::Fails);
        match node {
            NodeId::Acceptor(number) => {
                let empty = AcceptorDisk::draw(&mut self.random);
                self.acceptors[usize::from(number)].wipe(&mut self.env, empty);
                self.env.coverage.hit(Reached::Wiped);
            }
            NodeId::Replica(number) => {
                self.replicas[usize::from(number)].wipe(&mut self.env);
                self.env.coverage.hit(Reached::ReplicaWiped);
            }
            NodeId::Coordinator(_) | NodeId::Client(_) => unreachable!("{node} has no disk"),
        }
        self.restart_after(node, down);
    }

    /// A record is damaged. Whether the log notices is tested where the log is; here it
    /// did, so the process refuses to run.
    fn damage(&mut self, node: NodeId) {
        let NodeId::Acceptor(_) = node else { return };
        if !self.env.observer.is_formed() || self.process(node).presence == Presence::Gone {
            return;
        }
        self.crash(node, Presence::Gone, Power::Fails);
        self.process(node).stop(Presence::Gone);
        self.env.coverage.hit(Reached::Damaged);
    }
}
