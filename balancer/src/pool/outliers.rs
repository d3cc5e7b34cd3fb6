//! Which endpoints are so much slower than the others that they are left alone for a while.
//!
//! As Envoy's outlier detection, by latency: a read is *slow* that takes four times what the
//! fastest quarter of all reads takes, and no less than [`SLOW_FLOOR`]. Once a second those
//! are ejected that gave many slow answers of late, and many more than the others. Slowness
//! of all is nobody's fault, and of a few only [`most_ejected`] are: the others would have
//! to carry what they carried.

use std::time::Duration;

/// From one judgement to the next.
pub(super) const JUDGE_EVERY: Duration = Duration::from_secs(1);
/// No read that takes less is slow, in milliseconds.
const SLOW_FLOOR: Duration = Duration::from_millis(20);
/// A read is slow that takes this many times what the fastest quarter takes.
const SLOW_TIMES: u32 = 4;
/// Fewer slow answers of late eject nobody.
const FEWEST_SLOW: u64 = 5;
/// An endpoint is ejected for slow answers that are more than so many times the others'.
const TIMES_THE_OTHERS: u64 = 4;
/// How long the first ejection lasts; each one that follows soon, twice as long as the last.
const FIRST_EJECTION: Duration = Duration::from_secs(5);
/// The longest one.
const LONGEST_EJECTION: Duration = Duration::from_secs(60);
/// An endpoint that has done well for so long is ejected as if for the first time.
const FORGIVEN_AFTER: Duration = Duration::from_secs(120);

/// What an endpoint did of late, and how it is judged for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Slow answers of late: halved at each judgement.
    pub slow: u64,
    /// Until when it is ejected, in time since the pool began.
    pub ejected_until: Option<Duration>,
    /// Ejections in a row.
    pub(super) in_a_row: u32,
    /// When the last one ended, or will.
    pub(super) ended: Duration,
}

impl Record {
    /// Ejects it.
    pub(super) fn eject(&mut self, now: Duration) {
        let is_forgiven = now.saturating_sub(self.ended) > FORGIVEN_AFTER;
        self.in_a_row = if is_forgiven { 1 } else { self.in_a_row.saturating_add(1) };
        let doubled = 2_u32.saturating_pow(self.in_a_row - 1);
        let lasts = FIRST_EJECTION.saturating_mul(doubled).min(LONGEST_EJECTION);
        self.ended = now + lasts;
        self.ejected_until = Some(self.ended);
        self.slow = 0;
    }

    /// Whether an ejection has just ended.
    pub(super) fn comes_back(&mut self, now: Duration) -> bool {
        self.ejected_until.take_if(|until| *until <= now).is_some()
    }
}

/// How many of so many endpoints are ejected at most: a third, but one of two.
#[must_use]
pub fn most_ejected(endpoints: usize) -> usize {
    if endpoints < 2 { 0 } else { (endpoints / 3).max(1) }
}

/// From when on a read is slow, where the fastest quarter takes so long.
pub(super) fn slow_after(fastest_quarter: Duration) -> Duration {
    (fastest_quarter * SLOW_TIMES).max(SLOW_FLOOR)
}

/// Whom to eject, by place, the slowest first: of endpoints with so many slow answers, of
/// which so many more may be ejected.
pub(super) fn outliers(slow: &[u64], room: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..slow.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(slow[*at]));
    let is_outlier = |at: &usize| {
        let mut others: Vec<u64> =
            (0..slow.len()).filter(|other| other != at).map(|other| slow[other]).collect();
        others.sort_unstable();
        // Of an even number the lower one: of two others, one may be slow as well.
        let usual = others.get(others.len().saturating_sub(1) / 2);
        usual.is_some_and(|usual| {
            slow[*at] >= FEWEST_SLOW && slow[*at] > usual.saturating_mul(TIMES_THE_OTHERS)
        })
    };
    order.into_iter().filter(is_outlier).take(room).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_are_outliers_that_are_slow_while_others_are_not() {
        for (slow, room, expected) in [
            (&[0, 9, 1][..], 1, &[1][..]),
            (&[0, 9, 40], 1, &[2]),
            (&[0, 9, 40, 0, 0, 0], 2, &[2, 1]),
            (&[0, 4, 0], 1, &[]),
            (&[30, 40, 35], 1, &[]),
            (&[9, 0], 1, &[0]),
            (&[9], 1, &[]),
            (&[], 1, &[]),
            (&[0, 9, 1], 0, &[]),
        ] {
            assert_eq!(outliers(slow, room), expected, "{slow:?}");
        }
    }

    #[test]
    fn only_a_third_is_ejected_and_never_the_only_one() {
        let most: Vec<usize> = (0..=9).map(most_ejected).collect();
        assert_eq!(most, [0, 0, 1, 1, 1, 1, 2, 2, 2, 3]);
    }

    #[test]
    fn who_is_ejected_again_stays_out_longer_until_it_is_forgiven() {
        let (mut record, mut now) = (Record::default(), Duration::from_secs(1_000));
        let mut lasted = Vec::new();
        for _ in 0..6 {
            record.eject(now);
            lasted.push((record.ended - now).as_secs());
            assert!(!record.comes_back(record.ended - Duration::from_millis(1)));
            now = record.ended;
            assert!(record.comes_back(now) && !record.comes_back(now));
        }
        assert_eq!(lasted, [5, 10, 20, 40, 60, 60]);
        record.eject(now + FORGIVEN_AFTER + Duration::from_secs(1));
        assert_eq!(record.in_a_row, 1);
    }
}
