//! A cluster of real processes on one machine.

mod options;
mod plan;
mod waiting;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

pub use self::options::{Between, Options, Size};
use self::plan::Place;
pub use self::waiting::{PATIENCE, eventually, until_reached};
use super::network::Network;
use super::pki::Pki;
use super::ports::Ports;
use super::process::Process;
use super::tunnel::Tunnels;

/// Every service of a cluster, each a process of its own. All of them are killed when it
/// is dropped.
#[derive(Debug)]
pub struct Cluster {
    services: BTreeMap<String, Process>,
    places: BTreeMap<String, Place>,
    between: Between,
    network: Network,
    pki: Option<Pki>,
    tunnels: Option<Tunnels>,
    http: reqwest::Client,
    dir: TempDir,
    _ports: Ports,
}

impl Cluster {
    /// Starts a cluster of the `synod` binary and waits until it is
    /// [whole](Self::wait_until_whole). `env` is set for every service.
    ///
    /// # Errors
    /// When a service can't be started or the cluster doesn't come up in [`PATIENCE`].
    pub async fn start(synod: &Path, size: Size, env: &[(&str, &str)]) -> Result<Self> {
        Self::start_with(synod, &Options { size, env, ..Options::default() }).await
    }

    /// Starts a cluster of the `synod` binary and waits until it is
    /// [whole](Self::wait_until_whole).
    ///
    /// # Errors
    /// When a service can't be started or the cluster doesn't come up in [`PATIENCE`].
    pub async fn start_with(synod: &Path, options: &Options<'_>) -> Result<Self> {
        let mut cluster = Self::describe(synod, options)?;
        cluster.wire().await?;
        for service in cluster.services.values_mut() {
            service.start()?;
        }
        cluster.wait_until_whole().await?;
        Ok(cluster)
    }

    fn describe(synod: &Path, options: &Options<'_>) -> Result<Self> {
        let dir = TempDir::with_prefix("synod-cluster-")?;
        let mut ports = Ports::reserve()?;
        let places = plan::places(options, dir.path(), &mut ports)?;
        let certificates = || plan::certificates(synod, &places, dir.path());
        let pki = options.tls.then(certificates).transpose()?;
        let services = plan::processes(synod, options, &places, pki.as_ref(), dir.path());
        let http =
            reqwest::Client::builder().timeout(Duration::from_secs(15)).no_proxy().build()?;
        let (network, between) = (Network::default(), options.between.clone());
        let tunnels = pki.as_ref().map(Tunnels::new).transpose()?;
        Ok(Self { services, places, between, network, pki, tunnels, http, dir, _ports: ports })
    }

    /// Puts a proxy in front of every service that is advertised elsewhere than it
    /// listens, and has clients go by tunnels where services take TLS.
    async fn wire(&mut self) -> Result<()> {
        for (name, service) in &self.services {
            let place = self.places.get_mut(name).expect("every service has a place");
            self.network.know(name, service.pid_cell());
            if let Some(proxy) = place.proxy {
                self.network.place(name, proxy, place.inner()).await?;
            }
            if let Some(tunnels) = &mut self.tunnels {
                place.url = tunnels.open(place.listen).await?;
                place.door = tunnels.open(place.outer()).await?;
            }
        }
        Ok(())
    }

    /// The certificates of a cluster that speaks TLS.
    #[must_use]
    pub fn pki(&self) -> Option<&Pki> {
        self.pki.as_ref()
    }

    /// Where a service itself listens, and where for the other services.
    ///
    /// # Panics
    /// When there is no such service.
    #[must_use]
    pub fn addresses(&self, name: &str) -> (SocketAddr, SocketAddr) {
        let place = self.place(name);
        (place.listen, place.inner())
    }

    /// The network between the services, where there is one ([`Between::Proxies`]).
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    fn place(&self, name: &str) -> &Place {
        self.places.get(name).unwrap_or_else(|| panic!("no service {name}"))
    }

    /// Where clients reach a service as the others do: through the network, where there is one.
    ///
    /// # Panics
    /// When there is no such service.
    #[must_use]
    pub fn door(&self, name: &str) -> &str {
        &self.place(name).door
    }

