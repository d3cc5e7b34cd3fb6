//! What came of one mutation.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::ids::{LeaseId, Revision, Slot};

use super::RollbackRefused;
use crate::machine::access::authorize::Denied;
use crate::machine::access::outcome::{AccessDone, AccessRefused};
use crate::machine::locks::Holder;
use crate::machine::txn::result::TxnOutcome;

/// What came of one mutation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommandOutcome {
    /// A key that didn't exist was written: it has this revision, as its created revision
    /// too, and version 1.
    Created {
        /// The revision of the mutation.
        revision: Revision,
    },
    /// A key that existed was written.
    Replaced {
        /// The revision of the mutation.
        revision: Revision,
        /// The revision at which the key was created.
        created_revision: Revision,
        /// The number of writes since it was created, with that one.
        version: u64,
    },
    /// A key was deleted, if it existed.
    Deleted {
        /// The revision of the mutation.
        revision: Revision,
        /// How many there were: 0 or 1.
        deleted: u64,
    },
    /// Every key with a prefix was deleted. How many there were is no part of it, since
    /// executing does not look at them: it is what the state of the revision before has.
    DeletedPrefix {
        /// The revision of the mutation.
        revision: Revision,
    },
    /// The guard didn't hold, so nothing was written and no revision used.
    PreconditionFailed {
        /// The revision of the state that was looked at.
        revision: Revision,
        /// The modification revision of the key, if it exists.
        current: Option<Revision>,
    },
    /// Another request came before by the same `Idempotency-Key`: nothing was done.
    KeyReused {
        /// The revision of the state.
        revision: Revision,
    },
    /// As many first answers are kept as may be: nothing was done.
    TooManyKeys {
        /// The revision of the state.
        revision: Revision,
    },
    /// A transaction was executed.
    Txn(Arc<TxnOutcome>),
    /// A transaction would have read more than
    /// [`TXN_RESULT_BYTES`](crate::machine::command::limits::TXN_RESULT_BYTES): nothing was
    /// done.
    TxnTooLarge {
        /// The revision of the state.
        revision: Revision,
    },
    /// A transaction would have read more than its batch had room for
    /// ([`BATCH_RESULT_BYTES`](crate::machine::command::limits::BATCH_RESULT_BYTES)): nothing
    /// was done, and this is no first answer.
    TxnWithoutRoom {
        /// The revision of the state.
        revision: Revision,
    },
    /// A value was appended to the log.
    Appended {
        /// The revision of the mutation.
        revision: Revision,
        /// The slot that has it.
        slot: Slot,
    },
    /// Every key with a prefix is what it was at a revision.
    RolledBack {
        /// The revision of the mutation.
        revision: Revision,
        /// How many keys were written again.
        restored: u64,
        /// How many were deleted.
        deleted: u64,
    },
    /// A roll-back was refused: nothing was done.
    RollbackRefused {
        /// The revision of the state.
        revision: Revision,
        /// Why.
        why: RollbackRefused,
    },
    /// A lease was granted.
    LeaseGranted {
        /// The revision of the mutation: it is the lease's id, too.
        revision: Revision,
    },
    /// A lease's time began again.
    LeaseRenewed {
        /// The revision of the mutation.
        revision: Revision,
        /// How long it lasts. Milliseconds of replicated time.
        ttl_ms: u64,
    },
    /// A lease was ended. How many keys went with it is what the state of the revision
    /// before has.
    LeaseRevoked {
        /// The revision of the mutation.
        revision: Revision,
    },
    /// The lease does not exist, or has ended: nothing was done.
    NoSuchLease {
        /// The revision of the state.
        revision: Revision,
        /// Which lease.
        lease: LeaseId,
    },
    /// There are as many leases as may be: nothing was done, and this is no first answer.
    TooManyLeases {
        /// The revision of the state.
        revision: Revision,
    },
    /// The lease holds the lock.
    LockHeld {
        /// The revision of the mutation; of the state, where it held it before.
        revision: Revision,
        /// Since which revision it does.
        fence: Revision,
    },
    /// The lease waits for the lock.
    LockAwaited {
        /// The revision of the mutation; of the state, where it waited before.
        revision: Revision,
        /// Since which revision it does: its place.
        since: Revision,
    },
    /// Another lease holds the lock, and this one does not wait for it.
    LockBusy {
        /// The revision of the mutation, where the lease has left the line; otherwise of the
        /// state.
        revision: Revision,
        /// Who holds it.
        holder: Holder,
    },
    /// The lock was given up.
    LockReleased {
        /// The revision of the mutation.
        revision: Revision,
    },
    /// The lease does not hold the lock: nothing was done.
    LockNotHeld {
        /// The revision of the state.
        revision: Revision,
        /// Who holds it, if somebody does.
        holder: Option<Holder>,
    },
    /// There are as many claims on locks as may be: nothing was done, and this is no first
    /// answer.
    TooManyClaims {
        /// The revision of the state.
        revision: Revision,
    },
    /// The lock is not held at the fence: nothing was done.
    FenceFailed {
        /// The revision of the state.
        revision: Revision,
        /// Who holds the lock, if somebody does.
        holder: Option<Holder>,
    },
    /// The history before a revision is dropped, by this or by what was asked before. No key
    /// is changed by that, and no revision used.
    Compacted {
        /// The revision of the state.
        revision: Revision,
        /// The oldest revision whose state can be read.
        below: Revision,
    },
    /// The revision of a compaction is yet to come: nothing was done.
    CompactionAhead {
        /// The revision of the state.
        revision: Revision,
        /// What was asked for.
        asked: Revision,
    },
    /// Something was done to tokens or policies.
    Access {
        /// The revision of the mutation.
        revision: Revision,
        /// What.
        done: AccessDone,
    },
    /// Something was not done to tokens or policies.
    AccessRefused {
        /// The revision of the state.
        revision: Revision,
        /// Why.
        why: AccessRefused,
    },
    /// Whoever asked may not do it: nothing was done, and this is no first answer.
    Denied {
        /// The revision of the state.
        revision: Revision,
        /// Why.
        why: Denied,
    },
    /// The token has as many leases as one may have: nothing was done, and this is no first
    /// answer.
    TooManyOwnedLeases {
        /// The revision of the state.
        revision: Revision,
    },
}

