//! The clients: each calls one replica at a time, waits as long as its patience lasts,
//! and remembers what it heard.

mod calls;

use std::time::Duration;

use crate::linearizability::history::{Answer, Call, Ending, Key, Operation, OperationId, Time};

use super::process::{Life, NodeId};
use crate::simulation::environment::Environment;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::event::{ClientEvent, Event};
use crate::simulation::environment::message::{CallId, Message};
use crate::simulation::environment::random::Random;
use crate::simulation::plan::{Plan, Workload};
use crate::simulation::run::HEALING_LIMIT;
use calls::KEYS;

/// A request, as HTTP would carry it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Names the call in the history and, as its trace, in the log.
    pub operation: OperationId,
    /// What is asked for.
    pub call: Call,
    /// How large a value is to be. Bytes.
    pub value_bytes: u64,
    /// `Synod-Timeout`.
    pub timeout: Duration,
    /// Whether a replica passed it on: then it is not passed on again.
    pub hops: u8,
}

/// A response, as HTTP would carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Success, or a guard that failed.
    Answered {
        /// `Synod-Revision`.
        revision: u64,
        /// The body.
        answer: Answer,
    },
    /// An error: nothing happened, nor will it (`outcome: not_applied`, or the failure of
    /// a read).
    NotApplied,
    /// An error that leaves it open (`outcome: unknown`).
    Unknown,
}

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
    /// What it saw last of each key, for its compare-and-swaps.
    seen: Vec<Option<u64>>,
    /// The newest revision it heard of.
    newest: u64,
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
}

impl Client {
    /// A client that has not called yet.
    #[must_use]
    pub fn new(plan: &Plan, number: u8) -> Self {
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
            seen: vec![None; usize::from(plan.workload.keys)],
            newest: 0,
            asked: 0,
            unread: Vec::new(),
        }
    }

    /// Whether it has done all that it must do once all is healed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// All its calls; one without an answer is left open.
    #[must_use]
    pub fn into_history(mut self) -> Vec<Operation> {
        if let Some(Pending { operation, called, call }) = self.pending.take() {
            self.history.push(Operation {
                id: operation,
                called,
                call,
                ending: Ending::Unresolved,
            });
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
            Some(Pending { operation, .. }) => {
                env.queue.after(
                    HEALED_PATIENCE,
                    Event::Client(self.number, ClientEvent::GiveUp(*operation)),
                );
            }
        }
    }

    /// A time has come.
    pub fn on_event(&mut self, env: &mut Environment, event: ClientEvent) {
        match event {
            ClientEvent::Call => {
                if self.pending.is_none() && self.stage != Stage::Done {
                    self.call(env);
                }
            }
            ClientEvent::GiveUp(operation) => {
                if self.pending.as_ref().is_some_and(|pending| pending.operation == operation) {
                    self.end(env, Outcome::Unknown);
                }
            }
        }
    }

    /// An answer came; one that comes after it was given up for is not heard.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all other messages are never sent here, which is a panic"
    )]
    pub fn on_message(&mut self, env: &mut Environment, message: Message) {
        let (call, outcome) = match message {
            Message::Answer(call, outcome) => (call, outcome),
            Message::Refused(request) => match *request {
                Message::Call(call, _) => (call, Outcome::NotApplied),
                other => unreachable!("a client does not send {}", other.name()),
            },
            other => unreachable!("nobody sends a client {}", other.name()),
        };
        if self.pending.as_ref().is_some_and(|pending| pending.operation.0 == call.0) {
            self.end(env, outcome);
        }
    }

    fn call(&mut self, env: &mut Environment) {
        if self.stage == Stage::Working && self.calls >= self.workload.calls {
            return;
        }
        self.calls += 1;
        let operation = OperationId(u64::from(self.number) << 32 | u64::from(self.calls));
        let call = self.draw_call(operation);
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
        let value_bytes = self.random.between(8, self.workload.value_bytes);
        let request = Request { operation, call: call.clone(), value_bytes, timeout, hops: 0 };
        self.pending = Some(Pending { operation, called: env.time(), call });
        env.send(self.id, Life(0), replica, None, Message::Call(CallId(operation.0), request));
        env.queue.after(patience, Event::Client(self.number, ClientEvent::GiveUp(operation)));
    }

    /// Any, while it works; once all is healed one that answers to a write, as a balancer
    /// does, for others may stay dead; and then each that lives, to read.
    fn draw_replica(&mut self) -> NodeId {
        match self.stage {
            Stage::Working => {
                self.asked =
                    u8::try_from(self.random.below(u64::from(self.replicas))).expect("small")
            }
            Stage::MustRead => return self.unread().0,
            Stage::MustWrite | Stage::Done => {}
        }
        NodeId::Replica(self.asked)
    }

    fn unread(&self) -> (NodeId, Reading) {
        *self.unread.last().expect("it is done once it has read at all of them")
    }

    fn end(&mut self, env: &mut Environment, outcome: Outcome) {
        let Some(Pending { operation, called, call }) = self.pending.take() else { return };
        let ending = match outcome {
            Outcome::Answered { revision, answer } => {
                self.learn(&call, revision, &answer);
                self.advance(&call);
                Ending::Answered { at: env.time(), revision, answer }
            }
            Outcome::NotApplied => Ending::NotApplied,
            Outcome::Unknown => Ending::Unresolved,
        };
        if !matches!(ending, Ending::Answered { .. }) {
            self.asked = (self.asked + 1) % self.replicas;
        }
        if call.is_mutation() {
            match ending {
                Ending::Unresolved => env.coverage.hit(Reached::Unresolved),
                Ending::NotApplied => {
                    env.coverage.hit(Reached::NotApplied);
                    env.observer.not_applied(operation);
                }
                Ending::Answered { answer: Answer::GuardFailed, .. } => {
                    env.coverage.hit(Reached::GuardFailed)
                }
                Ending::Answered { .. } => {}
            }
        }
        if env.trace.is_text_kept() {
            env.trace.line(
                env.queue.now(),
                format_args!("{} {operation:?} {call:?} -> {ending:?}", self.id),
            );
        }
        self.history.push(Operation { id: operation, called, call, ending });
        if self.stage != Stage::Done {
            self.think(env);
        }
    }

    fn learn(&mut self, call: &Call, revision: u64, answer: &Answer) {
        self.newest = self.newest.max(revision);
        let mut see = |key: &Key, modified: Option<u64>| {
            if let Some(index) = KEYS.iter().position(|known| **known == **key) {
                self.seen[index] = modified;
            }
        };
        match (call, answer) {
            (Call::Read { key, .. }, Answer::Read(seen)) => {
                see(key, seen.map(|seen| seen.modified))
            }
            (_, Answer::Listed(page)) => {
                page.items.iter().for_each(|(key, seen)| see(key, Some(seen.modified)))
            }
            (Call::Put { key, .. }, Answer::Put) => see(key, Some(revision)),
            (Call::Delete { key, .. }, Answer::Deleted(_)) => see(key, None),
            _ => {}
        }
    }

    fn advance(&mut self, call: &Call) {
        self.stage = match (self.stage, call) {
            (Stage::MustWrite, Call::Put { .. }) => Stage::MustRead,
            (Stage::MustRead, Call::Read { .. }) => {
                self.unread.pop();
                if self.unread.is_empty() { Stage::Done } else { Stage::MustRead }
            }
            (stage, _) => stage,
        };
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
