//! Which peers speak another version of the messages than this service
//! ([`VERSION`]), of the whole process: said once of each in the log,
//! and as long as it lasts in `readyz` and in the status.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use schemars::JsonSchema;
use serde::Serialize;

use crate::health::Check;
use crate::wire::VERSION;

/// The most peers that are kept: what anybody sends makes one.
const PEERS: usize = 64;
/// So much of what a peer calls itself is kept, in characters.
const NAME_CHARS: usize = 100;

static MET: Met = Met::new();

/// A peer of another version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OtherVersion {
    /// Its URL where it was asked, or what it calls itself where it asked.
    pub peer: String,
    /// The version that it speaks.
    pub version: u32,
}

struct Met {
    peers: Mutex<BTreeMap<String, u32>>,
    /// So that nothing is locked while there are none, which is nearly always.
    count: AtomicUsize,
}

impl Met {
    const fn new() -> Self {
        Self { peers: Mutex::new(BTreeMap::new()), count: AtomicUsize::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn other(&self, peer: &str, version: u32) {
        let peer: String = peer.chars().take(NAME_CHARS).collect();
        let mut peers = self.lock();
        let is_known = peers.get(&peer) == Some(&version);
        if is_known || peers.len() >= PEERS && !peers.contains_key(&peer) {
            return;
        }
        tracing::warn!(
            peer,
            theirs = version,
            own = VERSION,
            "speaks another version of the messages between services"
        );
        peers.insert(peer, version);
        self.count.store(peers.len(), Ordering::Relaxed);
    }

    fn own(&self, peer: &str) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let peer: String = peer.chars().take(NAME_CHARS).collect();
        let mut peers = self.lock();
        if peers.remove(&peer).is_some() {
            tracing::info!(peer, own = VERSION, "speaks our version of the messages now");
        }
        self.count.store(peers.len(), Ordering::Relaxed);
    }

    fn all(&self) -> Vec<OtherVersion> {
        let peers = self.lock();
        let each = peers.iter();
        each.map(|(peer, &version)| OtherVersion { peer: peer.clone(), version }).collect()
    }
}

/// A peer speaks another version.
pub(crate) fn met_other(peer: &str, version: u32) {
    MET.other(peer, version);
}

/// A peer speaks our version.
pub(crate) fn met_own(peer: &str) {
    MET.own(peer);
}

/// The peers that speak another version, as far as they were met.
#[must_use]
pub fn others() -> Vec<OtherVersion> {
    MET.all()
}

/// A warning that names them; none while there are none. This service may do all its work
/// without them.
#[must_use]
pub fn check() -> Option<Check> {
    warning(&others()).map(|warning| Check::warning("versions", warning))
}

fn warning(others: &[OtherVersion]) -> Option<String> {
    let each = others.iter().map(|other| format!("{} speaks {}", other.peer, other.version));
    let each: Vec<String> = each.collect();
    (!each.is_empty()).then(|| {
        let each = each.join(", ");
        format!(
            "this service speaks version {VERSION} of the messages between services, and {each}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_of_another_version_is_named_until_it_speaks_ours() {
        let met = Met::new();
        met.own("http://a:1");
        assert_eq!((met.all(), warning(&met.all())), (Vec::new(), None));
        met.other("http://a:1", VERSION + 1);
        met.other("http://b:1", VERSION + 1);
        met.other("http://b:1", VERSION + 2);
        let other = |peer: &str, version| OtherVersion { peer: peer.to_owned(), version };
        assert_eq!(met.all(), [other("http://a:1", VERSION + 1), other("http://b:1", VERSION + 2)]);
        let said = warning(&met.all()).unwrap();
        assert!(said.contains("http://b:1 speaks 3") && said.contains("version 1"), "{said}");
        met.own("http://a:1");
        assert_eq!(met.all(), [other("http://b:1", VERSION + 2)]);
    }

    #[test]
    fn strangers_fill_no_memory() {
        let met = Met::new();
        for stranger in 0..10 * PEERS {
            met.other(&format!("{stranger} {}", "x".repeat(1_000)), VERSION + 1);
        }
        let all = met.all();
        assert_eq!(all.len(), PEERS);
        assert!(all.iter().all(|other| other.peer.len() <= NAME_CHARS));
    }
}
