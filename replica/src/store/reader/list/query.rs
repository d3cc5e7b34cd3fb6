//! What can be asked of lists, and what comes back.

use bytes::Bytes;
use shared::ids::{LeaseId, Revision};
use shared::page::PageLimits;

use crate::store::bounds::{above_prefix, lowest_above};
use crate::store::record::{Checked, Item};

/// Which way a listing runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// By byte order.
    Ascending,
    /// Against it.
    Descending,
}

/// What a listing shows of each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// Everything.
    Values,
    /// All but the value.
    KeysOnly,
}

/// A page that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct ListQuery {
    /// The lowest key that may be listed.
    pub(crate) from: Bytes,
    /// Keys from here on are not listed.
    pub(crate) below: Bytes,
    /// As of which revision; the present one where none is given.
    pub(crate) at: Option<Revision>,
    /// Which way.
    pub(crate) order: Order,
    /// What of each key.
    pub(crate) show: Show,
    /// The most keys, and bytes of keys and values.
    pub(crate) page: PageLimits,
}

/// A page.
#[derive(Debug)]
pub(crate) struct ListPage {
    /// The keys, in the order asked for.
    pub(crate) items: Vec<Item>,
    /// As of which revision.
    pub(crate) at: Revision,
    /// The last key that was looked at, where there may be more behind it.
    pub(crate) more_after: Option<Bytes>,
}

/// A question how many keys a deletion of a prefix, or of the keys of a lease, deleted.
#[derive(Clone, Debug)]
pub(crate) struct CountQuery {
    /// The lowest key that counts.
    pub(crate) from: Bytes,
    /// Keys from here on do not count.
    pub(crate) below: Bytes,
    /// The revision of the deletion.
    pub(crate) deletion: Revision,
    /// The lease whose keys it deleted, where that is what it did.
    pub(crate) lease: Option<LeaseId>,
}

impl CountQuery {
    /// How many keys the deletion of a prefix at a revision deleted.
    pub(crate) fn of_prefix(prefix: &str, deletion: Revision) -> Self {
        let from = Bytes::copy_from_slice(prefix.as_bytes());
        Self { from, below: above_prefix(prefix.as_bytes()), deletion, lease: None }
    }

    /// How many keys went with a lease that ended at a revision.
    pub(crate) fn of_lease(lease: LeaseId, deletion: Revision) -> Self {
        Self { lease: Some(lease), ..Self::of_prefix("", deletion) }
    }
}

/// A part of the answer.
#[derive(Debug)]
pub(crate) struct Counted {
    /// How many there were among the keys looked at.
    pub(crate) keys: u64,
    /// What is still to be asked; none at the end.
    pub(crate) rest: Option<CountQuery>,
}

impl ListQuery {
    /// What to ask where a page shows nothing and does not come to the end.
    pub(crate) fn beyond(&self, page: &ListPage) -> Option<Self> {
        let last = page.more_after.as_ref().filter(|_| page.items.is_empty())?;
        let rest = Self { at: Some(page.at), ..self.clone() };
        Some(match self.order {
            Order::Ascending => Self { from: lowest_above(last), ..rest },
            Order::Descending => Self { below: last.clone(), ..rest },
        })
    }
}

impl Show {
    /// What of a row can be held against its checksum.
    pub(super) fn checked(self) -> Checked {
        match self {
            Self::Values => Checked::Whole,
            Self::KeysOnly => Checked::Head,
        }
    }
}
