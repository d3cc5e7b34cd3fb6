//! What is refused, and with which words.

use http::Method;
use shared::server::Limits;

use super::fake::{Fake, Reply};
use super::harness::{Setup, problem};
use crate::proxy::BodyLimits;

#[tokio::test]
async fn a_body_above_the_limit_is_refused_by_name_whether_its_length_is_announced_or_not() {
    let one = Fake::start(1, |_| Reply::ok("")).await;
    let balancer = Setup::default().start(&[&one]).await;
    assert_eq!(balancer.put("/v1/kv/k", &"x".repeat(1_000)).await.status, 200);
    let answer = balancer.put("/v1/kv/k", &"x".repeat(1_001)).await;
    assert_eq!(answer.problem(), problem("too-large", 413, Some("not_applied")));
    assert!(answer.body.contains("1000 bytes"), "{}", answer.body);

    let head = "PUT /v1/kv/k HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: \
        chunked\r\n\r\n";
    let answer =
        balancer.raw(format!("{head}3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1_001)).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(one.seen().len(), 1, "neither went on");
}

#[tokio::test]
async fn a_header_above_the_limit_is_refused_by_name() {
    let balancer = Setup::default().start(&[]).await;
    let answer =
        balancer.send(Method::GET, "/v1/kv/k", &[("x-long", &"x".repeat(17_000))], "").await;
    assert_eq!(answer.problem(), problem("header-too-large", 431, None));
    assert!(answer.body.contains("16384 bytes"), "{}", answer.body);
    let answer = balancer
        .raw(
            format!("GET /v1/kv/k HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(100_000))
                .as_bytes(),
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn what_is_not_http_is_a_bad_request() {
    let balancer = Setup::default().start(&[]).await;
    for bytes in [
        "hello\r\n\r\n",
        "GET /v1/kv/k\r\n\r\n",
        "GET /v1/kv/k HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
    ] {
        let answer = balancer.raw(bytes.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{bytes:?}: {answer}");
    }
}

#[tokio::test]
async fn a_malformed_timeout_is_a_bad_request() {
    let one = Fake::start(1, |_| Reply::ok("")).await;
    let balancer = Setup::default().start(&[&one]).await;
    let answer =
        balancer.send(Method::PUT, "/v1/kv/k", &[("synod-timeout", "soon")], "value").await;
    assert_eq!(answer.problem(), problem("bad-request", 400, Some("not_applied")));
    assert_eq!(one.seen().len(), 0);
}

#[tokio::test]
async fn a_condition_that_a_connection_field_would_drop_is_refused_and_not_forwarded_without_it() {
    let one = Fake::start(1, |_| Reply::ok("")).await;
    let balancer = Setup::default().start(&[&one]).await;
    let head = "PUT /v1/kv/k HTTP/1.1\r\nHost: h\r\nConnection: close, If-Match\r\nIf-Match: \
        \"3\"\r\nContent-Length: 1\r\n\r\nv";
    let answer = balancer.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("not_applied"), "{answer}");
    assert_eq!(one.seen().len(), 0);
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_refused() {
    let one = Fake::start(1, |_| Reply::ok("")).await;
    let balancer = Setup::default().start(&[&one]).await;
    let head = "PUT /v1/kv/k HTTP/1.1\r\nHost: h\r\nConnection: close\r\nSynod-Timeout: \
        50ms\r\nContent-Length: 5\r\n\r\nva";
    let answer = balancer.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("not_applied"), "{answer}");
    assert_eq!(one.seen().len(), 0);
}

#[tokio::test]
async fn one_request_too_many_is_refused_at_once() {
    let one = Fake::start(1, |_| Reply::Hang).await;
    let limits = Limits { requests: 1, ..Limits::default() };
    let balancer = Setup { limits, ..Setup::default() }.start(&[&one]).await;
    let waiting = balancer.send(Method::GET, "/v1/kv/k", &[("synod-timeout", "60s")], "");
    let refused = async {
        balancer
            .until(|pool| pool.endpoints().all(|endpoint| endpoint.counts.in_flight == 1))
            .await;
        let answer = balancer.put("/v1/kv/k", "value").await;
        assert_eq!(balancer.get("/livez").await.status, 200);
        answer
    };
    let answer = tokio::select! {
        answer = refused => answer,
        answer = waiting => panic!("{answer:?}"),
    };
    assert_eq!(answer.problem(), problem("overloaded", 503, Some("not_applied")));
    assert_eq!(answer.headers["retry-after"], "1");
    balancer.until(|pool| pool.endpoints().all(|endpoint| endpoint.counts.in_flight == 0)).await;
}

#[tokio::test]
async fn bodies_that_do_not_fit_in_memory_together_are_refused_at_once() {
    let one = Fake::start(1, |_| Reply::Hang).await;
    let bodies = BodyLimits { body_bytes: 1_500, buffered_bytes: 2_048 };
    let balancer = Setup { bodies, ..Setup::default() }.start(&[&one]).await;
    let body = "x".repeat(1_500);
    let waiting = balancer.put("/v1/kv/k", &body);
    let refused = async {
        balancer
            .until(|pool| pool.endpoints().all(|endpoint| endpoint.counts.in_flight == 1))
            .await;
        balancer.put("/v1/kv/k", "value").await
    };
    let answer = tokio::select! {
        answer = refused => answer,
        answer = waiting => panic!("{answer:?}"),
    };
    assert_eq!(answer.problem(), problem("overloaded", 503, Some("not_applied")));
    assert!(answer.body.contains("2048 bytes"), "{}", answer.body);
}

#[tokio::test]
async fn a_body_of_unannounced_length_takes_as_much_memory_as_it_may_have() {
    let one = Fake::start(1, |_| Reply::Hang).await;
    let bodies = BodyLimits { body_bytes: 1_500, buffered_bytes: 2_048 };
    let balancer = Setup { bodies, ..Setup::default() }.start(&[&one]).await;
    let waiting = balancer.raw(
        b"PUT /v1/kv/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: \
        chunked\r\n\r\n1\r\nv\r\n0\r\n\r\n",
    );
    let refused = async {
        balancer
            .until(|pool| pool.endpoints().all(|endpoint| endpoint.counts.in_flight == 1))
            .await;
        balancer.put("/v1/kv/k", "value").await
    };
    let answer = tokio::select! {
        answer = refused => answer,
        answer = waiting => panic!("{answer}"),
    };
    assert_eq!(answer.problem(), problem("overloaded", 503, Some("not_applied")));
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_when_to_come_again_and_the_operator_is_heard() {
    let one = Fake::start(1, |_| Reply::ok("")).await;
    let rate = std::num::NonZeroU32::new(1);
    let clients = crate::clients::Limits { rate, ..Setup::default().clients };
    let balancer = Setup { clients, ..Setup::default() }.start(&[&one]).await;
    assert_eq!(balancer.get("/v1/kv/k").await.status, 200);
    let refused = balancer.put("/v1/kv/k", "value").await;
    assert_eq!(refused.problem(), problem("too-many-requests", 429, Some("not_applied")));
    assert_eq!(refused.headers["retry-after"], "1");
    assert!(refused.body.contains("1 requests a second"), "{}", refused.body);
    for forged in ["203.0.113.9", "203.0.113.10"] {
        let fields = [("x-forwarded-for", forged)];
        let answer = balancer.send(Method::GET, "/v1/kv/k", &fields, "").await;
        assert_eq!(answer.status, 429, "nobody says that this client is a proxy");
    }
    let (path, json) = ("/v1/balancer/policy", ("content-type", "application/json"));
    let (random, passed_on) = ("{\"policy\": \"random\"}", ("x-forwarded-for", "203.0.113.9"));
    let told = balancer.send(Method::PUT, path, &[json, passed_on], random).await;
    assert_eq!(told.problem(), problem("too-many-requests", 429, Some("not_applied")));
    assert_eq!(balancer.send(Method::PUT, path, &[json], random).await.status, 200);
    for path in ["/v1/balancer", "/v1/status", "/livez", "/metrics"] {
        assert_eq!(balancer.get(path).await.status, 200, "{path}");
    }
    assert_eq!(one.seen().len(), 1);
}

#[tokio::test]
async fn a_token_has_limits_of_its_own_once_a_replica_has_vouched_for_it_and_one_made_up_has_none()
{
    let one = Fake::start(1, |seen| {
        let of = |token: &str| seen.head.contains(&format!("Bearer {token}"));
        match () {
            () if of("good") => Reply::with("200 OK", "synod-accessor: 00ab\r\n", ""),
            () if of("fair") => Reply::with("403 Forbidden", "synod-accessor: 00ac\r\n", ""),
            () => Reply::with("401 Unauthorized", "", ""),
        }
    })
    .await;
    let (rate, burst) = (std::num::NonZeroU32::new(1), std::num::NonZeroU32::new(2).unwrap());
    let clients = crate::clients::Limits { rate, burst, ..Setup::default().clients };
    let balancer = Setup { clients, ..Setup::default() }.start(&[&one]).await;
    let ask = async |token: &str| {
        let fields = [("authorization", &*format!("Bearer {token}"))];
        balancer.send(Method::GET, "/v1/kv/k", &fields, "").await.status.as_u16()
    };
    assert_eq!(ask("good").await, 200, "by the address");
    assert_eq!(ask("fair").await, 403, "by the address, whose burst is over");
    for token in ["made-up", "made-up-too"] {
        assert_eq!(ask(token).await, 429);
    }
    assert_eq!((ask("good").await, ask("good").await, ask("good").await), (200, 200, 429));
    assert_eq!((ask("fair").await, ask("fair").await, ask("fair").await), (403, 403, 429));
    assert_eq!(one.seen().len(), 6);
}
