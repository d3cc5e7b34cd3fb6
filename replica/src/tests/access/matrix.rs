//! Every route of the table, asked at a backup with each kind of token: generated, so that a
//! route that is added is tried.

use http::Method;
use serde_json::{Value, json};

use super::{APP, Guarded};
use crate::http::authorize::routes::{Need, TABLE};
use crate::tests::Seen;

/// What a request that names things named `app/…` comes with.
fn request_of(method: &str, route: &str, lease: u64) -> (String, Option<Value>) {
    let path = route
        .replace("{*key}", "app/a")
        .replace("{*name}", "app/l")
        .replace("{slot}", "1")
        .replace("{accessor}", "00000000000000aa");
    let path = match route {
        "/v1/leases/{id}" | "/v1/leases/{id}/renew" => path.replace("{id}", &lease.to_string()),
        "/v1/cluster/replicas/{id}" => path.replace("{id}", "replica-9"),
        _ => path.replace("{name}", "absent"),
    };
    let query = match (method, route) {
        ("GET" | "DELETE", "/v1/kv") | ("GET", "/v1/locks" | "/v1/watch") => "?prefix=app/",
        ("GET", "/v1/diff") => "?from=0&prefix=app/",
        ("GET", "/v1/spans") => "?of=cluster&trace=4bf92f3577b34da6a3ce929d0e0e4736",
        ("DELETE", "/v1/locks/{*name}") => &format!("?lease={lease}"),
        _ => "",
    };
    let body = match (method, route) {
        ("POST", "/v1/txn") => json!({"then": [{"get": {"key": "app/a"}}]}),
        ("POST", "/v1/rollback") => json!({"prefix": "app/", "revision": 1}),
        ("POST", "/v1/compact") => json!({"revision": 1}),
        ("POST", "/v1/leases") => json!({"ttl_ms": 60_000}),
        ("PUT", "/v1/locks/{*name}") => json!({"lease": lease}),
        ("POST", "/v1/cluster/primary") => json!({"replica": "replica-9"}),
        ("POST", "/v1/cluster/acceptors") => json!({"acceptors": ["http://127.0.0.1:1"]}),
        ("POST", "/v1/tokens") => json!({"policies": []}),
        ("PUT", "/v1/policies/{name}") => json!({"rules": []}),
        _ => return (format!("{path}{query}"), None),
    };
    (format!("{path}{query}"), Some(body))
}

/// Whether the rights of [`APP`] elsewhere, or none, are enough.
fn is_for_any_token(need: Need) -> bool {
    matches!(need, Need::Nothing | Need::Bootstrap | Need::Token)
}

#[tokio::test]
async fn every_route_is_answered_to_those_alone_who_may_ask_it() {
    let guarded = Guarded::start().await;
    let elsewhere: Vec<(&str, &[&str])> =
        APP.iter().map(|(prefix, rights)| (*prefix, *rights)).collect();
    let elsewhere: Vec<(String, &[&str])> =
        elsewhere.iter().map(|(prefix, rights)| (format!("elsewhere/{prefix}"), *rights)).collect();
    let elsewhere: Vec<(&str, &[&str])> =
        elsewhere.iter().map(|(prefix, rights)| (prefix.as_str(), *rights)).collect();
    let (_, nothing) = guarded.with_rules("nothing", &[]).await;
    let (_, elsewhere) = guarded.with_rules("elsewhere", &elsewhere).await;
    let granted = guarded.ask(0, Method::POST, "/v1/leases", &guarded.root);
    let granted = super::send(granted.json(&json!({"ttl_ms": 60_000}))).await;
    let lease = granted.json()["id"].as_u64().unwrap();
    for (method, route, need) in TABLE {
        let (path, body) = request_of(method, route, lease);
        let ask = async |secret: Option<&str>| {
            let mut request = guarded.network.request(1, method.parse().unwrap(), &path);
            if let Some(secret) = secret {
                request = request.bearer_auth(secret);
            }
            if let Some(body) = &body {
                request = request.json(body);
            }
            // No more of a stream than its head.
            let response = request.send().await.unwrap();
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            Seen { status, headers, body: Vec::new() }
        };
        let is_open = matches!(need, Need::Nothing | Need::Bootstrap);
        for stranger in [None, Some("synod_unknown")] {
            let status = ask(stranger).await.status;
            assert_eq!(status == 401, !is_open, "{method} {path} by a stranger: {status}");
        }
        for (who, secret) in [("nothing", &nothing), ("elsewhere", &elsewhere)] {
            let status = ask(Some(secret)).await.status;
            let may = is_for_any_token(*need) || (who, *route) == ("elsewhere", "/v1/leases");
            // Another's lease is none.
            let refused = match (*method, *route, who) {
                ("GET" | "DELETE", "/v1/leases/{id}", _)
                | ("POST", "/v1/leases/{id}/renew", "elsewhere") => 404,
                _ => 403,
            };
            assert_eq!(status == refused, !may, "{method} {path} with rights to {who}: {status}");
        }
        // Those that would end the lease, or what is looked at, come last in the table.
        let status = ask(Some(&guarded.root)).await.status;
        assert!(![401, 403].contains(&status), "{method} {path} by root: {status}");
    }
}
