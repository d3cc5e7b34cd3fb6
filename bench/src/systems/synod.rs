//! A whole cluster by `synod up`, and clients by its balancer.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::slice;
use std::str::FromStr;

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Place, Victim, eventually};
use crate::client::Client;
use crate::cpu::{self, Named};
use crate::http::Connection;
use crate::process::Process;

/// A program of ours, and what it is called in the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Build {
    pub(crate) label: String,
    pub(crate) program: PathBuf,
}

impl FromStr for Build {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (label, program) = text.split_once('=').unwrap_or(("synod", text));
        if label.is_empty() || program.is_empty() {
            return Err("write PATH or LABEL=PATH".to_owned());
        }
        Ok(Self { label: label.to_owned(), program: program.into() })
    }
}

pub(crate) struct Cluster {
    label: String,
    program: PathBuf,
    folder: PathBuf,
    balancer: SocketAddr,
    up: Process,
}

impl Cluster {
    pub(super) fn start(build: &Build, place: &Place) -> anyhow::Result<Self> {
        let folder = place.folder.clone();
        let args = ["up".into(), "--base-port".into(), place.port.to_string(), "--data-dir".into()];
        let args = args.into_iter().chain([folder.display().to_string()]);
        let log = folder.with_extension("log");
        let up = Process::start("up", &build.program, args, &log)?;
        let balancer = (Ipv4Addr::LOCALHOST, place.port).into();
        let Build { label, program } = build.clone();
        Ok(Self { label, program, folder, balancer, up })
    }

    pub(super) fn name(&self) -> &str {
        &self.label
    }

    pub(super) fn connect(&self, count: usize) -> Vec<Client> {
        (0..count).map(|_| Client::Synod(SynodClient::new(self.balancer))).collect()
    }

    /// The services, which are children of `up`.
    pub(super) fn services(&self) -> Vec<Named> {
        cpu::children_of(self.up.pid())
    }

    async fn get(&self, target: &str) -> anyhow::Result<Value> {
        let body = Connection::new(self.balancer).send("GET", target, "", b"").await?;
        Ok(serde_json::from_slice(&body)?)
    }

    pub(super) async fn kill(&self, victim: Victim) -> anyhow::Result<String> {
        let cluster = self.get("/v1/cluster").await?;
        let name = match victim {
            Victim::Primary => cluster["view"]["primary"].as_str(),
            Victim::Leader => cluster["leader"]["coordinator"].as_str(),
        };
        let name = name.with_context(|| format!("there is no {victim:?}: {cluster}"))?;
        let service = self.services().into_iter().find(|service| service.name == name);
        let pid = service.and_then(|service| Pid::from_raw(service.pid));
        let pid = pid.with_context(|| format!("{name} is no child of `up`"))?;
        kill_process(pid, Signal::KILL).with_context(|| format!("cannot kill {name}"))?;
        Ok(name.to_owned())
    }

    /// `up` starts again what was killed.
    pub(super) async fn wait_until_whole(&self) -> anyhow::Result<()> {
        eventually("all services are healthy and a coordinator leads", async || {
            let cluster = self.get("/v1/cluster").await?;
            ensure!(cluster["leader"].is_object(), "no coordinator leads");
            let services = ["coordinators", "acceptors", "replicas"].map(|kind| &cluster[kind]);
            let services = || services.iter().filter_map(|list| list.as_array()).flatten();
            for service in services() {
                ensure!(service["healthy"] == true, "{} is not healthy", service["id"]);
            }
            Ok(services().count() == SERVICES)
        })
        .await
    }

    pub(super) fn version(&self) -> anyhow::Result<String> {
        let output = Command::new(&self.program).arg("--version").output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn process(&self) -> &[Process] {
        slice::from_ref(&self.up)
    }

    pub(super) fn process_mut(&mut self) -> &mut [Process] {
        slice::from_mut(&mut self.up)
    }

    pub(super) fn into_process(self) -> Process {
        self.up
    }
}

/// What a cluster tells of: two coordinators, three acceptors and three replicas.
const SERVICES: usize = 8;

/// A client with one connection to the balancer.
pub(crate) struct SynodClient(Connection);

impl SynodClient {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self(Connection::new(address))
    }

    pub(crate) async fn put(&mut self, key: &str, value: &[u8]) -> anyhow::Result<()> {
        self.0.send("PUT", &format!("/v1/kv/{key}"), "", value).await.map(drop)
    }

    pub(crate) async fn get(&mut self, key: &str) -> anyhow::Result<usize> {
        Ok(self.0.send("GET", &format!("/v1/kv/{key}"), "", b"").await?.len())
    }
}
