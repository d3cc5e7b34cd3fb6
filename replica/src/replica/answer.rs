//! What clients are told.
//!
//! A mutation is executed, or did not happen and never will, or (only where it was given
//! up inside a batch) may happen yet. A backup hears of it from the primary: these are
//! messages, too.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::ids::{LogFormat, Name, Slot};

use crate::machine::command::Unreadable;
use crate::machine::execute::{CommandOutcome, Delivery};
use crate::replica::status::Missing;

/// What came of a mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was executed.
    Executed {
        /// Where it was chosen.
        slot: Slot,
        /// What it did.
        outcome: CommandOutcome,
        /// Whether that was now.
        delivery: Delivery,
    },
    /// It did not happen and never will.
    NotApplied(NotApplied),
    /// It was proposed, and given up before it was executed: it may happen yet.
    Unknown(Stall),
    /// It came again, and may have been executed before: longer ago than what is known of,
    /// or with an answer that is not kept.
    Forgotten,
}

/// Why a mutation did not happen and never will.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum NotApplied {
    /// This replica doesn't take mutations.
    #[error("this replica is not the primary")]
    NotPrimary {
        /// Who is, as far as this replica knows.
        primary: Option<Name>,
    },
    /// Another primary took over before it was executed.
    #[error("another primary took over")]
    PrimaryChanged,
    /// Too much waits already.
    #[error("{0}")]
    QueueFull(LimitHit),
    /// The disk is full.
    #[error("the disk of this replica is full")]
    StorageFull,
    /// Another command of the same request is under way.
    #[error("another mutation with the identity of this request is under way")]
    IdentityTaken,
    /// The log cannot hold such a command.
    #[error("{0}")]
    Unreadable(Unreadable),
    /// Its time ran out before it was proposed.
    #[error("given up before it was proposed: {0}")]
    GivenUp(Stall),
    /// The log does not have such commands yet: while a cluster is upgraded, some replica
    /// could not execute them.
    #[error(
        "the log has format {current}, and this takes format {needed}: not every replica is \
         upgraded yet"
    )]
    FormatNotReached {
        /// The lowest format that has them.
        needed: LogFormat,
        /// The format of the log.
        current: LogFormat,
    },
}

/// Why a read is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// Too many wait already.
    #[error("{0}")]
    QueueFull(LimitHit),
    /// Its time ran out.
    #[error("given up: {0}")]
    GivenUp(Stall),
}

/// A limit was hit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("the limit on {name} is {limit}")]
pub struct LimitHit {
    /// What is limited, in words.
    pub name: Cow<'static, str>,
    /// The limit.
    pub limit: usize,
}

impl LimitHit {
    /// A limit on what these words name.
    pub(crate) const fn new(name: &'static str, limit: usize) -> Self {
        Self { name: Cow::Borrowed(name), limit }
    }
}

/// What a request was waiting for when its time ran out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Stall {
    /// A quorum of acceptors doesn't answer.
    #[error("no quorum of acceptors answers")]
    NoQuorum,
    /// Slots are missing that nobody has.
    #[error("{0}")]
    Missing(Missing),
    /// No coordinator is known to lead.
    #[error("no coordinator leads")]
    NoLeader,
    /// The leader proposes nothing more for now: the limit that was hit, in its words. Of
    /// mutations only.
    #[error("the leading coordinator proposes no more: {0}")]
    Overloaded(Arc<str>),
    /// All is there; it just took too long.
    #[error("it took too long")]
    Slow,
}
