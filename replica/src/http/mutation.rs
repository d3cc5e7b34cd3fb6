//! What a mutation comes to at the primary, and how clients are told: the same at every
//! replica, since what is said here is what replicas give each other (see `forward`).

mod access;
mod refusal;
mod tenure;
mod told;
mod txn;

use std::sync::Arc;

use http::HeaderName;
use serde::{Deserialize, Serialize};
use shared::byte_budget::BudgetSpent;
use shared::deadline::Deadline;
use shared::ids::{ClusterId, LeaseId, Revision, Slot};

pub(super) use self::access::AccessChanged;
pub(super) use self::tenure::{Granted, Held, Released, Renewed, TenureRefused, no_such_lease};
use self::told::said;
pub(super) use self::told::{Appended, Compacted, Gone, RolledBack, Written};
pub(super) use self::txn::Rendered as TxnAnswer;
use super::App;
use crate::driver::{MutationEnd, NotReleased};
use crate::machine::access::authorize::Denied;
use crate::machine::access::outcome::{AccessDone, AccessRefused};
use crate::machine::command::{Command, Op};
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
    /// Something was done to tokens or policies.
    Access { revision: Revision, done: AccessDone },
}

/// What was asked for, as far as the answer needs it.
#[derive(Debug)]
pub(super) enum MutationKind {
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

impl MutationKind {
    /// What a command asks for.
    pub(super) fn of(op: &Op) -> Self {
        match op {
            Op::Put { key, .. } | Op::LeasedPut { key, .. } | Op::Delete { key, .. } => {
                Self::Key(key.clone())
            }
            Op::DeletePrefix { prefix } => Self::Key(prefix.clone()),
            Op::Txn(txn) => Self::Txn(txn.clone()),
            Op::Append { .. } | Op::Rollback { .. } | Op::Compact { .. } | Op::Access(_) => {
                Self::Other
            }
            Op::Lease(LeaseOp::Grant { ttl_ms }) => Self::Grant { ttl_ms: *ttl_ms },
            Op::Lease(LeaseOp::Renew { lease } | LeaseOp::Revoke { lease }) => Self::Lease(*lease),
            Op::Lock(
                LockOp::Acquire { name, lease, .. }
                | LockOp::Release { name, lease }
                | LockOp::Leave { name, lease, .. },
            ) => Self::Lock { name: name.clone(), lease: *lease },
            Op::Fenced(fenced) => Self::of(&fenced.op),
            Op::Attributed { by: _, op }
            | Op::Issued { subject: _, policies: _, op }
            | Op::Certified { subject: _, op } => Self::of(op),
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
    /// It was not done to tokens or policies.
    Access { revision: Revision, why: AccessRefused, delivery: Delivery },
    /// Whoever asked may not do it.
    Denied { revision: Revision, why: Denied },
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
    (command, since, asked): (Command, Option<Slot>, &MutationKind),
    min_revision: Option<Revision>,
    deadline: Deadline,
) -> Result<Performed, MutationRefused> {
    if let Some(wanted) = min_revision {
        let waited = app.driver.at_least(wanted, deadline).await;
        waited.map_err(|reason| MutationRefused::Behind { wanted, reason })?;
    }
    is_somebody(app, &command.op, deadline).await?;
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
            let MutationKind::Lease(lease) = asked else {
                unreachable!("{asked:?} revokes no lease")
            };
            let deleted = CountQuery::of_lease(*lease, revision);
            performed(counted(app, deleted, revision, deadline).await?)
        }
        CommandOutcome::Txn(outcome) => {
            let MutationKind::Txn(txn) = asked else { unreachable!("{asked:?} is no transaction") };
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
        CommandOutcome::TooManyOwnedLeases { revision } => {
            refused(revision, TenureRefused::TooManyOwnedLeases)
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
        CommandOutcome::Access { revision, done } => performed(Mutated::Access { revision, done }),
        CommandOutcome::AccessRefused { revision, why } => {
            Err(MutationRefused::Access { revision, why, delivery })
        }
        CommandOutcome::Denied { revision, why } => Err(MutationRefused::Denied { revision, why }),
    }
}

/// Whoever has no token any more is told nothing, also not what came of it before.
async fn is_somebody(app: &App, op: &Op, deadline: Deadline) -> Result<(), MutationRefused> {
    let Op::Attributed { by, op: _ } = op else { return Ok(()) };
    let is_known = || app.driver.access().get(*by).is_some();
    if is_known() {
        return Ok(());
    }
    // It may be one that was made just now.
    let read = app.driver.read(deadline).await;
    let revision = app.driver.published().status.revision;
    match read {
        Ok(()) if is_known() => Ok(()),
        Ok(()) => Err(MutationRefused::Denied { revision, why: Denied::UnknownToken }),
        Err(reason) => Err(MutationRefused::Behind { wanted: revision, reason }),
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

#[cfg(test)]
mod tests;
