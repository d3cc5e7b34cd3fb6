//! The oracle's log, three replicas with their shells, and their clients.

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
            Effect::Compact { .. } => panic!("too little happens for that"),
            Effect::ForgetLog { .. } => panic!("the log is short, and nobody trims it"),
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

    fn deliver_proposal(&mut self, index: usize, which: usize, fate: usize) {
        let proposals = &mut self.nodes[index].proposals;
        if proposals.is_empty() {
            return;
        }
        let (attempt, proposal) = proposals.remove(which % proposals.len());
        let Proposal { epoch, number, value, .. } = proposal.clone();
        let copies = [1, 1, 1, 1, 2, 0, 0, 0][fate % 8];
        for _ in 0..copies {
            self.log.push(value.clone());
        }
        let slot = Slot(self.log.len() as u64 - 1);
        let reply = match fate % 8 {
            0 | 1 | 4 => {
                Ok(ProposalReply::Chosen { slot, ballot: ballot(1), chosen_below: slot.next() })
            }
            2 => Ok(ProposalReply::Unresolved),
            5 => Ok(ProposalReply::NotLeading),
            6 => Err(NoAnswer),
            // Lost: the proposal, or the answer. A copy of the request may come once
            // more.
            3 | 7.. => {
                if fate >= 128 {
                    self.nodes[index].proposals.push((attempt, proposal));
                }
                return;
            }
        };
        self.step(index, Input::ProposalReply { epoch, number, attempt, reply: reply.map(ours) });
    }

    fn deliver_fetch(&mut self, index: usize, fate: usize) {
        let Some((fetch, from)) = self.nodes[index].fetches.pop() else { return };
        let reply = match fate % 8 {
            0 => Err(NoAnswer),
            1 => Ok(ChosenReply::Unavailable),
            2 => Ok(ChosenReply::Trimmed { oldest: Slot(0) }),
            3.. => self.page(from, fate / 8),
        };
        self.step(index, Input::Fetched { fetch, reply: reply.map(ours) });
    }

    fn page(&self, from: Slot, limit: usize) -> Result<ChosenReply, NoAnswer> {
        let page = self.log.iter().enumerate().skip(from.0 as usize).take(limit);
        let page: Vec<_> = page.map(|(slot, value)| entry(slot as u64, value.clone())).collect();
        let hash = self
            .log
            .iter()
            .zip(0..)
            .take(from.0 as usize)
            .fold(ChainHash::default(), |hash, (value, slot)| hash.next(Slot(slot), value));
        Ok(ChosenReply::Entries {
            entries: page,
            chosen_below: Slot(self.log.len() as u64),
            previous: Some(LogPrefix { below: from, hash }),
        })
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

    /// Acceptors 1 and 2 have voted for all that is chosen, acceptor 3 is slow: any two
    /// of them know all.
    fn deliver_watermarks(&mut self, index: usize, which: usize) {
        let Some(probe) = self.nodes[index].probes.last().copied() else { return };
        let voted_below =
            if which.is_multiple_of(3) { self.log.len() / 2 } else { self.log.len() } as u64;
        let acceptor = if which.is_multiple_of(3) { 3 } else { which as u64 % 3 };
        let reply = if which >= 240 {
            Err(NoAnswer)
        } else {
            Ok(watermarks(acceptor, voted_below, Some(roster())))
        };
        self.step(index, Input::ProbeReply { probe, reply });
    }

    fn hear_of_leader(&mut self, index: usize, second: usize) {
        let round = second as u64 % 3 + 1;
        let reply = HeartbeatReply {
            coordinator: CoordinatorId(round),
            phase: Phase::Phase2,
            ballot: Some(ballot(round)),
            chosen_below: Slot(self.log.len() as u64),
        };
        let reply = if second >= 250 { Err(NoAnswer) } else { Ok(ours(reply)) };
        self.step(index, Input::HeartbeatReply { from: coordinator(1).name, reply });
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

    /// What the log says, executed in one go.
    fn reference(&self) -> (Vec<Executed>, ReplicatedState) {
        let mut state = ReplicatedState::complete();
        let log = self
            .log
            .iter()
            .enumerate()
            .map(|(slot, value)| entry(slot as u64, value.clone()))
            .collect();
        (Run::new(log).apply(&mut state).slots, state)
    }

    pub(super) fn check_answers(&self) {
        let (slots, state) = self.reference();
        for (id, request) in &self.requests {
            let Operation::Mutation { key } = &request.asked else { continue };
            let record = state.keys().records().get(key);
            assert!(record.is_none_or(|record| record.version == 1), "{id} was executed twice");
            match &request.told {
                Told::Answer(Answer::Executed { slot, outcome, delivery }) => {
                    let SlotOutcome::Batch { commands, .. } = &slots[slot.0 as usize].outcome
                    else {
                        panic!("{id} was told {outcome:?} of slot {slot}, which holds no batch")
                    };
                    assert!(
                        commands.contains(&ExecutedCommand {
                            delivery: *delivery,
                            request: identity(key),
                            outcome: outcome.clone()
                        }),
                        "{id} was told {outcome:?} of slot {slot}, which has {commands:?}"
                    );
                    assert_eq!(
                        record.map(|record| record.revision),
                        Some(outcome.revision()),
                        "{id}"
                    );
                }
                Told::Answer(Answer::NotApplied(reason)) => {
                    assert_eq!(record, None, "{id} was told {reason}")
                }
                Told::Answer(Answer::Unknown(_) | Answer::Forgotten) | Told::Lost => {}
                told @ (Told::Nothing | Told::Served | Told::Refused) => {
                    panic!("{id} was told {told:?}")
                }
            }
        }
    }

    pub(super) fn check_replicas_are_the_same(&self) {
        let (_, state) = self.reference();
        for node in &self.nodes {
            assert_eq!(node.database.digest(), state.digest());
        }
    }

    pub(super) fn reached(&self) -> Reached {
        let mut reached = Reached::default();
        for request in self.requests.values() {
            match &request.told {
                Told::Answer(Answer::Executed { .. }) => reached.count("executed"),
                Told::Answer(Answer::NotApplied(NotApplied::PrimaryChanged)) => {
                    reached.count("not applied")
                }
                Told::Answer(Answer::Unknown(_)) => reached.count("unknown"),
                Told::Answer(Answer::Forgotten) => reached.count("forgotten"),
                Told::Served => reached.count("served"),
                Told::Answer(Answer::NotApplied(_))
                | Told::Refused
                | Told::Lost
                | Told::Nothing => {}
            }
        }
        for slot in self.reference().0 {
            match slot.outcome {
                SlotOutcome::View(_) => reached.count("view"),
                SlotOutcome::Void(VoidReason::OtherEpoch { .. }) => reached.count("other epoch"),
                SlotOutcome::Void(VoidReason::OutOfOrder { number, expected, .. }) => {
                    reached.count(if number > expected { "too early" } else { "repeated" });
                }
                SlotOutcome::Void(_) | SlotOutcome::Noop | SlotOutcome::Batch { .. } => {}
            }
        }
        reached
    }
}
