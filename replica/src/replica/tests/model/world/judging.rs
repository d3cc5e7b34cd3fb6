//! What clients were told, held against what the log says.

use super::*;

impl World {
    /// What the log says, executed in one go.
    pub(super) fn reference(&self) -> (Vec<Executed>, ReplicatedState) {
        let mut state = ReplicatedState::complete();
        let log = self
            .log
            .iter()
            .enumerate()
            .map(|(slot, value)| entry(slot as u64, value.clone()))
            .collect();
        (Run::new(log).apply(&mut state).slots, state)
    }

    pub(in crate::replica::tests::model) fn check_answers(&self) {
        let (slots, state) = self.reference();
        for (id, request) in &self.requests {
            let Operation::Mutation { key } = &request.asked else { continue };
            let record = state.keys().records().get(key);
            assert!(record.is_none_or(|record| record.version == 1), "{id} was executed twice");
            match &request.told {
                Told::Answer(Answer::Executed { slot, outcome, delivery }) => {
                    let SlotOutcome::Batch { commands, .. } = &slots[slot.0 as usize].outcome
                    else {
                        panic!("{id} was told {outcome:?} of slot {slot}, which holds no batch")
                    };
                    assert!(
                        commands.contains(&ExecutedCommand {
                            delivery: *delivery,
                            request: identity(key),
                            outcome: outcome.clone()
                        }),
                        "{id} was told {outcome:?} of slot {slot}, which has {commands:?}"
                    );
                    assert_eq!(
                        record.map(|record| record.revision),
                        Some(outcome.revision()),
                        "{id}"
                    );
                }
                Told::Answer(Answer::NotApplied(reason)) => {
                    assert_eq!(record, None, "{id} was told {reason}")
                }
                Told::Answer(Answer::Unknown(_) | Answer::Forgotten) | Told::Lost => {}
                told @ (Told::Nothing | Told::Served | Told::Refused) => {
                    panic!("{id} was told {told:?}")
                }
            }
        }
    }

    pub(in crate::replica::tests::model) fn check_replicas_are_the_same(&self) {
        let (_, state) = self.reference();
        for node in &self.nodes {
            assert_eq!(node.database.digest(), state.digest());
        }
    }

    pub(in crate::replica::tests::model) fn reached(&self) -> Reached {
        let mut reached = Reached::default();
        for request in self.requests.values() {
            match &request.told {
                Told::Answer(Answer::Executed { .. }) => reached.count("executed"),
                Told::Answer(Answer::NotApplied(NotApplied::PrimaryChanged)) => {
                    reached.count("not applied")
                }
                Told::Answer(Answer::Unknown(_)) => reached.count("unknown"),
                Told::Answer(Answer::Forgotten) => reached.count("forgotten"),
                Told::Served => reached.count("served"),
                Told::Answer(Answer::NotApplied(_))
                | Told::Refused
                | Told::Lost
                | Told::Nothing => {}
            }
        }
        for slot in self.reference().0 {
            match slot.outcome {
                SlotOutcome::View(_) => reached.count("view"),
                SlotOutcome::Void(VoidReason::OtherEpoch { .. }) => reached.count("other epoch"),
                SlotOutcome::Void(VoidReason::OutOfOrder { number, expected, .. }) => {
                    reached.count(if number > expected { "too early" } else { "repeated" });
                }
                SlotOutcome::Void(_) | SlotOutcome::Noop | SlotOutcome::Batch { .. } => {}
            }
        }
        reached
    }
}
