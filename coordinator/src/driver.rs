//! The task that owns the core: feeds it what happens, and does what it says. It decides
//! nothing.
//!
//! Calls to acceptors are tasks of their own (`calls`) behind one
//! [`Outbox`] each, and those that a quorum does without wait a moment (`pacing`); HTTP
//! handlers ask through a `Handle`. What is ready is taken in one go, up to a bound, before
//! anything is sent: so batches form under load, and only then.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks")]

mod calls;
pub(crate) mod handle;
pub mod outbox;
mod pacing;
mod perform;
mod questions;
pub(crate) mod recovery;
mod replies;
pub(crate) mod report;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared::client::AcceptorClient;
use shared::discovery::Acceptors;
use shared::ids::{ClusterId, CoordinatorId, Instance, Slot};
use shared::message::{AcceptorsReply, Phase, PrimaryReply, ProposalReply};
use shared::telemetry::TraceContext;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::config::shell::{
    ACCEPTS_IN_FLIGHT, POLLS_IN_FLIGHT, PREPARES_IN_FLIGHT, SUCCESSIONS_IN_FLIGHT,
};
use crate::coordinator::Coordinator;
use crate::driver::calls::{Caller, Ended};
use crate::driver::handle::{Handle, Known, Position, Question, WAITING_QUESTIONS};
use crate::driver::outbox::{Outbox, OutboxLimits};
use crate::driver::pacing::Pacing;
use crate::driver::report::Reporter;
use crate::effect::{AcceptorIndex, Input, RequestId, Survey, Timer};
use crate::membership::foreign::WrongCluster;
use crate::metrics::Measured;
use crate::survey::Surveyor;

/// Ends of calls and questions that are taken before anything is sent.
const TAKEN_AT_ONCE: usize = 128;

#[derive(Debug)]
struct Acceptor {
    caller: Caller,
    outbox: Outbox,
    prepares: usize,
    polls: usize,
    successions: usize,
}

impl Acceptor {
    fn new(caller: Caller, limits: OutboxLimits) -> Self {
        Self { caller, outbox: Outbox::new(limits), prepares: 0, polls: 0, successions: 0 }
    }
}

/// Whoever waits for what becomes of a proposal, since when, and in which trace.
#[derive(Debug)]
struct Waiter {
    since: Instant,
    trace: Option<TraceContext>,
    answer: oneshot::Sender<ProposalReply>,
}

/// What the driver hears of other services, and looks at them by.
#[derive(Debug)]
pub(crate) struct Around {
    /// Which lives of theirs are over.
    pub(crate) processes: mpsc::Receiver<Instance>,
    /// The acceptors, as others say.
    pub(crate) acceptors: watch::Receiver<Acceptors>,
    pub(crate) surveyor: Surveyor,
}

/// The owner of the core.
#[derive(Debug)]
pub(crate) struct Driver {
    core: Coordinator,
    started: Instant,
    acceptors: Vec<Acceptor>,
    pacing: Pacing,
    /// When to look again whether what waits for an acceptor is to be sent.
    held_until: Option<Instant>,
    limits: OutboxLimits,
    /// Where calls to further acceptors end.
    calls: mpsc::Sender<Ended>,
    /// The present acceptors.
    present: watch::Sender<Arc<[AcceptorClient]>>,
    timers: BTreeMap<Timer, Instant>,
    ended: mpsc::Receiver<Ended>,
    questions: mpsc::Receiver<Question>,
    next_request: u64,
    waiters: BTreeMap<RequestId, Waiter>,
    /// Those who asked for another primary.
    primary_waiters: BTreeMap<RequestId, oneshot::Sender<PrimaryReply>>,
    /// Those who asked for other acceptors.
    acceptors_waiters: BTreeMap<RequestId, oneshot::Sender<AcceptorsReply>>,
    /// Where to look for such a request, and the looks that are under way: one for each.
    to_survey: Vec<(RequestId, Vec<String>)>,
    surveys: JoinSet<(RequestId, Survey)>,
    /// The recorded traces of proposals in flight.
    traces: BTreeMap<Slot, TraceContext>,
    measured: Measured,
    progress: watch::Sender<Position>,
    cluster: watch::Sender<Option<ClusterId>>,
    wrong_cluster: Option<WrongCluster>,
    reporter: Reporter,
}