    /// The names of all services.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.places.keys().cloned().collect()
    }

    /// Takes every fault of the network away, starts what is dead, and lets go on what is
    /// stopped.
    ///
    /// # Errors
    /// When a service can't be started, or a cable not plugged in.
    pub fn heal(&mut self) -> Result<()> {
        self.network.heal();
        if let Between::Cables(lan) = &self.between {
            lan.heal()?;
        }
        self.services.values_mut().try_for_each(Process::ensure_running)
    }

    /// Where a service is reached, for instance `balancer-1` or `replica-2`.
    ///
    /// # Panics
    /// When there is no such service.
    #[must_use]
    pub fn url(&self, name: &str) -> &str {
        &self.place(name).url
    }

    /// The balancer's address.
    #[must_use]
    pub fn front(&self) -> &str {
        self.url("balancer-1")
    }

    /// The names of all services of a kind.
    #[must_use]
    pub fn names(&self, kind: &str) -> Vec<String> {
        self.places.keys().filter(|name| name.starts_with(kind)).cloned().collect()
    }

    /// A client of the cluster's HTTP API.
    #[must_use]
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The process of a service.
    ///
    /// # Panics
    /// When there is no such service.
    pub fn service(&mut self, name: &str) -> &mut Process {
        self.services.get_mut(name).unwrap_or_else(|| panic!("no service {name}"))
    }

    /// The data directory of a service.
    ///
    /// # Panics
    /// When there is no such service.
    #[must_use]
    pub fn data_dir(&self, name: &str) -> PathBuf {
        self.place(name).data_dir.clone()
    }

    /// Ends all services and keeps their data and logs; says where.
    #[must_use]
    pub fn keep(self) -> PathBuf {
        let Self { services, dir, .. } = self;
        drop(services);
        dir.keep()
    }

    /// A temporary folder of this cluster.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A JSON document of a service.
    ///
    /// # Errors
    /// When the service doesn't answer with one.
    pub async fn json(&self, name: &str, path: &str) -> Result<Value> {
        let response = self.http.get(format!("{}{path}", self.url(name))).send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        serde_json::from_slice(&body).with_context(|| {
            format!("{name}{path} answered {status}: {}", String::from_utf8_lossy(&body))
        })
    }

    /// Sends a request to a service; again for as long as the answer is 503. Says status,
    /// header and text.
    ///
    /// # Errors
    /// When there is no other answer in time.
    pub async fn call(
        &self,
        (method, name, path): (Method, &str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(StatusCode, HeaderMap, String)> {
        eventually("there is an answer that is not for later", async || {
            let url = format!("{}{path}", self.url(name));
            let mut request = self.http.request(method.clone(), url).body(body.to_vec());
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let response = request.send().await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let said = response.text().await?;
            ensure!(status != StatusCode::SERVICE_UNAVAILABLE, "{said}");
            Ok((status, headers, said))
        })
        .await
    }

    /// What a replica has executed: the text values below a prefix, by key.
    ///
    /// # Errors
    /// When the replica doesn't answer with the items.
    pub async fn contents(&self, replica: &str, prefix: &str) -> Result<BTreeMap<String, String>> {
        let url = format!("{}/v1/kv?consistency=local&prefix={prefix}", self.url(replica));
        let response = self.http.get(url).header("accept", "application/x-ndjson").send().await?;
        let status = response.status();
        let body = response.text().await?;
        ensure!(status.is_success(), "{replica} answered {status}: {body}");
        let mut held = BTreeMap::new();
        for line in body.lines() {
            let item: Value =
                serde_json::from_str(line).with_context(|| format!("not an item: {line}"))?;
            let (Some(key), Some(value)) = (item["key"].as_str(), item["value"].as_str()) else {
                bail!("not an item: {line}")
            };
            held.insert(key.to_owned(), value.to_owned());
        }
        Ok(held)
    }

    /// The end of every service's output, for a failed test's message.
    #[must_use]
    pub fn last_words(&self) -> String {
        let mut text = String::new();
        for service in self.services.values() {
            let output = service.output().unwrap_or_default();
            let lines: Vec<&str> = output.lines().rev().take(8).collect();
            text.push_str(&format!("--- {}\n", service.name()));
            for line in lines.iter().rev() {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}
