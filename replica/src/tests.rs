//! Real replicas over HTTP, with their states on disk, around a server that chooses
//! whatever they propose.

mod access;
mod diff;
mod faults;
mod forwarding;
mod lists;
mod network;
mod once;
mod reading;
mod refusals;
mod snapshot;
mod watching;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use network::Network;

/// An answer, read to its end.
#[derive(Debug)]
struct Seen {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Seen {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }

    /// Status, outcome, and whether a wait is named: what a caller acts by.
    fn refusal(&self) -> (u16, Value, bool) {
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.json()["status"], self.status);
        (self.status, self.json()["outcome"].clone(), self.headers.contains_key("retry-after"))
    }
}

async fn send(request: RequestBuilder) -> Seen {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    assert!(headers.contains_key("trace-id"));
    Seen { status, headers, body: response.bytes().await.unwrap().to_vec() }
}

impl Network {
    fn request(&self, node: usize, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.nodes[node].url))
    }

    async fn put(&self, node: usize, path: &str, body: &'static str) -> Seen {
        send(self.request(node, Method::PUT, path).body(body)).await
    }

    async fn get(&self, node: usize, path: &str) -> Seen {
        send(self.request(node, Method::GET, path)).await
    }

    async fn delete(&self, node: usize, path: &str) -> Seen {
        send(self.request(node, Method::DELETE, path)).await
    }

    async fn with(
        &self,
        node: usize,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Seen {
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        });
        send(self.request(node, method, path).headers(headers.collect())).await
    }
}

#[tokio::test]
async fn what_is_written_at_any_replica_is_read_at_every_other() {
    let network = Network::start(3).await;
    for writer in 0..3 {
        let path = format!("/v1/kv/from/{writer}");
        let request = network
            .request(writer, Method::PUT, &path)
            .header("content-type", "image/x-odd")
            .body(vec![0, 255, 10]);
        let written = send(request).await;
        let revision: u64 = written.header("synod-revision").parse().unwrap();
        let expected = json!({"key": format!("from/{writer}"), "revision": revision, "created_revision": revision, "version": 1});
        assert_eq!((written.status, written.json()), (201, expected));
        for reader in 0..3 {
            let read = network.get(reader, &path).await;
            assert_eq!(
                (read.status, &read.body[..], read.header("content-type")),
                (200, &[0, 255, 10][..], "image/x-odd")
            );
            assert_eq!(read.header("etag"), written.header("etag"));
            assert_eq!(
                (read.header("synod-created-revision"), read.header("synod-version")),
                (written.header("synod-revision"), "1")
            );
        }
    }
}

#[tokio::test]
async fn a_value_without_a_type_has_none_and_an_empty_value_is_a_value() {
    let network = Network::start(1).await;
    let path = "/v1/kv/plain";
    assert_eq!(send(network.request(0, Method::PUT, path)).await.status, 201);
    let read = network.get(0, path).await;
    assert_eq!((read.status, read.text(), read.headers.get("content-type")), (200, "", None));
}

#[tokio::test]
async fn compare_and_swap_goes_by_the_entity_tag() {
    let network = Network::start(2).await;
    for node in 0..2 {
        let path = format!("/v1/kv/swap/{node}");
        let refused = network.with(node, Method::PUT, &path, &[("if-match", "*")]).await;
        assert_eq!(refused.refusal(), (412, json!("not_applied"), false));
        let created = network.with(node, Method::PUT, &path, &[("if-none-match", "*")]).await;
        assert_eq!(created.status, 201);
        let again = network.with(node, Method::PUT, &path, &[("if-none-match", "*")]).await;
        assert_eq!(
            (again.refusal(), again.header("etag")),
            ((412, json!("not_applied"), false), created.header("etag"))
        );
        let tag = created.header("etag").to_owned();
        assert_eq!(network.with(node, Method::PUT, &path, &[("if-match", &tag)]).await.status, 200);
        assert_eq!(network.with(node, Method::PUT, &path, &[("if-match", &tag)]).await.status, 412);
        assert_eq!(
            network.with(node, Method::DELETE, &path, &[("if-match", &tag)]).await.status,
            412
        );
        assert_eq!(
            network.with(node, Method::DELETE, &path, &[("if-match", "*")]).await.json()["deleted"],
            1
        );
        let gone = network.delete(node, &path).await;
        assert_eq!((gone.status, &gone.json()["deleted"]), (200, &json!(0)));
        assert_eq!(gone.header("synod-revision"), gone.json()["revision"].to_string());
    }
}

#[tokio::test]
async fn a_key_that_is_written_again_keeps_its_creation_and_counts_its_versions() {
    let network = Network::start(2).await;
    let created = network.put(1, "/v1/kv/again", "1").await.json()["revision"].as_u64().unwrap();
    for version in 2..4 {
        let written = network.put(1, "/v1/kv/again", "2").await;
        let revision = created + version - 1;
        let expected = json!({"key": "again", "revision": revision, "created_revision": created, "version": version});
        assert_eq!(
            (written.status, written.json(), written.header("etag")),
            (200, expected, &*format!("\"{revision}\""))
        );
        let read = network.get(0, "/v1/kv/again").await;
        assert_eq!(read.header("synod-created-revision"), created.to_string());
        assert_eq!(read.header("synod-version"), version.to_string());
    }
    let first = network.get(0, &format!("/v1/kv/again?revision={created}")).await;
    assert_eq!((first.text(), first.header("synod-revision")), ("1", &*created.to_string()));
}

