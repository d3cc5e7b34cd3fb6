//! What a client asks to be changed, as it stands in the log.
//!
//! A [`Commands`] is the payload of a `Batch`: the primary encodes it once with postcard,
//! and every replica decodes those very bytes. The encoding is therefore a format on
//! disk: variants and fields are only ever added at the end. The limits in [`limits`] are
//! part of the format as well, since a batch beyond them is void: were they configurable,
//! two replicas could disagree about one log. What an operator configures is what the
//! HTTP shell accepts, within these limits.

pub mod limits;
pub(super) mod nested;
mod unreadable;

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::ids::{Accessor, BatchNumber, Epoch, LeaseId, LogFormat, Revision};
use shared::message::Value;
pub use shared::telemetry::TraceContext;
pub use unreadable::Unreadable;
pub(super) use unreadable::{check_content, check_key, within};

use super::access::AccessOp;
use super::access::policy::PolicyName;
use super::access::subject::{Author, Subject, check_given};
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

/// How the encoding of [`Commands`] begins: all but the mutations, and how many of them
/// follow.
type Head = (u64, u64, Option<TraceContext>, AnswerRetention, usize);

/// A [`Value`], of a batch no more than where its commands are.
#[derive(Deserialize)]
enum BatchHead<'a> {
    Noop,
    View,
    Batch(Epoch, BatchNumber, &'a [u8]),
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

    fn check(&self) -> Result<(), Unreadable> {
        within("a guard's number of revisions", self.revisions().len(), limits::GUARD_REVISIONS)
    }

    /// About how many bytes it takes beside what all have.
    fn size(&self) -> usize {
        self.revisions().len() * MOST_BYTES_OF_A_NUMBER
    }
}

/// What postcard takes for a number of 64 bits at most.
const MOST_BYTES_OF_A_NUMBER: usize = 10;

impl Commands {
    /// The lowest format of the log that has all of them.
    #[must_use]
    pub fn format(&self) -> LogFormat {
        let formats = self.commands.iter().map(|command| command.op.format());
        formats.max().unwrap_or(LogFormat::FIRST)
    }

    /// Encodes them, once, for everyone.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        Bytes::from(postcard::to_allocvec(self).expect("encoding into memory does not fail"))
    }

    /// Reads encoded commands and checks them against the limits of the format.
    ///
    /// # Errors
    /// When the bytes are no commands, or commands beyond a limit. The same bytes err the
    /// same way everywhere.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        within("the payload", bytes.len(), limits::BATCH_BYTES)?;
        // Before any of them takes memory: three bytes make a command of a hundred.
        if let Ok(((_, _, _, _, commands), _)) = postcard::take_from_bytes::<Head>(bytes) {
            within("the number of commands", commands, limits::BATCH_COMMANDS)?;
        }
        let commands: Self = match postcard::take_from_bytes(bytes) {
            Ok((commands, [])) => commands,
            Ok((_, [_, ..])) | Err(_) => return Err(Unreadable::NotCommands(bytes.len())),
        };
        commands.check()?;
        Ok(commands)
    }

    /// The trace of the batch that a slot holds, without reading its commands.
    #[must_use]
    pub fn trace_of(value: &[u8]) -> Option<TraceContext> {
        let (_, rest) = Value::format_of(value).ok()?;
        let commands = match postcard::take_from_bytes(rest).ok()?.0 {
            BatchHead::Batch(_epoch, _number, commands) => commands,
            BatchHead::Noop | BatchHead::View => return None,
        };
        let ((_, _, trace, _, _), _) = postcard::take_from_bytes::<Head>(commands).ok()?;
        trace
    }

    fn check(&self) -> Result<(), Unreadable> {
        for (what, actual) in [("the time", self.time_ms), ("the wall clock", self.wall_ms)] {
            if actual > limits::TIME_MS {
                return Err(Unreadable::OverLimit {
                    what: Cow::Borrowed(what),
                    actual,
                    limit: limits::TIME_MS,
                });
            }
        }
        let ranges = self.commands.iter().map(|command| command.op.ranges()).sum();
        within("the number of deletions of prefixes", ranges, limits::BATCH_RANGES)?;
        let rollbacks = self.commands.iter().filter(|command| command.op.is_rollback()).count();
        within("the number of roll-backs", rollbacks, limits::BATCH_ROLLBACKS)?;
        let access = self.commands.iter().filter(|command| command.op.is_access()).count();
        within("the number of changes of tokens and policies", access, limits::BATCH_ACCESS)?;
        self.commands.iter().try_for_each(|command| command.op.check())
    }
}

impl Op {
    /// Checks it against the limits of the format.
    ///
    /// # Errors
    /// When a key is empty or something is too long.
    pub fn check(&self) -> Result<(), Unreadable> {
        match self {
            Self::Put { key, value, content_type, condition }
            | Self::LeasedPut { lease: _, key, value, content_type, condition } => {
                check_key(key)?;
                condition.check()?;
                check_content(value, content_type.as_deref())
            }
            Self::Delete { key, condition } => {
                condition.check()?;
                check_key(key)
            }
            Self::DeletePrefix { prefix } | Self::Rollback { prefix, .. } => {
                within("the prefix", prefix.len(), limits::KEY_BYTES)
            }
            Self::Txn(txn) => txn.check(),
            Self::Append { value, content_type } => check_content(value, content_type.as_deref()),
            Self::Lease(lease) => lease.check(),
            Self::Lock(lock) => lock.check(),
            Self::Fenced(fenced) => fenced.check(),
            Self::Compact { .. } => Ok(()),
            Self::Access(access) => access.check(),
            Self::Attributed { by: _, op } => op.check_within(),
            Self::Issued { subject, policies, op } => {
                subject.check()?;
                check_given(policies)?;
                op.check_within()
            }
            Self::Certified { subject, op } => {
                subject.check()?;
                op.check_within()
            }
        }
    }

