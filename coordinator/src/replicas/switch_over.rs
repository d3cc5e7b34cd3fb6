//! Which view makes another replica primary while the present one lives, or does without
//! a replica.
//!
//! The new primary takes mutations once it has executed its view, and with it whatever
//! stands before that in the log: so only a replica is taken that has executed nearly all
//! that is chosen. What it lacks when the view is proposed is how long nobody takes any.
//!
//! A replica is taken out for good by a view that says so ([`Removal`]), which hands over
//! where it was the primary. What acceptors have trimmed must be held by the others as
//! [`trimming`](super::trimming) promises.

use std::cmp::Reverse;
use std::time::Duration;

use shared::ids::{Epoch, Instance, Name, Slot};
use shared::message::{PrimaryRefused, Removal, Unable, UnableReplica, View, WantedPrimary};

use super::trimming::enough_copies;
use super::view_change::view_of;
use super::{ReplicaProgress, Replicas};
use crate::config::Config;

/// What it takes to have a replica for primary, or one out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SwitchOver {
    /// Nothing: this view serves.
    Done(View),
    /// This view.
    To(View),
    /// This view, which takes a replica out.
    Without(Removal),
}

/// How far the log has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogMarks {
    /// Every slot below is chosen.
    pub(crate) chosen_below: Slot,
    /// Every slot below is trimmed, or may be.
    pub(crate) trimmed_below: Slot,
}

/// What is known, to judge by.
#[derive(Clone, Copy)]
struct Known<'a> {
    config: &'a Config,
    now: Duration,
    replicas: &'a Replicas,
    marks: LogMarks,
}

/// What it takes to have what was asked for.
pub(crate) fn switch_over(
    config: &Config,
    now: Duration,
    replicas: &Replicas,
    marks: LogMarks,
    wanted: &WantedPrimary,
) -> Result<SwitchOver, PrimaryRefused> {
    let known = Known { config, now, replicas, marks };
    match wanted {
        WantedPrimary::Replica(replica) => known.to(replica),
        WantedPrimary::Another { than, instance } => match replicas.view() {
            None => Err(PrimaryRefused::NobodyAble { others: Vec::new() }),
            Some(view) if is_primary(view, than, *instance) => Ok(SwitchOver::To(view_of(
                config,
                now,
                replicas,
                known.best_but(view, than)?,
                None,
            ))),
            Some(view) => Ok(SwitchOver::Done(view.clone())),
        },
        WantedPrimary::Without { removed, out_since } => {
            known.without(removed, *out_since).map(SwitchOver::Without)
        }
    }
}

