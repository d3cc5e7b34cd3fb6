//! What rare inputs led to, for those who count whether they happened.

use std::time::Duration;

use coordinator::effect::{Effect, Input, Timer};
use shared::ids::Ballot;
use shared::message::{AcceptReply, Phase, PrepareReply, ProposalReply, Value};

use super::CoordinatorNode;
use crate::simulation::environment::Environment;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::observer::invariant_a_higher_ballot_ends_leadership;
use crate::simulation::plan::faults::Moment;

/// What a step is about, as far as it is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cause {
    /// Nothing rare.
    Usual,
    /// An answer that came before.
    AnswerAgain,
    /// A proposal that came before.
    ProposalAgain,
    /// A read that waits for a slot.
    Nudge,
}

/// An input whose consequences are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum News {
    /// An acceptor refused a request for the sake of this ballot.
    Refused(Ballot),
    /// A candidate has waited, and may ask once more.
    Waited,
    /// Any other.
    Other,
}

impl News {
    pub(super) fn of(input: &Input) -> Self {
        match input {
            Input::PrepareReply { reply: PrepareReply::Nack(nack), .. }
            | Input::AcceptReply { reply: AcceptReply::Nack(nack), .. } => {
                Self::Refused(nack.promised)
            }
            Input::Fired(Timer::Election) => Self::Waited,
            Input::PrepareReply { .. }
            | Input::AcceptReply { .. }
            | Input::Started
            | Input::Fired(_)
            | Input::Watermarks { .. }
            | Input::Proposal { .. }
            | Input::Heartbeat(_)
            | Input::PrimaryRequest { .. }
            | Input::SuccessionReply { .. }
            | Input::Acceptors { .. }
            | Input::Surveyed { .. }
            | Input::SuccessionTold(_)
            | Input::Ended(_)
            | Input::LeaderEnds(_) => Self::Other,
        }
    }
}

impl CoordinatorNode {
    /// Notes an answer to a ballot that this coordinator has gone on from.
    pub(super) fn note_past(&self, env: &mut Environment, input: &Input) {
        let is_past = |ballot: &Ballot| Some(*ballot) < self.core.ballot();
        match (self.core.phase(), input) {
            (
                Phase::Phase1,
                Input::PrepareReply { ballot, reply: PrepareReply::Promise(_), .. },
            ) if is_past(ballot) => {
                env.coverage.hit(Reached::PromisedBefore);
            }
            (
                Phase::Phase2,
                Input::AcceptReply { ballot, reply: AcceptReply::Accepted(accepted), .. },
            ) if is_past(ballot) => {
                let in_flight = self.core.chosen_below()
                    ..self.core.status(Duration::ZERO).next_slot.unwrap_or_default();
                if accepted.slots.iter().any(|slot| in_flight.contains(slot)) {
                    env.coverage.hit(Reached::VotedBefore);
                }
            }
            (Phase::Inactive | Phase::Phase1 | Phase::Phase2, _) => {}
        }
    }

    /// Looks at what came of news.
    pub(super) fn follow(&self, env: &mut Environment, news: News, effects: &[Effect]) {
        match news {
            News::Refused(higher) => invariant_a_higher_ballot_ends_leadership(
                self.process.id,
                self.core.ballot(),
                higher,
            ),
            News::Waited
                if effects.iter().any(|effect| matches!(effect, Effect::PollWatermarks { .. })) =>
            {
                env.spring(Moment::Doubted, self.process.id);
            }
            News::Waited | News::Other => {}
        }
    }

    /// Notes what rare things led to.
    pub(super) fn note(&self, env: &mut Environment, cause: Cause, effects: &[Effect]) {
        let proposed = || {
            effects.iter().filter_map(|effect| {
                if let Effect::Accept { message, .. } = effect {
                    Some(&message.proposals)
                } else {
                    None
                }
            })
        };
        match cause {
            Cause::Usual => {}
            Cause::AnswerAgain if effects.is_empty() => env.coverage.hit(Reached::AnswerIgnored),
            Cause::ProposalAgain if self.core.phase() == Phase::Phase2 => {
                let is_refusal = |effect: &Effect| {
                    matches!(
                        effect,
                        Effect::ProposalReply { reply: ProposalReply::Overloaded { .. }, .. }
                    )
                };
                if proposed().all(Vec::is_empty) && !effects.iter().any(is_refusal) {
                    env.coverage.hit(Reached::ProposalIgnored);
                }
            }
            Cause::Nudge => {
                env.coverage.hit(Reached::Nudged);
                let noop = Value::Noop.encode();
                if proposed().flatten().any(|proposal| proposal.value == noop) {
                    env.coverage.hit(Reached::NudgeHeeded);
                }
            }
            Cause::AnswerAgain | Cause::ProposalAgain => {}
        }
    }
}
