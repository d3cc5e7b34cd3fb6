//! What must always hold, and what must be possible for that to mean anything.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use coordinator::recover::{RecoverError, recover};
use shared::ids::{Ballot, CoordinatorId, Slot};
use shared::message::{Phase, PrepareReply, Succession, Value, VotesPage};
use stateright::Property;

use super::message::{Reply, Request};
use super::scope::{Disk, Impatience, Replicas, Replies, Scope, Successions};
use super::state::{State, coordinator_id};
use super::step::Consensus;
use super::voter::Voter;
use crate::cluster::{ACCEPTORS, QUORUM, roster};

type Checked = Property<Consensus>;

/// The properties of a model within a scope.
pub(crate) fn all(scope: &Scope) -> Vec<Checked> {
    let mut properties = always();
    properties.extend(sometimes());
    properties.extend(sometimes_within(scope));
    properties
}

fn always() -> Vec<Checked> {
    vec![
        Checked::always(
            "no core breaks an invariant of its own or says what is not so",
            |_, state| state.broken.is_none(),
        ),
        Checked::always("at most one value is chosen in a slot", |_, state| {
            state.chosen.values().all(|values| values.len() == 1)
        }),
        Checked::always(
            "only what was proposed is chosen, or a no-op",
            only_proposed_values_are_chosen,
        ),
        Checked::always("nothing is chosen after the end of a generation", |_, state| {
            stops(state).all(|stop| state.chosen.keys().all(|slot| *slot <= stop))
        }),
        Checked::always(
            "no vote of a generation counts in the next",
            no_vote_counts_in_the_next_generation,
        ),
        Checked::always(
            "whatever is proposed after a choice is the choice",
            later_proposals_carry_the_choice,
        ),
        Checked::always(
            "what a coordinator or an acceptor takes for chosen is chosen",
            beliefs_are_true,
        ),
        Checked::always("a quorum's votes tell what is chosen", any_quorum_recovers_the_choice),
        Checked::always(
            "a quorum's watermarks are above all that is chosen",
            any_quorum_is_above_the_choice,
        ),
        Checked::always(
            "an acceptor keeps every promise that it told of, also over a crash",
            promises_are_kept,
        ),
    ]
}

fn sometimes() -> Vec<Checked> {
    vec![
        Checked::sometimes("the first coordinator leads", |_, state| leads(state, 0)),
        Checked::sometimes("the second coordinator leads", |_, state| leads(state, 1)),
        Checked::sometimes("both believe to lead", |_, state| leads(state, 0) && leads(state, 1)),
        Checked::sometimes("a value is chosen", |_, state| !state.chosen.is_empty()),
        Checked::sometimes("a value is chosen again at a higher ballot", |_, state| {
            state
                .chosen
                .values()
                .flat_map(|values| values.values())
                .any(|ballots| ballots.len() > 1)
        }),
        Checked::sometimes(
            "a leader proposes again what an earlier one could not bring to its choice",
            repeats_what_is_unchosen,
        ),
        Checked::sometimes("a refusal ends a Phase 1", |model, _| {
            model.outbid_in_phase1.load(Ordering::Relaxed)
        }),
        Checked::sometimes("a refusal ends a leadership", |model, _| {
            model.outbid_in_phase2.load(Ordering::Relaxed)
        }),
    ]
}

/// Where the end of a generation is chosen.
fn stops(state: &State) -> impl Iterator<Item = Slot> {
    let is_stop = |values: &std::collections::BTreeMap<Bytes, BTreeSet<Ballot>>| {
        values.keys().any(|value| Succession::of_stop(value).is_some())
    };
    state.chosen.iter().filter(move |(_, values)| is_stop(values)).map(|(slot, _)| *slot)
}

