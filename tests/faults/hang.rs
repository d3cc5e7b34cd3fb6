//! A primary that hangs: it lives, answers and gives signs of life, and executes nothing.
//! Another takes over within seconds.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use replica::store::FILE;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tests::harness::cluster::{Options, eventually};
use tests::harness::errors::{Failing, Injection, can_inject};
use tests::harness::mix::Shape;

use crate::scenario::Scenario;

/// Three seconds until it is found to execute nothing, and as many for a busy machine and
/// for the new view.
const REPLACED_WITHIN: Duration = Duration::from_secs(10);
/// Longer than it takes to be replaced.
const HANGS: &str = "20s";

/// Waits until the others have another primary than the one that hangs, and writes go on.
async fn another_takes_over(scenario: &mut Scenario, hanging: &str) -> Result<()> {
    let since = Instant::now();
    scenario.note(format!("{hanging} hangs"));
    let others: Vec<String> =
        scenario.cluster.names("replica").into_iter().filter(|name| name != hanging).collect();
    let primary = eventually("another replica is the primary", || async {
        for name in &others {
            let status = scenario.cluster.json(name, "/v1/status").await?;
            if status["role"] == "primary" {
                return Ok(name.clone());
            }
        }
        anyhow::bail!("none of {others:?} is")
    })
    .await?;
    let took = since.elapsed();
    println!("  {hanging} hung, and {primary} was the primary after {took:.1?}");
    ensure!(took < REPLACED_WITHIN, "{hanging} hung for {took:?} until {primary} replaced it");
    scenario.mix.wait_for_progress(100).await.context("writes go on while a replica hangs")?;
    // It lives.
    let status = scenario.cluster.json(hanging, "/v1/status").await?;
    ensure!(status["pid"] == scenario.cluster.service(hanging).pid()?, "{hanging}: {status}");
    Ok(())
}

async fn lock(folder: &Path) -> Result<SqliteConnection> {
    let mut other = SqliteConnectOptions::new()
        .filename(folder.join(FILE))
        .busy_timeout(Duration::from_secs(10))
        .connect()
        .await?;
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await?;
    Ok(other)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn a_primary_whose_database_another_process_locks_is_replaced() -> Result<()> {
    Scenario::run("locked primary", &Options::default(), Shape::default(), async |scenario| {
        let (primary, _) = scenario.replicas().await?;
        let pid = scenario.cluster.service(&primary).pid()?;
        let other = lock(&scenario.cluster.data_dir(&primary)).await?;
        another_takes_over(scenario, &primary).await?;
        other.close().await?;
        scenario.mix.wait_for_progress(100).await.context("it can write again")?;
        ensure!(scenario.cluster.service(&primary).pid()? == pid, "{primary} was never restarted");
        scenario.mix.check()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_whose_writes_do_not_return_is_replaced() -> Result<()> {
    if !can_inject()? {
        return Ok(());
    }
    Scenario::run("hanging primary", &Options::default(), Shape::default(), async |scenario| {
        let (primary, _) = scenario.replicas().await?;
        let pid = scenario.cluster.service(&primary).pid()?;
        let log = scenario.cluster.dir().join("hang.strace");
        let injection = Injection::start(pid, "pwrite64", Failing::Late(HANGS), &log)?;
        another_takes_over(scenario, &primary).await?;
        ensure!(injection.end()? > 0, "no write of {primary} hung");
        scenario.mix.wait_for_progress(100).await.context("it writes again")?;
        ensure!(scenario.cluster.service(&primary).pid()? == pid, "{primary} was never restarted");
        scenario.mix.check()
    })
    .await
}
