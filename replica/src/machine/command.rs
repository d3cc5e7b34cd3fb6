//! What a client asks to be changed, as it stands in the log.
//!
//! A [`Commands`] is the payload of a `Batch`: the primary encodes it once with postcard,
//! and every replica decodes those very bytes. The encoding is therefore a format on
//! disk: variants and fields are only ever added at the end. The limits in [`limits`] are
//! part of the format as well, since a batch beyond them is void: were they configurable,
//! two replicas could disagree about one log. What an operator configures is what the
//! HTTP shell accepts, within these limits.

mod author;
mod check;
mod encoding;
pub mod limits;
pub(super) mod nested;
mod unreadable;
mod weight;

pub use author::Attribution;
use bytes::Bytes;
pub(super) use encoding::LINK_BYTES;
use serde::{Deserialize, Serialize};
use shared::ids::{Accessor, LeaseId, LogFormat, Revision};
use shared::message::LogPrefix;
pub use shared::telemetry::TraceContext;
pub use unreadable::Unreadable;
pub(super) use unreadable::{check_content, check_key, within};

use super::access::AccessOp;
use super::access::policy::PolicyName;
use super::access::subject::Subject;
use super::format;
use super::identity::{RequestDigest, RequestIdentity};
use super::leases::LeaseOp;
use super::locks::{Fenced, LockOp};
use super::txn::Txn;

/// The payload of a batch: mutations in the order in which they are executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commands {
    /// Replicated time, in milliseconds. Executing takes it no further back than it was
    /// and no further on than by [`limits::TIME_STEP_MS`].
    pub time_ms: u64,
    /// The primary's wall clock, in milliseconds since 1970: for people, nothing depends
    /// on it.
    pub wall_ms: u64,
    /// The trace of the batch, where one of its requests is traced.
    pub trace: Option<TraceContext>,
    /// How first answers are kept: it decides outcomes, so it stands in the log.
    pub answers: AnswerRetention,
    /// The mutations.
    pub commands: Vec<Command>,
    /// What the primary had executed when it made them, from [`LINKED`](super::format::LINKED)
    /// on: a replica whose log is another one there has another history.
    #[serde(skip)]
    pub executed: Option<LogPrefix>,
}

/// How first answers of requests with an `Idempotency-Key` are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerRetention {
    /// For so long. Milliseconds of replicated time.
    pub keep_ms: u64,
    /// So many of them; beyond it requests with a new key are refused.
    pub at_most: u64,
}

impl Default for AnswerRetention {
    /// A day, a million.
    fn default() -> Self {
        Self { keep_ms: 24 * 60 * 60 * 1_000, at_most: 1_000_000 }
    }
}

/// One client's mutation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What is to be done.
    pub op: Op,
    /// The trace of the request that asked for it, where it is sampled.
    pub trace: Option<TraceContext>,
    /// Which request asked for it.
    pub request: RequestIdentity,
}

/// What a mutation does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Stores a value under a key.
    Put {
        /// The key: 1 to [`limits::KEY_BYTES`] bytes of UTF-8.
        key: String,
        /// The bytes, as they came.
        value: Bytes,
        /// The `Content-Type` that came with them, if one did.
        content_type: Option<String>,
        /// What must hold for it.
        condition: Condition,
    },
    /// Removes a key.
    Delete {
        /// The key.
        key: String,
        /// What must hold for it.
        condition: Condition,
    },
    /// Removes every key that starts so; all keys where the prefix is empty.
    DeletePrefix {
        /// The beginning of the keys, at most [`limits::KEY_BYTES`] bytes.
        prefix: String,
    },
    /// Does several things at one revision, depending on guards. Only in a log of the format
    /// [`TRANSACTIONS`](super::format::TRANSACTIONS).
    Txn(Box<Txn>),
    /// Has a value stand in the log, and changes no key. Only in a log of the format
    /// [`APPENDS`](super::format::APPENDS).
    Append {
        /// The bytes, as they came.
        value: Bytes,
        /// The `Content-Type` that came with them, if one did.
        content_type: Option<String>,
    },
    /// Makes every key that starts so what it was at a revision. Only in a log of the
    /// format [`ROLLBACKS`](super::format::ROLLBACKS).
    Rollback {
        /// The beginning of the keys, at most [`limits::KEY_BYTES`] bytes.
        prefix: String,
        /// The revision.
        revision: Revision,
    },
    /// Stores a value under a key that goes when a lease ends. This and what follows only in
    /// a log of the format [`LEASES`](super::format::LEASES).
    LeasedPut {
        /// The lease.
        lease: LeaseId,
        /// The key: 1 to [`limits::KEY_BYTES`] bytes of UTF-8.
        key: String,
        /// The bytes, as they came.
        value: Bytes,
        /// The `Content-Type` that came with them, if one did.
        content_type: Option<String>,
        /// What must hold for it.
        condition: Condition,
    },
    /// Does something to a lease.
    Lease(LeaseOp),
    /// Does something to a lock.
    Lock(LockOp),
    /// Does something else while a lock is held at a fence.
    Fenced(Box<Fenced>),
    /// Drops the history before a revision. Only in a log of the format
    /// [`COMPACTION`](super::format::COMPACTION).
    Compact {
        /// The oldest revision whose state can still be read.
        below: Revision,
    },
    /// Does something to tokens or policies. This and what follows only in a log of the
    /// format [`ACCESS`](super::format::ACCESS).
    Access(AccessOp),
    /// Does something else, where a token may.
    Attributed {
        /// The token; [`Accessor::CLUSTER`]: no client asked for it.
        by: Accessor,
        /// What is done. Not itself by a token.
        #[serde(serialize_with = "nested::encode", deserialize_with = "nested::done")]
        op: Box<Op>,
    },
    /// Does something else, where somebody may whom an issuer vouches for.
    Issued {
        /// Who.
        subject: Subject,
        /// The policies that the issuer gives, in order, each once, at most
        /// [`limits::TOKEN_POLICIES`], and not `root`. One that does not exist gives nothing.
        policies: Vec<PolicyName>,
        /// What is done. Not itself by somebody.
        #[serde(serialize_with = "nested::encode", deserialize_with = "nested::done")]
        op: Box<Op>,
    },
    /// Does something else, where no token is required, and tells whose certificate it came
    /// with. That makes no other request of it: the same one may come by a balancer or a
    /// replica that does not tell. Only in a log of the format
    /// [`CERTIFIED`](super::format::CERTIFIED).
    Certified {
        /// Who.
        subject: Subject,
        /// What is done. Not itself by somebody.
        #[serde(serialize_with = "nested::encode", deserialize_with = "nested::done")]
        op: Box<Op>,
    },
}

