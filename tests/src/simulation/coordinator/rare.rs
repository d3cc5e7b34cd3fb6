//! What rare inputs led to, for those who count whether they happened.

use coordinator::effect::Effect;
use shared::message::{Phase, Value};

use super::CoordinatorNode;
use crate::simulation::environment::Environment;
use crate::simulation::reach::Reached;

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

impl CoordinatorNode {
    /// Notes what rare things led to.
    pub(super) fn note(&self, env: &mut Environment, cause: Cause, effects: &[Effect]) {
        let proposed = || {
            effects
                .iter()
                .filter_map(|effect| if let Effect::Accept { message, .. } = effect { Some(&message.proposals) } else { None })
        };
        match cause {
            Cause::Usual => {}
            Cause::AnswerAgain if effects.is_empty() => env.reach.hit(Reached::AnswerIgnored),
            Cause::ProposalAgain if self.core.phase() == Phase::Phase2 && proposed().all(Vec::is_empty) => {
                env.reach.hit(Reached::ProposalIgnored);
            }
            Cause::Nudge => {
                env.reach.hit(Reached::Nudged);
                let noop = Value::Noop.encode();
                if proposed().flatten().any(|proposal| proposal.value == noop) {
                    env.reach.hit(Reached::NudgeHeeded);
                }
            }
            Cause::AnswerAgain | Cause::ProposalAgain => {}
        }
    }
}
