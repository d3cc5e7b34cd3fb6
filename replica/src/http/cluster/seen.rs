//! A service as it says it is, and what of that is shown.

use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use shared::ids::{ClusterId, Name};
use shared::message::Service;

use super::Shown;
use crate::machine::state::RemovedReplica;

/// A service, and what it says of itself if it does.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) name: Option<Name>,
    pub(super) service: Service,
    pub(super) url: Option<String>,
    pub(super) status: Option<Value>,
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
            "syncs",
            "sync_us",
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
    pub(super) fn of(self, ours: Option<ClusterId>) -> Self {
        let theirs = |status: &Value| ClusterId::deserialize(&status["cluster_id"]).ok();
        let is_other =
            |status: &Value| ours.zip(theirs(status)).is_some_and(|(ours, theirs)| ours != theirs);
        Self { status: self.status.filter(|status| !is_other(status)), ..self }
    }

    /// Whether it is silent because it was taken out for good. One that answers may be another
    /// replica of the same name by now.
    pub(super) fn is_out(&self, removed: &[RemovedReplica]) -> bool {
        self.service == Service::Replica
            && self.status.is_none()
            && self.name.as_ref().is_some_and(|name| is_among(name, removed))
    }

    pub(super) fn number(&self, field: &str) -> Option<u64> {
        self.status.as_ref()?[field].as_u64()
    }

    pub(super) fn rendered(&self, head: u64) -> Shown {
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

/// Whether a replica of that name was taken out for good.
pub(super) fn is_among(name: &Name, removed: &[RemovedReplica]) -> bool {
    removed.iter().any(|removed| removed.replica == *name)
}
