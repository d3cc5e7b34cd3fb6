//! How a cluster is made.

use std::path::Path;
use std::sync::Arc;

use crate::harness::lan::Lan;

/// How many of each service.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Coordinators.
    pub coordinators: u16,
    /// Acceptors.
    pub acceptors: u16,
    /// Replicas.
    pub replicas: u16,
    /// Balancers.
    pub balancers: u16,
}

impl Default for Size {
    fn default() -> Self {
        Self { coordinators: 2, acceptors: 3, replicas: 3, balancers: 1 }
    }
}

impl Size {
    /// The names of all services.
    #[must_use]
    pub fn names(self) -> Vec<String> {
        let counts = [
            ("coordinator", self.coordinators),
            ("acceptor", self.acceptors),
            ("replica", self.replicas),
            ("balancer", self.balancers),
        ];
        counts
            .iter()
            .flat_map(|(kind, count)| (1..=*count).map(move |number| format!("{kind}-{number}")))
            .collect()
    }
}

/// How a cluster is made.
#[derive(Clone, Debug, Default)]
pub struct Options<'a> {
    /// How many of each service.
    pub size: Size,
    /// Set for every service.
    pub env: &'a [(&'a str, &'a str)],
    /// The most files that each service may have open; none: as many as this process.
    pub open_files: Option<u64>,
    /// Further arguments of one service: its name and they.
    pub args: &'a [(&'a str, &'a [&'a str])],
    /// Data directories that are elsewhere: the service's name, and the folder.
    pub data_dirs: &'a [(&'a str, &'a Path)],
    /// What is between the services.
    pub between: Between,
    /// Whether all speak TLS, with certificates of an authority in the cluster's folder, and
    /// are known to each other by them, as `synod up --tls` has it.
    pub tls: bool,
    /// Whether acceptors, coordinators and replicas have addresses of their own for each other
    /// (`--listen-internal`).
    pub internal: bool,
}

/// What is between the services.
#[derive(Clone, Debug, Default)]
pub enum Between {
    /// Nothing: all are on loopback.
    #[default]
    Loopback,
    /// A [`Network`](crate::harness::network::Network) of proxies on loopback.
    Proxies,
    /// Cables: each service is a host of its own, and only what runs at the [`Lan::hub`]
    /// reaches them.
    Cables(Arc<Lan>),
}
