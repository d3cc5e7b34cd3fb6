//! Reads chosen entries that are older than the leader's window from the acceptors: the calls around [`Gathering`].

use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt as _};
use shared::client::AcceptorClient;
use shared::message::ChosenReply;
use tokio::sync::Semaphore;

use crate::config::shell::{PAGE_TIMEOUT, RECOVERIES_AT_ONCE};
use crate::recover::{Gathering, Wanted};

/// Recovers entries, a few at a time.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    clients: Arc<[AcceptorClient]>,
    places: Arc<Semaphore>,
}

impl Recovery {
    pub(crate) fn new(clients: &[AcceptorClient]) -> Self {
        Self { clients: clients.into(), places: Arc::new(Semaphore::new(RECOVERIES_AT_ONCE)) }
    }

    /// Asks all acceptors and answers as soon as those that answered suffice.
    pub(crate) async fn recover(&self, wanted: Wanted) -> ChosenReply {
        let Ok(_place) = self.places.try_acquire() else { return ChosenReply::Unavailable };
        let mut calls: FuturesUnordered<_> = self.clients.iter().map(|client| client.votes(wanted.from, PAGE_TIMEOUT)).collect();
        let mut gathering = Gathering::new(wanted, self.clients.len());
        while let Some(page) = calls.next().await {
            match gathering.take(page.ok()) {
                Ok(None) => {}
                Ok(Some(reply)) => return reply,
                Err(lost) => {
                    tracing::error!("{lost}");
                    break;
                }
            }
        }
        ChosenReply::Unavailable
    }
}
