//! Processes start and end, by themselves or not, and others hear of it or believe it.

use std::time::Duration;

use shared::ids::Instance;

use super::World;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::event::Local;
use crate::simulation::nodes::acceptor::Fate;
use crate::simulation::nodes::process::{Life, NodeId, Presence, Process};
use crate::simulation::plan::faults::Power;

impl World {
    pub(super) fn start(&mut self, node: NodeId, life: Life) {
        let process = self.process(node);
        if process.presence != Presence::Down || process.life != life {
            return;
        }
        self.mark(node, 6, u64::from(life.0));
        if self.env.trace.is_text_kept() {
            self.env.trace.line(self.env.queue.now(), format_args!("{node} starts"));
        }
        let fate = match node {
            NodeId::Acceptor(number) => {
                self.acceptors[usize::from(number)].start(&mut self.env);
                Fate::Alive
            }
            NodeId::Coordinator(number) => {
                self.coordinators[usize::from(number)].start(&mut self.env)
            }
            NodeId::Replica(number) => self.replicas[usize::from(number)].start(&mut self.env),
            NodeId::Client(_) => unreachable!("clients are always there"),
        };
        self.meet(node, fate);
    }

    /// Does what a process's own work led to.
    pub(super) fn meet(&mut self, node: NodeId, fate: Fate) {
        let (begins_anew, is_out) = match node {
            NodeId::Replica(number) => {
                let replica = &self.replicas[usize::from(number)];
                (replica.begins_anew(), replica.is_out())
            }
            NodeId::Acceptor(_) | NodeId::Coordinator(_) | NodeId::Client(_) => (false, false),
        };
        if let NodeId::Coordinator(number) = node {
            self.survey(number);
            if let Some(reply) = self.coordinators[usize::from(number)].answered.take() {
                self.acceptors_answered(reply);
            }
        }
        match fate {
            Fate::Alive => {}
            Fate::Crashed if is_out => self.taken_out(node),
            Fate::Crashed if begins_anew => {
                self.crash(node, Presence::Down, Power::Stays);
                self.restart_after(node, Duration::ZERO);
            }
            Fate::Crashed => self.crash_at_point(node),
        }
    }

    pub(super) fn process(&mut self, node: NodeId) -> &mut Process {
        match node {
            NodeId::Acceptor(number) => &mut self.acceptors[usize::from(number)].process,
            NodeId::Coordinator(number) => &mut self.coordinators[usize::from(number)].process,
            NodeId::Replica(number) => &mut self.replicas[usize::from(number)].process,
            NodeId::Client(_) => unreachable!("clients are no processes that fail"),
        }
    }

    pub(super) fn crash(&mut self, node: NodeId, presence: Presence, power: Power) {
        match self.process(node).presence {
            Presence::Up => {}
            Presence::Down if power == Power::Fails => return self.lose_power(node),
            Presence::Down | Presence::Gone => return,
        }
        self.mark(node, 7, 0);
        if self.env.trace.is_text_kept() {
            self.env
                .trace
                .line(self.env.queue.now(), format_args!("{node} crashes, power {power:?}"));
        }
        match node {
            NodeId::Acceptor(number) => {
                self.acceptors[usize::from(number)].crash(&mut self.env, presence, power)
            }
            NodeId::Coordinator(number) => {
                let coordinator = &mut self.coordinators[usize::from(number)];
                coordinator.crash(presence);
                let instance = coordinator.instance();
                self.env.observer.coordinator_stopped(node);
                self.tell_of_end(instance);
            }
            NodeId::Replica(number) => {
                let replica = &mut self.replicas[usize::from(number)];
                replica.crash(&mut self.env, presence, power);
                let instance = replica.instance();
                self.tell_of_end(instance);
            }
            NodeId::Client(_) => unreachable!("clients never fail"),
        }
    }

    /// The machine of a process that is down loses power.
    fn lose_power(&mut self, node: NodeId) {
        match node {
            NodeId::Acceptor(number) => {
                self.acceptors[usize::from(number)].lose_power(&mut self.env)
            }
            NodeId::Replica(number) => self.replicas[usize::from(number)].lose_power(&mut self.env),
            NodeId::Coordinator(_) | NodeId::Client(_) => {}
        }
    }

    /// Now and then a coordinator believes that somebody has ended who runs.
    pub(super) fn take_for_ended(&mut self, coordinator: u8) {
        let process = &mut self.coordinators[usize::from(coordinator)].process;
        if !process.random.chance(self.env.plan.tuning.ends_mistaken) {
            return;
        }
        let coordinators = self.coordinators.iter().map(|node| (&node.process, node.instance()));
        let replicas = self.replicas.iter().map(|node| (&node.process, node.instance()));
        let running: Vec<Instance> = coordinators
            .chain(replicas)
            .filter(|(process, _)| process.presence == Presence::Up)
            .map(|(_, instance)| instance)
            .collect();
        let process = &mut self.coordinators[usize::from(coordinator)].process;
        let instance = *process.random.pick(&running);
        self.env.coverage.hit(Reached::TakenForEnded);
        self.env.local(process, Duration::ZERO, Local::Ended(instance));
    }

    /// Its connections tell the coordinators that a process has ended.
    fn tell_of_end(&mut self, instance: Instance) {
        let Some(within) = self.env.plan.tuning.ends_heard_within else { return };
        for coordinator in &mut self.coordinators {
            let process = &mut coordinator.process;
            if process.presence == Presence::Up {
                let after = process.random.duration(Duration::ZERO, within);
                self.env.local(process, after, Local::Ended(instance));
            }
        }
    }
}
