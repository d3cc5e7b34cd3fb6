//! A change of the acceptors whose stop is chosen, on its way to its end: a quorum of the
//! generation that ends is sealed, then a quorum of the next one is opened.
//!
//! Nothing here is decided: what was chosen is a fact, and so is what an acceptor has on
//! disk. So whoever knows of the change does this, leader or not, and several may at once.

use std::collections::BTreeSet;

use shared::ids::AcceptorId;
use shared::message::{Succession, SuccessionReply, SuccessionRequest};

use crate::ids::AcceptorIndex;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stage {
    /// Too few of the generation that ends are known to be sealed.
    Sealing,
    /// A quorum of it is; too few of the next one are known to be opened.
    Opening,
    /// A quorum of the next one is opened.
    Over,
}

/// A change, as far as it is known to be carried out.
#[derive(Clone, Debug)]
pub(crate) struct Handover {
    succession: Succession,
    /// Where the acceptors of both generations are.
    previous: Vec<AcceptorIndex>,
    next: Vec<AcceptorIndex>,
    sealed: BTreeSet<AcceptorId>,
    opened: BTreeSet<AcceptorId>,
    /// Who needs not be told again.
    told: BTreeSet<AcceptorIndex>,
}

impl Handover {
    pub(crate) fn new(
        succession: Succession,
        previous: Vec<AcceptorIndex>,
        next: Vec<AcceptorIndex>,
    ) -> Self {
        let (sealed, opened, told) = Default::default();
        Self { succession, previous, next, sealed, opened, told }
    }

    pub(crate) fn succession(&self) -> &Succession {
        &self.succession
    }

    /// Where the acceptors of the next generation are.
    pub(crate) fn next(&self) -> &[AcceptorIndex] {
        &self.next
    }

    /// How far it is. That one acceptor is opened shows that a quorum was sealed; that it is
    /// sealed shows nothing of others.
    pub(crate) fn stage(&self) -> Stage {
        if self.opened.len() >= self.succession.next().quorum() {
            Stage::Over
        } else if !self.opened.is_empty()
            || self.sealed.len() >= self.succession.previous().quorum()
        {
            Stage::Opening
        } else {
            Stage::Sealing
        }
    }

    /// Takes what an acceptor has on disk; true where the stage is another one now.
    pub(crate) fn take(&mut self, from: AcceptorIndex, reply: &SuccessionReply) -> bool {
        let before = self.stage();
        let Self { succession, sealed, opened, told, .. } = self;
        if succession.previous().roster.contains(reply.acceptor) && reply.is_beyond(succession) {
            sealed.insert(reply.acceptor);
        }
        if succession.next().roster.contains(reply.acceptor) && reply.has_opened(succession) {
            opened.insert(reply.acceptor);
        }
        let is_told = match before {
            Stage::Sealing => sealed.contains(&reply.acceptor),
            Stage::Opening | Stage::Over => opened.contains(&reply.acceptor),
        };
        if is_told {
            told.insert(from);
        }
        let is_another = self.stage() != before;
        if is_another {
            self.told.clear();
        }
        is_another
    }

    /// What is to be said, and where. Those of the next generation are asked from the start:
    /// where others have carried it on meanwhile, those of the one before may be gone.
    pub(crate) fn requests(&self) -> Vec<(AcceptorIndex, SuccessionRequest)> {
        let succession = || self.succession.clone();
        let (places, request) = match self.stage() {
            Stage::Sealing => (&self.previous, SuccessionRequest::Seal(succession())),
            Stage::Opening => (&self.next, SuccessionRequest::Open(succession())),
            Stage::Over => return Vec::new(),
        };
        let untold = places.iter().filter(|place| !self.told.contains(place));
        let mut requests: Vec<_> = untold.map(|place| (*place, request.clone())).collect();
        let asked = self.next.iter().filter(|place| !places.contains(place));
        requests.extend(asked.map(|place| (*place, SuccessionRequest::Tell)));
        requests
    }

    pub(crate) fn footprint(&self, footprint: &mut crate::footprint::Footprint) {
        footprint.note(("handover", self.succession.generation(), self.succession.begin()));
        self.sealed.iter().for_each(|acceptor| footprint.note_of(*acceptor, "sealed"));
        self.opened.iter().for_each(|acceptor| footprint.note_of(*acceptor, "opened"));
    }
}
