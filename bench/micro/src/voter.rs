//! An acceptor that votes.

use acceptor::acceptor::{Acceptor, Limits, Persisted, Record};
use bytes::Bytes;
use shared::ids::{AcceptorId, Ballot, CoordinatorId, Draw, Slot};
use shared::message::{Accept, AcceptReply, SlotValue};

/// So many slots are kept below the one that is voted in: what a cluster holds that trims.
const KEPT: u64 = 256;

/// A member of the cluster that is asked for one slot after another.
#[derive(Debug)]
pub struct Voter {
    acceptor: Acceptor,
    ballot: Ballot,
    next: Slot,
}

impl Voter {
    /// One that has promised the ballot it is asked in.
    #[must_use]
    pub fn promised() -> Self {
        let ballot = Ballot { round: 1, coordinator: CoordinatorId(1) };
        let mut acceptor = Acceptor::new(AcceptorId(1), Draw(1), Limits::default());
        acceptor.replay(Record::Joined(crate::roster()));
        acceptor.replay(Record::Promised(ballot));
        Self { acceptor, ballot, next: Slot(0) }
    }

    /// Has it vote for a value in the next slot.
    ///
    /// # Panics
    /// When it does not.
    pub fn vote(&mut self, value: Bytes) -> AcceptReply {
        let accept = Accept {
            roster: crate::roster(),
            ballot: self.ballot,
            proposals: vec![SlotValue { slot: self.next, value }],
            chosen_below: self.next,
            trim_below: Slot(self.next.0.saturating_sub(KEPT)),
        };
        self.next = self.next.next();
        let decision = self.acceptor.accept(&accept).expect("the request is well formed");
        let reply = decision.persisted(Persisted::assert_synced());
        assert!(matches!(reply, AcceptReply::Accepted(_)), "{reply:?}");
        reply
    }
}
