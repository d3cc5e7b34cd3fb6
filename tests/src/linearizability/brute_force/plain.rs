//! Every order of the operations on one key, on a plain store that shares nothing with
//! the search: a mistake in the search's rules would otherwise be made twice.

use std::collections::BTreeSet;

use super::{KEYS, ONLY_KEYS, holds, some_order};
use crate::operations::{
    Answer, Call, Guard, Key, Listing, Operation, Order, Outcome, Page, Seen, Value,
};

/// One key of a plain store: its value, and the revision of its last write or deletion.
type Plain = (Option<Value>, u64);

/// Tries every order of the operations on one key, each with every revision that those
/// that were not answered may have had.
pub(super) fn brute_force_key(name: &str, history: &[Operation]) -> bool {
    let own: Vec<Operation> =
        history.iter().filter(|operation| concerns(name, operation)).cloned().collect();
    let named = own.iter().flat_map(revisions_of).max().unwrap_or(0);
    // Revisions that nobody names are all alike: one for each operation is enough.
    let highest = named + own.len() as u64;
    let after = |possible: &BTreeSet<Plain>, operation: &Operation| {
        let next: BTreeSet<Plain> = possible
            .iter()
            .flat_map(|plain| plain_after(name, *plain, operation, highest))
            .collect();
        (!next.is_empty()).then_some(next)
    };
    some_order(&own, &BTreeSet::from([(None, 0)]), &mut Vec::new(), &after, &|_| true)
}

fn concerns(name: &str, operation: &Operation) -> bool {
    match (&operation.call, &operation.outcome) {
        (Call::Read { .. } | Call::List { .. }, Outcome::Unknown) => false,
        (Call::Read { at, .. } | Call::List { at, .. }, _)
            if at.is_some() || !operation.is_of_the_present() =>
        {
            false
        }
        (Call::List { listing, .. }, Outcome::Answered { answer: Answer::Listed(page), .. }) => {
            let every_key: Vec<_> =
                KEYS.iter().map(|key| (Key::from(*key), Some(NOTHING))).collect();
            let may_be_listed = listed(listing, &every_key);
            let end = may_be_listed
                .iter()
                .position(|(key, _)| page.items.last().is_some_and(|(last, _)| key == last));
            let spoken_of =
                if page.has_more { end.map_or(0, |end| end + 1) } else { may_be_listed.len() };
            may_be_listed[..spoken_of].iter().any(|(key, _)| **key == *name)
        }
        (Call::List { .. }, _) => false,
        (Call::Read { key, .. } | Call::Put { key, .. } | Call::Delete { key, .. }, _) => {
            **key == *name
        }
        (Call::DeletePrefix { prefix }, _) => name.starts_with(&**prefix),
        (
            Call::Transaction(_)
            | Call::Append { .. }
            | Call::Rollback { .. }
            | Call::Tenure(_)
            | Call::Compact { .. }
            | Call::Access(_),
            _,
        ) => unreachable!("{ONLY_KEYS}"),
    }
}

const NOTHING: Seen = Seen { value: Value::NOBODYS, modified: 0 };

/// What a listing has of these keys, with no regard to its limit.
pub(super) fn listed(listing: &Listing, keys: &[(Key, Option<Seen>)]) -> Vec<(Key, Seen)> {
    let mut items: Vec<(Key, Seen)> =
        keys.iter().filter_map(|(key, seen)| Some((Key::clone(key), (*seen)?))).collect();
    items.sort_by(|(one, _), (other, _)| one.cmp(other));
    if listing.order == Order::Descending {
        items.reverse();
    }
    if let Some(after) = &listing.after {
        items.retain(
            |(key, _)| if listing.order == Order::Ascending { key > after } else { key < after },
        );
    }
    items.retain(|(key, _)| key.starts_with(&*listing.prefix));
    items.retain(|(key, _)| *key >= listing.start);
    items.retain(|(key, _)| listing.end.as_ref().is_none_or(|end| key < end));
    items
}

/// Whether a page is one of these items.
pub(super) fn is_page_of(items: &[(Key, Seen)], listing: &Listing, page: &Page) -> bool {
    let within_limit = listing.limit.is_none_or(|limit| page.items.len() <= limit);
    let is_some_of = |page: &Page| !page.items.is_empty() && items.starts_with(&page.items);
    within_limit && if page.has_more { is_some_of(page) } else { items == page.items }
}

