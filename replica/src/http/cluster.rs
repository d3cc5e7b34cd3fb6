//! `GET /v1/cluster`: who leads, who is primary, and how far everybody is, as this
//! replica and the answers of the others say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures::future::join_all;
use http::request::Parts;
use schemars::JsonSchema;
use serde::{Deserialize as _, Serialize};
use serde_json::{Map, Value, json};
use shared::client::{AcceptorClient, Peer};
use shared::config::BaseUrl;
use shared::discovery::Acceptors;
use shared::ids::{ClusterId, Name, Revision, Slot};
use shared::message::{Member, Service, View};
use shared::query::Query;
use shared::wire;

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
    let of_ours = |seen: Seen| seen.of(app.driver.published().status.cluster);
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
        acceptors.into_iter().chain(others).map(of_ours).chain([this]).collect();
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

/// A service, and what it says of itself if it does.
#[derive(Debug)]
struct Seen {
    name: Option<Name>,
    service: Service,
    url: Option<String>,
    status: Option<Value>,
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

/// What is shown of every status.
const COMMON: [&str; 5] = ["version", "messages_version", "pid", "uptime_ms", "requests"];

/// What is shown of a status beside that, by service.
fn fields(service: Service) -> &'static [&'static str] {
    match service {
        Service::Acceptor => &[
            "acceptor",
            "roster",
            "has_left",
            "promised",
            "voted_below",
            "chosen_below",
            "trimmed_below",
            "votes",
            "vote_bytes",
            "log_bytes",
            "leader_silent_ms",
            "storage",
        ],
        Service::Coordinator => &[
            "coordinator",
            "phase",
            "ballot",
            "generation",
            "begins",
            "chosen_below",
            "next_slot",
            "in_flight_slots",
            "waiting_for",
            "change_waits_for",
        ],
        Service::Replica => &[
            "role",
            "epoch",
            "executed_slot",
            "revision",
            "compacted_below",
            "hash",
            "durable_below",
            "lag_ms",
            "storage",
            "missing",
            "snapshot_from",
            "snapshot_bytes",
            "snapshot_total_bytes",
            "snapshot_error",
            "queued_mutations",
            "waiting_reads",
            "watches",
        ],
        Service::Balancer => {
            &["primary", "linearizable", "waiting", "forwarded", "retries", "refusals", "endpoints"]
        }
    }
}

impl Seen {
    /// As it counts in our cluster: what a service of another one says is not of the member
    /// whose address it has.
    fn of(self, ours: Option<ClusterId>) -> Self {
        let theirs = |status: &Value| ClusterId::deserialize(&status["cluster_id"]).ok();
        let is_other =
            |status: &Value| ours.zip(theirs(status)).is_some_and(|(ours, theirs)| ours != theirs);
        Self { status: self.status.filter(|status| !is_other(status)), ..self }
    }

    fn number(&self, field: &str) -> Option<u64> {
        self.status.as_ref()?[field].as_u64()
    }

    fn rendered(&self, head: u64) -> Shown {
        let said = |field: &&str| {
            let value = self.status.as_ref().map_or(Value::Null, |status| status[*field].clone());
            ((*field).to_owned(), value)
        };
        let mut status: Map<String, Value> =
            COMMON.iter().chain(fields(self.service)).map(said).collect();
        if self.service == Service::Replica {
            let lag = self.number("executed_below").map(|below| head.saturating_sub(below));
            status.insert("lag_slots".to_owned(), json!(lag));
        }
        let (id, url, healthy) = (self.name.clone(), self.url.clone(), self.status.is_some());
        Shown { id, url, healthy, status }
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
mod tests {
    use shared::ids::{Epoch, Instance, LogFormat};

    use super::*;

    impl Seen {
        fn rendered_json(&self, head: u64) -> Value {
            serde_json::to_value(self.rendered(head)).unwrap()
        }
    }

    fn seen(name: &str, service: Service, status: Option<Value>) -> Seen {
        let url = Some(format!("http://{name}:1"));
        Seen { name: Some(name.parse().unwrap()), service, url, status }
    }

    #[test]
    fn votes_are_counted_over_the_slots_decided() {
        let acceptor = |trimmed: u64, votes: u64| {
            let status = json!({"chosen_below": 100, "trimmed_below": trimmed, "votes": votes});
            seen("acceptor-1", Service::Acceptor, Some(status))
        };
        let [up, behind, away] =
            [acceptor(60, 41), acceptor(60, 15), seen("acceptor-3", Service::Acceptor, None)];
        assert_eq!(votes_per_decision(&[&up, &up, &up], Slot(90)), 3.0);
        assert_eq!(votes_per_decision(&[&up, &behind, &away], Slot(90)), 1.75);
        assert_eq!(votes_per_decision(&[&away], Slot(0)), 0.0);
    }

    #[test]
    fn a_service_that_does_not_answer_is_shown_as_unhealthy() {
        let behind = seen(
            "replica-2",
            Service::Replica,
            Some(json!({"role": "backup", "executed_below": 7, "executed_slot": 6})),
        );
        let shown = behind.rendered_json(10);
        assert_eq!(
            (&shown["healthy"], &shown["lag_slots"], &shown["role"]),
            (&json!(true), &json!(3), &json!("backup"))
        );
        let shown = seen("replica-3", Service::Replica, None).rendered_json(10);
        let nothing = Value::Null;
        assert_eq!(
            (&shown["healthy"], &shown["lag_slots"], &shown["role"]),
            (&json!(false), &nothing, &nothing)
        );
        assert_eq!(shown["url"], "http://replica-3:1");
    }

    #[test]
    fn replicas_of_the_view_are_shown_however_long_they_are_silent() {
        let name = |number| format!("replica-{number}").parse::<Name>().unwrap();
        let view = View {
            epoch: Epoch(3),
            primary: name(3),
            primary_instance: Instance(1),
            backups: vec![name(1), name(2)],
            format: LogFormat::FIRST,
        };
        let heard = [
            seen("replica-1", Service::Replica, Some(json!({}))),
            seen("replica-9", Service::Replica, None),
        ];
        let url = "http://replica-2:1".to_owned();
        let addresses = Addresses::from([(name(2), url.clone()), (name(9), url.clone())]);
        let shown: Vec<Value> = unheard(Some(&view), &heard, &addresses)
            .iter()
            .map(|seen| seen.rendered_json(10))
            .collect();
        let ids: Vec<&Value> = shown.iter().map(|shown| &shown["id"]).collect();
        assert_eq!(ids, ["replica-2", "replica-3"]);
        let urls: Vec<&Value> = shown.iter().map(|shown| &shown["url"]).collect();
        assert_eq!(urls, [&json!(url), &Value::Null], "where it was heard of last, if it was");
        assert!(shown.iter().all(|shown| shown["healthy"] == false));
        assert!(unheard(None, &heard, &addresses).is_empty());
    }

    #[test]
    fn a_balancer_is_shown_with_what_it_sends_to_whom() {
        // Its own `healthy` is a number of replicas: here the word says whether it answers.
        let status = json!({
            "version": "1.2.3", "uptime_ms": 7, "healthy": 2, "primary": "replica-1", "waiting": 4,
            "endpoints": [{"id": "replica-1", "healthy": true, "requests": 9}],
        });
        let shown = seen("balancer-1", Service::Balancer, Some(status)).rendered_json(0);
        assert_eq!((&shown["healthy"], &shown["waiting"]), (&json!(true), &json!(4)));
        assert_eq!((&shown["version"], &shown["uptime_ms"]), (&json!("1.2.3"), &json!(7)));
        assert_eq!(shown["endpoints"][0]["requests"], 9);
    }
}
