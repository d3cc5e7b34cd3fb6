//! What the balancer answers itself.

use http::Method;
use serde_json::json;

use super::fake::{Fake, Reply};
use super::harness::{BRIEFLY, Setup, problem};

#[tokio::test]
async fn the_status_names_the_endpoints_their_health_and_counts() {
    let (one, two) =
        (Fake::start(1, |_| Reply::Cut).await, Fake::start(2, |_| Reply::ok("")).await);
    let balancer = Setup::default().start(&[&one, &two]).await;
    balancer.put("/v1/kv/k", "value").await;
    assert_eq!(balancer.get("/v1/kv/k").await.status, 200);
    let mut status = balancer.get("/v1/status").await.json();
    assert_eq!(status["pid"].take(), json!(std::process::id()));
    assert_eq!(status["version"].take(), json!(env!("CARGO_PKG_VERSION")));
    assert!(status["uptime_ms"].take().is_u64());
    // Counted for the whole process, by every service alike.
    assert!(status["requests"].take().as_u64() >= Some(3));
    // Whose turn the read was is not said; it failed at the first or never went there.
    let retried = status["retries"].as_u64().unwrap();
    assert_eq!(status["endpoints"][0]["failures"].take(), json!(1 + retried));
    assert_eq!(status["endpoints"][0]["requests"].take(), json!(1 + retried));
    status["retries"].take();
    let common = json!({"healthy": true, "health": "healthy", "reads": "current", "epoch": 1, "executed_slot": 7, "in_flight": 0, "checks": 1, "check_failures": 0});
    let endpoint = |own: serde_json::Value| {
        let mut endpoint = common.clone();
        endpoint.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        endpoint
    };
    let expected = json!({
        "service": "balancer", "id": "balancer-1", "version": null, "pid": null, "uptime_ms": null,
        "messages_version": 1, "follows_acceptors": true, "other_versions": [],
        "primary": "replica-1", "healthy": 2, "linearizable": 2, "waiting": 0, "requests": null, "forwarded": 2, "retries": null, "refusals": 1,
        "endpoints": [
            endpoint(json!({"id": "replica-1", "url": one.url, "role": "primary", "requests": null, "failures": null})),
            endpoint(json!({"id": "replica-2", "url": two.url, "role": "backup", "requests": 1, "failures": 0})),
        ],
    });
    assert_eq!(status, expected);
}

#[tokio::test]
async fn refusals_are_counted_by_what_the_client_was_told() {
    let one = Fake::start(1, |_| Reply::Cut).await;
    let balancer = Setup::default().start(&[&one]).await;
    assert_eq!(balancer.put("/v1/kv/k", "value").await.status, 502);
    for _ in 0..2 {
        let late = [("synod-timeout", "soon")];
        assert_eq!(balancer.send(Method::GET, "/v1/kv/k", &late, "").await.status, 400);
    }
    let told = balancer.get("/metrics").await.body;
    for (reason, count) in
        [("request", 2), ("unavailable", 0), ("no_quorum", 0), ("bad_gateway", 1), ("timeout", 0)]
    {
        let line = format!("\nsynod_balancer_refusals_total{{reason=\"{reason}\"}} {count}\n");
        assert!(told.contains(&line), "{line} {told}");
    }
}

#[tokio::test]
async fn it_is_alive_always_and_ready_with_a_healthy_replica() {
    let balancer = Setup::default().start(&[]).await;
    assert_eq!(balancer.get("/livez").await.status, 200);
    assert_eq!(balancer.get("/readyz").await.problem(), problem("unavailable", 503, None));
    let one = Fake::start(1, |_| Reply::ok("")).await;
    let balancer = Setup::default().start(&[&one]).await;
    assert_eq!(balancer.get("/readyz?verbose").await.body, "replicas ok\nnames ok\nok\n");
}

#[tokio::test]
async fn what_services_say_to_each_other_and_what_does_not_exist_are_404() {
    let one = Fake::start(1, |_| Reply::ok("")).await;
    let balancer = Setup::default().start(&[&one]).await;
    for path in [
        "/v1/replication/log?from=0",
        "/v1/replication",
        "/v1/replication/",
        "/v1/succession",
        "/",
        "/v1",
        "/v2/kv/k",
        "/v1/status/x",
    ] {
        assert_eq!(balancer.get(path).await.problem(), problem("not-found", 404, None), "{path}");
    }
    assert_eq!(balancer.send(Method::PUT, "/v1/status", &[], "").await.status, 405);
    assert_eq!(one.seen().len(), 0);
}

