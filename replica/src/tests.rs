//! Real replicas over HTTP, with their states on disk, around a server that chooses whatever they propose.

mod network;

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use network::{Behaviour, Network, eventually};

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

    async fn with(&self, node: usize, method: Method, path: &str, headers: &[(&'static str, &str)]) -> Seen {
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        send(self.request(node, method, path).headers(headers.collect())).await
    }
}

#[tokio::test]
async fn what_is_written_at_any_replica_is_read_at_every_other() {
    let network = Network::start(3).await;
    for writer in 0..3 {
        let path = format!("/v1/kv/from/{writer}");
        let request = network.request(writer, Method::PUT, &path).header("content-type", "image/x-odd").body(vec![0, 255, 10]);
        let written = send(request).await;
        let revision: u64 = written.header("synod-revision").parse().unwrap();
        let expected = json!({"key": format!("from/{writer}"), "revision": revision, "created_revision": revision, "version": 1});
        assert_eq!((written.status, written.json()), (201, expected));
        for reader in 0..3 {
            let read = network.get(reader, &path).await;
            assert_eq!((read.status, &read.body[..], read.header("content-type")), (200, &[0, 255, 10][..], "image/x-odd"));
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
        assert_eq!((again.refusal(), again.header("etag")), ((412, json!("not_applied"), false), created.header("etag")));
        let tag = created.header("etag").to_owned();
        assert_eq!(network.with(node, Method::PUT, &path, &[("if-match", &tag)]).await.status, 200);
        assert_eq!(network.with(node, Method::PUT, &path, &[("if-match", &tag)]).await.status, 412);
        assert_eq!(network.with(node, Method::DELETE, &path, &[("if-match", &tag)]).await.status, 412);
        assert_eq!(network.with(node, Method::DELETE, &path, &[("if-match", "*")]).await.json()["deleted"], 1);
        let gone = network.delete(node, &path).await;
        assert_eq!((gone.status, &gone.json()["deleted"]), (200, &json!(0)));
        assert_eq!(gone.header("synod-revision"), gone.json()["revision"].to_string());
    }
}

#[tokio::test]
async fn a_refused_guard_uses_up_no_revision() {
    let network = Network::start(1).await;
    let before = network.put(0, "/v1/kv/a", "1").await.json()["revision"].as_u64().unwrap();
    assert_eq!(network.with(0, Method::PUT, "/v1/kv/a", &[("if-match", "\"999\"")]).await.json()["revision"], before);
    assert_eq!(network.put(0, "/v1/kv/a", "2").await.json()["revision"], before + 1);
}

#[tokio::test]
async fn a_key_is_no_path_also_where_it_is_forwarded() {
    let network = Network::start(2).await;
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    for (path, key) in [("/v1/kv/a/%2e%2e/b", "a/../b"), ("/v1/kv/..", ".."), ("/v1/kv/a%2F%2fb%3Fc%25", "a//b?c%")] {
        let uri = format!("{}{path}", network.nodes[1].url);
        let request = http::Request::put(uri).body(http_body_util::Full::new(bytes::Bytes::from_static(b"x"))).unwrap();
        assert_eq!(client.request(request).await.unwrap().status(), 201, "{path}");
        let listed = network.get(0, "/v1/kv?keys_only").await.json();
        let keys: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|item| &item["key"]).collect();
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
        page["items"].as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap().replace("list/", "")).collect()
    };
    assert_eq!(keys(&first.json()), ["a", "b", "c"]);
    network.put(0, "/v1/kv/list/z", "late").await;
    network.delete(0, "/v1/kv/list/d/e").await;
    let link = first.header("link");
    let next = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    let second = network.get(0, next).await;
    assert_eq!((keys(&second.json()), &second.json()["next"]), (vec!["d/e".to_owned()], &Value::Null));
    assert_eq!((&second.json()["revision"], second.headers.get("link")), (&first.json()["revision"], None));
    let reverse = network.get(0, "/v1/kv?prefix=list/&reverse=true&keys_only=true&start=list/b").await.json();
    assert_eq!((keys(&reverse), reverse["items"][0].get("value")), (vec!["z".to_owned(), "c".into(), "b".into()], None));
    let stream = network.with(0, Method::GET, "/v1/kv?prefix=list/", &[("accept", "application/x-ndjson")]).await;
    let lines: Vec<Value> = stream.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[3]["key"], &lines[3]["value"]), (4, &json!("list/z"), &json!("late")));
    let deleted = network.delete(0, "/v1/kv?prefix=list/").await;
    assert_eq!((deleted.status, &deleted.json()["deleted"]), (200, &json!(4)));
    let old = format!("/v1/kv?prefix=list/&revision={}", first.json()["revision"]);
    assert_eq!(keys(&network.get(0, &old).await.json()), ["a", "b", "c", "d/e"]);
}

