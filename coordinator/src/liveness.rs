//! Which acceptors answer a leader, and which of them have room; and whether any replica
//! is heard.
//!
//! Counted in the leader's own heartbeats, not in time: see
//! [`Config::max_heartbeats_unanswered`](crate::config::Config).

use std::collections::BTreeMap;
use std::time::Duration;

use shared::ids::AcceptorId;
use shared::message::VoteRoom;

use crate::replicas::trimming::Fill;

/// The acceptors of the roster that answered the present ballot, and when a replica was
/// heard.
#[derive(Clone, Debug)]
pub(crate) struct Liveness {
    roster: Vec<AcceptorId>,
    quorum: usize,
    max_unanswered: u64,
    heartbeats: u64,
    answered: BTreeMap<AcceptorId, u64>,
    full: BTreeMap<AcceptorId, Duration>,
    room: BTreeMap<AcceptorId, VoteRoom>,
    replica_heard: u64,
}

impl Liveness {
    /// Of a leader whose quorums are `quorum` of `roster`; an acceptor is silent that
    /// answered none of the latest `max_unanswered` heartbeats.
    pub(crate) fn new(roster: Vec<AcceptorId>, quorum: usize, max_unanswered: u64) -> Self {
        Self {
            roster,
            quorum,
            max_unanswered,
            heartbeats: 0,
            answered: BTreeMap::new(),
            full: BTreeMap::new(),
            room: BTreeMap::new(),
            replica_heard: 0,
        }
    }

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
    /// A silent one holds nothing, so a quorum cannot do without as many of the others.
    pub(crate) fn fill(&self, now: Duration, memory: Duration) -> Fill {
        if self.is_cut_off() {
            return Fill::default();
        }
        let share =
            |room: &VoteRoom| room.used_bytes.saturating_mul(1_000) / room.limit_bytes.max(1);
        let of = |acceptor: &AcceptorId| {
            let room = self.room.get(acceptor);
            let per_mille =
                if self.is_full(acceptor, now, memory) { 1_000 } else { room.map_or(0, share) };
            Fill { bytes: room.map_or(0, |room| room.used_bytes), per_mille }
        };
        let fills: Vec<Fill> = self.heard().map(of).collect();
        let least_of_the_needed = |mut of: Vec<u64>| {
            of.sort_unstable();
            of.get(self.quorum - 1).copied().unwrap_or_default()
        };
        Fill {
            bytes: least_of_the_needed(fills.iter().map(|fill| fill.bytes).collect()),
            per_mille: least_of_the_needed(fills.iter().map(|fill| fill.per_mille).collect()),
        }
    }

    /// An acceptor voted: it has room.
    pub(crate) fn voted(&mut self, acceptor: AcceptorId) {
        self.full.remove(&acceptor);
    }

    pub(crate) fn full(&mut self, acceptor: AcceptorId, now: Duration) {
        self.full.insert(acceptor, now);
    }

    /// Whether fewer than a quorum answered any of the latest heartbeats.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.heard().count() < self.quorum
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
        self.roster.iter().filter(|acceptor| self.is_full(acceptor, now, memory)).count()
    }

    /// Whether those that are full leave no quorum of those that answer.
    pub(crate) fn has_no_room(&self, now: Duration, memory: Duration) -> bool {
        let has_room = |acceptor: &&AcceptorId| !self.is_full(acceptor, now, memory);
        self.full_count(now, memory) > 0 && self.heard().filter(has_room).count() < self.quorum
    }

    fn is_full(&self, acceptor: &AcceptorId, now: Duration, memory: Duration) -> bool {
        self.full.get(acceptor).is_some_and(|at| now.saturating_sub(*at) < memory)
    }

    /// Whether an acceptor answered none of the latest heartbeats; never of a leader that
    /// has not sent so many.
    fn is_silent(&self, acceptor: &AcceptorId) -> bool {
        let answered = self.answered.get(acceptor);
        self.heartbeats > self.max_unanswered
            && answered.is_none_or(|at| self.heartbeats - at > self.max_unanswered)
    }

    fn heard(&self) -> impl Iterator<Item = &AcceptorId> {
        self.roster.iter().filter(|acceptor| !self.is_silent(acceptor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(5);
    const MEMORY: Duration = Duration::from_secs(1);

    fn liveness(acceptors: u64) -> Liveness {
        let roster: Vec<_> = (1..=acceptors).map(AcceptorId).collect();
        let quorum = roster.len() / 2 + 1;
        Liveness::new(roster, quorum, 2)
    }

    fn fill(liveness: &Liveness) -> (u64, u64) {
        let fill = liveness.fill(NOW, MEMORY);
        (fill.bytes, fill.per_mille)
    }

    #[test]
    fn acceptors_are_as_full_as_those_that_a_quorum_cannot_do_without() {
        let mut liveness = liveness(3);
        assert_eq!(fill(&liveness), (0, 0));
        liveness.has_room(AcceptorId(1), VoteRoom { used_bytes: 90, limit_bytes: 100 });
        assert_eq!(fill(&liveness), (0, 0), "two others make a quorum");
        liveness.has_room(AcceptorId(2), VoteRoom { used_bytes: 30, limit_bytes: 60 });
        assert_eq!(fill(&liveness), (30, 500));
        liveness.full(AcceptorId(3), NOW);
        assert_eq!(fill(&liveness), (30, 900), "its disk is full");
    }

    #[test]
    fn with_silent_acceptors_fewer_full_ones_leave_no_quorum() {
        let mut liveness = liveness(5);
        let voters = [1, 2, 3].map(AcceptorId);
        for (acceptor, used_bytes) in voters.into_iter().zip([90, 60, 50]) {
            liveness.has_room(acceptor, VoteRoom { used_bytes, limit_bytes: 100 });
        }
        liveness.full(AcceptorId(1), NOW);
        for _ in 0..2 {
            liveness.heartbeat();
        }
        assert_eq!(fill(&liveness), (50, 500), "a new leader takes nobody for silent");
        assert!(!liveness.has_no_room(NOW, MEMORY));
        for acceptor in voters {
            liveness.answered(acceptor);
        }
        liveness.heartbeat();
        assert_eq!(fill(&liveness), (90, 1_000), "4 and 5 are silent, so all others are needed");
        assert!(liveness.has_no_room(NOW, MEMORY));
        liveness.voted(AcceptorId(1));
        assert!(!liveness.has_no_room(NOW, MEMORY));
    }

    #[test]
    fn a_leader_that_is_cut_off_calls_nobody_full() {
        let mut liveness = liveness(3);
        liveness.has_room(AcceptorId(1), VoteRoom { used_bytes: 90, limit_bytes: 100 });
        liveness.full(AcceptorId(1), NOW);
        for _ in 0..3 {
            liveness.heartbeat();
            liveness.answered(AcceptorId(1));
        }
        assert!(liveness.is_cut_off());
        assert_eq!(fill(&liveness), (0, 0), "two that are not heard may have room");
    }
}
