//! What a replica's `GET /v1/status` says to the balancer: pure.

use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use shared::ids::{ClusterId, Epoch, Name, Revision, Slot};
use shared::message::{ClusterError, OtherCluster, Service, Storage, same_cluster};

use crate::pool::{Report, Role};

/// The part of a replica's status that selection rests on.
#[derive(Debug, Deserialize)]
struct ReplicaStatus {
    service: Service,
    id: Name,
    /// None before a quorum of acceptors has said so.
    cluster_id: Option<ClusterId>,
    /// A replica that is not primary, whatever else it is, forwards mutations.
    role: Option<String>,
    epoch: Epoch,
    /// The last slot executed; none before the first.
    executed_slot: Option<Slot>,
    /// Of its state.
    revision: Option<Revision>,
    /// Of an older program: none.
    requests_from: Option<Slot>,
    quorum_answers: bool,
    /// Whether it can execute.
    storage: Storage,
    /// None while it has never known itself current.
    lag_ms: Option<u64>,
    /// Slots that it can get nowhere.
    missing: Option<IgnoredAny>,
    /// None where it is told none, and of an older program.
    zone: Option<Name>,
}

/// A status that says nothing of the replica that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// It is no status.
    #[error("not a replica's status: {0}")]
    Nonsense(#[from] serde_json::Error),
    /// It is another's.
    #[error("{} {id} answers there", service.as_str())]
    SomebodyElse {
        /// What it is.
        service: Service,
        /// Its name.
        id: Name,
    },
    /// It is of another cluster, by the same name.
    #[error("a replica of another cluster answers there: {0}")]
    OtherCluster(#[from] OtherCluster),
}

/// Reads the status of the replica of that name in our cluster, where that is known.
///
/// # Errors
/// When it is none, or another's.
pub fn report_of(
    status: &serde_json::Value,
    name: &Name,
    cluster: Option<ClusterId>,
) -> Result<Report, StatusError> {
    let status = ReplicaStatus::deserialize(status)?;
    if status.service != Service::Replica || status.id != *name {
        return Err(StatusError::SomebodyElse { service: status.service, id: status.id });
    }
    if let Some(theirs) = status.cluster_id
        && let Err(ClusterError::Other(other)) = same_cluster(cluster, theirs)
    {
        return Err(other.into());
    }
    let role = if status.role.as_deref() == Some(Role::Primary.as_str()) {
        Role::Primary
    } else {
        Role::Backup
    };
    Ok(Report {
        role,
        epoch: status.epoch,
        executed_slot: status.executed_slot,
        revision: status.revision,
        requests_from: status.requests_from,
        quorum_answers: status.quorum_answers,
        can_execute: status.storage == Storage::Writable,
        is_missing_slots: status.missing.is_some(),
        lag: status.lag_ms.map(Duration::from_millis),
        zone: status.zone,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(service: &str, id: &str, role: &str) -> Result<Report, StatusError> {
        let status = json!({
            "service": service, "id": id, "role": role, "epoch": 3, "executed_slot": 7,
            "quorum_answers": true, "storage": "writable", "lag_ms": 40,
            "zone": "east", "revision": 5,
        });
        report_of(&status, &"replica-1".parse().unwrap(), None)
    }

    #[test]
    fn a_replica_of_another_cluster_is_somebody_else() {
        let name = "replica-1".parse().unwrap();
        let of = |theirs: Option<ClusterId>, ours: Option<ClusterId>| {
            let status = json!({
                "service": "replica", "id": "replica-1", "cluster_id": theirs, "epoch": 0,
                "quorum_answers": true, "storage": "writable",
            });
            report_of(&status, &name, ours).map_err(|error| error.to_string())
        };
        let (one, two) = (Some(ClusterId(1)), Some(ClusterId(2)));
        for (theirs, ours) in [(one, one), (one, None), (None, one)] {
            of(theirs, ours).unwrap();
        }
        let error = of(two, one).unwrap_err();
        assert!(error.starts_with("a replica of another cluster answers there: "), "{error}");
    }

    #[test]
    fn only_the_replica_that_says_it_is_primary_is_taken_for_it() {
        for (said, role) in
            [("primary", Role::Primary), ("backup", Role::Backup), ("waiting", Role::Backup)]
        {
            let expected = Report {
                role,
                epoch: Epoch(3),
                executed_slot: Some(Slot(7)),
                revision: Some(Revision(5)),
                requests_from: None,
                quorum_answers: true,
                can_execute: true,
                is_missing_slots: false,
                lag: Some(Duration::from_millis(40)),
                zone: Some("east".parse().unwrap()),
            };
            assert_eq!(report("replica", "replica-1", said).unwrap(), expected);
        }
    }

    #[test]
    fn what_another_service_says_is_not_this_replicas() {
        for (service, id) in [("replica", "replica-2"), ("acceptor", "replica-1")] {
            let error = report(service, id, "primary").unwrap_err();
            assert_eq!(error.to_string(), format!("{service} {id} answers there"));
        }
    }
}