    /// Checks what somebody does.
    fn check_within(&self) -> Result<(), Unreadable> {
        if self.by().is_some() {
            return Err(Unreadable::AttributedWithin);
        }
        self.check()
    }

    /// What it is without who does it and without its fence.
    #[must_use]
    pub fn bare(&self) -> &Self {
        let op = self.unattributed();
        if let Self::Fenced(fenced) = op { &fenced.op } else { op }
    }

    /// What it is without who does it.
    #[must_use]
    pub fn unattributed(&self) -> &Self {
        if let Self::Attributed { op, .. } | Self::Issued { op, .. } | Self::Certified { op, .. } =
            self
        {
            op
        } else {
            self
        }
    }

    /// What who does it is called, where somebody does: a token, or whom an issuer or a
    /// certificate vouches for.
    #[must_use]
    pub fn by(&self) -> Option<Accessor> {
        if let Self::Attributed { by, op: _ } = self {
            return Some(*by);
        }
        self.subject().map(Subject::accessor)
    }

    /// Who does it by the word of an issuer or a certificate, where somebody does.
    #[must_use]
    pub fn subject(&self) -> Option<&Subject> {
        if let Self::Issued { subject, .. } | Self::Certified { subject, .. } = self {
            Some(subject)
        } else {
            None
        }
    }

    /// Whose an `Idempotency-Key` is that comes with it; none: everybody's, as it is where
    /// nobody is named.
    #[must_use]
    pub fn key_owner(&self) -> Option<Accessor> {
        if let Self::Certified { .. } = self { None } else { self.by() }
    }

    /// The same, done by somebody, where somebody does it.
    ///
    /// # Panics
    /// When somebody does it already.
    #[must_use]
    pub fn done_by(self, author: Option<Author>) -> Self {
        match author {
            Some(Author::Issued(subject, policies)) => {
                assert_eq!(self.by(), None, "somebody does it already");
                Self::Issued { subject, policies, op: Box::new(self) }
            }
            Some(Author::Certified(subject)) => {
                assert_eq!(self.by(), None, "somebody does it already");
                Self::Certified { subject, op: Box::new(self) }
            }
            Some(Author::Token(by)) => self.attributed(Some(by)),
            None => self,
        }
    }

    /// The same, done by a token, where one does it.
    ///
    /// # Panics
    /// When one does it already.
    #[must_use]
    pub fn attributed(self, by: Option<Accessor>) -> Self {
        assert_eq!(self.by(), None, "a token does it already");
        match by {
            Some(by) => Self::Attributed { by, op: Box::new(self) },
            None => self,
        }
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

    /// How many prefixes it deletes at most, each with any number of keys, which its bytes
    /// do not name.
    #[must_use]
    pub fn ranges(&self) -> usize {
        match self.bare() {
            Self::DeletePrefix { .. } => 1,
            Self::Txn(txn) => txn.ranges(),
            Self::Put { .. }
            | Self::LeasedPut { .. }
            | Self::Delete { .. }
            | Self::Append { .. }
            | Self::Rollback { .. }
            | Self::Lease(_)
            | Self::Lock(_)
            | Self::Fenced(_)
            | Self::Access(_)
            | Self::Attributed { .. }
            | Self::Issued { .. }
            | Self::Certified { .. }
            | Self::Compact { .. } => 0,
        }
    }

    /// Whether it is a roll-back, which alone takes as long as many others.
    #[must_use]
    pub fn is_rollback(&self) -> bool {
        matches!(self.bare(), Self::Rollback { .. })
    }

    /// Whether it changes tokens or policies, of which each change takes as long as many
    /// others.
    #[must_use]
    pub fn is_access(&self) -> bool {
        matches!(self.bare(), Self::Access(_))
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

    /// About how many bytes it takes in a batch.
    #[must_use]
    pub fn size(&self) -> usize {
        const FIXED: usize = 64;
        FIXED
            + match self {
                Self::Put { key, value, content_type, condition }
                | Self::LeasedPut { lease: _, key, value, content_type, condition } => {
                    let content_type = content_type.as_ref().map_or(0, String::len);
                    key.len() + value.len() + content_type + condition.size()
                }
                Self::Delete { key, condition } => key.len() + condition.size(),
                Self::DeletePrefix { prefix } | Self::Rollback { prefix, .. } => prefix.len(),
                Self::Txn(txn) => txn.size(),
                Self::Append { value, content_type } => {
                    value.len() + content_type.as_ref().map_or(0, String::len)
                }
                Self::Lease(_) | Self::Compact { .. } => 0,
                Self::Lock(lock) => lock.name().len(),
                Self::Fenced(fenced) => fenced.fence.name.len() + fenced.op.size(),
                Self::Access(access) => access.size(),
                Self::Attributed { by: _, op } => op.size(),
                Self::Issued { subject, policies, op } => {
                    let names: usize = policies.iter().map(|name| name.as_str().len()).sum();
                    subject.size() + names + op.size()
                }
                Self::Certified { subject, op } => subject.size() + op.size(),
            }
    }
}

#[cfg(test)]
mod tests;
