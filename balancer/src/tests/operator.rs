//! What the operator sees and says.

use http::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::fake::{Fake, Reply};
use super::harness::{Balancer, PATIENCE, Setup, problem};
use crate::pool::Policy;

const JSON: (&str, &str) = ("content-type", "application/json");

async fn tell(balancer: &Balancer, path: &str, said: Value) -> Value {
    let path = format!("/v1/balancer/{path}");
    let answer = balancer.send(Method::PUT, &path, &[JSON], &said.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

async fn endpoint(balancer: &Balancer, at: usize) -> Value {
    balancer.get("/v1/balancer").await.json()["endpoints"][at].clone()
}

#[tokio::test]
async fn a_drained_replica_is_asked_nothing_and_shown_with_the_reason() {
    let (one, two) =
        (Fake::start(1, |_| Reply::ok("1")).await, Fake::start(2, |_| Reply::ok("2")).await);
    let balancer = Setup::default().start(&[&one, &two]).await;
    let shown = endpoint(&balancer, 0).await;
    assert_eq!(
        (&shown["in"], &shown["why"]),
        (&json!(true), &json!(["it is healthy and current"]))
    );
    let said = tell(&balancer, "endpoints/replica-1", json!({"drain": true})).await;
    assert_eq!(said, json!({"id": "replica-1", "drain": true, "weight": 1}));
    let shown = endpoint(&balancer, 0).await;
    assert_eq!(
        (&shown["in"], &shown["why"], &shown["operator"]),
        (
            &json!(false),
            &json!(["the operator has drained it"]),
            &json!({"drain": true, "weight": 1})
        )
    );
    for _ in 0..6 {
        assert_eq!(balancer.get("/v1/kv/k").await.body, "2");
        assert_eq!(balancer.put("/v1/kv/k", "v").await.status, 200);
    }
    assert_eq!(one.seen().len(), 0, "not even a mutation, though it is primary");
    let said = tell(&balancer, "endpoints/replica-1", json!({"weight": 3})).await;
    assert_eq!(
        said,
        json!({"id": "replica-1", "drain": true, "weight": 3}),
        "what is not said stays"
    );
    tell(&balancer, "endpoints/replica-1", json!({"drain": false, "weight": 1})).await;
    for _ in 0..4 {
        balancer.get("/v1/kv/k").await;
    }
    assert!(!one.seen().is_empty());
}

#[tokio::test]
async fn where_all_are_drained_the_answer_names_them_at_once() {
    let one = Fake::start(1, |_| Reply::ok("")).await;
    let balancer = Setup::default().start(&[&one]).await;
    tell(&balancer, "endpoints/replica-1", json!({"drain": true})).await;
    let answer = balancer.get("/v1/kv/k").await;
    assert_eq!(answer.problem(), problem("unavailable", 503, None));
    assert!(answer.body.contains("drained at this balancer (replica-1)"), "{}", answer.body);
    assert!(answer.headers.contains_key("retry-after"));
    let answer = balancer.put("/v1/kv/k", "v").await;
    assert_eq!(answer.problem(), problem("unavailable", 503, Some("not_applied")));
    let ready = balancer.get("/readyz").await;
    assert!(ready.status == 503 && ready.body.contains("drained"), "{}", ready.body);
    assert_eq!(one.seen().len(), 0);
}

#[tokio::test]
async fn a_stream_of_a_replica_that_is_drained_ends_cleanly_and_an_answer_is_finished() {
    let ((events, pieces), (slow, answer)) = (mpsc::channel(1), mpsc::channel(1));
    let replies = std::sync::Mutex::new([Some(pieces), Some(answer)]);
    let one = Fake::start(1, move |seen| {
        let asked = usize::from(!seen.line().contains("/v1/watch"));
        Reply::Pieces(replies.lock().unwrap()[asked].take().unwrap())
    })
    .await;
    let balancer = Setup::default().start(&[&one]).await;
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
    events.send(head.to_owned()).await.unwrap();
    let stream = balancer.open(Method::GET, "/v1/watch?prefix=", &[], "").await;
    let reading = balancer.get("/v1/kv/k");
    let draining = async {
        balancer.until(|pool| pool.endpoints().all(|one| one.counts.in_flight == 1)).await;
        tell(&balancer, "endpoints/replica-1", json!({"drain": true})).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n";
        slow.send(format!("{head}slow")).await.unwrap();
    };
    let (answer, ()) = tokio::join!(reading, draining);
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "slow"));
    let ended = tokio::time::timeout(PATIENCE, super::harness::Answer::read(stream)).await;
    assert_eq!(ended.unwrap().body, "first", "and the end is no error");
}

#[tokio::test]
async fn the_policy_changes_at_run_time() {
    let (one, two) =
        (Fake::start(1, |_| Reply::ok("1")).await, Fake::start(2, |_| Reply::ok("2")).await);
    let balancer = Setup::default().start(&[&one, &two]).await;
    assert_eq!(balancer.get("/v1/balancer").await.json()["policy"], "round-robin");
    for policy in Policy::ALL {
        let said = tell(&balancer, "policy", json!({"policy": policy.as_str()})).await;
        assert_eq!(said, json!({"policy": policy.as_str()}));
    }
    let first = balancer.get("/v1/kv/k").await.body;
    for _ in 0..10 {
        assert_eq!(balancer.get("/v1/kv/k").await.body, first, "one key, one replica");
    }
    assert_eq!(balancer.get("/v1/balancer").await.json()["policy"], "consistent-hash");
}

