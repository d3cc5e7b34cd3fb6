//! What mutations of leases and locks come to, as clients are told.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::ids::{LeaseId, Revision};
use shared::problem::{self, Problem, Retryable};

use super::{Mutated, MutationKind, said};
use crate::machine::command::limits;
use crate::machine::locks::Holder;

/// Why a mutation that has to do with leases or locks was not executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TenureRefused {
    /// There is no such lease.
    NoSuchLease(LeaseId),
    /// There are as many leases as may be.
    TooManyLeases,
    /// The token has as many leases as one may have.
    TooManyOwnedLeases,
    /// Another lease holds the lock.
    Busy(Holder),
    /// The lease does not hold the lock.
    NotHeld(Option<Holder>),
    /// There are as many claims on locks as may be.
    TooManyClaims,
    /// The lock is not held at the fence.
    FenceFailed(Option<Holder>),
}

impl From<TenureRefused> for Problem {
    fn from(refused: TenureRefused) -> Self {
        match refused {
            TenureRefused::NoSuchLease(lease) => no_such_lease(lease),
            TenureRefused::TooManyLeases => Self::overloaded(format!(
                "there are {} leases, the limit of the cluster",
                limits::LEASES
            )),
            TenureRefused::TooManyOwnedLeases => Self::overloaded(format!(
                "the token has {} leases, the limit of one token",
                limits::OWNED_LEASES
            )),
            TenureRefused::Busy(holder) => Self::lock_conflict(
                format!("lease {} holds the lock, since revision {}", holder.lease, holder.fence),
                Some(shown(holder)),
            ),
            TenureRefused::NotHeld(holder) => {
                let detail = format!("the lease does not hold the lock: {}", held_by(holder));
                Self::lock_conflict(detail, holder.map(shown))
            }
            TenureRefused::TooManyClaims => Self::overloaded(format!(
                "too many hold locks or wait for them: the limits are {} in all, and {} that \
                 wait for one lock",
                limits::CLAIMS,
                limits::WAITERS
            )),
            TenureRefused::FenceFailed(holder) => Self::precondition_failed(format!(
                "the lock is not held at the fence of Synod-Fence: {}",
                held_by(holder)
            ))
            .with_holder(holder.map(shown)),
        }
    }
}

/// A lease that does not exist.
pub(crate) fn no_such_lease(lease: LeaseId) -> Problem {
    Problem::not_found(format!("there is no lease {lease}: it has expired, or never was"))
        .with_retryable(Retryable::No)
}

fn held_by(holder: Option<Holder>) -> String {
    match holder {
        Some(Holder { lease, fence }) => format!("lease {lease} does, since revision {fence}"),
        None => "nobody does".to_owned(),
    }
}

fn shown(holder: Holder) -> problem::Holder {
    problem::Holder { lease: holder.lease, fence: holder.fence }
}

/// A lease began.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LeaseGranted")]
pub(in crate::http) struct Granted {
    id: LeaseId,
    ttl_ms: u64,
}

/// A lease's time began again.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LeaseRenewed")]
pub(in crate::http) struct Renewed {
    id: LeaseId,
    ttl_ms: u64,
    remaining_ms: u64,
}

/// A lease holds a lock.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LockHeld")]
pub(in crate::http) struct Held<'a> {
    name: &'a str,
    lease: LeaseId,
    /// The revision since which it does.
    fence: Revision,
}

/// A lock was given up.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LockReleased")]
pub(in crate::http) struct Released<'a> {
    name: &'a str,
    revision: Revision,
}

impl Granted {
    /// One for the contract.
    pub(in crate::http) fn example() -> Self {
        Self { id: LeaseId(41), ttl_ms: 5_000 }
    }
}

impl Renewed {
    /// One for the contract.
    pub(in crate::http) fn example() -> Self {
        Self { id: LeaseId(41), ttl_ms: 5_000, remaining_ms: 5_000 }
    }
}

impl Held<'static> {
    /// One for the contract.
    pub(in crate::http) fn example() -> Self {
        Self { name: "jobs/nightly", lease: LeaseId(41), fence: Revision(42) }
    }
}

impl Released<'static> {
    /// One for the contract.
    pub(in crate::http) fn example() -> Self {
        Self { name: "jobs/nightly", revision: Revision(43) }
    }
}

/// The answer to the client that asked for this.
///
/// # Panics
/// When it has to do with neither leases nor locks, or something else was asked for.
pub(super) fn response(mutated: &Mutated, asked: &MutationKind) -> Response {
    match (mutated, asked) {
        (Mutated::LeaseGranted { revision }, MutationKind::Grant { ttl_ms }) => {
            granted(LeaseId(revision.0), *ttl_ms, *revision)
        }
        (Mutated::LeaseRenewed { revision, ttl_ms }, MutationKind::Lease(id)) => {
            let renewed = Renewed { id: *id, ttl_ms: *ttl_ms, remaining_ms: *ttl_ms };
            said(&renewed, *revision)
        }
        (Mutated::LockHeld { revision, fence }, MutationKind::Lock { name, lease }) => {
            said(&Held { name, lease: *lease, fence: *fence }, *revision)
        }
        (Mutated::LockReleased { revision }, MutationKind::Lock { name, .. }) => {
            said(&Released { name, revision: *revision }, *revision)
        }
        (mutated, asked) => unreachable!("{mutated:?} is no answer to {asked:?}"),
    }
}

fn granted(id: LeaseId, ttl_ms: u64, revision: Revision) -> Response {
    let mut response = said(&Granted { id, ttl_ms }, revision);
    *response.status_mut() = StatusCode::CREATED;
    let location = HeaderValue::try_from(format!("/v1/leases/{id}"));
    let location = location.expect("a path and digits are safe in a header");
    response.headers_mut().insert(header::LOCATION, location);
    response
}
