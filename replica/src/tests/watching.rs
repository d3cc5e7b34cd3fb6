//! Watching: what clients are told of changes.
#![expect(clippy::disallowed_methods, reason = "tests of bounds on time read the clock")]

use std::time::{Duration, Instant};

use http::Method;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use shared::ids::{Revision, Slot};

use super::network::{Behaviour, Network, eventually};
use super::send;
use crate::store::drop_history;

/// No test waits longer for what is to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// An event as it came: its name, its id, and what it says.
type Event = (String, Option<u64>, Value);

/// Path and headers of what is refused, and a word that the problem says.
type Case<'a> = (&'a str, &'a [(&'static str, &'a str)], &'a str);

/// A client that watches.
struct Events {
    response: Response,
    text: String,
}

impl Events {
    async fn open(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), header(&response, "cache-control")),
            (200, "no-store")
        );
        assert_eq!(header(&response, "x-accel-buffering"), "no");
        Self { response, text: String::new() }
    }

    /// What comes up to the next empty line; none at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.expect("nothing comes").unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event; none at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| {
                block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            };
            if let Some(event) = field("event") {
                let id = field("id").map(|id| id.parse().unwrap());
                let data = serde_json::from_str(field("data").unwrap()).unwrap();
                return Some((event.to_owned(), id, data));
            }
        }
    }

    /// The next events, with name, id and key of each.
    async fn keys(&mut self, count: usize) -> Vec<(String, Option<u64>, String)> {
        let mut keys = Vec::new();
        for _ in 0..count {
            let (event, id, data) = self.next().await.expect("it goes on");
            keys.push((event, id, data["key"].as_str().unwrap_or_default().to_owned()));
        }
        keys
    }
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers()[name].to_str().unwrap()
}

fn named(event: &str, id: Option<u64>, key: &str) -> (String, Option<u64>, String) {
    (event.to_owned(), id, key.to_owned())
}

impl Network {
    async fn watch(&self, node: usize, path: &str, id: Option<u64>) -> Events {
        let request = self.request(node, Method::GET, path);
        let request = match id {
            Some(id) => request.header("last-event-id", id),
            None => request,
        };
        Events::open(request).await
    }

    async fn revision(&self) -> u64 {
        self.get(0, "/v1/kv?limit=1").await.json()["revision"].as_u64().unwrap()
    }
}

#[tokio::test]
async fn every_replica_tells_of_every_change_after_the_watch_began() {
    let network = Network::start(2).await;
    network.put(0, "/v1/kv/a/old", "before").await;
    let began = network.revision().await;
    let mut watches = Vec::new();
    for node in 0..2 {
        let mut events = network.watch(node, "/v1/watch?prefix=a/", None).await;
        assert_eq!(header(&events.response, "content-type"), "text/event-stream");
        assert_eq!(header(&events.response, "synod-revision"), began.to_string());
        assert_eq!(events.block().await, Some(format!("retry: 1000\nid: {began}")));
        watches.push(events);
    }
    network.put(1, "/v1/kv/a/1", "one").await;
    network.put(1, "/v1/kv/b", "not watched").await;
    send(
        network.request(0, Method::PUT, "/v1/kv/a/1").header("content-type", "x/y").body(vec![255]),
    )
    .await;
    network.delete(0, "/v1/kv/a/1").await;
    network.delete(0, "/v1/kv/a/1").await;
    for mut events in watches {
        let expected = json!({
            "key": "a/1", "value": "one", "encoding": "utf8", "content_type": null, "version": 1,
            "revision": began + 1, "created_revision": began + 1, "lease": null,
        });
        assert_eq!(events.next().await, Some(("put".to_owned(), Some(began + 1), expected)));
        let expected = json!({
            "key": "a/1", "value": "/w==", "encoding": "base64", "content_type": "x/y", "version": 2,
            "revision": began + 3, "created_revision": began + 1, "lease": null,
            "prev_revision": began + 1,
        });
        assert_eq!(events.next().await, Some(("put".to_owned(), Some(began + 3), expected)));
        let expected = json!({"key": "a/1", "revision": began + 4, "prev_revision": began + 3});
        assert_eq!(events.next().await, Some(("delete".to_owned(), Some(began + 4), expected)));
    }
}

#[tokio::test]
async fn a_snapshot_is_the_state_at_one_revision_and_then_every_change_follows() {
    let network = Network::start(1).await;
    for key in ["c", "a/2", "a/1", "x"] {
        network.put(0, &format!("/v1/kv/{key}"), "v").await;
    }
    let path = "/v1/watch?prefix=a&key=c&prefix=a/&snapshot=true";
    let mut events = network.watch(0, path, None).await;
    let revision = network.revision().await;
    assert_eq!(events.block().await.unwrap(), "retry: 1000", "not before it is whole");
    network.delete(0, "/v1/kv/c").await;
    let expected = ["a/1", "a/2", "c"].map(|key| named("put", None, key));
    assert_eq!(events.keys(3).await, expected);
    let synced = events.next().await.unwrap();
    assert_eq!(synced, ("synced".to_owned(), Some(revision), json!({"revision": revision})));
    assert_eq!(events.keys(1).await, [named("delete", Some(revision + 1), "c")]);
    // As an EventSource that comes again: there is no second snapshot.
    let mut again = network.watch(0, path, Some(revision)).await;
    assert_eq!(again.keys(1).await, [named("delete", Some(revision + 1), "c")]);
}

