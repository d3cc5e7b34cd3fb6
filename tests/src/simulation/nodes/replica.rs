//! The simulated shell of a replica: does what the core says, and executes.

mod acceptors;
mod calls;
mod clients;
mod peers;
mod perform;
mod storage;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use replica::machine::command::AnswerRetention;
use replica::replica::config::{Config, Retention};
use replica::replica::event::{FetchId, Input, RequestId, Timer};
use replica::replica::{Identity, Recovered, Replica};
use shared::ids::{ClusterId, Generation, Instance, Name, Revision, Slot};
use shared::message::{Member, Succession};

use calls::Outgoing;
use storage::Job;

use super::acceptor::Fate;
use super::client::request::Request;
use super::database::Database;
use super::discovery::Discovery;
use super::process::{Life, NodeId, Presence, Process};
use crate::simulation::environment::Environment;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::event::Local;
use crate::simulation::environment::message::{CallId, Delivery, Message, Return};
use crate::simulation::plan::Plan;
use crate::simulation::plan::faults::Power;

/// A replica and its database.
#[derive(Debug)]
pub struct ReplicaNode {
    /// What all processes have.
    pub process: Process,
    /// Its database, which outlives it.
    pub database: Database,
    config: Config,
    fetch_entries: usize,
    /// The acceptors of its flags.
    pub flags: Vec<NodeId>,
    /// Those that it asks.
    acceptors: Vec<NodeId>,
    /// Of which generation those are.
    generation: u64,
    /// What it keeps of those that have followed, over a restart.
    followed: Option<Succession>,
    announced: usize,
    core: Replica,
    identity: Identity,
    /// What there is to write, and the first is being written.
    jobs: VecDeque<Job>,
    said_full: bool,
    /// Whether it is to store what is executed, in a while.
    is_store_due: bool,
    /// Up to here it has said what history takes.
    weighed: Revision,
    /// The cluster that it has joined, on disk or soon.
    joined: Option<ClusterId>,
    /// It found out that its log is not that of the cluster, or its cluster not that of the
    /// acceptors.
    has_ended: bool,
    begins_anew: bool,
    /// It found out that it was taken out for good.
    is_out: bool,
    calls: BTreeMap<RequestId, Pending>,
    /// Requests of its own, for which nobody waits.
    own: BTreeSet<RequestId>,
    /// Released reads, to be served from the database.
    released: Vec<RequestId>,
    forwarded: BTreeMap<CallId, Caller>,
    fetches: BTreeMap<u64, Waiting>,
    outgoing: Outgoing,
    discovery: Discovery,
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
    /// The client's deadline, by the machine's clock.
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
    back: Return,
    fetch: FetchId,
    cluster: ClusterId,
    from: Slot,
}

