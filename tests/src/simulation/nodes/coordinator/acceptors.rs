//! What is asked of the acceptors: no more at a time than the real driver asks, and for
//! no longer.

use coordinator::config::shell::{
    ACCEPT_TIMEOUT, POLL_TIMEOUT, POLLS_IN_FLIGHT, PREPARE_TIMEOUT, PREPARES_IN_FLIGHT,
    SUCCESSION_TIMEOUT, SUCCESSIONS_IN_FLIGHT,
};
use coordinator::driver::outbox::{Outbox, OutboxLimits};
use coordinator::effect::{AcceptorIndex, Input, PollNumber};
use shared::discovery::INTERVAL;
use shared::ids::Instance;
use shared::message::{Announcement, Member, Prepare, Service, SuccessionRequest};

use super::CoordinatorNode;
use super::rare::Cause;
use crate::simulation::environment::Environment;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::event::Local;
use crate::simulation::environment::message::{Copied, Message};
use crate::simulation::nodes::acceptor::Fate;
use crate::simulation::nodes::calls::{Calls, Met};
use crate::simulation::nodes::process::{NodeId, Presence, Process};

/// The way to one acceptor.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) outbox: Outbox,
    pub(super) polls: Calls<()>,
    pub(super) prepares: Calls<()>,
    pub(super) successions: Calls<()>,
}

impl Line {
    pub(super) fn new(limits: OutboxLimits, patience: u32) -> Self {
        let (polls, prepares) = (Calls::new(POLL_TIMEOUT), Calls::new(PREPARE_TIMEOUT * patience));
        let successions = Calls::new(SUCCESSION_TIMEOUT);
        Self { outbox: Outbox::new(limits), polls, prepares, successions }
    }
}

impl CoordinatorNode {
    /// It waits for votes and promises as long as in truth, and no longer: that it makes
    /// progress may rest on it.
    pub fn hurry(&mut self, env: &mut Environment) {
        let now = self.now(env);
        self.patience = 1;
        self.accepts.hurry(now, ACCEPT_TIMEOUT);
        for line in &mut self.lines {
            line.prepares.hurry(now, PREPARE_TIMEOUT);
        }
        if self.process.presence == Presence::Up {
            self.watch(env);
        }
    }

    pub(super) fn announce(&mut self, env: &mut Environment) {
        let name = self.process.id.to_string().parse().expect("a name");
        let url = format!("sim://{}", self.process.id);
        let member = Member {
            name,
            service: Service::Coordinator,
            url,
            instance: Instance(self.core.id().0),
        };
        for acceptor in self.present() {
            let announcement =
                Announcement { cluster: self.core.cluster(), member: member.clone() };
            env.ask(&self.process, acceptor, 0, Message::Announce(announcement));
        }
        env.alarm(&self.process, INTERVAL, Local::Announce);
    }

    /// The present acceptors.
    pub(super) fn present(&self) -> Vec<NodeId> {
        self.core.present().map(|at| self.places[at.0]).collect()
    }

    pub(super) fn succession(
        &mut self,
        env: &mut Environment,
        to: AcceptorIndex,
        request: SuccessionRequest,
    ) {
        ask_if_few(
            env,
            &self.process,
            self.places[to.0],
            (&mut self.lines[to.0].successions, SUCCESSIONS_IN_FLIGHT),
            Message::Succession(request),
        );
    }

    pub(super) fn poll(&mut self, env: &mut Environment, to: AcceptorIndex, poll: PollNumber) {
        ask_if_few(
            env,
            &self.process,
            self.places[to.0],
            (&mut self.lines[to.0].polls, POLLS_IN_FLIGHT),
            Message::Poll(poll),
        );
    }

    pub(super) fn prepare(&mut self, env: &mut Environment, to: AcceptorIndex, message: Prepare) {
        let prepares = &mut self.lines[to.0].prepares;
        ask_if_few(
            env,
            &self.process,
            self.places[to.0],
            (prepares, PREPARES_IN_FLIGHT),
            Message::Prepare(message),
        );
    }

    pub(super) fn send_accepts(&mut self, env: &mut Environment) {
        for (place, line) in self.lines.iter_mut().enumerate() {
            while let Some(outgoing) = line.outbox.next() {
                let to = AcceptorIndex(place);
                let call = self.accepts.begin(self.process.uptime(env.queue.now()), to);
                env.ask(&self.process, self.places[to.0], call, Message::Accept(outgoing.accept));
            }
        }
        self.watch(env);
    }

    /// What it asked for came, or the news that it will not.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all other messages are never sent here, which is a panic"
    )]
    pub(super) fn on_answer(
        &mut self,
        env: &mut Environment,
        (from, call, copy): (NodeId, u64, Copied),
        answer: Message,
    ) -> Fate {
        let at = self.places.iter().position(|place| *place == from);
        let at = AcceptorIndex(at.expect("only acceptors that it has asked answer"));
        let now = self.now(env);
        let line = &mut self.lines[at.0];
        let asked = if let Message::Refused(request) = &answer { &**request } else { &answer };
        let is_heard = match asked {
            Message::Polled(..) | Message::Poll(_) => line.polls.answer(now, call) != Met::TooLate,
            Message::Prepared(..) | Message::Prepare(_) => {
                line.prepares.answer(now, call) != Met::TooLate
            }
            Message::Accepted(..) | Message::Accept(_) => match self.accepts.answer(now, call) {
                Met::First(_) => {
                    line.outbox.done();
                    true
                }
                Met::Again => true,
                Met::TooLate => false,
            },
            Message::Votes(_) | Message::ReadVotes(_) => {
                match self.pages.answer(now, call) {
                    Met::First(fetch) => self.on_page(
                        env,
                        fetch,
                        if let Message::Votes(page) = answer { Some(page) } else { None },
                    ),
                    Met::Again => {}
                    Met::TooLate => env.coverage.hit(Reached::AnsweredTooLate),
                }
                return Fate::Alive;
            }
            Message::Succeeded(_) | Message::Succession(_) => {
                line.successions.answer(now, call) != Met::TooLate
            }
            Message::Listed(_) | Message::Announce(_) => return Fate::Alive,
            other => unreachable!("nobody sends a coordinator {}", other.name()),
        };
        if !is_heard {
            env.coverage.hit(Reached::AnsweredTooLate);
            return Fate::Alive;
        }
        let input = match answer {
            Message::Polled(poll, reply) => Input::Watermarks { from: at, poll, reply },
            Message::Prepared(ballot, reply) => Input::PrepareReply { from: at, ballot, reply },
            Message::Accepted(ballot, reply) => Input::AcceptReply { from: at, ballot, reply },
            Message::Succeeded(reply) => Input::SuccessionReply { from: at, reply },
            // The core is not told: it asks again when it is time to.
            _ => {
                self.send_accepts(env);
                return Fate::Alive;
            }
        };
        self.step(env, input, if copy == Copied::Again { Cause::AnswerAgain } else { Cause::Usual })
    }
}

/// Asks an acceptor, unless so many questions of the kind are under way to it that
/// another one is pointless.
fn ask_if_few(
    env: &mut Environment,
    process: &Process,
    to: NodeId,
    (calls, at_most): (&mut Calls<()>, usize),
    message: Message,
) {
    let now = process.uptime(env.queue.now());
    if calls.under_way(now) >= at_most {
        env.coverage.hit(Reached::HeldBack);
        return;
    }
    env.ask(process, to, calls.begin(now, ()), message);
}
