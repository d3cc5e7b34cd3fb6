//! The connections that services speak to each other by: how many are made, which are kept,
//! and what whoever asks learns when one breaks.
#![expect(clippy::disallowed_methods, reason = "tests start tasks and read the clock")]

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use shared::client::{AnswerBody, CallError, Connections, Peer, Pool, PoolLimits, SendError};
use shared::message::Watermarks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(10);
const SHORT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nshort";

/// What a server does with its connections.
#[derive(Clone, Copy)]
enum Habit {
    /// Answers each request so.
    Answers(&'static str),
    /// Answers one request so, and closes without a word.
    AnswersOnce(&'static str),
    /// Answers so once it is let go on.
    Waits(&'static str),
    /// Reads the request and says nothing.
    IsSilent,
    /// Reads the request and closes.
    Cuts,
}

/// A server that counts its connections.
struct Server {
    authority: String,
    accepted: Arc<AtomicUsize>,
    /// Connections that are open.
    open: Arc<AtomicUsize>,
    go_on: Arc<tokio::sync::Semaphore>,
}

impl Server {
    async fn start(habit: Habit) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let (accepted, open) = (Arc::default(), Arc::default());
        let go_on = Arc::new(tokio::sync::Semaphore::new(0));
        let server = Self { authority, accepted, open, go_on };
        let (accepted, open) = (Arc::clone(&server.accepted), Arc::clone(&server.open));
        let go_on = Arc::clone(&server.go_on);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::SeqCst);
                open.fetch_add(1, Ordering::SeqCst);
                let (open, go_on) = (Arc::clone(&open), Arc::clone(&go_on));
                tokio::spawn(async move {
                    connection(stream, habit, &go_on).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    fn connections(&self, limits: PoolLimits) -> Arc<Connections> {
        Pool::new(limits).to(&format!("http://{}", self.authority)).unwrap()
    }
}

async fn connection(mut stream: TcpStream, habit: Habit, go_on: &tokio::sync::Semaphore) {
    while read_head(&mut stream).await.is_some() {
        match habit {
            Habit::Answers(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
            Habit::AnswersOnce(answer) => {
                return stream.write_all(answer.as_bytes()).await.unwrap();
            }
            Habit::Waits(answer) => {
                go_on.acquire().await.unwrap().forget();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            Habit::IsSilent => {}
            Habit::Cuts => return,
        }
    }
}

/// Reads the head of a request without a body; none when the other side closed.
async fn read_head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(head)
}

fn get() -> Request<Full<Bytes>> {
    Request::get("/v1/thing?x=1").body(Full::default()).unwrap()
}

async fn open(connections: &Arc<Connections>) -> Result<Response<AnswerBody>, SendError> {
    tokio::time::timeout(PATIENCE, connections.send(get())).await.expect("no answer in time")
}

/// The body of an answer, read whole.
async fn read(connections: &Arc<Connections>) -> Bytes {
    let answer = open(connections).await.unwrap();
    answer.into_body().collect().await.unwrap().to_bytes()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}: not in time"));
}

#[tokio::test]
async fn one_request_after_another_needs_one_connection() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\n\r\n";
    let nothing = "HTTP/1.1 204 No Content\r\n\r\n";
    for (answer, body) in [(SHORT, "short"), (chunked, "short"), (nothing, "")] {
        let server = Server::start(Habit::Answers(answer)).await;
        let connections = server.connections(PoolLimits::default());
        for _ in 0..20 {
            assert_eq!(read(&connections).await, body);
        }
        assert_eq!((server.accepted(), connections.idle()), (1, 1), "{answer:?}");
    }
}

#[tokio::test]
async fn a_request_has_the_path_as_it_is_and_names_the_host() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let seen = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = read_head(&mut stream).await.unwrap();
        stream.write_all(SHORT.as_bytes()).await.unwrap();
        String::from_utf8(head).unwrap()
    });
    let connections = Pool::new(PoolLimits::default()).to(&format!("http://{authority}")).unwrap();
    assert_eq!(read(&connections).await, "short");
    let expected = format!("GET /v1/thing?x=1 HTTP/1.1\r\nhost: {authority}\r\n\r\n");
    assert_eq!(seen.await.unwrap(), expected);
}

#[tokio::test]
async fn requests_at_once_have_connections_of_their_own_and_so_many_are_kept_as_may_be() {
    let server = Server::start(Habit::Waits(SHORT)).await;
    let connections = server.connections(PoolLimits { max_idle: 2, ..PoolLimits::default() });
    let asked = futures::future::join_all((0..5).map(|_| read(&connections)));
    let all_there = async {
        until("five connections", || server.accepted() == 5).await;
        server.go_on.add_permits(5);
    };
    let (answers, ()) = tokio::join!(asked, all_there);
    assert_eq!(answers, vec!["short"; 5]);
    assert_eq!(connections.idle(), 2);
    until("the others are closed", || server.open() == 2).await;
}

#[tokio::test]
async fn a_server_that_closes_idle_connections_never_makes_a_request_fail() {
    let server = Server::start(Habit::AnswersOnce(SHORT)).await;
    let connections = server.connections(PoolLimits::default());
    for round in 1..=200 {
        assert_eq!(read(&connections).await, "short", "request {round}");
        assert!(connections.idle() <= 1);
    }
    assert_eq!(server.accepted(), 200);
}

