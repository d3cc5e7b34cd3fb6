//! The server's limits, over real sockets.
#![expect(clippy::disallowed_methods, reason = "tests start tasks and read clocks")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::{get, post};
use shared::health::{self, Check};
use shared::message::Service;
use shared::metrics::Metrics;
use shared::problem;
use shared::server::{Admission, AllowedHosts, Doors, Limits, serve};
use shared::telemetry::Traced;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Server {
    address: SocketAddr,
    /// Lets the requests to `/wait` go on, one permit each.
    gate: Arc<Semaphore>,
    shutdown: CancellationToken,
    ended: JoinHandle<std::io::Result<()>>,
}

async fn start(limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&gate);
    let router = Router::new()
        .route("/hello", post(async || "hello"))
        .route("/wait", get(async move || waits.acquire().await.unwrap().forget()))
        .route("/forever", get(std::future::pending::<()>))
        .merge(health::routes(|| vec![Check::new("gate", None)]));
    let shutdown = CancellationToken::new();
    let traced = Traced { service: Service::Replica, names: &[], polls: &[] };
    let metrics = Metrics::new(Service::Replica, &"replica-1".parse().unwrap());
    let admission = Admission::new(limits, AllowedHosts::any());
    let ended = tokio::spawn(serve(listener, router, traced, admission, metrics, shutdown.clone()));
    Server { address, gate, shutdown, ended }
}

async fn get_from(server: &Server, path: &str) -> reqwest::Response {
    reqwest::get(format!("http://{}{path}", server.address)).await.unwrap()
}

async fn problem_of(response: reqwest::Response) -> problem::Body {
    assert_eq!(response.headers()["content-type"], problem::CONTENT_TYPE);
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

/// Sends bytes on a connection of their own and reads until the server closes it.
async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A reset before all is written, or after the answer, is the server closing with
    // input unread.
    let _closed = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _closed = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Waits until a request to `path` occupies its place.
async fn occupy(
    server: &Server,
    path: &'static str,
) -> JoinHandle<Result<reqwest::Response, reqwest::Error>> {
    let url = format!("http://{}{path}", server.address);
    let request = tokio::spawn(reqwest::get(url));
    while get_from(server, "/nothing").await.status() != 503 {
        tokio::task::yield_now().await;
    }
    request
}

#[tokio::test]
async fn an_unknown_path_or_method_is_a_problem_and_every_answer_names_its_trace() {
    let server = start(Limits::default()).await;
    let response = get_from(&server, "/nothing?x=1").await;
    assert_eq!(response.status(), 404);
    assert_eq!(response.headers()["trace-id"].len(), 32);
    assert_eq!(problem_of(response).await.detail, "there is no GET /nothing here");

    let response = get_from(&server, "/hello").await;
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "POST");
    assert_eq!(response.headers()["trace-id"].len(), 32);
    assert_eq!(problem_of(response).await.kind, "urn:synod:problem:method-not-allowed");
}

#[tokio::test]
async fn what_may_have_been_meant_as_a_mutation_is_told_that_nothing_happened() {
    let server = start(Limits::default()).await;
    for (path, status) in [("/nothing", 404), ("/hello", 405)] {
        let response = reqwest::Client::new()
            .put(format!("http://{}{path}", server.address))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(problem_of(response).await.outcome, Some(problem::Outcome::NotApplied));
    }
    assert_eq!(problem_of(get_from(&server, "/nothing").await).await.outcome, None);
}

#[tokio::test]
async fn a_body_in_a_coding_that_nobody_takes_off_is_refused() {
    let server = start(Limits::default()).await;
    let head = "POST /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: gzip, \
        chunked\r\n\r\n";
    let answer = raw(server.address, format!("{head}1\r\nx\r\n0\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 501 ") && answer.contains("gzip"), "{answer}");
}

#[tokio::test]
async fn the_callers_trace_is_taken_up() {
    let server = start(Limits::default()).await;
    let request = reqwest::Client::new().post(format!("http://{}/hello", server.address));
    let request =
        request.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert_eq!(
        request.send().await.unwrap().headers()["trace-id"],
        "0af7651916cd43dd8448eb211c80319c"
    );
}

