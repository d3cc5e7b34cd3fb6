//! Access control at real replicas: who is answered what, at each of them.

mod ending;
mod first;
mod matrix;
mod tenure;
mod unseen;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::network::{Behaviour, LATE, Network};
use super::{Seen, send};
use crate::machine::format;

/// The most that a stream is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Replicas of a cluster that requires tokens, and the first one's secret.
struct Guarded {
    network: Network,
    root: String,
}

impl Guarded {
    async fn start() -> Self {
        let network = Network::start_with(3, format::ACCESS).await;
        for key in ["app/a", "app/b", "app/hidden/c", "other/d"] {
            assert_eq!(network.put(0, &format!("/v1/kv/{key}"), "1").await.status, 201);
        }
        // At a backup: the primary executes it.
        let made = send(network.request(1, Method::POST, "/v1/tokens/bootstrap")).await;
        assert_eq!((made.status, &made.json()["policies"]), (201, &json!(["root"])), "{made:?}");
        assert_eq!(made.header("cache-control"), "no-store");
        let root = made.json()["secret"].as_str().unwrap().to_owned();
        assert!(root.starts_with("synod_") && root.len() == 49, "{root}");
        Self { network, root }
    }

    fn ask(&self, node: usize, method: Method, path: &str, secret: &str) -> RequestBuilder {
        self.network.request(node, method, path).bearer_auth(secret)
    }

    async fn get(&self, node: usize, path: &str, secret: &str) -> Seen {
        send(self.ask(node, Method::GET, path, secret)).await
    }

    async fn put_policy(&self, node: usize, name: &str, policy: Value) {
        let path = format!("/v1/policies/{name}");
        let put = send(self.ask(node, Method::PUT, &path, &self.root).json(&policy)).await;
        assert!([200, 201].contains(&put.status), "{put:?}");
    }

    /// A token with these policies: its accessor and its secret.
    async fn token(&self, node: usize, policies: &[&str]) -> (String, String) {
        let body = json!({"policies": policies});
        let made = send(self.ask(node, Method::POST, "/v1/tokens", &self.root).json(&body)).await;
        assert_eq!(made.status, 201, "{made:?}");
        let text = |name: &str| made.json()[name].as_str().unwrap().to_owned();
        (text("accessor"), text("secret"))
    }

    /// A token that may do this.
    async fn with_rules(&self, name: &str, rules: &[(&str, &[&str])]) -> (String, String) {
        let rule = |(prefix, rights): &(&str, &[&str])| json!({"prefix": prefix, "rights": rights});
        let rules: Vec<Value> = rules.iter().map(rule).collect();
        self.put_policy(0, name, json!({"rules": rules})).await;
        self.token(0, &[name]).await
    }

    async fn delete(&self, path: &str) -> Seen {
        send(self.ask(0, Method::DELETE, path, &self.root)).await
    }
}

fn keys(seen: &Seen, list: &str) -> Vec<String> {
    let items = seen.json()[list].as_array().unwrap_or_else(|| panic!("{seen:?}")).clone();
    items.iter().map(|item| item["key"].as_str().unwrap().to_owned()).collect()
}

const APP: &[(&str, &[&str])] =
    &[("app/", &["read", "list", "watch", "history", "write"]), ("app/hidden/", &["write"])];

#[tokio::test]
async fn a_token_and_its_rights_count_at_every_replica_at_once_and_so_does_their_end() {
    let guarded = Guarded::start().await;
    for turn in 0..5 {
        let name = format!("p{turn}");
        let (accessor, secret) = guarded.with_rules(&name, &[("app/", &["read"])]).await;
        for node in 0..3 {
            assert_eq!(guarded.get(node, "/v1/kv/app/a", &secret).await.status, 200);
            let other = guarded.get(node, "/v1/kv/other/d", &secret).await;
            assert_eq!(other.refusal().0, 403);
            assert!(other.text().contains("lacks the right read at \\\"other/d\\\""), "{other:?}");
        }
        guarded.put_policy(0, &name, json!({"rules": []})).await;
        for node in 0..3 {
            assert_eq!(guarded.get(node, "/v1/kv/app/a", &secret).await.status, 403);
        }
        guarded.put_policy(0, &name, json!({"rules": [{"prefix": "", "rights": ["read"]}]})).await;
        for node in 0..3 {
            assert_eq!(guarded.get(node, "/v1/kv/other/d", &secret).await.status, 200);
        }
        assert_eq!(guarded.delete(&format!("/v1/tokens/{accessor}")).await.status, 200);
        for node in (0..3).rev() {
            let gone = guarded.get(node, "/v1/kv/other/d", &secret).await;
            assert_eq!((gone.status, gone.header("www-authenticate")), (401, "Bearer"));
            let put = guarded.ask(node, Method::PUT, "/v1/kv/app/a", &secret).body("2");
            assert_eq!(send(put).await.refusal(), (401, json!("not_applied"), false));
        }
    }
}