impl CommandOutcome {
    /// The revision of the state that the outcome speaks of: `Synod-Revision`.
    #[must_use]
    pub fn revision(&self) -> Revision {
        match self {
            Self::Created { revision }
            | Self::Replaced { revision, .. }
            | Self::Deleted { revision, .. }
            | Self::DeletedPrefix { revision }
            | Self::PreconditionFailed { revision, .. }
            | Self::KeyReused { revision }
            | Self::TooManyKeys { revision }
            | Self::TxnTooLarge { revision }
            | Self::TxnWithoutRoom { revision }
            | Self::Appended { revision, .. }
            | Self::RolledBack { revision, .. }
            | Self::RollbackRefused { revision, .. } => *revision,
            Self::LeaseGranted { revision }
            | Self::LeaseRenewed { revision, .. }
            | Self::LeaseRevoked { revision }
            | Self::NoSuchLease { revision, .. }
            | Self::TooManyLeases { revision }
            | Self::LockHeld { revision, .. }
            | Self::LockAwaited { revision, .. }
            | Self::LockBusy { revision, .. }
            | Self::LockReleased { revision }
            | Self::LockNotHeld { revision, .. }
            | Self::TooManyClaims { revision }
            | Self::FenceFailed { revision, .. }
            | Self::Compacted { revision, .. }
            | Self::CompactionAhead { revision, .. }
            | Self::Access { revision, .. }
            | Self::AccessRefused { revision, .. }
            | Self::Denied { revision, .. }
            | Self::TooManyOwnedLeases { revision } => *revision,
            Self::Txn(outcome) => outcome.revision,
        }
    }

    /// Whether it says no more than that there is no room now: the same request may come to
    /// something else, and so this is not kept as its first answer.
    #[must_use]
    pub fn is_for_now(&self) -> bool {
        matches!(
            self,
            Self::TooManyKeys { .. }
                | Self::TxnWithoutRoom { .. }
                | Self::TooManyLeases { .. }
                | Self::TooManyOwnedLeases { .. }
                | Self::TooManyClaims { .. }
                | Self::Denied { .. }
        ) || matches!(self, Self::AccessRefused { revision: _, why } if why.is_for_now())
    }
}

#[cfg(test)]
mod tests;
