//! What a client asks to be changed, as it stands in the log.
//!
//! A [`Commands`] is the payload of a `Batch`: the primary encodes it once with postcard,
//! and every replica decodes those very bytes. The encoding is therefore a format on
//! disk: variants and fields are only ever added at the end. The limits in [`limits`] are
//! part of the format as well, since a batch beyond them is void: were they configurable,
//! two replicas could disagree about one log. What an operator configures is what the
//! HTTP shell accepts, within these limits.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::ids::{BatchNumber, Epoch, LeaseId, LogFormat, Revision};
use shared::message::Value;
pub use shared::telemetry::TraceContext;

use super::format;
use super::identity::{RequestDigest, RequestIdentity};
use super::leases::LeaseOp;
use super::locks::{Fenced, LockOp};
use super::txn::Txn;

/// The limits of the format: a batch beyond one of them is void on every replica.
pub mod limits {
    /// The longest key, in bytes; eight times the default of the HTTP API.
    pub const KEY_BYTES: usize = 8 << 10;
    /// The longest value, in bytes; sixteen times the default of the HTTP API.
    pub const VALUE_BYTES: usize = 16 << 20;
    /// The longest content type, in bytes.
    pub const CONTENT_TYPE_BYTES: usize = 1 << 10;
    /// The most commands in a batch.
    pub const BATCH_COMMANDS: usize = 4_096;
    /// The longest payload of a batch, in bytes.
    pub const BATCH_BYTES: usize = 32 << 20;
    /// The most revisions that a guard names.
    pub const GUARD_REVISIONS: usize = 64;
    /// The highest time, in milliseconds: what SQLite's integers hold.
    pub const TIME_MS: u64 = i64::MAX as u64;
    /// The most by which a batch moves replicated time, in milliseconds: a clock that goes
    /// wrong ends nothing at once that was to last longer.
    pub const TIME_STEP_MS: u64 = 10_000;
    /// The most backups in a view.
    pub const BACKUPS: usize = 255;
    /// The most replicas that are remembered to have been taken out for good. Past it the
    /// oldest is forgotten: its database could join again.
    pub const REMOVALS: usize = 64;
    /// The most deletions of prefixes in a batch. Each leaves a range tombstone that
    /// later work is held against until it is swept.
    pub const BATCH_RANGES: usize = 64;
    /// The most deletions of prefixes that a replica leaves unswept while it goes on
    /// executing, and that a primary has under way.
    pub const RANGE_TOMBSTONES: usize = 64;
    /// The most keys that a roll-back looks at: those that were ever written with its
    /// prefix, or those that were written since its revision, whichever are fewer. One that
    /// would look at more is not executed.
    pub const ROLLBACK_KEYS: usize = 10_000;
    /// The most bytes of keys and contents that a roll-back writes again. One that would
    /// write more is not executed.
    pub const ROLLBACK_BYTES: usize = 16 << 20;
    /// The most roll-backs that a primary has under way.
    pub const ROLLBACKS: usize = 4;
    /// The most roll-backs in a batch.
    pub const BATCH_ROLLBACKS: usize = 1;
    /// The most operations of a transaction, of both branches together, and the most guards;
    /// eight times the default of the HTTP API.
    pub const TXN_OPERATIONS: usize = 1_024;
    /// The most prefixes that a transaction deletes.
    pub const TXN_RANGES: usize = 16;
    /// The most keys that one operation of a transaction reads.
    pub const TXN_GET_ITEMS: usize = 1_000;
    /// The shortest time to live of a lease, in milliseconds: below it one request that takes
    /// long ends it.
    pub const LEAST_TTL_MS: u64 = 100;
    /// The longest time to live of a lease, in milliseconds: seven days.
    pub const MOST_TTL_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
    /// The most leases at once. They are held in memory.
    pub const LEASES: usize = 100_000;
    /// The most leases that one batch ends because their time is over: it is bounded, and
    /// the next batch ends more.
    pub const LEASES_ENDED: usize = 64;
    /// The longest name of a lock, in bytes.
    pub const LOCK_NAME_BYTES: usize = 1 << 10;
    /// The most claims on locks at once: holders and those who wait. They are held in
    /// memory.
    pub const CLAIMS: usize = 100_000;
    /// The most that wait for one lock.
    pub const WAITERS: usize = 1_000;
    /// The most bytes that a transaction reads, and so about the most that is kept of its
    /// answer. One that would read more is not executed.
    pub const TXN_RESULT_BYTES: usize = 1 << 20;
    /// The most bytes that the transactions of a batch read together. One for which there
    /// is no room left is not executed, and may be sent again.
    pub const BATCH_RESULT_BYTES: usize = 2 << 20;
}

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

