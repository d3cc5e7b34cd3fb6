//! A snapshot of what is watched: lists of keys and prefixes, all at one revision.

use std::collections::VecDeque;

use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::Snapped;
use crate::client::Client;
use crate::error::Error;
use crate::list::{List, Page};

/// What is listed: keys with a prefix, or from one key on up to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Range {
    Prefix(String),
    Key(String),
}

/// Each key once, however often it is named; in byte order.
fn ranges(keys: &[String], prefixes: &[String]) -> VecDeque<Range> {
    if keys.is_empty() && prefixes.is_empty() {
        return VecDeque::from([Range::Prefix(String::new())]);
    }
    let prefixes = prefixes.iter().map(|prefix| (prefix, Range::Prefix(prefix.clone())));
    let keys = keys.iter().map(|key| (key, Range::Key(key.clone())));
    let mut named: Vec<(&String, Range)> = prefixes.chain(keys).collect();
    // A prefix before the key of the same name, which it covers.
    named.sort_by(|one, other| one.0.cmp(other.0));
    let mut kept: VecDeque<Range> = VecDeque::new();
    for (text, range) in named {
        let covered = kept.back().is_some_and(|last| match last {
            Range::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Range::Key(key) => range == Range::Key(key.clone()),
        });
        if !covered {
            kept.push_back(range);
        }
    }
    kept
}

fn list(client: &Client, range: &Range) -> List {
    match range {
        Range::Prefix(prefix) => client.list(prefix),
        Range::Key(key) => client.list(key).end(&format!("{key}\0")),
    }
}

/// What there is, and then of which revision.
pub(super) fn snapshot(
    client: Client,
    keys: &[String],
    prefixes: &[String],
) -> BoxStream<'static, Result<Snapped, Error>> {
    struct Rest {
        client: Client,
        ranges: VecDeque<Range>,
        cursor: Option<String>,
        revision: Option<u64>,
    }
    let rest = Rest { client, ranges: ranges(keys, prefixes), cursor: None, revision: None };
    let pages = stream::try_unfold(Some(rest), |rest| async move {
        let Some(mut rest) = rest else { return Ok(None) };
        let Some(range) = rest.ranges.front() else {
            let end = rest.revision.map(Snapped::End);
            return Ok(Some((end.into_iter().collect(), None)));
        };
        let mut list = list(&rest.client, range);
        list = match (&rest.cursor, rest.revision) {
            (Some(cursor), _) => list.cursor(cursor),
            (None, Some(revision)) => list.revision(revision),
            (None, None) => list,
        };
        let Page { items, revision, next } = list.await?;
        rest.revision.get_or_insert(revision);
        if next.is_none() {
            rest.ranges.pop_front();
        }
        rest.cursor = next;
        let items: Vec<Snapped> = items.into_iter().map(Snapped::Item).collect();
        Ok(Some((items, Some(rest))))
    });
    let items = pages.map(|page: Result<Vec<Snapped>, Error>| match page {
        Ok(items) => stream::iter(items.into_iter().map(Ok).collect::<Vec<_>>()),
        Err(error) => stream::iter(vec![Err(error)]),
    });
    items.flatten().boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_named_twice_is_told_once() {
        let of = |keys: &[&str], prefixes: &[&str]| {
            let owned =
                |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
            Vec::from(ranges(&owned(keys), &owned(prefixes)))
        };
        let (prefix, key) = (|p: &str| Range::Prefix(p.into()), |k: &str| Range::Key(k.into()));
        assert_eq!(of(&[], &[]), [prefix("")]);
        assert_eq!(of(&["b", "a", "b"], &[]), [key("a"), key("b")]);
        assert_eq!(of(&["a", "ab", "b"], &["a", "ab/", "c"]), [prefix("a"), key("b"), prefix("c")]);
        assert_eq!(of(&["a", "z"], &[""]), [prefix("")]);
        assert_eq!(of(&["a", "ab"], &["ab"]), [key("a"), prefix("ab")]);
    }
}
