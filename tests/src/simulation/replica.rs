//! The simulated shell of a replica: does what the core says, executes, serves reads and peers, forwards mutations.

use std::collections::BTreeMap;
use std::time::Duration;

use replica::answer::{Answer, NotApplied};
use replica::config::Config;
use replica::event::{Effect, FetchId, Input, NoAnswer, RequestId, SourceKind, Storage, Timer};
use replica::outcome::{CommandOutcome, ExecutionReport};
use replica::replica::{Identity, LogPage, Recovered, Replica};
use shared::ids::{Instance, Name, Revision, Slot};
use shared::message::{ChosenEntry, ChosenReply, Directory, DirectoryEntry, Member, Service};

use crate::linearizability::history::{self, Call, Consistency};

use super::acceptor::Fate;
use super::client::{Outcome, Request};
use super::commands;
use super::coordinator::ANNOUNCE_INTERVAL;
use super::database::Database;
use super::environment::Environment;
use super::event::Local;
use super::faults::Power;
use super::message::{CallId, Delivery, Message};
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
/// How long a member is believed in.
const MEMBER_EXPIRY: Duration = Duration::from_secs(10);
/// Bytes in an answer to a peer.
const FETCH_BYTES: usize = 8 << 20;
/// Between a transaction that met a full disk and the next try.
const FULL_RETRY: Duration = Duration::from_millis(500);
/// How long it takes to read the database for a released read, at most.
const SERVE_TIME: Duration = Duration::from_millis(2);

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
        env.observer.replica_started(self.process.id, &self.database);
        self.announce(env);
        env.local(&self.process, env.plan.tuning.checkpoint, Local::Checkpoint);
        self.step(env, Input::Started)
    }

    /// Kills it.
    pub fn crash(&mut self, env: &mut Environment, presence: Presence, power: Power) {
        if power == Power::Fails && self.database.lose_power(&mut self.process.random) {
            env.reach.hit(Reached::RolledBack);
        }
        self.process.stop(presence);
    }

    /// Gives it an empty database.
    pub fn wipe(&mut self, env: &mut Environment) {
        self.database = Database::new();
        env.observer.durable(self.process.id, Slot(0));
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
            Local::Checkpoint => {
                env.local(&self.process, env.plan.tuning.checkpoint, Local::Checkpoint);
                if self.database.is_full || !self.database.checkpoint() {
                    return Fate::Alive;
                }
                env.observer.durable(self.process.id, self.database.durable_below());
                self.step(env, Input::Durable(self.database.durable_below()))
            }
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
        let Delivery { from, from_life, message, .. } = delivery;
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
            Message::Call(call, request) => return self.on_call(env, Caller { to: from, to_life: from_life, call }, request),
            Message::Answer(call, outcome) => {
                if let Some(caller) = self.forwarded.remove(&call) {
                    self.reply(env, caller, outcome);
                }
                return Fate::Alive;
            }
            other => unreachable!("nobody sends a replica {}", other.name()),
        };
        self.step(env, input)
    }

    /// The disk filled up, or has room again. The replica finds out when it writes.
    pub fn set_full(&mut self, is_full: bool) {
        self.database.is_full = is_full;
    }

    /// The state, for those who watch.
    #[must_use]
    pub fn core(&self) -> &Replica {
        &self.core
    }

    fn step(&mut self, env: &mut Environment, input: Input) -> Fate {
        let now = self.process.uptime(env.queue.now());
        let effects = self.core.step(now, input);
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

    // --- executing ---

    fn schedule_commit(&mut self, env: &mut Environment, after: Duration) {
        let (low, high) = env.plan.tuning.commit;
        let lasts = self.process.random.magnitude(low, self.slow_commit.unwrap_or(high));
        env.local(&self.process, after + lasts, Local::Commit);
    }

    fn commit(&mut self, env: &mut Environment) -> Fate {
        if self.database.is_full {
            self.schedule_commit(env, FULL_RETRY);
            if std::mem::replace(&mut self.said_full, true) {
                return Fate::Alive;
            }
            env.reach.hit(Reached::ReplicaFull);
            return self.step(env, Input::Storage(Storage::Full));
        }
        let entries = self.executing.take().expect("a commit has entries");
        let report = self.database.execute(&entries);
        env.observer.executed(self.process.id, &entries, &report);
        if self.process.crashes_at(CrashPoint::Committed) {
            env.reach.hit(Reached::CrashedCommitted);
            return Fate::Crashed;
        }
        if std::mem::take(&mut self.said_full) && self.step(env, Input::Storage(Storage::Writable)) == Fate::Crashed {
            return Fate::Crashed;
        }
        self.executed(env, report)
    }

    fn executed(&mut self, env: &mut Environment, report: ExecutionReport) -> Fate {
        self.step(env, Input::Executed(report))
    }

    // --- clients ---

    fn on_call(&mut self, env: &mut Environment, caller: Caller, request: Request) -> Fate {
        let id = RequestId(self.number());
        let timeout = self.process.clock.true_wait(request.timeout);
        let input = match &request.call {
            Call::Read { consistency: Consistency::Linearizable, .. } => Input::Read { id },
            Call::Read { consistency: Consistency::Local { at_least }, .. } => {
                Input::WaitRevision { id, revision: Revision(*at_least) }
            }
            Call::Put { .. } | Call::Delete { .. } | Call::DeletePrefix { .. } => {
                Input::Mutation { id, command: commands::command(&request), time_ms: self.process.clock.wall_ms(env.queue.now()) }
            }
        };
        let floor = match request.call {
            Call::Read { consistency: Consistency::Linearizable, .. } => env.observer.chosen_end(),
            Call::Read { .. } | Call::Put { .. } | Call::Delete { .. } | Call::DeletePrefix { .. } => Slot(0),
        };
        self.calls.insert(id, Pending { caller, request, floor, executed: self.database.state().meta().executed_below });
        env.local(&self.process, timeout, Local::Deadline(id.0));
        self.step(env, input)
    }

    fn on_deadline(&mut self, env: &mut Environment, number: u64) -> Fate {
        let id = RequestId(number);
        if self.calls.contains_key(&id) && !self.released.contains(&id) {
            return self.step(env, Input::Cancel { id });
        }
        // Another replica has it, and has not answered in time.
        if let Some(caller) = self.forwarded.remove(&CallId(number)) {
            self.reply(env, caller, Outcome::Unknown);
        }
        Fate::Alive
    }

    fn answer(&mut self, env: &mut Environment, id: RequestId, answer: Answer) {
        let Some(Pending { caller, request, .. }) = self.calls.remove(&id) else {
            panic!("{} answered request {id} twice, or was never asked", self.process.id)
        };
        let outcome = match answer {
            Answer::Executed { slot, outcome } => {
                env.observer.answered(request.operation, slot, &outcome);
                Outcome::Answered { revision: outcome.revision().0, answer: history_answer(&outcome) }
            }
            Answer::NotApplied(NotApplied::NotPrimary { primary: Some(primary) })
                if request.hops == 0 && primary != self.identity.name =>
            {
                return self.forward(env, caller, request, id, &primary);
            }
            Answer::NotApplied(_) => {
                env.observer.not_applied(request.operation);
                Outcome::NotApplied
            }
            Answer::Unknown(_) => Outcome::Unknown,
        };
        self.reply(env, caller, outcome);
    }

    fn forward(&mut self, env: &mut Environment, caller: Caller, request: Request, id: RequestId, primary: &Name) {
        env.reach.hit(Reached::Forwarded);
        let call = CallId(id.0);
        self.forwarded.insert(call, caller);
        let request = Request { hops: request.hops + 1, ..request };
        self.send(env, node_of(primary), None, Message::Call(call, request));
    }

    fn release(&mut self, env: &mut Environment, ids: Vec<RequestId>, executed_below: Slot) {
        for id in ids {
            let Some(pending) = self.calls.get(&id) else { continue };
            assert!(
                executed_below >= pending.floor,
                "invariant: a read sees all that was chosen before it came: {} was released at {executed_below}, below {}",
                pending.request.operation.0,
                pending.floor
            );
            self.released.push(id);
        }
        let lasts = self.process.random.duration(Duration::ZERO, SERVE_TIME);
        env.local(&self.process, lasts, Local::Serve);
    }

    /// Reads the database for what was released: at its newest commit.
    fn serve(&mut self, env: &mut Environment) {
        for id in std::mem::take(&mut self.released) {
            let Some(Pending { caller, request, floor, executed }) = self.calls.remove(&id) else { continue };
            let Call::Read { key, .. } = &request.call else { unreachable!("only reads are released") };
            let state = self.database.state();
            assert!(state.meta().executed_below >= floor, "invariant: a read sees all that was chosen before it came");
            let seen = state.get(key).map(commands::seen);
            let answer = history::Answer::Read(seen);
            if state.meta().executed_below > executed && floor > executed {
                env.reach.hit(Reached::ReadWaited);
            }
            if floor > Slot(0) && !self.is_primary() {
                env.reach.hit(Reached::BackupRead);
            }
            self.reply(env, caller, Outcome::Answered { revision: state.meta().revision.0, answer });
        }
    }

    fn is_primary(&self) -> bool {
        let view = self.database.state().meta().view.as_ref();
        view.is_some_and(|view| view.primary == self.identity.name && view.primary_instance == self.identity.instance)
    }

    fn reply(&self, env: &mut Environment, caller: Caller, outcome: Outcome) {
        self.send(env, caller.to, Some(caller.to_life), Message::Answer(caller.call, outcome));
    }

    // --- peers ---

    fn on_fetch(&mut self, env: &mut Environment, waiting: Waiting, wait_ms: u64) {
        let reply = self.log_from(waiting.from);
        match &reply {
            ChosenReply::Entries { entries, .. } if entries.is_empty() && wait_ms > 0 => {
                let number = self.number();
                self.fetches.insert(number, waiting);
                env.local(&self.process, Duration::from_millis(wait_ms), Local::FetchWaited(number));
            }
            ChosenReply::Entries { .. } | ChosenReply::Trimmed { .. } | ChosenReply::Unavailable => {
                self.send(env, waiting.to, Some(waiting.to_life), Message::Fetched(waiting.fetch, reply));
            }
        }
    }

    fn wake_fetches(&mut self, env: &mut Environment) {
        let is_ready = |waiting: &Waiting| match self.log_from(waiting.from) {
            ChosenReply::Entries { entries, .. } if entries.is_empty() => None,
            reply @ (ChosenReply::Entries { .. } | ChosenReply::Trimmed { .. } | ChosenReply::Unavailable) => Some(reply),
        };
        let ready: Vec<(u64, ChosenReply)> =
            self.fetches.iter().filter_map(|(number, waiting)| is_ready(waiting).map(|reply| (*number, reply))).collect();
        for (number, reply) in ready {
            let waiting = self.fetches.remove(&number).expect("it was just found");
            self.send(env, waiting.to, Some(waiting.to_life), Message::Fetched(waiting.fetch, reply));
        }
    }

    fn log_from(&self, from: Slot) -> ChosenReply {
        match self.core.log_from(from, self.fetch_entries, FETCH_BYTES) {
            LogPage::Ready(reply) | LogPage::Nothing(reply) => reply,
            LogPage::Stored { below, chosen_below } => {
                let entries = self.database.log(from, below, self.fetch_entries.max(1));
                ChosenReply::Entries { entries, chosen_below }
            }
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all other messages are never sent here, which is a panic")]
    fn refused(&mut self, env: &mut Environment, from: NodeId, request: Message) -> Option<Input> {
        match request {
            Message::Probe(probe) => Some(Input::ProbeReply { probe, reply: Err(NoAnswer) }),
            Message::Propose(attempt, proposal) => {
                let (epoch, number) = (proposal.epoch, proposal.number);
                Some(Input::ProposalReply { epoch, number, attempt, reply: Err(NoAnswer) })
            }
            Message::Heartbeat(_) => Some(Input::HeartbeatReply { from: name(from), reply: Err(NoAnswer) }),
            Message::Fetch(fetch, ..) => Some(Input::Fetched { fetch, reply: Err(NoAnswer) }),
            Message::Call(call, _) => {
                // Never sent, so it never happened.
                if let Some(caller) = self.forwarded.remove(&call) {
                    self.reply(env, caller, Outcome::NotApplied);
                }
                None
            }
            Message::Announce(_) => None,
            other => unreachable!("a replica does not ask for {}", other.name()),
        }
    }

    fn announce(&mut self, env: &mut Environment) {
        let Identity { name, instance, url } = self.identity.clone();
        let member = Member { name, service: Service::Replica, url, instance };
        for acceptor in (0..self.acceptors).map(NodeId::Acceptor) {
            self.send(env, acceptor, None, Message::Announce(member.clone()));
        }
        env.local(&self.process, ANNOUNCE_INTERVAL, Local::Announce);
    }

    /// What `shared::discovery` does: the freshest word on each member counts, and is told when it changes.
    fn merge(&mut self, env: &Environment, directory: Directory) -> Option<Input> {
        let now = self.process.clock.read(env.queue.now());
        for DirectoryEntry { member, age_ms } in directory.members {
            let Some(heard) = now.checked_sub(Duration::from_millis(age_ms)) else { continue };
            if self.known.get(&member.name).is_none_or(|(_, fresher)| *fresher < heard) {
                self.known.insert(member.name.clone(), (member, heard));
            }
        }
        self.known.retain(|_, (_, heard)| now.saturating_sub(*heard) <= MEMBER_EXPIRY);
        let members: Vec<Member> = self.known.values().map(|(member, _)| member.clone()).collect();
        if members == self.members {
            return None;
        }
        self.members.clone_from(&members);
        let members = members.into_iter().map(|member| DirectoryEntry { member, age_ms: 0 }).collect();
        Some(Input::Directory(Directory { members }))
    }

    fn send(&self, env: &mut Environment, to: NodeId, to_life: Option<Life>, message: Message) {
        env.send(self.process.id, self.process.life, to, to_life, message);
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }
}

fn history_answer(outcome: &CommandOutcome) -> history::Answer {
    match outcome {
        CommandOutcome::Created { .. } | CommandOutcome::Replaced { .. } => history::Answer::Put,
        CommandOutcome::Deleted { deleted, .. } => history::Answer::Deleted(*deleted),
        CommandOutcome::PreconditionFailed { .. } => history::Answer::GuardFailed,
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
