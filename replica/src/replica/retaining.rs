//! Forgetting the log, so that it does not grow for ever where little or nothing that it says is
//! history: what carries the time alone, what is void, and what was written over.
//!
//! What acceptors have trimmed every replica of the view has durably, or is so far behind that
//! it is not waited for (`trimming` of the coordinator): so many slots are kept below that for
//! those to go on by, and whoever needs more begins with another one's state. A replica that is
//! alone keeps them for those that come back: what is not trimmed acceptors still have. Each
//! replica looks now and then for itself; nothing is agreed on.

use shared::ids::Slot;

use super::Replica;
use crate::replica::event::Effect;
use crate::replica::history::OthersInView;

/// The log is forgotten by steps: so many make up what is to be kept.
const STEPS: u64 = 16;

impl Replica {
    /// Has forgotten what is further below what all hold than is to be kept.
    pub(super) fn forget_log(&mut self, effects: &mut Vec<Effect>) {
        // Until a quorum has answered nobody knows what is trimmed.
        let Some(kept) = self.config.retained_slots.filter(|_| self.cluster.is_some()) else {
            return;
        };
        // Whole steps, so that the log begins with the same slot at most replicas at most times.
        let step = (kept / STEPS).max(1);
        let below = self.held_by_all().0.saturating_sub(kept);
        let below = Slot(below - below % step);
        if below > self.forgotten_below {
            self.forgotten_below = below;
            effects.push(Effect::ForgetLog { below });
        }
    }

    /// Every slot below is executed durably here and, as far as acceptors wait for them, by
    /// all others.
    fn held_by_all(&self) -> Slot {
        let others = OthersInView::of(self.meta.view.as_ref(), &self.identity);
        let elsewhere = match others {
            OthersInView::None if self.reads.trimmed_below() == Slot(0) => self.durable_below,
            OthersInView::Some | OthersInView::None => self.reads.trimmed_below(),
        };
        elsewhere.min(self.durable_below)
    }
}
