//! What all simulated processes share: time, the network, and those who watch.

pub mod clock;
pub mod coverage;
pub mod drag;
pub mod event;
pub mod message;
pub mod network;
pub mod queue;
pub mod trace;

use std::collections::BTreeMap;
use std::time::Duration;

use super::observer::Observer;
use super::plan::Plan;
use crate::simulation::nodes::process::{Life, NodeId, Process};
use crate::simulation::plan::faults::{FaultKind, Moment};
use clock::Clock;
use coverage::{Coverage, Reached};
use drag::Drags;
use event::{Event, Local};
use message::{Copied, Delivery, Message, Return};
use network::{Network, Order, Shape};
use queue::Queue;
use trace::Trace;

/// Longer than the time-outs of elections and views.
const LATE: Duration = Duration::from_secs(2);

/// The world around a process.
#[derive(Debug)]
pub struct Environment {
    /// What the run is like.
    pub plan: Plan,
    /// What happens next.
    pub queue: Queue<Event>,
    /// Who reaches whom.
    pub network: Network,
    /// Who sees all and checks it.
    pub observer: Observer,
    /// Messages of which one copy has been taken and the other may come: by which life of
    /// the receiver.
    twins: BTreeMap<u64, Life>,
    /// Faults that wait for a moment, by their numbers.
    pub ambushes: Vec<(Moment, usize)>,
    /// What takes long, of what coordinators and acceptors say to each other.
    pub drags: Drags,
    /// What was reached.
    pub coverage: Coverage,
    /// What happened.
    pub trace: Trace,
}

impl Environment {
    /// The world of a plan, at time zero.
    #[must_use]
    pub fn new(plan: Plan, trace: Trace) -> Self {
        let topology = &plan.topology;
        let size = |count: u8| usize::from(count);
        let mut network = Network::new(
            plan.seed,
            size(topology.acceptors + topology.spares),
            size(topology.coordinators),
            size(topology.replicas),
            size(topology.clients),
        );
        network.set_weather(plan.weather);
        let observer = Observer::new(topology, &plan.tuning);
        Self {
            queue: Queue::new(),
            network,
            observer,
            twins: BTreeMap::new(),
            ambushes: Vec::new(),
            drags: Drags::default(),
            coverage: Coverage::new(),
            trace,
            plan,
        }
    }

    /// The time, for histories: nanoseconds.
    #[must_use]
    pub fn time(&self) -> u64 {
        u64::try_from(self.queue.now().as_nanos()).expect("simulated times are below 500 years")
    }

    /// Gives a message to the network that is for no call, or that names it itself.
    pub fn send(
        &mut self,
        from: NodeId,
        from_life: Life,
        to: NodeId,
        to_life: Option<Life>,
        message: Message,
    ) {
        self.post(Delivery { from, from_life, to, to_life, call: 0, message, copy: Copied::No });
    }

    /// Sends a request.
    pub fn ask(&mut self, process: &Process, to: NodeId, call: u64, message: Message) {
        self.post(Delivery {
            from: process.id,
            from_life: process.life,
            to,
            to_life: None,
            call,
            message,
            copy: Copied::No,
        });
    }

    /// Sends an answer.
    pub fn answer(
        &mut self,
        process: &Process,
        Return { to, life, call }: Return,
        message: Message,
    ) {
        let (from, from_life, to_life) = (process.id, process.life, Some(life));
        self.post(Delivery { from, from_life, to, to_life, call, message, copy: Copied::No });
    }

    /// Gives a message to the network.
    pub fn post(&mut self, mut delivery: Delivery) {
        let (from, to) = (delivery.from, delivery.to);
        self.observer.on_send(from, &delivery.message, &mut self.coverage);
        let [first, second] = self.network.carry(from, to, delivery.message.may_be_duplicated());
        let Some(delay) = first else {
            match self.network.cut_by(from, to) {
                Some(shape) => self.met_cut(shape),
                None => self.coverage.hit(Reached::Lost),
            }
            return;
        };
        let mut slower = |delay: Duration| delay + self.drags.delay(from, to, &delivery.message);
        let (delay, second) = (slower(delay), second.map(&mut slower));
        if let Some(delay) = second {
            self.coverage.hit(Reached::Duplicated);
            delivery.copy = Copied::Twin(self.queue.scheduled());
            self.deliver_after(delay, delivery.clone());
        }
        self.deliver_after(delay, delivery);
    }

