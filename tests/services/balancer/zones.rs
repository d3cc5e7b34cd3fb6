//! Reads stay in the balancer's zone while a replica there is as fit as those elsewhere.

use std::time::Duration;

use anyhow::{Result, ensure};
use tests::harness::cluster::{Cluster, Options, eventually};

use super::{Load, endpoint, grown, more, shown};
use crate::synod;

const BALANCER: &str = "balancer-1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_stay_in_the_zone_until_nobody_there_answers() -> Result<()> {
    let east: &[&str] = &["--zone", "east"];
    let west: &[&str] = &["--zone", "west"];
    let here: &[&str] = &["--zone", "east", "--hedge-percent", "0"];
    let args = &[(BALANCER, here), ("replica-1", east), ("replica-2", west), ("replica-3", west)];
    let options = Options { args, ..Options::default() };
    let mut cluster = Cluster::start_with(synod(), &options).await?;
    let before = shown(&cluster, BALANCER).await?;
    ensure!(before["zone"] == "east", "{before}");
    let far = endpoint(&before, "replica-2")?;
    ensure!(far["zone"] == "west" && far["in"] == false, "{far}");
    ensure!(far["why"].to_string().contains("zone"), "{far}");
    let load = Load::of_reads(&cluster, BALANCER, 4, Duration::from_millis(2));
    load.goes_on(200).await?;
    let after = shown(&cluster, BALANCER).await?;
    let near = grown(&before, &after)?;
    // Whom the near one has failed to answer in time may ask elsewhere.
    let most = more(&before, &after, "/retries/sent")?;
    ensure!(near["replica-2"] + near["replica-3"] <= most, "{near:?}, and {most} retries");
    ensure!(near["replica-1"] >= 200, "{near:?}");
    cluster.service("replica-1").kill()?;
    load.goes_on(200).await?;
    eventually("those elsewhere get the reads", || async {
        let now = shown(&cluster, BALANCER).await?;
        for replica in ["replica-2", "replica-3"] {
            ensure!(endpoint(&now, replica)?["in"] == true, "{now}");
        }
        ensure!(endpoint(&now, "replica-1")?["in"] == false, "{now}");
        Ok(())
    })
    .await?;
    load.end().await?;
    Ok(())
}
