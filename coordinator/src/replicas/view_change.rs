//! When the leader proposes a view, and which.
//!
//! Who is primary is itself a chosen value, so two leaders that judge differently only
//! cost a view: an epoch is executed once, by whichever view for it comes first in the
//! log, and a view for an epoch that has passed is void.
//!
//! The present primary stays while it lives. A primary that was restarted is another (its
//! instance says so), since it does not know which numbers of batches its former life
//! used up, and stays only where no other one is about as far. It is also replaced when it
//! cannot execute (its disk is full, or it hangs while heartbeats go on) and another can,
//! which has executed as much; or when another one is asked for
//! ([`switch_over`](super::switch_over)). Whoever was silent or unable for long leaves the
//! view, and comes back once it is heard from and able. Whoever is not in the view joins
//! once it says to have executed it: a database that was taken out for good finds out by
//! that, and ends instead of saying so. Where nobody has what the acceptors have trimmed,
//! nobody could execute up to a view, and none is proposed.
//!
//! A view names the format of the log from there on. It is raised as soon as every replica
//! of the view has said that it can read a higher one; a replica that cannot read the
//! present one is neither primary nor taken in.

use std::cmp::Reverse;
use std::time::Duration;

use shared::ids::{Epoch, Instance, LogFormat, Name, Slot};
use shared::message::View;

use crate::config::Config;
use crate::replicas::{ReplicaProgress, Replicas};

/// A view that this leader proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProposedView {
    pub(crate) epoch: Epoch,
    pub(crate) primary: Name,
    pub(crate) slot: Slot,
    pub(crate) chosen_at: Option<Duration>,
}

impl ProposedView {
    /// Whether the next view must wait for what comes of this one.
    pub(crate) fn holds_back(&self, config: &Config, now: Duration, replicas: &Replicas) -> bool {
        if replicas.epoch() >= self.epoch {
            return false;
        }
        self.chosen_at
            .is_none_or(|chosen_at| now.saturating_sub(chosen_at) < config.view_settle_timeout)
    }
}

/// The view to propose now, if any.
pub(crate) fn next_view(
    config: &Config,
    now: Duration,
    replicas: &Replicas,
    trimmed_below: Slot,
) -> Option<View> {
    let has_trimmed = |heard: &ReplicaProgress| heard.executed_below >= trimmed_below;
    if !eligible(config, now, replicas).any(|(_, heard)| has_trimmed(heard)) {
        return None;
    }
    let primary = match replicas.view() {
        None => first_primary(config, now, replicas)?,
        Some(view) => successor(config, now, replicas, view)?,
    };
    Some(view_of(config, now, replicas, primary, None))
}

/// The next view, with this primary: of those in the present one whoever is not gone, and
/// whoever joins; but for the one that is taken out.
pub(crate) fn view_of(
    config: &Config,
    now: Duration,
    replicas: &Replicas,
    (primary, primary_instance): (Name, Instance),
    removed: Option<&Name>,
) -> View {
    let old = replicas
        .view()
        .into_iter()
        .flat_map(|view| std::iter::once(&view.primary).chain(&view.backups));
    let old = old.filter(|name| !replicas.is_gone(config, now, name));
    let joining = joining(config, now, replicas).map(|(name, _)| name);
    let is_backup = |name: &&Name| **name != primary && Some(*name) != removed;
    let mut backups: Vec<Name> = old.chain(joining).filter(is_backup).cloned().collect();
    backups.sort_unstable();
    backups.dedup();
    let epoch = replicas.epoch().next();
    let format = common_format(replicas, std::iter::once(&primary).chain(&backups));
    View { epoch, primary, primary_instance, backups, format }
}

/// Those live that may be in the next view: members of the present one, and whoever says to
/// have executed it.
fn eligible<'a>(
    config: &'a Config,
    now: Duration,
    replicas: &'a Replicas,
) -> impl Iterator<Item = (&'a Name, &'a ReplicaProgress)> {
    replicas.live(config, now).filter(move |(name, heard)| {
        let is_in = |view: &View| view.contains(name) || heard.epoch() >= view.epoch;
        replicas.view().is_none_or(is_in)
    })
}

/// Who is taken in, or stays: whoever of those can execute.
fn joining<'a>(
    config: &'a Config,
    now: Duration,
    replicas: &'a Replicas,
) -> impl Iterator<Item = (&'a Name, &'a ReplicaProgress)> {
    eligible(config, now, replicas).filter(move |(_, heard)| replicas.is_able(config, now, heard))
}

