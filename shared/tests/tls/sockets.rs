//! A server and its clients.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use shared::client::{Pool, PoolLimits, SendError};
use shared::message::Service;
use shared::metrics::Metrics;
use shared::server::{Admission, AllowedHosts, Limits, serve};
use shared::telemetry::Traced;
use shared::tls::{Calls, Files, Tls, Trust};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::pki::{Pki, Wanted, load};

/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    address: SocketAddr,
    _running: DropGuard,
}

impl Server {
    async fn start(tls: Option<Arc<Tls>>, limits: Limits) -> Self {
        // As a console's page it is everybody's.
        let router = Router::new().route("/ui/hello", get(async || "hello"));
        Self::start_as(Service::Replica, router, tls, limits).await
    }

    pub(crate) async fn start_as(
        service: Service,
        router: Router,
        tls: Option<Arc<Tls>>,
        limits: Limits,
    ) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let address = ([127, 0, 0, 1], listener.local_addr().unwrap().port()).into();
        let traced = Traced { service, names: &[], polls: &[] };
        let metrics = Metrics::new(service, &"one".parse().unwrap());
        let shutdown = CancellationToken::new();
        let admission = Admission::new(limits, AllowedHosts::any()).with_tls(tls);
        tokio::spawn(serve(listener, router, traced, admission, metrics, shutdown.clone()));
        Self { address, _running: shutdown.drop_guard() }
    }

    /// What is answered to a `GET` over this pool.
    pub(crate) async fn get(
        &self,
        pool: &Pool,
        scheme: &str,
        path: &str,
    ) -> Result<String, SendError> {
        self.get_of(pool, None, scheme, path).await
    }

    /// The same, of one that must be such a service.
    pub(crate) async fn get_of(
        &self,
        pool: &Pool,
        called: Option<Service>,
        scheme: &str,
        path: &str,
    ) -> Result<String, SendError> {
        let connections = pool.to_a(called, &format!("{scheme}://{}", self.address))?;
        let request = Request::get(path).body(Full::new(Bytes::new())).unwrap();
        let answer = tokio::time::timeout(PATIENCE, connections.send(request)).await.unwrap()?;
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        Ok(String::from_utf8(body.to_vec()).unwrap())
    }

    /// How often something was counted; the metric is asked for by this pool.
    pub(crate) async fn counted(&self, pool: &Pool, series: &str) -> u64 {
        let text = self.get(pool, "https", "/metrics").await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap_or_else(|| panic!("no {series}: {text}")).trim().parse().unwrap()
    }
}

pub(crate) fn pool(calls: Calls) -> Pool {
    Pool::new(PoolLimits::default()).calling(calls)
}

/// Of somebody who has no certificate.
pub(crate) fn stranger(pki: &Pki) -> Pool {
    pool(Calls::AsSaid(Trust::of_files(&pki.path("ca.pem"), None).unwrap()))
}

async fn replica(pki: &Pki) -> (Server, Arc<Tls>) {
    let files = pki.of_service(Service::Replica, "replica-1");
    let tls = load(files, Service::Replica, "replica-1").unwrap();
    (Server::start(Some(Arc::clone(&tls)), Limits::default()).await, tls)
}

fn reason(result: Result<String, SendError>) -> String {
    result.expect_err("it was answered").to_string()
}

