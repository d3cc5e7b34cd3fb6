//! What executing comes to: of a command, of a slot, of a run of slots.
//!
//! [`CommandOutcome`] is a format: replicas give outcomes to each other and keep them, so
//! variants and fields are only ever added at the end.

mod command;

use serde::{Deserialize, Serialize};
use shared::ids::{BatchNumber, Epoch, LogFormat, Revision, Slot};
use shared::message::View;

use crate::machine::chain::ChainHash;
use crate::machine::change::Change;
use crate::machine::command::{Unreadable, limits};
use crate::machine::identity::RequestIdentity;
use crate::machine::state::Meta;
pub use command::CommandOutcome;

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
