//! Holds commands against the limits of the format: what is beyond them is void.

use std::borrow::Cow;

use super::unreadable::{check_content, check_key, within};
use super::{Commands, Condition, Op, Unreadable, limits};
use crate::machine::access::subject::check_given;

impl Commands {
    pub(super) fn check(&self) -> Result<(), Unreadable> {
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
}

impl Condition {
    fn check(&self) -> Result<(), Unreadable> {
        within("a guard's number of revisions", self.revisions().len(), limits::GUARD_REVISIONS)
    }
}
