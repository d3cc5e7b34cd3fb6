//! The simulated shell of a replica: does what the core says, and executes.

mod clients;
mod peers;
mod storage;

use std::collections::BTreeMap;
use std::time::Duration;

use replica::config::Config;
use replica::event::{Effect, FetchId, Input, RequestId, SourceKind, Timer};
use replica::replica::{Identity, Recovered, Replica};
use shared::ids::{Instance, Name, Slot};
use shared::message::{ChosenEntry, ChosenReply, Member};

use super::acceptor::Fate;
use super::client::{Outcome, Request};
use super::commands;
use super::database::Database;
use super::environment::Environment;
use super::event::Local;
use super::faults::{Moment, Power};
use super::message::{CallId, Copied, Delivery, Message};
use super::node::{CrashPoint, Life, NodeId, Presence, Process};
use super::plan::Plan;
use super::reach::Reached;

/// A replica and its database.
#[derive(Debug)]
pub struct ReplicaNode {
    /// What all processes have.
    pub process: Process,
    /// Its database, which outlives it.
    pub database: Database,
    config: Config,
    fetch_entries: usize,
    acceptors: u8,
    core: Replica,
    identity: Identity,
    executing: Option<Vec<ChosenEntry>>,
    said_full: bool,
    calls: BTreeMap<RequestId, Pending>,
    /// Released reads, to be served from the database.
    released: Vec<RequestId>,
    forwarded: BTreeMap<CallId, Caller>,
    fetches: BTreeMap<u64, Waiting>,
    known: BTreeMap<Name, (Member, Duration)>,
    members: Vec<Member>,
    next_number: u64,
    /// How long a commit takes, while its disk is slow.
    pub slow_commit: Option<Duration>,
}

/// Where an answer goes.
#[derive(Clone, Copy, Debug)]
struct Caller {
    to: NodeId,
    to_life: Life,
    call: CallId,
    /// The client's deadline, in true time.
    until: Duration,
}

#[derive(Debug)]
struct Pending {
    caller: Caller,
    request: Request,
    /// For a linearizable read: what must be executed when it is released.
    floor: Slot,
    /// What was executed when it came.
    executed: Slot,
}

/// A peer's fetch that waits for news.
#[derive(Debug)]
struct Waiting {
    to: NodeId,
    to_life: Life,
    fetch: FetchId,
    from: Slot,
}

const TIMERS: [Timer; 5] = [Timer::Heartbeat, Timer::Probe, Timer::Propose, Timer::Fetch, Timer::FetchStall];

impl ReplicaNode {
    /// A replica with an empty database, not started yet.
    #[must_use]
    pub fn new(process: Process, plan: &Plan) -> Self {
        let tuning = &plan.tuning;
        let config = Config {
            acceptors: usize::from(plan.topology.acceptors),
            pipeline: tuning.pipeline,
            batch_commands: tuning.batch_commands,
            batch_bytes: tuning.batch_bytes,
            queued_mutations: tuning.queued_mutations,
            execute_entries: tuning.execute_entries,
            learned_entries: tuning.learned_entries,
            ..Config::default()
        };
        let name: Name = process.id.to_string().parse().expect("a name");
        let identity = Identity { name, instance: Instance(0), url: format!("sim://{}", process.id) };
        Self {
            process,
            database: Database::new(),
            core: Replica::new(config.clone(), identity.clone(), Recovered::default()),
            config,
            fetch_entries: tuning.fetch_entries,
            acceptors: plan.topology.acceptors,
            identity,
            executing: None,
            said_full: false,
            calls: BTreeMap::new(),
            released: Vec::new(),
            forwarded: BTreeMap::new(),
            fetches: BTreeMap::new(),
            known: BTreeMap::new(),
            members: Vec::new(),
            next_number: 0,
            slow_commit: None,
        }
    }

