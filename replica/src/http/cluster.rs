//! `GET /v1/cluster`: who leads, who is primary, and how far everybody is, as this
//! replica and the answers of the others say. What is asked of a cluster by a path below that is
//! in a file each.

pub(super) mod acceptors;
pub(super) mod primary;
pub(super) mod removal;
mod seen;
pub(super) mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures::future::join_all;
use http::request::Parts;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::client::{AcceptorClient, Peer};
use shared::config::BaseUrl;
use shared::discovery::Acceptors;
use shared::ids::{ClusterId, Name, Revision, Slot};
use shared::message::{Member, Service, View};
use shared::query::Query;
use shared::wire;

use self::seen::Seen;
use super::App;
use super::openapi::Entry;
use super::openapi::content;
use super::status::{RenderedLeader, RenderedView, status_of};
use crate::followed::Addresses;

/// How long another service may take to say how it is. All are asked at once.
const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Serialize, JsonSchema)]
struct Cluster {
    cluster_id: Option<ClusterId>,
    revision: Revision,
    /// The oldest revision whose state can be read.
    compacted_below: Revision,
    leader: Option<RenderedLeader>,
    view: Option<RenderedView>,
    coordinators: Vec<Shown>,
    acceptors: Vec<Shown>,
    replicas: Vec<Shown>,
    balancers: Vec<Shown>,
    /// Names and acceptors that are mixed up, in words.
    mixups: Vec<String>,
    ratios: Ratios,
}

/// A service, as the answer shows it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ClusterMember")]
struct Shown {
    id: Option<Name>,
    /// Of one that is silent where it was heard of last; null of a replica of the view that
    /// this replica has never heard of.
    url: Option<String>,
    /// Whether it says how it is.
    healthy: bool,
    /// What it says, as far as that is shown of its kind.
    #[serde(flatten)]
    status: Map<String, Value>,
}

/// What the compartments of a cluster are scaled by.
#[derive(Serialize, JsonSchema)]
struct Ratios {
    /// Votes of all acceptors for each slot decided: how many acceptors keep up. A
    /// trimmed slot counts as voted.
    votes_per_decision: f64,
    backups_per_primary: f64,
    /// By name, since each started.
    requests_per_node: BTreeMap<String, u64>,
}

/// What the contract says of it.
pub(super) fn entries() -> Vec<Entry> {
    vec![
        Entry::own("get", "/v1/cluster", ("cluster", "Who leads, and how far everyone is."))
            .answers(200, "The cluster.", [content::json(&Cluster::example())])
            .refused(&[502]),
    ]
}

impl Cluster {
    /// One for the contract.
    fn example() -> Self {
        let shown = |name: &str, service, port: u16| {
            let name: Name = name.parse().expect("a name");
            let url = Some(format!("http://127.0.0.1:{port}"));
            let status = Some(json!({"pid": 17}));
            vec![Seen { name: Some(name), service, url, status }.rendered(8)]
        };
        Self {
            cluster_id: Some(ClusterId(0xaa)),
            revision: Revision(42),
            compacted_below: Revision(0),
            leader: Some(RenderedLeader::example()),
            view: Some(RenderedView::example()),
            coordinators: shown("coordinator-1", Service::Coordinator, 8101),
            acceptors: shown("acceptor-1", Service::Acceptor, 8201),
            replicas: shown("replica-1", Service::Replica, 8301),
            balancers: shown("balancer-1", Service::Balancer, 8000),
            mixups: Vec::new(),
            ratios: Ratios {
                votes_per_decision: 3.0,
                backups_per_primary: 2.0,
                requests_per_node: BTreeMap::from([("replica-1".to_owned(), 17)]),
            },
        }
    }
}

