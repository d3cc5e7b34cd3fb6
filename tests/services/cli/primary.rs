//! Who is primary, on request.

use anyhow::{Context as _, Result, ensure};
use tests::harness::cluster::{Cluster, Size};

use super::command::Synod;
use crate::synod;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_role_is_moved_by_name() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let synod = Synod::at(cluster.front());
    let primary = cluster.primary().await?;
    let mut backups = cluster.names("replica");
    backups.retain(|name| *name != primary);

    let told = synod.text(&["primary", &backups[0]]).await?;
    let epoch = told.trim().strip_prefix(&format!("{}\t", backups[0]));
    let epoch: u64 = epoch.with_context(|| told.clone())?.parse()?;
    ensure!(cluster.primary().await? == backups[0], "{told}");
    let again = synod.json(&["primary", &backups[0]]).await?;
    ensure!(again[0]["epoch"] == epoch && again[0]["backups"][0].is_string(), "{again:?}");
    let shown = synod.terminal(&["primary", &primary]).await?;
    ensure!(shown.starts_with(&format!("{primary} is primary in epoch ")), "{shown}");

    synod.run(&["primary", "replica-9"]).await?.with(3, "replica-9")?;
    synod.run(&["primary", "Replica 1"]).await?.with(1, "400")?;
    // It takes no part in the view for as long as it sleeps.
    let mut cluster = cluster;
    cluster.service(&backups[1]).kill()?;
    let refused = synod.run(&["primary", &backups[1]]).await?.with(7, "")?;
    ensure!(!refused.stderr.contains("synod lock"), "{refused:?}");

    // It sleeps for good.
    synod.run(&["remove", "replica-9"]).await?.with(3, "replica-9")?;
    let told = synod.text(&["remove", &backups[1]]).await?;
    let of = cluster.primary().await?;
    ensure!(told.starts_with(&format!("{of}\t")), "{told}");
    ensure!(synod.text(&["remove", &backups[1]]).await? == told, "a repeat is answered alike");
    Ok(())
}
