//! Three nodes of ZooKeeper, and a session for each client.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zookeeper_client::{Acls, CreateMode, Error};

use super::{NODES, Place, eventually};
use crate::client::Client;
use crate::process::Process;

/// Where Debian's package has it.
const CLASS_PATH: &str = "/etc/zookeeper/conf:/usr/share/java/zookeeper.jar";
const MAIN: &str = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
/// As its own script (`zkServer.sh`) starts it.
const HEAP: &str = "-Xmx1000m";
const SESSION_TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) struct Cluster {
    folder: PathBuf,
    ports: Ports,
    nodes: Vec<Process>,
}

#[derive(Clone, Copy)]
struct Ports(u16);

impl Ports {
    fn client(self, node: u16) -> u16 {
        self.0 + node
    }

    fn quorum(self, node: u16) -> u16 {
        self.0 + NODES + node
    }

    fn election(self, node: u16) -> u16 {
        self.0 + 2 * NODES + node
    }
}

impl Cluster {
    pub(super) fn start(place: &Place) -> anyhow::Result<Self> {
        let (folder, ports) = (place.folder.clone(), Ports(place.port));
        let nodes = (0..NODES).map(|node| {
            configure(&folder, ports, node)?;
            start_node(&folder, node)
        });
        Ok(Self { nodes: nodes.collect::<anyhow::Result<_>>()?, folder, ports })
    }

    /// A session for each client, to each node in turn.
    pub(super) async fn connect(&self, count: usize) -> anyhow::Result<Vec<Client>> {
        let addresses: Vec<String> =
            (0..NODES).map(|node| format!("127.0.0.1:{}", self.ports.client(node))).collect();
        try_join_all((0..count).map(async |index| {
            let client = ZooKeeperClient::connect(addresses.clone(), index).await?;
            Ok(Client::ZooKeeper(client))
        }))
        .await
    }

    async fn leader(&self) -> anyhow::Result<u16> {
        for node in 0..NODES {
            if let Ok(text) = self.status(node).await
                && text.contains("Mode: leader")
            {
                return Ok(node);
            }
        }
        bail!("no node of ZooKeeper leads")
    }

    /// What the four-letter word `srvr` is answered with.
    async fn status(&self, node: u16) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ports.client(node))).await?;
        stream.write_all(b"srvr").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
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
                *process = start_node(&self.folder, node)?;
            }
        }
        eventually("every node of ZooKeeper serves", async || {
            for node in 0..NODES {
                let text = self.status(node).await?;
                ensure!(text.contains("Mode: "), "node {node}: {text}");
            }
            Ok(true)
        })
        .await
    }

    pub(super) async fn version(&self) -> anyhow::Result<String> {
        let status = self.status(0).await?;
        let version = status.split("version: ").nth(1).and_then(|text| text.split('-').next());
        Ok(version.with_context(|| format!("no version in {status}"))?.to_owned())
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

fn name_of(node: u16) -> String {
    format!("zookeeper-{}", node + 1)
}

/// As in its administrator's guide, but for where things are and how many sessions one
/// address may have.
fn configure(folder: &Path, ports: Ports, node: u16) -> anyhow::Result<()> {
    let data = folder.join(name_of(node));
    fs::create_dir_all(&data)?;
    fs::create_dir_all(folder.join("logs"))?;
    fs::write(data.join("myid"), format!("{}\n", node + 1))?;
    let mut config = format!(
        "dataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\ntickTime=2000\ninitLimit=10\n\
         syncLimit=5\nmaxClientCnxns=0\nadmin.enableServer=false\n",
        data.display(),
        ports.client(node),
    );
    for node in 0..NODES {
        let (quorum, election) = (ports.quorum(node), ports.election(node));
        config.push_str(&format!("server.{}=127.0.0.1:{quorum}:{election}\n", node + 1));
    }
    fs::write(config_of(folder, node), config).context("cannot write zoo.cfg")
}

fn config_of(folder: &Path, node: u16) -> PathBuf {
    folder.join("logs").join(format!("{}.cfg", name_of(node)))
}

fn start_node(folder: &Path, node: u16) -> anyhow::Result<Process> {
    let (name, config) = (name_of(node), config_of(folder, node).display().to_string());
    let logger = "-Dzookeeper.root.logger=WARN,CONSOLE";
    let args = ["-cp", CLASS_PATH, HEAP, logger, MAIN, &config];
    let log = folder.join("logs").join(&name);
    Process::start(name, "java", args, &log)
}

/// A client with a session of its own, which ends with it.
pub(crate) struct ZooKeeperClient {
    addresses: Vec<String>,
    node: usize,
    session: zookeeper_client::Client,
}

impl ZooKeeperClient {
    async fn connect(addresses: Vec<String>, index: usize) -> anyhow::Result<Self> {
        let node = index % addresses.len();
        let session = open(&addresses[node]).await?;
        Ok(Self { addresses, node, session })
    }

    /// A write of a node that may not be there.
    pub(crate) async fn create(&mut self, key: &str, value: &[u8]) -> anyhow::Result<()> {
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        match self.session.create(&path(key), value, &options).await {
            Err(Error::NodeExists) => self.put(key, value).await,
            created => created.map(drop).map_err(Into::into),
        }
    }

    pub(crate) async fn put(&mut self, key: &str, value: &[u8]) -> anyhow::Result<()> {
        self.session.set_data(&path(key), value, None).await?;
        Ok(())
    }

    /// What the leader had committed when it was asked is there before the node reads:
    /// requests of a session are executed in order, so both are sent at once.
    pub(crate) async fn get(&mut self, key: &str) -> anyhow::Result<usize> {
        let path = path(key);
        let (sync, get) = (self.session.sync(&path), self.session.get_data(&path));
        let ((), (value, _)) = futures::try_join!(sync, get)?;
        Ok(value.len())
    }

    pub(crate) async fn go_elsewhere(&mut self) -> anyhow::Result<()> {
        self.node = (self.node + 1) % self.addresses.len();
        self.session = open(&self.addresses[self.node]).await?;
        Ok(())
    }
}

fn path(key: &str) -> String {
    format!("/{key}")
}

async fn open(address: &str) -> anyhow::Result<zookeeper_client::Client> {
    let connector = zookeeper_client::Client::connector()
        .with_session_timeout(SESSION_TIMEOUT)
        .with_fail_eagerly();
    Ok(connector.connect(address).await?)
}