#[tokio::test]
async fn who_answers_in_the_place_of_another_is_not_shown_as_the_other() {
    let network = Network::start(2).await;
    network.fake.announce("replica-9", &network.nodes[1].url);
    let shown = async || {
        let cluster = network.get(0, "/v1/cluster").await.json();
        cluster["replicas"]
            .as_array()
            .unwrap()
            .iter()
            .find(|replica| replica["id"] == "replica-9")
            .cloned()
    };
    network::eventually("it is heard of", async || shown().await.is_some()).await;
    let shown = shown().await.unwrap();
    assert_eq!(
        (&shown["healthy"], &shown["role"], &shown["url"]),
        (&json!(false), &Value::Null, &json!(network.nodes[1].url))
    );
}

#[tokio::test]
async fn a_refused_guard_uses_up_no_revision() {
    let network = Network::start(1).await;
    let before = network.put(0, "/v1/kv/a", "1").await.json()["revision"].as_u64().unwrap();
    assert_eq!(
        network.with(0, Method::PUT, "/v1/kv/a", &[("if-match", "\"999\"")]).await.json()["revision"],
        before
    );
    assert_eq!(network.put(0, "/v1/kv/a", "2").await.json()["revision"], before + 1);
}

#[tokio::test]
async fn a_key_is_no_path_also_where_it_is_forwarded() {
    let network = Network::start(2).await;
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .build_http();
    for (path, key) in [
        ("/v1/kv/a/%2e%2e/b", "a/../b"),
        ("/v1/kv/..", ".."),
        ("/v1/kv/a%2F%2fb%3Fc%25", "a//b?c%"),
    ] {
        let uri = format!("{}{path}", network.nodes[1].url);
        let request = http::Request::put(uri)
            .body(http_body_util::Full::new(bytes::Bytes::from_static(b"x")))
            .unwrap();
        assert_eq!(client.request(request).await.unwrap().status(), 201, "{path}");
        let listed = network.get(0, "/v1/kv?keys_only").await.json();
        let keys: Vec<&Value> =
            listed["items"].as_array().unwrap().iter().map(|item| &item["key"]).collect();
        assert!(keys.contains(&&json!(key)), "{path}: {listed}");
    }
}

#[tokio::test]
async fn pages_of_a_list_show_one_state_and_a_stream_shows_all_of_it() {
    let network = Network::start(1).await;
    for key in ["b", "a", "c", "d/e"] {
        network.put(0, &format!("/v1/kv/list/{key}"), "v").await;
    }
    let first = network.get(0, "/v1/kv?prefix=list/&limit=3").await;
    let keys = |page: &Value| -> Vec<String> {
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["key"].as_str().unwrap().replace("list/", ""))
            .collect()
    };
    assert_eq!(keys(&first.json()), ["a", "b", "c"]);
    network.put(0, "/v1/kv/list/z", "late").await;
    network.delete(0, "/v1/kv/list/d/e").await;
    let link = first.header("link");
    let next = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    let second = network.get(0, next).await;
    assert_eq!(
        (keys(&second.json()), &second.json()["next"]),
        (vec!["d/e".to_owned()], &Value::Null)
    );
    assert_eq!(
        (&second.json()["revision"], second.headers.get("link")),
        (&first.json()["revision"], None)
    );
    let reverse =
        network.get(0, "/v1/kv?prefix=list/&reverse=true&keys_only=true&start=list/b").await.json();
    assert_eq!(
        (keys(&reverse), reverse["items"][0].get("value")),
        (vec!["z".to_owned(), "c".into(), "b".into()], None)
    );
    let stream = network
        .with(0, Method::GET, "/v1/kv?prefix=list/", &[("accept", "application/x-ndjson")])
        .await;
    let lines: Vec<Value> =
        stream.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (lines.len(), &lines[3]["key"], &lines[3]["value"]),
        (4, &json!("list/z"), &json!("late"))
    );
    let deleted = network.delete(0, "/v1/kv?prefix=list/").await;
    assert_eq!((deleted.status, &deleted.json()["deleted"]), (200, &json!(4)));
    let old = format!("/v1/kv?prefix=list/&revision={}", first.json()["revision"]);
    assert_eq!(keys(&network.get(0, &old).await.json()), ["a", "b", "c", "d/e"]);
}

#[tokio::test]
async fn a_stream_longer_than_its_pieces_is_whole() {
    let network = Network::start(1).await;
    for key in 0..40 {
        let request = network
            .request(0, Method::PUT, &format!("/v1/kv/big/{key:03}"))
            .body(vec![b'x'; 50_000]);
        assert_eq!(send(request).await.status, 201);
    }
    let stream = network
        .with(0, Method::GET, "/v1/kv?prefix=big/", &[("accept", "application/x-ndjson")])
        .await;
    let keys: Vec<Value> = stream
        .text()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["key"].clone())
        .collect();
    assert_eq!(keys, (0..40).map(|key| json!(format!("big/{key:03}"))).collect::<Vec<_>>());
    let log = network.with(0, Method::GET, "/v1/log", &[("accept", "application/x-ndjson")]).await;
    let slots: Vec<Value> =
        log.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
    for pair in slots.windows(2) {
        assert_eq!(pair[1]["previous_hash"], pair[0]["hash"]);
    }
    assert!(slots.len() > 40);
    for (path, limit) in [("/v1/kv?prefix=big/&limit=30", 30), ("/v1/log?limit=25", 25)] {
        let stream =
            network.with(0, Method::GET, path, &[("accept", "application/x-ndjson")]).await;
        assert_eq!(stream.text().lines().count(), limit, "{path}");
    }
    let last = network.get(0, &format!("/v1/log?from={}", slots.len() - 1)).await;
    assert_eq!(
        (last.json().as_array().unwrap().len(), last.headers.get("link")),
        (1, None),
        "nothing comes after it"
    );
}
