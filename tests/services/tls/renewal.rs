//! New certificates, and another authority, under load.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use client::{Client, Trust};
use rustix::process::Signal;
use tempfile::TempDir;
use tests::harness::cluster::eventually;
use tokio::task::JoinHandle;

use super::cluster::{PORTS, Secured, value};
use crate::cli::command::Synod;

const TAKEN: &str = "synod_tls_reloads_total{result=\"taken\"}";
const REFUSED: &str = "synod_tls_handshakes_failed_total{reason=\"refused\"}";

/// Clients that write, one after the other, and end at the first failure.
struct Writers {
    is_over: Arc<AtomicBool>,
    running: Vec<JoinHandle<Result<u64>>>,
}

impl Writers {
    fn start(client: impl Fn() -> Result<Client>) -> Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut running = Vec::new();
        for writer in 0..4 {
            let (client, is_over) = (client()?.without_retries(), Arc::clone(&is_over));
            running.push(tokio::spawn(async move {
                let mut written = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    client.put(&format!("w/{writer}"), written.to_string()).await?;
                    written += 1;
                }
                anyhow::Ok(written)
            }));
        }
        Ok(Self { is_over, running })
    }

    async fn end(self) -> Result<()> {
        self.is_over.store(true, Ordering::Relaxed);
        for writer in self.running {
            ensure!(writer.await?? > 0, "a writer wrote nothing");
        }
        Ok(())
    }
}

/// Connections to each other are made anew meanwhile: those that wait for the end of a process
/// every few seconds, others where more are needed.
async fn with_new_connections(client: impl Fn() -> Result<Client>) -> Result<()> {
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(3) {
        client()?.put("new", "connection").await?;
    }
    Ok(())
}

async fn no_handshake_was_refused(up: &Secured) -> Result<()> {
    for port in PORTS {
        let refused = value(&up.metrics(port).await?, REFUSED)?;
        ensure!(refused == 0.0, "{refused} handshakes were refused at +{port}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_certificate_is_renewed_under_writes_and_none_fails() -> Result<()> {
    let dir = TempDir::new()?;
    let up = Secured::started(dir.path()).await?;
    let writers = Writers::start(|| up.client(0))?;
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
    with_new_connections(|| up.client(0)).await?;
    writers.end().await?;
    no_handshake_was_refused(&up).await?;
    up.end()
}

/// The role and the name of the service at a port of `synod up`.
fn at(port: u16) -> (&'static str, String) {
    let role = ["balancer", "coordinator", "acceptor", "replica"][usize::from(port / 100)];
    (role, format!("{role}-{}", (port % 100).max(1)))
}

/// Puts a file in place of another one, whole.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let draft = to.with_extension("draft");
    fs::copy(from, &draft)?;
    Ok(fs::rename(draft, to)?)
}

/// Has a service read its files again, and waits until it has taken them.
async fn takes_its_files(up: &Secured, port: u16) -> Result<()> {
    let taken = async || value(&up.metrics(port).await?, TAKEN);
    let before = taken().await?;
    up.kill(port, Signal::HUP).await?;
    eventually("it has taken its files", async || {
        ensure!(taken().await? > before, "not the one at +{port}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_authority_takes_over_service_by_service_under_writes_and_none_fails() -> Result<()>
{
    let dir = TempDir::new()?;
    let up = Secured::started(dir.path()).await?;
    let (tls, next) = (up.folder().join("tls"), dir.path().join("next"));
    let folder = next.to_string_lossy().into_owned();
    let synod = Synod::at("");
    synod.text(&["pki", "init", "--dir", &folder]).await?;
    let (old, both) = (dir.path().join("old.pem"), dir.path().join("both.pem"));
    fs::copy(up.authority(), &old)?;
    let texts = [fs::read_to_string(&old)?, fs::read_to_string(next.join("ca.pem"))?];
    fs::write(&both, texts.concat())?;
    // Who asks with a certificate of the authority that goes.
    for ending in ["pem", "key"] {
        fs::copy(
            tls.join(format!("replica-1.{ending}")),
            dir.path().join(format!("own.{ending}")),
        )?;
    }
    let believing = |authority: &Path| {
        let trust = Trust::of_files(authority, None)?;
        anyhow::Ok(Client::new(&up.url(0))?.trusting(trust).with_timeout(Duration::from_secs(60)))
    };
    let writers = Writers::start(|| believing(&both))?;

    // As docs/tls.md has it: both are believed, then all is issued anew, then one is believed.
    replace(&both, &up.authority())?;
    for port in PORTS {
        takes_its_files(&up, port).await?;
    }
    for port in PORTS {
        let (role, name) = at(port);
        let reached = ["--dns", "localhost", "--ip", "127.0.0.1", "--dir", &folder];
        synod.text(&[&["pki", "issue", role, &name][..], &reached].concat()).await?;
        for ending in ["key", "pem"] {
            let file = format!("{name}.{ending}");
            replace(&next.join(&file), &tls.join(&file))?;
        }
        takes_its_files(&up, port).await?;
    }
    with_new_connections(|| believing(&both)).await?;
    replace(&next.join("ca.pem"), &up.authority())?;
    for port in PORTS {
        takes_its_files(&up, port).await?;
    }
    with_new_connections(|| believing(&up.authority())).await?;
    writers.end().await?;
    no_handshake_was_refused(&up).await?;

    // The old one counts for nobody: neither for a service …
    let own = (dir.path().join("own.pem"), dir.path().join("own.key"));
    let trust = Trust::of_files(&up.authority(), Some((&own.0, &own.1)))?;
    let formerly = Client::new(&up.url(201))?.trusting(trust).without_retries();
    ensure!(formerly.fetch("/v1/watermarks").await.is_err(), "its certificate is of the old one");
    let refused = value(&up.metrics(201).await?, REFUSED)?;
    ensure!(refused >= 1.0, "no handshake was refused");
    // … nor for a client, and a service that starts anew is one of the others.
    let asked = believing(&old)?.without_retries().fetch("/v1/status").await;
    let said = asked.err().context("a client believes the new one")?.to_string();
    ensure!(said.contains("certificate"), "{said}");
    up.kill(301, Signal::KILL).await?;
    eventually("all services are back", || up.all_ready()).await?;
    up.end()
}
