//! The simulated shell of a coordinator: does what the core says.

mod fetches;
mod rare;

use std::collections::BTreeMap;
use std::time::Duration;

use coordinator::chosen_window::PageLimits;
use coordinator::config::Config;
use coordinator::coordinator::Coordinator;
use coordinator::effect::{AcceptorIndex, Effect, Input, RequestId, Timer};
use coordinator::outbox::{Outbox, OutboxLimits};
use replica::event::Attempt;
use shared::ids::{BatchNumber, CoordinatorId, Epoch, Instance};
use shared::message::{ChosenReply, Member, Phase, Service};

use fetches::Fetch;
use rare::{Cause, News};

use super::acceptor::Fate;
use super::environment::Environment;
use super::event::Local;
use super::faults::Moment;
use super::message::{Copied, Delivery, Message};
use super::node::{CrashPoint, Life, NodeId, Presence, Process};
use super::plan::Plan;
use super::reach::Reached;

/// A coordinator. It keeps nothing over a restart.
#[derive(Debug)]
pub struct CoordinatorNode {
    /// What all processes have.
    pub process: Process,
    config: Config,
    fetch_limits: PageLimits,
    acceptors: u8,
    core: Coordinator,
    outboxes: Vec<Outbox>,
    /// Accepts under way, by their numbers: an answer or a time-out ends each.
    accepts: BTreeMap<u64, AcceptorIndex>,
    proposals: BTreeMap<RequestId, Proposer>,
    fetches: BTreeMap<u64, Fetch>,
    next_number: u64,
}

/// Where the answer to a proposal goes.
#[derive(Clone, Copy, Debug)]
struct Proposer {
    to: NodeId,
    to_life: Life,
    epoch: Epoch,
    number: BatchNumber,
    attempt: Attempt,
}

/// How often a service announces itself.
pub const ANNOUNCE_INTERVAL: Duration = Duration::from_millis(500);
/// How long an acceptor may take to vote.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(1);
/// Accepts under way to one acceptor.
const ACCEPTS_IN_FLIGHT: usize = 4;
const TIMERS: [Timer; 4] = [Timer::Poll, Timer::Election, Timer::Prepare, Timer::Lead];

impl CoordinatorNode {
    /// A coordinator that was not started yet.
    #[must_use]
    pub fn new(process: Process, plan: &Plan) -> Self {
        let tuning = &plan.tuning;
        let config = Config {
            max_in_flight_slots: tuning.max_in_flight_slots,
            window_entries: tuning.window_entries,
            ..Config::new(usize::from(plan.topology.acceptors))
        };
        let core = Coordinator::new(config.clone(), CoordinatorId(0));
        Self {
            process,
            config,
            fetch_limits: PageLimits { entries: tuning.fetch_entries, bytes: 8 << 20 },
            acceptors: plan.topology.acceptors,
            core,
            outboxes: Vec::new(),
            accepts: BTreeMap::new(),
            proposals: BTreeMap::new(),
            fetches: BTreeMap::new(),
            next_number: 0,
        }
    }

    /// Starts it, under a new identity.
    pub fn start(&mut self, env: &mut Environment) -> Fate {
        self.process.start(env.queue.now());
        self.core = Coordinator::new(self.config.clone(), CoordinatorId(self.process.random.bits()));
        let limits = OutboxLimits {
            in_flight: ACCEPTS_IN_FLIGHT,
            accept_slots: self.config.max_accept_slots,
            accept_bytes: self.config.max_accept_bytes,
            queued_slots: usize::try_from(self.config.max_in_flight_slots).expect("small"),
            queued_bytes: self.config.max_in_flight_bytes,
        };
        self.outboxes = (0..self.acceptors).map(|_| Outbox::new(limits)).collect();
        self.accepts.clear();
        self.proposals.clear();
        self.fetches.clear();
        self.announce(env);
        self.step(env, Input::Started, Cause::Usual)
    }

    /// Kills it.
    pub fn crash(&mut self, presence: Presence) {
        self.process.stop(presence);
    }

