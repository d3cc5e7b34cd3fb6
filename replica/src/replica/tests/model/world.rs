//! The oracle's log, three replicas with their shells, and their clients.

mod delivering;
mod judging;

use std::collections::{BTreeMap, BTreeSet};

use super::super::*;
use super::reached::Reached;
use crate::machine::command::TraceContext;
use crate::machine::execute::{Executed, ExecutedCommand, SlotOutcome, VoidReason};

struct Node {
    replica: Replica,
    database: ReplicatedState,
    instance: Instance,
    executing: Option<Vec<ChosenEntry>>,
    proposals: Vec<(Attempt, Proposal)>,
    fetches: Vec<(FetchId, Slot)>,
    probes: Vec<ProbeId>,
    timers: BTreeSet<Timer>,
}

#[derive(Debug)]
enum Operation {
    Mutation { key: String },
    Read { chosen_before: u64 },
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Answer(Answer),
    Served,
    Refused,
    /// Its replica restarted: it will never be told.
    Lost,
}

#[derive(Debug)]
struct Request {
    node: usize,
    asked: Operation,
    told: Told,
}

pub(super) struct World {
    now: Duration,
    pipeline: usize,
    log: Vec<EncodedValue>,
    nodes: Vec<Node>,
    requests: BTreeMap<RequestId, Request>,
    restarts: u64,
}

impl World {
    pub(super) fn new(pipeline: usize) -> Self {
        let mut world = Self {
            now: ms(0),
            pipeline,
            log: Vec::new(),
            nodes: Vec::new(),
            requests: BTreeMap::new(),
            restarts: 10,
        };
        for index in 0..3 {
            let recovered = Recovered::default();
            let node = world.start(index, recovered, ReplicatedState::complete());
            world.nodes.push(node);
            world.step(index, Input::Started);
            world.introduce(index);
        }
        world
    }

    fn start(&mut self, index: usize, recovered: Recovered, database: ReplicatedState) -> Node {
        self.restarts += 1;
        let Member { name, url, .. } = replica(index as u64 + 1);
        let instance = Instance(self.restarts);
        let config =
            Config { pipeline: self.pipeline, batch_commands: 3, execute_entries: 3, ..config() };
        Node {
            replica: Replica::new(config, Identity { name, instance, url }, recovered),
            database,
            instance,
            executing: None,
            proposals: Vec::new(),
            fetches: Vec::new(),
            probes: Vec::new(),
            timers: BTreeSet::new(),
        }
    }

    fn introduce(&mut self, index: usize) {
        let members = [coordinator(1), replica(1), replica(2), replica(3)]
            .map(|member| DirectoryEntry { member, age_ms: 0 });
        self.step(index, Input::Directory(Directory { members: members.to_vec() }));
    }

    fn step(&mut self, index: usize, input: Input) {
        let effects = self.nodes[index].replica.step(self.now, input);
        for effect in effects {
            self.perform(index, effect);
        }
    }

