//! Whether the acceptors of a data directory may be another number than they were at its last
//! start: where the cluster has been given others meanwhile, and these are all of them.

use std::path::Path;

use acceptor::limits::Limits;
use anyhow::{Context as _, bail};
use shared::datadir::lock_to_read;
use shared::ids::AcceptorId;
use shared::message::{Roster, Service};

use super::plan::Planned;

/// Looks whether the acceptors that are planned are those of the cluster, all of them, by
/// their logs.
pub(super) fn check(data_dir: &Path, plan: &[Planned]) -> anyhow::Result<()> {
    let (mut ids, mut latest): (Vec<AcceptorId>, Option<Roster>) = (Vec::new(), None);
    for planned in plan.iter().filter(|planned| planned.service == Service::Acceptor) {
        let folder = data_dir.join(&planned.name);
        let _lock = lock_to_read(&folder)?;
        let found = acceptor::inspect(&folder.join(acceptor::LOG), Limits::default());
        let Some(found) = found.with_context(|| planned.name.clone())? else {
            bail!("{} has no data", planned.name);
        };
        ids.push(found.id());
        let generation = |roster: &Roster| roster.generation();
        if found.roster().map(generation) > latest.as_ref().map(generation) {
            latest = found.roster().cloned();
        }
    }
    let latest = latest.context("none of them is of a cluster")?;
    let acceptors = latest.acceptors();
    if acceptors.len() != ids.len() || !ids.iter().all(|id| latest.contains(*id)) {
        bail!("the cluster has {} acceptors, and these are not all of them", acceptors.len());
    }
    Ok(())
}
