//! What an operation needs of what a token may do.

use serde::{Deserialize, Serialize};
use shared::ids::LeaseId;

use super::granted::Granted;
use super::policy::{ClusterRight, Right, Rights};
use super::token::Accessor;
use crate::machine::command::Op;
use crate::machine::leases::LeaseOp;
use crate::machine::locks::LockOp;
use crate::machine::txn::{Txn, TxnOp};

/// Why something may not be done. A format, as outcomes are: variants and fields are only
/// ever added at the end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Denied {
    /// Nobody said who asks.
    #[error("no token came with it, and this cluster requires one")]
    NoToken,
    /// Who asks has no token any more, or never had one.
    #[error("the token does not exist, or no longer")]
    UnknownToken,
    /// The token lacks a right at one key, or at the lock of that name.
    #[error("the token lacks the right {right} at {key:?}")]
    Key {
        /// The right.
        right: Right,
        /// The key, or the name of the lock.
        key: String,
    },
    /// The token does not have a right at all keys with a prefix.
    #[error("the token lacks the right {right} at some keys that start with {prefix:?}")]
    WholePrefix {
        /// The right.
        right: Right,
        /// The beginning of the keys.
        prefix: String,
    },
    /// The token has rights at no key with a prefix.
    #[error("the token has the right {rights} at no key that starts with {prefix:?}")]
    NowhereUnder {
        /// The rights: all of them would be needed at one key.
        rights: Rights,
        /// The beginning of the keys.
        prefix: String,
    },
    /// The token lacks a right in the cluster.
    #[error("the token lacks the right {right} in the cluster")]
    Cluster {
        /// The right.
        right: ClusterRight,
    },
    /// The lease is another token's.
    #[error("lease {lease} is not this token's, which lacks the right operate in the cluster")]
    Lease {
        /// Which.
        lease: LeaseId,
    },
}

/// Whose a lease is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseOwner {
    /// There is no such lease: whoever asks hears that.
    Gone,
    /// Nobody's: it was granted before tokens were required.
    Nobody,
    /// The one of this token.
    Token(Accessor),
}

impl Granted {
    /// Errs where a right is lacking at a key, or at the lock of that name.
    ///
    /// # Errors
    /// Which is lacking.
    pub fn need_at(&self, right: Right, key: &str) -> Result<(), Denied> {
        if self.at(key.as_bytes()).has(right) {
            Ok(())
        } else {
            Err(Denied::Key { right, key: key.to_owned() })
        }
    }

    /// Errs where rights are lacking at a key that starts so.
    ///
    /// # Errors
    /// The first that is lacking.
    pub fn need_whole(&self, rights: &[Right], prefix: &str) -> Result<(), Denied> {
        let lacks = |right: &&Right| !self.whole_prefix(prefix.as_bytes(), Rights::of(&[**right]));
        match rights.iter().find(lacks) {
            None => Ok(()),
            Some(right) => Err(Denied::WholePrefix { right: *right, prefix: prefix.to_owned() }),
        }
    }

    /// Errs where there is no key that starts so and has all these rights.
    ///
    /// # Errors
    /// That there is none.
    pub fn need_somewhere(&self, rights: &[Right], prefix: &str) -> Result<(), Denied> {
        let rights = Rights::of(rights);
        if self.somewhere_under(prefix.as_bytes(), rights) {
            Ok(())
        } else {
            Err(Denied::NowhereUnder { rights, prefix: prefix.to_owned() })
        }
    }

    /// Errs where there is nothing that a lease could be used for: no key to bind to it, and
    /// no lock to take by it.
    ///
    /// # Errors
    /// That there is none.
    pub fn need_use_of_leases(&self) -> Result<(), Denied> {
        self.need_somewhere(&[Right::Lock], "")
            .or_else(|_| self.need_somewhere(&[Right::Write], ""))
    }

    /// Errs where a right in the cluster is lacking.
    ///
    /// # Errors
    /// That it is.
    pub fn need_cluster(&self, right: ClusterRight) -> Result<(), Denied> {
        if self.cluster().has(right) { Ok(()) } else { Err(Denied::Cluster { right }) }
    }

