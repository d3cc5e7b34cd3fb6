//! What executing does to leases and locks.

use shared::ids::{Accessor, LeaseId, Revision};

use crate::machine::change::Change;
use crate::machine::command::limits;
use crate::machine::format;
use crate::machine::keys::LeaseTombstone;
use crate::machine::leases::{LeaseEnd, LeaseOp};
use crate::machine::locks::{AcquireResult, Fence, Left, LockOp, Settled};
use crate::machine::outcome::CommandOutcome;
use crate::machine::state::{Meta, ReplicatedState};

pub(super) fn execute_lease(
    state: &mut ReplicatedState,
    revision: Revision,
    by: Option<Accessor>,
    op: LeaseOp,
) -> CommandOutcome {
    // Before tokens are required there is none that a lease could be kept for.
    let owner = by.filter(|_| state.access().is_required());
    let (before, time_ms) = (state.meta().revision, state.meta().time_ms);
    let leases = &mut state.whole.leases;
    match op {
        LeaseOp::Grant { .. } if leases.len() >= limits::LEASES => {
            CommandOutcome::TooManyLeases { revision: before }
        }
        LeaseOp::Grant { .. }
            if owner.is_some_and(|owner| leases.owned_by(owner) >= limits::OWNED_LEASES) =>
        {
            CommandOutcome::TooManyOwnedLeases { revision: before }
        }
        LeaseOp::Grant { ttl_ms } => {
            leases.grant((LeaseId(revision.0), owner), ttl_ms, time_ms);
            state.meta_mut().leases += 1;
            CommandOutcome::LeaseGranted { revision }
        }
        LeaseOp::Renew { lease } => match leases.renew(lease, time_ms) {
            Some(renewed) => CommandOutcome::LeaseRenewed { revision, ttl_ms: renewed.ttl_ms },
            None => CommandOutcome::NoSuchLease { revision: before, lease },
        },
        LeaseOp::Revoke { lease } if leases.get(lease).is_some() => {
            end_lease(state, lease, LeaseEnd::Revoked, revision);
            CommandOutcome::LeaseRevoked { revision }
        }
        LeaseOp::Revoke { lease } => CommandOutcome::NoSuchLease { revision: before, lease },
    }
}

pub(super) fn execute_lock(
    state: &mut ReplicatedState,
    revision: Revision,
    op: LockOp,
) -> CommandOutcome {
    let before = state.meta().revision;
    let outcome = match op {
        LockOp::Acquire { lease, .. } | LockOp::Leave { lease, .. }
            if state.leases().get(lease).is_none() =>
        {
            CommandOutcome::NoSuchLease { revision: before, lease }
        }
        LockOp::Acquire { name, lease, otherwise } => {
            match state.whole.locks.acquire(&name, lease, otherwise, revision) {
                AcquireResult::Holds(fence) => CommandOutcome::LockHeld { revision: before, fence },
                AcquireResult::Acquired => CommandOutcome::LockHeld { revision, fence: revision },
                AcquireResult::Waits { since, is_new } => {
                    let revision = if is_new { revision } else { before };
                    CommandOutcome::LockAwaited { revision, since }
                }
                AcquireResult::Busy { holder, has_left: true } => {
                    note_settled(state, Settled { name, lease }, revision);
                    CommandOutcome::LockBusy { revision, holder }
                }
                AcquireResult::Busy { holder, has_left: false } => {
                    CommandOutcome::LockBusy { revision: before, holder }
                }
                AcquireResult::TooMany => CommandOutcome::TooManyClaims { revision: before },
            }
        }
        LockOp::Leave { name, lease, since } => {
            match state.whole.locks.leave(&name, lease, since) {
                Left::Out(holder) => {
                    note_settled(state, Settled { name, lease }, revision);
                    CommandOutcome::LockBusy { revision, holder }
                }
                Left::Holds(fence) => CommandOutcome::LockHeld { revision: before, fence },
                Left::NoClaim(holder) => CommandOutcome::LockNotHeld { revision: before, holder },
            }
        }
        LockOp::Release { name, lease } => {
            match state.whole.locks.release(&name, lease, revision) {
                Ok(settled) => {
                    settled.into_iter().for_each(|next| note_settled(state, next, revision));
                    CommandOutcome::LockReleased { revision }
                }
                Err(holder) => CommandOutcome::LockNotHeld { revision: before, holder },
            }
        }
    };
    state.meta_mut().claims = state.locks().claims() as u64;
    outcome
}

/// What comes of a mutation whose fence does not hold; none where it does.
pub(super) fn fence_failed(state: &ReplicatedState, fence: &Fence) -> Option<CommandOutcome> {
    let holder = state.locks().holder(&fence.name);
    if holder.is_some_and(|holder| holder.fence == fence.revision) {
        return None;
    }
    Some(CommandOutcome::FenceFailed { revision: state.meta().revision, holder })
}

/// Ends leases whose time is over, the oldest first, each at a revision of its own: so many
/// as one batch ends at most.
pub(in crate::machine) fn expire_leases(state: &mut ReplicatedState) {
    let Meta { time_ms, .. } = *state.meta();
    let over_before = match state.meta().format() {
        format if format >= format::LEASES_WHOLE => time_ms,
        _ => time_ms.saturating_add(1),
    };
    for _ in 0..limits::LEASES_ENDED {
        let Some(lease) = state.leases().first_before(over_before) else { return };
        let revision = state.meta().revision.next();
        end_lease(state, lease, LeaseEnd::Expired, revision);
        state.meta_mut().revision = revision;
    }
}

/// A lease ends, with its keys and its claims.
fn end_lease(state: &mut ReplicatedState, lease: LeaseId, end: LeaseEnd, revision: Revision) {
    let ended = state.whole.leases.end(lease).expect("only a lease that exists is ended");
    state.meta_mut().leases -= 1;
    if ended.has_keys {
        state.keys.end_lease(LeaseTombstone { lease, revision, end });
    }
    state.keys.note_change(Change::Lease { lease, end, revision });
    for settled in state.whole.locks.end_lease(lease, revision) {
        note_settled(state, settled, revision);
    }
    state.meta_mut().claims = state.locks().claims() as u64;
}

fn note_settled(state: &mut ReplicatedState, settled: Settled, revision: Revision) {
    let Settled { name, lease } = settled;
    state.keys.note_change(Change::Lock { name, lease, revision });
}
