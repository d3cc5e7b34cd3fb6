//! What a coordinator does that does not lead: it polls, forms the roster, stands for
//! election, and goes through Phase 1.

use std::time::Duration;

use shared::bounds::ROUNDS_AHEAD;
use shared::ids::{Ballot, Slot};
use shared::message::{Phase, Prepare, PrepareReply, Roster, SuccessionRequest, Watermarks};

use super::{Believed, Coordinator, State};
use crate::effect::{AcceptorIndex, Effect, PollNumber, Reason, Timer};
use crate::election::{Standby, Verdict, verdict};
use crate::membership::Recorded;
use crate::membership::foreign::ForeignAcceptor;
use crate::phase1::{PageOutcome, Phase1};

impl Coordinator {
    pub(super) fn poll_and_arm(&mut self) -> PollNumber {
        let poll = self.poll();
        self.arm(Timer::Poll, self.config.poll_interval, Duration::ZERO);
        self.carry_on();
        poll
    }

    pub(super) fn poll(&mut self) -> PollNumber {
        let poll = self.membership.poll(self.now);
        self.effects
            .extend(self.membership.indices().map(|to| Effect::PollWatermarks { to, poll }));
        poll
    }

    pub(super) fn on_watermarks(
        &mut self,
        from: AcceptorIndex,
        poll: PollNumber,
        reply: Watermarks,
    ) {
        let (promised, marks) = (reply.promised, reply.marks);
        let foreign = ForeignAcceptor { acceptor: reply.acceptor, roster: reply.roster.clone() };
        if self.membership.roster().is_none()
            && reply.roster.as_ref().is_some_and(|roster| self.membership.is_beyond(roster))
        {
            let request = SuccessionRequest::Tell;
            self.effects.push(Effect::Succession { to: from, request });
        }
        match self.membership.record(self.now, from, poll, reply) {
            Recorded::Stale => {}
            Recorded::NoVote => {
                self.on_foreign_acceptor(from, foreign);
                let wrong = self.membership.wrong_cluster(self.now, self.config.answer_validity);
                self.effects.extend(wrong.map(Effect::WrongCluster));
            }
            Recorded::Counted => {
                self.learn_ballot(from, promised);
                self.learn_marks_of(from, marks);
                self.confirm_lost_votes();
                self.consider_election();
            }
            Recorded::Waiting => self.formation_error = None,
            Recorded::AskAgain => {
                self.formation_error = None;
                self.poll();
            }
            Recorded::NotACluster(error) => {
                if self.formation_error.as_ref() != Some(&error) {
                    self.effects.push(Effect::NotACluster(error.clone()));
                    self.formation_error = Some(error);
                }
            }
            Recorded::Formed(roster) => self.on_formed(roster),
        }
    }

    fn on_formed(&mut self, roster: Roster) {
        self.formation_error = None;
        self.effects.push(Effect::RosterKnown(roster));
        let answers = self.membership.answers_by_place();
        // All first, for none of them is believed alone.
        for (at, promised, _) in &answers {
            promised.iter().for_each(|promised| self.membership.promised(*at, *promised));
        }
        for (at, promised, marks) in answers {
            self.learn_ballot(at, promised);
            self.learn_marks_of(at, marks);
        }
        self.consider_election();
    }

    pub(super) fn consider_election(&mut self) {
        let State::Inactive(standby) = self.state else { return };
        match (standby, self.verdict()) {
            (Standby::Watching, Verdict::Gone(reason)) => {
                self.state = State::Inactive(Standby::Armed);
                let jitter = if reason == Reason::LeaderEnded {
                    self.config.ended_jitter
                } else {
                    self.config.election_jitter
                };
                let jitter = self.failures.lengthen(&self.config, self.now, jitter);
                self.arm(Timer::Election, Duration::ZERO, jitter);
            }
            (Standby::Rechecking, Verdict::Gone(reason)) => self.start_phase1(reason),
            (Standby::Armed | Standby::Rechecking, Verdict::Alive) => {
                self.state = State::Inactive(Standby::Watching)
            }
            (Standby::Armed, Verdict::Gone(_) | Verdict::Unknown)
            | (Standby::Rechecking, Verdict::Unknown)
            | (Standby::Watching, Verdict::Alive | Verdict::Unknown)
            | (
                Standby::StandingBack | Standby::AwaitingReplicas,
                Verdict::Alive | Verdict::Unknown | Verdict::Gone(_),
            ) => {}
        }
    }

