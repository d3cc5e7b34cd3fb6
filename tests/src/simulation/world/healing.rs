//! The second half of a run: a quorum is healed for good, and everything outstanding must
//! come to an end in bounded time.

use std::time::Duration;

use super::World;
use crate::operations::{Operation, Outcome};
use crate::random::MILLION;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::event::Event;
use crate::simulation::environment::network::Weather;
use crate::simulation::nodes::process::{NodeId, Presence};
use crate::simulation::nodes::replica::ReplicaNode;
use crate::simulation::plan::faults::Power;
use shared::ids::Slot;

impl World {
    /// Ends all faults; those that the plan gives up stay dead.
    pub fn heal(&mut self) {
        self.is_healed = true;
        let now = self.env.queue.now();
        if self.env.trace.is_text_kept() {
            self.env.trace.line(now, format_args!("all is healed"));
        }
        let plan = self.env.plan.clone();
        let topology = &plan.topology;
        self.apart = None;
        self.env.drags.clear();
        self.env.network.mend();
        self.env.network.set_weather(Weather::CALM);
        self.end_those_told_to();
        let is_formed = self.env.observer.is_formed();
        for node in [topology.servers(), topology.spares()].concat() {
            // A cluster that has yet to form needs every acceptor, and any cluster a copy
            // of what was trimmed.
            let is_needed = !is_formed && matches!(node, NodeId::Acceptor(_))
                || self.env.observer.is_only_copy(node);
            let is_given_up = plan.dead.contains(&node) && !is_needed;
            if is_given_up {
                self.crash(node, Presence::Gone, Power::Fails);
                self.process(node).stop(Presence::Gone);
                self.env.observer.given_up(node);
                continue;
            }
            if !matches!(node, NodeId::Coordinator(_)) {
                self.set_full(node, plan.full == Some(node));
                self.set_slow(node, None);
            }
            self.change_clock(node, |clock| clock.set_rate(now, MILLION));
            let process = self.process(node);
            process.paused_until = now;
            process.armed = None;
            let (presence, life) = (process.presence, process.life);
            if presence == Presence::Down {
                self.env.queue.after(Duration::ZERO, Event::Start(node, life));
            }
            self.wake(node);
            self.hurry(node);
        }
        let remaining =
            self.replicas.iter().map(|replica| &replica.process).filter(|process| {
                process.presence != Presence::Gone && plan.full != Some(process.id)
            });
        let replicas: Vec<NodeId> = remaining.map(|process| process.id).collect();
        for client in &mut self.clients {
            client.heal(&mut self.env, &replicas);
        }
    }

    /// A disk that was slow is quick again, also for what it has under way; nor does
    /// anybody wait longer than in truth.
    fn hurry(&mut self, node: NodeId) {
        match node {
            NodeId::Acceptor(number) => self.acceptors[usize::from(number)].hurry(&mut self.env),
            NodeId::Replica(number) => self.replicas[usize::from(number)].hurry(&mut self.env),
            NodeId::Coordinator(number) => {
                self.coordinators[usize::from(number)].hurry(&mut self.env)
            }
            NodeId::Client(_) => {}
        }
    }

    /// Whether every client has written and read since all was healed.
    #[must_use]
    pub fn clients_are_done(&self) -> bool {
        self.clients.iter().all(super::Client::is_done)
    }

    /// Whether every live replica has executed all that is chosen, and so up to the same
    /// slot.
    #[must_use]
    pub fn replicas_agree(&self) -> bool {
        let end = self.env.observer.chosen_end();
        self.able_replicas().all(|replica| replica.database.state().meta().executed_below == end)
    }

    /// Whether no live replica has a request left, not even one from before all was
    /// healed whose client has long given up.
    #[must_use]
    pub fn nobody_waits(&self) -> bool {
        self.able_replicas().all(|replica| replica.held() == 0)
    }

    /// What holds things up, in words.
    #[must_use]
    pub fn account(&self) -> String {
        let marks = |replica: &ReplicaNode| {
            (replica.process.id.to_string(), replica.database.state().meta().executed_below.0)
        };
        let executed: Vec<(String, u64)> = self.live_replicas().map(marks).collect();
        let held: usize = self.live_replicas().map(ReplicaNode::held).sum();
        let leaders: Vec<String> = self
            .coordinators
            .iter()
            .filter(|node| node.process.presence == Presence::Up)
            .map(|node| {
                format!("{} {:?} {:?}", node.process.id, node.core().phase(), node.core().ballot())
            })
            .collect();
        let waiting = self.clients.iter().filter(|client| !client.is_done()).count();
        let observer = &self.env.observer;
        format!(
            "{waiting} clients wait; replicas hold {held} requests; chosen below {}, up to {}; \
             executed {executed:?}; coordinators \
             {leaders:?}; view {:?}",
            observer.chosen_below(),
            observer.chosen_end(),
            observer.golden().state().meta().view,
        )
    }

    /// Panics unless all live replicas have the very state that the chosen log makes.
    pub fn invariant_states_are_equal(&self) {
        self.env.observer.golden().invariant_state_is_the_references();
        let digest = self.env.observer.golden().state().digest();
        for replica in self.able_replicas() {
            let state = replica.database.state();
            assert_eq!(
                state.digest(),
                digest,
                "invariant: equal logs make equal states: {}",
                replica.process.id
            );
        }
    }

    /// Panics unless all acceptors are sound.
    pub fn invariant_acceptors_are_sound(&self) {
        self.acceptors.iter().for_each(|acceptor| acceptor.core().check_invariants());
    }

    /// Panics if a live replica has forgotten a call.
    pub fn invariant_every_call_ends_in_time(&self) {
        let now = self.env.queue.now();
        self.live_replicas().for_each(|replica| replica.invariant_every_call_ends_in_time(now));
    }

    /// What clients asked for and heard.
    pub fn take_history(&mut self) -> Vec<Operation> {
        let clients = std::mem::take(&mut self.clients);
        let history: Vec<Operation> =
            clients.into_iter().flat_map(super::Client::into_history).collect();
        let golden = self.env.observer.golden();
        let open = |operation: &&Operation| {
            operation.outcome == Outcome::Unknown && golden.operation(operation.id).is_some()
        };
        for _ in history.iter().filter(open) {
            self.env.coverage.hit(Reached::ExecutedUnresolved);
        }
        history
    }

    /// How far every replica has come, for reports.
    #[must_use]
    pub fn chosen_end(&self) -> Slot {
        self.env.observer.chosen_end()
    }

    /// Those that must come up to date: a disk that stays full takes nothing more.
    fn able_replicas(&self) -> impl Iterator<Item = &ReplicaNode> {
        self.live_replicas().filter(|replica| self.env.plan.full != Some(replica.process.id))
    }

    fn live_replicas(&self) -> impl Iterator<Item = &ReplicaNode> {
        self.replicas.iter().filter(|replica| replica.process.presence == Presence::Up)
    }
}