/// What the troubles of a scope must bring about.
fn sometimes_within(scope: &Scope) -> Vec<Checked> {
    let mut properties = Vec::new();
    match scope.replies {
        Replies::AtOnceOrNever => {}
        Replies::AnyTime => {
            properties.push(Checked::sometimes(
                "a promise is on its way that is outdated already",
                outdated_promise,
            ));
        }
    }
    match scope.disk {
        Disk::Immediate => {}
        Disk::Delayed => properties.push(Checked::sometimes(
            "a crash would lose a promise or a vote",
            |_, state| {
                state
                    .acceptors
                    .iter()
                    .any(|voter| voter.core.promised() != voter.on_disk.promised())
                    && state
                        .acceptors
                        .iter()
                        .any(|voter| voter.core.marks() != voter.on_disk.marks())
            },
        )),
    }
    match scope.replicas {
        Replicas::Silent => {}
        Replicas::Stop => properties.push(Checked::sometimes("a generation ends", |_, state| {
            stops(state).next().is_some()
        })),
        Replicas::TrimAndNudge => properties.extend([
            Checked::sometimes("a slot is trimmed", |_, state| trimmed(state)),
            Checked::sometimes("a leader begins above what is trimmed", |_, state| {
                trimmed(state)
                    && state.coordinators.iter().any(|candidate| {
                        candidate.core.status(Default::default()).window_start > Some(Slot(0))
                    })
            }),
            Checked::sometimes("a no-op is chosen that a reader waits for", |_, state| {
                let noop = Value::Noop.encode();
                state.chosen.values().any(|values| values.contains_key(&noop))
            }),
        ]),
    }
    match scope.successions {
        Successions::Unheard if scope.replicas == Replicas::Stop => properties
            .push(Checked::sometimes("a stop is proposed, and never chosen", is_stop_in_vain)),
        Successions::Unheard => {}
        Successions::AnyTime => properties.extend([
            Checked::sometimes("a quorum is sealed, and not opened", |_, state| {
                let is_sealed = |voter: &&Arc<Voter>| {
                    !voter.votes_in_the_first()
                        && voter.votes_page(Slot(0)).roster.as_ref() == Some(&roster())
                };
                state.acceptors.iter().filter(is_sealed).count() >= QUORUM
            }),
            Checked::sometimes("all acceptors are of the next generation", |_, state| {
                let next = state.ended().map(|succession| succession.next().roster.clone());
                next.is_some()
                    && state.acceptors.iter().all(|voter| voter.votes_page(Slot(0)).roster == next)
            }),
        ]),
    }
    match scope.impatience {
        Impatience::StandsUnlessLeading => {}
        Impatience::StandsAlways => {
            properties
                .push(Checked::sometimes("a coordinator proposes at two ballots", |_, state| {
                    rounds_of(state, coordinator_id(0, 0)) > 1
                }));
        }
    }
    if scope.restarts > 0 {
        properties.push(Checked::sometimes(
            "a coordinator proposes in its second life",
            |_, state| {
                rounds_of(state, coordinator_id(0, 1)) > 0
                    || rounds_of(state, coordinator_id(1, 1)) > 0
            },
        ));
    }
    if scope.ballots > 2 {
        properties.push(Checked::sometimes(
            "acceptors hold votes for different values",
            |_, state| {
                let values: BTreeSet<Bytes> = state
                    .acceptors
                    .iter()
                    .flat_map(|voter| voter.votes_page(Slot(0)).votes)
                    .filter(|vote| vote.slot == Slot(0))
                    .map(|vote| vote.value)
                    .collect();
                values.len() > 1
            },
        ));
    }
    if scope.batches[0].len() > 1 {
        properties.push(Checked::sometimes(
            "a hole becomes a no-op, and what is above it is proposed again",
            |_, state| {
                let noop = Value::Noop.encode();
                let (hole, above) = (
                    |ballot| state.proposed.get(&(Slot(0), ballot)),
                    |ballot| state.proposed.get(&(Slot(1), ballot)),
                );
                state
                    .proposed
                    .keys()
                    .any(|(_, ballot)| hole(*ballot) == Some(&noop) && above(*ballot).is_some())
            },
        ));
    }
    if scope.page_votes < scope.batches[0].len() {
        properties.push(Checked::sometimes("a coordinator asks for a second page", |_, state| {
            state.chosen_below() == Slot(0)
                && state.inboxes.iter().flat_map(|inbox| inbox.messages.values()).any(|request| {
                    match &**request {
                        Request::Prepare(prepare) => prepare.from > Slot(0),
                        Request::Accept(_) => false,
                    }
                })
        }));
    }
    properties
}

/// Whether a slot has another value than a stop that was proposed for it.
fn is_stop_in_vain(_: &Consensus, state: &State) -> bool {
    state.proposed.iter().any(|((slot, _), value)| {
        Succession::of_stop(value).is_some()
            && state.chosen.get(slot).is_some_and(|values| !values.contains_key(value))
    })
}

fn leads(state: &State, place: usize) -> bool {
    state.coordinators[place].core.phase() == Phase::Phase2
}

fn trimmed(state: &State) -> bool {
    state.acceptors.iter().any(|voter| voter.on_disk.marks().trimmed_below > Slot(0))
}

fn rounds_of(state: &State, coordinator: CoordinatorId) -> usize {
    let mut ballots: Vec<Ballot> = state
        .proposed
        .keys()
        .map(|(_, ballot)| *ballot)
        .filter(|ballot| ballot.coordinator == coordinator)
        .collect();
    ballots.dedup();
    ballots.len()
}

