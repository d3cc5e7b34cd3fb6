//! Whether leaders count a disk that they must know to be lost.
//!
//! What is trimmed must be durable twice, and the second copy is there because the first
//! may be lost. A leader that has not heard of the loss rightly goes by what the replica
//! said before it; one that has heard of the next life must go by that. Where there is
//! but one replica one copy must do; but the replica that starts first is for a moment
//! the only one, too, so a leader goes by that only once it has listened for long.
//!
//! All times here are by the coordinator's own clock, since it started: what its clock
//! skips it must notice.

use std::time::Duration;

use shared::ids::{Instance, Slot};

use super::{Observer, ReplicaSeen};
use crate::simulation::node::NodeId;

/// What a coordinator heard of a replica.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    instance: Instance,
    /// Of this life and no other since …
    since: Duration,
    /// … until now.
    latest: Duration,
}

/// For how long a coordinator may take the late word of an earlier life for the present
/// one: until it has been silent for the time that a primary may be.
const CONFUSION: Duration = Duration::from_millis(600);

/// For how long a coordinator must have listened, and heard of one replica only, before
/// it takes that for the only one: ten seconds, less what the late word of an earlier
/// life may come after the last of the present one, which counts for nothing there.
const LONG: Duration = Duration::from_secs(9);

/// Whoever was away for longer must notice, by the slowest clock: what it has listened
/// before counts for nothing.
const NOTICED: Duration = Duration::from_millis(600);

impl Heard {
    /// Whether the coordinator must know by now which life is the present one.
    fn is_sure(&self) -> bool {
        self.latest.saturating_sub(self.since) > CONFUSION
    }
}

impl Observer {
    /// A coordinator takes a heartbeat.
    pub fn heard(
        &mut self,
        now: Duration,
        (coordinator, replica): (NodeId, NodeId),
        instance: Instance,
    ) {
        self.listening_since.entry(coordinator).or_insert(now);
        let news = Heard { instance, since: now, latest: now };
        let heard = self.heard.entry((coordinator, replica)).or_insert(news);
        if heard.instance == instance {
            heard.latest = now;
        } else {
            *heard = news;
        }
    }

    /// A process was stopped for so long, or its clock has jumped that far.
    pub fn was_away(&mut self, now: Duration, node: NodeId, lasted: Duration) {
        if let Some(since) = self.listening_since.get_mut(&node).filter(|_| lasted > NOTICED) {
            *since = now;
        }
    }

    /// A leader lets acceptors trim. What one was right to allow stays allowed, whoever
    /// says it again.
    pub fn allows_trimming(&mut self, now: Duration, leader: NodeId, below: Slot) {
        if below > self.trim_below {
            let needed = if self.may_count_on_one(now, leader) {
                self.golden.copies_needed(below)
            } else {
                2
            };
            self.invariant_no_lost_disk_counts(leader, below, needed);
            self.trim_below = below;
        }
    }

    /// Whether it has listened for long, and in all that time heard of one replica only.
    fn may_count_on_one(&self, now: Duration, leader: NodeId) -> bool {
        let is_long = |since: Duration| now.saturating_sub(since) >= LONG;
        let of_leader = self.heard.iter().filter(|((coordinator, _), _)| *coordinator == leader);
        let has_listened = self.listening_since.get(&leader).is_some_and(|since| is_long(*since));
        has_listened && of_leader.filter(|(_, heard)| !is_long(heard.latest)).count() <= 1
    }

    /// Whether nobody else holds all that may be trimmed, and nobody else need: there was
    /// but one replica when it was allowed.
    #[must_use]
    pub fn is_only_copy(&self, replica: NodeId) -> bool {
        let NodeId::Replica(number) = replica else { return false };
        let is_holder = |(other, seen): (usize, &ReplicaSeen)| {
            other != usize::from(number) && seen.durable_below >= self.trim_below
        };
        self.golden.copies_needed(self.trim_below) == 1
            && !self.replicas.iter().enumerate().any(is_holder)
    }

    /// A lost disk counts for a leader only until it hears of a life that began without
    /// it.
    fn invariant_no_lost_disk_counts(&self, leader: NodeId, below: Slot, needed: usize) {
        let is_held = |(number, seen): &(usize, &ReplicaSeen)| {
            let replica = NodeId::Replica(u8::try_from(*number).expect("few replicas"));
            let knows = self
                .heard
                .get(&(leader, replica))
                .is_some_and(|heard| heard.is_sure() && seen.lives_since.contains(&heard.instance));
            let durable_below = if knows { seen.durable_below } else { seen.ever_durable_below };
            durable_below >= below
        };
        let holders = self.replicas.iter().enumerate().filter(is_held).count();
        assert!(
            holders >= needed,
            "invariant: no lost disk counts: {leader} lets all below {below} be trimmed, which {holders} of {needed} hold ({:?})",
            self.replicas
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::failure::watch;
    use crate::simulation::plan::Topology;

    const LEADER: NodeId = NodeId::Coordinator(0);
    const FIRST: NodeId = NodeId::Replica(0);
    const SECOND: NodeId = NodeId::Replica(1);

    /// A leader has heard the first replica since it started, and the first replica has
    /// all below 5.
    fn hears_one() -> Observer {
        let mut observer =
            Observer::new(&Topology { acceptors: 3, coordinators: 1, replicas: 2, clients: 1 });
        observer.durable(FIRST, Slot(5));
        for at in 0..=20 {
            observer.heard(Duration::from_secs(at), (LEADER, FIRST), Instance(1));
        }
        observer
    }

    fn may_trim(mut observer: Observer, at: u64) -> bool {
        watch(|| observer.allows_trimming(Duration::from_secs(at), LEADER, Slot(5))).is_ok()
    }

    #[test]
    fn one_copy_is_enough_for_who_listened_long_and_heard_of_one_replica_only() {
        assert!(may_trim(hears_one(), 20));
        assert!(!may_trim(hears_one(), 8), "another may be about to start");

        let mut observer = hears_one();
        observer.heard(Duration::from_secs(15), (LEADER, SECOND), Instance(2));
        assert!(!may_trim(observer, 20), "there is another");

        let mut observer = hears_one();
        observer.was_away(Duration::from_secs(15), LEADER, Duration::from_millis(500));
        assert!(may_trim(observer, 20), "it need not have noticed");

        let mut observer = hears_one();
        observer.was_away(Duration::from_secs(15), LEADER, Duration::from_secs(3));
        assert!(!may_trim(observer, 20), "another may have spoken meanwhile");

        let mut observer = hears_one();
        observer.coordinator_stopped(LEADER);
        assert!(!may_trim(observer, 20), "its next life has heard nothing");
    }

    #[test]
    fn two_copies_are_enough_at_once() {
        let mut observer = hears_one();
        observer.durable(SECOND, Slot(5));
        assert!(may_trim(observer, 1));
    }
}
