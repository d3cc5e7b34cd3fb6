//! The side that answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::{Bytes, BytesMut};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use shared::message::Service;
use shared::metrics::Metrics;
use shared::mux::{self, Frame};
use shared::server::{
    Admission, AllowedHosts, Answering, Direct, Limits, RequestBody, Routes, serve,
};
use shared::telemetry::Traced;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::by_hand::ByHand;
use crate::until;

const ROUTE: &str = "/v1/kv/{*key}";

/// Answers keys.
#[derive(Default)]
pub(crate) struct Keys {
    /// Requests for `wait` that are being answered.
    pub(crate) waiting: AtomicUsize,
    pub(crate) gate: Gate,
}

/// Lets requests for `wait` go on, one permit each.
pub(crate) struct Gate(pub(crate) Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

/// Counts itself out.
struct Counted(Arc<Keys>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Direct for Keys {
    fn route(&self, _: &Method, path: &str) -> Option<&'static str> {
        path.starts_with("/v1/kv/").then_some(ROUTE)
    }

    fn answer(self: Arc<Self>, request: Request<RequestBody>) -> Answering {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            match parts.uri.path() {
                "/v1/kv/wait" => {
                    self.waiting.fetch_add(1, Ordering::SeqCst);
                    let counted = Counted(Arc::clone(&self));
                    self.gate.0.acquire().await.unwrap().forget();
                    drop(counted);
                    "waited".into_response()
                }
                "/v1/kv/long" => vec![b'x'; mux::ANSWER_BYTES + 1].into_response(),
                "/v1/kv/full" => vec![b'x'; mux::ANSWER_BYTES].into_response(),
                "/v1/kv/endless" => {
                    let pieces = futures::stream::repeat_with(|| Ok::<_, std::io::Error>("piece"));
                    Response::new(Body::from_stream(pieces))
                }
                _ => {
                    let length = parts.headers.get("content-length").cloned();
                    let body = body.collect().await.unwrap().to_bytes();
                    let length =
                        length.map_or("none".to_owned(), |it| it.to_str().unwrap().to_owned());
                    format!("{} {length} {}", parts.method, String::from_utf8_lossy(&body))
                        .into_response()
                }
            }
        })
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) keys: Arc<Keys>,
    pub(crate) shutdown: CancellationToken,
    ended: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub(crate) async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let keys = Arc::new(Keys::default());
        let direct: Arc<dyn Direct> = Arc::clone(&keys) as _;
        let router = Router::new().route("/routed", get(async || "routed"));
        let shutdown = CancellationToken::new();
        let traced = Traced { service: Service::Replica, names: &[], polls: &[] };
        let metrics = Metrics::new(Service::Replica, &"replica-1".parse().unwrap());
        let admission = Admission::new(limits, AllowedHosts::any());
        let routes = Routes::with_direct(router, direct);
        let ended =
            tokio::spawn(serve(listener, routes, traced, admission, metrics, shutdown.clone()));
        Self { address, keys, shutdown, ended }
    }

    fn waiting(&self) -> usize {
        self.keys.waiting.load(Ordering::SeqCst)
    }

    /// How many connections are open, this one counted.
    async fn open(&self) -> usize {
        let metrics = reqwest::get(format!("http://{}/metrics", self.address)).await.unwrap();
        let text = metrics.text().await.unwrap();
        let line = text.lines().find(|line| line.starts_with("synod_http_connections_open"));
        line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    }
}

#[tokio::test]
async fn what_takes_long_holds_up_nobody_behind_it() {
    let server = Server::start(Limits::default()).await;
    let mut client = ByHand::connect(server.address).await;
    for id in 0..50 {
        client.ask(id, Method::GET, "/v1/kv/wait", "").await;
    }
    client.ask(100, Method::PUT, "/v1/kv/k", "value").await;
    assert_eq!(client.hear_answer().await, (100, 200, "PUT 5 value".to_owned()));
    client.ask(101, Method::GET, "/v1/kv/k", "").await;
    assert_eq!(client.hear_answer().await, (101, 200, "GET none ".to_owned()));
    server.keys.gate.0.add_permits(50);
    let mut answered = Vec::new();
    for _ in 0..50 {
        let (id, status, body) = client.hear_answer().await;
        assert_eq!((status, body.as_str()), (200, "waited"));
        answered.push(id);
    }
    answered.sort_unstable();
    assert_eq!(answered, (0..50).collect::<Vec<u32>>());
}

