//! What the replicas said of themselves: who lives, who is primary, and what they hold
//! durably.
//!
//! Every coordinator listens, also while it stands by, so that a new leader knows at
//! once. News are kept per name and per life of the process; within one life they only
//! grow, whatever order the heartbeats come in.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use shared::ids::{Epoch, Instance, LogFormat, Name, Slot};
use shared::message::{Heartbeat, View};

use crate::config::Config;

mod footprint;

/// A replica as last heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) instance: Instance,
    pub(crate) heard_at: Duration,
    pub(crate) executed_below: Slot,
    pub(crate) durable_below: Slot,
    pub(crate) highest_format: LogFormat,
    /// The lives before this one, the latest last: what they said late counts for
    /// nothing, above all not as durable. Unless the present one falls silent: to one who
    /// heard of neither before, the news of a dead life may have come last.
    former: VecDeque<Instance>,
}

/// How many former lives of a replica are remembered. A heartbeat is late by seconds at
/// the most, and a life takes longer.
const FORMER_LIVES: usize = 8;

/// The replicas, as seen from here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replicas {
    heard: BTreeMap<Name, Heard>,
    view: Option<View>,
    view_known_at: Duration,
    first_heard_at: Option<Duration>,
    /// Since when this process has run without a pause: silence before that is its own
    /// fault.
    listening_since: Duration,
}

impl Replicas {
    /// Takes up a heartbeat.
    pub(crate) fn hear(&mut self, config: &Config, now: Duration, heartbeat: Heartbeat) {
        let Heartbeat { replica, instance, view, executed_below, durable_below, .. } = heartbeat;
        let highest_format = heartbeat.highest_format;
        if !self.heard.contains_key(&replica) && !self.make_room(config, now) {
            return;
        }
        self.first_heard_at.get_or_insert(now);
        let news = Heard {
            instance,
            heard_at: now,
            executed_below,
            durable_below,
            highest_format,
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
            heard.executed_below = heard.executed_below.max(executed_below);
            heard.durable_below = heard.durable_below.max(durable_below);
        } else {
            let mut former = std::mem::take(&mut heard.former);
            former.retain(|former| *former != instance);
            former.push_back(heard.instance);
            while former.len() > FORMER_LIVES {
                former.pop_front();
            }
            *heard = Heard { former, ..news };
        }
        if let Some(view) = view.filter(|view| view.epoch > self.epoch()) {
            self.view = Some(view);
            self.view_known_at = now;
        }
    }

    /// Makes room for one more by forgetting one that is silent and in no view; false if
    /// there is none.
    fn make_room(&mut self, config: &Config, now: Duration) -> bool {
        if self.heard.len() < config.max_replicas {
            return true;
        }
        let view = self.view.as_ref();
        let idle = |(name, heard): &(&Name, &Heard)| {
            !heard.is_recent(config, now) && !view.is_some_and(|view| view.contains(name))
        };
        let forgotten = self.heard.iter().find(idle).map(|(name, _)| name.clone());
        forgotten.is_some_and(|name| self.heard.remove(&name).is_some())
    }

    /// This process was paused until now.
    pub(crate) fn resume_listening(&mut self, now: Duration) {
        self.listening_since = now;
    }

    /// The view with the highest epoch that any replica has executed.
    pub(crate) fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// The format that the log has in that view.
    pub(crate) fn format(&self) -> LogFormat {
        self.view.as_ref().map_or(LogFormat::FIRST, |view| view.format)
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.view.as_ref().map_or(Epoch(0), |view| view.epoch)
    }

    pub(crate) fn first_heard_at(&self) -> Option<Duration> {
        self.first_heard_at
    }

    pub(crate) fn get(&self, name: &Name) -> Option<&Heard> {
        self.heard.get(name)
    }

    /// Those heard from lately enough to be primary, that can read the log's format.
    pub(crate) fn live(
        &self,
        config: &Config,
        now: Duration,
    ) -> impl Iterator<Item = (&Name, &Heard)> {
        let timeout = config.primary_timeout;
        let format = self.format();
        self.heard.iter().filter(move |(_, heard)| {
            now.saturating_sub(heard.heard_at) < timeout && heard.highest_format >= format
        })
    }

    /// How long nothing came from a replica while this process listened.
    pub(crate) fn silence(&self, now: Duration, name: &Name) -> Duration {
        let since = self.heard.get(name).map_or(self.view_known_at, |heard| heard.heard_at);
        now.saturating_sub(since.max(self.listening_since))
    }

    /// How far acceptors may trim: the second highest durable mark in the view (the only
    /// one, where there is but one replica). None while too few were heard from.
    pub(crate) fn durable_twice(&self, config: &Config, now: Duration) -> Option<Slot> {
        let view = self.view.as_ref()?;
        let needed = if self.is_alone(config, now, view) { 1 } else { 2 };
        let members = std::iter::once(&view.primary).chain(&view.backups);
        let heard = members
            .filter_map(|name| self.heard.get(name))
            .filter(|heard| heard.is_recent(config, now));
        let mut durable: Vec<Slot> = heard.map(|heard| heard.durable_below).collect();
        durable.sort_unstable_by(|one, other| other.cmp(one));
        durable.get(needed - 1).copied()
    }

