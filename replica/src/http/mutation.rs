//! What a mutation comes to at the primary, and how clients are told: the same at every
//! replica, since what is said here is what replicas give each other (see `forward`).

mod tenure;
mod txn;

use std::sync::Arc;

use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::byte_budget::BudgetSpent;
use shared::deadline::Deadline;
use shared::ids::{ClusterId, LeaseId, Revision, Slot};
use shared::problem::{Outcome, Problem, RETRY_AFTER, Retryable};
use shared::wire;

pub(super) use self::tenure::{Granted, Held, Released, Renewed, TenureRefused, no_such_lease};
pub(super) use self::txn::Rendered as TxnAnswer;
use super::App;
use super::reading::REVISION;
use super::refused::{behind, condition_failed};
use crate::driver::{MutationEnd, NotReleased};
use crate::http::request::conditions::etag;
use crate::machine::command::{Command, Op, limits};
use crate::machine::execute::{CommandOutcome, Delivery, RollbackRefused};
use crate::machine::leases::LeaseOp;
use crate::machine::locks::LockOp;
use crate::machine::txn::Txn;
use crate::machine::txn::result::TxnOutcome;
use crate::replica::event::{Answer, NotApplied, Stall};
use crate::store::{CountQuery, ReadError, RevisionError, StoreError};

/// On an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What a mutation did, and whether that was now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Performed {
    pub(crate) mutated: Mutated,
    pub(crate) delivery: Delivery,
}

/// What a mutation did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mutated {
    /// A key that didn't exist was written.
    Created { revision: Revision },
    /// A key that existed was written.
    Replaced { revision: Revision, created_revision: Revision, version: u64 },
    /// So many keys were deleted.
    Deleted { revision: Revision, deleted: u64 },
    /// A transaction was executed. What it deleted is counted.
    Txn(Arc<TxnOutcome>),
    /// A value was appended to the log.
    Appended { revision: Revision, slot: Slot },
    /// Keys were made what they were.
    RolledBack { revision: Revision, restored: u64, deleted: u64 },
    /// A lease was granted, whose id the revision is.
    LeaseGranted { revision: Revision },
    /// A lease was renewed that lasts so long.
    LeaseRenewed { revision: Revision, ttl_ms: u64 },
    /// A lease holds a lock since a revision.
    LockHeld { revision: Revision, fence: Revision },
    /// A lease waits for a lock since a revision.
    LockAwaited { revision: Revision, since: Revision },
    /// A lock was given up.
    LockReleased { revision: Revision },
    /// History is dropped before a revision.
    Compacted { revision: Revision, below: Revision },
}

/// What was asked for, as far as the answer needs it.
#[derive(Debug)]
pub(super) enum Asked {
    /// A mutation of this key, or of these keys.
    Key(String),
    /// A transaction.
    Txn(Box<Txn>),
    /// What answers without saying what was asked for.
    Other,
    /// A lease that lasts so long.
    Grant { ttl_ms: u64 },
    /// Something of a lease.
    Lease(LeaseId),
    /// Something of a lock, for a lease.
    Lock { name: String, lease: LeaseId },
}

impl Asked {
    /// What a command asks for.
    pub(super) fn of(op: &Op) -> Self {
        match op {
            Op::Put { key, .. } | Op::LeasedPut { key, .. } | Op::Delete { key, .. } => {
                Self::Key(key.clone())
            }
            Op::DeletePrefix { prefix } => Self::Key(prefix.clone()),
            Op::Txn(txn) => Self::Txn(txn.clone()),
            Op::Append { .. } | Op::Rollback { .. } | Op::Compact { .. } => Self::Other,
            Op::Lease(LeaseOp::Grant { ttl_ms }) => Self::Grant { ttl_ms: *ttl_ms },
            Op::Lease(LeaseOp::Renew { lease } | LeaseOp::Revoke { lease }) => Self::Lease(*lease),
            Op::Lock(LockOp::Acquire { name, lease, .. } | LockOp::Release { name, lease }) => {
                Self::Lock { name: name.clone(), lease: *lease }
            }
            Op::Fenced(fenced) => Self::of(&fenced.op),
        }
    }

    /// The key, or the beginning of the keys, where it is about such.
    fn key(&self) -> &str {
        match self {
            Self::Key(key) => key,
            Self::Txn(_)
            | Self::Other
            | Self::Grant { .. }
            | Self::Lease(_)
            | Self::Lock { .. } => "",
        }
    }
}

