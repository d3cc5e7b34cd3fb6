//! The folders of all replicas are gone, and acceptors have trimmed what was in them.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::harness::cluster::{Cluster, Size, eventually};

use crate::synod;

const END: Duration = Duration::from_secs(20);
/// As long as a client waits for a refusal, and no longer.
const SOON: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_without_what_was_trimmed_say_what_is_missing_and_answer_no_read() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let key = format!("{}/v1/kv/kept", cluster.front());
    for _ in 0..20 {
        cluster.http().put(&key).body("before").send().await?.error_for_status()?;
    }
    for acceptor in cluster.names("acceptor") {
        eventually("it is trimmed", || async {
            let trimmed = cluster.json(&acceptor, "/v1/status").await?["trimmed_below"].as_u64();
            ensure!(trimmed > Some(0), "{acceptor} has trimmed below {trimmed:?}");
            Ok(())
        })
        .await?;
    }
    let replicas = cluster.names("replica");
    // A coordinator still remembers what was chosen lately.
    let forgetful = [cluster.names("coordinator"), replicas.clone()].concat();
    for service in &forgetful {
        cluster.service(service).terminate(END)?;
    }
    for replica in &replicas {
        fs::remove_dir_all(cluster.data_dir(replica))?;
    }
    for service in &forgetful {
        cluster.service(service).start()?;
    }
    for replica in &replicas {
        eventually("it says what is missing", || async {
            let url = format!("{}/readyz", cluster.url(replica));
            let text = cluster.http().get(url).send().await?.text().await?;
            let names_all = ["slots from 0 on are missing", "trimmed", "restore"];
            ensure!(names_all.iter().all(|words| text.contains(words)), "{replica}: {text}");
            Ok(())
        })
        .await?;
        let local = format!("{}/v1/kv?consistency=local", cluster.url(replica));
        ensure!(cluster.http().get(local).send().await?.status() == 503, "{replica}");
        let said = cluster.service(replica).output()?;
        ensure!(said.matches("slots from 0 on are missing").count() == 1, "{replica}: {said}");
    }
    eventually("reads are refused at once", || async {
        let asked = Instant::now();
        let answer = cluster.http().get(&key).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(
            status == 503 && asked.elapsed() < SOON,
            "{status} in {:?}: {text}",
            asked.elapsed()
        );
        Ok(())
    })
    .await
    .context("through the balancer")
}
