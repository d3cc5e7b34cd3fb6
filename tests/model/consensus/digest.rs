//! When two states count as one.
//!
//! All that concerns one acceptor (its state, its messages, what each coordinator knows
//! of it) goes into a digest of its own; these are sorted. So two states have one digest
//! if swapping acceptors turns one into the other: nothing in the cores depends on which
//! acceptor is which (`symmetry.rs` checks it), hence what can follow is the same up to
//! the same swap. With 64 bits, two of a million states that differ have one digest with
//! a probability of 3 in 10^8.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::state::State;
use crate::check::Broken;
use crate::memo::join;

impl State {
    /// To be called after every change.
    pub(crate) fn refresh_digest(&mut self) {
        let Self { coordinators, acceptors, inboxes, outboxes, .. } = &*self;
        let Self { proposed: _, chosen: _, ballots, restarts, ticks, broken, digest: _, .. } =
            &*self;
        let mut digests = [0; crate::cluster::ACCEPTORS];
        for (place, digest) in digests.iter_mut().enumerate() {
            let [first, second] = coordinators;
            *digest = join(acceptors[place].digest, inboxes[place].digest);
            *digest = join(*digest, outboxes[place].digest);
            *digest = join(*digest, first.acceptor_digests[place]);
            *digest = join(*digest, second.acceptor_digests[place]);
        }
        digests.sort_unstable();
        let mut digest = join(u64::from(*ballots), u64::from(*restarts));
        digest = join(digest, u64::from(*ticks));
        digest = join(digest, broken.as_ref().map_or(0, |what: &Arc<str>| what.len() as u64));
        digest = coordinators
            .iter()
            .fold(digest, |digest, candidate| join(digest, candidate.shared_digest));
        self.digest = digests.into_iter().fold(digest, join);
    }
}

impl Broken for State {
    fn broken(&self) -> String {
        self.broken.as_deref().unwrap_or_default().to_owned()
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.digest.hash(hasher);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}