#[tokio::test]
async fn lists_and_what_differs_show_nothing_that_is_hidden_nor_that_there_is_any() {
    let guarded = Guarded::start().await;
    let (_, secret) = guarded.with_rules("app", APP).await;
    let get = async |path: &str| guarded.get(2, path, &secret).await;
    let listed = async |path: &str| keys(&get(path).await, "items");
    assert_eq!(listed("/v1/kv").await, ["app/a", "app/b"]);
    assert_eq!(listed("/v1/kv?reverse=true").await, ["app/b", "app/a"]);
    assert_eq!(listed("/v1/kv?keys_only=true&start=app/b").await, ["app/b"]);
    assert_eq!(listed("/v1/kv?prefix=app/b").await, ["app/b"]);
    assert_eq!(get("/v1/kv?prefix=other/").await.status, 403);
    assert_eq!(get("/v1/kv?prefix=app/hidden/").await.status, 403);
    // Page by page: no cursor names a hidden key.
    let (mut path, mut found) = ("/v1/kv?limit=1".to_owned(), Vec::new());
    loop {
        let page = get(&path).await;
        found.extend(keys(&page, "items"));
        let Some(cursor) = page.json()["next"].as_str().map(str::to_owned) else { break };
        path = format!("/v1/kv?limit=1&cursor={cursor}");
    }
    assert_eq!(found, ["app/a", "app/b"]);
    let stream = guarded.ask(1, Method::GET, "/v1/kv", &secret);
    let stream = send(stream.header("accept", "application/x-ndjson")).await;
    assert_eq!(stream.text().lines().count(), 2, "{stream:?}");
    let differs = get("/v1/diff?from=0").await;
    assert_eq!(keys(&differs, "changes"), ["app/a", "app/b"]);
    for everything in ["/v1/log", "/v1/log/1", "/v1/snapshot"] {
        assert_eq!(get(everything).await.status, 403, "{everything}");
    }
    let sql = guarded.ask(0, Method::POST, "/v1/sql", &secret).body("SELECT key FROM kv");
    assert_eq!(send(sql).await.status, 403);
}