    /// What fresh answers say about the leader. None counts that was asked for before
    /// this coordinator stood by, or before it became a candidate.
    fn verdict(&self) -> Verdict {
        let Some(roster) = self.membership.roster() else { return Verdict::Unknown };
        let answers = self.membership.answers().into_iter().filter(|answer| {
            answer.poll >= self.answers_since
                && self.now.saturating_sub(answer.asked_at) <= self.config.answer_validity
        });
        let silence_needed =
            self.failures.lengthen(&self.config, self.now, self.config.election_timeout);
        verdict(answers, &self.ended, roster.acceptors().len(), roster.quorum(), silence_needed)
    }

    pub(super) fn start_phase1(&mut self, reason: Reason) {
        let Some(roster) = self.membership.roster() else { return };
        // A ballot that one acceptor alone has promised may be so high that others refuse the
        // next one: then it is gone beyond in two steps.
        let reached = self.membership.vouched_round().saturating_add(ROUNDS_AHEAD / 2 + 1);
        let next = self.highest_ballot.map_or(1, |highest| highest.round.saturating_add(1));
        let round = next.min(reached).max(self.stood_at.saturating_add(1));
        let ballot = Ballot { round, coordinator: self.id };
        let timeout = self.failures.lengthen(&self.config, self.now, self.config.phase1_timeout);
        let phase1 = Phase1::new(self.now, ballot, self.chosen_below, roster.quorum(), timeout);
        (self.highest_ballot, self.stood_at) = (Some(ballot), round);
        self.ended.forget();
        self.state = State::Phase1(phase1);
        self.change_phase(Phase::Inactive, Phase::Phase1, ballot, reason);
        self.send_prepares();
    }

    /// Asks every acceptor for what it has not sent yet.
    pub(super) fn send_prepares(&mut self) {
        let State::Phase1(phase1) = &self.state else { return };
        let left = phase1.deadline().saturating_sub(self.now);
        let asks: Vec<(AcceptorIndex, Slot)> = self
            .membership
            .indices()
            .filter_map(|to| phase1.ask_from(to).map(|from| (to, from)))
            .collect();
        for (to, from) in asks {
            self.send_prepare(to, from);
        }
        self.arm(Timer::Prepare, self.config.retransmit_interval.min(left), Duration::ZERO);
    }

    fn send_prepare(&mut self, to: AcceptorIndex, from: Slot) {
        let (State::Phase1(phase1), Some(roster)) = (&self.state, self.membership.roster()) else {
            return;
        };
        let message = Prepare { roster: roster.clone(), ballot: phase1.ballot(), from };
        self.effects.push(Effect::Prepare { to, message });
    }

    pub(super) fn on_prepare_reply(
        &mut self,
        from: AcceptorIndex,
        ballot: Ballot,
        reply: PrepareReply,
    ) {
        match reply {
            PrepareReply::Promise(promise) => {
                if !self.admit(from, promise.acceptor) {
                    return;
                }
                let marks = promise.marks;
                self.membership.promised(from, promise.ballot);
                if self.believes(from, marks) == Believed::No {
                    return;
                }
                let State::Phase1(phase1) = &mut self.state else { return self.learn_marks(marks) };
                let progress = if phase1.ballot() == ballot {
                    phase1.on_promise(self.now, from, promise)
                } else {
                    PageOutcome::None
                };
                self.learn_marks(marks);
                match progress {
                    PageOutcome::None | PageOutcome::Complete => {}
                    PageOutcome::NextPage(next) => self.send_prepare(from, next),
                    PageOutcome::Quorum(promised) => self.start_phase2(promised),
                }
            }
            PrepareReply::Nack(nack) => self.on_nack(from, nack.acceptor, nack.promised),
            PrepareReply::Stranger(stranger) => {
                self.on_foreign_acceptor(
                    from,
                    ForeignAcceptor { acceptor: stranger.acceptor, roster: stranger.roster },
                );
            }
        }
    }
}