    fn perform(&mut self, index: usize, effect: Effect) {
        let node = &mut self.nodes[index];
        match effect {
            Effect::Arm { timer, .. } => {
                node.timers.insert(timer);
            }
            Effect::StartBatch { epoch, number, .. } => {
                self.step(index, Input::BatchStarted { epoch, number, trace: None })
            }
            Effect::Propose { attempt, proposal, .. } => node.proposals.push((attempt, proposal)),
            Effect::Fetch { fetch, from, .. } => node.fetches.push((fetch, from)),
            Effect::Execute { entries } => {
                assert!(node.executing.replace(entries).is_none(), "one execution at a time")
            }
            Effect::Store => self.store(index),
            Effect::Probe { probe, asked: ProbeScope::Quorum | ProbeScope::All } => {
                node.probes.push(probe)
            }
            // Whoever is asked may answer any of them.
            Effect::Probe { asked: ProbeScope::Rest, .. } => {}
            Effect::Answer { id, answer } => self.tell(index, id, Told::Answer(answer)),
            Effect::Refuse { id, .. } => self.tell(index, id, Told::Refused),
            Effect::Release { ids, executed_below, .. } => {
                for id in ids {
                    if let Operation::Read { chosen_before } = self.requests[&id].asked {
                        assert!(
                            executed_below.0 >= chosen_before,
                            "{id} read {executed_below}, {chosen_before} were chosen before"
                        );
                    }
                    self.tell(index, id, Told::Served);
                }
            }
            Effect::ClaimRefused { from, why } => panic!("{from} is not believed: {why}"),
            Effect::FetchSnapshot { .. } => panic!("the log is short, and nobody trims it"),
            Effect::WrongCluster { .. } => panic!("there is one cluster"),
            Effect::WrongHistory(wrong) => panic!("there is one history: {wrong}"),
            Effect::HistoryDisputed(dispute) => panic!("there is one history: {dispute}"),
            Effect::Compact { .. } => panic!("too little happens for that"),
            Effect::ForgetLog { .. } => panic!("the log is short, and nobody trims it"),
            Effect::FollowAcceptors => panic!("nobody follows these acceptors"),
            Effect::Removed(removed) => panic!("nobody asked for that: {removed:?}"),
            Effect::Join { .. }
            | Effect::RoleChanged { .. }
            | Effect::Heartbeat { .. }
            | Effect::Learned { .. } => {}
        }
    }

    fn tell(&mut self, index: usize, id: RequestId, told: Told) {
        let request = self.requests.get_mut(&id).unwrap();
        assert_eq!((request.node, &request.told), (index, &Told::Nothing), "{id} is told {told:?}");
        request.told = told;
    }

    /// One thing happens; the numbers pick it.
    pub(super) fn happen(&mut self, what: u8, first: usize, second: usize) {
        let index = first % 3;
        match what % 16 {
            0..=2 => self.ask_mutation(index, second),
            3 => self.ask_read(index),
            4..=6 => self.deliver_proposal(index, first / 3, second),
            7 | 8 => self.deliver_fetch(index, second),
            9 | 10 => self.execute(index),
            11 => self.deliver_watermarks(index, second),
            12 => self.hear_of_leader(index, second),
            13 => self.fire(index, second),
            14 if second.is_multiple_of(8) => self.restart(index),
            14 => self.cancel(second),
            15.. if second.is_multiple_of(6) => self.choose_view(index, second / 6),
            15.. => self.hear_of_leader(index, second),
        }
    }

    /// Mostly of a replica that takes itself for the primary.
    fn ask_mutation(&mut self, index: usize, second: usize) {
        let primary = self.nodes.iter().position(|node| node.replica.role() == Role::Primary);
        let index = primary.filter(|_| !second.is_multiple_of(8)).unwrap_or(index);
        let id = RequestId(self.requests.len() as u64);
        let key = format!("key-{id}");
        let trace = TraceContext { trace_id: [1; 16], span_id: [1; 8], flags: 1 };
        let command = Command { trace: second.is_multiple_of(5).then_some(trace), ..put(&key) };
        self.requests.insert(
            id,
            Request { node: index, asked: Operation::Mutation { key }, told: Told::Nothing },
        );
        self.step(index, Input::Mutation { id, command, since: None, wall_ms: 0 });
    }

    fn ask_read(&mut self, index: usize) {
        let id = RequestId(self.requests.len() as u64);
        let asked = Operation::Read { chosen_before: self.log.len() as u64 };
        self.requests.insert(id, Request { node: index, asked, told: Told::Nothing });
        self.step(index, Input::Reads { ids: vec![id] });
    }

    fn execute(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if let Some(entries) = node.executing.take() {
            let report = Run::new(entries).apply(&mut node.database);
            let is_stored_alone = report.meta.executed_below.0.is_multiple_of(2);
            self.step(index, Input::Executed(report));
            if is_stored_alone {
                self.store(index);
            }
        }
    }

