//! Whether leaders let acceptors trim only what is durable enough, by the disks themselves.
//!
//! What is trimmed must be durable on every replica of the view, as long as the slowest is
//! within a bound; past it on a majority of them, and at least two. Those do not count that
//! the leader has not heard from, or heard to be unable, for long. A disk that was lost
//! counts for a leader only until it has heard of a life that began without it: one that
//! has not rightly goes by what the replica said before.
//!
//! All times here are by the coordinator's own clock, since it started: what its clock
//! skips it must notice.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::ids::{Epoch, Instance, Slot};
use shared::message::{Heartbeat, Storage, View};

use super::{Observer, ReplicaSeen};
use crate::simulation::nodes::process::NodeId;

/// What a coordinator heard of a replica.
#[derive(Clone, Debug)]
pub(super) struct HeartbeatRecord {
    instance: Instance,
    /// Of this life and no other since …
    since: Duration,
    /// … until now.
    latest: Duration,
    /// A late word of an earlier life does not make the present one younger.
    lives: BTreeMap<Instance, Life>,
}

/// What a coordinator heard of one life of a replica.
#[derive(Clone, Copy, Debug)]
struct Life {
    latest: Duration,
    /// When its disk was last said to take more, and when it last said that it had
    /// executed more.
    writable_at: Duration,
    executed_at: Duration,
    executed_below: Slot,
}

/// For how long a coordinator may take the late word of an earlier life for the present
/// one: until it has been silent for the time that a primary may be.
const CONFUSION: Duration = Duration::from_millis(600);

/// Whoever was away for longer must notice, by the slowest clock: what it has listened
/// before counts for nothing.
const NOTICED: Duration = Duration::from_millis(600);

impl HeartbeatRecord {
    /// Whether the coordinator must know by now which life is the present one.
    fn is_sure(&self) -> bool {
        self.latest.saturating_sub(self.since) > CONFUSION
    }

    fn hear(&mut self, now: Duration, heartbeat: &Heartbeat) {
        let Heartbeat { instance, executed_below, storage, .. } = *heartbeat;
        if instance != self.instance {
            (self.instance, self.since) = (instance, now);
        }
        self.latest = now;
        let news = Life { latest: now, writable_at: now, executed_at: now, executed_below };
        let life = self.lives.entry(instance).or_insert(news);
        life.latest = now;
        if storage == Storage::Writable {
            life.writable_at = now;
        }
        if executed_below > life.executed_below {
            (life.executed_at, life.executed_below) = (now, executed_below);
        }
    }

    /// Since when, at the latest, it was silent or could not execute: by its present life where
    /// that was heard, otherwise by the one that was heard last.
    fn unable_since(&self, present: Instance) -> Duration {
        let life = self.lives.get(&present).unwrap_or(&self.lives[&self.instance]);
        life.latest.min(life.writable_at).min(life.executed_at)
    }
}

impl Observer {
    /// A coordinator takes a heartbeat.
    pub fn heard(
        &mut self,
        now: Duration,
        (coordinator, replica): (NodeId, NodeId),
        heartbeat: &Heartbeat,
    ) {
        self.listening_since.entry(coordinator).or_insert(now);
        self.heard
            .entry((coordinator, replica))
            .or_insert_with(|| HeartbeatRecord {
                instance: heartbeat.instance,
                since: now,
                latest: now,
                lives: BTreeMap::new(),
            })
            .hear(now, heartbeat);
    }

    /// A process was stopped for so long, or its clock has jumped that far.
    pub fn was_away(&mut self, now: Duration, node: NodeId, lasted: Duration) {
        if let Some(since) = self.listening_since.get_mut(&node).filter(|_| lasted > NOTICED) {
            *since = now;
        }
    }

    /// An acceptor's disk is full: to trim is urgent from now on.
    pub fn acceptor_filled(&mut self) {
        self.is_roomy = false;
    }

    /// A leader lets acceptors trim, by the view of an epoch that it has heard of. What one
    /// was right to allow stays allowed, whoever says it again.
    pub fn allows_trimming(
        &mut self,
        now: Duration,
        (leader, epoch): (NodeId, Epoch),
        below: Slot,
    ) {
        if below > self.trim_below {
            self.invariant_trimmed_is_durable_enough(now, (leader, epoch), below);
            self.trim_below = below;
        }
    }

