//! `synod up --tls` with ports and a folder of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use client::{Client, Trust};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use shared::chain::ChainHash;
use shared::ids::{BatchNumber, Epoch, Instance, LogFormat, Slot};
use shared::message::{self, Batch, Heartbeat, Storage};
use tests::harness::cluster::eventually;
use tests::harness::ports::Ports;
use tests::harness::process::Process;
use tokio::process::Command;

use crate::synod;

/// As long as a busy machine may take to end nine processes.
const LIMIT: Duration = Duration::from_secs(60);

/// How far the ports of the services stand from the first balancer's.
pub(super) const PORTS: [u16; 9] = [0, 101, 102, 201, 202, 203, 301, 302, 303];

pub(super) struct Secured {
    process: Process,
    base: u16,
    folder: PathBuf,
    _ports: Ports,
}

impl Secured {
    pub(super) async fn started(dir: &Path) -> Result<Self> {
        let ports = Ports::reserve()?;
        let (base, folder) = (ports.base(), dir.join("data"));
        let mut args: Vec<String> = vec!["up".into(), "--tls".into(), "--base-port".into()];
        args.extend([base.to_string(), "--data-dir".into()]);
        args.push(folder.to_string_lossy().into_owned());
        let mut up =
            Self { process: Process::new("up", synod(), args, dir), base, folder, _ports: ports };
        up.process.start()?;
        eventually("up says that writes are served", || async {
            let said = up.output()?;
            ensure!(said.contains("curl "), "{said}");
            Ok(())
        })
        .await?;
        eventually("all services are ready", || up.all_ready()).await?;
        Ok(up)
    }

    pub(super) fn end(mut self) -> Result<()> {
        ensure!(self.process.terminate(LIMIT)?.success(), "{}", self.process.output()?);
        Ok(())
    }

    pub(super) fn output(&self) -> Result<String> {
        self.process.output()
    }

    /// The data directory.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the authority's certificate is.
    pub(super) fn authority(&self) -> PathBuf {
        self.folder.join("tls/ca.pem")
    }

    pub(super) fn address(&self, port: u16) -> SocketAddr {
        ([127, 0, 0, 1], self.base + port).into()
    }

    pub(super) fn url(&self, port: u16) -> String {
        format!("https://{}", self.address(port))
    }

    pub(super) fn port_of(&self, replica: &str) -> Result<u16> {
        let number: u16 = replica.strip_prefix("replica-").context("no replica")?.parse()?;
        Ok(300 + number)
    }

    /// A client that believes the authority and has no certificate.
    pub(super) fn client(&self, port: u16) -> Result<Client> {
        let trust = Trust::of_files(&self.authority(), None)?;
        Ok(Client::new(&self.url(port))?.trusting(trust).with_timeout(LIMIT))
    }

    pub(super) async fn metrics(&self, port: u16) -> Result<String> {
        Ok(String::from_utf8(self.client(port)?.fetch("/metrics").await?.to_vec())?)
    }

    pub(super) async fn kill(&self, port: u16, signal: Signal) -> Result<()> {
        let status: Value = self.client(port)?.json("/v1/status").await?;
        let pid = status["pid"].as_i64().context("a status has a pid")?;
        let pid = Pid::from_raw(i32::try_from(pid)?).context("a process id is not zero")?;
        Ok(kill_process(pid, signal)?)
    }

    /// What is answered to a message from whoever has the certificate of this name.
    pub(super) async fn tell(
        &self,
        name: &str,
        (method, port, path): (&str, u16, &str),
        message: &Value,
    ) -> Result<String> {
        let file = |ending: &str| self.folder.join("tls").join(format!("{name}.{ending}"));
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--header", "content-type: application/json"]);
        curl.args(["--request", method, "--data", &message.to_string()]);
        curl.arg("--cacert").arg(self.authority());
        curl.arg("--cert").arg(file("pem")).arg("--key").arg(file("key"));
        let said = curl.arg(format!("{}{path}", self.url(port))).output().await?.stdout;
        Ok(String::from_utf8(said)?)
    }

