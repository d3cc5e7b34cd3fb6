//! The data directory of a running service is removed, or moved away.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use shared::service::MISCONFIGURED;
use tests::harness::cluster::{Cluster, Size};

use crate::synod;

/// A check every second, and what a busy machine takes.
const NOTICED: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_whose_folder_is_gone_says_so_and_ends_and_the_others_go_on() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let key = format!("{}/v1/kv/kept", cluster.front());
    cluster.http().put(&key).body("before").send().await?.error_for_status()?;
    let primary = cluster.primary().await?;
    let backup = cluster.names("replica").into_iter().find(|name| *name != primary);
    let backup = backup.context("there is a backup")?;
    for name in ["acceptor-3", &backup] {
        let dir = cluster.data_dir(name);
        if name == backup {
            fs::rename(&dir, dir.with_extension("moved"))?;
        } else {
            fs::remove_dir_all(&dir)?;
        }
        let service = cluster.service(name);
        let status = service.wait(NOTICED)?;
        ensure!(status.code() == Some(MISCONFIGURED.into()), "{name} ended with {status}");
        let said = service.output()?;
        ensure!(said.contains("was removed, moved away or replaced"), "{name}: {said}");
        cluster.http().put(&key).body("after").send().await?.error_for_status()?;
    }
    Ok(())
}
