//! A network between the services that does as it is told.
//!
//! Each service is advertised under the address of a proxy, so that whatever reaches it
//! goes through here: from the other services, from the balancer, and from clients that
//! use [`Cluster::door`](super::cluster::Cluster::door). Who has opened a connection is
//! looked up in `/proc` (which process holds the other end of the socket), so that a rule
//! can be about one link: "acceptor-2's answers don't reach coordinator-1". No privileges
//! are needed, and nothing knows of it.
//!
//! What a fault holds up is not lost: it arrives when the fault is taken away, as over
//! TCP. Only cutting loses anything.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;

use super::link::carry;
pub use super::owners::CLIENT;
use super::owners::{Owners, Ports};
use super::process::PidCell;

/// What is done to the bytes of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Connections are reset, and so is each new one.
    Cut,
    /// Half-open: nothing arrives either way, and nobody is told.
    Silent,
    /// One way: requests don't arrive.
    RequestsLost,
    /// One way: requests arrive, and what they ask for is done, but answers don't arrive.
    AnswersLost,
    /// Each piece arrives late, by a time between these.
    Delayed(Duration, Duration),
    /// The answer to a request that starts so is cut after that many bytes: the request
    /// has been carried out by then.
    AnswerCut {
        /// For instance `PUT /v1/kv/`.
        request: &'static str,
        /// How much of the answer arrives.
        after: usize,
    },
}

/// A fault and where it is. The first rule that is about a link holds for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Who opens the connections; none: everybody.
    pub from: Option<String>,
    /// Who listens.
    pub to: String,
    /// What happens to them.
    pub fault: Fault,
}

impl Rule {
    /// About everybody's connections to a service.
    #[must_use]
    pub fn to(to: &str, fault: Fault) -> Self {
        Self { from: None, to: to.to_owned(), fault }
    }

    /// About the connections of one to another.
    #[must_use]
    pub fn between(from: &str, to: &str, fault: Fault) -> Self {
        Self { from: Some(from.to_owned()), to: to.to_owned(), fault }
    }
}

/// The rules as every connection sees them.
pub(super) type Rules = watch::Receiver<Arc<Vec<Rule>>>;

/// What faults have done.
#[derive(Debug, Default)]
struct Done {
    disturbed: AtomicU64,
    cut_answers: Mutex<Vec<u16>>,
}

/// All proxies. They end when this is dropped.
#[derive(Debug, Default)]
pub struct Network {
    rules: watch::Sender<Arc<Vec<Rule>>>,
    owners: Arc<Owners>,
    done: Arc<Done>,
    proxies: JoinSet<()>,
}

impl Network {
    /// Makes connections of this process known under its name.
    pub fn know(&mut self, name: &str, pid: PidCell) {
        self.owners.know(name, pid);
    }

    /// Puts a proxy in front of a service, and says where it listens.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn place(
        &mut self,
        name: &str,
        listen: SocketAddr,
        target: SocketAddr,
    ) -> Result<SocketAddr> {
        let listener = TcpListener::bind(listen)
            .await
            .with_context(|| format!("the proxy of {name} on {listen}"))?;
        let listens = listener.local_addr()?;
        let place = Place {
            name: name.to_owned(),
            target,
            rules: self.rules.subscribe(),
            owners: Arc::clone(&self.owners),
            done: Arc::clone(&self.done),
        };
        self.proxies.spawn(serve(listener, place));
        Ok(listens)
    }

    /// How often a fault has cut a connection, or held up or delayed a piece of one:
    /// faults that meet nothing prove nothing.
    #[must_use]
    pub fn disturbed(&self) -> u64 {
        self.done.disturbed.load(Ordering::Relaxed)
    }

    /// The statuses of the answers that were cut since this was asked last, where the
    /// first piece of one held it.
    #[must_use]
    pub fn take_cut_answers(&self) -> Vec<u16> {
        std::mem::take(&mut self.done.cut_answers.lock().expect("no panic under the lock"))
    }

    /// Replaces all rules.
    pub fn set(&self, rules: Vec<Rule>) {
        self.rules.send_replace(Arc::new(rules));
    }

    /// Takes all faults away.
    pub fn heal(&self) {
        self.set(Vec::new());
    }

    /// Cuts a service off from all others of the cluster, both ways, by the fault.
    /// Clients still reach it.
    pub fn isolate(&self, name: &str, fault: &Fault) {
        let others =
            self.owners.names().into_iter().filter(|other| other != name && other != CLIENT);
        let rules = others.flat_map(|other| {
            [Rule::between(name, &other, fault.clone()), Rule::between(&other, name, fault.clone())]
        });
        self.set(rules.collect());
    }
}

/// One proxy.
struct Place {
    name: String,
    target: SocketAddr,
    rules: Rules,
    owners: Arc<Owners>,
    done: Arc<Done>,
}

async fn serve(listener: TcpListener, place: Place) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, peer)) = accepted else { continue };
                let Ok(here) = stream.local_addr() else { continue };
                let origin = Origin { ports: (peer.port(), here.port()), accepted: Instant::now(), name: OnceCell::new() };
                let link = Link {
                    from: Arc::new(origin),
                    to: place.name.clone(),
                    rules: place.rules.clone(),
                    owners: Arc::clone(&place.owners),
                    done: Arc::clone(&place.done),
                };
                connections.spawn(carry(stream, place.target, link));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Who has opened a connection, looked up once it matters.
#[derive(Debug)]
struct Origin {
    ports: Ports,
    accepted: Instant,
    name: OnceCell<String>,
}

/// One connection's place in the network.
#[derive(Clone, Debug)]
pub(super) struct Link {
    from: Arc<Origin>,
    to: String,
    pub(super) rules: Rules,
    owners: Arc<Owners>,
    done: Arc<Done>,
}

impl Link {
    /// Counts something that a fault has done.
    pub(super) fn disturb(&self) {
        self.done.disturbed.fetch_add(1, Ordering::Relaxed);
    }

    /// Remembers an answer that was cut.
    pub(super) fn cut(&self, status: Option<u16>) {
        self.disturb();
        self.done.cut_answers.lock().expect("no panic under the lock").extend(status);
    }

    /// What is done to it now.
    pub(super) async fn fault(&self) -> Option<Fault> {
        let rules = Arc::clone(&self.rules.borrow());
        for rule in rules.iter().filter(|rule| rule.to == self.to) {
            let concerns = match &rule.from {
                Some(from) => {
                    *self
                        .from
                        .name
                        .get_or_init(|| self.owners.of(self.from.ports, self.from.accepted))
                        .await
                        == *from
                }
                None => true,
            };
            if concerns {
                return Some(rule.fault.clone());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
