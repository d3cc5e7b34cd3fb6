//! What the core says is done, as far as it is not about the acceptors alone.

use std::collections::BTreeMap;

use coordinator::effect::Effect;
use shared::ids::Generation;
use shared::message::{Phase, PrimaryReply, ProposalReply, SlotValue, Succession};

use super::acceptors::Line;
use super::{CoordinatorNode, Proposer};
use crate::simulation::environment::Environment;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::message::Message;
use crate::simulation::nodes::acceptor::acceptor_at;
use crate::simulation::nodes::calls::Met;
use crate::simulation::plan::faults::Moment;

impl CoordinatorNode {
    pub(super) fn perform(&mut self, env: &mut Environment, effect: Effect) {
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

    pub(super) fn tell(
        &self,
        env: &mut Environment,
        Proposer { back, epoch, number, attempt }: Proposer,
        reply: ProposalReply,
    ) {
        let reply = self.of_own_cluster(reply);
        env.answer(&self.process, back, Message::Proposed(epoch, number, attempt, reply));
    }
}
