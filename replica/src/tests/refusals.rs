//! What a client is told that asks for what cannot be.

use http::Method;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::network::{Network, eventually};
use super::send;

/// Method, path and headers; status, and a word that the problem says.
type Case<'a> = (Method, &'a str, &'a [(&'static str, &'a str)], u16, &'a str);

#[tokio::test]
async fn what_is_asked_of_another_cluster_is_not_answered_for_it() {
    let network = Network::start(1).await;
    let of = |cluster: u64| format!("{cluster:016x}");
    let asked = async |cluster: u64, method: Method, path: &str| {
        network.with(0, method, path, &[("synod-cluster", &of(cluster))]).await
    };
    assert_eq!(asked(7, Method::PUT, "/v1/kv/k").await.status, 201);
    assert_eq!(asked(7, Method::GET, "/v1/kv/k").await.status, 200);
    for (method, path, outcome) in [
        (Method::GET, "/v1/kv/k", Value::Null),
        (Method::GET, "/v1/kv/k?consistency=local", Value::Null),
        (Method::GET, "/v1/kv", Value::Null),
        (Method::GET, "/v1/watch?key=k", Value::Null),
        (Method::GET, "/v1/cluster", Value::Null),
        (Method::PUT, "/v1/kv/k", json!("not_applied")),
        (Method::DELETE, "/v1/kv/k", json!("not_applied")),
        (Method::POST, "/v1/leases", json!("not_applied")),
        (Method::POST, "/v1/compact", json!("not_applied")),
    ] {
        let seen = asked(8, method.clone(), path).await;
        assert_eq!(seen.refusal(), (503, outcome, true), "{method} {path}: {seen:?}");
        assert!(seen.text().contains("of cluster 0000000000000007"), "{method} {path}: {seen:?}");
    }
    assert_eq!(network.get(0, "/v1/kv/k").await.header("synod-version"), "1");
}

#[tokio::test]
async fn every_malformed_request_is_refused_by_name() {
    let network = Network::start(2).await;
    let long_key = format!("/v1/kv/{}", "k".repeat(1_025));
    let cases: [Case<'_>; 34] = [
        (Method::GET, "/v1/kv/", &[], 400, "key is empty"),
        (Method::PUT, "/v1/kv/", &[], 400, "key is empty"),
        (Method::GET, &long_key, &[], 400, "1024"),
        (Method::GET, "/v1/kv/%ff", &[], 400, "UTF-8"),
        (Method::PUT, "/v1/kv/%zz", &[], 400, "hexadecimal"),
        (Method::PUT, "/v1/kv/x?lease=one", &[], 400, "lease"),
        (Method::PUT, "/v1/kv/x", &[("idempotency-key", "a b")], 400, "Idempotency-Key"),
        (Method::DELETE, "/v1/kv/x", &[("synod-fence", "l")], 400, "Synod-Fence"),
        (Method::PUT, "/v1/kv/x", &[("content-range", "bytes 0-1/2")], 400, "Content-Range"),
        (Method::PUT, "/v1/kv/x", &[("content-encoding", "gzip")], 415, "Content-Encoding"),
        (Method::PUT, "/v1/kv/x", &[("if-match", "17")], 400, "If-Match"),
        (Method::PUT, "/v1/kv/x", &[("if-match", "*"), ("if-none-match", "*")], 400, "exclude"),
        (Method::PUT, "/v1/kv/x", &[("synod-timeout", "soon")], 400, "Synod-Timeout"),
        (Method::PUT, "/v1/kv/x", &[("synod-min-revision", "x")], 400, "Synod-Min-Revision"),
        (Method::GET, "/v1/kv/x", &[("synod-timeout", "0ms")], 400, "Synod-Timeout"),
        (Method::PUT, "/v1/kv/x", &[("synod-cluster", "7")], 400, "16 hexadecimal digits"),
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
        (Method::GET, "/v1/replication/log?from=0", &[], 400, "cluster"),
        (Method::GET, "/v1/replication/log?cluster=7", &[], 400, "16 hexadecimal digits"),
        (Method::GET, "/v1/replication/log?cluster=0000000000000007", &[], 400, "from"),
        (Method::GET, "/v1/replication/log?cluster=0000000000000008&from=0", &[], 409, "cluster"),
    ];
    for node in 0..2 {
        for (method, path, headers, status, word) in &cases {
            let seen = network.with(node, method.clone(), path, headers).await;
            let mutates = method == Method::PUT || method == Method::DELETE;
            let outcome = if mutates { json!("not_applied") } else { Value::Null };
            assert_eq!(
                seen.refusal(),
                (*status, outcome, false),
                "{method} {path}: {}",
                seen.text()
            );
            assert!(seen.text().contains(word), "{method} {path}: {}", seen.text());
            assert!(
                path.contains("replication") || seen.headers.contains_key("synod-revision"),
                "{method} {path}"
            );
        }
        let large =
            send(network.request(node, Method::PUT, "/v1/kv/x").body(vec![7; (1 << 20) + 1])).await;
        assert_eq!(large.refusal(), (413, json!("not_applied"), false));
        assert!(large.text().contains("1048576"), "{}", large.text());
    }
}

