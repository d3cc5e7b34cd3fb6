//! What must always hold of replicas and their clients, and what must be possible for
//! that to mean anything.

use replica::machine::execute::{SlotOutcome, VoidReason};
use replica::replica::event::Role;
use shared::ids::{Epoch, Instance, Name};
use stateright::Property;

use super::Primaries;
use super::state::{Chosen, ClientOutcome, State};

type Checked = Property<Primaries>;

/// The properties of a model, with or without restarts and batches that fly together.
pub(crate) fn all(restarts: bool, pipeline: bool) -> Vec<Checked> {
    let mut properties = always();
    properties.extend(sometimes());
    if restarts {
        properties.extend([
            Checked::sometimes(
                "a replica starts again with nothing and executes the log anew",
                |_, state| {
                    state.members.iter().any(|member| {
                        member.instance > Instance(1)
                            && member.database().meta().executed_below.0 > 1
                    })
                },
            ),
            Checked::sometimes(
                "a primary in its second life waits for a view of its own",
                |_, state| {
                    state.members.iter().any(|member| {
                        let view = member.database().meta().view.as_ref();
                        view.is_some_and(|view| {
                            view.primary == member.name && view.primary_instance != member.instance
                        })
                    })
                },
            ),
        ]);
    }
    if pipeline {
        properties.push(Checked::sometimes(
            "a batch is void out of order, and executed later",
            |_, state| {
                let void = |chosen: &Chosen| {
                    matches!(
                        chosen.executed.outcome,
                        SlotOutcome::Void(VoidReason::OutOfOrder { .. })
                    )
                };
                let later = |at: usize| {
                    state.log[at..]
                        .iter()
                        .filter(|chosen| chosen.digest == state.log[at].digest)
                        .any(is_executed)
                };
                (0..state.log.len()).any(|at| void(&state.log[at]) && later(at))
            },
        ));
    }
    properties
}

fn always() -> Vec<Checked> {
    vec![
        Checked::always("no replica breaks an invariant of its own", |_, state| {
            state.broken.is_none()
        }),
        Checked::always("a mutation is executed at most once", |_, state| {
            state.open.keys().chain(state.heard.keys()).all(|id| state.executions(*id).len() <= 1)
        }),
        Checked::always("what clients hear is true, and stays true", |_, state| {
            state.heard.iter().all(|(id, heard)| match heard {
                ClientOutcome::Executed(slot) => state.executions(*id) == [*slot],
                ClientOutcome::NotApplied => state.executions(*id).is_empty(),
                ClientOutcome::Unknown => true,
            })
        }),
        Checked::always(
            "what is executed in an epoch was made by its one primary",
            each_epoch_has_one_primary,
        ),
        Checked::always("no two batches have the number of one another", |_, state| {
            let numbers = || state.batches.values().map(|batch| (batch.epoch, batch.number));
            numbers()
                .enumerate()
                .all(|(at, number)| !numbers().skip(at + 1).any(|other| other == number))
        }),
        Checked::always("replicas that executed as much are in one state", |_, state| {
            state.members.iter().all(|member| {
                let executed = member.database().meta().executed_below.0 as usize;
                let Some(last) = executed.checked_sub(1) else { return true };
                member.database().digest() == state.log[last].state.digest()
            })
        }),
    ]
}

fn sometimes() -> Vec<Checked> {
    vec![
        Checked::sometimes("a client hears that its mutation was executed", |_, state| {
            state.heard.values().any(|heard| matches!(heard, ClientOutcome::Executed(_)))
        }),
        Checked::sometimes("two replicas take themselves for primary", |_, state| {
            state.members.iter().all(|member| member.core.role() == Role::Primary)
        }),
        Checked::sometimes("the batch of a deposed primary is void", |_, state| {
            let void = |chosen: &Chosen| {
                matches!(chosen.executed.outcome, SlotOutcome::Void(VoidReason::OtherEpoch { .. }))
            };
            state.log.iter().any(void)
        }),
        Checked::sometimes("a batch that is chosen twice is executed once", |_, state| {
            state.log.iter().any(|chosen| {
                is_executed(chosen)
                    && state.log.iter().filter(|other| other.digest == chosen.digest).count() > 1
            })
        }),
        Checked::sometimes(
            "a mutation is not applied because another primary took over",
            |_, state| state.heard.values().any(|heard| *heard == ClientOutcome::NotApplied),
        ),
        Checked::sometimes(
            "a mutation goes over into the next epoch of its primary and is executed there",
            |_, state| {
                state.heard.iter().any(|(id, heard)| {
                    let batches =
                        state.batches.values().filter(|batch| contains(&batch.value, id.0)).count();
                    batches > 1 && matches!(heard, ClientOutcome::Executed(_))
                })
            },
        ),
        Checked::sometimes("a mutation that was given up is executed", |_, state| {
            state.heard.iter().any(|(id, heard)| {
                *heard == ClientOutcome::Unknown && !state.executions(*id).is_empty()
            })
        }),
    ]
}

fn is_executed(chosen: &Chosen) -> bool {
    matches!(chosen.executed.outcome, SlotOutcome::Batch { .. })
}

fn contains(value: &[u8], mutation: u64) -> bool {
    let key = super::member::key_of(mutation);
    value.windows(key.len()).any(|window| window == key.as_bytes())
}

fn each_epoch_has_one_primary(_: &Primaries, state: &State) -> bool {
    let mut primary: Option<(Epoch, (Name, Instance))> = None;
    state.log.iter().all(|chosen| match &chosen.executed.outcome {
        SlotOutcome::View(view) => {
            primary = Some((view.epoch, (view.primary.clone(), view.primary_instance)));
            true
        }
        SlotOutcome::Batch { epoch, .. } => {
            let author = &state.batches[&chosen.digest].author;
            primary.as_ref().is_some_and(|(of, primary)| of == epoch && primary == author)
        }
        SlotOutcome::Noop | SlotOutcome::Void(_) => true,
    })
}
