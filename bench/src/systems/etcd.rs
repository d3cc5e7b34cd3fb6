//! Three nodes of etcd, and clients by gRPC.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use etcd_client::{ConnectOptions, KvClient, MaintenanceClient};

use super::{EtcdConnections, NODES, Place, eventually};
use crate::client::Client;
use crate::process::Process;

/// Far above what is written here; by default etcd refuses writes past 2 GiB.
const QUOTA_BYTES: u64 = 8 << 30;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) struct Cluster {
    folder: PathBuf,
    ports: Ports,
    connections: EtcdConnections,
    nodes: Vec<Process>,
}

#[derive(Clone, Copy)]
struct Ports(u16);

impl Ports {
    fn client(self, node: u16) -> u16 {
        self.0 + node
    }

    fn peer(self, node: u16) -> u16 {
        self.0 + NODES + node
    }
}

impl Cluster {
    pub(super) fn start(place: &Place, connections: EtcdConnections) -> anyhow::Result<Self> {
        let (folder, ports) = (place.folder.clone(), Ports(place.port));
        let nodes = (0..NODES).map(|node| start_node(&folder, ports, node));
        Ok(Self { nodes: nodes.collect::<anyhow::Result<_>>()?, folder, ports, connections })
    }

    /// Clients of each node in turn.
    pub(super) async fn connect(&self, count: usize) -> anyhow::Result<Vec<Client>> {
        let mut clients = Vec::<Client>::with_capacity(count);
        for index in 0..count {
            let client = match (self.connections, clients.get(index % usize::from(NODES))) {
                (EtcdConnections::Node, Some(Client::Etcd(first))) => first.clone(),
                _ => {
                    let endpoints = (0..NODES).map(|node| self.endpoint(node)).collect();
                    Box::new(EtcdClient::connect(endpoints, index).await?)
                }
            };
            clients.push(Client::Etcd(client));
        }
        Ok(clients)
    }

    fn endpoint(&self, node: u16) -> String {
        format!("http://127.0.0.1:{}", self.ports.client(node))
    }

    /// Asks the nodes which of them leads.
    async fn leader(&self) -> anyhow::Result<u16> {
        for node in 0..NODES {
            let Ok(mut client) = self.maintenance(node).await else { continue };
            let Ok(status) = client.status().await else { continue };
            let own = status.header().context("a status without a header")?.member_id();
            if status.leader() == own {
                return Ok(node);
            }
        }
        anyhow::bail!("no node of etcd leads")
    }

    async fn maintenance(&self, node: u16) -> anyhow::Result<MaintenanceClient> {
        let client = etcd_client::Client::connect([self.endpoint(node)], Some(options())).await?;
        Ok(client.maintenance_client())
    }

    pub(super) async fn kill_leader(&mut self) -> anyhow::Result<String> {
        let leader = usize::from(self.leader().await?);
        self.nodes[leader].kill().await?;
        Ok(self.nodes[leader].name.clone())
    }

    /// Starts the nodes that have ended, and waits until each follows or leads.
    pub(super) async fn revive(&mut self) -> anyhow::Result<()> {
        for node in 0..NODES {
            let process = &mut self.nodes[usize::from(node)];
            if process.check().is_err() {
                *process = start_node(&self.folder, self.ports, node)?;
            }
        }
        eventually("every node of etcd has a leader", async || {
            for node in 0..NODES {
                let status = self.maintenance(node).await?.status().await?;
                ensure!(status.leader() != 0, "node {node} has no leader");
            }
            Ok(true)
        })
        .await
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn nodes(&self) -> &[Process] {
        &self.nodes
    }

    pub(super) fn nodes_mut(&mut self) -> &mut [Process] {
        &mut self.nodes
    }

    pub(super) fn into_nodes(self) -> Vec<Process> {
        self.nodes
    }
}

/// As it comes, but for where things are and how much may be written.
fn start_node(folder: &Path, ports: Ports, node: u16) -> anyhow::Result<Process> {
    let name = |node| format!("etcd-{}", node + 1);
    let url = |port| format!("http://127.0.0.1:{port}");
    let peers: Vec<String> =
        (0..NODES).map(|node| format!("{}={}", name(node), url(ports.peer(node)))).collect();
    let data = folder.join(name(node));
    let args = [
        ("--name", name(node)),
        ("--data-dir", data.display().to_string()),
        ("--listen-client-urls", url(ports.client(node))),
        ("--advertise-client-urls", url(ports.client(node))),
        ("--listen-peer-urls", url(ports.peer(node))),
        ("--initial-advertise-peer-urls", url(ports.peer(node))),
        ("--initial-cluster", peers.join(",")),
        ("--quota-backend-bytes", QUOTA_BYTES.to_string()),
    ];
    let args = args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
    let logs = folder.join("logs");
    std::fs::create_dir_all(&logs)?;
    Process::start(name(node), "etcd", args, &logs.join(name(node)))
}

pub(super) fn version() -> anyhow::Result<String> {
    let output = Command::new("etcd").arg("--version").output().context("cannot start etcd")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.lines().next().and_then(|line| line.split(": ").nth(1));
    Ok(version.context("etcd does not tell its version")?.to_owned())
}

fn options() -> ConnectOptions {
    ConnectOptions::new().with_connect_timeout(CONNECT_TIMEOUT)
}

/// A client of one node, and of the next one after an error. Clones share its connection.
#[derive(Clone)]
pub(crate) struct EtcdClient {
    endpoints: Vec<String>,
    node: usize,
    kv: KvClient,
}

impl EtcdClient {
    async fn connect(endpoints: Vec<String>, index: usize) -> anyhow::Result<Self> {
        let node = index % endpoints.len();
        let kv = connect(&endpoints[node]).await?;
        Ok(Self { endpoints, node, kv })
    }

    pub(crate) async fn put(&mut self, key: &str, value: &[u8]) -> anyhow::Result<()> {
        self.kv.put(key, value, None).await?;
        Ok(())
    }

    /// Linearizable, as all reads are that do not say otherwise.
    pub(crate) async fn get(&mut self, key: &str) -> anyhow::Result<usize> {
        let response = self.kv.get(key, None).await?;
        Ok(response.kvs().first().context("no such key")?.value().len())
    }

    pub(crate) async fn go_elsewhere(&mut self) -> anyhow::Result<()> {
        self.node = (self.node + 1) % self.endpoints.len();
        self.kv = connect(&self.endpoints[self.node]).await?;
        Ok(())
    }
}

async fn connect(endpoint: &str) -> anyhow::Result<KvClient> {
    let client = etcd_client::Client::connect([endpoint], Some(options())).await?;
    Ok(client.kv_client())
}