#[tokio::test]
async fn what_was_is_for_those_with_history_also_by_a_cursor() {
    let guarded = Guarded::start().await;
    let (_, present) = guarded.with_rules("present", &[("app/", &["read", "list"])]).await;
    let (_, past) = guarded.with_rules("past", &[("app/", &["read", "list", "history"])]).await;
    let first = guarded.get(0, "/v1/kv?prefix=app/&limit=1", &past).await;
    let cursor = first.json()["next"].as_str().unwrap().to_owned();
    let old = first.json()["revision"].clone();
    let put = guarded.ask(0, Method::PUT, "/v1/kv/app/b", &guarded.root).body("new");
    assert_eq!(send(put).await.status, 200);
    let page = format!("/v1/kv?prefix=app/&limit=1&cursor={cursor}");
    let value =
        |seen: &Seen| (seen.json()["items"][0]["value"].clone(), seen.json()["revision"] == old);
    assert_eq!(value(&guarded.get(0, &page, &past).await), (json!("1"), true));
    assert_eq!(value(&guarded.get(0, &page, &present).await), (json!("new"), false));
    for path in ["/v1/kv/app/b?revision=4", "/v1/kv?prefix=app/&revision=4", "/v1/diff?from=1"] {
        assert_eq!(guarded.get(0, path, &present).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn a_transaction_is_done_whole_or_not_at_all() {
    let guarded = Guarded::start().await;
    let (_, secret) = guarded.with_rules("app", APP).await;
    let txn = async |body: Value| {
        send(guarded.ask(1, Method::POST, "/v1/txn", &secret).json(&body)).await
    };
    let put = json!({"put": {"key": "app/new", "value": "1"}});
    for hidden in [
        json!({"if": [{"key": "other/d", "exists": true}], "then": [put]}),
        json!({"then": [put, {"get": {"key": "app/hidden/c"}}]}),
        json!({"then": [put], "else": [{"put": {"key": "other/d", "value": "1"}}]}),
        json!({"then": [put, {"get": {"prefix": "app/"}}]}),
        json!({"then": [put, {"delete": {"prefix": "o"}}]}),
    ] {
        let refused = txn(hidden.clone()).await;
        assert_eq!(refused.refusal(), (403, json!("not_applied"), false), "{hidden}");
    }
    assert_eq!(guarded.get(0, "/v1/kv/app/new", &secret).await.status, 404);
    assert_eq!(txn(json!({"then": [put]})).await.status, 200);
}

/// What of a stream comes until it ends, or holds a text.
async fn read_until(stream: &mut reqwest::Response, text: &str) -> String {
    let mut read = String::new();
    while !read.contains(text) {
        let chunk = tokio::time::timeout(PATIENCE, stream.chunk()).await.expect("something comes");
        let Some(chunk) = chunk.unwrap() else { return format!("{read}(the end)") };
        read.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    read
}

#[tokio::test]
async fn a_watch_tells_what_may_be_seen_and_ends_when_that_is_less() {
    let guarded = Guarded::start().await;
    let (accessor, secret) = guarded.with_rules("app", APP).await;
    let watch = async |node: usize, path: &str| {
        let opened = guarded.ask(node, Method::GET, path, &secret).send().await.unwrap();
        assert_eq!(opened.status(), 200);
        opened
    };
    assert_eq!(guarded.get(0, "/v1/watch?prefix=other/", &secret).await.status, 403);
    let (mut one, mut all) =
        (watch(1, "/v1/watch?snapshot=true").await, watch(2, "/v1/watch?key=app/a").await);
    let snapshot = read_until(&mut one, "synced").await;
    assert!(snapshot.contains("app/a") && !snapshot.contains("hidden"), "{snapshot}");
    assert!(!snapshot.contains("other/"), "{snapshot}");
    for key in ["app/hidden/c", "other/d", "app/a"] {
        let put = guarded.ask(0, Method::PUT, &format!("/v1/kv/{key}"), &guarded.root).body("2");
        assert_eq!(send(put).await.status, 200);
    }
    let told = read_until(&mut one, "app/a").await;
    assert!(!told.contains("hidden") && !told.contains("other/"), "{told}");
    // Less of what one of them watches, and not of what the other one does.
    let rules = json!({"rules": [
        {"prefix": "app/", "rights": ["read", "watch"]}, {"prefix": "app/b", "rights": []},
    ]});
    guarded.put_policy(0, "app", rules).await;
    let end = read_until(&mut one, "(never)").await;
    assert!(end.contains("event: denied") && end.ends_with("(the end)"), "{end}");
    let put = guarded.ask(0, Method::PUT, "/v1/kv/app/a", &guarded.root).body("3");
    assert_eq!(send(put).await.status, 200);
    read_until(&mut all, "\"value\":\"3\"").await;
    assert_eq!(guarded.delete(&format!("/v1/tokens/{accessor}")).await.status, 200);
    let end = read_until(&mut all, "(never)").await;
    assert!(end.contains("event: denied") && end.ends_with("(the end)"), "{end}");
    assert_eq!(guarded.get(2, "/v1/watch", &secret).await.status, 401);
}

/// Reads on, and says whether that ends before the stream does.
async fn is_broken_off(mut stream: reqwest::Response) -> bool {
    loop {
        match stream.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => break false,
            Err(_) => break true,
        }
    }
}

#[tokio::test]
async fn idempotency_keys_are_each_token_s_own() {
    let guarded = Guarded::start().await;
    let (_, one) = guarded.with_rules("one", &[("app/", &["write"])]).await;
    let (_, two) = guarded.with_rules("two", &[("app/", &["write"])]).await;
    let put = async |secret: &str| {
        let asked = guarded.ask(1, Method::PUT, "/v1/kv/app/once", secret);
        send(asked.header("idempotency-key", "once").body("1")).await
    };
    assert_eq!(put(&one).await.status, 201);
    assert_eq!(put(&one).await.header("idempotency-replayed"), "true");
    // Whether another has used the key makes no difference, at another replica either.
    let answer = put(&two).await;
    assert_eq!((answer.status, answer.json()["version"].clone()), (200, json!(2)));
    assert_eq!(put(&two).await.header("idempotency-replayed"), "true");
    let elsewhere = guarded.ask(2, Method::PUT, "/v1/kv/app/once", &one);
    let again = send(elsewhere.header("idempotency-key", "once").body("1")).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
}

#[tokio::test]
async fn the_log_says_which_token_did_what_and_nothing_says_a_secret() {
    let guarded = Guarded::start().await;
    let (accessor, secret) = guarded.with_rules("app", APP).await;
    let put = guarded.ask(1, Method::PUT, "/v1/kv/app/mine", &secret).body("1");
    assert_eq!(send(put).await.status, 201);
    let log = guarded.get(2, "/v1/log", &guarded.root).await;
    let slots = log.json().as_array().unwrap().clone();
    let commands = slots.iter().flat_map(|slot| slot["commands"].as_array().unwrap().clone());
    let mine = commands.filter(|command| command["key"] == "app/mine").collect::<Vec<_>>();
    assert_eq!((mine.len(), &mine[0]["by"]), (1, &json!(accessor)), "{mine:?}");
    let diff = guarded.get(0, "/v1/diff?from=0&prefix=app/mine", &secret).await.json();
    assert_eq!(diff["changes"][0]["by"], json!(accessor), "{diff}");
    let tokens = guarded.get(0, "/v1/tokens", &guarded.root).await;
    let own = guarded.get(0, "/v1/tokens/self", &secret).await;
    let shown = [log.text(), tokens.text(), own.text()].concat();
    assert!(!shown.contains("synod_"), "{shown}");
    let metrics = guarded.network.get(0, "/metrics").await;
    assert!(metrics.text().contains("synod_replica_access_refused_total{"), "{metrics:?}");
    for (at, node) in guarded.network.nodes.iter().enumerate() {
        let state = std::fs::read(node.state_file()).unwrap();
        let mut wal = node.state_file().into_os_string();
        wal.push("-wal");
        let everything = [state, std::fs::read(wal).unwrap_or_default()].concat();
        for secret in [&secret, &guarded.root] {
            let is_there = everything.windows(secret.len()).any(|it| it == secret.as_bytes());
            assert!(!is_there, "a secret is on the disk of node {at}");
        }
    }
}

#[tokio::test]
async fn nobody_is_locked_out_unless_that_is_forced() {
    let guarded = Guarded::start().await;
    let own = guarded.get(0, "/v1/tokens/self", &guarded.root).await.json();
    let path = format!("/v1/tokens/{}", own["accessor"].as_str().unwrap());
    let refused = guarded.delete(&path).await;
    assert_eq!(refused.refusal().0, 409, "{refused:?}");
    guarded.put_policy(0, "ops", json!({"cluster": ["operate", "read"]})).await;
    let (_, other) = guarded.token(0, &["ops"]).await;
    let deleted = send(guarded.ask(2, Method::DELETE, &path, &other)).await;
    assert_eq!(deleted.status, 200, "{deleted:?}");
    let policy = "/v1/policies/ops";
    let refused = send(guarded.ask(1, Method::DELETE, policy, &other)).await;
    assert_eq!(refused.refusal().0, 409);
    let forced =
        send(guarded.ask(1, Method::DELETE, &format!("{policy}?force=true"), &other)).await;
    assert_eq!(forced.status, 200);
    assert_eq!(guarded.get(0, "/v1/tokens", &other).await.status, 403);
}

#[tokio::test]
async fn an_open_cluster_asks_nobody_for_a_token() {
    let network = Network::start_with(1, format::ACCESS).await;
    for authorization in ["Bearer synod_unknown", "Basic dXNlcg==", "nonsense"] {
        let headers = [("authorization", authorization)];
        let put = network.with(0, Method::PUT, "/v1/kv/open", &headers).await;
        assert!(put.status < 300, "{put:?}");
        assert_eq!(network.with(0, Method::GET, "/v1/kv/open", &headers).await.status, 200);
    }
    assert_eq!(network.get(0, "/v1/tokens/self").await.status, 404);
    assert_eq!(network.get(0, "/v1/tokens").await.status, 200);
    let early = network.request(0, Method::PUT, "/v1/policies/p").json(&json!({"rules": []}));
    assert_eq!(send(early).await.status, 409, "there is nobody yet who may say who may");
}