impl Known<'_> {
    fn to(self, replica: &Name) -> Result<SwitchOver, PrimaryRefused> {
        let Self { config, now, replicas, .. } = self;
        let heard = replicas.get(replica);
        let Some(view) = replicas.view().filter(|view| view.contains(replica)) else {
            let unknown = || PrimaryRefused::Unknown { replica: replica.clone() };
            let outside = PrimaryRefused::NotInView { replica: replica.clone() };
            return Err(heard.map_or_else(unknown, |_| outside));
        };
        let silent = PrimaryRefused::Unable { replica: replica.clone(), why: Unable::Silent };
        let heard = heard.ok_or(silent)?;
        if is_primary(view, replica, heard.instance) {
            return Ok(SwitchOver::Done(view.clone()));
        }
        if let Some(why) = self.why_unable(replica, heard) {
            return Err(PrimaryRefused::Unable { replica: replica.clone(), why });
        }
        let primary = (replica.clone(), heard.instance);
        Ok(SwitchOver::To(view_of(config, now, replicas, primary, None)))
    }

    /// The best backup of a view to take over from its primary.
    fn best_but(self, view: &View, than: &Name) -> Result<(Name, Instance), PrimaryRefused> {
        let (mut able, mut others) = (Vec::new(), Vec::new());
        for name in view.backups.iter().filter(|name| *name != than) {
            let heard = self.replicas.get(name);
            match heard.map(|heard| (heard, self.why_unable(name, heard))) {
                Some((heard, None)) => able.push((name, heard)),
                found => {
                    let why = found.and_then(|(_, why)| why).unwrap_or(Unable::Silent);
                    others.push(UnableReplica { replica: name.clone(), why });
                }
            }
        }
        let best =
            able.into_iter().max_by_key(|(name, heard)| (heard.executed_below, Reverse(*name)));
        let (name, heard) = best.ok_or(PrimaryRefused::NobodyAble { others })?;
        Ok((name.clone(), heard.instance))
    }

    /// Whether there is a replica to be taken out: where one of that name was, only another
    /// one that has executed the log up to there. What is remembered of the one that was is
    /// not it.
    fn is_there(self, view: &View, replica: &Name, out_since: Option<Epoch>) -> bool {
        if view.contains(replica) {
            return out_since.is_none_or(|epoch| view.epoch > epoch);
        }
        let heard = self.replicas.get(replica);
        heard.is_some_and(|heard| out_since.is_none_or(|epoch| heard.epoch() >= epoch))
    }

    /// The primary of a view where it stays: taking somebody out must not leave those who
    /// cannot go on.
    fn staying(self, view: &View) -> Result<(Name, Instance), PrimaryRefused> {
        let (name, instance) = (&view.primary, view.primary_instance);
        let heard = self.replicas.get(name).filter(|heard| heard.instance == instance);
        let why = heard.map_or(Some(Unable::Silent), |heard| self.why_unable(name, heard));
        match why {
            None => Ok((name.clone(), instance)),
            Some(why) => Err(PrimaryRefused::Unable { replica: name.clone(), why }),
        }
    }

    /// The next view without a replica, of whom all databases are out from then on.
    fn without(self, removed: &Name, out_since: Option<Epoch>) -> Result<Removal, PrimaryRefused> {
        let Self { config, now, replicas, marks } = self;
        let replica = || removed.clone();
        let view = replicas.view().filter(|view| self.is_there(view, removed, out_since));
        let view = view.ok_or_else(|| PrimaryRefused::Unknown { replica: replica() })?;
        if view.format < Removal::FORMAT {
            return Err(PrimaryRefused::LogTooOld { found: view.format });
        }
        let primary = if view.primary != *removed {
            self.staying(view)?
        } else if view.backups.is_empty() {
            return Err(PrimaryRefused::Last { replica: replica() });
        } else {
            self.best_but(view, removed)?
        };
        let next = view_of(config, now, replicas, primary, Some(removed));
        let has_trimmed = |name: &&Name| {
            let heard = replicas.get(name);
            heard.is_some_and(|heard| {
                let is_there = heard.is_recent(config, now) && !heard.has_ended();
                is_there && replicas.durable_below(name) >= marks.trimmed_below
            })
        };
        let members = || std::iter::once(&next.primary).chain(&next.backups);
        if members().filter(has_trimmed).count() < enough_copies(members().count()) {
            let behind = members().filter(|name| !has_trimmed(name)).cloned().collect();
            let trimmed_below = marks.trimmed_below;
            return Err(PrimaryRefused::TooFewCopies { replica: replica(), trimmed_below, behind });
        }
        Ok(Removal { view: next, replica: replica() })
    }

    /// Why a replica cannot take over from a primary that can do its work.
    fn why_unable(self, name: &Name, heard: &ReplicaProgress) -> Option<Unable> {
        let Self { config, now, replicas, marks } = self;
        let slots = marks.chosen_below.0.saturating_sub(heard.executed_below.0);
        let limit = config.switch_lag;
        if heard.is_ending() {
            Some(Unable::Ending)
        } else if heard.highest_format < replicas.format() {
            Some(Unable::OldFormat)
        } else if !replicas.live(config, now).any(|(live, _)| live == name) {
            Some(Unable::Silent)
        } else if !replicas.is_able(config, now, heard) {
            Some(Unable::CannotExecute)
        } else if slots > limit {
            Some(Unable::Behind { slots, limit })
        } else {
            None
        }
    }
}

fn is_primary(view: &View, name: &Name, instance: Instance) -> bool {
    view.primary == *name && view.primary_instance == instance
}
