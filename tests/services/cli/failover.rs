//! Commands while services are dead: they go on at another address, and send again what may
//! be lost, which is executed once.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tests::harness::cluster::{Cluster, Size};
use tests::harness::ports::nobody;
use tokio::io::AsyncReadExt as _;
use tokio::time::sleep;

use super::command::Synod;
use crate::synod;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn the_next_address_is_asked_where_one_is_dead_or_does_not_answer() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let nobody = nobody()?;
    let unused = nobody.local_addr()?;
    let (front, replica) = (cluster.front(), cluster.url("replica-2"));
    for urls in
        [format!("http://{unused},{front}"), format!("http://{unused} http://{unused} {replica}")]
    {
        let synod = Synod::at(urls);
        let began = Instant::now();
        synod.text(&["put", "f/a", "1"]).await?;
        ensure!(synod.text(&["get", "f/a"]).await? == "1");
        ensure!(synod.text(&["watch", "f/", "--from", "1", "--count", "1"]).await?.contains("f/a"));
        ensure!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    }
    // It accepts, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let synod = Synod::at(format!("http://{},{front}", silent.local_addr()?));
    synod.text(&["put", "f/b", "2", "--timeout-seconds", "60"]).await?;
    ensure!(synod.json(&["get", "f/b", "--timeout-seconds", "60"]).await?[0]["version"] == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_go_on_while_the_primary_is_killed_and_each_is_executed_once() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let replicas: Vec<String> =
        cluster.names("replica").iter().map(|name| cluster.url(name).to_owned()).collect();
    let synod = Synod::at(replicas.join(" "));
    let writing = tokio::spawn(async move {
        let mut written = 0_u64;
        let until = Instant::now() + Duration::from_secs(8);
        while Instant::now() < until {
            let ended = synod.run(&["put", "f/counted", &written.to_string()]).await?;
            ensure!(ended.code == 0, "{ended:?}");
            written += 1;
        }
        let version = synod.json(&["get", "f/counted"]).await?[0]["version"].clone();
        ensure!(version == written, "{written} commands wrote {version} versions");
        Ok(written)
    });
    for _ in 0..2 {
        sleep(Duration::from_millis(1_500)).await;
        let primary = cluster.primary().await?;
        cluster.service(&primary).kill()?;
        sleep(Duration::from_millis(1_500)).await;
        cluster.service(&primary).start()?;
    }
    let written = writing.await??;
    println!("{written} commands while two primaries were killed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_is_unavailable_and_an_answer_that_is_cut_is_unknown() -> Result<()> {
    let nobody = nobody()?;
    let unused = nobody.local_addr()?;
    let synod = Synod::at(format!("http://{unused}"));
    let put = ["put", "a", "1", "--timeout-seconds", "1"];
    let ended = synod.run(&put).await?.with(5, "Connection refused")?;
    ensure!(ended.stderr.contains("hint: does a cluster run there?"), "{ended:?}");
    synod.run(&["get", "a", "--timeout-seconds", "1"]).await?.with(5, "Connection refused")?;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let synod = Synod::at(format!("http://{}", listener.local_addr()?));
    let cutting = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await?;
            // What is cut off has been sent.
            let _bytes = stream.read(&mut [0; 1024]).await?;
            drop(stream);
        }
        #[expect(unreachable_code, reason = "it says the type of the errors")]
        anyhow::Ok(())
    });
    let ended = synod.run(&[&put[..], &["--idempotency-key", "mine"]].concat()).await?;
    let ended = ended.with(6, "it is unknown whether it was executed")?;
    ensure!(ended.stderr.contains("--idempotency-key mine finds out"), "{ended:?}");
    synod.run(&["get", "a", "--timeout-seconds", "1"]).await?.with(5, "no answer from")?;
    cutting.abort();
    Ok(())
}
