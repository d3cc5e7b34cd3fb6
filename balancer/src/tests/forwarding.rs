//! What reaches a replica, and what comes back.
#![expect(clippy::disallowed_methods, reason = "a test of a deadline reads the clock")]

use std::time::{Duration, Instant};

use http::Method;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use super::fake::{Fake, Reply};
use super::harness::{PATIENCE, Setup};
use crate::proxy::SLACK;

#[tokio::test]
async fn reads_are_spread_evenly_over_all_replicas() {
    let fakes = [1, 2, 3].map(|number| Fake::start(number, |_| Reply::ok("value")));
    let [one, two, three] = fakes;
    let (one, two, three) = (one.await, two.await, three.await);
    let balancer = Setup::default().start(&[&one, &two, &three]).await;
    for _ in 0..30 {
        assert_eq!(balancer.get("/v1/kv/k").await.body, "value");
    }
    assert_eq!([one.seen().len(), two.seen().len(), three.seen().len()], [10, 10, 10]);
}

#[tokio::test]
async fn mutations_go_to_the_primary_alone() {
    let (one, two) =
        (Fake::start(1, |_| Reply::ok("done")).await, Fake::start(2, |_| Reply::ok("done")).await);
    let balancer = Setup::default().start(&[&one, &two]).await;
    for method in [Method::PUT, Method::POST, Method::DELETE, Method::PATCH] {
        assert_eq!(balancer.send(method, "/v1/kv/k", &[], "value").await.body, "done");
    }
    assert_eq!([one.seen().len(), two.seen().len()], [4, 0]);
}

#[tokio::test]
async fn the_path_is_passed_on_byte_for_byte() {
    let one = Fake::start(1, |_| Reply::ok("")).await;
    let balancer = Setup::default().start(&[&one]).await;
    for path in ["/v1/kv/a%2Fb/../c//d;e=%e4?prefix=%2F&&x", "/v1/kv/", "/v1/kv?", "/v1/kv/%00"] {
        balancer.get(path).await;
        assert_eq!(one.seen().last().unwrap().line(), format!("GET {path} HTTP/1.1"));
    }
}

#[tokio::test]
async fn a_mutation_arrives_whole_with_its_own_fields_and_those_of_the_way() {
    let one = Fake::start(1, |_| Reply::ok("")).await;
    let balancer = Setup::default().start(&[&one]).await;
    let head = "PUT /v1/kv/k HTTP/1.1\r\nHost: kv.example\r\nContent-Type: text/x\r\nIf-Match: \
                \"3\"\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\n\
                Keep-Alive: timeout=5\r\nSynod-Timeout: 3s\r\nX-Forwarded-For: 203.0.113.9\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = balancer.raw(format!("{head}3\r\nval\r\n2\r\nue\r\n0\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let seen = one.seen().pop().unwrap();
    assert_eq!(seen.body, "value");
    for (name, values) in [
        ("host", vec![one.url.strip_prefix("http://").unwrap()]),
        ("content-type", vec!["text/x"]),
        ("content-length", vec!["5"]),
        ("if-match", vec!["\"3\""]),
        ("via", vec!["1.1 balancer-1"]),
        ("x-forwarded-for", vec!["203.0.113.9, 127.0.0.1"]),
        ("x-mine", vec![]),
        ("connection", vec![]),
        ("keep-alive", vec![]),
        ("transfer-encoding", vec![]),
    ] {
        assert_eq!(seen.field(name), values, "{name}");
    }
    let left: u64 = seen.field("synod-timeout")[0].strip_suffix("ms").unwrap().parse().unwrap();
    assert!((1..=3_000).contains(&left), "{left} ms are left of 3 s");
}