/// The highest format that all of these have said they can read; at least that of the log.
fn common_format<'a>(
    replicas: &Replicas,
    mut members: impl Iterator<Item = &'a Name>,
) -> LogFormat {
    let present = replicas.format();
    let lowest = members.try_fold(LogFormat(u16::MAX), |lowest, name| {
        Some(lowest.min(replicas.get(name)?.highest_format))
    });
    lowest.unwrap_or(present).max(present)
}

fn first_primary(config: &Config, now: Duration, replicas: &Replicas) -> Option<(Name, Instance)> {
    let waited = now.saturating_sub(replicas.first_heard_at()?) >= config.first_view_delay;
    let many = replicas.live(config, now).count() >= config.first_view_replicas;
    if waited || many { best(config, now, replicas) } else { None }
}

/// The primary after this view, when something calls for another view.
fn successor(
    config: &Config,
    now: Duration,
    replicas: &Replicas,
    view: &View,
) -> Option<(Name, Instance)> {
    let present = replicas.get(&view.primary);
    let restarted = present.is_some_and(|heard| heard.instance != view.primary_instance);
    let patience =
        if present.is_some() { config.primary_timeout } else { config.unheard_primary_timeout };
    let silent = replicas.silence(now, &view.primary) >= patience;
    let ended = present.is_some_and(ReplicaProgress::has_ended);
    if restarted && let Some(lived_on) = lived_on(config, now, replicas, view) {
        return Some(lived_on);
    }
    if restarted || silent || ended {
        return best(config, now, replicas);
    }
    if present.is_some_and(|heard| replicas.is_unable(config, now, heard))
        && let Some(able) = better(config, now, replicas, view)
    {
        return Some(able);
    }
    let joins = joining(config, now, replicas).any(|(name, _)| !view.contains(name));
    let leaves = view.backups.iter().any(|name| replicas.is_gone(config, now, name));
    let room = view.backups.len() + 1 < config.max_replicas;
    let members = std::iter::once(&view.primary).chain(&view.backups);
    let raises = common_format(replicas, members) > view.format;
    ((joins && room) || leaves || raises).then(|| (view.primary.clone(), view.primary_instance))
}

/// Who takes over from a primary that was restarted: it has forgotten which requests it has
/// executed lately, by which those under way then are known when they are sent again. One that
/// has lived on knows, and what it lacks it has in a moment; one that was restarted itself just
/// before knows no more, which nobody tells apart here.
fn lived_on(
    config: &Config,
    now: Duration,
    replicas: &Replicas,
    view: &View,
) -> Option<(Name, Instance)> {
    let present = replicas.get(&view.primary)?.executed_below;
    let least = Slot(present.0.saturating_sub(config.switch_lag));
    let is_able = |heard: &ReplicaProgress| replicas.is_able(config, now, heard);
    another(config, now, replicas, view, (least, &is_able))
}

/// Who can execute where the present primary cannot. It has executed as much: whoever is
/// farther behind gets there first, or is no better.
fn better(
    config: &Config,
    now: Duration,
    replicas: &Replicas,
    view: &View,
) -> Option<(Name, Instance)> {
    let least = replicas.get(&view.primary)?.executed_below;
    let is_able = |heard: &ReplicaProgress| replicas.is_surely_able(config, now, heard);
    another(config, now, replicas, view, (least, &is_able))
}

/// Of those beside the present primary that are not about to end, have executed so much, and
/// are fit, whoever has executed most; of equals, the first by name.
fn another(
    config: &Config,
    now: Duration,
    replicas: &Replicas,
    view: &View,
    (least, is_fit): (Slot, &dyn Fn(&ReplicaProgress) -> bool),
) -> Option<(Name, Instance)> {
    let (name, heard) = eligible(config, now, replicas)
        .filter(|(name, heard)| {
            **name != view.primary
                && heard.executed_below >= least
                && !heard.is_ending()
                && is_fit(heard)
        })
        .max_by_key(|(name, heard)| (heard.executed_below, Reverse(*name)))?;
    Some((name.clone(), heard.instance))
}

/// The eligible replica that is not about to end, can execute, and has executed most; of equals,
/// the first by name.
fn best(config: &Config, now: Duration, replicas: &Replicas) -> Option<(Name, Instance)> {
    let (name, heard) = eligible(config, now, replicas).max_by_key(|(name, heard)| {
        let is_able = replicas.is_able(config, now, heard);
        (!heard.is_ending(), is_able, heard.executed_below, Reverse(*name))
    })?;
    Some((name.clone(), heard.instance))
}