    fn deliver_after(&mut self, delay: Duration, delivery: Delivery) {
        if self.network.arrives(delivery.from, delivery.to, self.queue.now() + delay)
            == Order::Overtakes
        {
            self.coverage.hit(Reached::Overtaken);
        }
        if delay > LATE {
            self.coverage.hit(Reached::Late);
        }
        self.queue.after(delay, Event::Deliver(Box::new(delivery)));
    }

    /// A process takes a message: whether it has had its twin.
    pub fn taken(&mut self, copy: Copied, by: Life) -> Copied {
        let Copied::Twin(number) = copy else { return copy };
        match self.twins.remove(&number) {
            Some(life) if life == by => Copied::Again,
            Some(_) => copy,
            None => {
                self.twins.insert(number, by);
                copy
            }
        }
    }

    /// A message met a cut link.
    pub fn met_cut(&mut self, shape: Shape) {
        let (kind, purpose) = match shape {
            Shape::Full => (Reached::CutFull, None),
            Shape::Bridged => (Reached::CutBridged, None),
            Shape::OneWay => (Reached::CutOneWay, None),
            Shape::Alone => (Reached::CutFull, Some(Reached::Isolated)),
            Shape::Strangled => (Reached::CutBridged, Some(Reached::Strangled)),
            Shape::Deaf => (Reached::CutOneWay, Some(Reached::Deafened)),
        };
        self.coverage.hit(kind);
        if let Some(purpose) = purpose {
            self.coverage.hit(purpose);
        }
    }

    /// A moment came to a node: whatever waited for it falls soon.
    pub fn spring(&mut self, moment: Moment, at: NodeId) {
        for index in
            self.ambushes.extract_if(.., |(awaited, _)| *awaited == moment).map(|(_, index)| index)
        {
            let after = if let FaultKind::Ambush { after, .. }
            | FaultKind::OrphanVote { after, .. } = self.plan.faults[index].kind
            {
                after
            } else {
                Duration::ZERO
            };
            self.queue.after(after, Event::Ambush(index, at));
        }
    }

    /// Schedules something that a process waits for by its clock.
    pub fn alarm(&mut self, process: &Process, wait: Duration, what: Local) {
        debug_assert!(what.is_by_the_clock(), "{what:?} is no matter of clocks");
        self.local(process, process.clock.true_wait(wait), what);
    }

    /// Changes a process's clock, and with it when what waits by it is due.
    pub fn change_clock(&mut self, process: &mut Process, change: impl FnOnce(&mut Clock)) {
        let (now, before) = (self.queue.now(), process.clock.clone());
        change(&mut process.clock);
        let (process, coverage) = (&*process, &mut self.coverage);
        self.queue.retime(|event, at| {
            if event.clock() != Some(process.id) {
                return None;
            }
            let moved = process.clock.retimed(&before, now, at);
            if let Event::Timer { life, timer, generation, .. } = event
                && process.is_in(*life)
                && process.is_armed(usize::from(*timer), *generation)
                && moved != at
            {
                coverage.hit(if moved == now { Reached::JumpedOver } else { Reached::Retimed });
            }
            Some(moved)
        });
    }

    /// Schedules something on a process's own machine that takes so long truly.
    pub fn local(&mut self, process: &Process, delay: Duration, what: Local) {
        self.queue.after(delay, Event::Local { node: process.id, life: process.life, what });
    }

    /// Arms a process's timer.
    pub fn arm(&mut self, process: &mut Process, timer: u8, after: Duration, jitter: Duration) {
        let (generation, wait) = process.arm(usize::from(timer), after, jitter);
        self.queue
            .after(wait, Event::Timer { node: process.id, life: process.life, timer, generation });
    }
}
