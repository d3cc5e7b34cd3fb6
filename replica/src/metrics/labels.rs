//! The values of labels: what came of a command, and why one was refused.

use crate::machine::outcome::CommandOutcome;
use crate::replica::event::{NotApplied, Refusal, Stall};

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Created,
    Replaced,
    Deleted,
    DeletedPrefix,
    Txn,
    Appended,
    RolledBack,
    LeaseGranted,
    LeaseRenewed,
    LeaseRevoked,
    LockHeld,
    LockAwaited,
    LockBusy,
    LockReleased,
    Compacted,
    /// What was asked for did not hold.
    PreconditionFailed,
    /// There is no such lease, or it does not hold the lock.
    NotHeld,
    /// A limit was hit, or a rule does not allow it.
    Refused,
    AccessChanged,
    /// Whoever asked may not do it.
    Denied,
}

impl Outcome {
    /// Their names, in their order.
    pub(super) const NAMES: [&str; 20] = [
        "created",
        "replaced",
        "deleted",
        "deleted_prefix",
        "txn",
        "appended",
        "rolled_back",
        "lease_granted",
        "lease_renewed",
        "lease_revoked",
        "lock_held",
        "lock_awaited",
        "lock_busy",
        "lock_released",
        "compacted",
        "precondition_failed",
        "not_held",
        "refused",
        "access_changed",
        "denied",
    ];

    pub(super) fn of(outcome: &CommandOutcome) -> Self {
        match outcome {
            CommandOutcome::Created { .. } => Self::Created,
            CommandOutcome::Replaced { .. } => Self::Replaced,
            CommandOutcome::Deleted { .. } => Self::Deleted,
            CommandOutcome::DeletedPrefix { .. } => Self::DeletedPrefix,
            CommandOutcome::Txn(_) => Self::Txn,
            CommandOutcome::Appended { .. } => Self::Appended,
            CommandOutcome::RolledBack { .. } => Self::RolledBack,
            CommandOutcome::LeaseGranted { .. } => Self::LeaseGranted,
            CommandOutcome::LeaseRenewed { .. } => Self::LeaseRenewed,
            CommandOutcome::LeaseRevoked { .. } => Self::LeaseRevoked,
            CommandOutcome::LockHeld { .. } => Self::LockHeld,
            CommandOutcome::LockAwaited { .. } => Self::LockAwaited,
            CommandOutcome::LockBusy { .. } => Self::LockBusy,
            CommandOutcome::LockReleased { .. } => Self::LockReleased,
            CommandOutcome::Compacted { .. } => Self::Compacted,
            CommandOutcome::PreconditionFailed { .. } | CommandOutcome::FenceFailed { .. } => {
                Self::PreconditionFailed
            }
            CommandOutcome::NoSuchLease { .. } | CommandOutcome::LockNotHeld { .. } => {
                Self::NotHeld
            }
            CommandOutcome::KeyReused { .. }
            | CommandOutcome::TooManyKeys { .. }
            | CommandOutcome::TxnTooLarge { .. }
            | CommandOutcome::TxnWithoutRoom { .. }
            | CommandOutcome::RollbackRefused { .. }
            | CommandOutcome::CompactionAhead { .. }
            | CommandOutcome::TooManyLeases { .. }
            | CommandOutcome::TooManyOwnedLeases { .. }
            | CommandOutcome::TooManyClaims { .. }
            | CommandOutcome::AccessRefused { .. } => Self::Refused,
            CommandOutcome::Access { .. } => Self::AccessChanged,
            CommandOutcome::Denied { .. } => Self::Denied,
        }
    }
}

/// Why a mutation was not executed, or nothing is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    NotPrimary,
    PrimaryChanged,
    QueueFull,
    StorageFull,
    IdentityTaken,
    Unreadable,
    GivenUp,
    FormatNotReached,
    Unknown,
    Forgotten,
}

impl Refused {
    /// Their names, in their order.
    pub(super) const NAMES: [&str; 10] = [
        "not_primary",
        "primary_changed",
        "queue_full",
        "storage_full",
        "identity_taken",
        "unreadable",
        "given_up",
        "format_not_reached",
        "unknown",
        "forgotten",
    ];

    pub(super) fn of(reason: &NotApplied) -> Self {
        match reason {
            NotApplied::NotPrimary { .. } => Self::NotPrimary,
            NotApplied::PrimaryChanged => Self::PrimaryChanged,
            NotApplied::QueueFull(_) => Self::QueueFull,
            NotApplied::StorageFull => Self::StorageFull,
            NotApplied::IdentityTaken => Self::IdentityTaken,
            NotApplied::Unreadable(_) => Self::Unreadable,
            NotApplied::GivenUp(_) => Self::GivenUp,
            NotApplied::FormatNotReached { .. } => Self::FormatNotReached,
        }
    }
}

/// Why a read was not released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadRefused {
    QueueFull,
    NoQuorum,
    Missing,
    NoLeader,
    Overloaded,
    Slow,
}

impl ReadRefused {
    /// Their names, in their order.
    pub(super) const NAMES: [&str; 6] =
        ["queue_full", "no_quorum", "missing", "no_leader", "overloaded", "slow"];

    pub(super) fn of(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::QueueFull(_) => Self::QueueFull,
            Refusal::GivenUp(Stall::NoQuorum) => Self::NoQuorum,
            Refusal::GivenUp(Stall::Missing(_)) => Self::Missing,
            Refusal::GivenUp(Stall::NoLeader) => Self::NoLeader,
            Refusal::GivenUp(Stall::Overloaded(_)) => Self::Overloaded,
            Refusal::GivenUp(Stall::Slow) => Self::Slow,
        }
    }
}