#[tokio::test]
async fn the_answer_comes_back_with_all_its_fields_but_those_of_the_connection() {
    let fields = "etag: \"7\"\r\nsynod-revision: 9\r\nkeep-alive: timeout=9\r\nconnection: \
        x-own\r\nx-own: 1\r\nset-cookie: a\r\nset-cookie: b\r\n";
    let one = Fake::start(1, move |_| Reply::with("418 Teapot", fields, "short and stout")).await;
    let balancer = Setup::default().start(&[&one]).await;
    let answer = balancer.get("/v1/kv/k").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (418, "short and stout"));
    assert_eq!(answer.headers["etag"], "\"7\"");
    assert_eq!(answer.headers["synod-revision"], "9");
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
    assert_eq!(answer.headers["content-length"], "15");
    for name in ["keep-alive", "x-own", "connection"] {
        assert!(!answer.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn head_is_answered_with_the_length_and_no_body() {
    let one = Fake::start(1, |_| {
        Reply::Bytes("HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n".to_owned())
    })
    .await;
    let balancer = Setup::default().start(&[&one]).await;
    let answer = balancer.send(Method::HEAD, "/v1/kv/k", &[], "").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""));
    assert_eq!(answer.headers["content-length"], "1234");
    assert!(one.seen()[0].line().starts_with("HEAD "));
}

#[tokio::test]
async fn the_callers_trace_is_taken_up_passed_on_and_answered_once() {
    let one = Fake::start(1, |_| Reply::with("200 OK", "trace-id: of-the-replica\r\n", "")).await;
    let balancer = Setup::default().start(&[&one]).await;
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = balancer
        .send(
            Method::GET,
            "/v1/kv/k",
            &[("traceparent", traceparent), ("tracestate", "vendor=x")],
            "",
        )
        .await;
    let ids: Vec<_> = answer.headers.get_all("trace-id").iter().collect();
    assert_eq!(ids, ["0af7651916cd43dd8448eb211c80319c"]);
    let seen = one.seen().pop().unwrap();
    assert_eq!(
        seen.field("traceparent"),
        [traceparent],
        "without an exporter the caller's span is the parent"
    );
    assert_eq!(seen.field("tracestate"), ["vendor=x"]);
}

#[tokio::test]
async fn a_request_without_a_trace_gets_one() {
    let one = Fake::start(1, |_| Reply::ok("")).await;
    let balancer = Setup::default().start(&[&one]).await;
    let answer = balancer
        .send(
            Method::GET,
            "/v1/kv/k",
            &[("traceparent", "nonsense"), ("tracestate", "vendor=x")],
            "",
        )
        .await;
    let id = answer.headers["trace-id"].to_str().unwrap().to_owned();
    assert_eq!(id.len(), 32);
    let seen = one.seen().pop().unwrap();
    let traceparent = seen.field("traceparent");
    assert!(
        traceparent.len() == 1 && traceparent[0].contains(&id),
        "{traceparent:?} is of trace {id}"
    );
    assert_eq!(seen.field("tracestate"), Vec::<&str>::new());
}

#[tokio::test]
async fn a_stream_reaches_the_client_piece_by_piece() {
    let (pieces, receiver) = mpsc::channel(1);
    let receiver = std::sync::Mutex::new(Some(receiver));
    let one =
        Fake::start(1, move |_| Reply::Pieces(receiver.lock().unwrap().take().unwrap())).await;
    let balancer = Setup::default().start(&[&one]).await;
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    pieces.send(head.to_owned()).await.unwrap();
    let timeout = Duration::from_millis(500);
    let asked = Instant::now();
    let response =
        balancer.open(Method::GET, "/v1/watch?key=k", &[("synod-timeout", "500ms")], "").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    // The deadline was one for the header, with the time that a balancer waits beyond it.
    tokio::time::sleep((timeout + SLACK).saturating_sub(asked.elapsed())).await;
    for number in 0..3 {
        // The next piece is not written before the one before it has arrived.
        let event = format!("data: {number}\n\n");
        pieces.send(format!("{:x}\r\n{event}\r\n", event.len())).await.unwrap();
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await.unwrap().unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), event);
    }
    pieces.send("0\r\n\r\n".to_owned()).await.unwrap();
    assert!(body.frame().await.is_none());
}
