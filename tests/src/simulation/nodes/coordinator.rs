//! The simulated shell of a coordinator: does what the core says.

mod acceptors;
mod fetches;
mod messages;
mod perform;
mod rare;

use std::collections::BTreeMap;
use std::time::Duration;

use coordinator::config::Config;
use coordinator::config::shell::{ACCEPT_TIMEOUT, ACCEPTS_IN_FLIGHT, PAGE_TIMEOUT, proposal_wait};
use coordinator::coordinator::Coordinator;
use coordinator::driver::outbox::OutboxLimits;
use coordinator::effect::{AcceptorIndex, Effect, Input, RequestId, Survey, Timer};
use replica::replica::event::Attempt;
use shared::ids::{BatchNumber, CoordinatorId, Epoch, Instance};
use shared::message::{AcceptorsReply, AcceptorsRequest, Phase, ProposalReply};
use shared::page::PageLimits;

use acceptors::Line;
use fetches::Fetch;
use rare::{Cause, News};

use super::acceptor::{Fate, acceptor_at, url_of};
use super::calls::Calls;
use super::process::{CrashPoint, NodeId, Presence, Process};
use crate::simulation::environment::Environment;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::event::{CallKind, Local};
use crate::simulation::environment::message::Return;
use crate::simulation::plan::Plan;

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

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn now(&self, env: &Environment) -> Duration {
        self.process.uptime(env.queue.now())
    }
}