    /// A timer ran out.
    pub fn on_timer(&mut self, env: &mut Environment, timer: u8) -> Fate {
        self.step(env, Input::Fired(TIMERS[usize::from(timer)]), Cause::Usual)
    }

    /// Something on its own machine is due.
    pub fn on_local(&mut self, env: &mut Environment, what: Local) {
        match what {
            Local::Announce => self.announce(env),
            Local::Deadline(number) => {
                self.end_accept(number);
                self.send_accepts(env);
            }
            Local::FetchWaited(number) => {
                if let Some(fetch) = self.fetches.remove(&number) {
                    let reply = match fetch.older {
                        None => self.lookup(fetch.from),
                        Some(_) => ChosenReply::Unavailable,
                    };
                    self.send(env, fetch.to, Some(fetch.to_life), Message::Fetched(fetch.fetch, reply));
                }
            }
            Local::Synced | Local::Commit | Local::Checkpoint | Local::Serve => {
                unreachable!("a coordinator does not wait for {what:?}")
            }
        }
    }

    /// A message arrived.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other messages are never sent here, which is a panic")]
    pub fn on_message(&mut self, env: &mut Environment, delivery: Delivery) -> Fate {
        let Delivery { from, from_life, message, copy, .. } = delivery;
        let mut cause = if copy == Copied::Again { Cause::AnswerAgain } else { Cause::Usual };
        let input = match message {
            Message::Polled(poll, reply) => Input::Watermarks { from: index(from), poll, reply },
            Message::Prepared(ballot, reply) => Input::PrepareReply { from: index(from), ballot, reply },
            Message::Accepted(number, ballot, reply) => {
                self.end_accept(number);
                Input::AcceptReply { from: index(from), ballot, reply }
            }
            Message::Propose(attempt, proposal) => {
                let id = RequestId(self.number());
                let proposer = Proposer { to: from, to_life: from_life, epoch: proposal.epoch, number: proposal.number, attempt };
                self.proposals.insert(id, proposer);
                cause = if copy == Copied::Again { Cause::ProposalAgain } else { Cause::Usual };
                Input::Proposal { id, proposal }
            }
            Message::Heartbeat(heartbeat) => {
                let cause = if heartbeat.nudge_below.is_some() { Cause::Nudge } else { Cause::Usual };
                env.observer.heard(env.queue.now(), (self.process.id, from), heartbeat.instance);
                let fate = self.step(env, Input::Heartbeat(heartbeat), cause);
                if fate == Fate::Alive {
                    let reply = self.core.heartbeat_reply();
                    self.send(env, from, Some(from_life), Message::HeartbeatReply(reply));
                }
                return fate;
            }
            Message::Fetch(fetch, slot, wait_ms) => {
                self.on_fetch(env, from, from_life, (fetch, slot, wait_ms));
                return Fate::Alive;
            }
            Message::Votes(number, page) => {
                self.on_votes(env, number, page);
                return Fate::Alive;
            }
            Message::Refused(request) => {
                if let Message::Accept(number, _) = *request {
                    self.end_accept(number);
                    self.send_accepts(env);
                }
                return Fate::Alive;
            }
            Message::Directory(_) => return Fate::Alive,
            other => unreachable!("nobody sends a coordinator {}", other.name()),
        };
        self.step(env, input, cause)
    }

    /// The state, for those who watch.
    #[must_use]
    pub fn core(&self) -> &Coordinator {
        &self.core
    }

    fn step(&mut self, env: &mut Environment, input: Input, cause: Cause) -> Fate {
        self.note_past(env, &input);
        let news = News::of(&input);
        let effects = self.core.step(self.process.uptime(env.queue.now()), input);
        self.note(env, cause, &effects);
        self.follow(env, news, &effects);
        if self.process.crashes_at(CrashPoint::Stepped) && effects.iter().any(|effect| !matches!(effect, Effect::Arm { .. })) {
            env.reach.hit(Reached::CrashedStepped);
            return Fate::Crashed;
        }
        let mut is_more_chosen = false;
        for effect in effects {
            is_more_chosen |= matches!(effect, Effect::Chosen(_));
            self.perform(env, effect);
        }
        self.send_accepts(env);
        if is_more_chosen || self.core.phase() != Phase::Phase2 {
            self.wake_fetches(env);
        }
        Fate::Alive
    }