    /// Starts it from its database.
    pub fn start(&mut self, env: &mut Environment) -> Fate {
        self.process.start(env.queue.now());
        self.identity.instance = Instance(self.process.random.bits());
        let recovered = Recovered {
            cluster: self.database.cluster(),
            meta: self.database.state().meta().clone(),
            durable_below: self.database.durable_below(),
        };
        self.core = Replica::new(self.config.clone(), self.identity.clone(), recovered);
        (self.executing, self.said_full) = (None, false);
        self.calls.clear();
        self.released.clear();
        self.forwarded.clear();
        self.fetches.clear();
        self.known.clear();
        self.members.clear();
        env.observer.replica_started(self.process.id, self.identity.instance, &self.database);
        self.announce(env);
        env.local(&self.process, env.plan.tuning.checkpoint, Local::Checkpoint);
        self.step(env, Input::Started)
    }

    /// Kills it.
    pub fn crash(&mut self, env: &mut Environment, presence: Presence, power: Power) {
        if power == Power::Fails {
            self.lose_power(env);
        }
        self.process.stop(presence);
    }

    /// Its machine loses power, whether it runs or not.
    pub fn lose_power(&mut self, env: &mut Environment) {
        if self.database.lose_power(&mut self.process.random) {
            env.reach.hit(Reached::RolledBack);
        }
    }

    /// Gives it an empty database.
    pub fn wipe(&mut self, env: &mut Environment) {
        self.database = Database::new();
        env.observer.replica_wiped(self.process.id);
    }

    /// A timer ran out.
    pub fn on_timer(&mut self, env: &mut Environment, timer: u8) -> Fate {
        self.step(env, Input::Fired(TIMERS[usize::from(timer)]))
    }

    /// Something on its own machine is due.
    pub fn on_local(&mut self, env: &mut Environment, what: Local) -> Fate {
        match what {
            Local::Announce => {
                self.announce(env);
                Fate::Alive
            }
            Local::Commit => self.commit(env),
            Local::Checkpoint => self.checkpoint(env),
            Local::Serve => {
                self.serve(env);
                Fate::Alive
            }
            Local::Deadline(number) => self.on_deadline(env, number),
            Local::FetchWaited(number) => {
                if let Some(waiting) = self.fetches.remove(&number) {
                    let reply = self.log_from(waiting.from);
                    self.send(env, waiting.to, Some(waiting.to_life), Message::Fetched(waiting.fetch, reply));
                }
                Fate::Alive
            }
            Local::Synced => unreachable!("a replica does not wait for {what:?}"),
        }
    }

    /// A message arrived.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other messages are never sent here, which is a panic")]
    pub fn on_message(&mut self, env: &mut Environment, delivery: Delivery) -> Fate {
        let Delivery { from, from_life, message, copy, .. } = delivery;
        let input = match message {
            Message::Probed(probe, reply) => Input::ProbeReply { probe, reply: Ok(reply) },
            Message::Proposed(epoch, number, attempt, reply) => Input::ProposalReply { epoch, number, attempt, reply: Ok(reply) },
            Message::Fetched(fetch, reply) => {
                match (&reply, from) {
                    (ChosenReply::Trimmed { .. }, _) => env.reach.hit(Reached::FetchTrimmed),
                    (ChosenReply::Entries { entries, .. }, NodeId::Replica(_)) if !entries.is_empty() => {
                        env.reach.hit(Reached::LearnedFromReplica);
                    }
                    (ChosenReply::Entries { entries, .. }, _) if !entries.is_empty() => env.reach.hit(Reached::LearnedFromLeader),
                    (ChosenReply::Entries { .. } | ChosenReply::Unavailable, _) => {}
                }
                Input::Fetched { fetch, reply: Ok(reply) }
            }
            Message::HeartbeatReply(reply) => Input::HeartbeatReply { from: name(from), reply: Ok(reply) },
            Message::Refused(request) => match self.refused(env, from, *request) {
                Some(input) => input,
                None => return Fate::Alive,
            },
            Message::Directory(directory) => match self.merge(env, directory) {
                Some(input) => input,
                None => return Fate::Alive,
            },
            Message::Fetch(fetch, slot, wait_ms) => {
                self.on_fetch(env, Waiting { to: from, to_life: from_life, fetch, from: slot }, wait_ms);
                return Fate::Alive;
            }
            Message::Call(call, request) => return self.on_call(env, (from, from_life, call), request),
            Message::Answer(call, outcome) => {
                if let Some(caller) = self.forwarded.remove(&call) {
                    self.reply(env, caller, outcome);
                }
                return Fate::Alive;
            }
            other => unreachable!("nobody sends a replica {}", other.name()),
        };
        self.step_again(env, input, copy)
    }

