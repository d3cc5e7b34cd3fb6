//! For how long a replica has been silent, behind, or unable to execute, and what that
//! makes of it: able to be primary, or gone from the view.

use std::time::Duration;

use shared::ids::{Name, Slot};
use shared::message::Storage;

use super::{ReplicaProgress, Replicas};
use crate::config::Config;

impl Replicas {
    /// How long nothing came from a replica while this process listened.
    pub(crate) fn silence(&self, now: Duration, name: &Name) -> Duration {
        let since = self.heard.get(name).map_or(self.view_known_at, |heard| heard.heard_at);
        now.saturating_sub(since.max(self.listening_since))
    }

    /// Sets each replica that has reached its goal the next one: the mark that enough
    /// replicas hold durably now.
    pub(crate) fn set_goals(&mut self, now: Duration, mark: Slot) {
        for heard in self.heard.values_mut().filter(|heard| heard.durable_below >= heard.goal) {
            heard.goal = mark;
            heard.goal_since = now;
        }
    }

    /// For how long a replica has not made durable what enough others held before.
    pub(crate) fn behind_for(&self, now: Duration, name: &Name) -> Duration {
        let since = match self.heard.get(name) {
            Some(heard) if heard.durable_below >= heard.goal => return Duration::ZERO,
            Some(heard) => heard.goal_since,
            None => self.view_known_at,
        };
        now.saturating_sub(since.max(self.listening_since))
    }

    /// For how long a replica's disk has taken nothing; none while it takes more.
    fn unwritable_for(&self, now: Duration, heard: &ReplicaProgress) -> Option<Duration> {
        (heard.storage != Storage::Writable)
            .then(|| now.saturating_sub(heard.storage_since.max(self.listening_since)))
    }

    /// For how long a replica has executed nothing while chosen slots waited.
    fn stalled_for(&self, now: Duration, heard: &ReplicaProgress) -> Duration {
        now.saturating_sub(heard.moved_at.max(self.listening_since))
    }

    /// Whether a replica has been unable to execute for longer than a primary may be.
    pub(crate) fn is_unable(
        &self,
        config: &Config,
        now: Duration,
        heard: &ReplicaProgress,
    ) -> bool {
        self.unwritable_for(now, heard).is_some_and(|lasts| lasts >= config.unwritable_timeout)
            || self.stalled_for(now, heard) >= config.execution_timeout
    }

    /// Whether a replica can execute, as far as is known.
    pub(crate) fn is_able(&self, config: &Config, now: Duration, heard: &ReplicaProgress) -> bool {
        heard.storage == Storage::Writable
            && self.stalled_for(now, heard) < config.execution_timeout
    }

    /// Whether a replica has been able for so long that it may take over from one that is
    /// not: where all disks fill up, or one fills and empties, views do not flap.
    pub(crate) fn is_surely_able(
        &self,
        config: &Config,
        now: Duration,
        heard: &ReplicaProgress,
    ) -> bool {
        self.is_able(config, now, heard)
            && now.saturating_sub(heard.storage_since.max(self.listening_since))
                >= config.able_memory
    }

    /// Whether a replica was silent, or unable to execute, for so long that it leaves the
    /// view.
    pub(crate) fn is_gone(&self, config: &Config, now: Duration, name: &Name) -> bool {
        let unable = self.heard.get(name).map_or(Duration::ZERO, |heard| {
            let unwritable = self.unwritable_for(now, heard).unwrap_or_default();
            unwritable.max(self.stalled_for(now, heard))
        });
        self.silence(now, name).max(unable) >= config.replica_gone_after
    }
}
