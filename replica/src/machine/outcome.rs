//! What executing comes to: of a command, of a slot, of a run of slots.
//!
//! [`CommandOutcome`] is a format: replicas give outcomes to each other and keep them, so
//! variants and fields are only ever added at the end.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::ids::{BatchNumber, Epoch, LeaseId, LogFormat, Revision, Slot};
use shared::message::View;

use crate::machine::access::authorize::Denied;
use crate::machine::access::outcome::{AccessDone, AccessRefused};
use crate::machine::chain::ChainHash;
use crate::machine::change::Change;
use crate::machine::command::{Unreadable, limits};
use crate::machine::identity::RequestIdentity;
use crate::machine::locks::Holder;
use crate::machine::state::Meta;
use crate::machine::txn::result::TxnOutcome;

/// What came of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The slot.
    pub slot: Slot,
    /// The hash of the log up to and with it.
    pub hash: ChainHash,
    /// The revision of the state after it.
    pub revision: Revision,
    /// What was done.
    pub outcome: SlotOutcome,
    /// What it changed, in order.
    pub changes: Vec<Change>,
}

/// What executing a slot did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotOutcome {
    /// It held nothing to do.
    Noop,
    /// From here on this is the view.
    View(View),
    /// The mutations of a batch were executed, each with its outcome.
    Batch {
        /// The epoch of the batch.
        epoch: Epoch,
        /// Its number in that epoch.
        number: BatchNumber,
        /// One for each command, in their order.
        commands: Vec<ExecutedCommand>,
    },
    /// It counts for nothing, on every replica.
    Void(VoidReason),
}

/// Why a slot counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoidReason {
    /// The bytes are not the encoding of a value.
    #[error("the bytes are not the encoding of a value")]
    Undecodable,
    /// A view that doesn't follow the one before, or is too large.
    #[error("the view of epoch {epoch} does not follow epoch {current}")]
    ViewOutOfOrder {
        /// The epoch of the view.
        epoch: Epoch,
        /// The epoch of the state.
        current: Epoch,
    },
    /// A value of a format that the log has not come to: nobody executes it, whether or
    /// not it could be read.
    #[error("the value has format {format}, and the log format {current}")]
    FormatNotReached {
        /// The format of the value.
        format: LogFormat,
        /// The format of the log.
        current: LogFormat,
    },
    /// A view that would take back what the log may say already.
    #[error("the view of epoch {epoch} lowers the format of the log from {current} to {format}")]
    FormatLowered {
        /// The epoch of the view.
        epoch: Epoch,
        /// The format that it names.
        format: LogFormat,
        /// The format of the log.
        current: LogFormat,
    },
    /// A view beyond a limit of the format.
    #[error(
        "the view of epoch {epoch} names {backups} backups, above the limit of {}",
        limits::BACKUPS
    )]
    ViewTooLarge {
        /// The epoch of the view.
        epoch: Epoch,
        /// How many backups it names.
        backups: usize,
    },
    /// A batch of a primary that was deposed, or that is not there yet.
    #[error("batch {number} of epoch {epoch} comes in epoch {current}")]
    OtherEpoch {
        /// The epoch of the batch.
        epoch: Epoch,
        /// Its number in that epoch.
        number: BatchNumber,
        /// The epoch of the state.
        current: Epoch,
    },
    /// A batch that comes again, or before the one that precedes it.
    #[error("batch {number} of epoch {epoch} comes where batch {expected} is due")]
    OutOfOrder {
        /// The epoch of the batch.
        epoch: Epoch,
        /// Its number in that epoch.
        number: BatchNumber,
        /// The number that was due.
        expected: BatchNumber,
    },
    /// A batch at its place whose contents nobody can execute. It uses up its number, so
    /// that the next one is not held up.
    #[error("batch {number} of epoch {epoch}: {error}")]
    Unreadable {
        /// The epoch of the batch.
        epoch: Epoch,
        /// Its number in that epoch.
        number: BatchNumber,
        /// What is wrong with it.
        error: Unreadable,
    },
}

/// What came of a command, and of whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutedCommand {
    /// The request that asked for it.
    pub request: RequestIdentity,
    /// What came of it.
    pub outcome: CommandOutcome,
    /// Whether that happened now.
    pub delivery: Delivery,
}

/// Whether an outcome is of what was just executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// It is.
    First,
    /// It is the kept one of the same request, which came before.
    Replayed,
}

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
    /// A transaction would have read more than [`limits::TXN_RESULT_BYTES`]: nothing was
    /// done.
    TxnTooLarge {
        /// The revision of the state.
        revision: Revision,
    },
    /// A transaction would have read more than its batch had room for
    /// ([`limits::BATCH_RESULT_BYTES`]): nothing was done, and this is no first answer.
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

/// Why a roll-back was not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum RollbackRefused {
    /// Its revision is yet to come.
    #[error("revision {asked} is yet to come")]
    Future {
        /// The revision.
        asked: Revision,
    },
    /// The state at its revision is not kept any more.
    #[error("revision {asked} is compacted: the oldest that can be read is {oldest}")]
    Compacted {
        /// The revision.
        asked: Revision,
        /// The oldest one of which the state is kept.
        oldest: Revision,
    },
    /// It would look at more than [`limits::ROLLBACK_KEYS`].
    #[error(
        "more than {limit} keys were ever written with the prefix, and there were more than \
         {limit} changes since the revision: a roll-back looks at no more than the fewer of both",
        limit = limits::ROLLBACK_KEYS
    )]
    TooManyKeys,
    /// It would write more than [`limits::ROLLBACK_BYTES`].
    #[error("a roll-back writes no more than {} bytes", limits::ROLLBACK_BYTES)]
    TooLarge,
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

/// What came of a run of slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionReport {
    /// Each slot, in order.
    pub slots: Vec<Executed>,
    /// The meta data after the last.
    pub meta: Meta,
    /// When the next lease or token ends after it, unless it is renewed. Milliseconds of replicated
    /// time.
    pub next_expiry_ms: Option<u64>,
}

#[cfg(test)]
mod tests;
