//! Which view there is, by what replicas tell of it.

use std::time::Duration;

use shared::ids::{Epoch, LogFormat, Name, Slot};
use shared::message::View;

use super::{ReplicaProgress, Replicas};
use crate::config::Config;

impl Replicas {
    /// The view is the latest that two replicas have told of, or a later one that one of
    /// them tells of that is not silent: else the word of one alone, though it were never
    /// true, would hold the epoch up for ever.
    pub(crate) fn settle_view(&mut self, config: &Config, now: Duration, chosen_below: Slot) {
        self.forget_refuted(config, now, chosen_below);
        let epoch = |view: &Option<View>| view.as_ref().map(|view| view.epoch);
        let mut told: Vec<&View> =
            self.heard.values().filter_map(|heard| heard.view.as_ref()).collect();
        told.sort_by_key(|view| std::cmp::Reverse(view.epoch));
        if let Some(second) = told.get(1)
            && Some(second.epoch) > epoch(&self.vouched)
        {
            self.vouched = Some((*second).clone());
        }
        let recent = self.heard.values().filter(|heard| heard.is_recent(config, now));
        let latest = recent.filter_map(|heard| heard.view.as_ref()).max_by_key(|view| view.epoch);
        let view = latest
            .filter(|latest| Some(latest.epoch) > epoch(&self.vouched))
            .or(self.vouched.as_ref());
        if epoch(&view.cloned()) != epoch(&self.view) {
            self.view = view.cloned();
            self.view_known_at = now;
        }
    }

    /// Forgets what the silent told of views after the latest that others tell of now, where
    /// one of these has executed all that is chosen: such a view would have been among that.
    /// However many told of it, no more names hold fail-over up than tell of it still.
    fn forget_refuted(&mut self, config: &Config, now: Duration, chosen_below: Slot) {
        let recent = || self.heard.values().filter(|heard| heard.is_recent(config, now));
        let Some(latest) = recent().map(ReplicaProgress::epoch).max() else { return };
        if !recent().any(|heard| heard.view.is_some() && heard.said_executed_below >= chosen_below)
        {
            return;
        }
        self.heard.retain(|_, heard| heard.is_recent(config, now) || heard.epoch() <= latest);
        self.vouched.take_if(|vouched| vouched.epoch > latest);
    }

    /// The view with the highest epoch that any replica has executed.
    pub(crate) fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// Who is primary of an epoch, of which this process may have proposed one: whoever two
    /// replicas say it is, or the proposed one, or the only one that is told of.
    pub(crate) fn primary_of<'a>(
        &'a self,
        epoch: Epoch,
        proposed: Option<&'a Name>,
    ) -> Option<&'a Name> {
        let views = self.heard.values().filter_map(|heard| heard.view.as_ref());
        let of_epoch = views.filter(|view| view.epoch == epoch);
        let told: Vec<&Name> = of_epoch.map(|view| &view.primary).collect();
        let times = |name: &Name| told.iter().filter(|told| **told == name).count();
        let only = told.first().filter(|first| times(first) == told.len()).copied();
        let mut by_two = told.iter().copied().filter(|name| times(name) >= 2);
        by_two.next().or(proposed).or(only)
    }

    /// No view before this one is ever told of again.
    pub(crate) fn lowest_epoch(&self) -> Epoch {
        self.vouched.as_ref().map_or(Epoch(0), |view| view.epoch)
    }

    /// Whether a replica says at once that it has executed that view, and all below the
    /// slot: then no later view is there.
    pub(crate) fn tell_of_view_at(&self, slot: Slot) -> bool {
        let epoch = self.epoch();
        self.heard.values().any(|heard| heard.epoch() == epoch && heard.said_executed_below >= slot)
    }

    /// The format that the log has in that view.
    pub(crate) fn format(&self) -> LogFormat {
        self.view.as_ref().map_or(LogFormat::FIRST, |view| view.format)
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.view.as_ref().map_or(Epoch(0), |view| view.epoch)
    }

    /// Whether the primary of a view has told that it has executed it, and so takes mutations.
    pub(crate) fn has_begun(&self, view: &View) -> bool {
        self.get(&view.primary).is_some_and(|heard| {
            heard.instance == view.primary_instance && heard.epoch() >= view.epoch
        })
    }
}
