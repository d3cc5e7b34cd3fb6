//! What is compared: each system starts, says which processes are its own, and gives
//! clients.

mod etcd;
mod synod;
mod zookeeper;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};

pub(crate) use self::etcd::EtcdClient;
pub(crate) use self::synod::{Build, SynodClient};
pub(crate) use self::zookeeper::ZooKeeperClient;
use crate::client::Client;
use crate::cpu::Named;
use crate::disk;
use crate::process::Process;

/// The nodes of etcd and of ZooKeeper; as many acceptors and replicas has a cluster of
/// ours.
const NODES: u16 = 3;
/// How long a cluster may take to serve.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// From one look whether it does to the next.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Which systems there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    Synod,
    Etcd,
    #[value(name = "zookeeper")]
    ZooKeeper,
}

/// For whom a connection to etcd is; gRPC carries many requests at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum EtcdConnections {
    /// For all clients of a node, as if they were one program: etcd is fastest so
    Node,
    /// For each client, as if each were a program of its own
    Client,
}

/// Where a system may put its data and listen.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    /// The first of a thousand ports.
    pub(crate) port: u16,
}

impl Place {
    /// Makes the folder.
    pub(crate) fn make(&self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot make {}", self.folder.display()))
    }
}

/// A system that runs.
pub(crate) enum System {
    Synod(Box<synod::Cluster>),
    Etcd(etcd::Cluster),
    ZooKeeper(zookeeper::Cluster),
}

/// What is there to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    /// The replica that takes writes; only Synod has one beside the leader.
    Primary,
    /// The node or coordinator that leads.
    Leader,
}

impl Victim {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Leader => "leader",
        }
    }
}

impl System {
    /// Starts a cluster of ours with fresh data; it may not serve yet.
    pub(crate) fn start_synod(build: &Build, place: &Place) -> anyhow::Result<Self> {
        place.make()?;
        Ok(Self::Synod(Box::new(synod::Cluster::start(build, place)?)))
    }

    /// Starts etcd with fresh data; it may not serve yet.
    pub(crate) fn start_etcd(place: &Place, connections: EtcdConnections) -> anyhow::Result<Self> {
        place.make()?;
        etcd::Cluster::start(place, connections).map(Self::Etcd)
    }

    /// Starts ZooKeeper with fresh data; it may not serve yet.
    pub(crate) fn start_zookeeper(place: &Place) -> anyhow::Result<Self> {
        place.make()?;
        zookeeper::Cluster::start(place).map(Self::ZooKeeper)
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Synod(cluster) => cluster.name(),
            Self::Etcd(_) => "etcd",
            Self::ZooKeeper(_) => "zookeeper",
        }
    }

    /// Waits until a write is acknowledged.
    pub(crate) async fn wait_until_it_serves(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            self.nodes_mut().iter_mut().try_for_each(Process::check)?;
            let served = async {
                let mut clients = self.connect(1).await?;
                clients[0].create("serves", b"yes").await
            };
            match tokio::time::timeout_at(deadline, served).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) if Instant::now() >= deadline => return Err(error),
                Ok(Err(_)) => sleep(LOOK_PAUSE).await,
                Err(elapsed) => return Err(elapsed.into()),
            }
        }
    }

    /// Clients, spread over the nodes.
    pub(crate) async fn connect(&self, count: usize) -> anyhow::Result<Vec<Client>> {
        match self {
            Self::Synod(cluster) => Ok(cluster.connect(count)),
            Self::Etcd(cluster) => cluster.connect(count).await,
            Self::ZooKeeper(cluster) => cluster.connect(count).await,
        }
    }

    /// Every process of it, those that are no child of ours too.
    pub(crate) fn processes(&self) -> Vec<Named> {
        let nodes = self.nodes().iter().map(Process::named);
        match self {
            Self::Synod(cluster) => nodes.chain(cluster.services()).collect(),
            Self::Etcd(_) | Self::ZooKeeper(_) => nodes.collect(),
        }
    }

    /// What the data of all nodes take on the disk.
    pub(crate) fn disk(&self) -> anyhow::Result<disk::Usage> {
        let folder = match self {
            Self::Synod(cluster) => cluster.folder(),
            Self::Etcd(cluster) => cluster.folder(),
            Self::ZooKeeper(cluster) => cluster.folder(),
        };
        let is_data = |path: &Path| !path.ends_with("logs");
        disk::usage(folder, &is_data).with_context(|| format!("of {}", folder.display()))
    }

    pub(crate) async fn version(&self) -> anyhow::Result<String> {
        match self {
            Self::Synod(cluster) => cluster.version(),
            Self::Etcd(_) => etcd::version(),
            Self::ZooKeeper(cluster) => cluster.version().await,
        }
    }

    /// Whether it has such a part.
    pub(crate) fn has(&self, victim: Victim) -> bool {
        match (self, victim) {
            (Self::Synod(_), Victim::Primary | Victim::Leader) => true,
            (Self::Etcd(_) | Self::ZooKeeper(_), Victim::Leader) => true,
            (Self::Etcd(_) | Self::ZooKeeper(_), Victim::Primary) => false,
        }
    }

    /// SIGKILL, of what [`System::has`]; says whom it hit.
    pub(crate) async fn kill(&mut self, victim: Victim) -> anyhow::Result<String> {
        match self {
            Self::Synod(cluster) => cluster.kill(victim).await,
            Self::Etcd(cluster) => cluster.kill_leader().await,
            Self::ZooKeeper(cluster) => cluster.kill_leader().await,
        }
    }

    /// Starts again what was killed and waits until all is as before.
    pub(crate) async fn revive(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Synod(cluster) => cluster.wait_until_whole().await,
            Self::Etcd(cluster) => cluster.revive().await,
            Self::ZooKeeper(cluster) => cluster.revive().await,
        }
    }

    pub(crate) async fn end(self) {
        let nodes = match self {
            Self::Synod(cluster) => vec![cluster.into_process()],
            Self::Etcd(cluster) => cluster.into_nodes(),
            Self::ZooKeeper(cluster) => cluster.into_nodes(),
        };
        futures::future::join_all(nodes.into_iter().map(Process::end)).await;
    }

    fn nodes(&self) -> &[Process] {
        match self {
            Self::Synod(cluster) => cluster.process(),
            Self::Etcd(cluster) => cluster.nodes(),
            Self::ZooKeeper(cluster) => cluster.nodes(),
        }
    }

    fn nodes_mut(&mut self) -> &mut [Process] {
        match self {
            Self::Synod(cluster) => cluster.process_mut(),
            Self::Etcd(cluster) => cluster.nodes_mut(),
            Self::ZooKeeper(cluster) => cluster.nodes_mut(),
        }
    }
}

/// Asks until it is so, or the patience is over.
pub(crate) async fn eventually(
    what: &str,
    mut is_so: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        let last = is_so().await;
        if matches!(last, Ok(true)) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            last?;
            anyhow::bail!("not within {} s: {what}", START_PATIENCE.as_secs());
        }
        sleep(LOOK_PAUSE).await;
    }
}
