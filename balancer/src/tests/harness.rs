//! A balancer on a port of the OS's choice, and a client of it.
#![expect(clippy::disallowed_methods, reason = "the harness is a shell: it starts tasks")]

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use shared::discovery::{Acceptors, Mixups};
use shared::events::Events;
use shared::ids::{ClusterId, Instance};
use shared::message::{Member, Service};
use shared::metrics::Metrics;
use shared::server::{Admission, AllowedHosts, Limits, serve_connections};
use shared::spans::Gather;
use shared::status::Identity;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::fake::Fake;
use crate::clients::{Clients, Limits as ClientLimits};
use crate::endpoints::Endpoints;
use crate::health::{self, Pace};
use crate::http::{Front, OwnService};
use crate::metrics::Measured;
use crate::news::News;
use crate::operators::Operators;
use crate::pool::{Policy, Pool, Rules, Thresholds};
use crate::proxy::{BodyLimits, HashBy, Patience, Proxy};

/// No test waits longer for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The time of a request that waits in vain.
pub(super) const BRIEFLY: [(&str, &str); 1] = [("synod-timeout", "50ms")];

pub(super) struct Setup {
    pub(super) limits: Limits,
    pub(super) bodies: BodyLimits,
    pub(super) pace: Pace,
    pub(super) thresholds: Thresholds,
    pub(super) slow_read_after: Duration,
    pub(super) max_waiting: usize,
    pub(super) policy: Policy,
    pub(super) hash_by: HashBy,
    pub(super) clients: ClientLimits,
}

pub(super) fn thresholds(unhealthy_after: u32, healthy_after: u32) -> Thresholds {
    Thresholds {
        unhealthy_after,
        healthy_after,
        behind_after: Duration::from_secs(5),
        slow_start: Duration::ZERO,
        max_in_flight: 1_000,
    }
}

impl Default for Setup {
    /// Each replica is checked once and then no more, so that what the pool knows is what
    /// the requests showed it.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            bodies: BodyLimits { body_bytes: 1_000, buffered_bytes: 1_000_000 },
            pace: Pace { interval: Duration::from_secs(3_600), timeout: Duration::from_secs(5) },
            thresholds: thresholds(100, 1),
            slow_read_after: Duration::from_secs(3_600),
            max_waiting: 100,
            policy: Policy::RoundRobin,
            hash_by: HashBy::Path,
            clients: ClientLimits {
                rate: None,
                burst: NonZeroU32::MIN,
                requests: None,
                places: 1_024,
            },
        }
    }
}

impl Setup {
    /// Replicas are checked all the time.
    pub(super) fn with_checks() -> Self {
        Self {
            pace: Pace { interval: Duration::from_millis(20), timeout: Duration::from_millis(200) },
            thresholds: thresholds(2, 2),
            ..Self::default()
        }
    }

    /// The same, where no check is given up on: for tests in which no replica hangs, so that a
    /// busy machine makes none look as if it did.
    pub(super) fn with_patient_checks() -> Self {
        let checked = Self::with_checks();
        Self { pace: Pace { timeout: PATIENCE, ..checked.pace }, ..checked }
    }

