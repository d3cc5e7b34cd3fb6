//! A whole cluster and its clients: takes one event after another, and does to it what
//! the plan says.

use std::collections::BTreeMap;
use std::time::Duration;

use acceptor::limits::Limits;
use shared::ids::Instance;
use shared::message::Seated;

use super::environment::Environment;
use super::plan::Plan;
use crate::random::Random;
use crate::simulation::environment::clock::Clock;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::event::Event;
use crate::simulation::environment::network::Cut;
use crate::simulation::environment::trace::Trace;
use crate::simulation::nodes::acceptor::AcceptorNode;
use crate::simulation::nodes::client::Client;
use crate::simulation::nodes::client::holder::Holder;
use crate::simulation::nodes::coordinator::CoordinatorNode;
use crate::simulation::nodes::disk::AcceptorDisk;
use crate::simulation::nodes::process::{Life, NodeId, Process};
use crate::simulation::nodes::replica::ReplicaNode;
use crate::simulation::plan::faults::Destroy;

mod ambush;
mod calamity;
mod delivery;
pub mod foreign;
mod healing;
mod orphan;
mod processes;
mod put_back;
mod succession;

use orphan::Keeper;

/// Everything.
#[derive(Debug)]
pub struct World {
    /// What all share.
    pub env: Environment,
    acceptors: Vec<AcceptorNode>,
    coordinators: Vec<CoordinatorNode>,
    replicas: Vec<ReplicaNode>,
    clients: Vec<Client>,
    random: Random,
    /// The links that each fault in force has cut, and until when.
    severed: BTreeMap<usize, (Vec<Cut>, Duration)>,
    /// The acceptor that keeps an orphaned vote.
    keeper: Option<Keeper>,
    /// What else is cut for it, and by which fault.
    apart: Option<(usize, Cut)>,
    /// Replicas that were told to end, by which fault, and whether they were primary then.
    ending: BTreeMap<usize, (NodeId, Instance, bool)>,
    /// What waits for processes that are paused, in order.
    asleep: BTreeMap<NodeId, Vec<Event>>,
    is_healed: bool,
    /// What becomes of acceptors that leave, once the change that is under way is over.
    destroys: Destroy,
    /// The acceptors that an operator was told of last.
    seated: Option<Seated>,
}

/// A stream for what belongs to no node.
const WORLD_STREAM: u64 = 1;
/// The nodes' streams.
const FIRST_STREAM: u64 = 256;

impl World {
    /// The world of a plan, in which nothing runs yet.
    #[must_use]
    pub fn new(plan: Plan, trace: Trace) -> Self {
        let mut random = Random::new(plan.seed, WORLD_STREAM);
        let mut stream = FIRST_STREAM;
        let mut process = |node: NodeId| {
            stream += 1;
            Process::new(node, Random::new(plan.seed, stream))
        };
        let limits = Limits {
            page_votes: plan.tuning.page_votes,
            vote_bytes: plan.tuning.vote_bytes,
            ..Limits::default()
        };
        let topology = &plan.topology;
        let acceptors = [topology.acceptors(), topology.spares()].concat().into_iter();
        let acceptors = acceptors
            .map(|node| AcceptorNode::new(process(node), AcceptorDisk::draw(&mut random), limits))
            .collect();
        let coordinators = topology.coordinators().into_iter();
        let coordinators =
            coordinators.map(|node| CoordinatorNode::new(process(node), &plan)).collect();
        let replicas = topology
            .replicas()
            .into_iter()
            .map(|node| ReplicaNode::new(process(node), &plan))
            .collect();
        let clients = (0..topology.clients).map(|number| Client::new(&plan, number)).collect();
        let env = Environment::new(plan, trace);
        Self {
            env,
            acceptors,
            coordinators,
            replicas,
            clients,
            random,
            severed: BTreeMap::new(),
            keeper: None,
            apart: None,
            ending: BTreeMap::new(),
            asleep: BTreeMap::new(),
            is_healed: false,
            destroys: Destroy::Nobody,
            seated: None,
        }
    }

    /// Lets everything start, within a second of each other, and schedules what goes
    /// wrong.
    pub fn begin(&mut self) {
        for node in self.env.plan.topology.servers() {
            let delay = self.random.magnitude(Duration::from_millis(1), Duration::from_secs(1));
            self.env.queue.after(delay, Event::Start(node, Life(0)));
        }
        for node in self.env.plan.topology.spares() {
            self.env.queue.after(Duration::from_millis(1), Event::Start(node, Life(0)));
        }
        for client in &mut self.clients {
            client.start(&mut self.env);
        }
        for (index, fault) in self.env.plan.faults.iter().enumerate() {
            self.env.queue.at(fault.at, Event::FaultBegins(index));
        }
    }

