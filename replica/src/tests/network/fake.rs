//! The server that stands for all acceptors and coordinators.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post, put};
use shared::ids::{
    AcceptorId, Ballot, ClusterId, CoordinatorId, Draw, Epoch, Generation, Instance, LogFormat,
    Name, Slot,
};
use shared::message::{
    Announced, Announcement, ChosenEntry, ChosenReply, Directory, DirectoryEntry, EncodedValue,
    Heartbeat, HeartbeatReply, Marks, Member, OfCluster, Phase, Proposal, ProposalReply, Roster,
    Service, Value, View, Watermarks,
};
use shared::wire::{Reply, Wire};
use tokio::net::TcpListener;

use super::eventually;

const COORDINATOR: CoordinatorId = CoordinatorId(77);
const BALLOT: Ballot = Ballot { round: 1, coordinator: COORDINATOR };

/// The cluster of the server's acceptors.
pub(in crate::tests) const CLUSTER: ClusterId = ClusterId(7);
/// For what an overloaded coordinator refuses.
pub(in crate::tests) const LIMIT: &str = "2 acceptors have no room";

/// How late a proposal is chosen, where it is.
pub(in crate::tests) const LATE: Duration = Duration::from_millis(2_500);

/// What the server does with what it is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::tests) enum Behaviour {
    /// Chooses and answers.
    #[default]
    Works,
    /// The acceptors answer, but no coordinator leads.
    NoLeader,
    /// Nothing is answered.
    Silent,
    /// A proposal is taken and never answered; all else works.
    SwallowsProposals,
    /// A proposal is chosen after [`LATE`], and never answered; all else works.
    ChoosesLate,
    /// A proposal is refused for [`LIMIT`]; all else works.
    Overloaded,
    /// The acceptors are those of another cluster.
    OtherCluster,
}

#[derive(Debug, Default)]
pub(super) struct Chosen {
    log: Vec<EncodedValue>,
    pub(super) members: BTreeMap<Name, Member>,
    view: Option<View>,
    pub(super) format: Option<LogFormat>,
    behaviour: Behaviour,
}

/// The server's state.
#[derive(Clone, Debug)]
pub(in crate::tests) struct Fake {
    pub(super) url: String,
    chosen: Arc<Mutex<Chosen>>,
}

#[derive(serde::Deserialize)]
struct From {
    cluster: ClusterId,
    from: u64,
    wait_ms: u64,
}

impl Fake {
    pub(super) async fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            chosen: Arc::default(),
        };
        let routes = Router::new()
            .route("/v1/watermarks", get(watermarks))
            .route("/v1/members/{name}", put(announce))
            .route("/v1/heartbeats", post(heartbeat))
            .route("/v1/proposals", post(propose))
            .route("/v1/chosen", get(chosen))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        fake
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Chosen> {
        self.chosen.lock().unwrap()
    }

    /// What the server does from now on.
    pub(in crate::tests) fn behave(&self, behaviour: Behaviour) {
        self.lock().behaviour = behaviour;
    }

    /// Announces a replica that is not where it says.
    pub(in crate::tests) fn announce(&self, name: &str, url: &str) {
        let name: Name = name.parse().unwrap();
        let member = Member {
            name: name.clone(),
            service: Service::Replica,
            url: url.to_owned(),
            instance: Instance(9),
        };
        self.lock().members.insert(name, member);
    }

    async fn behaviour(&self) -> Behaviour {
        let behaviour = self.lock().behaviour;
        if behaviour == Behaviour::Silent {
            std::future::pending::<()>().await;
        }
        behaviour
    }

    pub(super) async fn heard_of(&self, replica: &str) {
        let replica: Name = replica.parse().unwrap();
        eventually("the replica announces itself", async || {
            self.lock().members.contains_key(&replica)
        })
        .await;
    }

    /// Makes a replica the primary, as soon as it is heard of.
    pub(super) async fn appoint(&self, primary: &str) {
        self.heard_of(primary).await;
        let primary: Name = primary.parse().unwrap();
        let mut chosen = self.lock();
        let epoch = Epoch(chosen.view.as_ref().map_or(0, |view| view.epoch.0) + 1);
        let replicas = chosen.members.values().filter(|member| member.service == Service::Replica);
        let backups =
            replicas.map(|member| member.name.clone()).filter(|name| *name != primary).collect();
        let view = View {
            epoch,
            primary_instance: chosen.members[&primary].instance,
            primary,
            backups,
            format: chosen.format.unwrap_or(LogFormat::FIRST),
        };
        chosen.log.push(Value::View(view.clone()).encode());
        chosen.view = Some(view);
    }
}