#[tokio::test]
async fn every_answer_has_what_stands_on_every_answer() {
    let server = Server::start(Limits::default()).await;
    let mut client = ByHand::connect(server.address).await;
    client.ask(1, Method::GET, "/v1/kv/k", "").await;
    let Some(Frame::Answer(1, answer)) = client.hear().await else { panic!("no answer") };
    assert_eq!(answer.headers()["trace-id"].len(), 32);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_worked_on() {
    let server = Server::start(Limits::default()).await;
    let mut client = ByHand::connect(server.address).await;
    client.ask(1, Method::GET, "/v1/kv/wait", "").await;
    client.ask(2, Method::GET, "/v1/kv/wait", "").await;
    until("both wait", async || server.waiting() == 2).await;
    client.say(|out| mux::push_cancel(out, 1)).await;
    until("one waits", async || server.waiting() == 1).await;
    drop(client);
    until("none waits", async || server.waiting() == 0).await;
}

#[tokio::test]
async fn what_is_not_for_this_connection_goes_back() {
    let server = Server::start(Limits::default()).await;
    let mut client = ByHand::connect(server.address).await;
    for path in ["/routed", "/nothing", "/v1/kv/long", "/v1/kv/endless"] {
        client.ask(7, Method::GET, path, "").await;
        let heard = client.hear().await;
        assert!(matches!(heard, Some(Frame::NotTaken(7))), "{path}: {heard:?}");
    }
    let coded = Request::put("/v1/kv/k").header("transfer-encoding", "gzip, chunked");
    let coded = coded.body("value").unwrap();
    client.say(|out| mux::push_request(out, 8, &coded).unwrap()).await;
    assert!(matches!(client.hear().await, Some(Frame::NotTaken(8))));
    // As long as one may be.
    client.ask(9, Method::GET, "/v1/kv/full", "").await;
    assert_eq!(client.hear_answer().await.2.len(), mux::ANSWER_BYTES);
}

#[tokio::test]
async fn a_mutation_that_cannot_be_answered_is_not_said_to_be_undone() {
    let server = Server::start(Limits::default()).await;
    let mut client = ByHand::connect(server.address).await;
    client.ask(1, Method::PUT, "/v1/kv/long", "").await;
    assert!(client.hear().await.is_none());
}

#[tokio::test]
async fn how_long_a_body_is_its_frame_says() {
    let server = Server::start(Limits::default()).await;
    let mut client = ByHand::connect(server.address).await;
    let lying = Request::put("/v1/kv/k").header("host", "h:1").header("content-length", "500");
    let lying = lying.body("value").unwrap();
    client.say(|out| mux::push_request(out, 1, &lying).unwrap()).await;
    assert_eq!(client.hear_answer().await, (1, 200, "PUT 5 value".to_owned()));
}

#[tokio::test]
async fn limits_hold_for_each_request() {
    let server = Server::start(Limits { requests: 1, ..Limits::default() }).await;
    let mut client = ByHand::connect(server.address).await;
    client.ask(1, Method::GET, "/v1/kv/wait", "").await;
    until("it waits", async || server.waiting() == 1).await;
    client.ask(2, Method::PUT, "/v1/kv/k", "value").await;
    let (id, status, problem) = client.hear_answer().await;
    assert_eq!((id, status), (2, 503));
    assert!(problem.contains("not_applied"), "{problem}");
    let long = Request::get("/v1/kv/k").header("x-long", "x".repeat(20_000)).body("").unwrap();
    client.say(|out| mux::push_request(out, 3, &long).unwrap()).await;
    assert_eq!(client.hear_answer().await.1, 431);
}

#[tokio::test]
async fn at_the_end_all_that_was_sent_is_answered_one_way_or_the_other() {
    let server = Server::start(Limits::default()).await;
    let mut client = ByHand::connect(server.address).await;
    client.ask(1, Method::GET, "/v1/kv/wait", "").await;
    until("it waits", async || server.waiting() == 1).await;
    server.shutdown.cancel();
    assert!(matches!(client.hear().await, Some(Frame::GoingAway)));
    client.ask(2, Method::PUT, "/v1/kv/k", "value").await;
    assert!(matches!(client.hear().await, Some(Frame::NotTaken(2))));
    server.keys.gate.0.add_permits(1);
    assert_eq!(client.hear_answer().await, (1, 200, "waited".to_owned()));
    drop(client);
    server.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn bytes_that_are_no_frames_end_the_connection() {
    let server = Server::start(Limits::default()).await;
    for garbage in [&[0xff; 32][..], &[0, 0, 0, 5, 9, 0, 0, 0, 0], &[0, 0, 0, 1, 1]] {
        let mut client = ByHand::connect(server.address).await;
        client.stream.write_all(garbage).await.unwrap();
        assert!(client.hear().await.is_none());
    }
    let mut client = ByHand::connect(server.address).await;
    client.answer(1, "an answer").await;
    assert!(client.hear().await.is_none(), "it asked for none");
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off_and_holds_little_meanwhile() {
    let limits = Limits { write_timeout: Duration::from_secs(1), ..Limits::default() };
    let server = Server::start(limits).await;
    let mut client = ByHand::connect(server.address).await;
    for id in 0..200 {
        client.ask(id, Method::GET, "/v1/kv/full", "").await;
    }
    until("it is cut off", async || server.open().await == 1).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_keeps_no_place_of_others() {
    let server = Server::start(Limits { requests: 40, ..Limits::default() }).await;
    let mut client = ByHand::connect(server.address).await;
    for id in 0..20 {
        client.ask(id, Method::GET, "/v1/kv/wait", "").await;
    }
    for id in 20..40 {
        client.ask(id, Method::GET, "/v1/kv/full", "").await;
    }
    until("all wait", async || server.waiting() == 20).await;
    server.keys.gate.0.add_permits(20);
    let mut other = ByHand::connect(server.address).await;
    for id in 0..40 {
        other.ask(id, Method::GET, "/v1/kv/wait", "").await;
    }
    until("all the places are to be had", async || server.waiting() == 40).await;
}

#[tokio::test]
async fn a_flood_that_is_not_taken_costs_little_and_holds_up_nobody() {
    let server = Server::start(Limits::default()).await;
    let mut client = ByHand::connect(server.address).await;
    let mut flood = BytesMut::new();
    let nowhere = Request::get("/").body("").unwrap();
    for id in 0..10_000 {
        mux::push_request(&mut flood, id, &nowhere).unwrap();
    }
    // Nothing of what comes back is read: so no more is taken at some point.
    let flooding = async { while client.stream.write_all(&flood).await.is_ok() {} };
    assert!(tokio::time::timeout(Duration::from_secs(3), flooding).await.is_err());
    let mut other = ByHand::connect(server.address).await;
    other.ask(1, Method::PUT, "/v1/kv/k", "value").await;
    assert_eq!(other.hear_answer().await, (1, 200, "PUT 5 value".to_owned()));
    server.shutdown.cancel();
    assert!(matches!(other.hear().await, Some(Frame::GoingAway)), "and it can end");
}

#[tokio::test]
async fn more_at_once_than_may_be_go_back_and_are_heard() {
    let server = Server::start(Limits { requests: 2_000, ..Limits::default() }).await;
    let mut client = ByHand::connect(server.address).await;
    let most = u32::try_from(mux::IN_FLIGHT).unwrap();
    for id in 0..most {
        client.ask(id, Method::GET, "/v1/kv/wait", "").await;
    }
    client.ask(most, Method::GET, "/v1/kv/k", "").await;
    let heard = client.hear().await;
    assert!(matches!(heard, Some(Frame::NotTaken(id)) if id == most), "{heard:?}");
    for id in 0..most {
        client.say(|out| mux::push_cancel(out, id)).await;
    }
    until("none waits", async || server.waiting() == 0).await;
    client.ask(most, Method::GET, "/v1/kv/wait", "").await;
    client.ask(most, Method::GET, "/v1/kv/k", "").await;
    assert!(client.hear().await.is_none(), "one id is two requests'");
}

#[tokio::test]
async fn a_request_that_cannot_be_read_goes_back_and_the_others_on_its_connection_go_on() {
    let server = Server::start(Limits { header_bytes: 1 << 10, ..Limits::default() }).await;
    let mut client = ByHand::connect(server.address).await;
    client.ask(1, Method::GET, "/v1/kv/wait", "").await;
    client.stream.write_all(&[0, 0, 0, 7, 1, 0, 0, 0, 2, 0, 0]).await.unwrap();
    assert!(matches!(client.hear().await, Some(Frame::NotTaken(2))));
    // Two fields, of a head that no server admits and every frame has room for.
    let long = Request::get("/v1/kv/k").header("host", "h:1").header("x-a", "a".repeat(30_000));
    let long = long.header("x-b", "b".repeat(30_000)).body(Bytes::from(vec![0; 60_000])).unwrap();
    client.say(|out| mux::push_request(out, 3, &long).unwrap()).await;
    let (id, status, body) = client.hear_answer().await;
    assert_eq!((id, status), (3, 431), "{body}");
    client.ask(4, Method::GET, "/v1/kv/k", "").await;
    assert_eq!(client.hear_answer().await.0, 4);
    assert_eq!(server.waiting(), 1, "the first one is still being answered");
}

#[tokio::test]
async fn half_a_frame_is_not_waited_for_for_ever() {
    let limits = Limits { header_timeout: Duration::from_millis(200), ..Limits::default() };
    let server = Server::start(limits).await;
    let mut client = ByHand::connect(server.address).await;
    client.stream.write_all(&[0, 0]).await.unwrap();
    assert!(client.hear().await.is_none());
}

#[tokio::test]
async fn what_begins_alike_is_http_all_the_same() {
    let server = Server::start(Limits::default()).await;
    let method = Method::from_bytes(b"MUX").unwrap();
    for (path, status) in [("/routed", 405), ("/nothing", 404)] {
        let url = format!("http://{}{path}", server.address);
        let answer = reqwest::Client::new().request(method.clone(), url).send().await.unwrap();
        assert_eq!(answer.status(), status);
    }
    // In pieces, and cut short.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"MU").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}
