//! What can happen in a state, within the scope.

use std::sync::Arc;

use shared::ids::Slot;
use shared::message::Phase;

use super::Consensus;
use crate::cluster::{ACCEPTORS, QUORUM};
use crate::consensus::action::{Action, Fate, Polls};
use crate::consensus::scope::{Disk, Impatience, Polled, Replicas, Replies, Scope, Successions};
use crate::consensus::state::State;
use crate::consensus::voter::Voter;

impl Consensus {
    /// Whether the last leader of an ordered scope has proposed what it found.
    pub(super) fn is_over(&self, state: &State) -> bool {
        let Some(last) = self.scope.order.and_then(|order| order.last()) else { return false };
        state.ballots == self.scope.ballots
            && state.coordinators[*last].core.phase() == Phase::Phase2
    }

    pub(super) fn actions_of_coordinator(
        &self,
        state: &State,
        coordinator: usize,
        actions: &mut Vec<Action>,
    ) {
        let Scope { ballots, order, restarts, ticks, replicas, impatience, batches, .. } =
            &self.scope;
        let candidate = &state.coordinators[coordinator];
        let leads = candidate.core.phase() == Phase::Phase2;
        let is_next =
            order.is_none_or(|order| order.get(state.ballots as usize) == Some(&coordinator));
        if state.ballots < *ballots
            && is_next
            && (!leads || *impatience == Impatience::StandsAlways)
        {
            actions.push(Action::Stand { coordinator, polls: Polls::Initial });
            match self.scope.polls {
                Polled::Nothing => {}
                Polled::Marks | Polled::MarksAndPromises => {
                    // Of those that are sealed no answer counts.
                    let vote = |silent: &usize| {
                        (0..ACCEPTORS).all(|place| {
                            place == *silent || state.acceptors[place].votes_in_the_first()
                        })
                    };
                    actions.extend((0..ACCEPTORS).filter(vote).map(|silent| Action::Stand {
                        coordinator,
                        polls: Polls::Without(silent),
                    }));
                }
            }
        }
        if state.restarts < *restarts && candidate.core.ballot().is_some() {
            actions.push(Action::Restart { coordinator });
        }
        if candidate.next_batch(batches[coordinator]).is_some() {
            actions.push(Action::Propose { coordinator });
        }
        if leads && state.ticks < *ticks {
            actions.push(Action::Tick { coordinator });
            match replicas {
                Replicas::Silent => {}
                Replicas::TrimAndNudge => {
                    actions.extend([Action::Trim { coordinator }, Action::Nudge { coordinator }])
                }
                Replicas::Stop => actions.push(Action::Stop { coordinator }),
            }
        }
    }

    pub(super) fn actions_of_acceptor(
        &self,
        state: &State,
        acceptor: usize,
        actions: &mut Vec<Action>,
    ) {
        let fates: &[Fate] = match self.scope.replies {
            Replies::AnyTime => &[Fate::Sent],
            Replies::AtOnceOrNever => &[Fate::Arrives, Fate::Lost],
        };
        let unsynced = state.acceptors[acceptor].unsynced();
        for &request in state.inboxes[acceptor].messages.keys() {
            match self.scope.disk {
                Disk::Immediate => actions.extend(fates.iter().map(|&reply| Action::Process {
                    acceptor,
                    request,
                    reply,
                })),
                Disk::Delayed if unsynced < self.scope.unsynced => {
                    actions.push(Action::Process { acceptor, request, reply: Fate::Lost });
                }
                Disk::Delayed => {}
            }
        }
        if self.scope.successions == Successions::AnyTime
            && let Some(succession) = state.ended()
        {
            let voter = &state.acceptors[acceptor];
            let is_beyond = |voter: &Arc<Voter>| !voter.votes_in_the_first();
            let is_opened =
                voter.core.votes_page(Slot(0)).roster == Some(succession.next().roster.clone());
            if !is_beyond(voter) {
                actions.push(Action::Seal { acceptor });
            }
            if !is_opened && state.acceptors.iter().filter(|one| is_beyond(one)).count() >= QUORUM {
                actions.push(Action::Open { acceptor });
            }
        }
        if unsynced > 0 {
            actions.extend(fates.iter().map(|&replies| Action::Sync { acceptor, replies }));
            actions.push(Action::Crash { acceptor });
        }
        actions.extend(
            state.outboxes[acceptor]
                .messages
                .keys()
                .map(|&reply| Action::Receive { acceptor, reply }),
        );
    }
}