    /// A replica forgets the log below a slot.
    pub fn forgets(&self, node: NodeId, below: Slot) {
        let durable_below = self.replica(node).durable_below;
        assert!(
            below <= durable_below,
            "invariant: log is forgotten of which the state is durable: {node} forgets all below \
             {below}, and {durable_below} is"
        );
    }

    /// Whether nobody else that is left, and may not yet be taken out, holds all that may be
    /// trimmed.
    #[must_use]
    pub fn is_only_copy(&self, replica: NodeId) -> bool {
        let NodeId::Replica(number) = replica else { return false };
        let below = self.trim_below.max(self.held_twice_below());
        let is_holder = |(other, seen): (usize, &ReplicaSeen)| {
            let is_left = other != usize::from(number) && !seen.is_given_up && !seen.is_asked_out;
            is_left && !self.is_out(node(other)) && seen.durable_below >= below
        };
        self.trim_below > Slot(0) && !self.replicas.iter().enumerate().any(is_holder)
    }

    /// What two replicas hold: a leader that has heard of both may yet let it be trimmed,
    /// also after they are gone.
    fn held_twice_below(&self) -> Slot {
        let mut held: Vec<Slot> = self.replicas.iter().map(|seen| seen.durable_below).collect();
        held.sort_unstable();
        held.iter().rev().nth(1).copied().unwrap_or_default()
    }

    fn invariant_trimmed_is_durable_enough(
        &self,
        now: Duration,
        (leader, epoch): (NodeId, Epoch),
        below: Slot,
    ) {
        let Some(view) = self.golden.view(epoch) else {
            panic!(
                "invariant: {leader} lets all below {below} be trimmed in epoch {epoch} without a \
                 view"
            )
        };
        let holders = members(view).filter(|member| self.holds(leader, *member, below)).count();
        let left = members(view).filter(|member| !self.may_be_gone(now, leader, *member)).count();
        let needed = match left {
            // A single copy must do only where acceptors fill up.
            0 | 1 if self.is_roomy => 2,
            0 | 1 => 1,
            _ if self.must_wait_for_all(now, leader) => left,
            _ => (left / 2 + 1).max(2),
        };
        assert!(
            holders >= needed,
            "invariant: what is trimmed is durable enough: {leader} lets all below {below} be \
             trimmed, which {holders} of {view:?} \
             hold, and {needed} must ({:?})",
            self.replicas
        );
    }

    /// Whether the leader has not listened for long enough to call any replica slow. (That
    /// acceptors fill up is another reason, in the runs in which they do.)
    fn must_wait_for_all(&self, now: Duration, leader: NodeId) -> bool {
        let since = self.listening_since.get(&leader);
        self.is_roomy && since.is_none_or(|since| now.saturating_sub(*since) < self.trim_behind)
    }

    /// Whether the leader may take a replica for gone.
    fn may_be_gone(&self, now: Duration, leader: NodeId, replica: NodeId) -> bool {
        let listening = self.listening_since.get(&leader).copied().unwrap_or(now);
        let since = match self.heard.get(&(leader, replica)) {
            Some(heard) => heard.unable_since(self.replica(replica).instance),
            None => listening,
        };
        now.saturating_sub(since.max(listening)) >= self.gone_after
    }

    /// Whether a replica holds all below durably, or did on a disk that was lost before
    /// this leader could know.
    fn holds(&self, leader: NodeId, replica: NodeId, below: Slot) -> bool {
        let seen = self.replica(replica);
        let knows = self
            .heard
            .get(&(leader, replica))
            .is_some_and(|heard| heard.is_sure() && seen.lives_since.contains(&heard.instance));
        (if knows { seen.durable_below } else { seen.ever_durable_below }) >= below
    }
}

fn node(number: usize) -> NodeId {
    NodeId::Replica(u8::try_from(number).expect("few replicas"))
}

pub(super) fn members(view: &View) -> impl Iterator<Item = NodeId> {
    std::iter::once(&view.primary).chain(&view.backups).map(|name| {
        let number: Option<u8> = name.as_str().rsplit('-').next().and_then(|n| n.parse().ok());
        NodeId::Replica(number.expect("a replica's name ends with its number") - 1)
    })
}

#[cfg(test)]
mod tests;
