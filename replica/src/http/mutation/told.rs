//! How clients are told of a mutation that was executed.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use shared::ids::{Revision, Slot};
use shared::problem::REVISION;
use shared::wire;

use super::{Mutated, MutationKind, Performed, REPLAYED, access, tenure, txn};
use crate::http::request::conditions::etag;
use crate::machine::execute::Delivery;

/// A key was written.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Written<'a> {
    key: &'a str,
    revision: Revision,
    created_revision: Revision,
    version: u64,
}

/// Keys were deleted.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Deleted")]
pub(in crate::http) struct Gone {
    /// How many.
    deleted: u64,
    revision: Revision,
}

/// A value stands in the log.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Appended {
    slot: Slot,
    revision: Revision,
}

/// History was dropped.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Compacted {
    revision: Revision,
    compacted_below: Revision,
}

/// Keys are what they were, or would be.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct RolledBack {
    pub(in crate::http) revision: Revision,
    /// How many keys have another value again.
    pub(in crate::http) restored: u64,
    /// How many are gone.
    pub(in crate::http) deleted: u64,
}

impl Written<'static> {
    /// One for the contract.
    pub(in crate::http) fn example() -> Self {
        let revision = Revision(42);
        Self { key: "app/web", revision, created_revision: revision, version: 1 }
    }
}

impl Gone {
    /// One for the contract.
    pub(in crate::http) fn example(deleted: u64) -> Self {
        Self { deleted, revision: Revision(43) }
    }
}

impl Appended {
    /// One for the contract.
    pub(in crate::http) fn example() -> Self {
        Self { slot: Slot(7), revision: Revision(42) }
    }
}

impl Compacted {
    /// One for the contract.
    pub(in crate::http) fn example() -> Self {
        Self { revision: Revision(43), compacted_below: Revision(42) }
    }
}

impl Performed {
    /// The answer to the client that asked for this.
    pub(in crate::http) fn response(self, asked: &MutationKind) -> Response {
        let mut response = self.mutated.response(asked);
        match self.delivery {
            Delivery::First => {}
            Delivery::Replayed => {
                response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            }
        }
        response
    }
}

impl Mutated {
    /// The answer to the client that asked for this.
    fn response(self, asked: &MutationKind) -> Response {
        let key = asked.key();
        match self {
            Self::Txn(outcome) => txn::response(asked, &outcome),
            Self::Created { revision } => {
                let body = Written { key, revision, created_revision: revision, version: 1 };
                written(StatusCode::CREATED, &body)
            }
            Self::Replaced { revision, created_revision, version } => {
                written(StatusCode::OK, &Written { key, revision, created_revision, version })
            }
            Self::Deleted { revision, deleted } => said(&Gone { deleted, revision }, revision),
            Self::Appended { revision, slot } => appended(revision, slot),
            Self::RolledBack { revision, restored, deleted } => {
                said(&RolledBack { revision, restored, deleted }, revision)
            }
            Self::Compacted { revision, below: compacted_below } => {
                said(&Compacted { revision, compacted_below }, revision)
            }
            Self::LeaseGranted { .. }
            | Self::LeaseRenewed { .. }
            | Self::LockHeld { .. }
            | Self::LockAwaited { .. }
            | Self::LockReleased { .. } => tenure::response(&self, asked),
            Self::Access { revision, done } => access::response(&done, revision),
        }
    }
}

/// JSON that speaks of a revision.
pub(super) fn said(body: &impl Serialize, revision: Revision) -> Response {
    let mut response = wire::json(body);
    response.headers_mut().insert(REVISION, HeaderValue::from(revision.0));
    response
}

fn written(status: StatusCode, body: &Written<'_>) -> Response {
    let mut response = said(body, body.revision);
    *response.status_mut() = status;
    let tag = HeaderValue::from_str(&etag(body.revision)).expect("digits in quotation marks");
    response.headers_mut().insert(header::ETAG, tag);
    response
}

fn appended(revision: Revision, slot: Slot) -> Response {
    let mut response = said(&Appended { slot, revision }, revision);
    *response.status_mut() = StatusCode::CREATED;
    let location = format!("/v1/log/{slot}").try_into().expect("digits in a path");
    response.headers_mut().insert(header::LOCATION, location);
    response
}
