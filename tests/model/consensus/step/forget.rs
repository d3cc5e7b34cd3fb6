//! Messages that make no difference any more are forgotten.

use std::sync::Arc;

use super::{Consensus, key, received};
use crate::consensus::message::Mail;
use crate::consensus::state::State;

impl Consensus {
    /// Forgets messages that make no difference any more, so that states that differ in
    /// nothing else are one.
    ///
    /// A request that can only be refused, of a ballot that its coordinator has left,
    /// would at best tell it of a higher ballot. A reply that changes nothing at its
    /// receiver now never will: what a coordinator knows of each acceptor, of each slot
    /// and of ballots only grows, until it leaves the ballot for good.
    pub(super) fn forget(&self, before: &State, state: &mut State) {
        let State { coordinators, acceptors, inboxes, outboxes, .. } = state;
        let is_same = |place: usize| Arc::ptr_eq(&coordinators[place], &before.coordinators[place]);
        let are_same = is_same(0) && is_same(1);
        for (place, (voter, inbox)) in acceptors.iter().zip(inboxes).enumerate() {
            if are_same && Arc::ptr_eq(voter, &before.acceptors[place]) {
                continue;
            }
            Mail::retain(inbox, |_, request| {
                let ballot = Some(request.ballot());
                voter.on_disk.promised() <= ballot
                    || coordinators.iter().any(|candidate| candidate.core.ballot() == ballot)
            });
        }
        for (place, outbox) in outboxes.iter_mut().enumerate() {
            if are_same && Arc::ptr_eq(outbox, &before.outboxes[place]) {
                continue;
            }
            Mail::retain(outbox, |digest, reply| {
                let sender = reply.ballot().coordinator;
                let receiver = coordinators
                    .iter()
                    .enumerate()
                    .find(|(_, candidate)| candidate.core.id() == sender);
                receiver.is_some_and(|(at, candidate)| {
                    let stepped = self
                        .stepped
                        .recall(key(at, candidate.digest, received(place, digest)), || {
                            candidate.receive(place, reply)
                        });
                    stepped.map_or(true, |(after, _)| after.digest != candidate.digest)
                })
            });
        }
    }
}
