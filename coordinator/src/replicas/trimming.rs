//! How far acceptors may trim: below what every replica of the view holds durably.
//!
//! Replicas keep the whole log and acceptors only its end, so whatever is trimmed is as
//! safe as the disks of the replicas that have it. All of the view must have it, as long
//! as the slowest is within a bound of bytes and of time; past the bound a majority of
//! them, and at least two. Those that are gone are not waited for. Where one is left, its
//! copy would be the only one: then acceptors trim only when they would soon refuse
//! everything else.
//!
//! Whoever is being taken out for good counts no more. A leader trims nothing before it
//! knows the view of all that was chosen when it began, for a replica may have been taken
//! out in that; what it found above, it has proposed anew itself. And a member counts once
//! it tells of the present view: data of its name that were taken out before never do.
//!
//! Bytes are not counted slot by slot: what acceptors keep is just what lies above the
//! slowest replica's mark, so the bytes of their votes say how far that one is behind.

use std::time::Duration;

use shared::ids::{Name, Slot};
use shared::message::View;

use crate::config::Config;
use crate::replicas::Replicas;

/// How full the acceptors are that a quorum cannot do without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fill {
    /// Bytes of their untrimmed votes.
    pub(crate) bytes: u64,
    /// The share of what they may keep, in thousandths.
    pub(crate) per_mille: u64,
}

/// From here on it is said who holds trimming up.
const WARNED_FROM_PER_MILLE: u64 = 500;

/// From here on a single copy must do.
const SINGLE_COPY_FROM_PER_MILLE: u64 = 750;

/// What acceptors may trim now, if anything is known; and sets the replicas their goals. Those
/// that are being taken out for good must have it where they had to before, and count for
/// nobody else.
pub(crate) fn trim_below(
    config: &Config,
    now: Duration,
    replicas: &mut Replicas,
    (fill, leaving): (Fill, &[&Name]),
) -> Option<Slot> {
    let mut members = remaining(config, now, replicas, replicas.view()?);
    let durable = durable_at(replicas, &members);
    let mark = *durable.get(enough_copies(members.len()).checked_sub(1)?)?;
    replicas.set_goals(now, mark);
    let within_bound = is_within_bound(config, now, replicas, fill, &members);
    let allowed = |durable: &[Slot]| match durable.len() {
        1 if fill.per_mille < SINGLE_COPY_FROM_PER_MILLE => None,
        _ if within_bound => durable.last().copied(),
        copies => durable.get(enough_copies(copies).checked_sub(1)?).copied(),
    };
    let below = allowed(&durable)?;
    members.retain(|name| !leaving.contains(&name));
    Some(below.min(allowed(&durable_at(replicas, &members))?))
}

/// What each of these holds durably, the most first.
fn durable_at(replicas: &Replicas, members: &[Name]) -> Vec<Slot> {
    let mut durable: Vec<Slot> = members.iter().map(|name| replicas.durable_below(name)).collect();
    durable.sort_unstable_by(|one, other| other.cmp(one));
    durable
}

/// Why what is below a slot is not durable at enough replicas.
#[derive(Debug)]
pub(crate) struct NotDurable {
    /// In words.
    pub(crate) words: String,
    /// Whether it will not pass by itself soon.
    pub(crate) is_lasting: bool,
}

/// Whether all below a slot is durable where trimming demands it, or why not.
pub(crate) fn not_durable_at(
    config: &Config,
    now: Duration,
    replicas: &Replicas,
    below: Slot,
) -> Option<NotDurable> {
    let lasting = |words: String| Some(NotDurable { words, is_lasting: true });
    let Some(view) = replicas.view() else {
        return lasting("no replica is in a view yet".to_owned());
    };
    let members = remaining(config, now, replicas, view);
    if let [alone] = members.as_slice() {
        return lasting(format!(
            "{alone} is the only replica, so its copy would be the only one: start another"
        ));
    }
    let is_silent = |name: &&Name| replicas.silence(now, name) >= config.primary_timeout;
    if let Some(silent) = members.iter().find(is_silent) {
        return lasting(format!(
            "{silent} of the view is not heard from: start it, wait until it has left the view, or \
             take it out (DELETE /v1/cluster/replicas/{silent})"
        ));
    }
    let slowest = members.iter().min_by_key(|name| replicas.durable_below(name))?;
    let durable = replicas.durable_below(slowest);
    (durable < below).then(|| NotDurable {
        words: format!("{slowest} holds durably only what is below {durable}"),
        is_lasting: false,
    })
}

