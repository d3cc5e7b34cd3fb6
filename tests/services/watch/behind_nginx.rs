//! A watch through a proxy of somebody else's, which knows nothing of watches.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tests::harness::cluster::{Cluster, Size, eventually};
use tests::harness::events::Events;
use tests::harness::ports::Ports;
use tests::harness::process::Process;
use tests::harness::skip::skipped;

use super::watcher;
use crate::synod;

/// What comes through without being held back, comes long before a heartbeat would push it.
const AT_ONCE: Duration = Duration::from_secs(5);
/// Beyond a heartbeat, so that the connection has been silent but for that.
const SILENT: Duration = Duration::from_secs(12);

/// As Debian ships it, but for where it listens, where its files are, and to whom it passes
/// everything on.
fn configuration(folder: &Path, port: u16, to: &str) -> String {
    let folder = folder.display();
    format!(
        "daemon off; master_process off; pid {folder}/pid; error_log stderr; user root;
        events {{ }}
        http {{
            access_log off;
            client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
            scgi_temp_path {folder}/scgi;
            server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {to}; }} }}
        }}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn nginx_at_its_defaults_passes_events_on_at_once() -> Result<()> {
    let nginx = ["/usr/sbin/nginx", "/usr/bin/nginx"].map(Path::new);
    let Some(nginx) = nginx.into_iter().find(|path| path.exists()) else {
        return skipped("there is no nginx; `apt-get install nginx` brings it");
    };
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let (folder, mut ports) = (tempfile::tempdir()?, Ports::reserve()?);
    let port = ports.take()?;
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, configuration(folder.path(), port, cluster.front()))?;
    let args = vec!["-c".to_owned(), file.display().to_string()];
    let mut proxy = Process::new("nginx", nginx, args, folder.path());
    proxy.start()?;
    let (http, front) = (watcher()?, format!("http://127.0.0.1:{port}"));
    eventually("nginx passes requests on", || async {
        let status = http.get(format!("{front}/readyz")).send().await?.status();
        ensure!(status.is_success(), "{status}");
        Ok(())
    })
    .await?;
    let mut events = Events::open(&http, &format!("{front}/v1/watch?prefix=a/"), None).await?;
    for (count, silent) in [Duration::ZERO, Duration::ZERO, SILENT].into_iter().enumerate() {
        tokio::time::sleep(silent).await;
        let put = http.put(format!("{front}/v1/kv/a/{count}")).body("x").send().await?;
        ensure!(put.status().is_success(), "{}", put.status());
        let put_at = Instant::now();
        let event = tokio::time::timeout(AT_ONCE, events.next()).await??;
        let key = event.as_ref().map(|event| &event.data["key"]);
        ensure!(key.is_some_and(|key| key == &format!("a/{count}")), "{event:?}");
        println!("put {count} was told of {:?} after its answer", put_at.elapsed());
    }
    proxy.kill()
}
