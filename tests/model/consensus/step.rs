//! What can happen in a state, and what comes of it.

mod forget;
mod possible;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use shared::ids::{Ballot, Slot};
use shared::message::{Phase, SuccessionRequest, Watermarks};
use stateright::{Model, Property};

use super::action::{Action, Fate, Polls};
use super::candidate::{Answers, Batches, Candidate, Stepped, initial_watermarks};
use super::message::{Mail, Reply, Request, digest_of};
use super::properties;
use super::scope::{Disk, Polled, Scope};
use super::state::{State, coordinator_id};
use super::voter::{Voted, Voter};
use crate::cluster::{ACCEPTORS, acceptor_id};
use crate::memo::{Memo, join};

// Inputs without a digest of their own.
const PROPOSE: u64 = 1;
const TICK: u64 = 2;
const TRIM: u64 = 3;
const NUDGE: u64 = 4;
const SYNC: u64 = 5;
const CRASH: u64 = 6;
const STAND: u8 = 7;
const STOP: u64 = 8;
const SEAL: u64 = 9;
const OPEN: u64 = 10;

/// All behaviours within a scope.
#[derive(Debug)]
pub(crate) struct Consensus {
    pub(crate) scope: Scope,
    stepped: Memo<Stepped>,
    voted: Memo<Voted>,
    /// Whether a higher ballot ever ended a Phase 1, and a leadership. Seen in steps, so
    /// no state shows it.
    pub(crate) outbid_in_phase1: AtomicBool,
    pub(crate) outbid_in_phase2: AtomicBool,
}

impl Model for Consensus {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::initial(&self.scope)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_none() && !self.is_over(state) {
            (0..state.coordinators.len())
                .for_each(|place| self.actions_of_coordinator(state, place, actions));
            (0..ACCEPTORS).for_each(|place| self.actions_of_acceptor(state, place, actions));
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        if let Err(what) = self.act(&mut state, &action) {
            state.broken = Some(what.into());
        }
        self.forget(before, &mut state);
        state.refresh_digest();
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(&self.scope)
    }
}

impl Consensus {
    pub(crate) fn new(scope: Scope) -> Self {
        let (outbid_in_phase1, outbid_in_phase2) = Default::default();
        Self {
            scope,
            stepped: Memo::default(),
            voted: Memo::default(),
            outbid_in_phase1,
            outbid_in_phase2,
        }
    }

    fn act(&self, state: &mut State, action: &Action) -> Result<(), String> {
        match *action {
            Action::Stand { coordinator, polls } => {
                let batches = if state.ballots < self.scope.proposing_ballots {
                    Batches::All
                } else {
                    Batches::None
                };
                state.ballots += 1;
                let answers = self.answers(state, polls);
                let input = digest_of(STAND, &(&answers, batches == Batches::All));
                self.step(state, coordinator, input, |candidate| candidate.stand(&answers, batches))
            }
            Action::Propose { coordinator } => {
                let batch =
                    state.coordinators[coordinator].next_batch(self.scope.batches[coordinator]);
                let batch = batch.expect("the action is there only if there is one");
                self.step(state, coordinator, PROPOSE, |candidate| candidate.propose(batch))
            }
            Action::Tick { coordinator } => {
                state.ticks += 1;
                self.step(state, coordinator, TICK, Candidate::tick)
            }
            Action::Trim { coordinator } => {
                state.ticks += 1;
                self.step(state, coordinator, TRIM, Candidate::trim)
            }
            Action::Stop { coordinator } => {
                state.ticks += 1;
                self.step(state, coordinator, STOP, Candidate::stop)
            }
            Action::Nudge { coordinator } => {
                state.ticks += 1;
                let below = state
                    .acceptors
                    .iter()
                    .map(|voter| voter.on_disk.marks().voted_below)
                    .max()
                    .unwrap_or_default();
                self.step(state, coordinator, key(0, NUDGE, below.0), |candidate| {
                    candidate.nudge(below)
                })
            }
            Action::Restart { coordinator } => {
                state.restarts += 1;
                let id = coordinator_id(coordinator, state.restarts);
                state.coordinators[coordinator] = Arc::new(Candidate::new(&self.scope, id));
                Ok(())
            }
            Action::Process { acceptor, request, reply } => {
                let message = Arc::clone(&state.inboxes[acceptor].messages[&request]);
                match self.scope.disk {
                    Disk::Immediate => {
                        self.vote(state, acceptor, request, |voter| voter.answer(&message), reply)
                    }
                    Disk::Delayed => {
                        self.vote(state, acceptor, request, |voter| voter.decide(&message), reply)
                    }
                }
            }
            Action::Sync { acceptor, replies } => {
                self.vote(state, acceptor, SYNC, Voter::sync, replies)
            }
            Action::Crash { acceptor } => {
                self.vote(state, acceptor, CRASH, Voter::crash, Fate::Lost)
            }
            Action::Seal { acceptor } => {
                let succession = state.ended().expect("the action is there only if it is chosen");
                let (input, request) =
                    (key(0, SEAL, succession.begin().0), SuccessionRequest::Seal(succession));
                self.vote(state, acceptor, input, |voter| voter.succeed(&request), Fate::Lost)
            }
            Action::Open { acceptor } => {
                let succession = state.ended().expect("the action is there only if it is chosen");
                let (input, request) =
                    (key(0, OPEN, succession.begin().0), SuccessionRequest::Open(succession));
                self.vote(state, acceptor, input, |voter| voter.succeed(&request), Fate::Lost)
            }
            Action::Receive { acceptor, reply } => {
                let message = Arc::clone(&state.outboxes[acceptor].messages[&reply]);
                self.receive(state, acceptor, reply, &message)
            }
        }
    }

