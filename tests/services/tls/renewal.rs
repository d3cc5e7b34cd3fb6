//! New certificates under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tempfile::TempDir;
use tests::harness::cluster::eventually;

use super::cluster::{PORTS, Secured, value};
use crate::cli::command::Synod;

const TAKEN: &str = "synod_tls_reloads_total{result=\"taken\"}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_certificate_is_renewed_under_writes_and_none_fails() -> Result<()> {
    let dir = TempDir::new()?;
    let up = Secured::started(dir.path()).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (client, is_over) = (up.client(0)?.without_retries(), Arc::clone(&is_over));
            anyhow::Ok(tokio::spawn(async move {
                let mut written = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    client.put(&format!("w/{writer}"), written.to_string()).await?;
                    written += 1;
                }
                anyhow::Ok(written)
            }))
        })
        .collect::<Result<_>>()?;
    let pki = up.folder().join("tls").to_string_lossy().into_owned();
    let renewed = Synod::at("").text(&["pki", "renew", "--dir", &pki]).await?;
    ensure!(renewed.lines().count() == PORTS.len(), "{renewed}");
    eventually("every service has taken its new certificate", || async {
        for port in PORTS {
            ensure!(value(&up.metrics(port).await?, TAKEN)? >= 1.0, "not the one at +{port}");
        }
        Ok(())
    })
    .await?;
    // Connections to each other are made anew meanwhile: those that wait for the end of a
    // process every few seconds, others where more are needed.
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(3) {
        up.client(0)?.put("new", "connection").await?;
    }
    is_over.store(true, Ordering::Relaxed);
    for writer in writers {
        ensure!(writer.await?? > 0, "a writer wrote nothing");
    }
    for port in PORTS {
        let refused = "synod_tls_handshakes_failed_total{reason=\"refused\"}";
        let refused = value(&up.metrics(port).await?, refused)?;
        ensure!(refused == 0.0, "{refused} handshakes were refused at +{port}");
    }
    up.end()
}