#[tokio::test]
async fn the_console_is_its_own_and_needs_no_replica() {
    let one = Fake::start(1, |_| Reply::ok("")).await;
    let balancer = Setup::default().start(&[&one]).await;
    for path in ["/ui", "/ui/app.js"] {
        let answer = balancer.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.headers.contains_key("content-security-policy"), "{path}");
        assert_eq!(balancer.send(Method::POST, path, &[], "").await.status, 405, "{path}");
    }
    assert_eq!(balancer.get("/ui/nothing").await.status, 404);
    assert_eq!(one.seen().len(), 0);
}

#[tokio::test]
async fn no_tunnel_is_opened() {
    let balancer = Setup::default().start(&[]).await;
    let answer = balancer
        .raw(
            b"CONNECT replica-1:8301 HTTP/1.1\r\nHost: replica-1:8301\r\nConnection: close\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test]
async fn every_answer_has_a_trace_id() {
    let balancer = Setup::default().start(&[]).await;
    for path in ["/livez", "/readyz", "/v1/status", "/v1/kv/k", "/nothing"] {
        let answer = balancer.send(Method::GET, path, &BRIEFLY, "").await;
        assert_eq!(answer.headers["trace-id"].len(), 32, "{path}");
    }
}

/// A replica that knows one token, and another one that may too little.
async fn guarded() -> Fake {
    Fake::start(1, |seen| {
        let is_head = seen.line().starts_with("HEAD /v1/events ");
        assert!(is_head || seen.line().starts_with("GET /v1/events "), "{}", seen.line());
        let (status, accessor) = match seen.field("authorization")[..] {
            ["Bearer good"] => ("200 OK", "synod-accessor: 00ab\r\n"),
            ["Bearer later"] => ("503 Service Unavailable", ""),
            ["Bearer long"] => ("431 Request Header Fields Too Large", ""),
            ["Bearer little"] => ("403 Forbidden", "synod-accessor: 00ac\r\n"),
            _ => ("401 Unauthorized", "www-authenticate: Bearer\r\n"),
        };
        Reply::with(status, accessor, if is_head { "" } else { "what the replica says" })
    })
    .await
}

#[tokio::test]
async fn it_tells_of_the_cluster_whom_a_replica_would_tell() {
    let replica = guarded().await;
    let balancer = Setup::default().start(&[&replica]).await;
    let spans = "/v1/spans?trace=4bf92f3577b34da6a3ce929d0e0e4736";
    let ask = async |path: &str, token: &str| {
        let authorization = format!("Bearer {token}");
        let fields = [("authorization", authorization.as_str())];
        let fields = if token.is_empty() { &fields[..0] } else { &fields[..] };
        balancer.open(Method::GET, path, fields, "").await.status().as_u16()
    };
    // Nobody has asked for a token yet.
    assert_eq!(ask(spans, "later").await, 200);
    // Whatever a replica has against who asks, it is no leave.
    assert_eq!(ask(spans, "long").await, 431);
    for path in [spans, "/v1/events", "/v1/events?held=true"] {
        assert_eq!(ask(path, "good").await, 200, "{path}");
        assert_eq!(ask(path, "little").await, 403, "{path}");
        assert_eq!(ask(path, "").await, 401, "{path}");
        assert_eq!(ask(path, "later").await, 503, "{path}: by now somebody has");
    }
    assert_eq!(balancer.get(spans).await.body, "what the replica says");
    for guarded in ["&of=cluster", "&of=service&of=cluster", "&o%66=cluster&of=service"] {
        assert_eq!(ask(&format!("{spans}{guarded}"), "").await, 401, "{guarded}");
    }
    for open in ["/v1/status", "/livez", "/metrics", "/ui", &format!("{spans}&of=service")] {
        assert_eq!(ask(open, "").await, 200, "{open}");
    }
    // This machine is its operator's.
    assert_eq!(ask("/v1/balancer", "").await, 200);
}

#[tokio::test]
async fn that_tokens_are_asked_for_is_learned_of_whatever_a_replica_answers() {
    let replica = Fake::start(1, |seen| match seen.line().split(' ').nth(1) {
        Some("/v1/kv/k") => Reply::with("200 OK", "synod-accessor: 00ab\r\n", "v"),
        _ => Reply::with("503 Service Unavailable", "", ""),
    });
    let replica = replica.await;
    let balancer = Setup::default().start(&[&replica]).await;
    let told = async || balancer.open(Method::GET, "/v1/events", &[], "").await.status().as_u16();
    assert_eq!(told().await, 200, "nobody has asked for a token");
    assert_eq!(balancer.get("/v1/kv/k").await.body, "v");
    assert_eq!(told().await, 503);
}
