//! What a watch is refused for, and what it waits for before it is.

use http::Method;
use serde_json::{Value, json};
use shared::ids::{Revision, Slot};

use super::{header, named};
use crate::store::drop_history;
use crate::tests::network::{Behaviour, Network};

/// Path and headers of what is refused, and a word that the problem says.
type Case<'a> = (&'a str, &'a [(&'static str, &'a str)], &'a str);

#[tokio::test]
async fn a_revision_that_a_replica_has_not_reached_is_waited_for_and_no_longer_than_asked() {
    let network = Network::start(1).await;
    let present = network.revision().await;
    let next = format!("/v1/watch?consistency=local&prefix=k/&from={}", present + 2);
    let late = network.with(0, Method::GET, &next, &[("synod-timeout", "200ms")]).await;
    assert_eq!(late.refusal(), (503, Value::Null, true), "{}", late.text());
    let (mut events, _) =
        tokio::join!(network.watch(0, &next, None), network.put(0, "/v1/kv/k/1", "v"));
    network.put(0, "/v1/kv/k/2", "v").await;
    assert_eq!(events.keys(1).await, [named("put", Some(present + 2), "k/2")]);
    // A linearizable look shows that nobody can have seen it.
    let future = network.get(0, &format!("/v1/watch?from={}", present + 4)).await;
    assert_eq!((future.status, &future.json()["revision"]), (400, &json!(present + 2)));
    // A quorum is needed to begin, and not to go on.
    network.fake.behave(Behaviour::Silent);
    let begun = network.with(0, Method::GET, "/v1/watch", &[("synod-timeout", "300ms")]).await;
    assert_eq!(begun.refusal(), (504, Value::Null, false), "{}", begun.text());
    let local = format!("/v1/watch?consistency=local&from={}", present + 1);
    let mut events = network.watch(0, &local, None).await;
    assert_eq!(header(&events.response, "synod-revision"), present.to_string());
    assert!(events.response.headers().contains_key("synod-lag"));
    assert_eq!(events.keys(2).await.len(), 2);
}

#[tokio::test]
async fn what_is_compacted_cannot_be_resumed_from() {
    let mut network = Network::start(1).await;
    for key in 0..4 {
        network.put(0, &format!("/v1/kv/k/{key}"), "v").await;
    }
    let oldest = network.revision().await - 2;
    let dir = network.nodes.remove(0).stop().await;
    drop_history(&dir.path().join("data"), Revision(oldest), Slot(1)).await;
    network.add("replica-1", dir).await;
    network.appoint("replica-1").await;
    for (path, id) in [
        ("/v1/watch?from=1".to_owned(), None),
        (format!("/v1/watch?from={oldest}"), None),
        ("/v1/watch".to_owned(), Some(oldest - 1)),
    ] {
        let id = id.map(|id| id.to_string());
        let headers: Vec<_> = id.iter().map(|id| ("last-event-id", id.as_str())).collect();
        let refused = network.with(0, Method::GET, &path, &headers).await;
        assert_eq!(refused.refusal(), (410, Value::Null, false), "{}", refused.text());
        assert_eq!(refused.json()["oldest_revision"], oldest, "{}", refused.text());
    }
    let from = format!("/v1/watch?prefix=k/&from={}", oldest + 1);
    let mut events = network.watch(0, &from, None).await;
    let expected = [(1, "k/2"), (2, "k/3")].map(|(at, key)| named("put", Some(oldest + at), key));
    assert_eq!(events.keys(2).await, expected);
}

#[tokio::test]
async fn every_malformed_watch_is_refused_by_name() {
    let network = Network::start(1).await;
    let long = "k".repeat(1_025);
    let (long_key, long_prefix) =
        (format!("/v1/watch?key={long}"), format!("/v1/watch?prefix={long}"));
    let many = format!("/v1/watch?{}", vec!["key=k"; 65].join("&"));
    let cases: [Case<'_>; 19] = [
        ("/v1/watch?revision=1", &[], "revision"),
        ("/v1/watch?limit=1", &[], "limit"),
        ("/v1/watch?key=", &[], "empty"),
        (&long_key, &[], "1024"),
        (&long_prefix, &[], "1024"),
        ("/v1/watch?key=%ff", &[], "UTF-8"),
        ("/v1/watch?prefix=%zz", &[], "hexadecimal"),
        (&many, &[], "64"),
        ("/v1/watch?from=-1", &[], "from"),
        ("/v1/watch?from=18446744073709551616", &[], "from"),
        ("/v1/watch?from=18446744073709551615", &[], "future"),
        ("/v1/watch?from=1&from=2", &[], "more than once"),
        ("/v1/watch?from=1&snapshot=true", &[], "exclude"),
        ("/v1/watch?snapshot=maybe", &[], "snapshot"),
        ("/v1/watch?consistency=eventual", &[], "linearizable, local"),
        ("/v1/watch", &[("last-event-id", "seven")], "Last-Event-ID"),
        ("/v1/watch", &[("last-event-id", "18446744073709551615")], "future"),
        ("/v1/watch", &[("synod-timeout", "soon")], "Synod-Timeout"),
        ("/v1/watch", &[("synod-min-revision", "x")], "Synod-Min-Revision"),
    ];
    for (path, headers, word) in cases {
        let seen = network.with(0, Method::GET, path, headers).await;
        assert_eq!(seen.refusal(), (400, Value::Null, false), "{path}: {}", seen.text());
        assert!(seen.text().contains(word), "{path}: {}", seen.text());
        assert!(seen.headers.contains_key("synod-revision"), "{path}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let seen = network.with(0, method.clone(), "/v1/watch", &[]).await;
        assert_eq!(seen.refusal(), (405, json!("not_applied"), false), "{method}");
        assert_eq!(seen.header("allow"), "GET,HEAD");
    }
    let head = network.with(0, Method::HEAD, "/v1/watch", &[]).await;
    assert_eq!((head.status, head.header("content-type")), (200, "text/event-stream"));
    assert_eq!(network.get(0, "/v1/watch/").await.status, 404);
}