    /// The clients that hold locks.
    pub fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.clients.iter().filter_map(Client::holder)
    }

    /// Takes the next event, if it is due by then.
    pub fn step(&mut self, until: Duration) -> bool {
        let Some(event) = self.env.queue.pop(until) else { return false };
        match event {
            Event::Deliver(delivery) => self.deliver(delivery),
            Event::Timer { node, life, timer, generation } => {
                if self.is_ready(node, life, || Event::Timer { node, life, timer, generation }) {
                    self.fire(node, timer, generation);
                }
            }
            Event::Local { node, life, what } => {
                if self.is_ready(node, life, || Event::Local { node, life, what }) {
                    self.mark(node, 1, what.kind());
                    let fate = match node {
                        NodeId::Acceptor(number) => {
                            self.acceptors[usize::from(number)].on_synced(&mut self.env)
                        }
                        NodeId::Coordinator(number) => {
                            self.coordinators[usize::from(number)].on_local(&mut self.env, what)
                        }
                        NodeId::Replica(number) => {
                            self.replicas[usize::from(number)].on_local(&mut self.env, what)
                        }
                        NodeId::Client(_) => unreachable!("clients have no machine"),
                    };
                    self.meet(node, fate);
                }
            }
            Event::Client(number, what) => {
                self.mark(NodeId::Client(number), 2, 0);
                self.clients[usize::from(number)].on_event(&mut self.env, what);
            }
            Event::Wake(node) => self.wake(node),
            Event::Start(node, life) => self.start(node, life),
            Event::FaultBegins(index) => self.fault_begins(index),
            Event::FaultEnds(index) => self.fault_ends(index),
            Event::Ambush(index, at) => self.ambush(index, at),
            Event::FlagsChanged(node) => self.flags_changed(node),
        }
        true
    }

    /// Whether the process takes an event now: it is alive, in that life, and not paused.
    /// A paused one takes it later.
    fn is_ready(&mut self, node: NodeId, life: Life, event: impl FnOnce() -> Event) -> bool {
        let now = self.env.queue.now();
        let process = self.process(node);
        if !process.is_in(life) {
            return false;
        }
        let is_paused = process.paused_until > now;
        if is_paused {
            self.asleep.entry(node).or_default().push(event());
        }
        !is_paused
    }

    /// A pause is over, unless another one goes on: all that waited happens now.
    fn wake(&mut self, node: NodeId) {
        let now = self.env.queue.now();
        if self.process(node).paused_until <= now {
            let paused_for = self
                .process(node)
                .paused_since
                .take()
                .map_or(Duration::ZERO, |since| now.saturating_sub(since));
            for (longer_than, reached) in [(2, Reached::Paused), (10, Reached::PausedLong)] {
                if paused_for > Duration::from_secs(longer_than) {
                    self.env.coverage.hit(reached);
                }
            }
            self.was_away(node, paused_for);
            for event in self.asleep.remove(&node).into_iter().flatten() {
                self.env.queue.after(Duration::ZERO, event);
            }
        }
    }

    /// A process did nothing for so long, or its clock jumped that far: it has not
    /// listened in that time.
    fn was_away(&mut self, node: NodeId, lasted: Duration) {
        let now = self.env.queue.now();
        let uptime = self.process(node).uptime(now);
        self.env.observer.was_away(uptime, node, lasted);
    }

    fn fire(&mut self, node: NodeId, timer: u8, generation: u32) {
        if !self.process(node).is_armed(usize::from(timer), generation) {
            return;
        }
        self.mark(node, 3, u64::from(timer));
        let clock = &mut self.process(node).clock;
        let (is_wrong, jumped) = (clock.is_wrong(), clock.take_jump());
        if is_wrong {
            self.env.coverage.hit(Reached::Drifted);
        }
        if jumped > Duration::from_millis(500) {
            self.env.coverage.hit(Reached::Jumped);
        }
        let fate = match node {
            NodeId::Coordinator(number) => {
                self.take_for_ended(number);
                self.coordinators[usize::from(number)].on_timer(&mut self.env, timer)
            }
            NodeId::Replica(number) => {
                self.replicas[usize::from(number)].on_timer(&mut self.env, timer)
            }
            NodeId::Acceptor(_) | NodeId::Client(_) => unreachable!("{node} has no timers"),
        };
        self.meet(node, fate);
    }

    /// Changes the clocks of a node's machine.
    fn change_clock(&mut self, node: NodeId, change: impl FnOnce(&mut Clock)) {
        let process = match node {
            NodeId::Acceptor(number) => &mut self.acceptors[usize::from(number)].process,
            NodeId::Coordinator(number) => &mut self.coordinators[usize::from(number)].process,
            NodeId::Replica(number) => &mut self.replicas[usize::from(number)].process,
            NodeId::Client(_) => unreachable!("clients have no clocks"),
        };
        self.env.change_clock(process, change);
    }

    /// Notes an event in the trace's digest.
    fn mark(&mut self, node: NodeId, kind: u64, detail: u64) {
        let (role, number) = match node {
            NodeId::Acceptor(number) => (0, number),
            NodeId::Coordinator(number) => (1, number),
            NodeId::Replica(number) => (2, number),
            NodeId::Client(number) => (3, number),
        };
        let now = self.env.queue.now();
        self.env.trace.mark(now, kind << 16 | role << 8 | u64::from(number), detail);
    }
}
