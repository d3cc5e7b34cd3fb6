//! See [`Footprint`].

use super::ChosenWindow;
use crate::footprint::Footprint;

impl ChosenWindow {
    pub(crate) fn footprint(&self, footprint: &mut Footprint) {
        let Self { start, entries, bytes: _, max_entries: _, max_bytes: _ } = self;
        footprint.note(start);
        for entry in entries {
            footprint.note((entry.slot, entry.ballot, &entry.value));
        }
    }
}