/// Why a mutation has no success to answer with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MutationRefused {
    /// The state did not come to `Synod-Min-Revision` in time.
    Behind { wanted: Revision, reason: NotReleased },
    /// The guard does not hold.
    GuardFailed { revision: Revision, current: Option<Revision>, delivery: Delivery },
    /// Another request was sent by its `Idempotency-Key` before.
    KeyReused { revision: Revision },
    /// As many first answers are kept as may be.
    TooManyKeys { revision: Revision },
    /// It did not happen.
    NotApplied(NotApplied),
    /// It was proposed and given up.
    Unknown(Stall),
    /// It was executed, but what it deleted could not be counted.
    Uncounted { revision: Revision, why: NotCounted },
    /// It was under way when the replica ended.
    Lost,
    /// The replica ends.
    Closed,
    /// What other requests sent takes all the memory that it may.
    BodiesFull(BudgetSpent),
    /// The replica that was taken for the primary is of another cluster, or does not know
    /// yet of which.
    OtherCluster { own: Option<ClusterId> },
    /// A transaction would have read too much.
    TxnTooLarge { revision: Revision, delivery: Delivery },
    /// Others read so much at the same time that there was no room for a transaction.
    TxnWithoutRoom { revision: Revision },
    /// A roll-back was refused.
    Rollback { revision: Revision, why: RollbackRefused, delivery: Delivery },
    /// It says something of a lease or a lock that is not so.
    Tenure { revision: Revision, why: TenureRefused, delivery: Delivery },
    /// It came again, and nobody knows any more what came of it.
    Forgotten,
    /// The revision of a compaction is yet to come.
    CompactionAhead { revision: Revision, asked: Revision, delivery: Delivery },
}

/// Why it is not known how many keys were deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NotCounted {
    /// The time ran out.
    Late,
    /// The replica has not executed it yet.
    Behind(NotReleased),
    /// Too much is being read.
    Overloaded(String),
    /// What it was before is not kept any more.
    Compacted { said: String, oldest: Revision },
    /// The state cannot be read now.
    Unavailable(String),
    /// The state cannot be read.
    Failed(String),
}

