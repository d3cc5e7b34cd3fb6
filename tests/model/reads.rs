//! Quorum reads: does a read see everything that was chosen before it began, whatever
//! acceptors vote and messages do meanwhile?
//!
//! One replica's core, reading; the acceptors' cores, voting for the slots of one leader
//! in any order. What a quorum has voted for is chosen, and may reach the replica then or
//! later. A probe's questions reach an acceptor at any time after they were sent, and its
//! answers the replica at any time after that, or never, or twice; the answers to earlier
//! probes come too. A read must not be released from a state that lacks a slot that was
//! chosen when the read arrived. (What other replicas had executed by then was chosen by
//! then, so this is linearizability for reads at any replica.)

mod reader;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use replica::replica::event::{FetchId, Input, NoAnswer, ProbeId, RequestId, Timer};
use shared::ids::Slot;
use shared::message::{ChosenEntry, ChosenReply, Value, Watermarks};
use stateright::{Model, Property};

use self::reader::{Reader, Released, Stepped};
use self::state::{BALLOT, State, acceptor, vote, watermarks};
use crate::check::explore;
use crate::cluster::{ACCEPTORS, ours};
use crate::memo::{Memo, join};

/// The bounds.
#[derive(Debug)]
struct QuorumReads {
    slots: u64,
    reads: u64,
    probes: u64,
    stepped: Memo<Stepped>,
}

/// One step of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// An acceptor votes for the leader's value in a slot.
    Vote { acceptor: usize, slot: Slot },
    /// A client asks for a read.
    Read,
    /// The timer of the probes fires.
    Timer,
    /// An acceptor answers a probe.
    Answer { probe: ProbeId, acceptor: usize },
    /// The answer arrives.
    Receive { probe: ProbeId, acceptor: usize },
    /// The replica finds that no answer will come.
    Fail { probe: ProbeId },
    /// The replica learns the next chosen slot.
    Learn,
    /// What it has learned is executed.
    Execute,
}

impl Model for QuorumReads {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            acceptors: std::array::from_fn(acceptor),
            reader: Arc::new(Reader::new()),
            answers: BTreeMap::new(),
            failed: BTreeSet::new(),
            waiting: BTreeMap::new(),
            reads: 0,
            released: Vec::new(),
            broken: None,
            digest: 0,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let latest = state.reader.latest_probe();
        if state.broken.is_some() {
            return;
        }
        for acceptor in 0..ACCEPTORS {
            let slots = (0..self.slots).map(Slot).filter(|slot| !state.has_voted(acceptor, *slot));
            actions.extend(slots.map(|slot| Action::Vote { acceptor, slot }));
            for probe in (2..=latest.0).map(ProbeId) {
                let is_answered = state.answers.contains_key(&(probe, acceptor));
                actions.push(if is_answered {
                    Action::Receive { probe, acceptor }
                } else {
                    Action::Answer { probe, acceptor }
                });
            }
        }
        if state.reads < self.reads {
            actions.push(Action::Read);
        }
        if latest.0 < self.probes {
            actions.push(Action::Timer);
            if latest.0 > 1 && !state.failed.contains(&latest) {
                actions.push(Action::Fail { probe: latest });
            }
        }
        if state.is_chosen(state.reader.core.status(Duration::ZERO).learned_below) {
            actions.push(Action::Learn);
        }
        if state.reader.run.is_some() {
            actions.push(Action::Execute);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut state = state.clone();
        state.released.clear();
        match action {
            Action::Vote { acceptor, slot } => vote(&mut state.acceptors[acceptor], slot),
            Action::Read => {
                let id = RequestId(state.reads);
                state.reads += 1;
                state.waiting.insert(id, state.chosen_up_to(self.slots));
                self.step(&mut state, join(1, id.0), |reader, released| {
                    reader.take(Input::Reads { ids: vec![id] }, released)
                });
            }
            Action::Timer => {
                self.step(&mut state, 2, |reader, released| {
                    reader.take(Input::Fired(Timer::Probe), released)
                });
            }
            Action::Answer { probe, acceptor } => {
                state.answers.insert((probe, acceptor), watermarks(&state.acceptors[acceptor]));
            }
            Action::Receive { probe, acceptor } => {
                let answer = state.answers[&(probe, acceptor)].clone();
                let received = self.received(&state.reader, probe, acceptor, &answer);
                state.go_on(received);
            }
            Action::Fail { probe } => {
                state.failed.insert(probe);
                let reply = Input::ProbeReply { probe, reply: Err(NoAnswer) };
                self.step(&mut state, join(4, probe.0), |reader, released| {
                    reader.take(reply, released)
                });
            }
            Action::Learn => {
                let slot = state.reader.core.status(Duration::ZERO).learned_below;
                let entry = ChosenEntry { slot, ballot: BALLOT, value: Value::Noop.encode() };
                let reply = Ok(ChosenReply::Entries {
                    entries: vec![entry],
                    chosen_below: slot.next(),
                    previous: None,
                });
                let learned = Input::Fetched { fetch: FetchId(0), reply: reply.map(ours) };
                self.step(&mut state, join(5, slot.0), |reader, released| {
                    reader.take(learned, released)
                });
            }
            Action::Execute => self.step(&mut state, 6, Reader::execute),
        }
        self.forget(&mut state);
        state.refresh_digest();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always(
                "a read sees all that was chosen before it began",
                |_, state| state.broken.is_none(),
            ),
            Property::<Self>::sometimes("a read is released", |_, state| {
                !state.released.is_empty()
            }),
            Property::<Self>::sometimes("a read waits for what is not executed", |_, state| {
                let executed_below = state.reader.core.status(Duration::ZERO).executed_below;
                // It is asked about already, and executing what it waits for would
                // release it.
                state.reader.run.is_some()
                    && state.waiting.values().any(|bound| *bound > executed_below)
                    && {
                        let released = state
                            .reader
                            .step(Reader::execute)
                            .map(|(_, released)| released)
                            .unwrap_or_default();
                        let mut ids = released.iter().flat_map(|released| &released.ids);
                        ids.any(|id| {
                            state.waiting.get(id).is_some_and(|bound| *bound > executed_below)
                        })
                    }
            }),
            Property::<Self>::sometimes("reads share a probe", |_, state| {
                state.released.iter().any(|released| released.ids.len() > 1)
            }),
            Property::<Self>::sometimes(
                "a read is released beside a vote that is not chosen",
                |model, state| {
                    let voted =
                        state.acceptors.iter().map(|acceptor| acceptor.marks().voted_below).max();
                    !state.released.is_empty() && voted > Some(state.chosen_up_to(model.slots))
                },
            ),
            Property::<Self>::sometimes(
                "a read is released from a state with all slots",
                |model, state| {
                    state
                        .released
                        .iter()
                        .any(|released| released.executed_below == Slot(model.slots))
                },
            ),
        ]
    }
}

