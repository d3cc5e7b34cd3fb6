//! Coordinators with their acceptors.

use std::future::Future;
use std::time::{Duration, Instant};

use clap::Parser;
use shared::client::{CoordinatorClient, Pool};
use shared::ids::{AcceptorId, BatchNumber, ClusterId, Draw, Epoch};
use shared::message::{Batch, Proposal, ProposalReply, Roster, Service, Value};
use shared::service::Running;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::acceptor::FakeAcceptor;

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    args: coordinator::Args,
}

pub(crate) struct RunningCoordinator {
    pub(crate) client: CoordinatorClient,
    pub(crate) shutdown: CancellationToken,
    pub(crate) ended: JoinHandle<anyhow::Result<()>>,
}

impl RunningCoordinator {
    /// Starts a coordinator; an acceptor need not be there.
    pub(crate) fn start(acceptors: &[&str]) -> Self {
        let list = acceptors.join(",");
        let flags =
            Flags::parse_from(["coordinator", "--listen", "127.0.0.1:0", "--acceptors", &list]);
        let shutdown = CancellationToken::new();
        let running =
            Running::bind(Service::Coordinator, &flags.args.service, shutdown.clone()).unwrap();
        let client = CoordinatorClient::new(running.url.clone());
        let ended = tokio::spawn(coordinator::run(flags.args, running));
        Self { client, shutdown, ended }
    }

    pub(crate) async fn status(&self) -> serde_json::Value {
        self.client.status(PATIENCE).await.unwrap()
    }

    pub(crate) async fn leads(&self) -> bool {
        self.status().await["phase"] == "phase2"
    }

    pub(crate) async fn propose(&self, number: u64, commands: &str) -> ProposalReply {
        let reply = self.client.propose(&proposal(number, commands), PATIENCE).await.unwrap();
        reply.for_cluster(cluster_id()).unwrap()
    }

    /// Sends anything, and gives back status and body.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(body.to_owned().into())
            .unwrap();
        let coordinator = Pool::of_process().to(self.client.url().as_str()).unwrap();
        let response = coordinator.send(request).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::Body::new(response.into_body());
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

pub(crate) fn cluster_id() -> ClusterId {
    let drawn = [1, 2, 3].map(|id| (AcceptorId(id), Draw(id)));
    Roster::form(drawn.to_vec()).unwrap().cluster()
}

pub(crate) fn proposal(number: u64, commands: &str) -> Proposal {
    let (epoch, number) = (Epoch(1), BatchNumber(number));
    let commands = bytes::Bytes::copy_from_slice(commands.as_bytes());
    let value = Value::Batch(Batch { epoch, number, commands }).encode();
    Proposal { cluster: cluster_id(), epoch, number, value }
}

pub(crate) async fn acceptors() -> Vec<FakeAcceptor> {
    let mut acceptors = Vec::new();
    for id in 1..=3 {
        acceptors.push(FakeAcceptor::start(id).await);
    }
    acceptors
}

/// Three acceptors and a coordinator that leads them.
pub(crate) async fn leading() -> (RunningCoordinator, Vec<FakeAcceptor>) {
    let acceptors = acceptors().await;
    let coordinator = join(&acceptors);
    until("it leads", || coordinator.leads()).await;
    (coordinator, acceptors)
}

/// One more coordinator for these acceptors.
pub(crate) fn join(acceptors: &[FakeAcceptor]) -> RunningCoordinator {
    let urls: Vec<&str> = acceptors.iter().map(|acceptor| acceptor.url.as_str()).collect();
    RunningCoordinator::start(&urls)
}

pub(crate) async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