    fn send_accepts(&mut self, env: &mut Environment) {
        for to in (0..self.outboxes.len()).map(AcceptorIndex) {
            while let Some(parcel) = self.outboxes[to.0].next() {
                let number = self.number();
                self.accepts.insert(number, to);
                env.local(&self.process, ACCEPT_TIMEOUT, Local::Deadline(number));
                self.send(env, node(to), None, Message::Accept(number, parcel.accept));
            }
        }
    }

    fn end_accept(&mut self, number: u64) {
        if let Some(to) = self.accepts.remove(&number) {
            self.outboxes[to.0].done();
        }
    }

    fn perform(&mut self, env: &mut Environment, effect: Effect) {
        match effect {
            Effect::PollWatermarks { to, poll } => self.send(env, node(to), None, Message::Poll(poll)),
            Effect::Prepare { to, message } => self.send(env, node(to), None, Message::Prepare(message)),
            Effect::Accept { to, message } => {
                env.observer.allows_trimming(env.queue.now(), self.process.id, message.trim_below);
                self.outboxes[to.0].push(message, &BTreeMap::new());
            }
            Effect::Arm { timer, after, jitter } => env.arm(&mut self.process, timer as u8, after, jitter),
            Effect::ProposalReply { id, reply } => {
                let proposer = self.proposals.remove(&id).expect("a proposal is answered once");
                let Proposer { to, to_life, epoch, number, attempt } = proposer;
                if matches!(reply, shared::message::ProposalReply::Overloaded { .. }) {
                    env.reach.hit(Reached::Overloaded);
                }
                self.send(env, to, Some(to_life), Message::Proposed(epoch, number, attempt, reply));
            }
            Effect::Chosen(entry) => env.observer.announced_chosen(&entry),
            Effect::PhaseChanged(change) => {
                self.outboxes.iter_mut().for_each(Outbox::clear);
                env.observer.phase_changed(self.process.id, &change, &mut env.reach);
                if change.to == Phase::Phase2 {
                    env.spring(Moment::Led, self.process.id);
                }
                if env.trace.is_text_kept() {
                    env.trace.line(env.queue.now(), format_args!("{} {change:?}", self.process.id));
                }
            }
            Effect::ViewProposed { slot, view } => {
                if env.trace.is_text_kept() {
                    env.trace.line(env.queue.now(), format_args!("{} proposes {view:?} at {slot}", self.process.id));
                }
            }
            Effect::RosterKnown(_) | Effect::Misfit { .. } => {}
            Effect::NotACluster(error) => panic!("{} found the acceptors to be no cluster: {error}", self.process.id),
        }
    }

    fn announce(&mut self, env: &mut Environment) {
        let name = self.process.id.to_string().parse().expect("a name");
        let url = format!("sim://{}", self.process.id);
        let member = Member { name, service: Service::Coordinator, url, instance: Instance(self.core.id().0) };
        for acceptor in (0..self.acceptors).map(NodeId::Acceptor) {
            self.send(env, acceptor, None, Message::Announce(member.clone()));
        }
        env.local(&self.process, ANNOUNCE_INTERVAL, Local::Announce);
    }

    fn send(&self, env: &mut Environment, to: NodeId, to_life: Option<Life>, message: Message) {
        env.send(self.process.id, self.process.life, to, to_life, message);
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }
}

fn index(from: NodeId) -> AcceptorIndex {
    match from {
        NodeId::Acceptor(number) => AcceptorIndex(usize::from(number)),
        NodeId::Coordinator(_) | NodeId::Replica(_) | NodeId::Client(_) => unreachable!("{from} is no acceptor"),
    }
}

fn node(at: AcceptorIndex) -> NodeId {
    NodeId::Acceptor(u8::try_from(at.0).expect("few acceptors"))
}
