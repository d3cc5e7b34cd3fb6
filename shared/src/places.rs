//! Places, of which one client has no more than its share.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Extensions;

use crate::problem::Problem;

/// What clients are told apart by: an address; of IPv6 the /64 before it, since whoever
/// has one has all of these (RFC 6177). The server puts it on each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientNetwork {
    /// An address.
    V4(Ipv4Addr),
    /// The upper half of addresses.
    V6(u64),
}

impl ClientNetwork {
    /// Whose an address is.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }

    /// Whether it is this very machine.
    #[must_use]
    pub fn is_loopback(self) -> bool {
        match self {
            Self::V4(address) => address.is_loopback(),
            // Of the network of ::1 nothing is ever routed.
            Self::V6(upper) => upper == 0,
        }
    }

    /// Who asks, where the server says so.
    #[must_use]
    pub fn asking(extensions: &Extensions) -> Option<Self> {
        extensions.get().copied()
    }
}

/// So many places, and of these so many for each client.
#[derive(Debug)]
pub struct Places {
    all: usize,
    each: usize,
    /// For what they are, as a refusal says it.
    what: &'static str,
    taken: Mutex<BTreeMap<Option<ClientNetwork>, usize>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    client: Option<ClientNetwork>,
}

impl Places {
    /// None taken yet.
    #[must_use]
    pub fn new(what: &'static str, all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { all, each, what, taken: Mutex::default() })
    }

    /// Takes one. Those of whom it is not known who they are have the share of one client.
    ///
    /// # Errors
    /// 503 where all are taken, 429 where the client has its share of them.
    pub fn take(self: &Arc<Self>, client: Option<ClientNetwork>) -> Result<Place, Problem> {
        let Self { all, each, what, .. } = **self;
        let mut taken = self.lock();
        if taken.values().sum::<usize>() >= all {
            return Err(Problem::overloaded(format!("{all} {what}")));
        }
        let own = taken.entry(client).or_default();
        if *own >= each {
            let detail = format!("{each} {what} of this client, of {all} in all");
            return Err(Problem::too_many_requests(detail));
        }
        *own += 1;
        Ok(Place { places: Arc::clone(self), client })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Option<ClientNetwork>, usize>> {
        // A panic ends the process, so nobody ever meets a poisoned lock.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(own) = taken.get_mut(&self.client) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> ClientNetwork {
        ClientNetwork::of(text.parse().unwrap())
    }

    #[test]
    fn an_ipv6_client_is_its_network_and_a_mapped_one_its_ipv4_address() {
        assert_eq!(network("2001:db8:0:1::7"), network("2001:db8:0:1:ffff:ffff:ffff:ffff"));
        assert_ne!(network("2001:db8:0:1::7"), network("2001:db8:0:2::7"));
        assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.7"));
        assert_ne!(network("192.0.2.7"), network("192.0.2.8"));
        assert_ne!(network("127.0.0.1"), network("::1"));
    }

    #[test]
    fn one_client_takes_no_more_than_its_share_and_all_no_more_than_there_are() {
        let places = Places::new("seats are taken", 4, 2);
        let taken = |client: &str| {
            places.take(Some(network(client))).map_err(|problem| problem.status().as_u16())
        };
        let (first, _second) = (taken("192.0.2.1").unwrap(), taken("192.0.2.1").unwrap());
        assert_eq!(taken("192.0.2.1").unwrap_err(), 429);
        let _others = (taken("192.0.2.2").unwrap(), places.take(None).unwrap());
        assert_eq!(taken("192.0.2.3").unwrap_err(), 503);
        drop(first);
        assert!(taken("192.0.2.1").is_ok());
        assert_eq!(places.lock().len(), 3, "who has none is forgotten");
    }
}
