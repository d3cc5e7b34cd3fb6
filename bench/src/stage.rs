//! Everything that runs and every folder that was made: ended and removed in the end,
//! however it ends.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use futures::future::{join_all, try_join_all};

use crate::args::Args;
use crate::proxies::{self, Proxy};
use crate::systems::{Kind, Place, System};

/// So many ports has a cluster of ours.
const PORTS: u16 = 1_000;
/// Where among them those of the others lie, which a cluster of ours does not use.
const ETCD_PORTS: u16 = 600;
const ZOOKEEPER_PORTS: u16 = 700;
const PROXY_PORTS: u16 = 800;

pub(crate) struct Stage {
    folder: PathBuf,
    pub(crate) systems: Vec<System>,
    pub(crate) proxies: Vec<Proxy>,
}

impl Stage {
    /// Makes the folder, which must be a new one.
    pub(crate) fn new(parent: &Path) -> anyhow::Result<Self> {
        let parent = std::path::absolute(parent)?;
        let folder = parent.join(std::process::id().to_string());
        fs::create_dir_all(&parent)
            .and_then(|()| fs::create_dir(&folder))
            .with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self { folder, systems: Vec::new(), proxies: Vec::new() })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts the systems side by side, with fresh data, and waits until all serve.
    pub(crate) async fn start(&mut self, args: &Args) -> anyhow::Result<()> {
        for kind in &args.systems {
            match kind {
                Kind::Synod => {
                    for (build, index) in args.synod.iter().zip(0..) {
                        let place = self.place(&build.label, args.base_port + index * PORTS);
                        self.systems.push(System::start_synod(build, &place)?);
                    }
                }
                Kind::Etcd => {
                    let place = self.place("etcd", args.base_port + ETCD_PORTS);
                    self.systems.push(System::start_etcd(&place, args.etcd_connections)?);
                }
                Kind::ZooKeeper => {
                    let place = self.place("zookeeper", args.base_port + ZOOKEEPER_PORTS);
                    self.systems.push(System::start_zookeeper(&place)?);
                }
            }
        }
        try_join_all(self.systems.iter_mut().map(System::wait_until_it_serves)).await.map(drop)
    }

    /// Starts our balancers and the other proxy side by side, and waits until all serve.
    pub(crate) async fn start_proxies(&mut self, args: &Args) -> anyhow::Result<()> {
        let place = self.place("proxies", args.base_port + PROXY_PORTS);
        self.proxies = proxies::start(&args.synod, &place)?;
        try_join_all(self.proxies.iter_mut().map(Proxy::wait_until_it_serves)).await.map(drop)
    }

    fn place(&self, name: &str, port: u16) -> Place {
        Place { folder: self.folder.join(name), port }
    }

    /// Ends what runs and leaves no data.
    pub(crate) async fn end_systems(&mut self) {
        join_all(self.systems.drain(..).map(System::end)).await;
        join_all(self.proxies.drain(..).map(Proxy::end)).await;
        remove_contents(&self.folder);
    }

    /// Ends everything.
    pub(crate) async fn end(mut self) {
        self.end_systems().await;
        let _there_still = fs::remove_dir(&self.folder);
    }
}

fn remove_contents(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        if let Err(error) = removed {
            eprintln!("cannot remove {}: {error}", path.display());
        }
    }
}
