//! More clients than a process may have files: they connect and say nothing.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tests::harness::cluster::{Cluster, Options, eventually};
use tests::harness::skip::skipped;
use tokio::net::TcpStream;

use crate::synod;

/// What each service may have open.
const FILES: u64 = 1_024;
/// Connections that say nothing.
const IDLE: usize = 1_300;
/// How long one that finds no place may take to be made.
const CONNECTING: Duration = Duration::from_millis(200);
/// How long after them a client waits for an answer.
const SOON: Duration = Duration::from_secs(5);

/// Lets this process have enough files, if it may.
fn allow_files() -> Result<bool> {
    let needed = IDLE as u64 + FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        return skipped(&format!("this process may have no {needed} files")).map(|()| false);
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: limit.maximum })?;
    Ok(true)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_take_no_service_its_files() -> Result<()> {
    if !allow_files()? {
        return Ok(());
    }
    let options = Options { open_files: Some(FILES), ..Options::default() };
    let mut cluster = Cluster::start_with(synod(), &options).await?;
    for name in ["acceptor-1", "coordinator-1", "replica-1", "balancer-1"] {
        let pid = cluster.service(name).pid()?;
        let address = cluster.url(name).trim_start_matches("http://").to_owned();
        let mut idle = Vec::new();
        for _ in 0..IDLE {
            match tokio::time::timeout(CONNECTING, TcpStream::connect(&address)).await {
                Ok(connected) => idle.push(connected.with_context(|| name.to_owned())?),
                // All places are taken, and so many wait that the kernel takes no more.
                Err(_) if idle.len() as u64 > FILES => break,
                // A busy machine has not come to it.
                Err(_) => {}
            }
        }
        ensure!(idle.len() as u64 > FILES, "only {} connected to {name}", idle.len());
        // What it opens for itself it still can.
        for key in 0..20 {
            let put = format!("{}/v1/kv/idle/{name}/{key}", cluster.url("replica-2"));
            eventually(&format!("a write, while {name} has idle connections"), || async {
                let status = cluster.http().put(&put).body("x").send().await?.status();
                ensure!(status.is_success(), "{status}");
                Ok(())
            })
            .await?;
        }
        let new_client = |path: &'static str| {
            let url = format!("http://{address}{path}");
            async move {
                let http = reqwest::Client::builder().no_proxy().build()?;
                let status = http.get(url).timeout(SOON).send().await?.status();
                ensure!(status.is_success(), "{status}");
                Ok(())
            }
        };
        eventually(&format!("{name} says that it is alive"), || new_client("/livez")).await?;
        drop(idle);
        let ended = Instant::now();
        eventually(&format!("{name} answers a new client"), || new_client("/v1/status")).await?;
        ensure!(ended.elapsed() < SOON, "{name} answered after {:?}", ended.elapsed());
        ensure!(cluster.service(name).pid()? == pid, "{name} was restarted");
        cluster.service(name).signal(rustix::process::Signal::CONT).context("it lives")?;
    }
    cluster.wait_until_serving().await?;
    cluster.wait_until_equal().await?;
    Ok(())
}