#[tokio::test]
async fn whoever_comes_again_misses_nothing_at_any_replica_and_gets_nothing_twice() {
    let network = Network::start(2).await;
    let began = network.revision().await;
    for key in 0..6 {
        network.put(0, &format!("/v1/kv/k/{key}"), "v").await;
    }
    for seen in 0..=6 {
        let node = usize::try_from(seen % 2).unwrap();
        let expected: Vec<_> =
            (seen..6).map(|key| named("put", Some(began + key + 1), &format!("k/{key}"))).collect();
        let mut by_header =
            network.watch(node, "/v1/watch?prefix=k/&from=1", Some(began + seen)).await;
        assert_eq!(by_header.keys(expected.len()).await, expected, "after {seen}");
        let from = format!("/v1/watch?prefix=k/&from={}", began + seen + 1);
        let mut by_url = network.watch(node, &from, None).await;
        assert_eq!(by_url.keys(expected.len()).await, expected, "after {seen}");
    }
}

#[tokio::test]
async fn a_deletion_of_a_prefix_is_a_delete_of_each_key_and_ends_with_the_id() {
    let network = Network::start(1).await;
    let keys = 1_500;
    for key in 0..keys {
        network.put(0, &format!("/v1/kv/many/{key:04}"), "v").await;
    }
    let began = network.revision().await;
    let mut live = network.watch(0, "/v1/watch", None).await;
    network.delete(0, "/v1/kv?prefix=many/").await;
    network.put(0, "/v1/kv/many/0000", "again").await;
    let from = format!("/v1/watch?from={}", began + 1);
    let mut later = network.watch(0, &from, None).await;
    let mut one = network.watch(0, &format!("{from}&key=many/0007"), None).await;
    let mut expected: Vec<_> =
        (0..keys).map(|key| named("delete", None, &format!("many/{key:04}"))).collect();
    expected[keys - 1].1 = Some(began + 1);
    expected.push(named("put", Some(began + 2), "many/0000"));
    assert_eq!(live.keys(keys + 1).await, expected);
    assert_eq!(later.keys(keys + 1).await, expected);
    assert_eq!(one.keys(1).await, [named("delete", Some(began + 1), "many/0007")]);
}

#[tokio::test]
async fn lines_say_the_same_as_events() {
    let network = Network::start(1).await;
    let began = network.revision().await;
    let request = network.request(0, Method::GET, "/v1/watch?key=a");
    let mut events = Events::open(request.header("accept", "application/x-ndjson")).await;
    assert_eq!(header(&events.response, "content-type"), "application/x-ndjson");
    network.put(0, "/v1/kv/a", "1").await;
    network.delete(0, "/v1/kv/a").await;
    while events.text.lines().count() < 3 {
        let chunk = tokio::time::timeout(PATIENCE, events.response.chunk()).await.unwrap();
        events.text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
    }
    let lines: Vec<Value> =
        events.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let deleted = json!({"key": "a", "revision": began + 2, "prev_revision": began + 1});
    assert_eq!(lines[0], json!({"event": "heartbeat", "id": began}));
    assert_eq!((&lines[1]["event"], &lines[1]["data"]["value"]), (&json!("put"), &json!("1")));
    assert_eq!(lines[2], json!({"event": "delete", "id": began + 2, "data": deleted}));
}

#[tokio::test]
async fn an_idle_watch_says_now_and_then_how_far_it_is() {
    let network = Network::start(1).await;
    let mut events = network.watch(0, "/v1/watch?key=never", None).await;
    let began = network.revision().await;
    let asked = Instant::now();
    assert_eq!(events.block().await, Some(format!("retry: 1000\nid: {began}")));
    network.put(0, "/v1/kv/other", "v").await;
    assert_eq!(events.block().await, Some(format!(": heartbeat\nid: {}", began + 1)));
    let waited = asked.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(15)).contains(&waited), "{waited:?}");
    assert_eq!(events.block().await.as_deref(), Some(": heartbeat"));
}

#[tokio::test]
async fn watches_end_at_once_with_their_replica_and_go_on_at_another() {
    let mut network = Network::start(2).await;
    let began = network.revision().await;
    let mut events = network.watch(1, "/v1/watch?prefix=k/", None).await;
    network.put(0, "/v1/kv/k/1", "v").await;
    assert_eq!(events.keys(1).await, [named("put", Some(began + 1), "k/1")]);
    let ended = Instant::now();
    let node = network.nodes.pop().unwrap();
    node.stop().await;
    assert!(ended.elapsed() < Duration::from_secs(4), "{:?}", ended.elapsed());
    assert_eq!(events.next().await, None, "a clean end");
    network.put(0, "/v1/kv/k/2", "v").await;
    let mut events = network.watch(0, "/v1/watch?prefix=k/", Some(began + 1)).await;
    assert_eq!(events.keys(1).await, [named("put", Some(began + 2), "k/2")]);
    drop(events);
    eventually("the place is free again", async || {
        network.status(&network.nodes[0]).await["watches"] == 0
    })
    .await;
}

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
