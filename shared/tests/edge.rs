//! The edge of HTTP, byte by byte: what clients do that a library would not let them, and
//! what they hear.
#![expect(clippy::disallowed_methods, reason = "tests start tasks and read clocks")]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use shared::message::Service;
use shared::metrics::Metrics;
use shared::server::{Admission, AllowedHosts, Limits, serve};
use shared::telemetry::Traced;
use shared::wire::{BodyLimit, WholeBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

const MIB: usize = 1 << 20;
/// Longer than anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Server {
    address: SocketAddr,
    _running: DropGuard,
}

async fn start(limits: Limits) -> Server {
    start_for(limits, AllowedHosts::any()).await
}

async fn start_for(limits: Limits, hosts: AllowedHosts) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let small = axum::Extension(BodyLimit { what: "word", bytes: 64 });
    let router = Router::new()
        .route("/hello", post(async |WholeBody(body): WholeBody| body).layer(small))
        .route("/unread", post(async || "unread"))
        .route("/endless", get(async || Body::from_stream(futures::stream::repeat_with(piece))))
        .route("/quiet", get(async || Body::from_stream(futures::stream::unfold(0, quiet))));
    let traced = Traced { service: Service::Replica, names: &[], polls: &[] };
    let metrics = Metrics::new(Service::Replica, &"replica-1".parse().unwrap());
    let shutdown = CancellationToken::new();
    let admission = Admission::new(limits, hosts);
    tokio::spawn(serve(listener, router, traced, admission, metrics, shutdown.clone()));
    Server { address, _running: shutdown.drop_guard() }
}

const PIECE: &[u8] = &[b'x'; 8 << 10];

fn piece() -> std::io::Result<Bytes> {
    Ok(Bytes::from_static(PIECE))
}

/// Two pieces, with a silence before each.
async fn quiet(sent: usize) -> Option<(std::io::Result<Bytes>, usize)> {
    tokio::time::sleep(Duration::from_millis(300)).await;
    (sent < 2).then(|| (piece(), sent + 1))
}

struct Client(TcpStream);

#[derive(Debug)]
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn status(&self) -> &str {
        &self.head[9..12]
    }

    fn closes(&self) -> bool {
        self.head.contains("\r\nconnection: close\r\n")
    }

    fn is_problem(&self) -> bool {
        self.head.contains("content-type: application/problem+json\r\n")
            && self.head.contains("\r\ntrace-id: ")
    }
}

impl Client {
    async fn connect(server: &Server) -> Self {
        Self(TcpStream::connect(server.address).await.unwrap())
    }

    async fn send(&mut self, bytes: &[u8]) {
        tokio::time::timeout(PATIENCE, self.0.write_all(bytes)).await.unwrap().unwrap();
    }

    /// Reads one answer of known length.
    async fn answer(&mut self) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = tokio::time::timeout(PATIENCE, self.0.read_u8()).await.unwrap();
            head.push(byte.unwrap_or_else(|error| panic!("{head:?}: {error}")));
        }
        let head = String::from_utf8(head).unwrap();
        let length = head
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        Answer { head, body: String::from_utf8(body).unwrap() }
    }

    /// Whether the connection ends as it should: no reset.
    async fn ends(&mut self) {
        let mut rest = Vec::new();
        tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.unwrap().unwrap();
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }
}

fn request(line: &str, fields: &str, body: usize) -> Vec<u8> {
    let head = format!("{line} HTTP/1.1\r\nhost: x\r\n{fields}content-length: {body}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; body]].concat()
}

#[tokio::test]
async fn whoever_sends_all_before_reading_hears_every_early_answer_and_may_go_on() {
    let server = start(Limits { requests: 0, ..Limits::default() }).await;
    let overloaded = request("POST /hello", "", MIB);
    let mut client = Client::connect(&server).await;
    client.send(&overloaded).await;
    assert_eq!(client.answer().await.status(), "503");

    let server = start(Limits::default()).await;
    let long = format!("x: {}\r\n", "x".repeat(17_000));
    let mut client = Client::connect(&server).await;
    for (line, fields, status) in [
        ("POST /nothing", "", "404"),
        ("PUT /hello", "", "405"),
        ("POST /hello", "", "413"),
        ("POST /hello", "synod-timeout: soon\r\n", "400"),
        ("POST /hello", "origin: http://evil.example\r\n", "403"),
        ("POST /hello", long.as_str(), "431"),
        ("POST /unread", "", "200"),
        ("GET /nothing", "", "404"),
    ] {
        client.send(&request(line, fields, MIB)).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), status, "{line}: {answer:?}");
        assert!(!answer.closes(), "{line}: {answer:?}");
        assert!(status == "200" || answer.is_problem(), "{line}: {answer:?}");
        client.send(&request("POST /hello", "", 5)).await;
        assert_eq!(client.answer().await.body, "xxxxx", "after {line}");
    }
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_answered_at_once_and_the_end_is_graceful() {
    let limits = Limits { unread_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = start(limits).await;
    let head = |length: usize| {
        format!("POST /nothing HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n")
    };
    for (length, sent) in [(1 << 30, 4 * MIB), (MIB, 10)] {
        let mut client = Client::connect(&server).await;
        client.send(head(length).as_bytes()).await;
        client.send(&vec![b'x'; sent]).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.closes()), ("404", true), "{answer:?}");
        client.send(b"more").await;
        client.ends().await;
    }
}

