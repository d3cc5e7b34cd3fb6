//! Every route with every kind of token, without a certificate, where the cluster asks for
//! tokens: a token opens nothing that services ask each other, and what is everybody's takes
//! none. What replicas answer to tokens is held there (`replica`, `tests::access::matrix`); here,
//! that it is the same through a balancer.

use anyhow::{Context as _, Result, ensure};
use replica::http::authorize::routes::{Need, TABLE};
use replica::machine::access::policy::ClusterRight::Read;
use reqwest::Method;
use serde_json::{Value, json};
use tests::harness::cluster::Cluster;

use super::certificates::{ASKED, COMMON, OF_BALANCERS, kind_of, secured};
use super::identities::{Identity, Verdict};
use super::routes::{Route, routes_of};

/// Nobody's token, or somebody's.
struct Token {
    what: &'static str,
    secret: Option<String>,
}

impl Token {
    async fn ask(
        &self,
        identity: &Identity,
        at: std::net::SocketAddr,
        route: &Route,
    ) -> Result<Verdict> {
        let body = body_of(route).map(|body| body.to_string());
        let route = &about_keys(route);
        match &self.secret {
            None => identity.ask(at, route, &[], body.as_deref()).await,
            Some(secret) => {
                let bearer = format!("Bearer {secret}");
                identity.ask(at, route, &[("authorization", &bearer)], body.as_deref()).await
            }
        }
    }
}

/// The same where it names things named `app/…`, which rights elsewhere do not reach.
fn about_keys(route: &Route) -> Route {
    let query = match (route.method.as_str(), route.path.as_str()) {
        ("GET" | "DELETE", "/v1/kv") | ("GET", "/v1/locks" | "/v1/watch") => "?prefix=app/",
        ("GET", "/v1/diff") => "?from=0&prefix=app/",
        ("DELETE", "/v1/locks/{*name}") => "?lease=7",
        _ => "",
    };
    Route { path: format!("{}{query}", route.path), ..route.clone() }
}

/// What says enough that rights are looked at.
fn body_of(route: &Route) -> Option<Value> {
    Some(match (route.method.as_str(), route.path.as_str()) {
        ("POST", "/v1/txn") => json!({"then": [{"get": {"key": "app/a"}}]}),
        ("POST", "/v1/rollback") => json!({"prefix": "app/", "revision": 1}),
        ("POST", "/v1/compact") => json!({"revision": 1}),
        ("POST", "/v1/leases") => json!({"ttl_ms": 60_000}),
        ("PUT", "/v1/locks/{*name}") => json!({"lease": 7}),
        ("POST", "/v1/cluster/primary") => json!({"replica": "replica-9"}),
        ("POST", "/v1/cluster/acceptors") => json!({"acceptors": ["https://127.0.0.1:1"]}),
        ("POST", "/v1/tokens") => json!({"policies": []}),
        ("PUT", "/v1/policies/{name}") => json!({"rules": []}),
        _ => return None,
    })
}