    fn store(&mut self, index: usize) {
        let stored = Stored::of(self.nodes[index].database.meta());
        self.step(index, Input::Stored(stored));
    }

    fn fire(&mut self, index: usize, which: usize) {
        self.now += ms(10 * which as u64);
        let timers = &mut self.nodes[index].timers;
        if let Some(timer) = timers.iter().nth(which % timers.len().max(1)).copied() {
            timers.remove(&timer);
            self.step(index, Input::Fired(timer));
        }
    }

    /// What was executed is in the database; all else is gone.
    fn restart(&mut self, index: usize) {
        let database = self.nodes[index].database.clone();
        let cluster = self.nodes[index].replica.status(self.now).cluster;
        let recovered = Recovered {
            cluster,
            joined_at: Slot(0),
            meta: database.meta().clone(),
            next_expiry_ms: None,
            durable_below: Slot(0),
        };
        let in_flight = std::mem::take(&mut self.nodes[index].proposals);
        self.nodes[index] = self.start(index, recovered, database);
        // What it had proposed may be chosen yet.
        self.nodes[index].proposals = in_flight;
        let unanswered = self
            .requests
            .values_mut()
            .filter(|request| request.node == index && request.told == Told::Nothing);
        unanswered.for_each(|request| request.told = Told::Lost);
        self.step(index, Input::Started);
        self.introduce(index);
    }

    fn cancel(&mut self, which: usize) {
        let open = self.requests.iter().filter(|(_, request)| request.told == Told::Nothing);
        let Some((id, node)) = open.map(|(id, request)| (*id, request.node)).nth(which % 8) else {
            return;
        };
        self.step(node, Input::Cancel { id });
        assert_ne!(self.requests[&id].told, Told::Nothing, "who gives up is answered at once");
    }

    /// The next view, or (as a coordinator that doesn't know may propose) one that is
    /// void.
    fn choose_view(&mut self, index: usize, second: usize) {
        let epoch = self.reference().1.meta().epoch().0 + [1, 1, 1, 0, 2][second % 5];
        let view =
            View { primary_instance: self.nodes[index].instance, ..view(epoch, index as u64 + 1) };
        self.log.push(Value::View(view).encode());
    }

    /// Everything arrives from now on, until all is answered and executed everywhere.
    pub(super) fn heal(&mut self) {
        for _ in 0..500 {
            let (_, state) = self.reference();
            let is_primary = |node: &Node| {
                state
                    .meta()
                    .view
                    .as_ref()
                    .is_some_and(|view| view.primary_instance == node.instance)
            };
            if !self.nodes.iter().any(is_primary) {
                self.choose_view(0, 0);
            }
            for index in 0..3 {
                self.now += ms(40);
                self.hear_of_leader(index, 0);
                self.deliver_proposal(index, 0, 0);
                while let Some((fetch, from)) = self.nodes[index].fetches.pop() {
                    let reply = self.page(from, 100);
                    self.step(index, Input::Fetched { fetch, reply: reply.map(ours) });
                }
                self.deliver_watermarks(index, 1);
                self.deliver_watermarks(index, 2);
                self.execute(index);
                for timer in std::mem::take(&mut self.nodes[index].timers) {
                    self.step(index, Input::Fired(timer));
                }
            }
            if self.is_quiet() {
                return;
            }
        }
        let open: Vec<_> =
            self.requests.iter().filter(|(_, request)| request.told == Told::Nothing).collect();
        panic!("no end is in sight: {} slots, open: {open:?}", self.log.len());
    }

    fn is_quiet(&self) -> bool {
        let all_executed = self
            .nodes
            .iter()
            .all(|node| node.database.meta().executed_below.0 == self.log.len() as u64);
        all_executed
            && self.nodes.iter().all(|node| node.proposals.is_empty())
            && self.requests.values().all(|request| request.told != Told::Nothing)
    }
}