    pub(super) async fn start(self, fakes: &[&Fake]) -> Balancer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let name: shared::ids::Name = "balancer-1".parse().unwrap();
        let (cluster, served) = watch::channel(None);
        let endpoints = Endpoints::new(
            Rules {
                thresholds: self.thresholds,
                zone: None,
                policy: self.policy,
                retry_percent: 20,
                hedge_percent: 5,
            },
            served,
        );
        let shutdown = CancellationToken::new();
        let mut metrics = Metrics::new(Service::Balancer, &name);
        let measured = Measured::register(&mut metrics);
        crate::metrics::expose(&mut metrics, Arc::clone(&endpoints), self.max_waiting);
        let clients = Clients::new(self.clients, Vec::new());
        crate::metrics::expose_clients(&mut metrics, Arc::clone(&clients));
        let proxy = Arc::new(Proxy::new(
            name.clone(),
            Arc::clone(&endpoints),
            self.bodies,
            Patience { slow_read_after: self.slow_read_after, max_waiting: self.max_waiting },
            self.hash_by,
            measured,
            shutdown.clone(),
        ));
        let admission = Admission::new(self.limits, AllowedHosts::any());
        let identity = Identity::new(Service::Balancer, name.clone());
        let (members, receiver) = watch::channel(fakes.iter().map(|fake| fake.member()).collect());
        let (mixups, ends) = (Mixups::none(Instance(1)), shutdown.clone());
        let (_, acceptors) = watch::channel(Acceptors::configured(&[]));
        let (told, found) = (receiver.clone(), acceptors.clone());
        let events = Events::start(Instance(1), told, found, mixups.clone(), ends);
        let news = Arc::new(News::new(Arc::clone(&events)));
        let gather = Gather::new(name, acceptors, receiver.clone());
        let own = OwnService { identity, mixups, metrics, events, gather };
        let operators = Operators::new(address.ip(), Vec::new(), AllowedHosts::any());
        let front =
            Front::new(own, Arc::clone(&endpoints), proxy, clients, operators, admission.clone());
        let keeping = health::keep(Arc::clone(&endpoints), receiver, self.pace, news);
        let ends = shutdown.clone();
        let running = tokio::task::spawn(async move {
            let serving =
                serve_connections(listener, |client| front.connection(client), &admission, ends);
            tokio::select! {
                served = serving => served.unwrap(),
                () = keeping => {},
            }
        });
        let client = Client::builder(TokioExecutor::new()).build_http();
        let balancer = Balancer { address, client, endpoints, members, cluster, shutdown, running };
        balancer.until(|pool| pool.healthy() == fakes.len()).await;
        balancer
    }
}

pub(super) struct Balancer {
    pub(super) address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    endpoints: Arc<Endpoints>,
    pub(super) members: watch::Sender<Vec<Member>>,
    /// The cluster that it serves.
    pub(super) cluster: watch::Sender<Option<ClusterId>>,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Balancer {
    /// Ends it, as SIGTERM does.
    pub(super) async fn end(mut self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(PATIENCE, &mut self.running).await;
        ended.expect("it did not end in time").unwrap();
    }

    /// The same, without waiting for its end.
    pub(super) fn begin_to_end(&self) {
        self.shutdown.cancel();
    }

    /// Waits until so many requests wait for a replica that can answer them.
    pub(super) async fn until_waiting(&self, requests: usize) {
        self.until(|_| self.endpoints.waiting() == requests).await;
    }

    /// Time as the pool counts it.
    pub(super) fn now(&self) -> Duration {
        self.endpoints.now()
    }

    /// Waits until the pool is as wished.
    pub(super) async fn until(&self, condition: impl Fn(&Pool) -> bool) {
        let wait = async {
            while !self.endpoints.read(&condition) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("the pool did not come to the state that was waited for");
    }

    /// A request with fields and body, and the answer's header.
    pub(super) async fn open(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Response<Incoming> {
        let mut request =
            Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body.to_owned())).unwrap();
        tokio::time::timeout(PATIENCE, self.client.request(request))
            .await
            .expect("no answer in time")
            .unwrap()
    }

    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        Answer::read(self.open(method, path, fields, body).await).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    pub(super) async fn put(&self, path: &str, body: &str) -> Answer {
        self.send(Method::PUT, path, &[], body).await
    }

    /// Sends bytes and reads all that comes back until the connection is closed.
    pub(super) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // A reset before all is written, or after the answer, is the balancer closing
        // with input unread.
        let _closed = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .expect("no end in time");
        String::from_utf8(answer).unwrap()
    }
}

/// An answer, whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: http::HeaderMap,
    pub(super) body: String,
}

impl Answer {
    pub(super) async fn read(response: Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect())
            .await
            .expect("no end in time")
            .unwrap()
            .to_bytes();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Kind, status and outcome of a problem.
    pub(super) fn problem(&self) -> (String, u64, Option<String>) {
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let json = self.json();
        let text = |field: &str| json[field].as_str().map(str::to_owned);
        let kind = text("type").unwrap().rsplit(':').next().unwrap().to_owned();
        let status = json["status"].as_u64().unwrap();
        assert_eq!(status, u64::from(self.status.as_u16()));
        (kind, status, text("outcome"))
    }
}

/// What [`Answer::problem`] is expected to be.
pub(super) fn problem(
    kind: &str,
    status: u64,
    outcome: Option<&str>,
) -> (String, u64, Option<String>) {
    (kind.to_owned(), status, outcome.map(str::to_owned))
}