#[tokio::test]
async fn a_stream_longer_than_its_pieces_is_whole() {
    let network = Network::start(1).await;
    for key in 0..40 {
        let request = network.request(0, Method::PUT, &format!("/v1/kv/big/{key:03}")).body(vec![b'x'; 50_000]);
        assert_eq!(send(request).await.status, 201);
    }
    let stream = network.with(0, Method::GET, "/v1/kv?prefix=big/", &[("accept", "application/x-ndjson")]).await;
    let keys: Vec<Value> =
        stream.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["key"].clone()).collect();
    assert_eq!(keys, (0..40).map(|key| json!(format!("big/{key:03}"))).collect::<Vec<_>>());
    let log = network.with(0, Method::GET, "/v1/log", &[("accept", "application/x-ndjson")]).await;
    let slots: Vec<Value> = log.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
    for pair in slots.windows(2) {
        assert_eq!(pair[1]["previous_hash"], pair[0]["hash"]);
    }
    assert!(slots.len() > 40);
}

#[tokio::test]
async fn every_malformed_request_is_refused_by_name() {
    let network = Network::start(2).await;
    let long_key = format!("/v1/kv/{}", "k".repeat(1_025));
    let cases: [(Method, &str, &[(&'static str, &str)], u16, &str); 30] = [
        (Method::GET, "/v1/kv/", &[], 400, "key is empty"),
        (Method::PUT, "/v1/kv/", &[], 400, "key is empty"),
        (Method::GET, &long_key, &[], 400, "1024"),
        (Method::GET, "/v1/kv/%ff", &[], 400, "UTF-8"),
        (Method::PUT, "/v1/kv/%zz", &[], 400, "hexadecimal"),
        (Method::PUT, "/v1/kv/x?lease=1", &[], 400, "lease"),
        (Method::PUT, "/v1/kv/x", &[("idempotency-key", "k")], 400, "Idempotency-Key"),
        (Method::DELETE, "/v1/kv/x", &[("synod-fence", "l=1")], 400, "Synod-Fence"),
        (Method::PUT, "/v1/kv/x", &[("content-range", "bytes 0-1/2")], 400, "Content-Range"),
        (Method::PUT, "/v1/kv/x", &[("content-encoding", "gzip")], 415, "Content-Encoding"),
        (Method::PUT, "/v1/kv/x", &[("if-match", "17")], 400, "If-Match"),
        (Method::PUT, "/v1/kv/x", &[("if-match", "*"), ("if-none-match", "*")], 400, "exclude"),
        (Method::PUT, "/v1/kv/x", &[("synod-timeout", "soon")], 400, "Synod-Timeout"),
        (Method::PUT, "/v1/kv/x", &[("synod-min-revision", "x")], 400, "Synod-Min-Revision"),
        (Method::GET, "/v1/kv/x", &[("synod-timeout", "0ms")], 400, "Synod-Timeout"),
        (Method::GET, "/v1/kv/x?unknown=1", &[], 400, "unknown"),
        (Method::GET, "/v1/kv/x?consistency=eventual", &[], 400, "linearizable, local"),
        (Method::GET, "/v1/kv/x?consistency=local&consistency=local", &[], 400, "more than once"),
        (Method::GET, "/v1/kv/x?revision=1e3", &[], 400, "revision"),
        (Method::GET, "/v1/kv/x?revision=999999", &[], 400, "future"),
        (Method::GET, "/v1/kv?revision=999999", &[], 400, "future"),
        (Method::GET, "/v1/kv?limit=1001", &[], 400, "1000"),
        (Method::GET, "/v1/kv?limit=0", &[], 400, "limit"),
        (Method::GET, "/v1/kv?cursor=x", &[], 400, "cursor"),
        (Method::DELETE, "/v1/kv?prefix=", &[], 400, "all=true"),
        (Method::DELETE, "/v1/kv?prefix=x&all=true", &[], 400, "exclude"),
        (Method::DELETE, "/v1/kv?prefix=x", &[("if-match", "*")], 400, "prefix"),
        (Method::GET, "/v1/log/first", &[], 400, "slot"),
        (Method::GET, "/v1/log/999999", &[], 404, "slot"),
        (Method::GET, "/v1/replication/log", &[], 400, "from"),
    ];
    for node in 0..2 {
        for (method, path, headers, status, word) in &cases {
            let seen = network.with(node, method.clone(), path, headers).await;
            let mutates = (method == Method::PUT || method == Method::DELETE) && !path.ends_with("/v1/kv/");
            let outcome = if mutates { json!("not_applied") } else { Value::Null };
            assert_eq!(seen.refusal(), (*status, outcome, false), "{method} {path}: {}", seen.text());
            assert!(seen.text().contains(word), "{method} {path}: {}", seen.text());
            assert!(path.contains("replication") || seen.headers.contains_key("synod-revision"), "{method} {path}");
        }
        let large = send(network.request(node, Method::PUT, "/v1/kv/x").body(vec![7; (1 << 20) + 1])).await;
        assert_eq!(large.refusal(), (413, json!("not_applied"), false));
        assert!(large.text().contains("1048576"), "{}", large.text());
    }
}

#[tokio::test]
async fn without_a_quorum_only_local_reads_are_served_and_it_heals() {
    let network = Network::start(1).await;
    network.put(0, "/v1/kv/kept", "before").await;
    network.fake.behave(Behaviour::Silent);
    let soon = [("synod-timeout", "1500ms")];
    assert_eq!(network.with(0, Method::GET, "/v1/kv/kept", &soon).await.refusal(), (503, Value::Null, true));
    let refused = network.with(0, Method::PUT, "/v1/kv/kept", &soon).await;
    assert_eq!(refused.refusal(), (503, json!("not_applied"), true), "{}", refused.text());
    let local = network.get(0, "/v1/kv/kept?consistency=local").await;
    assert_eq!((local.status, local.text()), (200, "before"));
    assert!(local.header("synod-lag").parse::<u64>().unwrap() >= 1_000);
    network.fake.behave(Behaviour::Works);
    assert_eq!(network.put(0, "/v1/kv/kept", "after").await.status, 200);
    assert_eq!(network.get(0, "/v1/kv/kept").await.text(), "after");
}

#[tokio::test]
async fn without_a_leader_reads_go_on_and_writes_are_not_applied() {
    let network = Network::start(2).await;
    network.put(0, "/v1/kv/kept", "before").await;
    network.fake.behave(Behaviour::NoLeader);
    eventually("nobody leads", async || network.status(&network.nodes[0]).await["leader"].is_null()).await;
    for node in 0..2 {
        let refused = network.with(node, Method::PUT, "/v1/kv/kept", &[("synod-timeout", "500ms")]).await;
        assert_eq!(refused.refusal(), (503, json!("not_applied"), true), "{}", refused.text());
        assert_eq!(network.get(node, "/v1/kv/kept").await.text(), "before");
    }
}

#[tokio::test]
async fn a_proposal_that_is_never_answered_leaves_the_outcome_unknown() {
    let network = Network::start(2).await;
    network.fake.behave(Behaviour::SwallowsProposals);
    let soon = [("synod-timeout", "400ms")];
    let proposed = network.with(1, Method::PUT, "/v1/kv/maybe", &soon).await;
    assert_eq!(proposed.refusal(), (504, json!("unknown"), false), "{}", proposed.text());
    // Behind a batch that still flies, nothing is proposed.
    let queued = network.with(1, Method::PUT, "/v1/kv/never", &soon).await;
    assert_eq!(queued.refusal(), (504, json!("not_applied"), false), "{}", queued.text());
}

#[tokio::test]
async fn a_backup_whose_primary_is_gone_says_that_nothing_happened() {
    let mut network = Network::start(2).await;
    let _dir = network.nodes.remove(0).stop().await;
    let refused = network.put(0, "/v1/kv/x", "v").await;
    assert_eq!(refused.refusal(), (503, json!("not_applied"), true), "{}", refused.text());
    network.appoint("replica-2").await;
    assert_eq!(network.put(0, "/v1/kv/x", "v").await.status, 201);
}

#[tokio::test]
async fn a_forwarded_mutation_is_not_forwarded_again() {
    let network = Network::start(2).await;
    let refused = network.with(1, Method::PUT, "/v1/kv/x", &[("synod-forwarded", "1")]).await;
    assert_eq!(refused.refusal(), (503, json!("not_applied"), true), "{}", refused.text());
}

#[tokio::test]
async fn a_replica_that_was_away_finds_its_state_again_and_catches_up() {
    let mut network = Network::start(2).await;
    network.put(0, "/v1/kv/a", "1").await;
    assert_eq!(network.get(1, "/v1/kv/a").await.text(), "1");
    let dir = network.nodes.remove(1).stop().await;
    let written = network.put(0, "/v1/kv/a", "2").await;
    network.add("replica-2", dir).await;
    let newest = [("synod-min-revision", written.header("synod-revision"))];
    let read = network.with(1, Method::GET, "/v1/kv/a?consistency=local", &newest).await;
    assert_eq!((read.status, read.text()), (200, "2"));
    let [first, second] = [network.status(&network.nodes[0]).await, network.status(&network.nodes[1]).await];
    assert_eq!((&first["hash"], &first["revision"]), (&second["hash"], &second["revision"]));
}

#[tokio::test]
async fn a_restarted_primary_takes_no_mutations_until_a_view_names_its_new_life() {
    let mut network = Network::start(1).await;
    let dir = network.nodes.remove(0).stop().await;
    network.add("replica-1", dir).await;
    let refused = network.put(0, "/v1/kv/x", "v").await;
    assert_eq!(refused.refusal(), (503, json!("not_applied"), true), "{}", refused.text());
    network.appoint("replica-1").await;
    assert_eq!(network.put(0, "/v1/kv/x", "v").await.status, 201);
}

#[tokio::test]
async fn a_state_of_another_cluster_ends_the_process_with_a_clear_error() {
    let mut network = Network::start(1).await;
    let dir = network.nodes.remove(0).stop().await;
    let database = dir.path().join("data").join(crate::store::FILE);
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    sqlx::query("UPDATE meta SET cluster = 1").execute(&mut connection).await.unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    network.add("replica-1", dir).await;
    let ended = tokio::time::timeout(Duration::from_secs(10), network.nodes.remove(0).end()).await.unwrap();
    let said = format!("{:#}", ended.unwrap_err());
    assert!(said.contains("is of cluster 0000000000000001") && said.contains("--acceptors"), "{said}");
}

#[tokio::test]
async fn a_replica_is_ready_once_it_knows_its_cluster_a_view_and_itself_current() {
    let mut network = Network::start(1).await;
    let ready = network.get(0, "/readyz?verbose").await;
    assert_eq!((ready.status, ready.text()), (200, "cluster ok\nview ok\ncurrent ok\nok\n"));
    network.fake.behave(Behaviour::Silent);
    network.add("replica-9", tempfile::tempdir().unwrap()).await;
    let waiting = network.get(1, "/readyz").await;
    assert_eq!(waiting.status, 503);
    assert!(waiting.text().contains("quorum of the 1 acceptors"), "{}", waiting.text());
    assert_eq!(network.get(1, "/livez").await.status, 200);
}
