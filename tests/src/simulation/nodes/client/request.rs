//! What a client asks a replica, and how often it sends that.

use std::time::Duration;

use replica::machine::command::{Command, TraceContext};
use replica::machine::identity::{IdempotencyKey, RequestIdentity};
use shared::ids::Slot;

use crate::operations::{Call, OperationId, command};

/// A request, as HTTP would carry it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Names the call in the history and, as its trace, in the log.
    pub operation: OperationId,
    /// What is asked for.
    pub call: Call,
    /// `Synod-Timeout`.
    pub timeout: Duration,
    /// Whether a replica passed it on: then it is not passed on again.
    pub hops: u8,
    /// Whether it may come again.
    pub sent: Sent,
    /// Who asks, where the call does not say.
    pub asker: Asker,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Anybody: tokens are never required.
    Anyone,
    /// The first token: they may be.
    Root,
}

/// How often a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Once, whatever comes of it.
    Once,
    /// By an idempotency key, until its outcome is known.
    ByKey,
    /// By its identity, a few times, until its outcome is known; every slot below this one
    /// was executed before.
    ByName(Slot),
}

/// Of the operations of a run: there are no others in its log.
pub const NONCE: u64 = 0;

impl Request {
    /// The command of a mutation. One in four is sampled, so that batches with and
    /// without spans are made.
    #[must_use]
    pub fn command(&self) -> Command {
        let flags = u8::from(self.operation.0.is_multiple_of(4));
        let trace = command::trace(NONCE, self.operation);
        let command = command::command(&self.call, TraceContext { flags, ..trace });
        let command = match self.asker {
            Asker::Anyone => command,
            Asker::Root => command::by_root(command),
        };
        match self.sent {
            Sent::Once | Sent::ByName(_) => command,
            Sent::ByKey => {
                let request = RequestIdentity::Keyed(IdempotencyKey(trace.trace_id));
                Command { request, ..command }
            }
        }
    }
}