#[tokio::test]
async fn whoever_trusts_the_authority_is_answered_with_and_without_a_certificate() {
    let pki = Pki::new();
    let (server, tls) = replica(&pki).await;
    assert_eq!(server.get(&stranger(&pki), "https", "/ui/hello").await.unwrap(), "hello");
    assert_eq!(server.get(&pool(tls.calls()), "https", "/ui/hello").await.unwrap(), "hello");
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_believed() {
    let (pki, other) = (Pki::new(), Pki::new());
    let (server, _tls) = replica(&pki).await;
    let said = reason(server.get(&stranger(&other), "https", "/ui/hello").await);
    assert!(said.contains("invalid peer certificate"), "{said}");
}

#[tokio::test]
async fn a_client_whose_certificate_is_of_another_authority_or_expired_is_refused() {
    let (pki, other) = (Pki::new(), Pki::new());
    let (server, _tls) = replica(&pki).await;
    let uri = "spiffe://synod.test/synod/coordinator/coordinator-1";
    let forged = other.issue("forged", &Wanted::of(uri));
    let ended = pki.issue("ended", &Wanted { ends_in: -60, ..Wanted::of(uri) });
    for own in [forged, ended] {
        let own = Some((own.certificate.as_path(), own.key.as_path()));
        let trust = Trust::of_files(&pki.path("ca.pem"), own).unwrap();
        reason(server.get(&pool(Calls::AsSaid(trust)), "https", "/ui/hello").await);
    }
    let failed = "synod_tls_handshakes_failed_total{reason=\"refused\"}";
    assert_eq!(server.counted(&stranger(&pki), failed).await, 2);
}

#[tokio::test]
async fn whoever_speaks_without_tls_hears_that_and_is_counted() {
    let pki = Pki::new();
    let (server, _tls) = replica(&pki).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /ui/hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("begins with https://"), "{answer}");
    let failed = "synod_tls_handshakes_failed_total{reason=\"plain\"}";
    assert_eq!(server.counted(&stranger(&pki), failed).await, 1);
}

#[tokio::test]
async fn whoever_speaks_with_tls_to_a_service_without_hears_that() {
    let pki = Pki::new();
    let server = Server::start(None, Limits::default()).await;
    let said = reason(server.get(&stranger(&pki), "https", "/ui/hello").await);
    assert!(said.contains("does not speak TLS"), "{said}");
}

#[tokio::test]
async fn a_scheme_that_cannot_be_is_refused_before_anything_is_sent() {
    let pki = Pki::new();
    let (server, tls) = replica(&pki).await;
    let said = reason(server.get(&pool(tls.calls()), "http", "/ui/hello").await);
    assert!(said.contains("is without TLS") && said.contains("https://"), "{said}");
    let said = reason(server.get(&pool(Calls::Plain), "https", "/ui/hello").await);
    assert!(said.contains("--tls-client-ca") && said.contains("--ca"), "{said}");
}

#[tokio::test]
async fn a_name_that_the_certificate_does_not_have_is_not_believed() {
    let pki = Pki::new();
    let (server, _tls) = replica(&pki).await;
    let port = server.address.port();
    let send = async |host: &str| {
        let connections = stranger(&pki).to(&format!("https://{host}:{port}")).unwrap();
        let request = Request::get("/ui/hello").body(Full::new(Bytes::new())).unwrap();
        connections.send(request).await.map(drop)
    };
    assert_eq!(send("localhost").await, Ok(()));
    // It leads here, too.
    let said = send("127.0.0.2").await.unwrap_err().to_string();
    assert!(said.contains("not valid for name"), "{said}");
}