    /// Errs where a lease is another's.
    ///
    /// # Errors
    /// That it is.
    pub fn need_lease(
        &self,
        by: &Accessor,
        lease: LeaseId,
        owner: LeaseOwner,
    ) -> Result<(), Denied> {
        let is_allowed = match owner {
            LeaseOwner::Gone => true,
            LeaseOwner::Token(owner) if owner == *by => true,
            LeaseOwner::Token(_) | LeaseOwner::Nobody => self.cluster().has(ClusterRight::Operate),
        };
        if is_allowed { Ok(()) } else { Err(Denied::Lease { lease }) }
    }
}

/// Whether a token that was granted this may have an operation done.
///
/// # Errors
/// The first of the rights that it lacks.
pub fn of_op(
    granted: &Granted,
    by: &Accessor,
    op: &Op,
    owner_of: &dyn Fn(LeaseId) -> LeaseOwner,
) -> Result<(), Denied> {
    let need_lease = |lease: LeaseId| granted.need_lease(by, lease, owner_of(lease));
    match op {
        Op::Put { key, .. } | Op::Delete { key, .. } => granted.need_at(Right::Write, key),
        Op::DeletePrefix { prefix } => granted.need_whole(&[Right::Write], prefix),
        Op::Txn(txn) => of_txn(granted, txn, need_lease),
        Op::Append { .. } => granted.need_whole(&[Right::Write], ""),
        Op::Rollback { prefix, .. } => {
            granted.need_whole(&[Right::History, Right::Read, Right::Write], prefix)
        }
        Op::LeasedPut { lease, key, .. } => {
            granted.need_at(Right::Write, key)?;
            need_lease(*lease)
        }
        Op::Lease(LeaseOp::Grant { .. }) => granted.need_use_of_leases(),
        // It lasts no longer than it could be granted anew; to give it up takes nothing.
        Op::Lease(LeaseOp::Renew { lease }) => {
            granted.need_use_of_leases()?;
            need_lease(*lease)
        }
        Op::Lease(LeaseOp::Revoke { lease }) => need_lease(*lease),
        Op::Lock(
            LockOp::Acquire { name, lease, .. }
            | LockOp::Release { name, lease }
            | LockOp::Leave { name, lease, .. },
        ) => {
            granted.need_at(Right::Lock, name)?;
            need_lease(*lease)
        }
        Op::Fenced(fenced) => {
            // What comes of it says who holds the lock.
            granted.need_at(Right::Lock, &fenced.fence.name)?;
            of_op(granted, by, &fenced.op, owner_of)
        }
        // Whoever may say who may do what can say that it may do anything.
        Op::Compact { .. } | Op::Access(_) => granted.need_cluster(ClusterRight::Operate),
        Op::Attributed { by: _, op }
        | Op::Issued { subject: _, policies: _, op }
        | Op::Certified { subject: _, op } => of_op(granted, by, op, owner_of),
    }
}

/// Both branches: which is taken is not known before.
fn of_txn(
    granted: &Granted,
    txn: &Txn,
    need_lease: impl Fn(LeaseId) -> Result<(), Denied>,
) -> Result<(), Denied> {
    for guard in &txn.guards {
        granted.need_at(Right::Read, &guard.key)?;
    }
    for op in txn.then.iter().chain(&txn.otherwise) {
        match op {
            TxnOp::Put(put) => granted.need_at(Right::Write, &put.key)?,
            TxnOp::LeasedPut(lease, put) => {
                granted.need_at(Right::Write, &put.key)?;
                need_lease(*lease)?;
            }
            TxnOp::Delete { key } => granted.need_at(Right::Write, key)?,
            TxnOp::DeletePrefix { prefix } => granted.need_whole(&[Right::Write], prefix)?,
            TxnOp::Get { key } => granted.need_at(Right::Read, key)?,
            TxnOp::GetPrefix { prefix, .. } => {
                granted.need_whole(&[Right::List, Right::Read], prefix)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
