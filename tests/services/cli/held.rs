//! Leases and locks.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use client::{Client, Error};
use rustix::process::{Pid, Signal, kill_process};
use tests::harness::cluster::{Cluster, Size, eventually};
use tokio::time::timeout;

use super::command::Synod;
use crate::synod;

/// More than anything here takes.
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_go_with_the_lease_that_they_are_bound_to() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let synod = Synod::at(cluster.front());
    let lease = synod.text(&["lease", "grant", "60"]).await?.trim().to_owned();
    synod.text(&["put", "l/a", "1", "--lease", &lease]).await?;
    let shown = &synod.json(&["lease", "show", &lease]).await?[0];
    ensure!(shown["ttl_ms"] == 60_000 && shown["keys"][0] == "l/a", "{shown}");
    let renewed = &synod.json(&["lease", "renew", &lease]).await?[0];
    ensure!(renewed["remaining_ms"].as_u64() > Some(50_000), "{renewed}");
    ensure!(synod.json(&["get", "l/a"]).await?[0]["lease"].to_string() == lease);
    ensure!(synod.text(&["lease", "revoke", &lease]).await? == "1\n");
    synod.run(&["get", "l/a"]).await?.with(3, "l/a")?;
    synod.run(&["lease", "renew", &lease]).await?.with(3, "404")?;
    synod.run(&["put", "l/a", "1", "--lease", &lease]).await?.with(3, "404")?;

    let short = synod.text(&["lease", "grant", "0.5"]).await?.trim().to_owned();
    synod.text(&["put", "l/short", "1", "--lease", &short]).await?;
    eventually("it expires", || async {
        synod.run(&["get", "l/short"]).await?.with(3, "").map(drop)
    })
    .await?;
    let told = synod.json(&["watch", "--key", "l/short", "--from", "1", "--count", "2"]).await?;
    ensure!(told[1]["data"]["reason"] == "lease_expired", "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_held_while_a_command_runs_and_its_fence_is_in_the_environment() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let synod = Synod::at(cluster.front());
    let program = crate::synod().to_string_lossy().into_owned();
    let script =
        format!("'{program}' put o/a mine && '{program}' lock 'o/jobs' && echo $SYNOD_FENCE");
    let said = synod.text(&["lock", "o/jobs", "--", "sh", "-c", &script]).await?;
    let fence = said.lines().last().context("no fence")?.to_owned();
    ensure!(fence.starts_with("o%2Fjobs="), "{said}");
    ensure!(synod.text(&["get", "o/a"]).await? == "mine");
    synod.run(&["lock", "o/jobs"]).await?.with(3, "404")?;
    synod.run(&["put", "o/a", "late", "--fence", &fence]).await?.with(4, "412")?;
    synod.run(&["lock", "o/jobs", "--", "sh", "-c", "exit 42"]).await?.with(42, "")?;
    synod.run(&["lock", "o/jobs", "--", "/no/such"]).await?.with(1, "cannot run")?;

    let mut holder = synod.command(&["lock", "o/jobs", "--", "sleep", "60"]);
    let mut holder = holder.stdin(Stdio::null()).spawn()?;
    eventually("it is held", || async {
        synod.run(&["lock", "o/jobs"]).await?.with(0, "").map(drop)
    })
    .await?;
    synod.run(&["lock", "o/jobs", "--", "true"]).await?.with(7, "--wait-seconds")?;
    let next = ["lock", "o/jobs", "--wait-seconds", "30", "--", "echo", "next"];
    let waiting = synod.command(&next).stdout(Stdio::piped()).spawn()?;
    let pid = holder.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).context("no process")?;
    kill_process(pid, Signal::TERM)?;
    let ended = timeout(LIMIT, holder.wait()).await??;
    ensure!(ended.code() == Some(128 + 15), "the command was told to end: {ended}");
    let waited = timeout(LIMIT, waiting.wait_with_output()).await??;
    ensure!(waited.status.success() && waited.stdout == b"next\n", "{waited:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_lost_ends_the_command_and_all_that_it_started() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let synod = Synod::at(cluster.front());
    let mark = cluster.dir().join("alive");
    let script = format!("(while sleep 0.1; do date >'{}'; done) & wait", mark.display());
    let args = ["lock", "lost", "--ttl-seconds", "2", "--", "sh", "-c", &script];
    let mut holder = synod.command(&args);
    let holder = holder.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let lease = eventually("it is held", || async {
        let shown = synod.run(&["lock", "lost"]).await?.with(0, "")?;
        let shown = String::from_utf8(shown.stdout)?;
        Ok(shown.split('\t').next().unwrap_or_default().to_owned())
    })
    .await?;
    eventually("it runs", || async { Ok(std::fs::metadata(&mark)?) }).await?;
    synod.text(&["lease", "revoke", &lease]).await?;
    let ended = timeout(LIMIT, holder.wait_with_output()).await??;
    let said = String::from_utf8(ended.stderr)?;
    ensure!(ended.status.code() == Some(7) && said.contains("is lost"), "{}: {said}", ended.status);
    std::fs::remove_file(&mark)?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure!(!mark.exists(), "what it started goes on");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn a_guard_keeps_its_lock_over_a_kill_and_knows_when_it_may_be_lost() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let client = Client::new(cluster.front())?;
    let guard = client.lock("g").ttl(Duration::from_secs(4)).await?;
    let other = client.lock("g").await;
    ensure!(matches!(other, Err(Error::Conflict(_))), "{other:?}");
    let primary = cluster.primary().await?;
    cluster.service(&primary).kill()?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    ensure!(!guard.is_lost(), "it was renewed all the while");
    client.put("g/a", "1").fence(guard.fence()).await?;
    let fence = guard.fence().clone();
    guard.release().await?;
    let late = client.put("g/a", "2").fence(&fence).await;
    ensure!(matches!(late, Err(Error::ConditionFailed(_))), "{late:?}");

    let dropped = client.lock("g").wait(LIMIT).await?;
    ensure!(dropped.fence().revision > fence.revision, "{:?}", dropped.fence());
    drop(dropped);
    let guard = client.lock("g").ttl(Duration::from_secs(2)).wait(LIMIT).await?;
    // Nobody answers any more: nobody can say that it is still held.
    for service in cluster.all() {
        if service != primary {
            cluster.service(&service).kill()?;
        }
    }
    let began = Instant::now();
    timeout(LIMIT, guard.lost()).await?;
    ensure!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    Ok(())
}
