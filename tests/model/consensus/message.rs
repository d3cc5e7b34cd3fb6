//! What is on the network: requests and replies, and the digests that tell them apart.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::Serialize;
use shared::ids::{AcceptorId, Ballot, Slot};
use shared::message::{Accept, AcceptReply, Prepare, PrepareReply};

/// A coordinator's message to an acceptor.
#[derive(Debug)]
pub(crate) enum Request {
    Prepare(Prepare),
    Accept(Accept),
}

impl Request {
    pub(crate) fn digest(&self) -> u64 {
        match self {
            Self::Prepare(prepare) => digest_of(0, prepare),
            Self::Accept(accept) => digest_of(1, accept),
        }
    }
}

/// An acceptor's answer, with the ballot of the request, which names the receiver, too.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Prepare(Ballot, PrepareReply),
    Accept(Ballot, AcceptReply),
}

impl Request {
    pub(crate) fn ballot(&self) -> Ballot {
        match self {
            Self::Prepare(prepare) => prepare.ballot,
            Self::Accept(accept) => accept.ballot,
        }
    }

    /// Whether it says no more than the ballot: a [`Prepare`] whose answer is lost does
    /// the same.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Prepare(_) => false,
            Self::Accept(accept) => accept.proposals.is_empty() && accept.chosen_below == Slot(0),
        }
    }
}

impl Reply {
    /// A digest without the name of the acceptor.
    pub(crate) fn digest(&self) -> u64 {
        let nobody = AcceptorId(0);
        let mut anonymous = self.clone();
        match &mut anonymous {
            Self::Prepare(_, PrepareReply::Promise(promise)) => promise.acceptor = nobody,
            Self::Accept(_, AcceptReply::Accepted(accepted)) => accepted.acceptor = nobody,
            Self::Prepare(_, PrepareReply::Nack(nack))
            | Self::Accept(_, AcceptReply::Nack(nack)) => nack.acceptor = nobody,
            Self::Prepare(_, PrepareReply::Stranger(stranger))
            | Self::Accept(_, AcceptReply::Stranger(stranger)) => {
                stranger.acceptor = nobody;
            }
            Self::Accept(_, AcceptReply::Full(full)) => full.acceptor = nobody,
        }
        match &anonymous {
            Self::Prepare(ballot, reply) => digest_of(2, &(ballot, reply)),
            Self::Accept(ballot, reply) => digest_of(3, &(ballot, reply)),
        }
    }

    pub(crate) fn ballot(&self) -> Ballot {
        match self {
            Self::Prepare(ballot, _) | Self::Accept(ballot, _) => *ballot,
        }
    }

    /// The ballot below which nothing will be accepted, as this says.
    pub(crate) fn promised(&self) -> Option<Ballot> {
        match self {
            Self::Prepare(_, PrepareReply::Promise(promise)) => Some(promise.ballot),
            Self::Accept(_, AcceptReply::Accepted(accepted)) => Some(accepted.ballot),
            Self::Prepare(_, PrepareReply::Nack(nack))
            | Self::Accept(_, AcceptReply::Nack(nack)) => Some(nack.promised),
            Self::Prepare(_, PrepareReply::Stranger(_))
            | Self::Accept(_, AcceptReply::Stranger(_) | AcceptReply::Full(_)) => None,
        }
    }
}

/// All messages ever sent one way between the coordinators and one acceptor.
#[derive(Debug)]
pub(crate) struct Mail<T> {
    pub(crate) messages: BTreeMap<u64, Arc<T>>,
    pub(crate) digest: u64,
}

impl<T> Default for Mail<T> {
    fn default() -> Self {
        Self { messages: BTreeMap::new(), digest: 0 }
    }
}

impl<T> Clone for Mail<T> {
    fn clone(&self) -> Self {
        Self { messages: self.messages.clone(), digest: self.digest }
    }
}

impl<T> Mail<T> {
    /// Adds a message to those of others that share it.
    pub(crate) fn add(this: &mut Arc<Self>, digest: u64, message: &Arc<T>) {
        if this.messages.contains_key(&digest) {
            return;
        }
        let mail = Arc::make_mut(this);
        mail.messages.insert(digest, Arc::clone(message));
        mail.refresh();
    }

    /// Forgets the messages that are not to be kept.
    pub(crate) fn retain(this: &mut Arc<Self>, mut keep: impl FnMut(u64, &T) -> bool) {
        let dropped: Vec<u64> = this
            .messages
            .iter()
            .filter(|(digest, message)| !keep(**digest, message))
            .map(|(digest, _)| *digest)
            .collect();
        if !dropped.is_empty() {
            let mail = Arc::make_mut(this);
            dropped.iter().for_each(|digest| drop(mail.messages.remove(digest)));
            mail.refresh();
        }
    }

    fn refresh(&mut self) {
        self.digest = digest_of(4, &self.messages.keys().collect::<Vec<_>>());
    }
}

/// A digest of anything, by its encoding.
pub(crate) fn digest_of(kind: u8, what: &impl Serialize) -> u64 {
    let bytes = postcard::to_allocvec(what).expect("encoding into memory does not fail");
    let mut hasher = DefaultHasher::new();
    (kind, bytes).hash(&mut hasher);
    hasher.finish()
}
