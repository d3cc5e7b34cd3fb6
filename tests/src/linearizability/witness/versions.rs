//! The state at every revision, by having the reference execute the witness once.

use std::collections::BTreeMap;

use super::{Witness, WitnessViolation};
use crate::operations::{Executed, Key, Reference, Version};

/// All that each key ever was.
#[derive(Debug, Default)]
pub struct Versions {
    /// For each key the revisions that touched it, ascending, and what it was from there
    /// on.
    keys: BTreeMap<Key, Vec<(u64, Option<Version>)>>,
    /// How many keys each revision wrote, and deleted; the first is revision 1's.
    changed: Vec<(u64, u64)>,
}

impl Versions {
    /// Replays the witness.
    ///
    /// # Errors
    /// When a mutation was executed although its guard did not hold.
    pub fn replay(witness: &Witness) -> Result<Self, WitnessViolation> {
        let (mut versions, mut reference) = (Self::default(), Reference::default());
        for (revision, write) in (1..).zip(witness) {
            let Executed { is_write, before, changes, .. } = reference.execute(&write.call);
            if !is_write {
                let (operation, guard) = (write.operation, write.call.guard());
                return Err(WitnessViolation::GuardIgnored { revision, operation, guard, before });
            }
            let deletes = changes.iter().filter(|change| change.after.is_none()).count();
            versions.changed.push(((changes.len() - deletes) as u64, deletes as u64));
            for change in changes {
                versions.keys.entry(change.key).or_default().push((revision, change.after));
            }
        }
        Ok(versions)
    }

    /// The last revision.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.changed.len() as u64
    }

    /// How many keys the mutation at a revision deleted.
    #[must_use]
    pub fn deleted_by(&self, revision: u64) -> u64 {
        self.changed_by(revision).1
    }

    /// How many keys the mutation at a revision wrote.
    #[must_use]
    pub fn written_by(&self, revision: u64) -> u64 {
        self.changed_by(revision).0
    }

    fn changed_by(&self, revision: u64) -> (u64, u64) {
        let before = revision.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        before.and_then(|index| self.changed.get(index)).copied().unwrap_or_default()
    }

    /// What a key was at a revision.
    #[must_use]
    pub fn at(&self, key: &str, revision: u64) -> Option<Version> {
        let history = self.keys.get(key)?;
        let after = history.partition_point(|(modified, _)| *modified <= revision);
        history.get(after.checked_sub(1)?)?.1
    }
}
