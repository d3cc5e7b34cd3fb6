//! A coordinator that leads.

use std::time::Duration;

use bytes::Bytes;
use coordinator::config::Config;
use coordinator::coordinator::Coordinator;
use coordinator::effect::{AcceptorIndex, Effect, Input, PollNumber, RequestId, Timer};
use shared::ids::{AcceptorId, Ballot, BatchNumber, CoordinatorId, Draw, Epoch, Slot};
use shared::message::{
    AcceptReply, Accepted, Marks, PrepareReply, Promise, Proposal, VoteRoom, Watermarks,
};

/// Silence of a leader that is long enough for an election. Milliseconds.
const SILENT_MS: u64 = 500;

/// The leader of a cluster that has one view and nothing else yet.
#[derive(Debug)]
pub struct Leader {
    core: Coordinator,
    ballot: Ballot,
    next: Slot,
    requests: u64,
}

impl Leader {
    /// One that a quorum of acceptors has promised its ballot.
    ///
    /// # Panics
    /// When it does not come to lead.
    #[must_use]
    pub fn elected() -> Self {
        let mut core = Coordinator::new(Config::new(3), CoordinatorId(1));
        let mut step = |input| core.step(Duration::ZERO, input);
        let _ = step(Input::Started);
        for poll in 0..2 {
            for index in 0..2 {
                let _ = step(watermarks(index, poll));
            }
            if poll == 0 {
                let _ = step(Input::Fired(Timer::Election));
            }
        }
        let ballot = core.ballot().expect("it stands for election");
        for index in 0..2 {
            let promise = Promise {
                acceptor: acceptor(index),
                ballot,
                from: Slot(0),
                votes: Vec::new(),
                next: None,
                marks: Marks::default(),
            };
            let (from, reply) = (AcceptorIndex(index), PrepareReply::Promise(promise));
            let _ = core.step(Duration::ZERO, Input::PrepareReply { from, ballot, reply });
        }
        Self { core, ballot, next: Slot(0), requests: 0 }
    }

    /// Has a value proposed and chosen in the next slot.
    ///
    /// # Panics
    /// When nobody is asked to vote for it, or it is not chosen by two votes.
    pub fn choose(&mut self, value: Bytes) -> Vec<Effect> {
        let proposal = Proposal {
            cluster: crate::roster().cluster(),
            epoch: Epoch(1),
            number: BatchNumber(self.requests),
            value,
        };
        let id = RequestId(self.requests);
        self.requests += 1;
        let mut effects = self.core.step(Duration::ZERO, Input::Proposal { id, proposal });
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Accept { .. })));
        let slot = self.next;
        self.next = slot.next();
        for index in 0..2 {
            let accepted = Accepted {
                acceptor: acceptor(index),
                ballot: self.ballot,
                slots: vec![slot],
                marks: Marks { voted_below: self.next, chosen_below: slot, ..Marks::default() },
                room: VoteRoom::default(),
            };
            let (from, ballot) = (AcceptorIndex(index), self.ballot);
            let reply = AcceptReply::Accepted(accepted);
            effects
                .extend(self.core.step(Duration::ZERO, Input::AcceptReply { from, ballot, reply }));
        }
        effects
    }
}

fn acceptor(index: usize) -> AcceptorId {
    AcceptorId(index as u64 + 1)
}

/// What an acceptor says that has not heard from a leader for long.
fn watermarks(index: usize, poll: u64) -> Input {
    let id = acceptor(index);
    let reply = Watermarks {
        acceptor: id,
        roster: Some(crate::roster()),
        draw: Draw(id.0),
        promised: None,
        marks: Marks::default(),
        leader_silent_ms: SILENT_MS,
    };
    Input::Watermarks { from: AcceptorIndex(index), poll: PollNumber(poll), reply }
}