#[tokio::test]
async fn of_a_body_that_says_it_is_beyond_the_bound_nothing_is_waited_for() {
    let limits = Limits { unread_timeout: 60 * PATIENCE, ..Limits::default() };
    let server = start(limits).await;
    let mut client = Client::connect(&server).await;
    client
        .send(b"POST /nothing HTTP/1.1\r\nhost: x\r\ncontent-length: 16777217\r\n\r\nthe beginning")
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.closes()), ("404", true), "{answer:?}");
}

#[tokio::test]
async fn nobody_is_asked_for_a_body_only_to_throw_it_away() {
    let server = start(Limits::default()).await;
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n"
        )
    };
    for (path, status) in [("/nothing", "404"), ("/unread", "200")] {
        let mut client = Client::connect(&server).await;
        client.send(head(path).as_bytes()).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.closes()), (status, true), "{answer:?}");
        client.ends().await;
    }
    let mut client = Client::connect(&server).await;
    client.send(head("/hello").as_bytes()).await;
    assert_eq!(client.answer().await.status(), "100");
    client.send(b"hello").await;
    let answer = client.answer().await;
    assert_eq!((answer.body.as_str(), answer.closes()), ("hello", false));
}

#[tokio::test]
async fn a_body_in_chunks_is_read_and_the_connection_closes_after_its_answer() {
    let server = start(Limits::default()).await;
    for (path, status) in [("/hello", "200"), ("/nothing", "404")] {
        let mut client = Client::connect(&server).await;
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
        client.send(head.as_bytes()).await;
        client.send(b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\nGET /a#b HTTP/1.1\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.closes()), (status, true), "{answer:?}");
        client.ends().await;
    }
}

#[tokio::test]
async fn a_malformed_head_is_answered_with_a_problem_and_a_trace() {
    let server = start(Limits::default()).await;
    let far_above = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(200_000));
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(200));
    for (bytes, status, word) in [
        ("POST /hello#12 HTTP/1.1\r\nhost: x\r\n\r\n", "400", "%23"),
        ("POST /hello HTTP/1.1\r\n\r\n", "400", "no Host"),
        ("POST /hello HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n", "400", "more than one Host"),
        ("POST /hello HTTP/1.1\r\nhost: a b\r\n\r\n", "400", "a b"),
        ("POST /hello HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n", "400", "Content-Length"),
        ("POST /hello HTTP/1.1\r\nhost: x\r\nbad name: x\r\n\r\n", "400", "header name"),
        ("\x16\x03\x01\x02 hello\r\n\r\n", "400", "HTTP/1.1"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400", "HTTP/1.1"),
        (&far_above, "431", "16384 bytes"),
        (&many, "431", "100 fields"),
    ] {
        let mut client = Client::connect(&server).await;
        client.send(bytes.as_bytes()).await;
        let answer = client.answer().await;
        let shown = &bytes[..bytes.len().min(100)];
        assert_eq!(answer.status(), status, "{shown:?}: {answer:?}");
        assert!(answer.is_problem() && answer.body.contains(word), "{shown:?}: {answer:?}");
        let is_post = bytes.starts_with("POST");
        assert_eq!(answer.body.contains("not_applied"), is_post, "{shown:?}: {answer:?}");
    }
    let mut client = Client::connect(&server).await;
    client.send(b"GET /nothing HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.answer().await.status(), "404", "HTTP/1.0 may lack Host");
}

#[tokio::test]
async fn a_malformed_head_is_answered_in_its_turn() {
    let server = start(Limits::default()).await;
    let mut client = Client::connect(&server).await;
    let good = request("POST /hello", "", 5);
    let bad = b"HEAD /a#b HTTP/1.1\r\nhost: x\r\n\r\n".to_vec();
    client.send(&[good.clone(), good, bad, vec![b'x'; MIB]].concat()).await;
    for _ in 0..2 {
        assert_eq!(client.answer().await.body, "xxxxx");
    }
    let mut head = String::new();
    client.0.read_to_string(&mut head).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 400 ") && head.ends_with("\r\n\r\n"), "no body: {head:?}");
}

#[tokio::test]
async fn heads_and_bodies_may_come_a_byte_at_a_time() {
    let server = start(Limits::default()).await;
    let mut client = Client::connect(&server).await;
    client.0.set_nodelay(true).unwrap();
    for byte in [request("POST /hello", "", 5), request("POST /hello", "", 3)].concat() {
        client.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.answer().await.body, "xxxxx");
    assert_eq!(client.answer().await.body, "xxx");
}

#[tokio::test]
async fn a_connection_too_many_hears_why_although_it_was_sending() {
    let server = start(Limits { connections: 1, ..Limits::default() }).await;
    let mut held = Client::connect(&server).await;
    held.send(&request("POST /hello", "", 1)).await;
    held.answer().await;
    let mut client = Client::connect(&server).await;
    client.send(&request("POST /hello", "", 32 << 10)).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.closes()), ("503", true));
    assert!(answer.is_problem() && answer.head.contains("retry-after: 1\r\n"), "{answer:?}");
    client.ends().await;
}

