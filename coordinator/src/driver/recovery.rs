//! Reads chosen entries that are older than the leader's window from the acceptors: the
//! calls around [`Gathering`].

use std::sync::Arc;

use futures::stream::{FuturesUnordered, StreamExt as _};
use shared::client::AcceptorClient;
use shared::message::ChosenReply;
use tokio::sync::{Semaphore, watch};

use crate::config::shell::{PAGE_TIMEOUT, RECOVERIES_AT_ONCE};
use crate::recover::{Gathering, Wanted};

/// Recovers entries, a few at a time.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    clients: watch::Receiver<Arc<[AcceptorClient]>>,
    places: Arc<Semaphore>,
}

impl Recovery {
    pub(crate) fn new(clients: watch::Receiver<Arc<[AcceptorClient]>>) -> Self {
        Self { clients, places: Arc::new(Semaphore::new(RECOVERIES_AT_ONCE)) }
    }

    /// Asks all acceptors and answers as soon as those that answered suffice.
    pub(crate) async fn recover(&self, wanted: Wanted) -> ChosenReply {
        let Ok(_place) = self.places.try_acquire() else { return ChosenReply::Unavailable };
        let clients = Arc::clone(&self.clients.borrow());
        let mut calls: FuturesUnordered<_> =
            clients.iter().map(|client| client.votes(wanted.from, PAGE_TIMEOUT)).collect();
        let mut gathering = Gathering::new(wanted, clients.len());
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

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use shared::ids::{AcceptorId, ClusterId, Generation, Slot};
    use shared::message::Roster;
    use tokio::net::TcpListener;

    use super::*;
    use shared::page::PageLimits;

    #[tokio::test]
    async fn one_recovery_too_many_is_refused_at_once() {
        let never_accepts = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", never_accepts.local_addr().unwrap()).parse().unwrap();
        let (_sender, clients) = watch::channel([AcceptorClient::new(url)].into());
        let recovery = Recovery::new(clients);
        let wanted = || Wanted {
            roster: Roster::new(ClusterId(1), Generation(0), vec![AcceptorId(1)]).unwrap(),
            from: Slot(0),
            below: Slot(1),
            chosen_below: Slot(1),
            limits: PageLimits { items: 1, bytes: 1 },
        };
        let mut under_way: Vec<_> =
            (0..RECOVERIES_AT_ONCE).map(|_| Box::pin(recovery.recover(wanted()))).collect();
        for recovery in &mut under_way {
            assert_eq!(recovery.now_or_never(), None);
        }
        assert_eq!(recovery.recover(wanted()).now_or_never(), Some(ChosenReply::Unavailable));
    }
}
