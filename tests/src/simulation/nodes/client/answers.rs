//! How a call ends: answered, refused or left open, and what the client learns of it and
//! does next.

use std::time::Duration;

use super::holder::Renewal;
use super::request::Sent;
use super::{Client, MOST_REPEATS, Pending, Stage, Wait};
use crate::operations::{Answer, Call, Operation, Outcome};
use crate::simulation::environment::Environment;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::event::{ClientEvent, Event};
use crate::simulation::environment::message::Message;

impl Client {
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
        let is_waited_for =
            |pending: &Pending| pending.id() == call && pending.wait == Wait::Answer;
        if self.pending.as_ref().is_some_and(is_waited_for) {
            self.end(env, outcome);
        }
    }

    pub(super) fn end(&mut self, env: &mut Environment, outcome: Outcome) {
        let Some(pending) = self.pending.take() else { return };
        // That this attempt was refused says nothing of those before it.
        let is_open = pending.repeats > 0 && outcome == Outcome::NotApplied;
        let outcome = if is_open { Outcome::Unknown } else { outcome };
        let may_be_sent_again = match pending.sent {
            Sent::Once => false,
            Sent::ByKey => true,
            Sent::ByName(_) => pending.repeats < MOST_REPEATS,
        };
        let is_sent_again = may_be_sent_again && self.stage == Stage::Working;
        if is_sent_again && outcome == Outcome::Unknown {
            self.asked = (self.asked + 1) % self.replicas;
            self.pending = Some(Pending { wait: Wait::Pause, ..pending });
            return self.think(env);
        }
        if pending.repeats > 0 && outcome.is_answered() {
            env.coverage.hit(match pending.sent {
                Sent::Once | Sent::ByKey => Reached::AnsweredAgain,
                Sent::ByName(_) => Reached::AnsweredByName,
            });
        }
        let Pending { operation, called, call, wait, .. } = pending;
        if let Outcome::Answered { revision, answer } = &outcome {
            self.generator.learn(&call, *revision, answer);
            if let Some(holder) = &mut self.holder {
                let at = Renewal { asked: Duration::from_nanos(called), answered: env.queue.now() };
                holder.learn(&call, *revision, answer, at);
            }
            self.advance(&call);
        } else {
            self.asked = (self.asked + 1) % self.replicas;
        }
        if call.is_mutation() {
            match outcome {
                Outcome::Unknown => env.coverage.hit(Reached::Unresolved),
                Outcome::NotApplied => {
                    env.coverage.hit(Reached::NotApplied);
                    env.observer.not_applied(operation);
                }
                Outcome::Answered { answer: Answer::GuardFailed, .. } => {
                    env.coverage.hit(Reached::GuardFailed)
                }
                Outcome::Answered { answer: Answer::Transaction(ref taken), .. } => {
                    if !taken.succeeded {
                        env.coverage.hit(Reached::TransactedOtherwise);
                    } else if taken.wrote {
                        env.coverage.hit(Reached::Transacted);
                    }
                }
                Outcome::Answered { answer: Answer::Appended, .. } => {
                    env.coverage.hit(Reached::Appended)
                }
                Outcome::Answered { answer: Answer::RolledBack { restored, deleted }, .. } => {
                    if restored + deleted > 0 {
                        env.coverage.hit(Reached::MadeWhatItWas);
                    }
                }
                Outcome::Answered { answer: Answer::Compacted { .. }, .. } => {
                    env.coverage.hit(Reached::Compacted)
                }
                Outcome::Answered { answer: Answer::Gone { .. }, .. } => {
                    env.coverage.hit(Reached::HistoryGone)
                }
                Outcome::Answered { .. } => {}
            }
        }
        if env.trace.is_text_kept() {
            env.trace.line(
                env.queue.now(),
                format_args!("{} {operation:?} {call:?} -> {outcome:?}", self.id),
            );
        }
        let (returned, is_answered) = (env.time(), outcome.is_answered());
        self.history.push(Operation { id: operation, called, call, returned, outcome });
        // It calls again by itself where that was to be an attempt.
        if self.stage == Stage::Done || wait != Wait::Answer {
            return;
        }
        match &self.holder {
            Some(holder) if self.stage == Stage::Working => {
                let pause = holder.pause(is_answered);
                env.queue.after(pause, Event::Client(self.number, ClientEvent::Call));
            }
            Some(_) | None => self.think(env),
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
}