const TIMERS: [Timer; 9] = [
    Timer::Heartbeat,
    Timer::Probe,
    Timer::ProbeRest,
    Timer::Propose,
    Timer::Search,
    Timer::Fetch,
    Timer::FetchStall,
    Timer::Time,
    Timer::Compact,
];

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
            answers: AnswerRetention { at_most: tuning.answers, ..AnswerRetention::default() },
            queued_mutations: tuning.queued_mutations,
            execute_entries: tuning.execute_entries,
            learned_entries: tuning.learned_entries,
            history_patience: tuning.history_patience,
            fetch_pause: tuning.fetch_pause,
            snapshot_from_slots: tuning.snapshot_from_slots,
            retention: Retention {
                revisions: tuning.retained,
                time: None,
                bytes: tuning.retained_bytes,
            },
            retained_slots: tuning.retained_slots,
            compaction_interval: tuning.compaction_interval,
            ..Config::default()
        };
        let name: Name = process.id.to_string().parse().expect("a name");
        let identity =
            Identity { name, instance: Instance(0), url: format!("sim://{}", process.id) };
        Self {
            process,
            database: Database::new(),
            core: Replica::new(config.clone(), identity.clone(), Recovered::default()),
            outgoing: Outgoing::new(&config),
            config,
            fetch_entries: tuning.fetch_entries,
            flags: plan.topology.acceptors(),
            acceptors: plan.topology.acceptors(),
            generation: 0,
            followed: None,
            announced: 0,
            identity,
            jobs: VecDeque::new(),
            said_full: false,
            is_store_due: false,
            weighed: Revision(0),
            joined: None,
            has_ended: false,
            begins_anew: false,
            is_out: false,
            calls: BTreeMap::new(),
            own: BTreeSet::new(),
            released: Vec::new(),
            forwarded: BTreeMap::new(),
            fetches: BTreeMap::new(),
            discovery: Discovery::of(usize::from(plan.topology.acceptors)),
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
            joined_at: self.database.joined_at(),
            meta: self.database.state().meta().clone(),
            next_expiry_ms: self.database.state().next_expiry_ms(),
            durable_below: self.database.durable_below(),
        };
        self.remember_acceptors();
        self.config.acceptors = self.acceptors.len();
        self.config.generation = Generation(self.generation);
        self.core = Replica::new(self.config.clone(), self.identity.clone(), recovered);
        (self.said_full, self.is_store_due) = (false, false);
        self.weighed = self.database.state().meta().compacted_below;
        (self.has_ended, self.begins_anew, self.is_out) = (false, false, false);
        self.joined = self.database.cluster();
        self.jobs.clear();
        self.calls.clear();
        self.own.clear();
        self.released.clear();
        self.forwarded.clear();
        self.fetches.clear();
        self.outgoing = Outgoing::new(&self.config);
        self.remember_acceptors();
        self.discovery = Discovery::of(self.acceptors.len());
        env.observer.replica_started(self.process.id, self.identity.instance, &self.database);
        env.alarm(&self.process, env.plan.tuning.checkpoint, Local::Checkpoint);
        match self.announce(env) {
            Fate::Alive => self.step(env, Input::Started),
            Fate::Crashed => Fate::Crashed,
        }
    }

    /// Of which generation the acceptors are that it asks.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// This life of it.
    #[must_use]
    pub fn instance(&self) -> Instance {
        self.identity.instance
    }

    /// Whether it has ended only to begin anew at once, with another one's state.
    #[must_use]
    pub fn begins_anew(&self) -> bool {
        self.begins_anew
    }

    /// Whether it has ended because it was taken out for good.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.is_out
    }

    /// Kills it.
    pub fn crash(&mut self, env: &mut Environment, presence: Presence, power: Power) {
        if self.jobs.iter().any(|job| matches!(job, Job::Join(..))) {
            env.coverage.hit(Reached::ClusterForgotten);
        }
        if power == Power::Fails {
            self.lose_power(env);
        }
        if self.database.stop() {
            env.coverage.hit(Reached::ExecutedInVain);
        }
        self.process.stop(presence);
    }

    /// Its machine loses power, whether it runs or not.
    pub fn lose_power(&mut self, env: &mut Environment) {
        let had = self.database.cluster();
        if self.database.lose_power(&mut self.process.random) {
            env.coverage.hit(Reached::RolledBack);
        }
        if had.is_some() && self.database.cluster().is_none() {
            env.coverage.hit(Reached::ClusterForgotten);
            env.observer.joined(self.process.id, &self.database);
        }
    }

    /// Gives it an empty database.
    pub fn wipe(&mut self, env: &mut Environment) {
        (self.database, self.followed) = (Database::new(), None);
        env.observer.replica_wiped(self.process.id);
    }

    /// A timer ran out.
    pub fn on_timer(&mut self, env: &mut Environment, timer: u8) -> Fate {
        self.step(env, Input::Fired(TIMERS[usize::from(timer)]))
    }

    /// Something on its own machine is due.
    pub fn on_local(&mut self, env: &mut Environment, what: Local) -> Fate {
        match what {
            Local::Announce => self.announce(env),
            Local::Commit => self.commit(env),
            Local::Store => self.store(env),
            Local::Checkpoint => self.checkpoint_due(env),
            Local::Checkpointed => self.checkpointed(env),
            Local::Serve => {
                self.serve(env);
                Fate::Alive
            }
            Local::Deadline(number) => self.on_deadline(env, number),
            Local::FetchWaited(number) => {
                if let Some(waiting) = self.fetches.remove(&number) {
                    self.give(env, &waiting, self.log_from(&waiting));
                }
                Fate::Alive
            }
            Local::CallsDue(kind) => self.give_up_calls(env, kind),
            Local::Synced | Local::Ended(_) | Local::Surveyed => {
                unreachable!("a replica does not wait for {what:?}")
            }
        }
    }

    /// A message arrived.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is no request is an answer, or a panic there"
    )]
    pub fn on_message(&mut self, env: &mut Environment, delivery: Delivery) -> Fate {
        let back = delivery.back();
        let Delivery { from, from_life, call, message, copy, .. } = delivery;
        match message {
            Message::Fetch(fetch, cluster, from, wait_ms) => {
                self.on_fetch(env, Waiting { back, fetch, cluster, from }, wait_ms);
                Fate::Alive
            }
            Message::FetchSnapshot(cluster) => {
                self.on_fetch_snapshot(env, back, cluster);
                Fate::Alive
            }
            Message::Call(call, request) => self.on_call(env, (from, from_life, call), request),
            Message::Answer(call, outcome) => {
                if let Some(caller) = self.forwarded.remove(&call) {
                    self.reply(env, caller, outcome);
                }
                Fate::Alive
            }
            answer => match self.heard(env, (from, call), answer) {
                Some(input) => self.step_again(env, input, copy),
                None if self.has_ended => Fate::Crashed,
                None => Fate::Alive,
            },
        }
    }

    /// The state, for those who watch.
    #[must_use]
    pub fn core(&self) -> &Replica {
        &self.core
    }

    fn send(&self, env: &mut Environment, to: NodeId, to_life: Option<Life>, message: Message) {
        env.send(self.process.id, self.process.life, to, to_life, message);
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn now(&self, env: &Environment) -> Duration {
        self.process.uptime(env.queue.now())
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
