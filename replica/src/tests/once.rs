//! `Idempotency-Key`: a mutation is executed once however often it comes, wherever.

use super::*;

#[tokio::test]
async fn a_repeat_gets_the_first_answer_from_whichever_replica() {
    let network = Network::start(2).await;
    let key = [("idempotency-key", "k1")];
    let first = network.with(1, Method::PUT, "/v1/kv/a", &key).await;
    assert_eq!((first.status, first.headers.get("idempotency-replayed")), (201, None));
    network.put(0, "/v1/kv/a", "2").await;
    for (node, key) in [(0, "k1"), (1, "\"k1\"")] {
        let again = network.with(node, Method::PUT, "/v1/kv/a", &[("idempotency-key", key)]).await;
        assert_eq!((again.status, again.json()), (201, first.json()));
        assert_eq!(again.header("idempotency-replayed"), "true");
        for header in ["etag", "synod-revision"] {
            assert_eq!(again.header(header), first.header(header), "{header}");
        }
    }
    let read = network.get(0, "/v1/kv/a").await;
    assert_eq!(read.text(), "2", "it was not written again");
}

#[tokio::test]
async fn refusals_by_a_guard_and_counts_of_deletions_are_answered_again_as_well() {
    let network = Network::start(2).await;
    for name in ["p/1", "p/2"] {
        network.put(0, &format!("/v1/kv/{name}"), "1").await;
    }
    let update = [("idempotency-key", "k1"), ("if-match", "*")];
    assert_eq!(network.with(0, Method::PUT, "/v1/kv/new", &update).await.status, 412);
    network.put(0, "/v1/kv/new", "1").await;
    let again = network.with(1, Method::PUT, "/v1/kv/new", &update).await;
    assert_eq!(again.refusal(), (412, json!("not_applied"), false));
    assert_eq!(again.header("idempotency-replayed"), "true");
    let delete = [("idempotency-key", "k2")];
    let deleted = network.with(1, Method::DELETE, "/v1/kv?prefix=p/", &delete).await;
    assert_eq!(deleted.json()["deleted"], 2);
    network.put(0, "/v1/kv/p/3", "1").await;
    let again = network.with(0, Method::DELETE, "/v1/kv?prefix=p/", &delete).await;
    assert_eq!(again.json(), deleted.json());
    assert_eq!(network.get(0, "/v1/kv/p/3").await.status, 200);
}

#[tokio::test]
async fn a_key_is_for_one_request() {
    let network = Network::start(2).await;
    let key = ("idempotency-key", "k1");
    assert_eq!(network.with(0, Method::PUT, "/v1/kv/a", &[key]).await.status, 201);
    for (node, method, path, extra) in [
        (0, Method::PUT, "/v1/kv/b", None),
        (1, Method::DELETE, "/v1/kv/a", None),
        (1, Method::PUT, "/v1/kv/a", Some(("content-type", "text/plain"))),
        (0, Method::PUT, "/v1/kv/a", Some(("if-match", "*"))),
    ] {
        let headers: Vec<_> = [Some(key), extra].into_iter().flatten().collect();
        let other = network.with(node, method.clone(), path, &headers).await;
        assert_eq!(other.refusal(), (422, json!("not_applied"), false), "{method} {path}");
    }
    assert_eq!(network.get(0, "/v1/kv/b").await.status, 404);
}