    /// A replica that is not primary may not propose for the one that is, and nobody may
    /// propose what is not a batch of the epoch and number that it says.
    pub(super) async fn only_the_primary_proposes(&self) -> Result<()> {
        let cluster: Value = self.client(0)?.json("/v1/cluster").await?;
        let primary = cluster["view"]["primary"].as_str().context("no primary")?;
        let other = if primary == "replica-1" { "replica-2" } else { "replica-1" };
        let status: Value = self.client(101)?.json("/v1/status").await?;
        let (id, epoch) = (&status["cluster_id"], &cluster["view"]["epoch"]);
        let epoch = epoch.as_u64().context("no epoch")?;
        let number = 1_000_000;
        let batch = |epoch, number| {
            let (epoch, number) = (Epoch(epoch), BatchNumber(number));
            message::Value::Batch(Batch { epoch, number, commands: Bytes::new() }).encode()
        };
        let refused = format!("may not speak for the replica {primary}");
        let malformed = "must be a batch of the epoch and number";
        let later = epoch + 1;
        for (name, named, value, expected) in [
            (other, epoch, batch(epoch, number), refused.as_str()),
            (other, epoch - 1, batch(epoch, number), malformed),
            (primary, epoch, batch(epoch, number + 1), malformed),
            (primary, epoch, message::Value::Noop.encode(), malformed),
            (primary, later, batch(later, number), "not_leading"),
        ] {
            let proposal = serde_json::json!({
                "cluster": id, "epoch": named, "number": number, "value": value.to_vec(),
            });
            let said = self.tell(name, ("POST", 101, "/v1/proposals"), &proposal).await?;
            ensure!(said.contains(expected), "as {name}, {proposal}: {said}");
        }
        Ok(())
    }

    /// Nobody speaks in another one's name.
    pub(super) async fn each_speaks_for_itself(&self) -> Result<()> {
        let status: Value = self.client(101)?.json("/v1/status").await?;
        let cluster = &status["cluster_id"];
        let instance = Instance(7);
        let member = serde_json::json!({
            "name": "replica-1", "service": "replica", "url": "https://127.0.0.1:9",
            "instance": instance,
        });
        let announcement = serde_json::json!({ "cluster": cluster, "member": member });
        let heartbeat = Heartbeat {
            cluster: serde_json::from_value(cluster.clone())?,
            replica: "replica-1".parse()?,
            instance,
            url: "https://127.0.0.1:9".to_owned(),
            view: None,
            executed_below: Slot(0),
            hash: ChainHash::default(),
            durable_below: Slot(0),
            highest_format: LogFormat::FIRST,
            storage: Storage::Writable,
            nudge_below: None,
        };
        let heartbeat = serde_json::to_value(heartbeat)?;
        let another =
            serde_json::json!({ "another": { "than": "replica-1", "instance": instance } });
        let another = serde_json::json!({ "cluster": cluster, "wanted": another });
        let announce = ("PUT", 201, "/v1/members/replica-1");
        let withdrawal = format!("/v1/members/replica-1?instance={instance}");
        for (to, message) in [
            (announce, &announcement),
            (("DELETE", 201, withdrawal.as_str()), &Value::Null),
            (("POST", 101, "/v1/heartbeats"), &heartbeat),
            (("POST", 101, "/v1/primary"), &another),
        ] {
            let said = self.tell("replica-2", to, message).await?;
            let words = ["\"status\":403", "replica-2 may not speak for the", "replica-1"];
            ensure!(words.iter().all(|word| said.contains(word)), "{to:?} {message}: {said}");
        }
        Ok(())
    }

    pub(super) async fn all_ready(&self) -> Result<()> {
        for port in PORTS {
            self.client(port)?.without_retries().fetch("/readyz").await?;
        }
        Ok(())
    }
}

/// The value of a series.
pub(super) fn value(metrics: &str, series: &str) -> Result<f64> {
    match metrics.lines().find_map(|line| line.strip_prefix(series)) {
        Some(value) => Ok(value.trim().parse()?),
        None => bail!("there is no {series}"),
    }
}