async fn told(cluster: &Cluster, root: &str, to: (Method, &str), body: &Value) -> Result<Value> {
    let (method, path) = to;
    let bearer = format!("Bearer {root}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = body.to_string();
    let (status, _, said) =
        cluster.call((method, "replica-1", path), &headers, body.as_bytes()).await?;
    ensure!(status.is_success(), "{path}: {status} {said}");
    Ok(serde_json::from_str(&said)?)
}

/// One of each kind.
async fn tokens(cluster: &Cluster) -> Result<Vec<Token>> {
    let first = (Method::POST, "replica-1", "/v1/tokens/bootstrap");
    let (status, _, said) = cluster.call(first, &[], b"").await?;
    ensure!(status == 201, "{status} {said}");
    let secret = |made: &Value| made["secret"].as_str().map(str::to_owned).context("no secret");
    let root = secret(&serde_json::from_str(&said)?)?;
    let mut tokens = vec![
        Token { what: "no token", secret: None },
        Token { what: "an unknown token", secret: Some("synod_unknown".to_owned()) },
    ];
    let rights = ["read", "write", "list", "watch", "lock", "history"];
    for (what, rules) in [
        ("no rights", json!([])),
        ("rights elsewhere", json!([{"prefix": "elsewhere/", "rights": rights}])),
    ] {
        let name = what.replace(' ', "-");
        let path = format!("/v1/policies/{name}");
        told(cluster, &root, (Method::PUT, &path), &json!({"rules": rules})).await?;
        let body = json!({"policies": [name]});
        let made = told(cluster, &root, (Method::POST, "/v1/tokens"), &body).await?;
        tokens.push(Token { what, secret: Some(secret(&made)?) });
    }
    tokens.push(Token { what: "root", secret: Some(root) });
    Ok(tokens)
}

/// What an acceptor or a coordinator answers, whatever the token.
async fn no_token_counts(
    cluster: &mut Cluster,
    name: &str,
    (nobody, tokens): (&Identity, &[Token]),
) -> Result<()> {
    let (listen, internal) = cluster.addresses(name);
    for route in routes_of(cluster, name)? {
        let is_common = COMMON.iter().any(|text| Route::of(text) == route);
        for (at, refused) in [(listen, Verdict::Elsewhere), (internal, Verdict::Certificate)] {
            for token in tokens {
                let heard = token.ask(nobody, at, &route).await?;
                let is_right = if let Verdict::Admitted(status) = heard {
                    is_common && ![401, 403].contains(&status)
                } else {
                    !is_common && heard == refused
                };
                ensure!(is_right, "{name} at {at}: {route:?} with {}: {heard:?}", token.what);
            }
        }
    }
    Ok(())
}

/// What a token may hear of a route by a balancer.
fn is_right(need: Need, route: &Route, token: &str, status: u16) -> bool {
    if need == Need::Bootstrap {
        // Who asks by a balancer is not on the replica's own machine.
        return status == 403;
    }
    let is_open = need == Need::Nothing;
    // Leases are everybody's who has any right at keys, and another's lease is none.
    let is_lease = route.path.starts_with("/v1/leases");
    match token {
        "no token" | "an unknown token" => (status == 401) != is_open,
        "no rights" | "rights elsewhere" => {
            is_open || need == Need::Token || is_lease || status == 403
        }
        _ => ![401, 403].contains(&status),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_stands_for_no_certificate_and_counts_at_balancers_as_at_replicas() -> Result<()> {
    let mut cluster = secured().await?;
    let nobody = Identity::nobody(cluster.pki().context("it has certificates")?)?;
    let tokens = tokens(&cluster).await?;
    for name in
        ASKED.into_iter().filter(|name| ["acceptor", "coordinator"].contains(&kind_of(name)))
    {
        no_token_counts(&mut cluster, name, (&nobody, &tokens)).await?;
    }
    let (front, _) = cluster.addresses("balancer-1");
    // What it answers itself is everybody's who reaches it, or who is here; but what happens
    // in the cluster it tells whom a replica tells.
    let told: Vec<Route> = ["GET /v1/events", "GET /v1/spans"].map(Route::of).to_vec();
    for route in routes_of(&mut cluster, "balancer-1")? {
        for token in &tokens {
            let heard = token.ask(&nobody, front, &route).await?;
            let Verdict::Admitted(status) = heard else {
                anyhow::bail!("{route:?} with {}: {heard:?}", token.what)
            };
            let is_right = if told.contains(&route) {
                is_right(Need::Cluster(Read), &route, token.what, status)
            } else {
                ![401, 403].contains(&status)
            };
            ensure!(is_right, "{route:?} with {}: {status}", token.what);
        }
    }
    let own: Vec<Route> = OF_BALANCERS.iter().chain(&COMMON).map(|text| Route::of(text)).collect();
    for (method, path, need) in TABLE {
        let route = Route { method: (*method).to_owned(), path: (*path).to_owned() };
        if own.contains(&route) {
            continue;
        }
        for token in &tokens {
            let heard = token.ask(&nobody, front, &route).await?;
            let Verdict::Admitted(status) = heard else {
                anyhow::bail!("{route:?} with {}: {heard:?}", token.what)
            };
            let is_right = is_right(*need, &route, token.what, status);
            ensure!(is_right, "{route:?} with {} by a balancer: {status}", token.what);
        }
    }
    Ok(())
}