/// Has a command executed by this replica, which should be the primary.
pub(super) async fn perform(
    app: &App,
    (command, since, asked): (Command, Option<Slot>, &Asked),
    min_revision: Option<Revision>,
    deadline: Deadline,
) -> Result<Performed, MutationRefused> {
    if let Some(wanted) = min_revision {
        let waited = app.driver.at_least(wanted, deadline).await;
        waited.map_err(|reason| MutationRefused::Behind { wanted, reason })?;
    }
    let (outcome, delivery) = executed(app.driver.mutate((command, since), deadline).await)?;
    let performed = |mutated| Ok(Performed { mutated, delivery });
    let refused = |revision, why| Err(MutationRefused::Tenure { revision, why, delivery });
    match outcome {
        CommandOutcome::Created { revision } => performed(Mutated::Created { revision }),
        CommandOutcome::Replaced { revision, created_revision, version } => {
            performed(Mutated::Replaced { revision, created_revision, version })
        }
        CommandOutcome::Deleted { revision, deleted } => {
            performed(Mutated::Deleted { revision, deleted })
        }
        CommandOutcome::DeletedPrefix { revision } => {
            let deleted = CountQuery::of_prefix(asked.key(), revision);
            performed(counted(app, deleted, revision, deadline).await?)
        }
        CommandOutcome::LeaseRevoked { revision } => {
            let Asked::Lease(lease) = asked else { unreachable!("{asked:?} revokes no lease") };
            let deleted = CountQuery::of_lease(*lease, revision);
            performed(counted(app, deleted, revision, deadline).await?)
        }
        CommandOutcome::Txn(outcome) => {
            let Asked::Txn(txn) = asked else { unreachable!("{asked:?} is no transaction") };
            let revision = outcome.revision;
            let counting = deadline.bound(txn::counted(app, txn, outcome, deadline)).await;
            match counting.unwrap_or(Err(NotCounted::Late)) {
                Ok(outcome) => performed(Mutated::Txn(outcome)),
                Err(why) => Err(MutationRefused::Uncounted { revision, why }),
            }
        }
        CommandOutcome::Appended { revision, slot } => {
            performed(Mutated::Appended { revision, slot })
        }
        CommandOutcome::RolledBack { revision, restored, deleted } => {
            performed(Mutated::RolledBack { revision, restored, deleted })
        }
        CommandOutcome::RollbackRefused { revision, why } => {
            Err(MutationRefused::Rollback { revision, why, delivery })
        }
        CommandOutcome::Compacted { revision, below } => {
            performed(Mutated::Compacted { revision, below })
        }
        CommandOutcome::CompactionAhead { revision, asked } => {
            Err(MutationRefused::CompactionAhead { revision, asked, delivery })
        }
        CommandOutcome::TxnTooLarge { revision } => {
            Err(MutationRefused::TxnTooLarge { revision, delivery })
        }
        CommandOutcome::TxnWithoutRoom { revision } => {
            Err(MutationRefused::TxnWithoutRoom { revision })
        }
        CommandOutcome::PreconditionFailed { revision, current } => {
            Err(MutationRefused::GuardFailed { revision, current, delivery })
        }
        CommandOutcome::KeyReused { revision } => Err(MutationRefused::KeyReused { revision }),
        CommandOutcome::TooManyKeys { revision } => Err(MutationRefused::TooManyKeys { revision }),
        CommandOutcome::LeaseGranted { revision } => performed(Mutated::LeaseGranted { revision }),
        CommandOutcome::LeaseRenewed { revision, ttl_ms } => {
            performed(Mutated::LeaseRenewed { revision, ttl_ms })
        }
        CommandOutcome::LockHeld { revision, fence } => {
            performed(Mutated::LockHeld { revision, fence })
        }
        CommandOutcome::LockAwaited { revision, since } => {
            performed(Mutated::LockAwaited { revision, since })
        }
        CommandOutcome::LockReleased { revision } => performed(Mutated::LockReleased { revision }),
        CommandOutcome::NoSuchLease { revision, lease } => {
            refused(revision, TenureRefused::NoSuchLease(lease))
        }
        CommandOutcome::TooManyLeases { revision } => {
            refused(revision, TenureRefused::TooManyLeases)
        }
        CommandOutcome::LockBusy { revision, holder } => {
            refused(revision, TenureRefused::Busy(holder))
        }
        CommandOutcome::LockNotHeld { revision, holder } => {
            refused(revision, TenureRefused::NotHeld(holder))
        }
        CommandOutcome::TooManyClaims { revision } => {
            refused(revision, TenureRefused::TooManyClaims)
        }
        CommandOutcome::FenceFailed { revision, holder } => {
            refused(revision, TenureRefused::FenceFailed(holder))
        }
    }
}

/// What is said of a deletion of many keys, which are counted.
async fn counted(
    app: &App,
    query: CountQuery,
    revision: Revision,
    deadline: Deadline,
) -> Result<Mutated, MutationRefused> {
    let counting = async {
        app.driver.at_least(revision, deadline).await.map_err(NotCounted::Behind)?;
        count_deleted(app, query).await
    };
    match deadline.bound(counting).await.unwrap_or(Err(NotCounted::Late)) {
        Ok(deleted) => Ok(Mutated::Deleted { revision, deleted }),
        Err(why) => Err(MutationRefused::Uncounted { revision, why }),
    }
}

fn executed(end: MutationEnd) -> Result<(CommandOutcome, Delivery), MutationRefused> {
    match end {
        MutationEnd::Answered(Answer::Executed { slot: _, outcome, delivery }) => {
            Ok((outcome, delivery))
        }
        MutationEnd::Answered(Answer::NotApplied(reason)) => {
            Err(MutationRefused::NotApplied(reason))
        }
        MutationEnd::Answered(Answer::Unknown(stall)) => Err(MutationRefused::Unknown(stall)),
        MutationEnd::Answered(Answer::Forgotten) => Err(MutationRefused::Forgotten),
        MutationEnd::Closed => Err(MutationRefused::Closed),
        MutationEnd::Lost => Err(MutationRefused::Lost),
    }
}

/// Executing a deletion of many keys looks at none of them: how many it deleted is what the
/// state before it has, however often and wherever that is asked. This replica must have
/// executed it.
async fn count_deleted(app: &App, query: CountQuery) -> Result<u64, NotCounted> {
    app.reader.count(query).await.map_err(|error| not_read(&error))
}

