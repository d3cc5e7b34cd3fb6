//! The state at every revision, by replaying the witness once.

use std::collections::BTreeMap;

use super::state::State;
use super::{Witness, WitnessViolation, Write};
use crate::linearizability::history::{Call, Guard, Key, ValueId};

/// A key that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its value.
    pub value: ValueId,
    /// The revision that wrote it.
    pub modified: u64,
}

/// All that each key ever was.
#[derive(Debug, Default)]
pub struct Versions {
    /// For each key the revisions that touched it, ascending, and what it was from there
    /// on.
    keys: BTreeMap<Key, Vec<(u64, Option<ValueId>)>>,
    /// How many keys each revision deleted; the first is revision 1's.
    deleted: Vec<u64>,
}

impl Versions {
    /// Replays the witness.
    ///
    /// # Errors
    /// When a mutation was executed although its guard did not hold.
    pub fn replay(witness: &Witness) -> Result<Self, WitnessViolation> {
        let (mut versions, mut state) = (Self::default(), State::default());
        for (revision, write) in (1..).zip(witness) {
            check_guard(&state, revision, write)?;
            let changes = state.execute(revision, &write.call);
            let deletes = changes.iter().filter(|change| change.value.is_none()).count();
            versions.deleted.push(deletes as u64);
            for change in changes {
                versions.keys.entry(change.key).or_default().push((revision, change.value));
            }
        }
        Ok(versions)
    }

    /// The last revision.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.deleted.len() as u64
    }

    /// How many keys the mutation at a revision deleted.
    #[must_use]
    pub fn deleted_by(&self, revision: u64) -> u64 {
        let before = revision.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        before.and_then(|index| self.deleted.get(index)).copied().unwrap_or(0)
    }

    /// What a key was at a revision.
    #[must_use]
    pub fn at(&self, key: &str, revision: u64) -> Option<Version> {
        let history = self.keys.get(key)?;
        let after = history.partition_point(|(modified, _)| *modified <= revision);
        let (modified, value) = *history.get(after.checked_sub(1)?)?;
        value.map(|value| Version { value, modified })
    }
}

fn check_guard(state: &State, revision: u64, write: &Write) -> Result<(), WitnessViolation> {
    let (key, guard) = match &write.call {
        Call::Put { key, guard, .. } | Call::Delete { key, guard } => (key, *guard),
        Call::Read { .. } | Call::List { .. } | Call::DeletePrefix { .. } => return Ok(()),
    };
    let before = state.keys().get(key).copied();
    if holds(guard, before) {
        Ok(())
    } else {
        Err(WitnessViolation::GuardIgnored { revision, operation: write.operation, guard, before })
    }
}

/// Whether a guard holds of a key.
pub(super) fn holds(guard: Guard, key: Option<Version>) -> bool {
    match guard {
        Guard::Always => true,
        Guard::Revision(revision) => key.is_some_and(|version| version.modified == revision),
        Guard::Exists => key.is_some(),
        Guard::Absent => key.is_none(),
    }
}
