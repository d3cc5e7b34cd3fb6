//! Which acceptors answer a leader, and which of them have room; and whether any replica
//! is heard.
//!
//! Counted in the leader's own heartbeats, not in time: see
//! [`Config::max_heartbeats_unanswered`](crate::config::Config).

use std::collections::BTreeMap;
use std::time::Duration;

use shared::ids::AcceptorId;
use shared::message::VoteRoom;

use crate::trimming::Fill;

/// The acceptors of the roster that answered the present ballot, and when a replica was
/// heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Liveness {
    heartbeats: u64,
    answered: BTreeMap<AcceptorId, u64>,
    full: BTreeMap<AcceptorId, Duration>,
    room: BTreeMap<AcceptorId, VoteRoom>,
    replica_heard: u64,
}

impl Liveness {
    pub(crate) fn heartbeat(&mut self) {
        self.heartbeats += 1;
    }

    pub(crate) fn answered(&mut self, acceptor: AcceptorId) {
        self.answered.insert(acceptor, self.heartbeats);
    }

    /// An acceptor said how much room it has.
    pub(crate) fn has_room(&mut self, acceptor: AcceptorId, room: VoteRoom) {
        self.room.insert(acceptor, room);
    }

    /// How full the acceptors are: at least so many of them that the others are no quorum.
    pub(crate) fn fill(
        &self,
        (acceptors, quorum): (usize, usize),
        now: Duration,
        memory: Duration,
    ) -> Fill {
        let is_full = |acceptor: &AcceptorId| {
            self.full.get(acceptor).is_some_and(|at| now.saturating_sub(*at) < memory)
        };
        let share =
            |room: &VoteRoom| room.used_bytes.saturating_mul(1_000) / room.limit_bytes.max(1);
        let bytes: Vec<u64> = self.room.values().map(|room| room.used_bytes).collect();
        let mut shares: Vec<u64> = self
            .room
            .iter()
            .map(|(acceptor, room)| if is_full(acceptor) { 1_000 } else { share(room) })
            .collect();
        let unheard_and_full =
            self.full.keys().filter(|acceptor| !self.room.contains_key(acceptor));
        shares.extend(unheard_and_full.filter(|acceptor| is_full(acceptor)).map(|_| 1_000));
        let highest_without = |mut of: Vec<u64>| {
            of.sort_unstable_by(|one, other| other.cmp(one));
            of.get(acceptors - quorum).copied().unwrap_or_default()
        };
        Fill { bytes: highest_without(bytes), per_mille: highest_without(shares) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acceptors_are_as_full_as_those_that_a_quorum_cannot_do_without() {
        let mut liveness = Liveness::default();
        let (now, memory) = (Duration::from_secs(5), Duration::from_secs(1));
        let fill = |liveness: &Liveness| {
            let fill = liveness.fill((3, 2), now, memory);
            (fill.bytes, fill.per_mille)
        };
        assert_eq!(fill(&liveness), (0, 0));
        liveness.has_room(AcceptorId(1), VoteRoom { used_bytes: 90, limit_bytes: 100 });
        assert_eq!(fill(&liveness), (0, 0), "two others make a quorum");
        liveness.has_room(AcceptorId(2), VoteRoom { used_bytes: 30, limit_bytes: 60 });
        assert_eq!(fill(&liveness), (30, 500));
        liveness.full(AcceptorId(3), now);
        assert_eq!(fill(&liveness), (30, 900), "its disk is full");
    }
}