#[tokio::test]
async fn a_request_that_meets_a_connection_closed_meanwhile_is_sent_on_another_one() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let (go_on, goes_on) = std::sync::mpsc::channel();
    let (closed, is_closed) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        while let Ok(()) = goes_on.recv() {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 1_024];
            assert!(stream.read(&mut head).unwrap() > 0);
            stream.write_all(SHORT.as_bytes()).unwrap();
            goes_on.recv().unwrap();
            drop(stream);
            closed.send(()).unwrap();
        }
    });
    let connections = Pool::new(PoolLimits::default()).to(&format!("http://{authority}")).unwrap();
    for request in 1..=20 {
        go_on.send(()).unwrap();
        assert_eq!(read(&connections).await, "short", "request {request}");
        // Nothing here looks at the connection until it is closed; and then the next
        // request is the first to do so.
        go_on.send(()).unwrap();
        is_closed.recv().unwrap();
        tokio::task::yield_now().await;
    }
    drop(go_on);
    server.join().unwrap();
}

#[tokio::test]
async fn what_is_idle_for_too_long_is_closed_though_nobody_asks() {
    let server = Server::start(Habit::Answers(SHORT)).await;
    let idle_timeout = Duration::from_millis(200);
    let connections = server.connections(PoolLimits { idle_timeout, ..PoolLimits::default() });
    let began = Instant::now();
    assert_eq!(read(&connections).await, "short");
    until("it is closed", || server.open() == 0).await;
    assert!(began.elapsed() >= idle_timeout, "after {:?}", began.elapsed());
    assert_eq!(connections.idle(), 0);
    assert_eq!(read(&connections).await, "short");
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_connection_in_use_is_not_idle_however_long_that_takes() {
    let server = Server::start(Habit::Waits(SHORT)).await;
    let idle_timeout = Duration::from_millis(20);
    let connections = server.connections(PoolLimits { idle_timeout, ..PoolLimits::default() });
    let later = async {
        tokio::time::sleep(idle_timeout * 5).await;
        server.go_on.add_permits(1);
    };
    let (answer, ()) = tokio::join!(read(&connections), later);
    assert_eq!(answer, "short");
}

#[tokio::test]
async fn a_body_that_is_dropped_midway_closes_its_connection() {
    let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    let server = Server::start(Habit::Answers(endless)).await;
    let connections = server.connections(PoolLimits::default());
    let mut body = open(&connections).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    drop(body);
    until("it is closed", || server.open() == 0).await;
    assert_eq!(connections.idle(), 0);
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_any_more_closes_its_connection() {
    let server = Server::start(Habit::IsSilent).await;
    let connections = server.connections(PoolLimits::default());
    let sent = tokio::time::timeout(Duration::from_millis(50), connections.send(get())).await;
    assert!(sent.is_err(), "a silent server answered");
    until("it is closed", || server.accepted() == 1 && server.open() == 0).await;
}

#[tokio::test]
async fn a_peer_that_accepts_and_never_answers_costs_the_time_of_the_call() {
    let server = Server::start(Habit::IsSilent).await;
    let peer = Peer::new(format!("http://{}", server.authority).parse().unwrap());
    let timeout = Duration::from_millis(50);
    let error = peer.get::<Watermarks>("/v1/watermarks", timeout).await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { .. }), "{error}");
    assert!(error.is_unknown() && !error.never_sent());
}

#[tokio::test]
async fn a_connection_that_broke_after_the_request_was_read_is_not_tried_again() {
    let server = Server::start(Habit::Cuts).await;
    let connections = server.connections(PoolLimits::default());
    let error = open(&connections).await.unwrap_err();
    assert!(matches!(error, SendError::Broken(_)), "{error:?}");
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn nobody_there_and_no_such_name_are_never_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    for authority in [nobody.as_str(), "no-such-host.invalid:1"] {
        let connections =
            Pool::new(PoolLimits::default()).to(&format!("http://{authority}")).unwrap();
        let error = open(&connections).await.unwrap_err();
        assert!(matches!(error, SendError::NeverSent(_)), "{authority}: {error:?}");
    }
    for bad in ["line\nbreak", "no port", "127.0.0.1:1"] {
        let error = Pool::default().to(bad).unwrap_err();
        assert!(matches!(error, SendError::NeverSent(_)), "{bad}: {error:?}");
    }
}

#[tokio::test]
async fn a_name_of_several_addresses_is_reached_at_the_one_that_listens() {
    // Which of the addresses of this name comes first, and whether there are two, is for
    // the system to say; the server listens on one.
    let server = Server::start(Habit::Answers(SHORT)).await;
    let port = server.authority.rsplit(':').next().unwrap();
    let connections =
        Pool::new(PoolLimits::default()).to(&format!("http://localhost:{port}")).unwrap();
    assert_eq!(read(&connections).await, "short");
}

#[tokio::test]
async fn of_peers_that_nobody_asks_any_more_nothing_is_kept() {
    let pool = Pool::new(PoolLimits::default());
    let held = pool.to("http://127.0.0.1:1").unwrap();
    for port in 2..1_000 {
        pool.to(&format!("http://127.0.0.1:{port}")).unwrap();
    }
    assert!(Arc::ptr_eq(&held, &pool.to("http://127.0.0.1:1").unwrap()));
    assert!(pool.peers() <= 2, "{} peers", pool.peers());
}