#[tokio::test]
async fn a_handshake_that_stands_still_is_given_up_and_a_silent_connection_is_not() {
    let pki = Pki::new();
    let files = pki.of_service(Service::Replica, "replica-1");
    let tls = load(files, Service::Replica, "replica-1").unwrap();
    let limits = Limits { header_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = Server::start(Some(tls), limits).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(&[22, 3, 1]).await.unwrap();
    let mut bytes = [0; 64];
    tokio::time::timeout(PATIENCE, async { while slow.read(&mut bytes).await.unwrap_or(0) > 0 {} })
        .await
        .unwrap();
    let failed = "synod_tls_handshakes_failed_total{reason=\"timeout\"}";
    assert_eq!(server.counted(&stranger(&pki), failed).await, 1);
    // As those who wait for the end of a process have them.
    assert_eq!(silent.try_read(&mut bytes).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(server);
    let closed = tokio::time::timeout(PATIENCE, silent.read(&mut bytes)).await.unwrap();
    assert_eq!(closed.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_new_certificate_is_used_from_the_next_connection_on_and_none_is_dropped() {
    let pki = Pki::new();
    let (server, tls) = replica(&pki).await;
    let (old, own) = (stranger(&pki), pool(tls.calls()));
    assert_eq!(server.get(&old, "https", "/ui/hello").await.unwrap(), "hello");
    let before = ends(&server, &old).await;

    let uri = "spiffe://synod.test/synod/replica/replica-1";
    pki.issue("replica-1", &Wanted { ends_in: 3_600, ..Wanted::of(uri) });
    tls.reload().unwrap();
    assert_ne!(ends(&server, &old).await, before);
    // All of that on the one connection that there was.
    let connections = old.to(&format!("https://{}", server.address)).unwrap();
    assert_eq!(connections.idle(), 1);
    assert_eq!(server.get(&stranger(&pki), "https", "/ui/hello").await.unwrap(), "hello");
    assert_eq!(server.get(&own, "https", "/ui/hello").await.unwrap(), "hello");
}

#[tokio::test]
async fn bad_new_files_are_refused_and_the_old_stay() {
    let pki = Pki::new();
    let (server, tls) = replica(&pki).await;
    let uri = "spiffe://synod.test/synod/replica/replica-1";
    pki.issue("replica-1", &Wanted { ends_in: -60, ..Wanted::of(uri) });
    let said = tls.reload().unwrap_err().to_string();
    assert!(said.contains("has expired"), "{said}");
    pki.issue("replica-1", &Wanted::of("spiffe://other.test/synod/replica/replica-1"));
    let said = tls.reload().unwrap_err().to_string();
    assert!(said.contains("trust domain"), "{said}");
    // Of an authority that nobody here believes, and with a key that is another one's.
    let other = Pki::new();
    let files = other.of_service(Service::Replica, "replica-1");
    std::fs::copy(&files.certificate, pki.path("replica-1.pem")).unwrap();
    let said = tls.reload().unwrap_err().to_string();
    assert!(said.contains("does not match"), "{said}");
    std::fs::copy(&files.key, pki.path("replica-1.key")).unwrap();
    let said = tls.reload().unwrap_err().to_string();
    assert!(said.contains("is of no authority in"), "{said}");
    assert_eq!(server.get(&stranger(&pki), "https", "/ui/hello").await.unwrap(), "hello");
    let refused = "synod_tls_reloads_total{result=\"refused\"}";
    assert_eq!(server.counted(&stranger(&pki), refused).await, 4);
}

#[tokio::test]
async fn a_connection_ends_with_the_certificate_of_whoever_began_it() {
    let pki = Pki::new();
    let (server, _tls) = replica(&pki).await;
    let uri = "spiffe://synod.test/synod/operator/ada";
    let own = pki.issue("ada", &Wanted { ends_in: 5, ..Wanted::of(uri) });
    let own = Some((own.certificate.as_path(), own.key.as_path()));
    let ada = pool(Calls::AsSaid(Trust::of_files(&pki.path("ca.pem"), own).unwrap()));
    let others = stranger(&pki);
    for pool in [&ada, &others] {
        assert_eq!(server.get(pool, "https", "/ui/hello").await.unwrap(), "hello");
    }
    let idle = |pool: &Pool| pool.to(&format!("https://{}", server.address)).unwrap().idle();
    assert_eq!((idle(&ada), idle(&others)), (1, 1));
    tokio::time::timeout(PATIENCE, async {
        while idle(&ada) > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
    reason(server.get(&ada, "https", "/ui/hello").await);
    assert_eq!(idle(&others), 1);
    assert_eq!(server.get(&others, "https", "/ui/hello").await.unwrap(), "hello");
}

#[tokio::test]
async fn nothing_more_is_asked_of_whoever_has_not_proved_anew_who_they_are() {
    let pki = Pki::new();
    let uri = "spiffe://synod.test/synod/replica/replica-1";
    let files = pki.issue("replica-1", &Wanted { ends_in: 5, ..Wanted::of(uri) });
    let tls = load(files, Service::Replica, "replica-1").unwrap();
    let server = Server::start(Some(Arc::clone(&tls)), Limits::default()).await;
    let pool = stranger(&pki);
    assert_eq!(server.get(&pool, "https", "/ui/hello").await.unwrap(), "hello");
    let refused = tokio::time::timeout(PATIENCE, async {
        while server.get(&pool, "https", "/ui/hello").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    refused.await.unwrap();
    let said = reason(server.get(&pool, "https", "/ui/hello").await);
    assert!(said.contains("invalid peer certificate"), "{said}");
    // With a new one it goes on.
    pki.issue("replica-1", &Wanted::of(uri));
    tls.reload().unwrap();
    assert_eq!(server.get(&pool, "https", "/ui/hello").await.unwrap(), "hello");
}

/// Else a request could be on its way as the other end closes the connection.
#[tokio::test]
async fn no_connection_is_kept_that_was_begun_with_a_certificate_that_is_over() {
    let pki = Pki::new();
    let files = pki.of_service(Service::Replica, "replica-1");
    // It asks for no certificate, and so closes nothing for the sake of one.
    let files = Files { authorities: None, ..files };
    let tls = load(files, Service::Replica, "replica-1").unwrap();
    let server = Server::start(Some(tls), Limits::default()).await;
    let uri = "spiffe://synod.test/synod/operator/ada";
    for (ends_in, kept) in [(3_600, 1), (-60, 0)] {
        let own = pki.issue("ada", &Wanted { ends_in, ..Wanted::of(uri) });
        let own = Some((own.certificate.as_path(), own.key.as_path()));
        let ada = pool(Calls::AsSaid(Trust::of_files(&pki.path("ca.pem"), own).unwrap()));
        assert_eq!(server.get(&ada, "https", "/ui/hello").await.unwrap(), "hello");
        let idle = ada.to(&format!("https://{}", server.address)).unwrap().idle();
        assert_eq!(idle, kept, "{ends_in}");
    }
}

#[tokio::test]
async fn a_changed_file_is_noticed() {
    let pki = Pki::new();
    let (server, tls) = replica(&pki).await;
    let shutdown = CancellationToken::new();
    let _ends = shutdown.clone().drop_guard();
    tokio::spawn(shared::tls::keep_current(tls, shutdown));
    let pool = stranger(&pki);
    // It is looked at for the first time at once, and then every few seconds.
    let taken = "synod_tls_reloads_total{result=\"taken\"}";
    assert_eq!(server.counted(&pool, taken).await, 0);
    pki.of_service(Service::Replica, "replica-1");
    tokio::time::timeout(PATIENCE, async {
        while server.counted(&pool, taken).await == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_certificate_that_counts_only_later_is_taken_then_though_no_file_changes() {
    let pki = Pki::new();
    let (server, tls) = replica(&pki).await;
    let shutdown = CancellationToken::new();
    let _ends = shutdown.clone().drop_guard();
    tokio::spawn(shared::tls::keep_current(tls, shutdown));
    let pool = stranger(&pki);
    let refused = "synod_tls_reloads_total{result=\"refused\"}";
    // The files are looked at for the first time.
    assert_eq!(server.counted(&pool, refused).await, 0);
    let uri = "spiffe://synod.test/synod/replica/replica-1";
    pki.issue("replica-1", &Wanted { begins_in: Some(8), ..Wanted::of(uri) });
    for result in ["refused", "taken"] {
        let counted = format!("synod_tls_reloads_total{{result=\"{result}\"}}");
        tokio::time::timeout(PATIENCE, async {
            while server.counted(&pool, &counted).await == 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
        .unwrap();
    }
}

/// Until when the server's certificate counts.
async fn ends(server: &Server, pool: &Pool) -> u64 {
    server.counted(pool, "synod_tls_not_after_seconds{of=\"certificate\"}").await
}
