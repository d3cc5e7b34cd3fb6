//! The assumption under which states that differ only in which acceptor is which are one:
//! that coordinators don't care which is which.
//!
//! It is checked where it could matter, when promises become proposals: each time a
//! coordinator begins to lead, the same promises are given to it again with the
//! acceptors' names exchanged in every way, and it must come out the same.

use std::sync::Arc;

use shared::message::{AcceptReply, PrepareReply};

use super::candidate::{Candidate, Said};
use super::message::Reply;
use crate::cluster::{ACCEPTORS, acceptor_id};

/// The ways to exchange the acceptors, but for the one that changes nothing.
const EXCHANGES: [[usize; ACCEPTORS]; 5] = [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// A Phase 1 as it goes on.
#[derive(Clone, Debug)]
pub(crate) struct Candidacy {
    begun: Arc<Candidate>,
    heard: Vec<(usize, Reply)>,
}

impl Candidacy {
    /// A coordinator has asked for promises.
    pub(crate) fn new(begun: Candidate) -> Self {
        Self { begun: Arc::new(begun), heard: Vec::new() }
    }

    /// It hears a reply.
    pub(crate) fn hear(&mut self, place: usize, reply: &Reply) {
        self.heard.push((place, reply.clone()));
    }

    /// Checks that the outcome would be the same, were the acceptors others.
    pub(crate) fn check(&self, outcome: &Candidate) -> Result<(), String> {
        for exchange in EXCHANGES {
            let mut other = (*self.begun).clone();
            for (place, reply) in &self.heard {
                other.hand(exchange[*place], &exchanged(reply, exchange), &mut Said::default())?;
            }
            other.refresh();
            if other.shared_digest != outcome.shared_digest {
                return Err(format!(
                    "it matters which acceptor is which: exchanged {exchange:?}, {:?} is {:?}",
                    outcome.core, other.core
                ));
            }
        }
        Ok(())
    }
}

fn exchanged(reply: &Reply, exchange: [usize; ACCEPTORS]) -> Reply {
    let mut reply = reply.clone();
    let name = match &mut reply {
        Reply::Prepare(_, PrepareReply::Promise(promise)) => &mut promise.acceptor,
        Reply::Accept(_, AcceptReply::Accepted(accepted)) => &mut accepted.acceptor,
        Reply::Prepare(_, PrepareReply::Nack(nack)) | Reply::Accept(_, AcceptReply::Nack(nack)) => {
            &mut nack.acceptor
        }
        Reply::Prepare(_, PrepareReply::Stranger(stranger))
        | Reply::Accept(_, AcceptReply::Stranger(stranger)) => &mut stranger.acceptor,
        Reply::Accept(_, AcceptReply::Full(full)) => &mut full.acceptor,
    };
    let place = (0..ACCEPTORS)
        .find(|place| acceptor_id(*place) == *name)
        .expect("an acceptor of the cluster");
    *name = acceptor_id(exchange[place]);
    reply
}
