//! What executing reports to have changed, held against the states before and after it.

use std::collections::BTreeMap;

use replica::machine::change::{Change, ChangeKind};
use replica::machine::outcome::Executed;
use replica::machine::state::ReplicatedState;
use shared::ids::Revision;

/// The modification revision of every key that exists.
pub(super) fn revisions(state: &ReplicatedState) -> BTreeMap<String, Revision> {
    state.keys().records().iter().map(|(key, record)| (key.clone(), record.revision)).collect()
}

/// Panics unless what a slot reports to have changed leads, one by one, from the state
/// before it to the state after it.
pub(super) fn invariant_reported_changes_are_the_difference(
    before: BTreeMap<String, Revision>,
    after: &ReplicatedState,
    executed: &Executed,
) {
    let mut state = before;
    for change in &executed.changes {
        match change {
            Change::Prefix { prefix, .. } => state.retain(|key, _| !key.starts_with(prefix)),
            Change::Key { key, kind, revision, previous } => {
                let found = match kind {
                    ChangeKind::Created | ChangeKind::Updated => {
                        state.insert(key.clone(), *revision)
                    }
                    ChangeKind::Deleted => state.remove(key),
                };
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
    assert_eq!(
        state,
        revisions(after),
        "invariant: reported changes are the difference of the states: slot {}",
        executed.slot
    );
}
