//! The clients: each calls one replica at a time, waits as long as its patience lasts,
//! and remembers what it heard.

mod answers;
mod draw;
pub mod holder;
pub mod request;

use std::time::Duration;

use crate::operations::generate::kind::Kind;
use crate::operations::generate::{Generator, Names};
use crate::operations::{Call, Operation, OperationId, Outcome, Time};

use self::draw::names;
use self::holder::Holder;
use self::request::{Asker, Request, Sent};
use super::process::{Life, NodeId};
use crate::random::Random;
use crate::simulation::environment::Environment;
use crate::simulation::environment::event::{ClientEvent, Event};
use crate::simulation::environment::message::{CallId, Message};
use crate::simulation::plan::{Plan, Workload};
use crate::simulation::run::HEALING_LIMIT;
/// A client's streams of randomness.
const FIRST_STREAM: u64 = 1 << 16;

/// How long it waits for an answer then.
const HEALED_PATIENCE: Duration = Duration::from_secs(1);

/// A run does not go on for so long: whoever waits for that is answered, or found to be
/// forgotten.
const ENDLESS_PATIENCE: Duration = HEALING_LIMIT.saturating_mul(4);

/// What a client must be able to do once all is healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It works at random.
    Working,
    /// All is healed: it must get a write through …
    MustWrite,
    /// … and then be answered at every live replica whatever it asks there, without
    /// asking again: who retries what was forgotten never notices.
    MustRead,
    /// It got all of them.
    Done,
}

/// How it reads once all is healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// What is there by now.
    Linearizable,
    /// What it knows to be there.
    Local,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    id: NodeId,
    number: u8,
    workload: Workload,
    replicas: u8,
    random: Random,
    stage: Stage,
    calls: u32,
    pending: Option<Pending>,
    history: Vec<Operation>,
    names: Names,
    generator: Generator,
    /// Where it holds a lock, and does nothing else while it works.
    holder: Option<Holder>,
    /// The replica that it asked last.
    asked: u8,
    /// Where it still has to read, once all is healed, and how; the next one last.
    unread: Vec<(NodeId, Reading)>,
}

#[derive(Debug)]
struct Pending {
    operation: OperationId,
    called: Time,
    call: Call,
    sent: Sent,
    /// How often it was sent before, and its outcome left open.
    repeats: u64,
    wait: Wait,
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// An answer.
    Answer,
    /// The time to send its request again.
    Pause,
}

impl Pending {
    /// One for each time that it is sent.
    fn id(&self) -> CallId {
        CallId(self.operation.0 | self.repeats << REPEATS_SHIFT)
    }
}

/// So often a request is sent again whose name may be forgotten.
const MOST_REPEATS: u64 = 8;

/// Above the numbers of clients and calls.
const REPEATS_SHIFT: u32 = 40;

impl Client {
    /// A client that has not called yet.
    #[must_use]
    pub fn new(plan: &Plan, number: u8) -> Self {
        let holding = plan.workload.holders.get(usize::from(number));
        Self {
            id: NodeId::Client(number),
            number,
            workload: plan.workload.clone(),
            replicas: plan.topology.replicas,
            random: Random::new(plan.seed, FIRST_STREAM + u64::from(number)),
            stage: Stage::Working,
            calls: 0,
            pending: None,
            history: Vec::new(),
            names: names(usize::from(plan.workload.keys)),
            generator: Generator::default(),
            holder: holding.map(|holding| Holder::new(holding.clone(), number)),
            asked: 0,
            unread: Vec::new(),
        }
    }