/// The revisions that a call and its answer name.
fn revisions_of(operation: &Operation) -> Vec<u64> {
    let mut revisions = Vec::new();
    if let Some(Guard::Revision(revision)) = guard_of(&operation.call) {
        revisions.push(revision);
    }
    if let Some((_, revision, answer)) = operation.answered() {
        revisions.push(revision);
        match answer {
            Answer::Read(seen) => revisions.extend(seen.map(|seen| seen.modified)),
            Answer::Listed(page) => {
                revisions.extend(page.items.iter().map(|(_, seen)| seen.modified))
            }
            Answer::NotYet
            | Answer::Put
            | Answer::Deleted(_)
            | Answer::GuardFailed
            | Answer::Transaction(_)
            | Answer::Appended
            | Answer::RolledBack { .. }
            | Answer::Tenure(_)
            | Answer::Compacted { .. }
            | Answer::Access(_)
            | Answer::Gone { .. } => {}
        }
    }
    revisions
}

fn guard_of(call: &Call) -> Option<Guard> {
    match call {
        Call::Put { guard, .. } | Call::Delete { guard, .. } => Some(*guard),
        Call::Read { .. }
        | Call::List { .. }
        | Call::DeletePrefix { .. }
        | Call::Transaction(_)
        | Call::Append { .. }
        | Call::Rollback { .. }
        | Call::Tenure(_)
        | Call::Compact { .. }
        | Call::Access(_) => None,
    }
}

/// What a plain store may be after an operation that ended so: nothing, where it cannot
/// have ended so.
fn plain_after(
    name: &str,
    (value, modified): Plain,
    operation: &Operation,
    highest: u64,
) -> Vec<Plain> {
    let there = value.map(|_| modified);
    let is_executed = guard_of(&operation.call).is_none_or(|guard| holds(guard, there));
    let written = match &operation.call {
        Call::Put { value, .. } => Some(*value),
        Call::Read { .. }
        | Call::List { .. }
        | Call::Delete { .. }
        | Call::DeletePrefix { .. }
        | Call::Transaction(_)
        | Call::Append { .. }
        | Call::Rollback { .. }
        | Call::Tenure(_)
        | Call::Compact { .. }
        | Call::Access(_) => None,
    };
    let Some((_, revision, answer)) = operation.answered() else {
        return if is_executed {
            (modified + 1..=highest).map(|revision| (written, revision)).collect()
        } else {
            Vec::new()
        };
    };
    let after_write = (written, revision);
    let is_seen =
        |seen: Option<Seen>| seen.map(|seen| (seen.value, seen.modified)) == value.zip(there);
    let (may_be, after) = match (&operation.call, answer) {
        (Call::Read { .. }, Answer::Read(seen)) => (is_seen(*seen), (value, modified)),
        (Call::List { .. }, Answer::Listed(page)) => {
            let found = page.items.iter().find(|(key, _)| **key == *name);
            (is_seen(found.map(|(_, seen)| *seen)), (value, modified))
        }
        (Call::Put { .. }, Answer::Put) => (is_executed && modified < revision, after_write),
        (Call::Delete { .. }, Answer::Deleted(count)) => (
            is_executed && modified < revision && *count == there.iter().count() as u64,
            after_write,
        ),
        // Of others it may have deleted any number.
        (Call::DeletePrefix { .. }, Answer::Deleted(count)) => {
            (modified < revision && *count >= there.iter().count() as u64, after_write)
        }
        (Call::Put { .. } | Call::Delete { .. }, Answer::GuardFailed) => {
            (!is_executed, (value, modified))
        }
        _ => (false, (value, modified)),
    };
    if may_be { vec![after] } else { Vec::new() }
}

/// Whether the search of a key says no more and no less than what can be: of a write that
/// was not answered it remembers only the least revision, and not which others a
/// comparison has ruled out.
pub(super) fn is_exact(name: &str, history: &[Operation]) -> bool {
    let mut own = history.iter().filter(|operation| concerns(name, operation));
    let compares =
        |operation: &Operation| matches!(guard_of(&operation.call), Some(Guard::Revision(_)));
    own.clone().all(|operation| operation.outcome != Outcome::Unknown) || !own.any(compares)
}