#[tokio::test]
async fn a_field_that_has_one_value_is_refused_where_it_comes_twice() {
    let network = Network::start(1).await;
    let (json, event) = ("application/json", "00000000000000aa-7");
    for (method, path, name, values) in [
        (Method::PUT, "/v1/kv/x", "Content-Type", ["text/plain", "text/plain"]),
        (Method::PUT, "/v1/kv/x", "Content-Encoding", ["identity", "gzip"]),
        (Method::PUT, "/v1/kv/x", "Idempotency-Key", ["a", "a"]),
        (Method::PUT, "/v1/kv/x", "Synod-Fence", ["l=1", "l=1"]),
        (Method::DELETE, "/v1/kv/x", "Content-Encoding", ["identity", "identity"]),
        (Method::GET, "/v1/kv/x", "Synod-Timeout", ["1s", "1s"]),
        (Method::GET, "/v1/kv/x", "Synod-Min-Revision", ["0", "0"]),
        (Method::POST, "/v1/log", "Content-Type", ["text/plain", "text/html"]),
        (Method::POST, "/v1/txn", "Content-Type", [json, json]),
        (Method::POST, "/v1/rollback", "Content-Type", [json, json]),
        (Method::POST, "/v1/compact", "Content-Type", [json, json]),
        (Method::POST, "/v1/leases", "Content-Type", [json, json]),
        (Method::PUT, "/v1/locks/l", "Content-Type", [json, json]),
        (Method::POST, "/v1/tokens", "Content-Type", [json, json]),
        (Method::PUT, "/v1/policies/p", "Content-Type", [json, json]),
        (Method::POST, "/v1/cluster/primary", "Content-Type", [json, json]),
        (Method::POST, "/v1/cluster/acceptors", "Content-Type", [json, json]),
        (Method::POST, "/v1/sql", "Content-Type", ["text/plain", "text/plain"]),
        (Method::GET, "/v1/watch", "Last-Event-ID", ["1", "1"]),
        (Method::GET, "/v1/events", "Last-Event-ID", [event, event]),
        (Method::GET, "/v1/snapshot", "If-Range", ["\"a\"", "\"a\""]),
    ] {
        let twice = |request: RequestBuilder, value| request.header(name, value);
        let asked = network.request(0, method.clone(), path);
        let seen = send(values.into_iter().fold(asked, twice)).await;
        assert_eq!(seen.status, 400, "{method} {path} {name}: {}", seen.text());
        let says = format!("{name} is given more than once");
        assert!(seen.text().contains(&says), "{method} {path} {name}: {}", seen.text());
    }
}

#[tokio::test]
async fn a_path_without_its_key_has_the_methods_of_one_with_it() {
    let network = Network::start(1).await;
    for (method, path, status) in [
        (Method::GET, "/v1/kv/", 400),
        (Method::DELETE, "/v1/kv/", 400),
        (Method::POST, "/v1/kv/", 405),
        (Method::PATCH, "/v1/kv/", 405),
        (Method::PUT, "/v1/locks/", 400),
        (Method::PATCH, "/v1/locks/", 405),
    ] {
        let seen = send(network.request(0, method.clone(), path)).await;
        assert_eq!(seen.status, status, "{method} {path}: {}", seen.text());
        if status == 405 {
            let allow = seen.header("allow");
            for method in ["GET", "PUT", "DELETE"] {
                assert!(allow.contains(method), "{path}: {allow}");
            }
        }
    }
}

#[tokio::test]
async fn bodies_that_are_still_coming_take_the_memory_that_all_may_have() {
    let network = Network::start(1).await;
    let address = network.nodes[0].url.strip_prefix("http://").unwrap();
    let head = "PUT /v1/kv/slow HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut coming = Vec::new();
    // By default 128 MiB in all, and a value of up to 1 MiB.
    for _ in 0..128 {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(head.as_bytes()).await.unwrap();
        coming.push(connection);
    }
    eventually("there is no room", async || network.put(0, "/v1/kv/x", "v").await.status == 503)
        .await;
    let refused = network.put(0, "/v1/kv/x", "v").await;
    assert_eq!(refused.refusal(), (503, json!("not_applied"), true), "{}", refused.text());
    assert!(refused.text().contains("134217728 bytes"), "{}", refused.text());
    drop(coming);
    eventually("there is room again", async || network.put(0, "/v1/kv/x", "v").await.status == 201)
        .await;
}
