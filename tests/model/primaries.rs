//! Changes of primary: is every mutation executed at most once, and is what clients hear
//! true?
//!
//! Two replicas' cores with their databases, and the log that consensus chooses, which is
//! all that they see of coordinators and acceptors. Whatever was ever proposed may be
//! chosen at any later time, more than once (a batch that is proposed again after its
//! leader fell), in any order, or never. Leaders propose views as they like, for this
//! epoch or for one that has passed. A replica hears of its own batch's slot before,
//! after or without those below it; learns the rest some time; executes some time; is
//! killed and starts again, with what it had executed or with nothing.

mod member;
mod properties;
mod state;

use std::sync::Arc;

use replica::replica::event::Role;
use shared::ids::Slot;
use stateright::{Model, Property};

use self::member::{Member, Stepped};
use self::state::{REPLICAS, State};
use crate::check::explore;
use crate::memo::{Memo, join};

/// The bounds.
#[derive(Debug)]
pub(crate) struct Primaries {
    slots: usize,
    views: u64,
    mutations: u64,
    restarts: u64,
    pipeline: usize,
    stepped: Memo<Stepped>,
}

/// One step of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A client asks a replica that believes to be primary for a mutation.
    Mutate { replica: usize },
    /// The client gives up.
    Cancel { mutation: u64 },
    /// A leader has a view chosen.
    ChooseView { epoch: u64, primary: usize },
    /// A batch that was proposed is chosen, by its digest.
    ChooseBatch { batch: u64 },
    /// A primary hears that its batch is chosen at a slot.
    Hear { replica: usize, slot: Slot },
    /// A replica learns the first slot that it doesn't know.
    Learn { replica: usize },
    /// A replica executes what it has learned.
    Execute { replica: usize },
    /// A replica is killed, and starts again on its database.
    Restart { replica: usize },
    /// A replica loses its disk, and starts again.
    Wipe { replica: usize },
}

impl Primaries {
    fn new(slots: usize, views: u64, mutations: u64) -> Self {
        Self { slots, views, mutations, restarts: 0, pipeline: 1, stepped: Memo::default() }
    }

    fn actions_of(&self, state: &State, replica: usize, actions: &mut Vec<Action>) {
        let member = &state.members[replica];
        if member.core.role() == Role::Primary && state.mutations < self.mutations {
            actions.push(Action::Mutate { replica });
        }
        let learned_below = member.learned_below();
        if (learned_below.0 as usize) < state.log.len() {
            actions.push(Action::Learn { replica });
        }
        let own = (0..state.log.len())
            .filter(|slot| member.proposed.contains_key(&state.log[*slot].digest));
        let own = own.map(|slot| Slot(slot as u64)).filter(|slot| *slot > learned_below);
        actions.extend(own.map(|slot| Action::Hear { replica, slot }));
        if member.run.is_some() {
            actions.push(Action::Execute { replica });
        }
        if state.restarts < self.restarts {
            actions.extend([Action::Restart { replica }, Action::Wipe { replica }]);
        }
    }

    /// Lets a replica take a step, and takes note of what it proposes and answers.
    fn step(
        &self,
        state: &mut State,
        replica: usize,
        input: u64,
        step: impl FnOnce(&Member) -> Stepped,
    ) {
        let before = &state.members[replica];
        let key = join(join(before.digest, replica as u64), input);
        let stepped = self.stepped.recall(key, || step(before));
        state.go_on(replica, stepped);
    }
}

impl Model for Primaries {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::initial(self.pipeline)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        (0..REPLICAS).for_each(|replica| self.actions_of(state, replica, actions));
        actions.extend(state.open.keys().map(|id| Action::Cancel { mutation: id.0 }));
        if state.log.len() < self.slots {
            actions.extend(state.batches.keys().map(|batch| Action::ChooseBatch { batch: *batch }));
            if state.views < self.views {
                let epoch = state.epoch();
                // Before the first view the replicas are alike.
                let (epochs, replicas) =
                    if epoch == 0 { (1..=1, 1) } else { (epoch..=epoch + 1, REPLICAS) };
                actions.extend(epochs.flat_map(|epoch| {
                    (0..replicas).map(move |primary| Action::ChooseView { epoch, primary })
                }));
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Mutate { replica } => {
                let mutation = state.mutations;
                state.begin_mutation(replica);
                self.step(&mut state, replica, join(1, mutation), |member| member.mutate(mutation));
            }
            Action::Cancel { mutation } => {
                let replica = state
                    .open
                    .iter()
                    .find(|(id, _)| id.0 == mutation)
                    .map(|(_, replica)| *replica)?;
                self.step(&mut state, replica, join(2, mutation), |member| member.cancel(mutation));
            }
            Action::ChooseView { epoch, primary } => {
                state.views += 1;
                let view = state.view(epoch, primary);
                state.choose(view);
            }
            Action::ChooseBatch { batch } => {
                let value = state.batches[&batch].value.clone();
                state.choose(value);
            }
            Action::Hear { replica, slot } => {
                let entry = state.entry(slot);
                let input = join(join(3, slot.0), state.log[slot.0 as usize].digest);
                self.step(&mut state, replica, input, |member| member.hear(&entry));
            }
            Action::Learn { replica } => {
                let entry = state.entry(state.members[replica].learned_below());
                let input = join(join(4, entry.slot.0), state.log[entry.slot.0 as usize].digest);
                self.step(&mut state, replica, input, |member| member.learn(&entry));
            }
            Action::Execute { replica } => self.step(&mut state, replica, 5, Member::execute),
            Action::Restart { replica } => {
                state.restarts += 1;
                state.abandon(replica);
                state.members[replica] = Arc::new(state.members[replica].restarted());
            }
            Action::Wipe { replica } => {
                state.restarts += 1;
                state.abandon(replica);
                state.members[replica] = Arc::new(state.members[replica].wiped());
            }
        }
        state.refresh_digest();
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self.restarts > 0, self.pipeline > 1)
    }
}

#[test]
fn mutations_are_executed_once_over_changes_of_primary() {
    explore("primaries: 4 slots, 2 views, 2 mutations", Primaries::new(4, 2, 2));
}

#[test]
fn mutations_are_executed_once_though_replicas_restart_or_lose_their_disk() {
    explore(
        "primaries: 4 slots, 2 views, 1 mutation, 1 restart",
        Primaries { restarts: 1, ..Primaries::new(4, 2, 1) },
    );
}

#[test]
fn mutations_are_executed_once_though_batches_fly_together() {
    explore(
        "primaries: 4 slots, 2 views, 2 mutations, 2 batches fly",
        Primaries { pipeline: 2, ..Primaries::new(4, 2, 2) },
    );
}

mod large {
    use super::*;

    #[test]
    #[ignore = "5 million transitions; see main.rs"]
    fn mutations_are_executed_once_over_many_changes_of_primary() {
        explore("primaries: 5 slots, 3 views, 2 mutations", Primaries::new(5, 3, 2));
    }

    #[test]
    #[ignore = "2 million transitions; see main.rs"]
    fn two_mutations_are_executed_once_though_replicas_restart() {
        explore(
            "primaries: 4 slots, 2 views, 2 mutations, 1 restart",
            Primaries { restarts: 1, ..Primaries::new(4, 2, 2) },
        );
    }

    #[test]
    #[ignore = "5 million transitions; see main.rs"]
    fn mutations_are_executed_once_though_batches_fly_together_and_are_chosen_again() {
        let (name, pipeline) = ("primaries: 5 slots, 2 views, 2 mutations, 2 batches fly", 2);
        explore(name, Primaries { pipeline, ..Primaries::new(5, 2, 2) });
    }
}
