//! What the replicas said of themselves: who lives, who is primary, and what they hold
//! durably.
//!
//! Every coordinator listens, also while it stands by, so that a new leader knows at
//! once. News are kept per name and per life of the process; within one life they only
//! grow, whatever order the heartbeats come in.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use shared::bounds::{EPOCHS_AHEAD, SLOTS_AHEAD, TooFar, within};
use shared::chain::ChainHash;
use shared::ids::{Epoch, Instance, LogFormat, Name, Slot};
use shared::message::{Heartbeat, Storage, View};

use crate::config::Config;

mod ability;
mod footprint;
pub(crate) mod switch_over;
pub(crate) mod trimming;
mod view;
pub(crate) mod view_change;

/// A replica as last heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplicaProgress {
    pub(crate) instance: Instance,
    pub(crate) heard_at: Duration,
    /// When this life was said to be over, where nothing came from it since.
    ended_at: Option<Duration>,
    /// Whether this life has said that it is about to end.
    is_ending: bool,
    /// The view that it executed last, as it says.
    view: Option<View>,
    pub(crate) executed_below: Slot,
    pub(crate) durable_below: Slot,
    pub(crate) highest_format: LogFormat,
    /// What its latest heartbeat said is executed, be it less than one before.
    said_executed_below: Slot,
    /// The hash of the log below that.
    said_hash: ChainHash,
    pub(crate) storage: Storage,
    /// Since when its disk takes more, or takes no more.
    storage_since: Duration,
    /// When it last executed something, or had executed all that was known to be chosen.
    moved_at: Duration,
    /// What enough others held durably at `goal_since`: it is behind for as long as it
    /// has not reached that.
    goal: Slot,
    goal_since: Duration,
    /// What lives before this one had durably: to say who may still have it.
    pub(crate) former_durable_below: Slot,
    /// The lives before this one, the latest last: what they said late counts for
    /// nothing, above all not as durable. Unless the present one falls silent: to one who
    /// heard of neither before, the news of a dead life may have come last.
    former: VecDeque<Instance>,
}

/// Two replicas with another log each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TwoHistories<'a> {
    pub(crate) below: Slot,
    pub(crate) logs: [(&'a Name, ChainHash); 2],
}

/// How many former lives of a replica are remembered. A heartbeat is late by seconds at
/// the most, and a life takes longer.
const FORMER_LIVES: usize = 8;

/// The replicas, as seen from here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replicas {
    heard: BTreeMap<Name, ReplicaProgress>,
    view: Option<View>,
    /// The latest view that two replicas have told of.
    vouched: Option<View>,
    view_known_at: Duration,
    first_heard_at: Option<Duration>,
    /// Since when this process has run without a pause: silence before that is its own
    /// fault.
    listening_since: Duration,
}

impl Replicas {
    /// Takes up a heartbeat.
    pub(crate) fn hear(
        &mut self,
        config: &Config,
        now: Duration,
        chosen_below: Slot,
        heartbeat: Heartbeat,
    ) {
        let Heartbeat { replica, instance, view, executed_below, durable_below, .. } = heartbeat;
        let Heartbeat { hash, highest_format, storage, .. } = heartbeat;
        if !self.heard.contains_key(&replica) && !self.make_room(config, now) {
            return;
        }
        self.first_heard_at.get_or_insert(now);
        let news = ReplicaProgress {
            instance,
            heard_at: now,
            ended_at: None,
            is_ending: false,
            view: view.clone(),
            executed_below,
            durable_below,
            highest_format,
            said_executed_below: executed_below,
            said_hash: hash,
            storage,
            storage_since: now,
            moved_at: now,
            goal: Slot(0),
            goal_since: now,
            former_durable_below: Slot(0),
            former: VecDeque::new(),
        };
        let heard = self.heard.entry(replica).or_insert_with(|| news.clone());
        if heard.former.contains(&instance)
            && now.saturating_sub(heard.heard_at) < config.primary_timeout
        {
            return;
        }
        if heard.instance == instance {
            heard.heard_at = now;
            heard.ended_at = heard
                .ended_at
                .filter(|ended_at| now.saturating_sub(*ended_at) < config.ended_memory);
            heard.view = view;
            if executed_below > heard.executed_below || executed_below >= chosen_below {
                heard.moved_at = now;
            }
            if (storage == Storage::Writable) != (heard.storage == Storage::Writable) {
                heard.storage_since = now;
            }
            heard.storage = storage;
            (heard.said_executed_below, heard.said_hash) = (executed_below, hash);
            heard.executed_below = heard.executed_below.max(executed_below);
            heard.durable_below = heard.durable_below.max(durable_below);
        } else {
            let mut former = std::mem::take(&mut heard.former);
            former.retain(|former| *former != instance);
            former.push_back(heard.instance);
            while former.len() > FORMER_LIVES {
                former.pop_front();
            }
            let former_durable_below = heard.former_durable_below.max(heard.durable_below);
            *heard = ReplicaProgress { former, former_durable_below, ..news };
        }
        self.settle_view(config, now, chosen_below);
    }