impl Driver {
    /// A driver, and the way to it.
    pub(crate) fn new(
        config: Config,
        id: CoordinatorId,
        clients: Vec<AcceptorClient>,
        measured: Measured,
    ) -> (Self, Handle) {
        let each = ACCEPTS_IN_FLIGHT + PREPARES_IN_FLIGHT + POLLS_IN_FLIGHT + SUCCESSIONS_IN_FLIGHT;
        let (calls, ended) = mpsc::channel(clients.len() * each);
        let (question_sender, questions) = mpsc::channel(WAITING_QUESTIONS);
        let (progress, progress_receiver) =
            watch::channel(Position { phase: Phase::Inactive, chosen_below: Slot(0) });
        let (cluster, cluster_receiver) = watch::channel(None);
        let limits = OutboxLimits {
            in_flight: ACCEPTS_IN_FLIGHT,
            accept_slots: config.max_accept_slots,
            accept_bytes: config.max_accept_bytes,
            queued_slots: usize::try_from(config.max_in_flight_slots).unwrap_or(usize::MAX),
            queued_bytes: config.max_in_flight_bytes,
        };
        let acceptor = |(index, client): (usize, &AcceptorClient)| {
            let caller = Caller::new(AcceptorIndex(index), client.clone(), calls.clone());
            Acceptor::new(caller, limits)
        };
        let acceptors = clients.iter().enumerate().map(acceptor).collect();
        let (present, present_receiver) = watch::channel(Arc::from(clients.as_slice()));
        let urls = clients.iter().map(|client| client.url().clone()).collect();
        let (reporter, waiting_for, troubles) = Reporter::new(urls);
        let driver = Self {
            core: Coordinator::new(config, id),
            started: Instant::now(),
            acceptors,
            pacing: Pacing::default(),
            held_until: None,
            limits,
            calls,
            present,
            timers: BTreeMap::new(),
            ended,
            questions,
            next_request: 0,
            waiters: BTreeMap::new(),
            primary_waiters: BTreeMap::new(),
            acceptors_waiters: BTreeMap::new(),
            to_survey: Vec::new(),
            surveys: JoinSet::new(),
            traces: BTreeMap::new(),
            measured,
            progress,
            cluster,
            wrong_cluster: None,
            reporter,
        };
        let known = Known {
            progress: progress_receiver,
            cluster: cluster_receiver,
            acceptors: present_receiver,
            waiting_for,
            troubles,
        };
        (driver, Handle::new(question_sender, known))
    }

    /// Runs until `shutdown`. Whoever waits then learns that nothing is known.
    ///
    /// # Errors
    /// When the acceptors are no longer those of the cluster.
    pub(crate) async fn run(
        mut self,
        around: Around,
        shutdown: CancellationToken,
    ) -> Result<(), WrongCluster> {
        let Around { mut processes, mut acceptors, surveyor } = around;
        self.step(Input::Started, None);
        loop {
            let next_timer = self.timers.values().copied().chain(self.held_until).min();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                () = sleep_until(next_timer.unwrap_or_else(Instant::now)), if next_timer.is_some() => self.fire(),
                Some(ended) = self.ended.recv() => self.on_ended(ended),
                Some(question) = self.questions.recv() => self.on_question(question),
                Some(ended) = processes.recv() => self.step(Input::Ended(ended), None),
                Ok(()) = acceptors.changed() => {
                    let told = acceptors.borrow_and_update().succession.clone();
                    told.into_iter().for_each(|told| self.step(Input::SuccessionTold(told), None));
                }
                Some(surveyed) = self.surveys.join_next() => {
                    let (id, survey) = surveyed.expect("a look does not panic");
                    self.step(Input::Surveyed { id, survey }, None);
                }
                else => return Ok(()),
            }
            for _ in 0..TAKEN_AT_ONCE {
                match (self.ended.try_recv(), self.questions.try_recv()) {
                    (Err(_), Err(_)) => break,
                    (ended, question) => {
                        ended.into_iter().for_each(|ended| self.on_ended(ended));
                        question.into_iter().for_each(|question| self.on_question(question));
                    }
                }
            }
            if let Some(wrong) = self.wrong_cluster {
                return Err(wrong);
            }
            self.send();
            self.publish();
            for (id, urls) in self.to_survey.drain(..) {
                let surveyor = surveyor.clone();
                self.surveys.spawn(async move { (id, surveyor.look(urls).await) });
            }
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn fire(&mut self) {
        let now = Instant::now();
        let due: Vec<Timer> =
            self.timers.iter().filter(|(_, at)| **at <= now).map(|(timer, _)| *timer).collect();
        for timer in due {
            self.timers.remove(&timer);
            self.step(Input::Fired(timer), None);
        }
        self.traces = self.traces.split_off(&self.core.chosen_below());
        // Whoever hung up needs no answer.
        self.waiters.retain(|_, waiter| !waiter.answer.is_closed());
        self.primary_waiters.retain(|_, waiter| !waiter.is_closed());
        self.acceptors_waiters.retain(|_, waiter| !waiter.is_closed());
        self.reporter.waiting(self.now(), self.core.waiting_for(self.now()));
        self.reporter.troubles(self.core.troubles(self.now()));
    }

    /// Takes one step of the core. `trace` is that of the proposal in the input.
    fn step(&mut self, input: Input, trace: Option<TraceContext>) {
        for effect in self.core.step(self.now(), input) {
            self.perform(effect, trace);
        }
    }

    /// Sends what waits, but for what may wait for more.
    fn send(&mut self) {
        let now = self.now();
        let hold = self.pacing.hold(self.core.present(), now);
        let mut look_again: Option<Duration> = None;
        for (index, acceptor) in self.acceptors.iter_mut().enumerate() {
            let at = AcceptorIndex(index);
            if let Some(until) = hold.until(at) {
                if acceptor.outbox.has_queued() {
                    look_again = Some(look_again.map_or(until, |at| at.min(until)));
                }
                continue;
            }
            while let Some(outgoing) = acceptor.outbox.next() {
                let has_values = !outgoing.accept.proposals.is_empty();
                self.measured.accepts.inc_by(u64::from(has_values));
                self.pacing.sent(at, now, has_values);
                acceptor.caller.accept(outgoing);
            }
        }
        self.held_until = look_again.map(|at| self.started + at);
    }

    fn publish(&self) {
        let now = Position { phase: self.core.phase(), chosen_below: self.core.chosen_below() };
        self.progress.send_if_modified(|before| std::mem::replace(before, now) != now);
        let cluster = self.core.cluster();
        self.cluster.send_if_modified(|before| std::mem::replace(before, cluster) != cluster);
        self.measured.publish(&self.core, self.waiters.len());
    }
}