async fn watermarks(State(fake): State<Fake>, reply: Reply) -> Response {
    let (cluster, acceptor) = match fake.behaviour().await {
        Behaviour::OtherCluster => (ClusterId(8), AcceptorId(2)),
        Behaviour::Works
        | Behaviour::NoLeader
        | Behaviour::Silent
        | Behaviour::SwallowsProposals
        | Behaviour::ChoosesLate
        | Behaviour::Overloaded => (CLUSTER, AcceptorId(1)),
    };
    let below = Slot(fake.lock().log.len() as u64);
    reply.send(&Watermarks {
        acceptor,
        roster: Some(Roster::new(cluster, Generation(0), vec![acceptor]).unwrap()),
        draw: Draw(1),
        promised: Some(BALLOT),
        marks: Marks { voted_below: below, chosen_below: below, trimmed_below: Slot(0) },
        leader_silent_ms: 0,
    })
}

async fn announce(
    State(fake): State<Fake>,
    Path(_): Path<String>,
    reply: Reply,
    Wire(Announcement { member, .. }): Wire<Announcement>,
) -> Response {
    let coordinator = Member {
        name: "coordinator-1".parse().unwrap(),
        service: Service::Coordinator,
        url: fake.url.clone(),
        instance: Instance(COORDINATOR.0),
    };
    let mut chosen = fake.lock();
    chosen.members.insert(member.name.clone(), member);
    let members = chosen.members.values().cloned().chain([coordinator]);
    let members = members.map(|member| DirectoryEntry { member, age_ms: 0 }).collect();
    let acceptor = Member {
        name: "acceptor-1".parse().unwrap(),
        service: Service::Acceptor,
        url: fake.url.clone(),
        instance: Instance(0),
    };
    reply.send(&Announced {
        cluster: Some(CLUSTER),
        acceptor,
        directory: Directory { members },
        conflicts: Vec::new(),
        is_contested: false,
    })
}

async fn heartbeat(State(fake): State<Fake>, reply: Reply, Wire(_): Wire<Heartbeat>) -> Response {
    let behaviour = fake.behaviour().await;
    let leads = behaviour != Behaviour::NoLeader;
    let content = HeartbeatReply {
        coordinator: COORDINATOR,
        phase: if leads { Phase::Phase2 } else { Phase::Inactive },
        ballot: leads.then_some(BALLOT),
        chosen_below: Slot(fake.lock().log.len() as u64),
    };
    reply.send(&OfCluster::new(CLUSTER, content))
}

async fn propose(
    State(fake): State<Fake>,
    reply: Reply,
    Wire(proposal): Wire<Proposal>,
) -> Response {
    match fake.behaviour().await {
        Behaviour::Works | Behaviour::OtherCluster => {}
        // Also where it is not waited for so long.
        Behaviour::ChoosesLate => {
            tokio::spawn(async move {
                tokio::time::sleep(LATE).await;
                fake.lock().log.push(proposal.value);
            });
            return std::future::pending().await;
        }
        Behaviour::NoLeader => {
            return reply.send(&OfCluster::new(CLUSTER, ProposalReply::NotLeading));
        }
        Behaviour::Overloaded => {
            let overloaded = ProposalReply::Overloaded { limit: LIMIT.to_owned() };
            return reply.send(&OfCluster::new(CLUSTER, overloaded));
        }
        Behaviour::Silent | Behaviour::SwallowsProposals => std::future::pending().await,
    }
    let mut chosen = fake.lock();
    let slot = Slot(chosen.log.len() as u64);
    chosen.log.push(proposal.value);
    let content = ProposalReply::Chosen { slot, ballot: BALLOT, chosen_below: slot.next() };
    reply.send(&OfCluster::new(CLUSTER, content))
}

async fn chosen(
    State(fake): State<Fake>,
    reply: Reply,
    Query(From { cluster, from, wait_ms }): Query<From>,
) -> Response {
    assert_eq!(cluster, CLUSTER);
    if fake.behaviour().await == Behaviour::NoLeader {
        return reply.send(&OfCluster::new(CLUSTER, ChosenReply::Unavailable));
    }
    for _ in 0..wait_ms / 5 {
        if fake.lock().log.len() as u64 > from {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let chosen = fake.lock();
    let entries = chosen.log.iter().enumerate().skip(usize::try_from(from).unwrap());
    let entries = entries.map(|(slot, value)| ChosenEntry {
        slot: Slot(slot as u64),
        ballot: BALLOT,
        value: value.clone(),
    });
    let content = ChosenReply::Entries {
        entries: entries.collect(),
        chosen_below: Slot(chosen.log.len() as u64),
        previous: None,
    };
    reply.send(&OfCluster::new(CLUSTER, content))
}
