//! Proxying alone: our balancer and HAProxy before the same backend.

mod backend;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::client::Client;
use crate::cpu::Named;
use crate::process::Process;
use crate::systems::{self, Build, Place, SynodClient};

/// How the other proxy is called in reports.
pub(crate) const HAPROXY: &str = "haproxy";

/// A proxy that runs.
pub(crate) struct Proxy {
    name: String,
    address: SocketAddr,
    process: Process,
    /// Where our balancer learns of replicas.
    acceptor: Option<Process>,
}

/// Starts them all before one backend; they may not serve yet.
pub(crate) fn start(builds: &[Build], place: &Place) -> anyhow::Result<Vec<Proxy>> {
    place.make()?;
    let numbered = || builds.iter().zip(0..);
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let acceptor_of = |number: u16| at(place.port + 10 + number);
    let acceptors = numbered().map(|(_, number)| acceptor_of(number)).collect();
    let backend = backend::start(acceptors)?;
    let mut proxies = Vec::new();
    for (build, number) in numbered() {
        let (address, acceptor) = (at(place.port + 20 + number), acceptor_of(number));
        proxies.push(start_balancer(build, &place.folder, address, acceptor)?);
    }
    proxies.push(start_haproxy(&place.folder, at(place.port), &backend)?);
    Ok(proxies)
}

fn start_balancer(
    build: &Build,
    folder: &Path,
    address: SocketAddr,
    acceptor: SocketAddr,
) -> anyhow::Result<Proxy> {
    let folder = folder.join(&build.label);
    fs::create_dir_all(&folder)?;
    let (data, acceptor_text) =
        (folder.join("acceptor").display().to_string(), acceptor.to_string());
    let args = ["acceptor", "--id", "acceptor-1", "--listen", &acceptor_text, "--data-dir", &data];
    let log = folder.join("acceptor.log");
    let acceptor = Process::start("acceptor-1", &build.program, args, &log)?;
    let (listen, acceptors) = (address.to_string(), format!("http://{acceptor_text}"));
    let args = ["balancer", "--id", "balancer-1", "--listen", &listen, "--acceptors", &acceptors];
    let process = Process::start("balancer-1", &build.program, args, &folder.join("balancer.log"))?;
    Ok(Proxy { name: build.label.clone(), address, process, acceptor: Some(acceptor) })
}

/// One thread, connections kept alive on both sides and free for every request.
fn start_haproxy(
    folder: &Path,
    address: SocketAddr,
    backend: &[SocketAddr],
) -> anyhow::Result<Proxy> {
    let mut config = format!(
        "global\n    nbthread 1\n    maxconn 4096\n\
         defaults\n    mode http\n    option http-keep-alive\n    http-reuse always\n    \
         timeout connect 5s\n    timeout client 75s\n    timeout server 75s\n\
         frontend front\n    bind {address}\n    default_backend replicas\n\
         backend replicas\n    balance roundrobin\n"
    );
    for (replica, number) in backend.iter().zip(1..) {
        config.push_str(&format!("    server replica-{number} {replica}\n"));
    }
    let file = folder.join("haproxy.cfg");
    fs::write(&file, config)?;
    let file = file.display().to_string();
    // Where it is installed, though not everybody's PATH leads there.
    let process =
        Process::start(HAPROXY, PROGRAM, ["-db", "-f", &file], &folder.join("haproxy.log"))?;
    Ok(Proxy { name: HAPROXY.to_owned(), address, process, acceptor: None })
}

const PROGRAM: &str = "/usr/sbin/haproxy";

pub(crate) fn haproxy_version() -> anyhow::Result<String> {
    let output = Command::new(PROGRAM).arg("-v").output().context("cannot start haproxy")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split("version ").nth(1).and_then(|text| text.split_whitespace().next());
    Ok(version.context("haproxy does not tell its version")?.to_owned())
}

impl Proxy {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn connect(&self, count: usize) -> Vec<Client> {
        (0..count).map(|_| Client::Synod(SynodClient::new(self.address))).collect()
    }

    /// The proxy itself.
    pub(crate) fn processes(&self) -> Vec<Named> {
        vec![self.process.named()]
    }

    /// Waits until a request comes through.
    pub(crate) async fn wait_until_it_serves(&mut self) -> anyhow::Result<()> {
        systems::eventually("a request comes through the proxy", async || {
            self.process.check()?;
            self.acceptor.as_mut().map_or(Ok(()), Process::check)?;
            SynodClient::new(self.address).get("k").await.map(|_| true)
        })
        .await
    }

    pub(crate) async fn end(self) {
        self.process.end().await;
        if let Some(acceptor) = self.acceptor {
            acceptor.end().await;
        }
    }
}
