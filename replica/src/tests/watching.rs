//! Watching: what clients are told of changes.
#![expect(clippy::disallowed_methods, reason = "tests of bounds on time read the clock")]

mod refusals;

use std::time::{Duration, Instant};

use http::Method;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};

use super::network::{Network, eventually};
use super::send;

/// No test waits longer for what is to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// An event as it came: its name, its id, and what it says.
type Event = (String, Option<u64>, Value);

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
