//! What tells two states of a coordinator apart, as far as the protocol goes: for a model
//! checker, which must know whether it has been in a state before.
//!
//! Left out is what only *when* depends on: clocks, counters of attempts and heartbeats,
//! the answers to polls (an election asks afresh) and who answered when. What concerns
//! one acceptor is kept apart from the rest, so that states that differ only in which
//! acceptor is which can be seen as one (Ip and Dill, *Better Verification Through
//! Symmetry*, 1996). Every struct is taken apart field by field, so that a new field
//! cannot be forgotten here.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash};

use shared::ids::AcceptorId;

/// The digests of a state.
#[derive(Clone, Debug, Default)]
pub struct Footprint {
    /// Of what concerns no acceptor or all.
    pub shared: DefaultHasher,
    /// Of what concerns one acceptor; absent where there is nothing.
    pub acceptors: BTreeMap<AcceptorId, DefaultHasher>,
}

impl Footprint {
    pub(crate) fn note(&mut self, what: impl Hash) {
        what.hash(&mut self.shared);
    }

    pub(crate) fn note_of(&mut self, acceptor: AcceptorId, what: impl Hash) {
        what.hash(self.acceptors.entry(acceptor).or_default());
    }
}