#[tokio::test]
async fn clients_that_never_read_do_not_hold_their_places() {
    let write_timeout = Duration::from_millis(300);
    let limits = Limits { connections: 4, write_timeout, ..Limits::default() };
    let server = start(limits).await;
    let mut held = Vec::new();
    for _ in 0..limits.connections {
        let mut client = Client::connect(&server).await;
        client.send(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await;
        client.0.readable().await.unwrap();
        held.push(client);
    }
    let served = async {
        loop {
            let mut client = Client::connect(&server).await;
            client.send(&request("POST /hello", "", 1)).await;
            match client.answer().await.status() {
                "200" => break,
                status => assert_eq!(status, "503"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, served).await.expect("a place is free again");
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_served_for_as_long_as_it_reads() {
    let write_timeout = Duration::from_millis(500);
    let server = start(Limits { write_timeout, ..Limits::default() }).await;
    let mut client = Client::connect(&server).await;
    client.send(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut buffer = vec![0; 512 << 10];
    let started = std::time::Instant::now();
    while started.elapsed() < 5 * write_timeout {
        client.0.read_exact(&mut buffer).await.expect("it is not cut off");
        tokio::time::sleep(write_timeout / 5).await;
    }
}

#[tokio::test]
async fn an_answer_that_has_nothing_to_say_for_long_goes_on() {
    let short = Duration::from_millis(100);
    let limits = Limits {
        write_timeout: short,
        idle_timeout: short,
        header_timeout: short,
        ..Limits::default()
    };
    let server = start(limits).await;
    let mut client = Client::connect(&server).await;
    client.send(b"GET /quiet HTTP/1.0\r\nhost: x\r\n\r\n").await;
    let mut answer = Vec::new();
    client.0.read_to_end(&mut answer).await.unwrap();
    let body = answer.iter().filter(|byte| **byte == b'x').count();
    assert!(body >= 2 * PIECE.len(), "{body} bytes came");
}

#[tokio::test]
async fn a_server_on_loopback_does_not_answer_to_somebody_elses_name() {
    let loopback: IpAddr = "127.0.0.1".parse().unwrap();
    let hosts = AllowedHosts::of(loopback, &"http://replica-1:8301".parse().unwrap(), &[]);
    let server = start_for(Limits::default(), hosts).await;
    for (host, status) in [("localhost:9", "200"), ("replica-1", "200"), ("evil.example", "421")] {
        let mut client = Client::connect(&server).await;
        let head = format!("POST /hello HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1\r\n\r\nx");
        client.send(head.as_bytes()).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), status, "{host}: {answer:?}");
        assert_eq!(answer.body.contains("not_applied"), status == "421", "{host}: {answer:?}");
    }
}