impl QuorumReads {
    fn new(slots: u64, reads: u64, probes: u64) -> Self {
        Self { slots, reads, probes, stepped: Memo::default() }
    }

    /// What the replica makes of an answer.
    fn received(
        &self,
        reader: &Reader,
        probe: ProbeId,
        acceptor: usize,
        answer: &Watermarks,
    ) -> Stepped {
        let key = join(
            join(reader.digest, 7),
            join(probe.0, join(acceptor as u64, answer.marks.voted_below.0)),
        );
        let reply = || Input::ProbeReply { probe, reply: Ok(answer.clone()) };
        self.stepped.recall(key, || reader.step(|reader, released| reader.take(reply(), released)))
    }

    /// Forgets answers that change nothing: an answer to a probe that is over, or by an
    /// acceptor that has answered it, never will.
    fn forget(&self, state: &mut State) {
        let State { answers, reader, .. } = state;
        answers.retain(|(probe, acceptor), answer| {
            let received = self.received(reader, *probe, *acceptor, answer);
            received.map_or(true, |(after, _)| after.digest != reader.digest)
        });
    }

    /// Lets the replica take a step, and checks what it releases.
    fn step(
        &self,
        state: &mut State,
        input: u64,
        step: impl FnOnce(&mut Reader, &mut Vec<Released>),
    ) {
        let reader = &state.reader;
        let stepped = self.stepped.recall(join(reader.digest, input), || reader.step(step));
        state.go_on(stepped);
    }
}

#[test]
fn a_read_sees_what_was_chosen_before_it_though_it_shares_probes() {
    explore("reads: 1 slot, 2 reads, 3 probes", QuorumReads::new(1, 2, 3));
}

#[test]
fn a_read_sees_what_was_chosen_before_it_though_slots_are_chosen_out_of_order() {
    explore("reads: 2 slots, 2 reads, 2 probes", QuorumReads::new(2, 2, 2));
}

#[test]
#[ignore = "9 million transitions; see main.rs"]
fn a_read_sees_what_was_chosen_before_it_over_many_probes() {
    explore("reads: 2 slots, 2 reads, 3 probes", QuorumReads::new(2, 2, 3));
}
