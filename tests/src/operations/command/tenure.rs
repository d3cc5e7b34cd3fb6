//! Between what is asked of leases and locks and the replicated log.

use std::collections::BTreeMap;

use replica::machine::command::{Condition, Op};
use replica::machine::leases::LeaseOp;
use replica::machine::locks::{Fence, Fenced, Holder, LockOp, Otherwise};
use replica::machine::outcome::CommandOutcome;
use replica::machine::state::ReplicatedState;
use shared::ids::{LeaseId, Revision};

use crate::operations::{Executed, Key, Place, Tenure, TenureAnswer, TenureCall, Value};

/// As it stands in the log.
///
/// # Panics
/// When nobody asks for it.
pub(super) fn op(call: &TenureCall) -> Op {
    match call {
        TenureCall::Grant { ttl_ms } => Op::Lease(LeaseOp::Grant { ttl_ms: *ttl_ms }),
        TenureCall::Renew { lease } => Op::Lease(LeaseOp::Renew { lease: LeaseId(*lease) }),
        TenureCall::Revoke { lease } => Op::Lease(LeaseOp::Revoke { lease: LeaseId(*lease) }),
        TenureCall::LeasedPut { lease, key, value } => Op::LeasedPut {
            lease: LeaseId(*lease),
            key: key.to_string(),
            value: value.encode(),
            content_type: None,
            condition: Condition::Always,
        },
        TenureCall::FencedPut { lock, fence, key, value } => {
            let fence = Fence { name: lock.to_string(), revision: Revision(*fence) };
            let op = Op::Put {
                key: key.to_string(),
                value: value.encode(),
                content_type: None,
                condition: Condition::Always,
            };
            Op::Fenced(Box::new(Fenced { fence, op }))
        }
        TenureCall::Acquire { lock, lease, wait } => {
            let otherwise = if *wait { Otherwise::Wait } else { Otherwise::Leave };
            let (name, lease) = (lock.to_string(), LeaseId(*lease));
            Op::Lock(LockOp::Acquire { name, lease, otherwise })
        }
        TenureCall::Release { lock, lease } => {
            Op::Lock(LockOp::Release { name: lock.to_string(), lease: LeaseId(*lease) })
        }
        TenureCall::Leave { lock, lease, since } => Op::Lock(LockOp::Leave {
            name: lock.to_string(),
            lease: LeaseId(*lease),
            since: Revision(*since),
        }),
        TenureCall::Expire { .. } => unreachable!("executing comes to it by itself"),
    }
}

/// What it asks for.
///
/// # Panics
/// When no client of the tests does.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others have to do with neither")]
pub(super) fn call(op: &Op) -> TenureCall {
    match op {
        Op::Lease(LeaseOp::Grant { ttl_ms }) => TenureCall::Grant { ttl_ms: *ttl_ms },
        Op::Lease(LeaseOp::Renew { lease }) => TenureCall::Renew { lease: lease.0 },
        Op::Lease(LeaseOp::Revoke { lease }) => TenureCall::Revoke { lease: lease.0 },
        Op::LeasedPut { lease, key, value, .. } => TenureCall::LeasedPut {
            lease: lease.0,
            key: Key::from(key.as_str()),
            value: Value::decode(value),
        },
        Op::Lock(LockOp::Acquire { name, lease, otherwise }) => TenureCall::Acquire {
            lock: Key::from(name.as_str()),
            lease: lease.0,
            wait: *otherwise == Otherwise::Wait,
        },
        Op::Lock(LockOp::Release { name, lease }) => {
            TenureCall::Release { lock: Key::from(name.as_str()), lease: lease.0 }
        }
        Op::Lock(LockOp::Leave { name, lease, since }) => {
            TenureCall::Leave { lock: Key::from(name.as_str()), lease: lease.0, since: since.0 }
        }
        Op::Fenced(fenced) => match &fenced.op {
            Op::Put { key, value, .. } => TenureCall::FencedPut {
                lock: Key::from(fenced.fence.name.as_str()),
                fence: fenced.fence.revision.0,
                key: Key::from(key.as_str()),
                value: Value::decode(value),
            },
            other => panic!("the clients of tests do not fence {other:?}"),
        },
        other => panic!("{other:?} has to do with neither leases nor locks"),
    }
}

