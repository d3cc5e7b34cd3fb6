//! A network of real replicas around one server that stands for all acceptors and
//! coordinators: it chooses whatever is proposed, at once, unless a test tells it not to.
#![expect(clippy::disallowed_methods, reason = "starts servers")]

mod fake;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use axum::http::StatusCode;
use clap::Parser;
use shared::ids::{LogFormat, Name};
use shared::message::Service;
use shared::metrics::Metrics;
use shared::server::{AllowedHosts, Limits};
use shared::service::Running;
use shared::status::Identity;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(super) use self::fake::{Behaviour, CLUSTER, Fake, LATE, LIMIT};

/// A running replica, and the folder of its state.
pub(super) struct Node {
    name: String,
    /// Where it answers.
    pub(super) url: String,
    dir: TempDir,
    shutdown: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: crate::Args,
}

impl Node {
    async fn start(name: &str, acceptors: &str, dir: TempDir, on: IpAddr) -> Self {
        let folder = dir.path().join("data");
        let folder = folder.to_str().unwrap();
        let Command { args } = Command::parse_from([
            "replica",
            "--acceptors",
            acceptors,
            "--data-dir",
            folder,
            "--id",
            name,
        ]);
        let listener = TcpListener::bind((on, 0)).await.unwrap();
        let url = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let shutdown = CancellationToken::new();
        let name: Name = name.parse().unwrap();
        let running = Running {
            service: Service::Replica,
            name: name.clone(),
            instance: shared::random::instance(),
            listener,
            internal: None,
            url: url.parse().unwrap(),
            tls: None,
            hosts: AllowedHosts::any(),
            limits: Limits::default(),
            identity: Identity::new(Service::Replica, name.clone()),
            metrics: Metrics::new(Service::Replica, &name),
            shutdown: shutdown.clone(),
        };
        let running = tokio::spawn(crate::run(args, running));
        Self { name: name.to_string(), url, dir, shutdown, running }
    }

    /// Where its state is.
    pub(super) fn state_file(&self) -> PathBuf {
        self.dir.path().join("data").join(crate::store::FILE)
    }

    /// Ends it, and gives back its folder.
    pub(super) async fn stop(self) -> TempDir {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
        self.dir
    }

    /// Waits for it to end by itself.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        self.running.await.unwrap()
    }
}

/// The server and the replicas.
pub(super) struct Network {
    /// Stands for all acceptors and coordinators.
    pub(super) fake: Fake,
    /// The replicas; the first is the primary.
    pub(super) nodes: Vec<Node>,
    /// Speaks HTTP to them.
    pub(super) http: reqwest::Client,
}

impl Network {
    /// Starts so many replicas and makes the first one primary.
    pub(super) async fn start(replicas: usize) -> Self {
        Self::start_with(replicas, LogFormat::FIRST).await
    }

    /// The same, with a log of this format.
    pub(super) async fn start_with(replicas: usize, format: LogFormat) -> Self {
        let mut network =
            Self { fake: Fake::serve().await, nodes: Vec::new(), http: reqwest::Client::new() };
        network.fake.lock().format = Some(format);
        for number in 1..=replicas {
            let name = format!("replica-{number}");
            network.add(&name, tempfile::tempdir().unwrap()).await;
            network.fake.heard_of(&name).await;
        }
        network.appoint("replica-1").await;
        network
    }

    /// Starts a replica on a folder.
    pub(super) async fn add(&mut self, name: &str, dir: TempDir) {
        self.begin(name, dir, Ipv4Addr::LOCALHOST.into()).await;
    }

    /// Starts one that listens on this address, and waits until it is heard of.
    pub(super) async fn add_on(&mut self, name: &str, dir: TempDir, on: IpAddr) {
        self.begin(name, dir, on).await;
        self.fake.heard_of(name).await;
    }

    async fn begin(&mut self, name: &str, dir: TempDir, on: IpAddr) {
        let member: Name = name.parse().unwrap();
        // Of a life before.
        self.fake.lock().members.remove(&member);
        self.nodes.push(Node::start(name, &self.fake.url, dir, on).await);
    }

    /// Makes a replica primary and waits until every replica has heard of it.
    pub(super) async fn appoint(&self, primary: &str) {
        self.fake.appoint(primary).await;
        for node in &self.nodes {
            let expected = if node.name == primary { "primary" } else { "backup" };
            eventually("every replica knows its role and its primary", async || {
                let status = self.status(node).await;
                status["role"] == expected
                    && status["view"]["primary"] == primary
                    && status["quorum_answers"] == true
            })
            .await;
            let url = format!("{}/v1/kv/warm-up", node.url);
            eventually("mutations are taken", async || {
                self.http.put(&url).send().await.unwrap().status().is_success()
            })
            .await;
        }
    }

    /// What a replica says of itself.
    pub(super) async fn status(&self, node: &Node) -> serde_json::Value {
        let response = self.http.get(format!("{}/v1/status", node.url)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK.as_u16());
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }
}

/// Waits until it is so.
pub(super) async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap_or_else(|_| panic!("not within 20 s: {what}"));
}
