//! Every route of every service, at each of its addresses, asked by everybody: who is answered,
//! who is not, and that each refusal is counted.
//!
//! The routes are those that the running services' own routers tell. What is to be answered
//! stands here once more, as the documents have it, so that the table of the services
//! (`shared::tls::matrix`) is not held against itself: a route that is in a router and not here
//! fails the test.
//!
//! By whose name somebody speaks is looked at in [`super::cluster`], where a message says it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::harness::cluster::{Cluster, Options};

use super::cluster::value;
use super::identities::{Identity, Is, ROLES, Verdict};
use super::routes::{Route, TELLS_ROUTES, routes_of};
use crate::synod;

const SERVICES: &[&str] = &["acceptor", "coordinator", "replica", "balancer"];
const MEMBERS: &[&str] = &["coordinator", "replica", "balancer"];

/// What services ask each other, and who may.
pub(super) const INTERNAL: &[(&str, &str, &[&str])] = &[
    ("acceptor", "POST /v1/prepare", &["coordinator"]),
    ("acceptor", "POST /v1/accept", &["coordinator"]),
    ("acceptor", "GET /v1/votes", &["coordinator", "replica"]),
    ("acceptor", "GET /v1/watermarks", &["coordinator", "replica"]),
    ("acceptor", "GET /v1/members", MEMBERS),
    ("acceptor", "PUT /v1/members/{name}", MEMBERS),
    ("acceptor", "DELETE /v1/members/{name}", MEMBERS),
    ("acceptor", "POST /v1/succession", &["coordinator"]),
    ("acceptor", "GET /v1/succession", SERVICES),
    ("coordinator", "GET /v1/succession", SERVICES),
    ("coordinator", "POST /v1/proposals", &["replica"]),
    ("coordinator", "GET /v1/chosen", &["replica"]),
    ("coordinator", "POST /v1/heartbeats", &["replica"]),
    ("coordinator", "POST /v1/primary", &["replica"]),
    ("coordinator", "POST /v1/acceptors", &["replica"]),
    ("coordinator", "POST /v1/endings", &["coordinator"]),
    ("replica", "GET /v1/succession", SERVICES),
    ("replica", "GET /v1/replication/log", &["replica", "operator"]),
    ("replica", "GET /v1/replication/snapshot", &["replica"]),
    ("replica", "GET /v1/replication/digest", &["replica"]),
    ("replica", "POST /v1/replication/suspicions", &["replica"]),
    ("replica", "POST /v1/replication/commands", &["replica"]),
];

/// What every service answers to everybody.
pub(super) const COMMON: [&str; 5] =
    ["GET /livez", "GET /readyz", "GET /metrics", "GET /v1/status", "GET /v1/spans"];

/// What a balancer answers itself, beside its pages.
pub(super) const OF_BALANCERS: [&str; 4] = [
    "GET /v1/balancer",
    "PUT /v1/balancer/policy",
    "PUT /v1/balancer/endpoints/{id}",
    "GET /v1/events",
];

/// A time that nobody understands: whatever is answered, nothing is done.
const UNCLEAR: (&str, &str) = ("synod-timeout", "never");

/// Those that are asked, one of each kind.
pub(super) const ASKED: [&str; 4] = ["acceptor-1", "coordinator-1", "replica-1", "balancer-1"];

pub(super) fn kind_of(name: &str) -> &str {
    name.split_once('-').expect("a kind and a number").0
}

/// A cluster with certificates, whose services have addresses of their own for each other and
/// tell their routes.
pub(super) async fn secured() -> Result<Cluster> {
    let env = [TELLS_ROUTES];
    let options = Options { tls: true, internal: true, env: &env, ..Options::default() };
    Cluster::start_with(synod(), &options).await
}

/// Who may ask a service for a route; none: everybody.
fn who_may(
    kind: &str,
    route: &Route,
    contract: &BTreeSet<Route>,
) -> Result<Option<Vec<&'static str>>> {
    let is = |text: &&str| Route::of(text) == *route;
    let own = INTERNAL.iter().find(|(asked, text, _)| *asked == kind && is(text));
    if let Some((.., roles)) = own {
        return Ok(Some(roles.to_vec()));
    }
    let is_page = ["replica", "balancer"].contains(&kind) && route.path.starts_with("/ui");
    let is_listed = match kind {
        "replica" => contract.contains(route),
        "balancer" => OF_BALANCERS.iter().any(is),
        _ => false,
    };
    ensure!(
        is_page || is_listed || COMMON.iter().any(is),
        "nobody has said who may ask a {kind} for {route:?}"
    );
    Ok(None)
}

/// What clients may ask replicas for, by their contract; and what says that a key or a name is
/// lacking.
async fn contract(cluster: &Cluster) -> Result<BTreeSet<Route>> {
    let document: Value = cluster.json("replica-1", "/openapi.json").await?;
    let lacking = ["/v1/kv/", "/v1/locks/"].into_iter();
    let mut routes: BTreeSet<Route> = lacking
        .flat_map(|path| ["GET", "PUT", "DELETE"].map(|method| format!("{method} {path}")))
        .map(|route| Route::of(&route))
        .collect();
    for (path, methods) in document["paths"].as_object().context("it has paths")? {
        let path = path.replace("/v1/kv/{key}", "/v1/kv/{*key}");
        let path = path.replace("/v1/locks/{name}", "/v1/locks/{*name}");
        for method in methods.as_object().context("a path has methods")?.keys() {
            routes.insert(Route { method: method.to_uppercase(), path: path.clone() });
        }
    }
    Ok(routes)
}

