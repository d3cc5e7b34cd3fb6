//! Whether leaders count a disk that they must know to be lost.
//!
//! What is trimmed must be durable twice (once, where there is but one replica), and the second copy is there because the first may be lost. A leader that has not heard
//! of the loss rightly goes by what the replica said before it; one that has heard of the next life must go by that.

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

/// For how long a coordinator may take the late word of an earlier life for the present one: until it has been silent for the
/// time that a primary may be, by the slowest clock.
const CONFUSION: Duration = Duration::from_millis(1_500);

/// Whoever heard of two replicas within this time knows that there is more than one, by the fastest clock.
const LATELY: Duration = Duration::from_secs(2);

impl Heard {
    /// Whether the coordinator must know by now which life is the present one.
    fn is_sure(&self) -> bool {
        self.latest.saturating_sub(self.since) > CONFUSION
    }
}

impl Observer {
    /// A coordinator takes a heartbeat.
    pub fn heard(&mut self, now: Duration, (coordinator, replica): (NodeId, NodeId), instance: Instance) {
        let news = Heard { instance, since: now, latest: now };
        let heard = self.heard.entry((coordinator, replica)).or_insert(news);
        if heard.instance == instance {
            heard.latest = now;
        } else {
            *heard = news;
        }
    }

    /// A leader lets acceptors trim. What one was right to allow stays allowed, whoever says it again.
    pub fn allows_trimming(&mut self, now: Duration, leader: NodeId, below: Slot) {
        if below > self.trim_below {
            let needed = if self.knows_of_many(now, leader) { 2 } else { self.golden.copies_needed(below) };
            self.invariant_no_lost_disk_counts(leader, below, needed);
            self.trim_below = below;
        }
    }

    fn knows_of_many(&self, now: Duration, leader: NodeId) -> bool {
        let lately = |heard: &Heard| now.saturating_sub(heard.latest) < LATELY;
        self.heard.iter().filter(|((coordinator, _), heard)| *coordinator == leader && lately(heard)).count() > 1
    }

    /// Whether nobody else holds all that may be trimmed, and nobody else need: there was but one replica when it was allowed.
    #[must_use]
    pub fn is_only_copy(&self, replica: NodeId) -> bool {
        let NodeId::Replica(number) = replica else { return false };
        let is_holder =
            |(other, seen): (usize, &ReplicaSeen)| other != usize::from(number) && seen.durable_below >= self.trim_below;
        self.golden.copies_needed(self.trim_below) == 1 && !self.replicas.iter().enumerate().any(is_holder)
    }

    /// A lost disk counts for a leader only until it hears of a life that began without it.
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
