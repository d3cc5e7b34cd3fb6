//! What history takes, stretch by stretch of revisions, and up to where it has to go.

use std::collections::VecDeque;

use shared::ids::Revision;

use crate::replica::event::Weighed;

/// History may take one of so many parts of the database: half as much as all else, so that
/// with what half-empty pages take the whole is less than three times what there is.
const SHARE: u64 = 3;

/// At most so many stretches are told apart. Past it those that follow each other and are short
/// become one.
const MOST_STRETCHES: usize = 1_024;

/// That is short which takes one of so many parts of all of it at most: that is how exact it is
/// what goes. Any two that are left are longer, so they are fewer than half of
/// [`MOST_STRETCHES`].
const EXACTNESS: u64 = MOST_STRETCHES as u64 / 4;

/// Some revisions that follow each other.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// A compaction up to this one takes away what it has.
    through: Revision,
    bytes: u64,
}

/// What is weighed and not dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct Weights {
    /// The oldest first.
    stretches: VecDeque<Stretch>,
    /// Of all of them.
    bytes: u64,
    /// What the database took when something was weighed last.
    database_bytes: u64,
}

impl Weights {
    pub(super) fn add(&mut self, weighed: Weighed) {
        let Weighed { through, bytes, database_bytes } = weighed;
        self.database_bytes = database_bytes;
        self.bytes = self.bytes.saturating_add(bytes);
        match self.stretches.back_mut().filter(|last| last.through == through || bytes == 0) {
            Some(last) => last.bytes = last.bytes.saturating_add(bytes),
            None => self.stretches.push_back(Stretch { through, bytes }),
        }
        if self.stretches.len() > MOST_STRETCHES {
            self.join();
        }
    }

    fn join(&mut self) {
        let (short, mut joined) = (self.bytes / EXACTNESS, VecDeque::<Stretch>::new());
        for Stretch { through, bytes } in self.stretches.drain(..) {
            match joined.back_mut().filter(|last| last.bytes.saturating_add(bytes) <= short) {
                Some(last) => *last = Stretch { through, bytes: last.bytes + bytes },
                None => joined.push_back(Stretch { through, bytes }),
            }
        }
        self.stretches = joined;
    }

    /// Everything before this revision is dropped.
    pub(super) fn forget(&mut self, compacted_below: Revision) {
        while self.stretches.front().is_some_and(|first| first.through <= compacted_below) {
            let gone = self.stretches.pop_front().map_or(0, |first| first.bytes);
            self.bytes = self.bytes.saturating_sub(gone);
        }
    }

    /// The revision up to which history has to go, so that it takes no more than these bytes,
    /// or than its share of the database if that is more; none where all of it may stay.
    pub(super) fn oldest_kept(&self, least: u64) -> Option<Revision> {
        let mut over = self.bytes.checked_sub(self.kept(least)).filter(|over| *over > 0)?;
        let goes = |stretch: &&Stretch| {
            over = over.saturating_sub(stretch.bytes);
            over == 0
        };
        self.stretches.iter().find(goes).map(|last| last.through)
    }

    /// Whether it takes a sixteenth more than that.
    pub(super) fn is_far_over(&self, least: u64) -> bool {
        let kept = self.kept(least);
        self.bytes > kept.saturating_add(kept / 16)
    }

    fn kept(&self, least: u64) -> u64 {
        least.max(self.database_bytes / SHARE)
    }

    pub(super) fn invariant_stretches_are_bounded(&self) {
        let stretches = self.stretches.len();
        assert!(stretches <= MOST_STRETCHES, "{stretches} stretches are told apart");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// So many revisions, of a mebibyte each, in a database of so many.
    fn weights(revisions: std::ops::RangeInclusive<u64>, database: u64) -> Weights {
        let mut weights = Weights::default();
        for revision in revisions {
            let through = Revision(revision);
            weights.add(Weighed { through, bytes: MIB, database_bytes: database * MIB });
            weights.invariant_stretches_are_bounded();
        }
        weights
    }

    #[test]
    fn the_oldest_goes_until_the_rest_is_few_enough_bytes() {
        let oldest = |weights: Weights| weights.oldest_kept(10 * MIB);
        assert_eq!(oldest(weights(1..=10, 20)), None);
        assert_eq!(oldest(weights(1..=11, 20)), Some(Revision(1)));
        assert_eq!(oldest(weights(1..=25, 30)), Some(Revision(15)));
    }

    #[test]
    fn half_as_much_as_all_else_may_stay_however_much_that_is() {
        let oldest = |weights: Weights| weights.oldest_kept(10 * MIB);
        assert_eq!(oldest(weights(1..=20, 60)), None);
        assert_eq!(oldest(weights(1..=21, 60)), Some(Revision(1)));
        assert_eq!(oldest(weights(1..=60, 60)), Some(Revision(40)));
    }

    #[test]
    fn what_one_revision_did_goes_whole() {
        let mut weights = weights(1..=5, 20);
        for _ in 0..30 {
            let through = Revision(6);
            weights.add(Weighed { through, bytes: MIB, database_bytes: 40 * MIB });
        }
        assert_eq!(weights.oldest_kept(14 * MIB), Some(Revision(6)));
    }

    #[test]
    fn what_is_dropped_counts_no_more() {
        let mut weights = weights(1..=25, 30);
        weights.forget(Revision(14));
        assert_eq!(weights.oldest_kept(10 * MIB), Some(Revision(15)));
        weights.forget(Revision(15));
        assert_eq!(weights.oldest_kept(10 * MIB), None);
    }

    #[test]
    fn of_however_many_revisions_little_is_remembered_and_little_too_much_goes() {
        let weights = weights(1..=100_000, 0);
        let oldest = weights.oldest_kept(10_000 * MIB).unwrap().0;
        assert!((90_000..=90_000 + 100_000 / EXACTNESS).contains(&oldest), "{oldest}");
    }
}
