//! Somebody is to read the state of exactly one slot, while the log goes on.
//!
//! The core hands nothing out that goes beyond the slot ([`Input::StopAt`]), and whoever
//! executes stores all below it and stands still until the reader's transaction has begun
//! (`executor::pinning`): some milliseconds, and no longer than its bound.
//!
//! [`Input::StopAt`]: crate::replica::event::Input::StopAt

use std::convert::Infallible;

use shared::ids::Slot;
use tokio::sync::oneshot;

/// Somebody waits for the tables to have exactly the slots below this one.
#[derive(Debug)]
pub(super) struct Pin {
    pub(super) below: Slot,
    pub(super) reply: oneshot::Sender<Result<Held, NotPinned>>,
}

/// The tables have exactly the slots that were asked for. What executes goes on when this is
/// dropped, or had waited for long enough.
#[derive(Debug)]
pub(crate) struct Held {
    /// Nothing is ever sent: it is dropped.
    pub(super) _until_dropped: oneshot::Sender<Infallible>,
}

/// Why the state of a slot cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotPinned {
    /// More is executed already.
    #[error("the slots below {executed_below} are executed already")]
    Passed {
        /// So much is.
        executed_below: Slot,
    },
    /// Nothing brought it so far.
    #[error("only the slots below {executed_below} are executed yet")]
    NotReached {
        /// So far it was when the time was over.
        executed_below: Slot,
    },
    /// One at a time.
    #[error("the state of another slot is waited for")]
    Busy,
    /// What is executed could not be stored, or the process ends.
    #[error("the replica is shutting down, or cannot store what it has executed")]
    Closed,
}
