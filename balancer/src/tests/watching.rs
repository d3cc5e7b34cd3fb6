//! Answers that have no end of their own.
#![expect(clippy::disallowed_methods, reason = "a test of a bound on time reads the clock")]

use std::sync::Mutex;
use std::time::{Duration, Instant};

use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use shared::server::Limits;
use tokio::sync::mpsc;

use super::fake::{Fake, Reply};
use super::harness::{Balancer, PATIENCE, Setup};

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// A replica that answers the first watch piece by piece, and everything else at once.
async fn watched(number: u64) -> (Fake, mpsc::Sender<String>) {
    let (pieces, receiver) = mpsc::channel(4);
    pieces.send(HEAD.to_owned()).await.unwrap();
    let receiver = Mutex::new(Some(receiver));
    let fake = Fake::start(number, move |seen| {
        let is_watch = seen.line().starts_with("GET /v1/watch");
        let receiver = if is_watch { receiver.lock().unwrap().take() } else { None };
        receiver.map_or_else(|| Reply::ok("value"), Reply::Pieces)
    });
    (fake.await, pieces)
}

async fn watch(balancer: &Balancer) -> Incoming {
    let response = balancer.open(Method::GET, "/v1/watch?prefix=", &[], "").await;
    assert_eq!(response.status(), 200);
    response.into_body()
}

async fn passes(pieces: &mpsc::Sender<String>, body: &mut Incoming) {
    let event = "event: put\ndata: {}\n\n";
    pieces.send(format!("{:x}\r\n{event}\r\n", event.len())).await.unwrap();
    let frame = tokio::time::timeout(PATIENCE, body.frame()).await.unwrap().unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), event);
}

/// Waits for the end, and says whether it was a clean one.
async fn is_ended_cleanly(mut body: Incoming) -> bool {
    let frame = tokio::time::timeout(PATIENCE, body.frame()).await.expect("no end in time");
    frame.is_none()
}

#[tokio::test]
async fn a_watch_holds_no_place_of_requests_and_is_asked_of_one_replica_alone() {
    let ((one, pieces), (two, _pieces)) = (watched(1).await, watched(2).await);
    let limits = Limits { requests: 1, ..Limits::default() };
    let slow_read_after = Duration::from_millis(10);
    let balancer = Setup { limits, slow_read_after, ..Setup::default() }.start(&[&one, &two]).await;
    let mut body = watch(&balancer).await;
    tokio::time::sleep(5 * slow_read_after).await;
    passes(&pieces, &mut body).await;
    let watches = |fake: &Fake| {
        fake.seen().iter().filter(|seen| seen.line().starts_with("GET /v1/watch")).count()
    };
    assert_eq!([watches(&one), watches(&two)], [1, 0]);
    let status = balancer.get("/v1/status").await.json();
    let counts = ["in_flight", "failures"].map(|count| &status["endpoints"][0][count]);
    assert_eq!((counts, &status["retries"]), ([&0.into(), &0.into()], &0.into()));
    // A busy machine may have this one sent to the other replica as well.
    assert_eq!(balancer.get("/v1/kv/k").await.body, "value");
}

#[tokio::test]
async fn a_balancer_that_ends_ends_its_watches_at_once_and_cleanly() {
    let (one, pieces) = watched(1).await;
    let balancer = Setup::default().start(&[&one]).await;
    let mut body = watch(&balancer).await;
    passes(&pieces, &mut body).await;
    let asked = Instant::now();
    balancer.end().await;
    assert!(asked.elapsed() < Limits::default().drain, "{:?}", asked.elapsed());
    assert!(is_ended_cleanly(body).await);
}

#[tokio::test]
async fn a_watch_ends_with_the_answer_of_its_replica() {
    let ((mut one, pieces), (two, others)) = (watched(1).await, watched(2).await);
    let balancer = Setup::default().start(&[&one, &two]).await;
    let mut bodies = [watch(&balancer).await, watch(&balancer).await];
    passes(&pieces, &mut bodies[0]).await;
    passes(&others, &mut bodies[1]).await;
    others.send("0\r\n\r\n".to_owned()).await.unwrap();
    one.kill().await;
    let [broken, ended] = bodies;
    assert!(!is_ended_cleanly(broken).await);
    assert!(is_ended_cleanly(ended).await);
}

#[tokio::test]
async fn a_watch_ends_where_its_replica_hangs() {
    let (one, pieces) = watched(1).await;
    let balancer = Setup::with_checks().start(&[&one]).await;
    let mut body = watch(&balancer).await;
    passes(&pieces, &mut body).await;
    one.stop(true);
    is_ended_cleanly(body).await;
    balancer.until(|pool| pool.healthy() == 0).await;
}

#[tokio::test]
async fn a_watch_ends_where_its_replica_is_cut_off_and_another_is_not() {
    let ((one, pieces), (two, _pieces)) = (watched(1).await, watched(2).await);
    let balancer = Setup::with_patient_checks().start(&[&one, &two]).await;
    let mut body = watch(&balancer).await;
    // In this order: as long as the other has a quorum, the watch of this one would be ended.
    two.set_quorum_answers(false);
    balancer.until(|pool| pool.with_quorum() == 1 && pool.healthy() == 2).await;
    one.set_quorum_answers(false);
    balancer.until(|pool| pool.with_quorum() == 0 && pool.healthy() == 2).await;
    passes(&pieces, &mut body).await;
    two.set_quorum_answers(true);
    is_ended_cleanly(body).await;
}
