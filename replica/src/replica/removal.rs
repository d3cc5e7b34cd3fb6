//! Whether this replica was taken out for good.

use crate::machine::state::RemovedReplica;
use crate::replica::Replica;
use crate::replica::event::Effect;

impl Replica {
    /// That its data was taken out for good, as far as it has executed. What was taken out
    /// before it joined the cluster was another database of its name.
    pub(super) fn removal(&self) -> Option<&RemovedReplica> {
        self.joined?;
        if self.removed.is_some() {
            return self.removed.as_ref();
        }
        let removed = self.meta.removal_of(&self.identity.name)?;
        (removed.slot >= self.joined_at).then_some(removed)
    }

    /// Says once in this life that its data was taken out.
    pub(super) fn look_for_removal(&mut self, effects: &mut Vec<Effect>) {
        if self.removed.is_none() {
            self.removed = self.removal().cloned();
            effects.extend(self.removed.clone().map(Effect::Removed));
        }
    }
}