/// Where whoever may ask speaks for somebody by the path alone, and for one that it is not.
const FOR_ANOTHER: &str = "DELETE /v1/members/{name}";

/// At which of its addresses a service is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Clients,
    Services,
}

fn expected(is: Is, who: Option<&[&str]>, door: Door) -> Option<Verdict> {
    Some(match (is, who, door) {
        (Is::Plain, ..) => Verdict::NotTls,
        (Is::Refused, ..) => Verdict::NoHandshake,
        (_, None, _) => return None,
        (_, Some(_), Door::Clients) => Verdict::Elsewhere,
        (Is::Nobody, Some(_), Door::Services) => Verdict::Certificate,
        (Is::Role(role), Some(roles), Door::Services) if roles.contains(&role) => return None,
        (Is::Role(_), Some(_), Door::Services) => Verdict::Role,
    })
}

/// Refusals by the labels that they are counted under.
type Counted = BTreeMap<String, u64>;

/// Asks a service for everything as everybody; says what must have been counted.
async fn hold(
    cluster: &mut Cluster,
    name: &str,
    everybody: &[Identity],
    contract: &BTreeSet<Route>,
) -> Result<Counted> {
    let (listen, internal) = cluster.addresses(name);
    let mut doors = vec![(Door::Clients, listen)];
    doors.extend((internal != listen).then_some((Door::Services, internal)));
    ensure!(name == "balancer-1" || doors.len() == 2, "{name} has one address");
    let routes = routes_of(cluster, name)?;
    let (kind, mut counted) = (kind_of(name), Counted::new());
    let internal = INTERNAL.iter().filter(|(of, ..)| *of == kind);
    for route in internal.map(|(_, text, _)| Route::of(text)) {
        ensure!(routes.contains(&route), "{name} has no {route:?}");
    }
    for route in &routes {
        let who = who_may(kind, route, contract)?;
        for (door, at) in &doors {
            for identity in everybody {
                let heard = identity.ask(*at, route, &[UNCLEAR], None).await?;
                let expected = expected(identity.is, who.as_deref(), *door);
                let is_right = match (expected, heard) {
                    (None, heard) if Route::of(FOR_ANOTHER) == *route => heard == Verdict::Name,
                    (None, Verdict::Admitted(status)) => status < 500 || status == 503,
                    (Some(expected), heard) => expected == heard,
                    (None, _) => false,
                };
                let case = format!("{name}, {door:?}: {route:?} as {}", identity.what);
                ensure!(is_right, "{case}: {heard:?}, not {expected:?}");
                count(&mut counted, identity.is, heard);
            }
        }
    }
    Ok(counted)
}

fn count(counted: &mut Counted, is: Is, heard: Verdict) {
    let of_callers = "synod_http_refusals_total{reason=\"caller\"}".to_owned();
    let of_tls = |role: &str, reason: &str| {
        format!("synod_tls_refusals_total{{role=\"{role}\",reason=\"{reason}\"}}")
    };
    let series = match (heard, is) {
        (Verdict::Certificate, _) => vec![of_callers, of_tls("none", "certificate")],
        (Verdict::Role, Is::Role(role)) => vec![of_callers, of_tls(role, "role")],
        (Verdict::Name, Is::Role(role)) => vec![of_tls(role, "name")],
        (Verdict::Elsewhere, _) => vec![of_callers],
        (_, _) => return,
    };
    series.into_iter().for_each(|series| *counted.entry(series).or_default() += 1);
}

async fn metrics(cluster: &Cluster, name: &str) -> Result<String> {
    let url = format!("{}/metrics", cluster.url(name));
    Ok(cluster.http().get(url).send().await?.error_for_status()?.text().await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_of_every_service_is_answered_to_those_alone_whose_certificate_says_so()
-> Result<()> {
    let mut cluster = secured().await?;
    let pki = cluster.pki().context("it has certificates")?.clone();
    let everybody = Identity::all(&pki, cluster.dir())?;
    ensure!(everybody.len() == 2 + 4 * ROLES.len(), "somebody is missing");
    let contract = contract(&cluster).await?;
    for name in ASKED {
        let counted = hold(&mut cluster, name, &everybody, &contract).await?;
        ensure!(counted.is_empty() == (name == "balancer-1"), "{name}: {counted:?}");
        let metrics = metrics(&cluster, name).await?;
        for (series, times) in counted {
            let seen = value(&metrics, &series)?;
            ensure!(
                seen == f64::from(u32::try_from(times)?),
                "{name}: {series} {seen}, not {times}"
            );
        }
    }
    // Nothing that services ask each other is passed on by a balancer, whoever asks.
    let (front, _): (SocketAddr, _) = cluster.addresses("balancer-1");
    for (kind, text, _) in INTERNAL {
        for identity in everybody.iter().filter(|one| matches!(one.is, Is::Nobody | Is::Role(_))) {
            let heard = identity.ask(front, &Route::of(text), &[], None).await?;
            let case = format!("{text} of a {kind} at a balancer as {}", identity.what);
            ensure!(heard == Verdict::Admitted(404), "{case}: {heard:?}");
        }
    }
    // All of it did nothing: nobody has been made to need a token.
    let (status, ..) =
        cluster.call((http::Method::GET, "replica-1", "/v1/tokens/self"), &[], b"").await?;
    ensure!(status == 404, "{status}");
    cluster.wait_until_serving().await
}
