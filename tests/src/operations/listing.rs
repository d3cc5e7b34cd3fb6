//! Listings: reads of many keys in one answer, which must be those of one state.
//!
//! A client takes a listing page by page. Each page is an operation of its own here: the
//! first reads the state as it is, every later one reads at the first one's revision,
//! after the last key that was seen.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::Bound;

use super::{Key, Seen};

/// Which way keys are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// In byte order.
    Ascending,
    /// Against it.
    Descending,
}

/// What one page of a listing is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Only keys that begin like this.
    pub prefix: Key,
    /// Only keys from here on.
    pub start: Key,
    /// Only keys below this one.
    pub end: Option<Key>,
    /// Which way.
    pub order: Order,
    /// The last key of the pages before: only what comes after it.
    pub after: Option<Key>,
    /// The most keys; none where all are asked for at once.
    pub limit: Option<usize>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys, in the order asked for.
    pub items: Vec<(Key, Seen)>,
    /// Whether there may be more behind the last one. A page may end before its limit: it
    /// has one on its bytes too.
    pub has_more: bool,
}

impl Listing {
    /// Everything below a prefix, at once.
    #[must_use]
    pub fn of_prefix(prefix: &str) -> Self {
        let (prefix, start) = (Key::from(prefix), Key::from(""));
        Self { prefix, start, end: None, order: Order::Ascending, after: None, limit: None }
    }

    /// The next page: after this one, if it has more.
    #[must_use]
    pub fn next(&self, page: &Page) -> Option<Self> {
        let last = page.items.last().map(|(key, _)| Key::clone(key));
        page.has_more.then(|| Self { after: last.or_else(|| self.after.clone()), ..self.clone() })
    }

    /// What it may list of all that is in a map, in its order.
    #[must_use]
    pub fn among<'a, K: Borrow<str> + Ord, V>(
        &self,
        all: &'a BTreeMap<K, V>,
    ) -> Vec<(&'a K, &'a V)> {
        let lowest: &str = if self.start > self.prefix { &self.start } else { &self.prefix };
        let from_lowest = all.range::<str, _>((Bound::Included(lowest), Bound::Unbounded));
        let in_reach = from_lowest.take_while(|(key, _)| {
            let key = (*key).borrow();
            self.end.as_ref().is_none_or(|end| key < &**end) && key.starts_with(&*self.prefix)
        });
        let is_after =
            |key: &K| self.after.as_ref().is_none_or(|after| self.precedes(after, key.borrow()));
        let mut listed: Vec<_> = in_reach.filter(|(key, _)| is_after(key)).collect();
        match self.order {
            Order::Ascending => {}
            Order::Descending => listed.reverse(),
        }
        listed
    }

    /// Whether one key is listed before another.
    fn precedes(&self, one: &str, other: &str) -> bool {
        match self.order {
            Order::Ascending => one < other,
            Order::Descending => other < one,
        }
    }

    /// The keys that a page speaks of, be it by leaving them out: those up to its last
    /// one, or all where it has no more.
    #[must_use]
    pub fn spoken_of<'a, V>(&self, page: &Page, all: &'a BTreeMap<Key, V>) -> Vec<&'a Key> {
        let last = page.items.last().map(|(key, _)| key);
        let is_reached =
            |key: &Key| !page.has_more || last.is_some_and(|last| !self.precedes(last, key));
        self.among(all).into_iter().map(|(key, _)| key).filter(|key| is_reached(key)).collect()
    }

    /// Whether a page is one that a state gives: what the state has first, no more of it
    /// than was asked for, and all of it unless the page says that there is more. One
    /// that says so has something: only after thousands of deleted keys might a real one
    /// have nothing, and no history has those.
    #[must_use]
    pub fn gives<V: Copy + Into<Seen>>(&self, state: &BTreeMap<Key, V>, page: &Page) -> bool {
        let listed = self.among(state);
        let is_first = listed
            .iter()
            .zip(&page.items)
            .all(|((key, value), (other, seen))| *key == other && (**value).into() == *seen);
        let count = page.items.len();
        let is_enough =
            if page.has_more { (1..=listed.len()).contains(&count) } else { count == listed.len() };
        is_first && is_enough && self.limit.is_none_or(|limit| page.items.len() <= limit)
    }
}