fn not_read(error: &ReadError) -> NotCounted {
    let said = error.to_string();
    match error {
        ReadError::Overloaded { .. } => NotCounted::Overloaded(said),
        ReadError::Store(StoreError::Full(_) | StoreError::Busy(_)) | ReadError::Closed => {
            NotCounted::Unavailable(said)
        }
        ReadError::Revision(RevisionError::Compacted { oldest, .. }) => {
            NotCounted::Compacted { said, oldest: *oldest }
        }
        ReadError::Revision(RevisionError::Future { .. })
        | ReadError::Trimmed { .. }
        | ReadError::Store(
            StoreError::Damaged(_) | StoreError::Format(_) | StoreError::Failed(_),
        ) => NotCounted::Failed(said),
    }
}

/// A key was written.
#[derive(Serialize, JsonSchema)]
pub(super) struct Written<'a> {
    key: &'a str,
    revision: Revision,
    created_revision: Revision,
    version: u64,
}

/// Keys were deleted.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Deleted")]
pub(super) struct Gone {
    /// How many.
    deleted: u64,
    revision: Revision,
}

/// A value stands in the log.
#[derive(Serialize, JsonSchema)]
pub(super) struct Appended {
    slot: Slot,
    revision: Revision,
}

/// History was dropped.
#[derive(Serialize, JsonSchema)]
pub(super) struct Compacted {
    revision: Revision,
    compacted_below: Revision,
}

/// Keys are what they were, or would be.
#[derive(Serialize, JsonSchema)]
pub(super) struct RolledBack {
    pub(super) revision: Revision,
    /// How many keys have another value again.
    pub(super) restored: u64,
    /// How many are gone.
    pub(super) deleted: u64,
}

impl Written<'static> {
    /// One for the contract.
    pub(super) fn example() -> Self {
        let revision = Revision(42);
        Self { key: "app/web", revision, created_revision: revision, version: 1 }
    }
}

impl Gone {
    /// One for the contract.
    pub(super) fn example(deleted: u64) -> Self {
        Self { deleted, revision: Revision(43) }
    }
}

impl Appended {
    /// One for the contract.
    pub(super) fn example() -> Self {
        Self { slot: Slot(7), revision: Revision(42) }
    }
}

impl Compacted {
    /// One for the contract.
    pub(super) fn example() -> Self {
        Self { revision: Revision(43), compacted_below: Revision(42) }
    }
}

impl Performed {
    /// The answer to the client that asked for this.
    pub(super) fn response(self, asked: &Asked) -> Response {
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
    fn response(self, asked: &Asked) -> Response {
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
        }
    }
}