/// Answers it.
pub(super) async fn cluster(State(app): State<Arc<App>>, parts: Parts) -> Response {
    if let Err(problem) = Query::parse(parts.uri.query(), &[]) {
        return problem.into_response();
    }
    let members = app.members.borrow().clone();
    let own = serde_json::to_value(status_of(&app)).expect("a status is plain JSON");
    let acceptors = app.acceptors.borrow().clone();
    let ours = app.driver.cluster();
    let (acceptors, others) = tokio::join!(
        join_all(acceptors.clients.iter().map(|client| ask_acceptor(client, &acceptors))),
        join_all(members.iter().filter(|member| is_asked(app.as_ref(), member)).map(ask_member)),
    );
    let this = Seen {
        name: Some(app.name.clone()),
        service: Service::Replica,
        url: Some(app.url.to_string()),
        status: Some(own),
    };
    let status = app.driver.published().status;
    let mut seen: Vec<Seen> =
        acceptors.into_iter().chain(others).map(|seen| seen.of(ours)).chain([this]).collect();
    // Others may list it for a while yet.
    seen.retain(|seen| !seen.is_out(&status.removed));
    seen.extend(unheard(status.view.as_ref(), &seen, &app.addresses.borrow()));
    seen.sort_by(|a, b| (&a.name, &a.url).cmp(&(&b.name, &b.url)));
    let of = |service: Service| -> Vec<&Seen> {
        seen.iter().filter(|seen| seen.service == service).collect()
    };
    let head = of(Service::Replica)
        .iter()
        .filter_map(|seen| seen.number("executed_below"))
        .max()
        .unwrap_or(0);
    let render = |service: Service| -> Vec<Shown> {
        of(service).into_iter().map(|seen| seen.rendered(head)).collect()
    };
    wire::json(&Cluster {
        cluster_id: status.cluster,
        revision: status.revision,
        compacted_below: status.compacted_below,
        leader: RenderedLeader::of(&status),
        view: RenderedView::of(&status),
        coordinators: render(Service::Coordinator),
        acceptors: render(Service::Acceptor),
        replicas: render(Service::Replica),
        balancers: render(Service::Balancer),
        mixups: app.mixups.told(),
        ratios: Ratios {
            votes_per_decision: votes_per_decision(&of(Service::Acceptor), status.chosen_below),
            backups_per_primary: status.view.as_ref().map_or(0.0, |view| view.backups.len() as f64),
            requests_per_node: requests_per_node(&seen),
        },
    })
}

/// The replicas of the view that are not listed any more: they are part of the cluster
/// until they are taken out.
fn unheard(view: Option<&View>, seen: &[Seen], addresses: &Addresses) -> Vec<Seen> {
    let is_heard = |name: &Name| {
        let is_it =
            |seen: &Seen| seen.service == Service::Replica && seen.name.as_ref() == Some(name);
        seen.iter().any(is_it)
    };
    let members = view.iter().flat_map(|view| view.backups.iter().chain([&view.primary]));
    let gone = members.filter(|name| !is_heard(name)).cloned();
    let shown = |name: Name| {
        let url = addresses.get(&name).cloned();
        Seen { name: Some(name), service: Service::Replica, url, status: None }
    };
    gone.map(shown).collect()
}

/// Acceptors are asked where the flags say they are.
fn is_asked(app: &App, member: &Member) -> bool {
    member.name != app.name && member.service != Service::Acceptor
}

async fn ask_acceptor(acceptor: &AcceptorClient, known: &Acceptors) -> Seen {
    let status = acceptor.status(PATIENCE).await.ok();
    let named = status.as_ref().and_then(|status| status["id"].as_str()?.parse().ok());
    let name = named.or_else(|| known.names.get(acceptor.url().as_str()).cloned());
    Seen { name, service: Service::Acceptor, url: Some(acceptor.url().to_string()), status }
}

async fn ask_member(member: &Member) -> Seen {
    let status = match member.url.parse::<BaseUrl>() {
        Ok(url) => Peer::of(member.service, url).status(PATIENCE).await.ok(),
        Err(_) => None,
    };
    // Somebody else may have the port by now.
    let status = status.filter(|status| status["id"] == member.name.as_str());
    Seen {
        name: Some(member.name.clone()),
        service: member.service,
        url: Some(member.url.clone()),
        status,
    }
}

fn votes_per_decision(acceptors: &[&Seen], chosen_below: Slot) -> f64 {
    let decided = acceptors
        .iter()
        .filter_map(|seen| seen.number("chosen_below"))
        .chain([chosen_below.0])
        .max()
        .unwrap_or(0);
    if decided == 0 {
        return 0.0;
    }
    let voted = |seen: &&Seen| {
        Some(seen.number("trimmed_below")?.saturating_add(seen.number("votes")?).min(decided))
    };
    let votes: u64 = acceptors.iter().filter_map(voted).sum();
    votes as f64 / decided as f64
}

fn requests_per_node(seen: &[Seen]) -> BTreeMap<String, u64> {
    seen.iter()
        .filter_map(|seen| Some((seen.name.as_ref()?.to_string(), seen.number("requests")?)))
        .collect()
}

#[cfg(test)]
mod tests;