/// A guard on one key (RFC 9110, section 13.1): where it doesn't hold, nothing is
/// written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// No guard.
    Always,
    /// `If-Match: "M", "N"`: the key exists, and its modification revision is one of these,
    /// at most [`limits::GUARD_REVISIONS`]; none of none.
    IfMatch(Vec<Revision>),
    /// `If-Match: *`: the key exists.
    IfMatchAny,
    /// `If-None-Match: *`: the key does not exist.
    IfNoneMatchAny,
}

impl Condition {
    /// Whether it holds for a key whose modification revision is `current` (none: the key
    /// does not exist).
    #[must_use]
    pub fn holds(&self, current: Option<Revision>) -> bool {
        match self {
            Self::Always => true,
            Self::IfMatch(revisions) => current.is_some_and(|current| revisions.contains(&current)),
            Self::IfMatchAny => current.is_some(),
            Self::IfNoneMatchAny => current.is_none(),
        }
    }

    /// The revisions that it names.
    fn revisions(&self) -> &[Revision] {
        match self {
            Self::IfMatch(revisions) => revisions,
            Self::Always | Self::IfMatchAny | Self::IfNoneMatchAny => &[],
        }
    }
}

impl Commands {
    /// The lowest format of the log that has all of them.
    #[must_use]
    pub fn format(&self) -> LogFormat {
        let formats = self.commands.iter().map(|command| command.op.format());
        let linked = self.executed.map(|_| format::LINKED);
        formats.chain(linked).max().unwrap_or(LogFormat::FIRST)
    }
}

impl Op {
    /// What it is without who does it and without its fence.
    #[must_use]
    pub fn bare(&self) -> &Self {
        let op = self.unattributed();
        if let Self::Fenced(fenced) = op { &fenced.op } else { op }
    }

    /// The lowest format of the log that has it.
    #[must_use]
    pub fn format(&self) -> LogFormat {
        match self {
            Self::Put { .. } | Self::Delete { .. } | Self::DeletePrefix { .. } => LogFormat::FIRST,
            Self::Txn(txn) => txn.format(),
            Self::Append { .. } => format::APPENDS,
            Self::Rollback { .. } => format::ROLLBACKS,
            Self::LeasedPut { .. } | Self::Lease(_) => format::LEASES,
            Self::Lock(lock) => lock.format(),
            Self::Fenced(fenced) => fenced.op.format().max(format::LEASES),
            Self::Compact { .. } => format::COMPACTION,
            Self::Access(_) | Self::Attributed { .. } | Self::Issued { .. } => format::ACCESS,
            Self::Certified { .. } => format::CERTIFIED,
        }
    }

    /// The digest of all that it asks for, and who does. That somebody has other policies by
    /// another JWT makes no other request of it, nor does a certificate.
    #[must_use]
    pub fn digest(&self) -> RequestDigest {
        let encoded = if let Self::Issued { subject, policies: _, op } = self {
            postcard::to_allocvec(&(nested::ISSUED, subject, op))
        } else if let Self::Certified { subject: _, op } = self {
            postcard::to_allocvec(op)
        } else {
            postcard::to_allocvec(self)
        };
        RequestDigest::of(&encoded.expect("encoding into memory does not fail"))
    }
}

#[cfg(test)]
mod tests;
