//! Which view makes another replica primary while the present one lives.
//!
//! The new primary takes mutations once it has executed its view, and with it whatever
//! stands before that in the log: so only a replica is taken that has executed nearly all
//! that is chosen. What it lacks when the view is proposed is how long nobody takes any.

use std::cmp::Reverse;
use std::time::Duration;

use shared::ids::{Instance, Name, Slot};
use shared::message::{PrimaryRefused, Unable, UnableReplica, View, WantedPrimary};

use super::view_change::view_of;
use super::{ReplicaProgress, Replicas};
use crate::config::Config;

/// What it takes to have a replica for primary.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SwitchOver {
    /// Nothing: this view serves.
    Done(View),
    /// This view.
    To(View),
}

/// What it takes to have whom was asked for, where every slot below `chosen_below` is chosen.
pub(crate) fn switch_over(
    config: &Config,
    now: Duration,
    replicas: &Replicas,
    chosen_below: Slot,
    wanted: &WantedPrimary,
) -> Result<SwitchOver, PrimaryRefused> {
    let unable =
        |name: &Name, heard| why_unable(config, now, replicas, chosen_below, (name, heard));
    let primary = match wanted {
        WantedPrimary::Replica(replica) => {
            let view = replicas.view().filter(|view| view.contains(replica));
            let heard = replicas.get(replica);
            let unknown = || PrimaryRefused::Unknown { replica: replica.clone() };
            let Some(view) = view else {
                let outside = PrimaryRefused::NotInView { replica: replica.clone() };
                return Err(heard.map_or_else(unknown, |_| outside));
            };
            let silent = PrimaryRefused::Unable { replica: replica.clone(), why: Unable::Silent };
            let heard = heard.ok_or(silent)?;
            if is_primary(view, replica, heard.instance) {
                return Ok(SwitchOver::Done(view.clone()));
            }
            match unable(replica, heard) {
                Some(why) => {
                    return Err(PrimaryRefused::Unable { replica: replica.clone(), why });
                }
                None => (replica.clone(), heard.instance),
            }
        }
        WantedPrimary::Another { than, instance } => {
            let Some(view) = replicas.view() else {
                return Err(PrimaryRefused::NobodyAble { others: Vec::new() });
            };
            if !is_primary(view, than, *instance) {
                return Ok(SwitchOver::Done(view.clone()));
            }
            let (mut able, mut others) = (Vec::new(), Vec::new());
            for name in view.backups.iter().filter(|name| *name != than) {
                match replicas.get(name).map(|heard| (heard, unable(name, heard))) {
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
            (name.clone(), heard.instance)
        }
    };
    Ok(SwitchOver::To(view_of(config, now, replicas, primary)))
}

fn is_primary(view: &View, name: &Name, instance: Instance) -> bool {
    view.primary == *name && view.primary_instance == instance
}

/// Why a replica cannot take over from a primary that can do its work.
fn why_unable(
    config: &Config,
    now: Duration,
    replicas: &Replicas,
    chosen_below: Slot,
    (name, heard): (&Name, &ReplicaProgress),
) -> Option<Unable> {
    let (slots, limit) = (chosen_below.0.saturating_sub(heard.executed_below.0), config.switch_lag);
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