fn repeats_what_is_unchosen(_: &Consensus, state: &State) -> bool {
    let lowest = Ballot { round: 0, coordinator: coordinator_id(0, 0) };
    state.proposed.iter().any(|((slot, ballot), value)| {
        let earlier = state
            .proposed
            .range((*slot, lowest)..(*slot, *ballot))
            .any(|(_, before)| before == value);
        earlier && !state.chosen.contains_key(slot)
    })
}

fn outdated_promise(_: &Consensus, state: &State) -> bool {
    state.acceptors.iter().zip(&state.outboxes).any(|(voter, outbox)| {
        outbox.messages.values().any(|reply| match &**reply {
            Reply::Prepare(ballot, PrepareReply::Promise(_)) => {
                voter.on_disk.promised() > Some(*ballot)
            }
            Reply::Prepare(_, PrepareReply::Nack(_) | PrepareReply::Stranger(_))
            | Reply::Accept(..) => false,
        })
    })
}

fn only_proposed_values_are_chosen(model: &Consensus, state: &State) -> bool {
    let noop = Value::Noop.encode();
    let is_valid = |value: &Bytes| {
        *value == noop
            || (model.scope.replicas == Replicas::Stop && Succession::of_stop(value).is_some())
            || model.scope.batches.iter().copied().flatten().any(|batch| batch.as_bytes() == value)
    };
    state.chosen.values().flat_map(|values| values.keys()).all(is_valid)
}

/// P2b of Lamport, *Paxos Made Simple*, section 2.2.
fn later_proposals_carry_the_choice(_: &Consensus, state: &State) -> bool {
    state.chosen.iter().all(|(slot, values)| {
        values.iter().all(|(value, ballots)| {
            let first = ballots.first().expect("a chosen value has a ballot");
            let mut later =
                state.proposed.range((*slot, *first)..).take_while(|((of, _), _)| of == slot);
            later.all(|(_, proposed)| proposed == value)
        })
    })
}

fn beliefs_are_true(_: &Consensus, state: &State) -> bool {
    let chosen_below = state.chosen_below();
    state.coordinators.iter().all(|candidate| candidate.core.chosen_below() <= chosen_below)
        && state.acceptors.iter().all(|voter| voter.core.marks().chosen_below <= chosen_below)
}

/// The acceptors but one.
fn quorums() -> impl Iterator<Item = impl Iterator<Item = usize>> {
    (0..ACCEPTORS).map(|left_out| (0..ACCEPTORS).filter(move |place| *place != left_out))
}

fn any_quorum_recovers_the_choice(_: &Consensus, state: &State) -> bool {
    let known = state.coordinators.iter().map(|candidate| candidate.core.chosen_below()).max();
    let Some(known) = known.filter(|known| *known > Slot(0)) else { return true };
    quorums().all(|quorum| {
        let pages: Vec<VotesPage> =
            quorum.map(|place| state.acceptors[place].votes_page(Slot(0))).collect();
        match recover(&roster(), Slot(0), known, &pages) {
            Ok(entries) => entries.iter().all(|entry| state.is_chosen(entry.slot, &entry.value)),
            Err(RecoverError::Trimmed { .. }) => true,
            // An acceptor that has not heard of the cluster yet is no member yet, and one of a
            // later generation is none any more.
            Err(RecoverError::NoQuorum { .. }) => {
                pages.iter().any(|page| page.roster.as_ref() != Some(&roster()))
            }
            Err(RecoverError::Lost { .. }) => false,
        }
    })
}

/// Nobody leads in the next generation here, so nothing is chosen in it.
fn no_vote_counts_in_the_next_generation(_: &Consensus, state: &State) -> bool {
    let Some(succession) = state.ended() else { return true };
    let (begin, next) = (succession.begin(), &succession.next().roster);
    quorums().all(|quorum| {
        let pages: Vec<VotesPage> =
            quorum.map(|place| state.acceptors[place].votes_page(begin)).collect();
        recover(next, begin, begin.next().next(), &pages).is_err()
    })
}

/// What quorum reads rest on.
fn any_quorum_is_above_the_choice(_: &Consensus, state: &State) -> bool {
    let Some((highest, _)) = state.chosen.last_key_value() else { return true };
    quorums().all(|mut quorum| {
        quorum.any(|place| state.acceptors[place].on_disk.marks().voted_below > *highest)
    })
}

fn promises_are_kept(_: &Consensus, state: &State) -> bool {
    state.acceptors.iter().all(|voter| voter.on_disk.promised() >= voter.vouched)
}