    /// The state, for those who watch.
    #[must_use]
    pub fn core(&self) -> &Replica {
        &self.core
    }

    fn step(&mut self, env: &mut Environment, input: Input) -> Fate {
        self.step_again(env, input, Copied::No)
    }

    fn step_again(&mut self, env: &mut Environment, input: Input, copy: Copied) -> Fate {
        let now = self.process.uptime(env.queue.now());
        let effects = self.core.step(now, input);
        if copy == Copied::Again && effects.is_empty() {
            env.reach.hit(Reached::ReplyIgnored);
        }
        let is_telling = effects.iter().any(|effect| !matches!(effect, Effect::Arm { .. } | Effect::Probe { .. }));
        if self.process.crashes_at(CrashPoint::ReplicaStepped) && is_telling {
            env.reach.hit(Reached::CrashedReplicaStepped);
            return Fate::Crashed;
        }
        for effect in effects {
            if self.perform(env, effect) == Fate::Crashed {
                return Fate::Crashed;
            }
        }
        Fate::Alive
    }

    fn perform(&mut self, env: &mut Environment, effect: Effect) -> Fate {
        match effect {
            Effect::Arm { timer, after, jitter } => env.arm(&mut self.process, timer as u8, after, jitter),
            Effect::Join { cluster } => self.database.join(cluster),
            Effect::WrongCluster { expected, found } => panic!("a database of {expected} met the acceptors of {found}"),
            Effect::RoleChanged { role, view } => {
                env.spring(Moment::ViewChosen, self.process.id);
                if env.trace.is_text_kept() {
                    env.trace.line(env.queue.now(), format_args!("{} is {role:?} in {view:?}", self.process.id));
                }
            }
            Effect::StartBatch { epoch, number, .. } => {
                let trace = Some(commands::trace(env.trace.events()));
                return self.step(env, Input::BatchStarted { epoch, number, trace });
            }
            Effect::Propose { to, attempt, proposal } => self.send(env, node(&to), None, Message::Propose(attempt, proposal)),
            Effect::Fetch { fetch, kind, source, from, wait_ms } => {
                let is_replica = matches!(node(&source), NodeId::Replica(_));
                assert_eq!(is_replica, kind == SourceKind::Replica, "a source is what its name says");
                self.send(env, node(&source), None, Message::Fetch(fetch, from, wait_ms));
            }
            Effect::Execute { entries } => {
                assert!(self.executing.is_none(), "one transaction at a time");
                self.executing = Some(entries);
                self.schedule_commit(env, Duration::ZERO);
            }
            Effect::Probe { probe } => {
                for acceptor in (0..self.acceptors).map(NodeId::Acceptor) {
                    self.send(env, acceptor, None, Message::Probe(probe));
                }
            }
            Effect::Heartbeat { to, message } => self.send(env, node(&to), None, Message::Heartbeat(message)),
            Effect::Learned { .. } => self.wake_fetches(env),
            Effect::Answer { id, answer } => self.answer(env, id, answer),
            Effect::Release { ids, executed_below, .. } => self.release(env, ids, executed_below),
            Effect::Refuse { id, .. } => {
                if let Some(pending) = self.calls.remove(&id) {
                    self.reply(env, pending.caller, Outcome::NotApplied);
                }
            }
        }
        Fate::Alive
    }

    fn send(&self, env: &mut Environment, to: NodeId, to_life: Option<Life>, message: Message) {
        env.send(self.process.id, self.process.life, to, to_life, message);
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }
}

fn name(node: NodeId) -> Name {
    node.to_string().parse().expect("a name")
}

fn node(member: &Member) -> NodeId {
    node_of(&member.name)
}

fn node_of(name: &Name) -> NodeId {
    let parsed = name.as_str().rsplit_once('-').and_then(|(kind, number)| {
        let number = number.parse::<u8>().ok()?.checked_sub(1)?;
        match kind {
            "coordinator" => Some(NodeId::Coordinator(number)),
            "replica" => Some(NodeId::Replica(number)),
            _ => None,
        }
    });
    parsed.expect("members are named for what they are")
}
