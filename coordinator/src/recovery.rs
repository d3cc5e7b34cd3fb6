//! Reads chosen entries that are older than the leader's window from the acceptors: the calls around [`recover`].

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use shared::client::AcceptorClient;
use shared::ids::Slot;
use shared::message::{ChosenEntry, ChosenReply, Roster, VotesPage};
use tokio::sync::Semaphore;

use crate::chosen_window::PageLimits;
use crate::recover::{RecoverError, recover};

/// Recoveries at once: each holds a page of every acceptor.
const AT_ONCE: usize = 4;

/// How long an acceptor may take for a page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(2);

/// Which entries are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) roster: Roster,
    pub(crate) from: Slot,
    /// Every slot below is chosen, and was known to be before anybody is asked.
    pub(crate) below: Slot,
    pub(crate) chosen_below: Slot,
    pub(crate) limits: PageLimits,
}

/// Recovers entries, a few at a time.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    clients: Arc<[AcceptorClient]>,
    places: Arc<Semaphore>,
}

impl Recovery {
    pub(crate) fn new(clients: &[AcceptorClient]) -> Self {
        Self { clients: clients.into(), places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Asks all acceptors and answers as soon as those that answered suffice.
    pub(crate) async fn recover(&self, wanted: Wanted) -> ChosenReply {
        let Ok(_place) = self.places.try_acquire() else { return ChosenReply::Unavailable };
        let mut calls: FuturesUnordered<_> = self.clients.iter().map(|client| client.votes(wanted.from, PAGE_TIMEOUT)).collect();
        let (mut pages, mut outcome) = (Vec::<VotesPage>::new(), Ok(Vec::new()));
        while let Some(page) = calls.next().await {
            pages.extend(page.ok());
            outcome = recover(&wanted.roster, wanted.from, wanted.below, &pages);
            if outcome.is_ok() {
                break;
            }
        }
        match outcome {
            Ok(entries) if entries.is_empty() => ChosenReply::Unavailable,
            Ok(entries) => ChosenReply::Entries { entries: head(entries, wanted.limits), chosen_below: wanted.chosen_below },
            Err(RecoverError::Trimmed { oldest }) => ChosenReply::Trimmed { oldest },
            Err(RecoverError::NoQuorum { .. }) => ChosenReply::Unavailable,
            Err(lost @ RecoverError::Lost { .. }) => {
                tracing::error!("{lost}");
                ChosenReply::Unavailable
            }
        }
    }
}

/// As many of the first entries as a page holds; one at least.
fn head(mut entries: Vec<ChosenEntry>, limits: PageLimits) -> Vec<ChosenEntry> {
    let mut bytes = 0_usize;
    let fitting = entries.iter().take(limits.entries).take_while(|entry| {
        bytes = bytes.saturating_add(entry.value.len());
        bytes <= limits.bytes
    });
    let count = fitting.count().max(1);
    entries.truncate(count);
    entries
}
