//! The console while services die under it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use tests::harness::cluster::{Cluster, eventually};

use super::browser::Browser;
use super::put;

/// How soon the picture shows that a service is dead.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Kills a service, and has it seen.
async fn is_seen_to_die(cluster: &mut Cluster, browser: &Browser, service: &str) -> Result<()> {
    browser.says("#tile-up", &["9 of 9"]).await?;
    let killed = Instant::now();
    cluster.service(service).kill()?;
    browser.says(&format!("[data-id='{service}'] .word"), &["no answer"]).await?;
    let took = killed.elapsed();
    println!("the picture shows that {service} is dead after {took:?}");
    ensure!(took < AT_ONCE, "it took {took:?} until {service} was seen to be dead");
    browser.says("#health", &["8 of 9 up"]).await
}

/// One of each other role dies, and comes back.
pub(super) async fn each_is_seen(cluster: &mut Cluster, browser: &Browser, ui: &str) -> Result<()> {
    browser.go(&format!("{ui}#/cluster")).await?;
    let leader = cluster.leader().await?;
    let standby = cluster.names("coordinator").into_iter().find(|name| *name != leader);
    for service in standby.iter().chain(cluster.names("acceptor").last()) {
        is_seen_to_die(cluster, browser, service).await?;
        cluster.service(service).start()?;
        browser.says(&format!("[data-id='{service}'] .word"), &["started"]).await?;
    }
    browser.says("#tile-up", &["9 of 9"]).await
}

pub(super) async fn outlives_the_primary(
    cluster: &mut Cluster,
    browser: &Browser,
    ui: &str,
) -> Result<()> {
    let primary = cluster.primary().await?;
    // In the same page, which is not loaded anew.
    let change = "location.hash = arguments[0]";
    browser.run(change, vec![json!("#/cluster")]).await?;
    browser.says("#tile-primary", &[&primary]).await?;
    let killed = Instant::now();
    is_seen_to_die(cluster, browser, &primary).await?;
    let next = eventually("another primary", || async {
        let next = cluster.primary().await?;
        ensure!(next != primary, "{next}");
        Ok(next)
    })
    .await?;
    browser.says("#tile-primary", &[&next]).await?;
    browser.says(&format!("[data-id='{next}'] .word"), &["primary"]).await?;
    // By the stream of events, into the page as it is.
    browser.says("#last", &[&format!("{next} is primary")]).await?;
    println!("… and that {next} is primary after {:?}", killed.elapsed());
    put(cluster, "seen/2", "after").await?;
    browser.go(&format!("{ui}#/keys?prefix=seen%2F&key=seen%2F2")).await?;
    browser.says(".list tbody", &["seen/1", "seen/2"]).await?;
    browser.says(".side .value", &["after"]).await
}
