//! A mutation, and the batch that it flies in.

use std::sync::Arc;
use std::time::Duration;

use shared::ids::{Ballot, BatchNumber, Name, Slot};
use shared::message::EncodedValue;

use crate::machine::command::Command;
use crate::replica::event::{Attempt, RequestId};

/// A mutation that waits for its batch, or flies in it.
#[derive(Clone, Debug)]
pub(crate) struct Mutation {
    pub(crate) command: Command,
    /// The wall clock when it came.
    pub(crate) wall_ms: u64,
}

/// A batch that was made and is not executed.
#[derive(Clone, Debug)]
pub(super) struct Flying {
    /// Replicated time when it was made.
    pub(super) time_ms: u64,
    /// The clock when it was made.
    pub(super) made: Duration,
    pub(super) mutations: Vec<Mutation>,
    pub(super) stage: Stage,
    /// The limit for which a coordinator refused it last, if that is why.
    pub(super) refused_for: Option<Arc<str>>,
}

/// How far a batch is. `Starting` and then `Ready`, and so on until it is executed, which
/// takes it out.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// Its span is being started.
    Starting,
    /// It is to be proposed as soon as a coordinator leads.
    Ready(EncodedValue),
    /// A coordinator has it.
    Proposed { value: EncodedValue, attempt: Attempt, to: Name, ballot: Ballot, at: Duration },
    /// A coordinator refused it or didn't answer: again after a while, or when another
    /// leads.
    Refused { value: EncodedValue, ballot: Ballot },
    /// It was executed as void because the batch before it is missing: again when that is
    /// executed.
    Void(EncodedValue),
    /// It is chosen, and will be executed, or turn out void.
    Chosen { value: EncodedValue, slot: Slot },
}

impl Stage {
    /// The encoded batch, once there is one.
    pub(super) fn value(&self) -> Option<&EncodedValue> {
        match self {
            Self::Starting => None,
            Self::Ready(value)
            | Self::Proposed { value, .. }
            | Self::Refused { value, .. }
            | Self::Void(value)
            | Self::Chosen { value, .. } => Some(value),
        }
    }
}

/// A batch was made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// Nobody traces it, so it is encoded already.
    Untraced,
    /// Its span is to be started before it is encoded:
    /// [`Batching::started`](super::Batching::started).
    Traced { number: BatchNumber, requests: Vec<RequestId> },
}

/// A batch that is to be proposed now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) number: BatchNumber,
    pub(crate) attempt: Attempt,
    pub(crate) value: EncodedValue,
}

/// Whether the command of a request was there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// It was: the requester waits with the others.
    Yes,
    /// It was not.
    No,
}

/// Where a mutation was that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// In the queue: it never happens.
    Queued,
    /// In a batch, or asked for by others, too: it may happen yet.
    Flying,
    /// Nowhere.
    NotHere,
}