#[tokio::test]
async fn what_is_said_wrongly_changes_nothing_and_is_answered_with_what_to_say() {
    let one = Fake::start(1, |_| Reply::ok("")).await;
    let balancer = Setup::default().start(&[&one]).await;
    let endpoint = "endpoints/replica-1";
    let long = format!("{{\"drain\": true, \"{}\": 1}}", "x".repeat(5_000));
    for (path, body, status, says) in [
        (endpoint, "", 400, "drain"),
        (endpoint, "{", 400, "drain"),
        (endpoint, "{}", 400, "say \"drain\" or \"weight\""),
        (endpoint, "[true, 3]", 400, "no object"),
        (endpoint, "{\"drain\": 1}", 400, "boolean"),
        (endpoint, "{\"drain\": true, \"why\": 1}", 400, "why"),
        (endpoint, "{\"drain\": true, \"drain\": false}", 400, "duplicate"),
        (endpoint, "{\"weight\": 0}", 400, "drain it"),
        (endpoint, "{\"weight\": 101}", 400, "1 to 100"),
        (endpoint, "{\"weight\": -1}", 400, "-1"),
        (endpoint, "{\"weight\": 1.5}", 400, "1.5"),
        (endpoint, long.as_str(), 413, "4096 bytes"),
        ("endpoints/replica-9", "{\"drain\": true}", 404, "replica-9"),
        ("endpoints/Replica%201", "{\"drain\": true}", 404, "no endpoint"),
        ("endpoints/", "{\"drain\": true}", 404, ""),
        ("endpoints/replica-1/x", "{\"drain\": true}", 404, ""),
        ("endpoints/replica-1?force=true", "{\"drain\": true}", 400, "force"),
        ("policy", "{\"policy\": \"best\"}", 400, "round-robin"),
        ("policy", "{\"policy\": \"random\", \"seed\": 1}", 400, "seed"),
        ("policy", "{}", 400, "policy"),
        ("nothing", "{}", 404, ""),
    ] {
        let path = format!("/v1/balancer/{path}");
        let answer = balancer.send(Method::PUT, &path, &[JSON], body).await;
        assert_eq!(answer.status, status, "{path} {body:.80}: {}", answer.body);
        assert_eq!(answer.problem().2.as_deref(), Some("not_applied"), "{path} {body:.80}");
        assert!(
            answer.body.contains(says) || answer.json()["detail"].as_str().unwrap().contains(says),
            "{path} {body:.80}: {}",
            answer.body
        );
    }
    let said = "{\"drain\": true}";
    let path = "/v1/balancer/endpoints/replica-1";
    for (fields, status) in [
        (&[("content-type", "text/plain")][..], 415),
        (&[("content-type", "image/png")], 415),
        (&[JSON, JSON], 400),
        (&[("content-type", "application/x-www-form-urlencoded")], 200),
        (&[], 200),
    ] {
        let said = if status == 200 { "{\"weight\": 1}" } else { said };
        let answer = balancer.send(Method::PUT, path, fields, said).await;
        assert_eq!(answer.status, status, "{fields:?}: {}", answer.body);
    }
    for (field, status) in [
        (("origin", "http://evil.example"), 403),
        (("sec-fetch-site", "cross-site"), 403),
        (("if-match", "\"3\""), 400),
        (("synod-timeout", "soon"), 400),
    ] {
        let answer = balancer.send(Method::PUT, path, &[JSON, field], said).await;
        assert_eq!(answer.status, status, "{field:?}: {}", answer.body);
    }
    for (method, path) in [(Method::POST, path), (Method::GET, path), (Method::PUT, "/v1/balancer")]
    {
        assert_eq!(balancer.send(method, path, &[JSON], said).await.status, 405, "{path}");
    }
    assert_eq!(endpoint_order(&balancer).await, json!({"drain": false, "weight": 1}));
    assert_eq!(one.seen().len(), 0, "no replica hears of it");
}

async fn endpoint_order(balancer: &Balancer) -> Value {
    endpoint(balancer, 0).await["operator"].clone()
}

#[tokio::test]
async fn the_word_of_foreign_pages_and_of_whom_nobody_knows_is_not_taken() {
    let one = Fake::start(1, |_| Reply::ok("")).await;
    let balancer = Setup::default().start(&[&one]).await;
    let drain = json!({"drain": true}).to_string();
    for (field, kind) in [
        (("origin", "https://evil.example"), "foreign-origin"),
        (("sec-fetch-site", "cross-site"), "foreign-origin"),
        (("x-forwarded-for", "127.0.0.1"), "forbidden"),
    ] {
        for path in ["/v1/balancer/endpoints/replica-1", "/v1/balancer/policy"] {
            let answer = balancer.send(Method::PUT, path, &[JSON, field], &drain).await;
            assert_eq!(answer.problem(), problem(kind, 403, Some("not_applied")), "{path}");
        }
    }
    assert_eq!(endpoint(&balancer, 0).await["operator"]["drain"], false);
    assert_eq!(balancer.get("/v1/kv/k").await.status, 200);
}