    /// What it holds, where it does nothing else.
    #[must_use]
    pub fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }

    /// Whether it has done all that it must do once all is healed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// All that was there is gone: what was answered is of the past, and what was left
    /// open may happen yet.
    pub fn begin_anew(&mut self, env: &mut Environment) {
        self.end(env, Outcome::Unknown);
        self.history.retain(|operation| operation.outcome == Outcome::Unknown);
        self.generator = Generator::default();
    }

    /// All its calls; one without an answer is left open.
    #[must_use]
    pub fn into_history(mut self) -> Vec<Operation> {
        if let Some(Pending { operation, called, call, .. }) = self.pending.take() {
            let (returned, outcome) = (called, Outcome::Unknown);
            self.history.push(Operation { id: operation, called, call, returned, outcome });
        }
        self.history
    }

    /// Begins to call.
    pub fn start(&mut self, env: &mut Environment) {
        self.think(env);
    }

    /// All is healed, and these replicas live.
    pub fn heal(&mut self, env: &mut Environment, replicas: &[NodeId]) {
        self.stage = Stage::MustWrite;
        let both = |replica: &NodeId| {
            [Reading::Linearizable, Reading::Local].map(|reading| (*replica, reading))
        };
        self.unread = replicas.iter().flat_map(both).collect();
        match &self.pending {
            None => self.call(env),
            // It may still end well, but is not waited for longer than what is asked from
            // now on.
            Some(pending) => {
                let give_up = ClientEvent::GiveUp(pending.id());
                env.queue.after(HEALED_PATIENCE, Event::Client(self.number, give_up));
            }
        }
    }

    /// All is healed, and this replica has ended by itself: what it was asked breaks off.
    pub fn breaks_off(&mut self, env: &mut Environment, replica: NodeId) {
        let is_waited_for =
            self.pending.as_ref().is_some_and(|pending| pending.wait == Wait::Answer);
        if is_waited_for && self.stage == Stage::MustRead && self.unread().0 == replica {
            self.end(env, Outcome::Unknown);
        }
    }

    /// A time has come.
    pub fn on_event(&mut self, env: &mut Environment, event: ClientEvent) {
        match event {
            ClientEvent::Call => match self.pending.as_ref().map(|pending| pending.wait) {
                None if self.stage != Stage::Done => self.call(env),
                Some(Wait::Pause) => self.call_again(env),
                None | Some(Wait::Answer) => {}
            },
            ClientEvent::GiveUp(call) => {
                let is_over = |pending: &Pending| {
                    let is_waited_for = pending.wait == Wait::Answer;
                    pending.id() == call && (is_waited_for || self.stage != Stage::Working)
                };
                if self.pending.as_ref().is_some_and(is_over) {
                    self.end(env, Outcome::Unknown);
                }
            }
        }
    }

    fn call(&mut self, env: &mut Environment) {
        let is_over = |holder: &Holder| holder.is_over(env.queue.now());
        let has_had_enough =
            self.calls >= self.workload.calls || self.holder.as_ref().is_some_and(is_over);
        if self.stage == Stage::Working && has_had_enough {
            return;
        }
        self.calls += 1;
        let operation = OperationId(u64::from(self.number) << 32 | u64::from(self.calls));
        let call = self.draw_call(operation);
        let is_keyed = self.stage == Stage::Working
            && call.is_mutation()
            && self.random.chance(self.workload.keyed);
        let is_named = self.stage == Stage::Working
            && call.is_mutation()
            && self.random.chance(self.workload.named);
        // That something is denied is no first answer: it may be allowed when it comes again.
        let may_repeat = !matches!(call, Call::Access(_));
        let sent = match (is_keyed && may_repeat, is_named && may_repeat) {
            (true, _) => Sent::ByKey,
            (false, true) => Sent::ByName(self.draw_since(env)),
            (false, false) => Sent::Once,
        };
        let (called, repeats, wait) = (env.time(), 0, Wait::Answer);
        let pending = Pending { operation, called, call, sent, repeats, wait };
        self.send(env, pending);
    }

    fn call_again(&mut self, env: &mut Environment) {
        let Some(pending) = self.pending.take() else { return };
        let repeats = pending.repeats + 1;
        self.send(env, Pending { repeats, wait: Wait::Answer, ..pending });
    }

    fn send(&mut self, env: &mut Environment, pending: Pending) {
        let patience = match self.stage {
            Stage::Working => {
                self.random.magnitude(self.workload.patience.0, self.workload.patience.1)
            }
            Stage::MustWrite => HEALED_PATIENCE,
            Stage::MustRead | Stage::Done => ENDLESS_PATIENCE,
        };
        // Mostly the server's time runs out before the client's patience does.
        let timeout = if self.random.chance(800_000) { patience * 9 / 10 } else { patience * 2 };
        let replica = self.draw_replica();
        let (operation, call) = (pending.operation, pending.call.clone());
        let asker = match self.workload.weights.of(Kind::Access) {
            0 => Asker::Anyone,
            _ => Asker::Root,
        };
        let request = Request { operation, call, timeout, hops: 0, sent: pending.sent, asker };
        let id = pending.id();
        self.pending = Some(pending);
        env.send(self.id, Life(0), replica, None, Message::Call(id, request));
        env.queue.after(patience, Event::Client(self.number, ClientEvent::GiveUp(id)));
    }

    fn unread(&self) -> (NodeId, Reading) {
        *self.unread.last().expect("it is done once it has read at all of them")
    }

    fn think(&mut self, env: &mut Environment) {
        let (low, high) = match self.stage {
            Stage::Working => self.workload.think,
            Stage::MustWrite | Stage::MustRead | Stage::Done => {
                (Duration::from_millis(1), Duration::from_millis(50))
            }
        };
        let wait = self.random.duration(low, high);
        env.queue.after(wait, Event::Client(self.number, ClientEvent::Call));
    }
}
