//! Whose turn it is in the log: which view may come next, and which batch.

use replica::machine::command::Commands;
use replica::machine::execute::Decoded;
use replica::machine::outcome::SlotOutcome;
use shared::ids::{BatchNumber, Epoch, Slot};
use shared::message::View;

use crate::operations::{Call, OperationId, command};
use crate::simulation::nodes::client::request::NONCE;

/// What a slot holds, as far as it is checked.
#[derive(Debug)]
pub(super) enum Turn {
    Noop,
    View(View),
    Batch {
        epoch: Epoch,
        number: BatchNumber,
        time_ms: u64,
        wall_ms: u64,
        calls: Vec<(OperationId, Call)>,
    },
}

impl Turn {
    /// Panics when it cannot be read: services propose what can be.
    pub(super) fn of(decoded: &Decoded) -> Self {
        match decoded {
            Decoded::Noop => Self::Noop,
            Decoded::View(view) => Self::View(view.clone()),
            // What it says beside the view is held against the reference where it is noted.
            Decoded::Removal(removal) => Self::View(removal.view.clone()),
            Decoded::Batch { epoch, number, commands: Ok(decoded) } => {
                let Commands { time_ms, wall_ms, trace: _, commands, answers: _, executed: _ } =
                    decoded;
                let calls = commands
                    .iter()
                    .map(|command| {
                        let operation = command::operation(command, NONCE);
                        let operation = operation.expect("a simulated command names its call");
                        (operation, command::call(command))
                    })
                    .collect();
                let (epoch, number) = (*epoch, *number);
                Self::Batch { epoch, number, time_ms: *time_ms, wall_ms: *wall_ms, calls }
            }
            Decoded::Batch { commands: Err(error), .. } => {
                panic!("invariant: services propose what can be read: {error}")
            }
            Decoded::Undecodable => panic!("invariant: services propose what can be decoded"),
        }
    }
}

/// What may come next: the view of the next epoch, or the batch of this number in the
/// present one.
#[derive(Debug, Default)]
pub(super) struct Due {
    epoch: Epoch,
    number: BatchNumber,
}

impl Due {
    /// A view counts only if it names the epoch before it; a batch only in its epoch and
    /// in its order. Everything else is void.
    pub(super) fn invariant_only_what_is_due_takes_effect(
        &mut self,
        slot: Slot,
        turn: &Turn,
        outcome: &SlotOutcome,
    ) {
        let Self { epoch, number } = *self;
        let is_due = match turn {
            Turn::Noop => true,
            Turn::View(view) => view.epoch == epoch.next(),
            Turn::Batch { epoch: its, number: of, .. } => (*its, *of) == (epoch, number),
        };
        let took_effect = !matches!(outcome, SlotOutcome::Void(_));
        assert_eq!(
            took_effect, is_due,
            "invariant: what is due takes effect, and nothing else: {turn:?} at {slot} came to \
             {outcome:?} when batch {number} of \
             epoch {epoch} was due"
        );
        match turn {
            Turn::View(view) if is_due => {
                *self = Self { epoch: view.epoch, number: BatchNumber(0) }
            }
            Turn::Batch { .. } if is_due => self.number = number.next(),
            Turn::Noop | Turn::View(_) | Turn::Batch { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use replica::machine::outcome::VoidReason;
    use shared::ids::Instance;

    use super::*;
    use crate::simulation::run::failure::watch;

    fn view(epoch: u64) -> View {
        let primary = "replica-1".parse().unwrap();
        View {
            epoch: Epoch(epoch),
            primary,
            primary_instance: Instance(1),
            backups: Vec::new(),
            format: shared::ids::LogFormat::FIRST,
        }
    }

    fn batch(epoch: u64, number: u64) -> (Turn, SlotOutcome) {
        let (epoch, number) = (Epoch(epoch), BatchNumber(number));
        let turn = Turn::Batch { epoch, number, time_ms: 0, wall_ms: 0, calls: Vec::new() };
        (turn, SlotOutcome::Batch { epoch, number, commands: Vec::new() })
    }

    fn holds(due: &mut Due, (turn, outcome): (Turn, SlotOutcome)) -> bool {
        watch(|| due.invariant_only_what_is_due_takes_effect(Slot(0), &turn, &outcome)).is_ok()
    }

    #[test]
    fn only_the_next_view_and_the_next_batch_of_the_present_epoch_may_take_effect() {
        let mut due = Due::default();
        assert!(
            !holds(&mut due, (Turn::View(view(2)), SlotOutcome::View(view(2)))),
            "epoch 2 follows epoch 1"
        );
        assert!(holds(&mut due, (Turn::View(view(1)), SlotOutcome::View(view(1)))));
        assert!(!holds(&mut due, batch(0, 0)), "the old primary");
        assert!(!holds(&mut due, batch(1, 1)), "too early");
        assert!(holds(&mut due, batch(1, 0)));
        assert!(!holds(&mut due, batch(1, 0)), "twice");
        let void = SlotOutcome::Void(VoidReason::Undecodable);
        assert!(!holds(&mut due, (batch(1, 1).0, void.clone())), "what is due is not void");
        assert!(holds(&mut due, (batch(1, 2).0, void)));
        assert!(holds(&mut due, (Turn::Noop, SlotOutcome::Noop)));
    }
}
