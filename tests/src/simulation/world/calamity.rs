//! Faults begin and end.

use shared::ids::AcceptorId;

use super::World;
use crate::simulation::event::Event;
use crate::simulation::faults::{FaultKind, Power};
use crate::simulation::node::{CrashPoint, NodeId, Presence};
use crate::simulation::reach::Reached;

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
            FaultKind::Crash { node, point, down, power } => match point {
                CrashPoint::Now => {
                    self.crash(node, Presence::Down, power);
                    self.restart_after(node, down);
                }
                CrashPoint::Decided
                | CrashPoint::Written
                | CrashPoint::Synced
                | CrashPoint::Stepped
                | CrashPoint::ReplicaStepped
                | CrashPoint::Committed => self.arm_crash(node, point),
            },
            FaultKind::PowerCut { nodes, down } => {
                for node in nodes {
                    self.crash(node, Presence::Down, Power::Fails);
                    self.restart_after(node, down);
                }
            }
            FaultKind::Cut { cut, lasts } => {
                self.env.network.cut(&cut, true);
                self.env.queue.after(lasts, Event::FaultEnds(index));
            }
            FaultKind::Pause { node, lasts } => {
                if lasts > std::time::Duration::from_secs(2) {
                    self.env.reach.hit(Reached::Paused);
                }
                let process = self.process(node);
                process.paused_until = process.paused_until.max(now + lasts);
            }
            FaultKind::Drift { node, rate } => self.process(node).clock.set_rate(now, rate),
            FaultKind::Jump { node, by } => self.process(node).clock.jump(now, by),
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
            FaultKind::Full { node, .. } => self.set_full(node, false),
            FaultKind::SlowDisk { node, .. } => self.set_slow(node, None),
            FaultKind::Weather { .. } => self.env.network.set_weather(self.env.plan.weather),
            FaultKind::Crash { .. }
            | FaultKind::PowerCut { .. }
            | FaultKind::Pause { .. }
            | FaultKind::Drift { .. }
            | FaultKind::Jump { .. }
            | FaultKind::SetWall { .. }
            | FaultKind::Wipe { .. }
            | FaultKind::Damage { .. } => unreachable!("it has no end of its own"),
        }
    }

    /// A process reached the step at which it was to be killed.
    pub(super) fn crash_at_point(&mut self, node: NodeId) {
        let random = &mut self.process(node).random;
        let power = if random.chance(500_000) { Power::Fails } else { Power::Stays };
        let down = random.magnitude(std::time::Duration::from_millis(1), std::time::Duration::from_secs(5));
        self.crash(node, Presence::Down, power);
        self.restart_after(node, down);
    }

    fn restart_after(&mut self, node: NodeId, down: std::time::Duration) {
        let process = self.process(node);
        let life = process.life;
        if process.presence == Presence::Down {
            self.env.queue.after(down, Event::Start(node, life));
        }
    }

    pub(super) fn set_full(&mut self, node: NodeId, is_full: bool) {
        match node {
            NodeId::Acceptor(number) => self.acceptors[usize::from(number)].disk.is_full = is_full,
            NodeId::Replica(number) => self.replicas[usize::from(number)].set_full(is_full),
            NodeId::Coordinator(_) | NodeId::Client(_) => unreachable!("{node} has no disk"),
        }
    }

    pub(super) fn set_slow(&mut self, node: NodeId, slow: Option<std::time::Duration>) {
        match node {
            NodeId::Acceptor(number) => self.acceptors[usize::from(number)].slow_sync = slow,
            NodeId::Replica(number) => self.replicas[usize::from(number)].slow_commit = slow,
            NodeId::Coordinator(_) | NodeId::Client(_) => unreachable!("{node} has no disk"),
        }
    }

    /// A disk is lost. While the cluster forms nothing could tell a new acceptor from an old one, so that waits.
    fn wipe(&mut self, node: NodeId, down: std::time::Duration) {
        if !self.env.observer.is_formed() || self.process(node).presence == Presence::Gone {
            return;
        }
        self.crash(node, Presence::Down, Power::Fails);
        match node {
            NodeId::Acceptor(number) => {
                let id = AcceptorId(self.random.bits());
                self.acceptors[usize::from(number)].wipe(&mut self.env, id);
                self.env.reach.hit(Reached::Wiped);
            }
            NodeId::Replica(number) => {
                self.replicas[usize::from(number)].wipe(&mut self.env);
                self.env.reach.hit(Reached::ReplicaWiped);
            }
            NodeId::Coordinator(_) | NodeId::Client(_) => unreachable!("{node} has no disk"),
        }
        self.restart_after(node, down);
    }

    /// A record is damaged. Whether the log notices is tested where the log is; here it did, so the process refuses to run.
    fn damage(&mut self, node: NodeId) {
        let NodeId::Acceptor(_) = node else { return };
        if !self.env.observer.is_formed() {
            return;
        }
        self.crash(node, Presence::Gone, Power::Fails);
        self.process(node).stop(Presence::Gone);
        self.env.reach.hit(Reached::Damaged);
    }
}
