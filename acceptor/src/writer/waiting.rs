//! Answers that wait for a sync: given once it is done, or turned into refusals where
//! there was no space.

use shared::ids::AcceptorId;
use shared::message::{AcceptReply, PrepareReply, SuccessionReply, VotesPage};
use tracing::Span;

use super::space::NoSpace;
use crate::acceptor::{Decision, Persisted};
use crate::handle::Answer;

/// An answer that waits for the sync of all that was staged before it.
pub(super) enum Waiting {
    Prepare(Decision<PrepareReply>, Answer<PrepareReply>),
    Accept(Decision<AcceptReply>, Answer<AcceptReply>),
    Succession(Box<Decision<SuccessionReply>>, Answer<SuccessionReply>),
    Votes(VotesPage, Answer<VotesPage>),
}

impl Waiting {
    pub(super) fn sync_span(&self, bytes: usize, requests: usize) -> Option<Span> {
        match self {
            Self::Prepare(_, answer) => answer.sync_span(bytes, requests),
            Self::Accept(_, answer) => answer.sync_span(bytes, requests),
            Self::Succession(..) | Self::Votes(..) => None,
        }
    }

    pub(super) fn answer(self, proof: Persisted) {
        match self {
            Self::Prepare(decision, answer) => answer.send(Ok(decision.persisted(proof))),
            Self::Accept(decision, answer) => answer.send(Ok(decision.persisted(proof))),
            Self::Succession(decision, answer) => answer.send(Ok(decision.persisted(proof))),
            Self::Votes(page, answer) => answer.send(Ok(page)),
        }
    }

    pub(super) fn refuse(self, acceptor: AcceptorId, no_space: &NoSpace) {
        match self {
            Self::Prepare(_, answer) => answer.send(Err(no_space.refusal())),
            Self::Accept(_, answer) => answer.send(Ok(no_space.full(acceptor))),
            Self::Succession(_, answer) => answer.send(Err(no_space.refusal())),
            Self::Votes(_, answer) => answer.send(Err(no_space.refusal())),
        }
    }
}
