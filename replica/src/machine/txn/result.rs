//! What a transaction comes to: what its client hears, now and, where the request came
//! with an `Idempotency-Key`, whenever it is sent again.
//!
//! A format, as [`CommandOutcome`](crate::machine::outcome::CommandOutcome) is.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::ids::{LeaseId, Revision};

use super::{Guards, TxnOp};

/// What came of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxnOutcome {
    /// The revision of the state after it: its own, unless it only read.
    pub revision: Revision,
    /// Which branch was taken.
    pub guards: Guards,
    /// What came of each operation of that branch, in order.
    pub results: Vec<TxnResult>,
}

/// What came of one operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TxnResult {
    /// A key was written at the revision of the transaction.
    Put {
        /// The revision at which it was created.
        created_revision: Revision,
        /// The number of writes since then, with this one.
        version: u64,
    },
    /// So many keys were deleted.
    Deleted {
        /// How many.
        deleted: u64,
    },
    /// Every key with a prefix was deleted. As with
    /// [`DeletedPrefix`](crate::machine::outcome::CommandOutcome::DeletedPrefix), how many
    /// there were is what the state before has; [`counted_prefixes`] says of which prefixes.
    DeletedPrefix {
        /// To be added to what is counted there: for what the transaction itself did.
        besides: i64,
    },
    /// What a key was.
    Got(Option<Box<TxnItem>>),
    /// What the first keys with a prefix were.
    Listed {
        /// The keys, in byte order.
        items: Vec<TxnItem>,
        /// Whether there are more behind them.
        has_more: bool,
    },
    /// What a key was that is bound to a lease.
    GotLeased(Box<LeasedItem>),
    /// What the first keys with a prefix were, where one of them is bound to a lease.
    ListedLeased {
        /// The keys, in byte order.
        items: Vec<LeasedItem>,
        /// Whether there are more behind them.
        has_more: bool,
    },
}

/// A key as a transaction saw it, and the lease that it is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeasedItem {
    /// The key.
    pub item: TxnItem,
    /// Its lease, where it has one.
    pub lease: Option<LeaseId>,
}

impl TxnResult {
    /// Of what a key was.
    pub(in crate::machine) fn got(found: Option<LeasedItem>) -> Self {
        match found {
            Some(LeasedItem { item, lease: None }) => Self::Got(Some(Box::new(item))),
            Some(leased) => Self::GotLeased(Box::new(leased)),
            None => Self::Got(None),
        }
    }

    /// Of what the first keys with a prefix were.
    pub(in crate::machine) fn listed(items: Vec<LeasedItem>, has_more: bool) -> Self {
        if items.iter().any(|leased| leased.lease.is_some()) {
            return Self::ListedLeased { items, has_more };
        }
        let items = items.into_iter().map(|leased| leased.item).collect();
        Self::Listed { items, has_more }
    }
}

/// A key as a transaction saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxnItem {
    /// The key.
    pub key: String,
    /// Its value.
    pub value: Bytes,
    /// What that is said to be.
    pub content_type: Option<String>,
    /// Its modification revision.
    pub revision: Revision,
    /// The revision at which it was created.
    pub created_revision: Revision,
    /// The number of writes since then, with that one.
    pub version: u64,
}

/// What is to be counted to know how many keys the deletion of a prefix deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedPrefixes<'a> {
    /// The keys with this prefix …
    pub all_of: &'a str,
    /// … but for those with these, which are gone already. None is the beginning of
    /// another.
    pub but_for: Vec<&'a str>,
}

/// What is to be counted for the operation at `index` of a branch, which deletes a prefix.
///
/// # Panics
/// When it does not.
#[must_use]
pub fn counted_prefixes(branch: &[TxnOp], index: usize) -> CountedPrefixes<'_> {
    let all_of = branch[index].deleted_prefix().expect("the operation deletes a prefix");
    let earlier = branch[..index].iter().filter_map(TxnOp::deleted_prefix);
    let but_for = outermost(earlier.filter(|earlier| earlier.starts_with(all_of)));
    CountedPrefixes { all_of, but_for }
}

/// Those of which no other is the beginning, in byte order, each once.
pub(super) fn outermost<'a>(prefixes: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut sorted: Vec<&str> = prefixes.collect();
    sorted.sort_unstable();
    let mut outermost: Vec<&str> = Vec::new();
    for prefix in sorted {
        // What begins so follows right behind.
        if outermost.last().is_none_or(|last| !prefix.starts_with(last)) {
            outermost.push(prefix);
        }
    }
    outermost
}