    /// Whether the view names the only replica there is. One that starts before the
    /// others is for a moment alone in its view: were anything trimmed then, it would be
    /// lost with that one's disk. So every other one must have been silent for long,
    /// while this process listened: not before it took its first heartbeat, nor while it
    /// was paused.
    fn is_alone(&self, config: &Config, now: Duration, view: &View) -> bool {
        let is_long = |silence: Duration| silence >= config.durable_memory;
        let others = || self.heard.keys().filter(|name| **name != view.primary);
        let listened = self
            .first_heard_at
            .map_or(Duration::ZERO, |first| now.saturating_sub(first.max(self.listening_since)));
        view.backups.is_empty()
            && is_long(listened)
            && others().all(|name| is_long(self.silence(now, name)))
    }
}

impl Heard {
    /// Whether it was heard from within the time that counts for trimming.
    fn is_recent(&self, config: &Config, now: Duration) -> bool {
        now.saturating_sub(self.heard_at) < config.durable_memory
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::ClusterId;

    use super::*;

    #[test]
    fn what_a_former_life_says_late_counts_for_nothing() {
        let config = Config::new(3);
        let name: Name = "replica-1".parse().unwrap();
        let mut replicas = Replicas::default();
        let mut hear = |instance, durable_below| {
            replicas.hear(
                &config,
                Duration::from_secs(1),
                Heartbeat {
                    cluster: ClusterId(1),
                    replica: name.clone(),
                    instance: Instance(instance),
                    url: String::new(),
                    view: None,
                    executed_below: Slot(durable_below),
                    durable_below: Slot(durable_below),
                    highest_format: LogFormat::FIRST,
                    nudge_below: None,
                },
            );
            let heard = replicas.get(&name).unwrap();
            (heard.instance, heard.durable_below)
        };
        assert_eq!(hear(1, 1_000), (Instance(1), Slot(1_000)));
        assert_eq!(hear(2, 0), (Instance(2), Slot(0)), "it lost its disk and is back");
        assert_eq!(hear(1, 1_000), (Instance(2), Slot(0)), "late");
        assert_eq!(hear(2, 7), (Instance(2), Slot(7)));
    }

    #[test]
    fn a_life_that_goes_on_speaking_outlasts_the_late_word_of_a_dead_one() {
        // A coordinator that was just started hears the present life first, and then what
        // the one before it had said.
        let config = Config::new(3);
        let name: Name = "replica-1".parse().unwrap();
        let mut replicas = Replicas::default();
        let mut hear = |at_ms, instance| {
            let (cluster, replica) = (ClusterId(1), name.clone());
            let (instance, url, durable) = (Instance(instance), String::new(), Slot(0));
            let (executed_below, durable_below) = (durable, durable);
            let heartbeat = Heartbeat {
                cluster,
                replica,
                instance,
                url,
                view: None,
                executed_below,
                durable_below,
                highest_format: LogFormat::FIRST,
                nudge_below: None,
            };
            replicas.hear(&config, Duration::from_millis(at_ms), heartbeat);
            replicas.get(&name).unwrap().instance
        };
        let (dead, present) = (Instance(1), Instance(2));
        assert_eq!(hear(1_000, 2), present);
        assert_eq!(hear(1_001, 1), dead, "nobody knows which of them is the older");
        let believed: Vec<Instance> = (1..=7).map(|beat| hear(1_000 + 100 * beat, 2)).collect();
        assert_eq!(believed, [dead, dead, dead, dead, dead, dead, present]);
        assert_eq!(hear(1_750, 1), present, "late once more");
    }

    #[test]
    fn a_replica_is_the_only_one_once_no_other_was_heard_of_for_long_by_one_who_listened() {
        let config = Config::new(3);
        let name: Name = "replica-1".parse().unwrap();
        let mut replicas = Replicas::default();
        let mut trimmed = |at_s, was_paused: bool| {
            let now = Duration::from_secs(at_s);
            if was_paused {
                replicas.resume_listening(now);
            }
            let view = View {
                epoch: Epoch(1),
                primary: name.clone(),
                primary_instance: Instance(1),
                backups: Vec::new(),
                format: LogFormat::FIRST,
            };
            let (cluster, replica, instance, url) =
                (ClusterId(1), name.clone(), Instance(1), String::new());
            let (executed_below, durable_below, view) = (Slot(5), Slot(5), Some(view));
            let heartbeat = Heartbeat {
                cluster,
                replica,
                instance,
                url,
                view,
                executed_below,
                durable_below,
                highest_format: LogFormat::FIRST,
                nudge_below: None,
            };
            replicas.hear(&config, now, heartbeat);
            replicas.durable_twice(&config, now)
        };
        assert_eq!(trimmed(60, false), None, "it knew of no cluster before, and took no heartbeat");
        assert_eq!(trimmed(69, false), None);
        assert_eq!(trimmed(70, false), Some(Slot(5)));
        assert_eq!(trimmed(80, true), None, "another may have spoken all the time");
        assert_eq!(trimmed(90, false), Some(Slot(5)));
    }
}