    fn answers(&self, state: &State, polls: Polls) -> Answers {
        let answer = |voter: &Arc<Voter>| match self.scope.polls {
            Polled::Nothing => initial_watermarks(voter.core.id()),
            Polled::Marks => Watermarks { promised: None, ..voter.watermarks() },
            Polled::MarksAndPromises => voter.watermarks(),
        };
        std::array::from_fn(|place| match polls {
            Polls::Initial => Some(initial_watermarks(acceptor_id(place))),
            Polls::Without(silent) => (silent != place).then(|| answer(&state.acceptors[place])),
        })
    }

    /// Lets a coordinator take a step, sends what it sends, and checks what it says.
    fn step(
        &self,
        state: &mut State,
        place: usize,
        input: u64,
        step: impl FnOnce(&Candidate) -> Stepped,
    ) -> Result<(), String> {
        let before = &state.coordinators[place];
        let (candidate, said) =
            self.stepped.recall(key(place, before.digest, input), || step(before))?;
        state.coordinators[place] = candidate;
        match said.outbid {
            Some(Phase::Phase1) => self.outbid_in_phase1.store(true, Ordering::Relaxed),
            Some(Phase::Phase2) => self.outbid_in_phase2.store(true, Ordering::Relaxed),
            Some(Phase::Inactive) | None => {}
        }
        for (to, digest, request) in &said.sent {
            send(state, *to, *digest, request)?;
        }
        match said.claims.iter().find(|(slot, value)| !state.is_chosen(*slot, value)) {
            Some((slot, value)) => Err(format!(
                "a coordinator says that {value:?} is chosen in slot {slot}, which it is not"
            )),
            None => Ok(()),
        }
    }

    /// Lets an acceptor take a step, counts its votes, and does with its replies what is
    /// to become of them.
    fn vote(
        &self,
        state: &mut State,
        place: usize,
        input: u64,
        vote: impl FnOnce(&Voter) -> Voted,
        fate: Fate,
    ) -> Result<(), String> {
        let before = Arc::clone(&state.acceptors[place]);
        let (voter, replies) =
            self.voted.recall(key(place, before.digest, input), || vote(&before))?;
        state.acceptors[place] = voter;
        if state.acceptors[place].votes.len() != before.votes.len() {
            state.count_votes();
        }
        for (digest, reply) in &replies {
            match fate {
                Fate::Lost => {}
                Fate::Arrives => self.receive(state, place, *digest, reply)?,
                Fate::Sent => Mail::add(&mut state.outboxes[place], *digest, reply),
            }
        }
        Ok(())
    }

    /// Brings a reply to the coordinator whose request it answers, if that still lives.
    fn receive(
        &self,
        state: &mut State,
        acceptor: usize,
        digest: u64,
        reply: &Reply,
    ) -> Result<(), String> {
        let sender = reply.ballot().coordinator;
        let receiver =
            state.coordinators.iter().position(|candidate| candidate.core.id() == sender);
        receiver.map_or(Ok(()), |coordinator| {
            self.step(state, coordinator, received(acceptor, digest), |candidate| {
                candidate.receive(acceptor, reply)
            })
        })
    }
}

/// Names an input in a state of a place.
fn key(place: usize, state: u64, input: u64) -> u64 {
    join(join(place as u64, state), input)
}

/// Names the input that is a reply.
fn received(acceptor: usize, digest: u64) -> u64 {
    join(acceptor as u64, digest)
}

fn send(state: &mut State, to: usize, digest: u64, request: &Arc<Request>) -> Result<(), String> {
    match &**request {
        Request::Prepare(_) => {}
        Request::Accept(accept) => {
            accept.proposals.iter().try_for_each(|proposal| {
                propose(state, proposal.slot, accept.ballot, &proposal.value)
            })?;
        }
    }
    if !request.is_empty() {
        Mail::add(&mut state.inboxes[to], digest, request);
    }
    Ok(())
}

fn propose(state: &mut State, slot: Slot, ballot: Ballot, value: &Bytes) -> Result<(), String> {
    match state.proposed.get(&(slot, ballot)) {
        Some(before) if before == value => Ok(()),
        Some(before) => Err(format!(
            "two values proposed for slot {slot} at ballot {ballot}: {before:?} and {value:?}"
        )),
        None => {
            Arc::make_mut(&mut state.proposed).insert((slot, ballot), value.clone());
            Ok(())
        }
    }
}