/// Why the payload of a batch cannot be executed, by anyone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Unreadable {
    /// The bytes are not the encoding of exactly one [`Commands`].
    #[error("the {0} bytes are not the encoding of commands")]
    NotCommands(usize),
    /// A limit of the format is passed.
    #[error("{what} is {actual}, above the limit of {limit}")]
    OverLimit {
        /// What is too much.
        what: Cow<'static, str>,
        /// How much there is.
        actual: u64,
        /// How much there may be.
        limit: u64,
    },
    /// Keys are not empty.
    #[error("a key is empty")]
    EmptyKey,
    /// A lease would last too short or too long.
    #[error(
        "a lease's time to live is {ttl_ms} ms, and the limits are {} to {} ms",
        limits::LEAST_TTL_MS,
        limits::MOST_TTL_MS
    )]
    TimeToLive {
        /// How long it would last.
        ttl_ms: u64,
    },
    /// Names of locks are not empty.
    #[error("the name of a lock is empty")]
    EmptyName,
    /// One fence is the limit.
    #[error("a fence is within another")]
    FenceInFence,
}

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
        }
    }

    /// What it is without its fence.
    #[must_use]
    pub fn bare(&self) -> &Self {
        if let Self::Fenced(fenced) = self { &fenced.op } else { self }
    }

    /// The lowest format of the log that has it.
    #[must_use]
    pub fn format(&self) -> LogFormat {
        match self {
            Self::Put { .. } | Self::Delete { .. } | Self::DeletePrefix { .. } => LogFormat::FIRST,
            Self::Txn(txn) => txn.format(),
            Self::Append { .. } => format::APPENDS,
            Self::Rollback { .. } => format::ROLLBACKS,
            Self::LeasedPut { .. } | Self::Lease(_) | Self::Lock(_) => format::LEASES,
            Self::Fenced(fenced) => fenced.op.format().max(format::LEASES),
            Self::Compact { .. } => format::COMPACTION,
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
            | Self::Compact { .. } => 0,
        }
    }

    /// Whether it is a roll-back, which alone takes as long as many others.
    #[must_use]
    pub fn is_rollback(&self) -> bool {
        matches!(self.bare(), Self::Rollback { .. })
    }

    /// The digest of all that it asks for.
    #[must_use]
    pub fn digest(&self) -> RequestDigest {
        let encoded = postcard::to_allocvec(self).expect("encoding into memory does not fail");
        RequestDigest::of(&encoded)
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
            }
    }
}

pub(super) fn check_content(value: &[u8], content_type: Option<&str>) -> Result<(), Unreadable> {
    within("the value", value.len(), limits::VALUE_BYTES)?;
    let content_type = content_type.map_or(0, str::len);
    within("the content type", content_type, limits::CONTENT_TYPE_BYTES)
}

pub(super) fn check_key(key: &str) -> Result<(), Unreadable> {
    if key.is_empty() {
        Err(Unreadable::EmptyKey)
    } else {
        within("the key", key.len(), limits::KEY_BYTES)
    }
}

pub(super) fn within(what: &'static str, actual: usize, limit: usize) -> Result<(), Unreadable> {
    if actual <= limit {
        Ok(())
    } else {
        Err(Unreadable::OverLimit {
            what: Cow::Borrowed(what),
            actual: actual as u64,
            limit: limit as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shared::ids::Instance;
    use shared::message::{Batch, View};

    use super::*;

    #[test]
    fn the_trace_of_a_batch_is_read_without_its_commands_and_of_nothing_else() {
        let trace = Some(TraceContext { trace_id: [7; 16], span_id: [9; 8], flags: 1 });
        let (answers, commands) = (AnswerRetention::default(), Vec::new());
        let commands = Commands { time_ms: 300, wall_ms: 1 << 40, trace, answers, commands };
        let (epoch, number) = (Epoch(300), BatchNumber(70_000));
        let batch = |commands| Value::Batch(Batch { epoch, number, commands }).encode();
        let value = batch(commands.encode());
        assert_eq!(Commands::trace_of(&value), trace);
        let untraced = Commands { trace: None, ..commands };
        assert_eq!(Commands::trace_of(&batch(untraced.encode())), None);
        let primary: shared::ids::Name = "replica-1".parse().unwrap();
        let (primary_instance, backups) = (Instance(1), vec![primary.clone()]);
        let format = LogFormat::FIRST;
        let view = Value::View(View { epoch, primary, primary_instance, backups, format });
        for other in [Value::Noop.encode(), view.encode(), batch(Bytes::from_static(b"\xff"))] {
            assert_eq!(Commands::trace_of(&other), None);
        }
        for end in 0..value.len() {
            let _no_panic = Commands::trace_of(&value[..end]);
        }
    }
}