#[tokio::test]
async fn a_header_above_the_limit_is_431() {
    let server = start(Limits::default()).await;
    let send = |bytes: usize| {
        let request = reqwest::Client::new().post(format!("http://{}/hello", server.address));
        request.header("x-long", "x".repeat(bytes)).send()
    };
    assert_eq!(send(16_000).await.unwrap().status(), 200);
    let response = send(17_000).await.unwrap();
    assert_eq!(response.status(), 431);
    assert!(problem_of(response).await.detail.contains("limited to 16384 bytes"));

    let far_above =
        format!("POST /hello HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(100_000));
    assert!(raw(server.address, far_above.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    let many = format!("POST /hello HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert!(raw(server.address, many.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    let long_path =
        format!("GET /{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "x".repeat(20_000));
    assert!(raw(server.address, long_path.as_bytes()).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn bytes_that_are_not_http_are_400() {
    let server = start(Limits::default()).await;
    assert!(
        raw(server.address, b"\x16\x03\x01\x02\x00 hello\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 400 ")
    );
}

#[tokio::test]
async fn a_request_above_the_limit_is_refused_at_once_while_health_and_metrics_are_answered() {
    let server = start(Limits { requests: 1, ..Limits::default() }).await;
    let waiting = occupy(&server, "/wait").await;
    let response = get_from(&server, "/nothing").await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(
        problem_of(response).await.detail,
        "too much at once: 1 requests are being served, the limit of this server"
    );
    assert_eq!(get_from(&server, "/livez").await.status(), 200);
    assert_eq!(get_from(&server, "/readyz").await.status(), 200);
    let metrics = get_from(&server, "/metrics").await;
    assert_eq!(metrics.headers()["content-type"], shared::metrics::PLAIN);
    let text = metrics.text().await.unwrap();
    for expected in [
        "synod_http_requests_in_flight 1\n",
        "synod_http_requests_limit 1\n",
        // The one that found the place taken, and the one above.
        "synod_http_refusals_total{reason=\"requests\"} 2\n",
        "synod_http_requests_total{method=\"GET\",route=\"/livez\",status=\"2xx\"} 1\n",
        "synod_http_requests_total{method=\"other\",route=\"other\",status=\"5xx\"} 2\n",
    ] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }

    server.gate.add_permits(1);
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
    assert_eq!(get_from(&server, "/nothing").await.status(), 404);
}

#[tokio::test]
async fn a_connection_above_the_limit_is_refused_at_once() {
    let server = start(Limits { connections: 1, ..Limits::default() }).await;
    let mut held = TcpStream::connect(server.address).await.unwrap();
    held.write_all(b"POST /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut byte = [0];
    held.read_exact(&mut byte).await.unwrap();

    let answer = raw(server.address, b"").await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("1 connections are open"),
        "{answer}"
    );
    let alive = raw(server.address, b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(alive.starts_with("HTTP/1.1 200 ") && alive.ends_with("\r\n\r\nok\n"), "{alive}");
    let ready = raw(server.address, b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(ready.starts_with("HTTP/1.1 503 "), "{ready}");
    drop(held);
    let request = b"POST /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    while !raw(server.address, request).await.starts_with("HTTP/1.1 200 ") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_that_dribbles_its_header_is_cut() {
    let limits = Limits { header_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = start(limits).await;
    let began = Instant::now();
    let answer = raw(server.address, b"POST /hello HTTP/1.1\r\nhost:").await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("100ms"), "{answer}");
    assert!(began.elapsed() >= limits.header_timeout);
}

#[tokio::test]
async fn a_request_in_progress_ends_before_the_server_does() {
    let server = start(Limits { requests: 1, ..Limits::default() }).await;
    let waiting = occupy(&server, "/wait").await;
    server.shutdown.cancel();
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    server.gate.add_permits(1);
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
    server.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_that_waits_for_its_next_request_does_not_hold_up_the_end() {
    let server = start(Limits { drain: Duration::from_secs(3_600), ..Limits::default() }).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(b"POST /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut byte = [0];
    idle.read_exact(&mut byte).await.unwrap();
    server.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), server.ended)
        .await
        .expect("it waits for nothing")
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_off_at_the_bound() {
    let drain = Duration::from_millis(100);
    let server = start(Limits { requests: 1, drain, ..Limits::default() }).await;
    let waiting = occupy(&server, "/forever").await;
    server.shutdown.cancel();
    server.ended.await.unwrap().unwrap();
    assert!(waiting.await.unwrap().is_err());
}

#[tokio::test]
async fn what_services_ask_each_other_is_not_there_for_whoever_asks_where_clients_do() {
    let bind = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (clients, services) = (bind().await, bind().await);
    let [of_clients, of_services] =
        [&clients, &services].map(|listener| listener.local_addr().unwrap());
    let router = Router::new()
        .route("/v1/kv", get(async || "keys"))
        .route("/v1/replication/log", get(async || "entries"))
        .route("/v1/forgotten", get(async || "in no table"))
        .merge(health::routes(|| vec![Check::new("gate", None)]));
    let traced = Traced { service: Service::Replica, names: &[], polls: &[] };
    let metrics = Metrics::new(Service::Replica, &"replica-1".parse().unwrap());
    let admission = Admission::new(Limits::default(), AllowedHosts::any());
    let (doors, shutdown) = (Doors::new(clients, Some(services)), CancellationToken::new());
    let ended = tokio::spawn(serve(doors, router, traced, admission, metrics, shutdown.clone()));
    let ask = async |address: SocketAddr, path: &str| {
        reqwest::get(format!("http://{address}{path}")).await.unwrap()
    };
    for path in ["/v1/kv", "/livez", "/metrics"] {
        assert_eq!(ask(of_clients, path).await.status(), 200, "{path}");
        assert_eq!(ask(of_services, path).await.status(), 200, "{path}");
    }
    for path in ["/v1/replication/log", "/v1/forgotten"] {
        let refused = ask(of_clients, path).await;
        assert_eq!(refused.status(), 404, "{path}");
        let detail = problem_of(refused).await.detail;
        assert!(detail.contains("--listen-internal"), "{path}: {detail}");
        assert_eq!(ask(of_services, path).await.status(), 200, "{path}");
    }
    let counted = ask(of_services, "/metrics").await.text().await.unwrap();
    assert!(counted.contains("reason=\"caller\"} 2"), "{counted}");
    shutdown.cancel();
    ended.await.unwrap().unwrap();
}