/// What its client hears.
///
/// # Panics
/// When it is another outcome.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others have to do with neither")]
pub(super) fn answer(
    outcome: &CommandOutcome,
    counted: impl Fn(Revision, &str) -> u64,
) -> TenureAnswer {
    match outcome {
        CommandOutcome::LeaseGranted { .. } => TenureAnswer::Granted,
        CommandOutcome::LeaseRenewed { ttl_ms, .. } => TenureAnswer::Renewed(*ttl_ms),
        CommandOutcome::LeaseRevoked { revision } => TenureAnswer::Ended(counted(*revision, "")),
        CommandOutcome::Created { .. } | CommandOutcome::Replaced { .. } => TenureAnswer::Put,
        CommandOutcome::NoSuchLease { .. } => TenureAnswer::NoSuchLease,
        CommandOutcome::LockHeld { fence, .. } => TenureAnswer::Held(fence.0),
        CommandOutcome::LockAwaited { since, .. } => TenureAnswer::Waits(since.0),
        CommandOutcome::LockBusy { holder, .. } => TenureAnswer::Busy(pair(*holder)),
        CommandOutcome::LockReleased { .. } => TenureAnswer::Released,
        CommandOutcome::LockNotHeld { holder, .. } => TenureAnswer::NotHeld(holder.map(pair)),
        CommandOutcome::FenceFailed { holder, .. } => TenureAnswer::FenceFailed(holder.map(pair)),
        other => unreachable!("{other:?} is said of neither leases nor locks"),
    }
}

fn pair(holder: Holder) -> (u64, u64) {
    (holder.lease.0, holder.fence.0)
}

/// What the outcome must be of what the reference has executed.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others have to do with neither")]
pub(super) fn outcome(
    call: &TenureCall,
    answer: TenureAnswer,
    executed: &Executed,
) -> CommandOutcome {
    let revision = Revision(executed.revision);
    let holder = |(lease, fence)| Holder { lease: LeaseId(lease), fence: Revision(fence) };
    match answer {
        TenureAnswer::Granted => CommandOutcome::LeaseGranted { revision },
        TenureAnswer::Renewed(ttl_ms) => CommandOutcome::LeaseRenewed { revision, ttl_ms },
        TenureAnswer::Ended(_) => CommandOutcome::LeaseRevoked { revision },
        TenureAnswer::Put => super::written(executed),
        TenureAnswer::NoSuchLease => {
            let lease = match call {
                TenureCall::Renew { lease }
                | TenureCall::Revoke { lease }
                | TenureCall::LeasedPut { lease, .. }
                | TenureCall::Acquire { lease, .. }
                | TenureCall::Leave { lease, .. } => LeaseId(*lease),
                other => unreachable!("{other:?} names no lease that has to be there"),
            };
            CommandOutcome::NoSuchLease { revision, lease }
        }
        TenureAnswer::Held(fence) => CommandOutcome::LockHeld { revision, fence: Revision(fence) },
        TenureAnswer::Waits(since) => {
            CommandOutcome::LockAwaited { revision, since: Revision(since) }
        }
        TenureAnswer::Busy(of) => CommandOutcome::LockBusy { revision, holder: holder(of) },
        TenureAnswer::Released => CommandOutcome::LockReleased { revision },
        TenureAnswer::NotHeld(of) => {
            CommandOutcome::LockNotHeld { revision, holder: of.map(holder) }
        }
        TenureAnswer::FenceFailed(of) => {
            CommandOutcome::FenceFailed { revision, holder: of.map(holder) }
        }
    }
}

/// Whether a replica's leases and locks are those of the reference.
pub(super) fn is_of(state: &ReplicatedState, tenure: &Tenure) -> bool {
    state.locks().invariant_lines_are_in_order();
    let leases = state.leases().iter().map(|(id, lease)| (id.0, lease.ttl_ms));
    let locks: BTreeMap<Key, Vec<Place>> = state
        .locks()
        .iter()
        .map(|(name, line)| {
            let place = |(since, claim): (&Revision, &replica::machine::locks::Claim)| Place {
                lease: claim.lease.0,
                since: since.0,
                fence: claim.fence.map(|fence| fence.0),
            };
            (Key::from(name), line.iter().map(place).collect())
        })
        .collect();
    let records = state.keys().records().iter();
    let bound = records.filter_map(|(key, record)| Some((key.as_str(), record.lease?.0)));
    leases.eq(tenure.leases.iter().map(|(id, ttl_ms)| (*id, *ttl_ms)))
        && locks == tenure.locks
        && bound.eq(tenure.bound.iter().map(|(key, lease)| (&**key, *lease)))
}
