//! What a command takes of a batch: bytes, and work that its bytes do not tell of.

use super::{Condition, Op};

/// What postcard takes for a number of 64 bits at most.
const MOST_BYTES_OF_A_NUMBER: usize = 10;

impl Op {
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

impl Condition {
    /// About how many bytes it takes beside what all have.
    pub(super) fn size(&self) -> usize {
        self.revisions().len() * MOST_BYTES_OF_A_NUMBER
    }
}
