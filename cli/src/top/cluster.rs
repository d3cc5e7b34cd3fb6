//! What `GET /v1/cluster` tells, as far as it is shown.

use serde::Deserialize;

/// All of it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Cluster {
    pub(super) cluster_id: Option<String>,
    pub(super) revision: u64,
    pub(super) leader: Option<Leader>,
    pub(super) view: Option<View>,
    pub(super) coordinators: Vec<Service>,
    pub(super) acceptors: Vec<Service>,
    pub(super) replicas: Vec<Service>,
    pub(super) balancers: Vec<Service>,
    #[serde(default)]
    pub(super) mixups: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Leader {
    pub(super) coordinator: String,
    pub(super) ballot: Ballot,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Ballot {
    pub(super) round: u64,
    /// The identity that a coordinator has drawn.
    pub(super) coordinator: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct View {
    pub(super) epoch: u64,
    pub(super) primary: String,
}

/// A service: what its kind does not have is not there.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Service {
    pub(super) id: Option<String>,
    pub(super) url: Option<String>,
    pub(super) healthy: bool,
    pub(super) requests: Option<u64>,
    /// A coordinator's identity.
    pub(super) coordinator: Option<String>,
    pub(super) phase: Option<String>,
    pub(super) ballot: Option<Ballot>,
    pub(super) next_slot: Option<u64>,
    pub(super) in_flight_slots: Option<u64>,
    pub(super) promised: Option<Ballot>,
    pub(super) voted_below: Option<u64>,
    pub(super) votes: Option<u64>,
    pub(super) role: Option<String>,
    pub(super) storage: Option<String>,
    pub(super) executed_slot: Option<u64>,
    pub(super) lag_slots: Option<u64>,
    pub(super) revision: Option<u64>,
    pub(super) queued_mutations: Option<u64>,
    pub(super) primary: Option<String>,
    pub(super) waiting: Option<u64>,
    pub(super) endpoints: Option<Vec<Endpoint>>,
}

/// What a balancer says of a replica.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Endpoint {
    pub(super) id: String,
    pub(super) healthy: bool,
    pub(super) requests: u64,
}

impl Service {
    /// Its name, or where it is while it has not said its name.
    pub(super) fn name(&self) -> &str {
        self.id.as_deref().or(self.url.as_deref()).unwrap_or("somebody")
    }
}