    /// Whether the numbers of a heartbeat can be so, where all below `chosen_below` is
    /// known to be chosen.
    pub(crate) fn check(&self, chosen_below: Slot, heartbeat: &Heartbeat) -> Result<(), TooFar> {
        let Heartbeat { view, executed_below, durable_below, nudge_below, .. } = heartbeat;
        let epoch = view.as_ref().map_or(0, |view| view.epoch.0);
        within("epoch", epoch, self.epoch().0, EPOCHS_AHEAD)?;
        within("executed_below", executed_below.0, chosen_below.0, SLOTS_AHEAD)?;
        within("durable_below", durable_below.0, chosen_below.0, SLOTS_AHEAD)?;
        within("nudge_below", nudge_below.map_or(0, |slot| slot.0), chosen_below.0, SLOTS_AHEAD)
    }

    /// Makes room for one more by forgetting one that is silent and in no view; false if
    /// there is none.
    fn make_room(&mut self, config: &Config, now: Duration) -> bool {
        if self.heard.len() < config.max_replicas {
            return true;
        }
        let view = self.view.as_ref();
        let idle = |(name, heard): &(&Name, &ReplicaProgress)| {
            !heard.is_recent(config, now) && !view.is_some_and(|view| view.contains(name))
        };
        let forgotten = self.heard.iter().find(idle).map(|(name, _)| name.clone());
        forgotten.is_some_and(|name| self.heard.remove(&name).is_some())
    }

    /// A process is over; says whether it is a replica's, as last heard.
    pub(crate) fn ended(&mut self, now: Duration, instance: Instance) -> bool {
        let of_it = self.heard.values_mut().find(|heard| heard.instance == instance);
        of_it.map(|heard| heard.ended_at = Some(now)).is_some()
    }

    /// A replica has said that this life of it is about to end.
    pub(crate) fn ends_soon(&mut self, name: &Name, instance: Instance) {
        if let Some(heard) = self.heard.get_mut(name).filter(|heard| heard.instance == instance) {
            heard.is_ending = true;
        }
    }

    /// A replica is taken out: what it said counts for nothing more.
    pub(crate) fn forget(&mut self, name: &Name) {
        self.heard.remove(name);
    }

    /// This process was paused until now.
    pub(crate) fn resume_listening(&mut self, now: Duration) {
        self.listening_since = now;
    }

    pub(crate) fn first_heard_at(&self) -> Option<Duration> {
        self.first_heard_at
    }

    /// What the member of the present view that has this name is known to hold durably: nothing,
    /// unless it tells of that view. One that does not may be data of that name that was taken
    /// out for good before, and is not the member.
    pub(crate) fn durable_below(&self, name: &Name) -> Slot {
        let member = self.heard.get(name).filter(|heard| heard.epoch() >= self.epoch());
        member.map_or(Slot(0), |heard| heard.durable_below)
    }

    pub(crate) fn get(&self, name: &Name) -> Option<&ReplicaProgress> {
        self.heard.get(name)
    }

    /// Those heard from lately enough to be primary, that can read the log's format.
    pub(crate) fn live(
        &self,
        config: &Config,
        now: Duration,
    ) -> impl Iterator<Item = (&Name, &ReplicaProgress)> {
        let timeout = config.primary_timeout;
        let format = self.format();
        self.heard.iter().filter(move |(_, heard)| {
            now.saturating_sub(heard.heard_at) < timeout
                && !heard.has_ended()
                && heard.highest_format >= format
        })
    }

    /// All that were heard of, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Name, &ReplicaProgress)> {
        self.heard.iter()
    }

    /// Whether this process has listened for long: only then silence says something.
    pub(crate) fn has_listened(&self, config: &Config, now: Duration) -> bool {
        let first = self.first_heard_at;
        first.is_some_and(|first| {
            now.saturating_sub(first.max(self.listening_since)) >= config.replica_memory
        })
    }

    /// Two heard from lately whose logs below one slot differ.
    pub(crate) fn two_histories(&self, config: &Config, now: Duration) -> Option<TwoHistories<'_>> {
        let recent = self.heard.iter().filter(|(_, heard)| heard.is_recent(config, now));
        let mut by_slot = BTreeMap::new();
        for (name, heard) in recent {
            let (below, hash) = (heard.said_executed_below, heard.said_hash);
            let first = by_slot.entry(below).or_insert((name, hash));
            if first.1 != hash {
                return Some(TwoHistories { below, logs: [*first, (name, hash)] });
            }
        }
        None
    }

    /// One heard from lately that says now to have executed above a slot. What it says
    /// now, not the most it ever said: a number that was forged passes.
    pub(crate) fn beyond(
        &self,
        config: &Config,
        now: Duration,
        slot: Slot,
    ) -> Option<(&Name, Slot)> {
        self.heard
            .iter()
            .filter(|(_, heard)| heard.is_recent(config, now) && heard.said_executed_below > slot)
            .map(|(name, heard)| (name, heard.said_executed_below))
            .max_by_key(|(_, said)| *said)
    }
}

impl ReplicaProgress {
    /// The epoch of the view that it executed last, as its latest heartbeat says.
    pub(crate) fn epoch(&self) -> Epoch {
        self.view.as_ref().map_or(Epoch(0), |view| view.epoch)
    }

    /// Whether this life of it is over, as far as is known.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended_at.is_some()
    }

    /// Whether this life of it is about to end, as it says.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_ending
    }

    /// Whether it was heard from lately.
    pub(crate) fn is_recent(&self, config: &Config, now: Duration) -> bool {
        now.saturating_sub(self.heard_at) < config.replica_memory
    }
}

#[cfg(test)]
mod tests;