/// Who of the view will not have all below a slot soon, in words, where trimming waits for it:
/// one that lags so far that writes would wait long, or that does not tell of the view.
pub(crate) fn held_up_long_by(
    config: &Config,
    now: Duration,
    replicas: &Replicas,
    (fill, below): (Fill, Slot),
) -> Option<String> {
    let view = replicas.view()?;
    let mut members = remaining(config, now, replicas, view);
    let executed = |name: &Name| {
        let heard = replicas.get(name).filter(|heard| heard.epoch() >= view.epoch);
        heard.map(|heard| heard.executed_below)
    };
    let needed = if is_within_bound(config, now, replicas, fill, &members) {
        members.len()
    } else {
        enough_copies(members.len())
    };
    members.sort_unstable_by_key(|name| std::cmp::Reverse(executed(name)));
    let slowest = members.get(needed.checked_sub(1)?)?;
    let Some(executed) = executed(slowest) else {
        return Some(format!("{slowest} has not executed the view of epoch {} yet", view.epoch));
    };
    let (behind, limit) = (below.0.saturating_sub(executed.0), config.switch_lag);
    (behind > limit).then(|| {
        format!("{slowest} has {behind} slots yet to execute, and more than {limit} take too long")
    })
}

/// Whether trimming waits for all of these.
fn is_within_bound(
    config: &Config,
    now: Duration,
    replicas: &Replicas,
    fill: Fill,
    members: &[Name],
) -> bool {
    let is_in_time = |name: &Name| replicas.behind_for(now, name) <= config.trim_behind_time;
    fill.bytes <= config.trim_behind_bytes && members.iter().all(is_in_time)
}

/// How many replicas must have what is trimmed, of so many, past the bound: a majority,
/// and at least two.
pub(super) fn enough_copies(members: usize) -> usize {
    (members / 2 + 1).max(2).min(members)
}

/// The members of the view that trimming waits for.
fn remaining(config: &Config, now: Duration, replicas: &Replicas, view: &View) -> Vec<Name> {
    let members = std::iter::once(&view.primary).chain(&view.backups);
    members.filter(|name| !replicas.is_gone(config, now, name)).cloned().collect()
}

/// Who holds trimming up, in words, once acceptors are half full.
pub(crate) fn held_up_by(
    config: &Config,
    now: Duration,
    replicas: &Replicas,
    (fill, trim_below, chosen_below): (Fill, Slot, Slot),
) -> Option<String> {
    let view = replicas.view().filter(|_| fill.per_mille >= WARNED_FROM_PER_MILLE)?;
    let members = remaining(config, now, replicas, view);
    let slowest = members.iter().min_by_key(|name| replicas.durable_below(name))?;
    let who = if members.len() == 1 {
        format!("only {slowest} is left to hold what they keep, which it alone has durably")
    } else {
        let silent = replicas.silence(now, slowest);
        let state = if silent >= config.primary_timeout {
            format!("silent for {} s", silent.as_secs())
        } else {
            "heard from".to_owned()
        };
        let heard = replicas.get(slowest);
        match heard.filter(|heard| heard.epoch() < view.epoch) {
            Some(heard) => format!(
                "{slowest} ({state}) has not executed the view of epoch {}: all that it has executed \
                 is below {}",
                view.epoch, heard.executed_below
            ),
            None => format!(
                "{slowest} ({state}) holds durably only what is below {}",
                replicas.durable_below(slowest)
            ),
        }
    };
    Some(format!(
        "the acceptors are {} % full of votes: {who}; trimmed is below {trim_below}, chosen below \
         {chosen_below}",
        fill.per_mille / 10
    ))
}

#[cfg(test)]
mod tests;
