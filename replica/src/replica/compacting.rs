//! Dropping history by itself, so that disks do not fill up however long a cluster runs.
//!
//! The primary has a compaction proposed like any client's, now and then, where there is
//! history beyond what it is told to keep. How old a revision is, is told by replicated time:
//! every replica notes now and then at which revision it was at which time, so that a new
//! primary knows, too. A replica that has just started does not, and keeps more for a while.
//! How many bytes history takes is weighed behind executing, at every replica as well
//! (`weights`).

mod weights;

use std::collections::VecDeque;
use std::time::Duration;

use shared::ids::{Accessor, Revision};

use self::weights::Weights;
use super::Replica;
use crate::machine::access::Requirement;
use crate::machine::format;
use crate::machine::state::Meta;
use crate::replica::config::Retention;
use crate::replica::event::{Effect, Role, Storage, Timer, Weighed};

/// So many times at most are noted of what is to be kept by time: that is how exact it is.
const NOTES: u64 = 64;

/// Which revision there was when.
#[derive(Clone, Copy, Debug)]
struct Note {
    /// Milliseconds of replicated time.
    time_ms: u64,
    revision: Revision,
}

/// What is to be kept, and how old it is.
#[derive(Clone, Debug)]
pub(crate) struct Compacting {
    retention: Retention,
    /// The oldest first. Where more than one is older than what is to be kept, only the
    /// newest of them is here.
    notes: VecDeque<Note>,
    weights: Weights,
}

impl Compacting {
    pub(crate) fn new(retention: Retention) -> Self {
        Self { retention, notes: VecDeque::new(), weights: Weights::default() }
    }

    /// Whether history takes far more bytes than it is to.
    fn is_far_over(&self) -> bool {
        self.retention.bytes.is_some_and(|bytes| self.weights.is_far_over(bytes))
    }

    fn keep_ms(&self) -> Option<u64> {
        let time = self.retention.time?;
        Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    /// Notes how far the state is.
    fn note(&mut self, meta: &Meta) {
        let Some(keep_ms) = self.keep_ms() else { return };
        let Meta { time_ms, revision, .. } = *meta;
        let is_due = |last: &Note| time_ms >= last.time_ms.saturating_add(keep_ms.div_ceil(NOTES));
        if self.notes.back().is_none_or(is_due) {
            self.notes.push_back(Note { time_ms, revision });
        }
        let is_old = |note: &Note| note.time_ms.saturating_add(keep_ms) <= time_ms;
        while self.notes.get(1).is_some_and(is_old) {
            self.notes.pop_front();
        }
    }

    /// The oldest revision that is to be kept of this state.
    fn oldest_kept(&self, meta: &Meta) -> Revision {
        let by_count = self.retention.revisions.map(|count| meta.revision.0.saturating_sub(count));
        let is_old = |keep_ms: u64| {
            let first = self.notes.front()?;
            (first.time_ms.saturating_add(keep_ms) <= meta.time_ms).then_some(first.revision.0)
        };
        let by_time = self.keep_ms().and_then(is_old);
        let by_bytes = self.retention.bytes.and_then(|bytes| self.weights.oldest_kept(bytes));
        Revision(by_count.max(by_time).unwrap_or(0)).max(by_bytes.unwrap_or_default())
    }

    /// What is noted is little, however long it runs.
    pub(crate) fn invariant_notes_are_bounded(&self) {
        let notes = self.notes.len() as u64;
        assert!(notes <= NOTES + 2, "{notes} times are noted");
        self.weights.invariant_stretches_are_bounded();
    }
}

impl Replica {
    /// Looks from time to time whether there is history that is not to be kept.
    pub(super) fn compact_due(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let (after, jitter) = (self.config.compaction_interval, Duration::ZERO);
        effects.push(Effect::Arm { timer: Timer::Compact, after, jitter });
        self.forget_log(effects);
        self.compacting.note(&self.meta);
        self.compact(now, effects);
    }

    /// Takes in how much more of history there is, and looks at once where that is far too
    /// much: however fast it grows, it does not for long.
    pub(super) fn weighed(&mut self, now: Duration, weighed: Weighed, effects: &mut Vec<Effect>) {
        self.compacting.weights.add(weighed);
        if self.compacting.is_far_over() {
            self.compact(now, effects);
        }
    }

    /// Has history dropped that is not to be kept.
    fn compact(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        self.compacting.weights.forget(self.meta.compacted_below);
        let revision = self.compacting.oldest_kept(&self.meta);
        let can_propose = self.role() == Role::Primary
            && self.meta.format() >= format::COMPACTION
            && self.storage != Storage::Full
            && self.members.leader(now).is_some();
        // What is still to be swept comes first, and so does what was asked for before.
        let is_under_way = self.unswept.revisions > 0 || self.batching.is_compacting();
        if can_propose && !is_under_way && revision > self.meta.compacted_below {
            let by = match self.meta.access.requirement {
                Requirement::Open => None,
                Requirement::Tokens { .. } => Some(Accessor::CLUSTER),
            };
            effects.push(Effect::Compact { revision, by });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(time_ms: u64, revision: u64) -> Meta {
        Meta { time_ms, revision: Revision(revision), ..Meta::default() }
    }

    fn compacting(revisions: Option<u64>, time_ms: Option<u64>) -> Compacting {
        let time = time_ms.map(Duration::from_millis);
        Compacting::new(Retention { revisions, time, bytes: None })
    }

    #[test]
    fn the_newest_revisions_are_kept() {
        let kept = compacting(Some(10), None);
        assert_eq!(kept.oldest_kept(&meta(0, 9)), Revision(0));
        assert_eq!(kept.oldest_kept(&meta(0, 25)), Revision(15));
        assert_eq!(compacting(None, None).oldest_kept(&meta(0, 25)), Revision(0), "for ever");
    }

    #[test]
    fn what_is_younger_than_is_to_be_kept_is_kept_and_little_more() {
        let mut kept = compacting(None, Some(6_400));
        for time in 0..100_000_u64 {
            kept.note(&meta(time, time));
            kept.invariant_notes_are_bounded();
            let oldest = kept.oldest_kept(&meta(time, time)).0;
            assert!(oldest <= time.saturating_sub(6_400), "{oldest} at {time}");
            assert!(oldest + 6_400 + 2 * 100 >= time, "{oldest} at {time}");
        }
    }

    #[test]
    fn whichever_of_both_keeps_less_counts() {
        let mut kept = compacting(Some(5), Some(1_000));
        kept.note(&meta(0, 7));
        assert_eq!(kept.oldest_kept(&meta(999, 8)), Revision(3));
        assert_eq!(kept.oldest_kept(&meta(1_000, 8)), Revision(7));
        assert_eq!(kept.oldest_kept(&meta(1_000, 20)), Revision(15));
    }
}
