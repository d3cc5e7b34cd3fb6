//! What nobody is told of, or not any more.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::json;
use shared::client::ReplicaClient;

use super::super::network::CLUSTER;
use super::super::send;
use super::{Guarded, PATIENCE, is_broken_off};
use crate::driver::command;
use crate::http::forward::{ForwardReply, ForwardedCommand};
use crate::http::mutation::MutationRefused;
use crate::http::request::access::accessor_of_path;
use crate::http::request::headers::idempotency_key;
use crate::machine::access::authorize::Denied;
use crate::machine::command::{Condition, Op};
use crate::machine::execute::Delivery;

#[tokio::test]
async fn a_page_of_leases_or_locks_is_full_and_ends_as_if_there_were_no_others() {
    let guarded = Guarded::start().await;
    let (_, one) = guarded.with_rules("one", &[("m/", &["lock"])]).await;
    let grant = async |secret: &str| {
        let asked = guarded.ask(0, Method::POST, "/v1/leases", secret);
        let granted = send(asked.json(&json!({"ttl_ms": 60_000}))).await;
        granted.json()["id"].as_u64().unwrap()
    };
    let (mut own, mut root) = (Vec::new(), 0);
    for _ in 0..2 {
        root = grant(&guarded.root).await;
        own.push(grant(&one).await);
        root = root.max(grant(&guarded.root).await);
    }
    for name in ["a", "m/1", "m/2", "z"] {
        let asked = guarded.ask(0, Method::PUT, &format!("/v1/locks/{name}"), &guarded.root);
        assert_eq!(send(asked.json(&json!({"lease": root}))).await.status, 200);
    }
    let pages = async |list: &str, limit: u64, field: &str| {
        let (mut path, mut pages) = (format!("{list}?limit={limit}"), Vec::new());
        loop {
            let page = guarded.get(1, &path, &one).await.json();
            let items = page["items"].as_array().unwrap().iter();
            pages.push(items.map(|item| item[field].clone()).collect::<Vec<_>>());
            let Some(cursor) = page["next"].as_str() else { break };
            path = format!("{list}?limit={limit}&cursor={cursor}");
        }
        pages
    };
    let (first, last) = (vec![json!("m/1")], vec![json!("m/2")]);
    assert_eq!(pages("/v1/locks", 1, "name").await, [first, last]);
    assert_eq!(pages("/v1/locks", 2, "name").await, [[json!("m/1"), json!("m/2")]]);
    let (first, last) = (vec![json!(own[0])], vec![json!(own[1])]);
    assert_eq!(pages("/v1/leases", 1, "id").await, [first, last]);
    assert_eq!(pages("/v1/leases", 2, "id").await, [[json!(own[0]), json!(own[1])]]);
}

#[tokio::test]
async fn a_snapshot_breaks_off_when_its_token_ends() {
    let guarded = Guarded::start().await;
    let all = json!([{"prefix": "", "rights": ["read", "list", "history"]}]);
    guarded.put_policy(0, "all", json!({"rules": all, "cluster": ["operate"]})).await;
    let (accessor, secret) = guarded.token(0, &["all"]).await;
    // More than the sockets between take ahead of a reader who waits.
    for key in 0..24 {
        let path = format!("/v1/kv/big/{key:03}");
        let put = guarded.ask(0, Method::PUT, &path, &guarded.root).body(vec![b'x'; 1_000_000]);
        assert_eq!(send(put).await.status, 201);
    }
    let asked = guarded.ask(0, Method::GET, "/v1/snapshot", &secret);
    let mut stream = asked.send().await.unwrap();
    let tag = stream.headers()["etag"].to_str().unwrap().to_owned();
    assert!(stream.chunk().await.unwrap().is_some());
    assert_eq!(guarded.delete(&format!("/v1/tokens/{accessor}")).await.status, 200);
    assert!(is_broken_off(stream).await, "it was sent to the end");
    for node in 0..3 {
        let rest = guarded.ask(node, Method::GET, "/v1/snapshot", &secret);
        let rest = rest.header("range", "bytes=100-").header("if-range", &tag);
        assert_eq!(send(rest).await.status, 401);
    }
}

#[tokio::test]
async fn an_answer_that_is_kept_is_not_told_once_its_token_is_gone_not_even_to_a_replica() {
    let guarded = Guarded::start().await;
    let (accessor, _) = guarded.with_rules("one", &[("app/", &["write"])]).await;
    let by = accessor_of_path(&format!("/v1/tokens/{accessor}")).unwrap();
    let (key, condition) = ("app/once".to_owned(), Condition::Always);
    let op = Op::Delete { key, condition }.attributed(Some(by));
    let named = HeaderMap::from_iter([(
        HeaderName::from_static("idempotency-key"),
        HeaderValue::from_static("once"),
    )]);
    let command = command(op, idempotency_key(&named).unwrap(), None);
    let message = ForwardedCommand { cluster: CLUSTER, min_revision: None, command };
    let primary = ReplicaClient::new(guarded.network.nodes[0].url.parse().unwrap());
    let ask = async || -> ForwardReply {
        primary.command(&message, None, PATIENCE, PATIENCE).await.unwrap()
    };
    assert!(matches!(ask().await, ForwardReply::Done(_)));
    assert!(
        matches!(ask().await, ForwardReply::Done(again) if again.delivery == Delivery::Replayed)
    );
    assert_eq!(guarded.delete(&format!("/v1/tokens/{accessor}")).await.status, 200);
    let refused = ask().await;
    let ForwardReply::Refused(MutationRefused::Denied { why, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(why, Denied::UnknownToken);
}

#[tokio::test]
async fn who_may_not_look_hears_nothing_of_what_is_gone_or_not_there_yet() {
    let guarded = Guarded::start().await;
    let (_, secret) = guarded.with_rules("present", &[("other/", &["read"])]).await;
    let body = json!({"revision": 3});
    let compact = guarded.ask(0, Method::POST, "/v1/compact", &guarded.root).json(&body);
    assert_eq!(send(compact).await.status, 200);
    for (path, told) in [
        ("/v1/kv/app/a?revision=1", 410),
        ("/v1/kv/app/a?revision=1000000", 400),
        ("/v1/kv/app/none", 404),
        ("/v1/log/1000000", 404),
        // Nor does it wait.
        ("/v1/log/1000000?wait=20s", 403),
    ] {
        if told != 403 {
            assert_eq!(guarded.get(0, path, &guarded.root).await.status, told, "{path}");
        }
        let asked = guarded.get(0, path, &secret);
        let refused =
            tokio::time::timeout(PATIENCE / 2, asked).await.expect("nothing is waited for");
        assert_eq!(refused.status, 403, "{path}");
    }
}
