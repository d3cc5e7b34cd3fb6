//! What executing reports to have changed, held against the states before and after it.

use std::collections::BTreeMap;

use replica::machine::change::{Change, ChangeKind};
use replica::machine::outcome::Executed;
use replica::machine::state::ReplicatedState;
use shared::ids::{LeaseId, Revision};

/// The modification revision of every key that exists, and the lease that it goes with.
pub(super) fn revisions(state: &ReplicatedState) -> BTreeMap<String, (Revision, Option<LeaseId>)> {
    let records = state.keys().records().iter();
    records.map(|(key, record)| (key.clone(), (record.revision, record.lease))).collect()
}

/// Whether a key was written by the slot at hand, or before with this lease.
#[derive(Clone, Copy)]
enum Wrote {
    Before(Option<LeaseId>),
    Now,
}

/// Panics unless what a slot reports to have changed leads, one by one, from the state
/// before it to the state after it.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others are of no key")]
pub(super) fn invariant_reported_changes_are_the_difference(
    before: BTreeMap<String, (Revision, Option<LeaseId>)>,
    after: &ReplicatedState,
    executed: &Executed,
) {
    // Of a key that the slot wrote it is not reported which lease it goes with: where that
    // ended, it is not there any more.
    let mut state: BTreeMap<String, (Revision, Wrote)> = before
        .into_iter()
        .map(|(key, (revision, lease))| (key, (revision, Wrote::Before(lease))))
        .collect();
    let exists = revisions(after);
    for (index, change) in executed.changes.iter().enumerate() {
        match change {
            Change::Prefix { prefix, .. } => state.retain(|key, _| !key.starts_with(prefix)),
            Change::Lease { lease, .. } => state.retain(|key, (revision, wrote)| match wrote {
                Wrote::Before(of) => *of != Some(*lease),
                Wrote::Now => {
                    let later =
                        executed.changes[index + 1..].iter().find_map(|later| match later {
                            Change::Key { key: of, previous, .. } if of == key => Some(*previous),
                            _ => None,
                        });
                    later.unwrap_or(exists.get(key).map(|(at, _)| *at)) == Some(*revision)
                }
            }),
            Change::Lock { .. } => {}
            Change::Key { key, kind, revision, previous } => {
                let found = match kind {
                    ChangeKind::Created | ChangeKind::Updated => {
                        state.insert(key.clone(), (*revision, Wrote::Now))
                    }
                    ChangeKind::Deleted => state.remove(key),
                };
                let found = found.map(|(revision, _)| revision);
                let is_new = *kind == ChangeKind::Created;
                assert!(
                    found == *previous && found.is_none() == is_new,
                    "invariant: a reported change follows the one before it: {change:?} of slot \
                     {}, where {found:?} was",
                    executed.slot
                );
            }
        }
    }
    let state: BTreeMap<&String, Revision> =
        state.iter().map(|(key, (revision, _))| (key, *revision)).collect();
    let exists: BTreeMap<&String, Revision> =
        exists.iter().map(|(key, (revision, _))| (key, *revision)).collect();
    assert_eq!(
        state, exists,
        "invariant: reported changes are the difference of the states: slot {}",
        executed.slot
    );
}
