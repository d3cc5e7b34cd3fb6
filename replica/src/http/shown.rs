//! Which keys a list may show: those that are read are no others, so that neither a page nor
//! where it ends tells of what is hidden.

mod tenure;

use std::fmt;
use std::io;
use std::ops::Range;

use bytes::Bytes;
use shared::deadline::Deadline;
use shared::page::PageLimits;
use shared::problem::Problem;

pub(super) use self::tenure::{Rest, Rows};
use super::App;
use super::authorize::{Caller, refuse};
use super::refused::Refused;
use crate::machine::access::authorize::Denied;
use crate::machine::access::policy::{Right, Rights};
use crate::store::{Item, ListPage, ListQuery, Order, ReadError, Reader};

/// The keys that may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// All.
    All,
    /// Those in these ranges, which are in order and apart.
    Within(Vec<Range<Bytes>>),
}

/// Why a list ends before its end.
#[derive(Debug)]
pub(super) enum NotShown {
    /// Whoever reads may nothing any more.
    Denied(Denied),
    /// It cannot be read.
    Read(ReadError),
    /// Time is up before there was anything that may be shown.
    Late,
}

impl Shown {
    /// Those that somebody has all these rights at.
    pub(super) fn of(caller: &Caller, rights: &[Right]) -> Self {
        match caller.granted() {
            None => Self::All,
            Some(granted) => Self::Within(granted.ranges(Rights::of(rights))),
        }
    }

    /// Whether a key is one of them.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Within(ranges) => {
                let after = ranges.partition_point(|range| *range.start <= *key);
                ranges[..after].last().is_some_and(|range| *key < *range.end)
            }
        }
    }

    /// Those of a range that are among them, in order.
    pub(super) fn within(&self, from: &Bytes, below: &Bytes) -> Vec<Range<Bytes>> {
        let whole = from.clone()..below.clone();
        let ranges = match self {
            Self::All => std::slice::from_ref(&whole),
            Self::Within(ranges) => ranges.as_slice(),
        };
        let common = ranges.iter().map(|range| {
            range.start.clone().max(from.clone())..range.end.clone().min(below.clone())
        });
        common.filter(|range| range.start < range.end).collect()
    }

    /// Whether it has, of a range, all that another has.
    pub(super) fn has_all_of(&self, other: &Self, (from, below): (&Bytes, &Bytes)) -> bool {
        let own = self.within(from, below);
        let has = |theirs: &Range<Bytes>| {
            own.iter().any(|own| own.start <= theirs.start && theirs.end <= own.end)
        };
        other.within(from, below).iter().all(has)
    }

    /// Reads a page of no others. Where it ends before the end, it says so by a key that may
    /// be shown.
    pub(super) async fn list(
        &self,
        reader: &Reader,
        query: ListQuery,
        deadline: Deadline,
    ) -> Result<ListPage, ReadError> {
        let mut ranges = match self {
            Self::All => return reader.list(query, deadline).await,
            Self::Within(_) => self.within(&query.from, &query.below),
        };
        if query.order == Order::Descending {
            ranges.reverse();
        }
        let Some((first, rest)) = ranges.split_first() else {
            let nothing = query.from.clone()..query.from.clone();
            return reader.list(of(&query, &nothing, None), deadline).await;
        };
        let mut page = reader.list(of(&query, first, None), deadline).await?;
        for range in rest {
            if page.more_after.is_some() {
                break;
            }
            let left = left(query.page, &page.items);
            if left.items == 0 || left.bytes == 0 {
                page.more_after = page.items.last().map(|last| last.key.clone());
                break;
            }
            let query = ListQuery { at: Some(page.at), ..of(&query, range, Some(left)) };
            let next = reader.list(query, deadline).await?;
            page.items.extend(next.items);
            page.more_after = next.more_after;
        }
        Ok(page)
    }
}

/// The same query of another range, with room for so much.
fn of(query: &ListQuery, range: &Range<Bytes>, room: Option<PageLimits>) -> ListQuery {
    let (from, below) = (range.start.clone(), range.end.clone());
    ListQuery { from, below, page: room.unwrap_or(query.page), ..query.clone() }
}

/// What room these items leave.
fn left(limits: PageLimits, items: &[Item]) -> PageLimits {
    let bytes: usize = items.iter().map(Item::bytes).sum();
    PageLimits {
        items: limits.items.saturating_sub(items.len()),
        bytes: limits.bytes.saturating_sub(bytes),
    }
}

impl NotShown {
    /// The answer where nothing is said yet.
    pub(super) fn refused(self, app: &App) -> Refused {
        match self {
            Self::Denied(why) => refuse(app, why),
            Self::Read(error) => Refused::Read(error),
            Self::Late => Problem::timeout("what may be shown was not found in time").into(),
        }
    }
}

impl From<Denied> for NotShown {
    fn from(why: Denied) -> Self {
        Self::Denied(why)
    }
}

impl From<ReadError> for NotShown {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl fmt::Display for NotShown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(why) => why.fmt(f),
            Self::Read(error) => error.fmt(f),
            Self::Late => f.write_str("what may be shown was not found in time"),
        }
    }
}

impl From<NotShown> for io::Error {
    /// A stream breaks off, so that nobody takes it for whole.
    fn from(why: NotShown) -> Self {
        Self::other(why.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn a_key_is_shown_exactly_when_a_range_has_it() {
        let shown = Shown::Within(vec![bytes("b")..bytes("d"), bytes("f")..bytes("g")]);
        for (key, expected) in
            [("a", false), ("b", true), ("cz", true), ("d", false), ("f", true), ("g", false)]
        {
            assert_eq!(shown.has(key.as_bytes()), expected, "{key}");
        }
        assert!(Shown::All.has(b"a") && !Shown::Within(Vec::new()).has(b"a"));
    }

    #[test]
    fn of_a_range_no_more_is_read_than_may_be_shown() {
        let shown = Shown::Within(vec![bytes("b")..bytes("d"), bytes("f")..bytes("g")]);
        let within = |from, below| shown.within(&bytes(from), &bytes(below));
        assert_eq!(within("a", "z"), [bytes("b")..bytes("d"), bytes("f")..bytes("g")]);
        assert_eq!(within("c", "fa"), [bytes("c")..bytes("d"), bytes("f")..bytes("fa")]);
        assert_eq!(within("d", "f"), []);
        assert_eq!(Shown::All.within(&bytes("a"), &bytes("c")), [bytes("a")..bytes("c")]);
    }
}
