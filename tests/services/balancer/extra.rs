//! What a balancer sends beyond its clients' requests is a share of these.

use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tests::harness::cluster::{Cluster, Options, eventually};

use super::{Load, grown, more, shown};
use crate::synod;

const BALANCER: &str = "balancer-1";
/// Hedged reads and retries that may have been earned beforehand.
const HEDGE_RESERVE: u64 = 10;
const RETRY_RESERVE: u64 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hedged_reads_and_retries_stay_a_share_of_what_clients_send() -> Result<()> {
    let told = ["--unhealthy-after", "1000"];
    let args: &[(&str, &[&str])] = &[(BALANCER, &told)];
    let options = Options { args, ..Options::default() };
    let mut cluster = Cluster::start_with(synod(), &options).await?;
    let primary = cluster.primary().await?;
    let replicas = cluster.names("replica");
    let backups: Vec<&String> = replicas.iter().filter(|name| **name != primary).collect();

    // A replica that sleeps for moments.
    let before = shown(&cluster, BALANCER).await?;
    let load = Load::of_reads(&cluster, BALANCER, 4, Duration::from_millis(1));
    eventually("it is known what is usual", || async {
        let now = shown(&cluster, BALANCER).await?;
        ensure!(now["hedge_after_ms"].is_u64(), "{now}");
        Ok(())
    })
    .await?;
    for _ in 0..5 {
        cluster.service(backups[0]).signal(Signal::STOP)?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        cluster.service(backups[0]).signal(Signal::CONT)?;
        load.goes_on(100).await?;
    }
    let reads = load.end().await?.len() as u64;
    let after = shown(&cluster, BALANCER).await?;
    let (hedges, retries) =
        (more(&before, &after, "/hedges/sent")?, more(&before, &after, "/retries/sent")?);
    ensure!(hedges >= 1, "{after}");
    ensure!(hedges <= reads * 5 / 100 + HEDGE_RESERVE, "{hedges} of {reads}");
    ensure!(retries <= reads * 20 / 100 + RETRY_RESERVE, "{retries} of {reads}");
    let sent = grown(&before, &after)?.values().sum::<u64>();
    ensure!(sent == reads + hedges + retries, "{sent} for {reads}, {hedges} and {retries}");

    // A replica that is gone, and that the balancer takes for healthy all the while.
    cluster.service(backups[1]).kill()?;
    let before = shown(&cluster, BALANCER).await?;
    let load = Load::of_reads(&cluster, BALANCER, 8, Duration::ZERO);
    eventually("the budget is spent", || async {
        let now = shown(&cluster, BALANCER).await?;
        ensure!(more(&before, &now, "/retries/refused")? > 0, "{now}");
        Ok(())
    })
    .await?;
    load.goes_on(50).await?;
    let reads = load.end().await?.len() as u64;
    let retries = more(&before, &shown(&cluster, BALANCER).await?, "/retries/sent")?;
    ensure!(retries >= RETRY_RESERVE / 2, "{retries} of {reads}");
    ensure!(retries <= reads * 20 / 100 + RETRY_RESERVE, "{retries} of {reads}");
    Ok(())
}