/// JSON that speaks of a revision.
fn said(body: &impl Serialize, revision: Revision) -> Response {
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

impl From<MutationRefused> for Problem {
    fn from(refused: MutationRefused) -> Self {
        match refused {
            MutationRefused::Behind { wanted, reason } => behind(wanted, &reason),
            MutationRefused::GuardFailed { revision, current, delivery } => {
                let problem = condition_failed("nothing was written", revision, current)
                    .with_outcome(Outcome::NotApplied);
                replayed(problem, delivery)
            }
            MutationRefused::KeyReused { revision } => Self::unprocessable(
                "the Idempotency-Key was used for another request: take a new one",
            )
            .with_revision(revision)
            .with_outcome(Outcome::NotApplied),
            MutationRefused::TooManyKeys { revision } => Self::overloaded(
                "too many idempotency keys: as many first answers are kept as may be",
            )
            .with_revision(revision)
            .with_outcome(Outcome::NotApplied),
            MutationRefused::TxnTooLarge { revision, delivery } => {
                let limit = "transaction's gets";
                let problem = Self::too_large(limit, limits::TXN_RESULT_BYTES)
                    .with_revision(revision)
                    .with_outcome(Outcome::NotApplied);
                replayed(problem, delivery)
            }
            MutationRefused::Rollback { revision, why, delivery } => {
                let problem =
                    Self::from(why).with_revision(revision).with_outcome(Outcome::NotApplied);
                replayed(problem, delivery)
            }
            MutationRefused::CompactionAhead { revision, asked, delivery } => {
                let ahead = RevisionError::Future { asked, present: revision };
                replayed(Self::from(ahead).with_outcome(Outcome::NotApplied), delivery)
            }
            MutationRefused::TxnWithoutRoom { revision } => {
                let limit = limits::BATCH_RESULT_BYTES;
                Self::overloaded(format!(
                    "the transactions that are executed together would read more than {limit} bytes"
                ))
                .with_revision(revision)
                .with_outcome(Outcome::NotApplied)
            }
            MutationRefused::Tenure { revision, why, delivery } => {
                let problem = Self::from(why).with_revision(revision);
                replayed(problem.with_outcome(Outcome::NotApplied), delivery)
            }
            MutationRefused::NotApplied(reason) => {
                not_applied(&reason).with_outcome(Outcome::NotApplied)
            }
            MutationRefused::Unknown(stall) => Self::timeout(format!(
                "the mutation was proposed, but not executed in time: {stall}"
            ))
            .with_outcome(Outcome::Unknown),
            MutationRefused::Uncounted { revision, why } => {
                not_counted(revision, why).with_outcome(Outcome::Applied).with_revision(revision)
            }
            MutationRefused::Lost => {
                let (kind, title) = ("urn:synod:problem:outcome-unknown", "Outcome unknown");
                let detail = "the replica ended while the mutation was under way";
                Self::new(StatusCode::GATEWAY_TIMEOUT, kind, title, detail)
                    .with_outcome(Outcome::Unknown)
            }
            MutationRefused::Forgotten => {
                let (kind, title) = ("urn:synod:problem:outcome-unknown", "Outcome unknown");
                let detail = "it was sent before, and what came of it is not known any more";
                Self::new(StatusCode::GATEWAY_TIMEOUT, kind, title, detail)
                    .with_retryable(Retryable::No)
                    .with_outcome(Outcome::Unknown)
            }
            MutationRefused::Closed => Self::unavailable("the replica is shutting down"),
            MutationRefused::BodiesFull(spent) => Self::overloaded(spent),
            MutationRefused::OtherCluster { own: None } => {
                Self::unavailable("the primary does not know its cluster yet")
            }
            MutationRefused::OtherCluster { own: Some(own) } => Self::unavailable(format!(
                "what was taken for the primary belongs to cluster {own}, another one"
            )),
        }
    }
}

fn replayed(problem: Problem, delivery: Delivery) -> Problem {
    match delivery {
        Delivery::First => problem,
        Delivery::Replayed => problem.with_header(REPLAYED, HeaderValue::from_static("true")),
    }
}

fn not_counted(revision: Revision, why: NotCounted) -> Problem {
    match why {
        NotCounted::Late => Problem::timeout("the keys were deleted, but not counted in time"),
        NotCounted::Behind(reason) => behind(revision, &reason),
        NotCounted::Overloaded(said) => Problem::overloaded(said),
        NotCounted::Compacted { said, oldest } => Problem::compacted(said, oldest),
        NotCounted::Unavailable(said) => Problem::unavailable(said),
        NotCounted::Failed(said) => Problem::internal(said),
    }
}

fn not_applied(reason: &NotApplied) -> Problem {
    match reason {
        NotApplied::NotPrimary { .. } | NotApplied::PrimaryChanged => {
            Problem::unavailable(reason.to_string())
        }
        NotApplied::QueueFull(limit) => Problem::overloaded(limit),
        NotApplied::IdentityTaken => Problem::unprocessable(reason.to_string()),
        NotApplied::StorageFull => {
            Problem::insufficient_storage(reason.to_string()).with_retry_after(RETRY_AFTER)
        }
        NotApplied::Unreadable(_) => {
            Problem::bad_request(reason.to_string()).with_retryable(Retryable::No)
        }
        NotApplied::GivenUp(stall @ (Stall::NoQuorum | Stall::NoLeader)) => {
            Problem::no_quorum(stall.to_string())
        }
        NotApplied::GivenUp(Stall::Overloaded(_) | Stall::Missing(_)) => {
            Problem::unavailable(reason.to_string())
        }
        NotApplied::GivenUp(Stall::Slow) => Problem::timeout(reason.to_string()),
        NotApplied::FormatNotReached { .. } => Problem::unavailable(reason.to_string()),
    }
}

#[cfg(test)]
mod tests;
