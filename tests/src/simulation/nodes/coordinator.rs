//! The simulated shell of a coordinator: does what the core says.

mod acceptors;
mod fetches;
mod rare;

use std::collections::BTreeMap;
use std::time::Duration;

use coordinator::config::Config;
use coordinator::config::shell::{ACCEPT_TIMEOUT, ACCEPTS_IN_FLIGHT, PAGE_TIMEOUT, proposal_wait};
use coordinator::coordinator::Coordinator;
use coordinator::driver::outbox::OutboxLimits;
use coordinator::effect::{AcceptorIndex, Effect, Input, RequestId, Survey, Timer};
use replica::replica::event::Attempt;
use shared::ids::{BatchNumber, CoordinatorId, Epoch, Generation, Instance};
use shared::message::{
    AcceptorsReply, AcceptorsRequest, Heartbeat, OfCluster, Phase, PrimaryReply, ProposalReply,
    SlotValue, Succession, same_cluster,
};
use shared::page::PageLimits;

use acceptors::Line;
use fetches::Fetch;
use rare::{Cause, News};

use super::acceptor::{Fate, acceptor_at, url_of};
use super::calls::{Calls, Met};
use super::process::{CrashPoint, NodeId, Presence, Process};
use crate::simulation::environment::Environment;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::event::{CallKind, Local};
use crate::simulation::environment::message::{Copied, Delivery, Message, Return};
use crate::simulation::plan::Plan;
use crate::simulation::plan::faults::Moment;

/// A coordinator. It keeps nothing over a restart.
#[derive(Debug)]
pub struct CoordinatorNode {
    /// What all processes have.
    pub process: Process,
    id: CoordinatorId,
    config: Config,
    fetch_limits: PageLimits,
    /// Where the acceptors of its flags are.
    pub flags: Vec<String>,
    /// What it answered to who asked for other acceptors, until it is taken.
    pub answered: Option<AcceptorsReply>,
    /// Where it wants a look, until somebody looks.
    pub to_survey: Option<(RequestId, Vec<String>)>,
    /// What that has shown, until it is told.
    surveyed: Option<(RequestId, Survey)>,
    /// The acceptors at the places that the core knows.
    places: Vec<NodeId>,
    /// How many times as long as in truth it waits for votes and promises.
    patience: u32,
    core: Coordinator,
    limits: Option<OutboxLimits>,
    /// What is under way to each acceptor, and what waits for it.
    lines: Vec<Line>,
    /// Accepts, by whom they are for.
    accepts: Calls<AcceptorIndex>,
    /// Proposals that are waited for. Each is named to the core as it is numbered here.
    proposals: Calls<Proposer>,
    /// Where the answers to requests for another primary go, as they are named to the core.
    primary_requests: BTreeMap<u64, Return>,
    fetches: BTreeMap<u64, Fetch>,
    /// Questions for old votes, by the fetch that they are for.
    pages: Calls<u64>,
    next_number: u64,
    /// It found out that its acceptors are those of another cluster.
    has_ended: bool,
}

/// Where the answer to a proposal goes, and how it names the batch.
#[derive(Clone, Copy, Debug)]
struct Proposer {
    back: Return,
    epoch: Epoch,
    number: BatchNumber,
    attempt: Attempt,
}

const TIMERS: [Timer; 4] = [Timer::Poll, Timer::Election, Timer::Prepare, Timer::Lead];

impl CoordinatorNode {
    /// A coordinator that was not started yet.
    #[must_use]
    pub fn new(process: Process, plan: &Plan) -> Self {
        let tuning = &plan.tuning;
        let config = Config {
            max_in_flight_slots: tuning.max_in_flight_slots,
            window_entries: tuning.window_entries,
            trim_behind_bytes: (tuning.vote_bytes / 4) as u64,
            trim_behind_time: tuning.trim_behind,
            replica_gone_after: tuning.gone_after,
            ..Config::new(usize::from(plan.topology.acceptors))
        };
        let flags: Vec<String> = plan.topology.acceptors().into_iter().map(url_of).collect();
        let config = Config { acceptors: flags.clone(), ..config };
        let id = CoordinatorId(0);
        let core = Coordinator::new(config.clone(), id);
        Self {
            process,
            id,
            config,
            fetch_limits: PageLimits { items: tuning.fetch_entries, bytes: 8 << 20 },
            flags,
            answered: None,
            to_survey: None,
            surveyed: None,
            places: Vec::new(),
            patience: tuning.patience,
            core,
            limits: None,
            lines: Vec::new(),
            accepts: Calls::new(ACCEPT_TIMEOUT * tuning.patience),
            proposals: Calls::new(proposal_wait(
                replica::replica::config::Config::default().proposal_timeout,
            )),
            primary_requests: BTreeMap::new(),
            fetches: BTreeMap::new(),
            pages: Calls::new(PAGE_TIMEOUT),
            next_number: 0,
            has_ended: false,
        }
    }

