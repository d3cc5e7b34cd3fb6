//! Which acceptors answer a leader, and which of them have room; and whether any replica
//! is heard.
//!
//! Counted in the leader's own heartbeats, not in time: see
//! [`Config::max_heartbeats_unanswered`](crate::config::Config).

use std::collections::BTreeMap;
use std::time::Duration;

use shared::ids::AcceptorId;

/// The acceptors of the roster that answered the present ballot, and when a replica was
/// heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    heartbeats: u64,
    answered: BTreeMap<AcceptorId, u64>,
    full: BTreeMap<AcceptorId, Duration>,
    replica_heard: u64,
}

impl Reach {
    pub(crate) fn heartbeat(&mut self) {
        self.heartbeats += 1;
    }

    pub(crate) fn answered(&mut self, acceptor: AcceptorId) {
        self.answered.insert(acceptor, self.heartbeats);
    }

    /// An acceptor voted: it has room.
    pub(crate) fn voted(&mut self, acceptor: AcceptorId) {
        self.full.remove(&acceptor);
    }

    pub(crate) fn full(&mut self, acceptor: AcceptorId, now: Duration) {
        self.full.insert(acceptor, now);
    }

    /// Whether fewer than a quorum answered any of the latest heartbeats.
    pub(crate) fn is_cut_off(&self, quorum: usize, max_unanswered: u64) -> bool {
        let reached =
            self.answered.values().filter(|at| self.heartbeats - **at <= max_unanswered).count();
        self.heartbeats > max_unanswered && reached < quorum
    }

    /// A replica spoke.
    pub(crate) fn replica_heard(&mut self) {
        self.replica_heard = self.heartbeats;
    }

    /// Whether no replica spoke during the latest heartbeats.
    pub(crate) fn hears_no_replica(&self, max_unheard: u64) -> bool {
        self.heartbeats - self.replica_heard > max_unheard
    }

    /// How many acceptors have lately said that they are full.
    pub(crate) fn full_count(&self, now: Duration, memory: Duration) -> usize {
        self.full.values().filter(|at| now.saturating_sub(**at) < memory).count()
    }
}