    /// Starts it, under a new identity.
    pub fn start(&mut self, env: &mut Environment) -> Fate {
        self.process.start(env.queue.now());
        self.id = CoordinatorId(self.process.random.bits());
        self.config.acceptors.clone_from(&self.flags);
        self.core = Coordinator::new(self.config.clone(), self.id);
        self.places = self.flags.iter().map(|url| acceptor_at(url)).collect();
        (self.answered, self.to_survey, self.surveyed) = (None, None, None);
        let limits = OutboxLimits {
            in_flight: ACCEPTS_IN_FLIGHT,
            accept_slots: self.config.max_accept_slots,
            accept_bytes: self.config.max_accept_bytes,
            queued_slots: usize::try_from(self.config.max_in_flight_slots).expect("small"),
            queued_bytes: self.config.max_in_flight_bytes,
        };
        self.limits = Some(limits);
        self.lines = self.places.iter().map(|_| Line::new(limits, self.patience)).collect();
        self.accepts.restart();
        self.proposals.restart();
        self.primary_requests.clear();
        self.pages.restart();
        self.fetches.clear();
        self.has_ended = false;
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

    /// This life of it.
    #[must_use]
    pub fn instance(&self) -> Instance {
        Instance(self.id.0)
    }

    /// Something on its own machine is due.
    pub fn on_local(&mut self, env: &mut Environment, what: Local) -> Fate {
        let now = self.now(env);
        match what {
            Local::Announce => self.announce(env),
            Local::CallsDue(CallKind::Accepts) => {
                for to in self.accepts.look(now) {
                    self.lines[to.0].outbox.done();
                }
                self.send_accepts(env);
                self.watch(env);
            }
            Local::CallsDue(CallKind::Waits) => {
                for proposer in self.proposals.look(now) {
                    env.coverage.hit(Reached::ProposalLeftOpen);
                    self.tell(env, proposer, ProposalReply::Unresolved);
                }
                self.watch(env);
            }
            Local::CallsDue(CallKind::Votes) => {
                for fetch in self.pages.look(now) {
                    self.on_page(env, fetch, None);
                }
                self.watch(env);
            }
            Local::FetchWaited(number) => self.fetch_waited(env, number),
            Local::Ended(instance) => {
                return self.step(env, Input::Ended(instance), Cause::Usual);
            }
            Local::Surveyed => {
                let Some((id, survey)) = self.surveyed.take() else { return Fate::Alive };
                return self.step(env, Input::Surveyed { id, survey }, Cause::Usual);
            }
            Local::Synced
            | Local::Commit
            | Local::Store
            | Local::Checkpoint
            | Local::Checkpointed
            | Local::Serve
            | Local::Deadline(_)
            | Local::CallsDue(
                CallKind::Probes
                | CallKind::Proposals
                | CallKind::Heartbeats
                | CallKind::Fetches
                | CallKind::Snapshots,
            ) => {
                unreachable!("a coordinator does not wait for {what:?}")
            }
        }
        Fate::Alive
    }

    /// An operator asks it for other acceptors, and has found these.
    pub fn ask_for_acceptors(
        &mut self,
        env: &mut Environment,
        request: AcceptorsRequest,
        survey: Survey,
    ) -> Fate {
        let id = RequestId(self.number());
        self.step(env, Input::Acceptors { id, request, survey }, Cause::Usual)
    }

    /// What it had looked at is told in a moment.
    pub fn survey(&mut self, env: &mut Environment, id: RequestId, survey: Survey) {
        self.surveyed = Some((id, survey));
        let (low, high) = (Duration::from_millis(1), Duration::from_millis(1_500));
        let lasts = self.process.random.magnitude(low, high);
        env.local(&self.process, lasts, Local::Surveyed);
    }

    /// A message arrived.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is no request is an answer, or a panic there"
    )]
    pub fn on_message(&mut self, env: &mut Environment, delivery: Delivery) -> Fate {
        let back = delivery.back();
        let Delivery { from, call, message, copy, .. } = delivery;
        match message {
            request @ (Message::Propose(..)
            | Message::AskPrimary(_)
            | Message::Heartbeat(_)
            | Message::Fetch(..))
                if self.refuses(&request) =>
            {
                env.answer(&self.process, back, Message::Refused(Box::new(request)));
                Fate::Alive
            }
            Message::Propose(attempt, proposal) => {
                let (epoch, number) = (proposal.epoch, proposal.number);
                let id =
                    self.proposals.begin(self.now(env), Proposer { back, epoch, number, attempt });
                self.watch(env);
                let cause = if copy == Copied::Again { Cause::ProposalAgain } else { Cause::Usual };
                self.step(env, Input::Proposal { id: RequestId(id), proposal }, cause)
            }
            Message::AskPrimary(request) => {
                let number = self.number();
                self.primary_requests.insert(number, back);
                let input = Input::PrimaryRequest { id: RequestId(number), request };
                self.step(env, input, Cause::Usual)
            }
            Message::Heartbeat(heartbeat) => self.on_heartbeat(env, back, heartbeat),
            Message::Fetch(fetch, _, slot, wait_ms) => {
                self.on_fetch(env, back, (fetch, slot, wait_ms));
                Fate::Alive
            }
            answer => self.on_answer(env, (from, call, copy), answer),
        }
    }

    fn on_heartbeat(&mut self, env: &mut Environment, back: Return, heartbeat: Heartbeat) -> Fate {
        let cause = if heartbeat.nudge_below.is_some() { Cause::Nudge } else { Cause::Usual };
        env.observer.heard(self.now(env), (self.process.id, back.to), &heartbeat);
        let fate = self.step(env, Input::Heartbeat(heartbeat), cause);
        if fate == Fate::Alive {
            let reply = self.of_own_cluster(self.core.heartbeat_reply());
            env.answer(&self.process, back, Message::HeartbeatReply(reply));
        }
        fate
    }

    /// Whether a request is of another cluster, or comes before this one is known.
    fn refuses(&self, request: &Message) -> bool {
        let theirs = request.cluster().expect("replicas say of which cluster they are");
        same_cluster(self.core.cluster(), theirs).is_err()
    }

    fn of_own_cluster<T>(&self, content: T) -> OfCluster<T> {
        let cluster = self.core.cluster().expect("nobody is answered before it is known");
        OfCluster::new(cluster, content)
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
        if self.process.crashes_at(CrashPoint::Stepped)
            && effects.iter().any(|effect| !matches!(effect, Effect::Arm { .. }))
        {
            env.coverage.hit(Reached::CrashedStepped);
            return Fate::Crashed;
        }
        let mut is_more_chosen = false;
        for effect in effects {
            is_more_chosen |= matches!(effect, Effect::Chosen(_));
            self.perform(env, effect);
            if self.has_ended {
                return Fate::Crashed;
            }
        }
        self.send_accepts(env);
        if is_more_chosen || self.core.phase() != Phase::Phase2 {
            self.wake_fetches(env);
        }
        Fate::Alive
    }

    /// Sees to it that somebody looks at calls whose time is over.
    fn watch(&mut self, env: &mut Environment) {
        let now = self.now(env);
        let due = [
            (CallKind::Accepts, self.accepts.watch(now)),
            (CallKind::Waits, self.proposals.watch(now)),
            (CallKind::Votes, self.pages.watch(now)),
        ];
        for (kind, wait) in due {
            if let Some(wait) = wait {
                env.alarm(&self.process, wait, Local::CallsDue(kind));
            }
        }
    }

    fn perform(&mut self, env: &mut Environment, effect: Effect) {
        match effect {
            Effect::PollWatermarks { to, poll } => self.poll(env, to, poll),
            Effect::Prepare { to, message } => self.prepare(env, to, message),
            Effect::Accept { to, message } => {
                let epoch = self.core.status(self.now(env)).epoch;
                if !env.observer.is_foreign(self.core.cluster()) {
                    env.observer.allows_trimming(
                        self.now(env),
                        (self.process.id, epoch),
                        message.trim_below,
                    );
                }
                let is_stop = |value: &SlotValue| Succession::of_stop(&value.value).is_some();
                if message.proposals.iter().any(is_stop) {
                    env.spring(Moment::Stopped, self.process.id);
                }
                self.lines[to.0].outbox.push(message, &BTreeMap::new());
            }
            Effect::Arm { timer, after, jitter } => {
                env.arm(&mut self.process, timer as u8, after, jitter)
            }
            Effect::ProposalReply { id, reply } => match self.proposals.answer(self.now(env), id.0)
            {
                Met::First(proposer) => {
                    if matches!(reply, ProposalReply::Overloaded { .. }) {
                        env.coverage.hit(Reached::Overloaded);
                    }
                    self.tell(env, proposer, reply);
                }
                Met::Again => panic!("{} answered proposal {id:?} twice", self.process.id),
                // Its primary was told already that nothing is known.
                Met::TooLate => {}
            },
            Effect::PrimaryReply { id, reply } => {
                let back = self.primary_requests.remove(&id.0);
                let back = back.expect("a request for another primary is answered once");
                if let PrimaryReply::Refused(_) = reply {
                    env.coverage.hit(Reached::SwitchOverRefused);
                }
                let reply = self.of_own_cluster(reply);
                env.answer(&self.process, back, Message::PrimaryAnswered(reply));
            }
            // What was under way when its cluster ended is true of that one.
            Effect::Chosen(_) if env.observer.is_foreign(self.core.cluster()) => {}
            Effect::Chosen(entry) => env.observer.announced_chosen(&entry),
            Effect::PhaseChanged(change) => {
                self.lines.iter_mut().for_each(|line| line.outbox.clear());
                if !env.observer.is_foreign(self.core.cluster()) {
                    env.observer.phase_changed(self.process.id, &change, &mut env.coverage);
                }
                if change.to == Phase::Phase2 {
                    env.spring(Moment::Led, self.process.id);
                }
                if env.trace.is_text_kept() {
                    env.trace.line(env.queue.now(), format_args!("{} {change:?}", self.process.id));
                }
            }
            Effect::VotesLost(why) => {
                panic!(
                    "invariant: no acceptor of a quorum forgets, and {} says {why}",
                    self.process.id
                )
            }
            Effect::ViewProposed { slot, view } => {
                if env.trace.is_text_kept() {
                    env.trace.line(
                        env.queue.now(),
                        format_args!("{} proposes {view:?} at {slot}", self.process.id),
                    );
                }
            }
            // Of what is said here nothing is false, but it may come before what bears it out.
            Effect::ClaimRefused { .. } => {}
            Effect::WrongCluster(wrong) => {
                env.observer.ends_in_another_cluster(self.process.id, self.core.cluster(), wrong);
                self.has_ended = true;
            }
            Effect::Survey { id, urls } => self.to_survey = Some((id, urls)),
            Effect::Succession { to, request } => self.succession(env, to, request),
            Effect::NewAcceptor { at, url } => {
                assert_eq!(at.0, self.places.len(), "the place of a new acceptor");
                self.places.push(acceptor_at(&url));
                let limits = self.limits.expect("it has started");
                self.lines.push(Line::new(limits, self.patience));
            }
            Effect::AcceptorsReply { id: _, reply } => self.answered = Some(reply),
            Effect::SuccessionKnown(succession) => {
                env.observer.invariant_a_stop_is_chosen(&succession);
            }
            Effect::Succeeded(succession) => {
                env.observer.invariant_a_quorum_is_opened(&succession);
                env.coverage.hit(Reached::Succeeded);
                if succession.generation() > Generation(1) {
                    env.coverage.hit(Reached::SucceededAgain);
                }
            }
            Effect::RosterKnown(_) | Effect::ForeignAcceptor { .. } => {}
            // What an acceptor said before it lost its disk, beside what others say now.
            Effect::NotACluster(_) if env.observer.has_former() => {}
            Effect::NotACluster(error) => {
                panic!("{} found the acceptors to be no cluster: {error}", self.process.id)
            }
        }
    }

    fn tell(
        &self,
        env: &mut Environment,
        Proposer { back, epoch, number, attempt }: Proposer,
        reply: ProposalReply,
    ) {
        let reply = self.of_own_cluster(reply);
        env.answer(&self.process, back, Message::Proposed(epoch, number, attempt, reply));
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn now(&self, env: &Environment) -> Duration {
        self.process.uptime(env.queue.now())
    }
}
