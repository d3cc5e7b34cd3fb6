//! Which endpoints are so much slower than the others that they are left alone for a while.
//!
//! As Envoy's outlier detection, by latency: a read is *slow* that takes four times what the
//! fastest quarter of all reads takes, and no less than [`SLOW_FLOOR`]. Once a second those
//! are ejected of whose answers of late a larger part was slow than of the others'. Parts are
//! compared, and only with those that were asked as well: by weights and zones one may get
//! nearly all reads, and so nearly all slow ones. Slowness of all is nobody's fault, and of a
//! few only [`most_ejected`] are: the others would have to carry what they carried.

use std::time::Duration;

/// From one judgement to the next.
pub(super) const JUDGE_EVERY: Duration = Duration::from_secs(1);
/// No read that takes less is slow, in milliseconds.
const SLOW_FLOOR: Duration = Duration::from_millis(20);
/// A read is slow that takes this many times what the fastest quarter takes.
const SLOW_TIMES: u32 = 4;
/// Fewer slow answers of late eject nobody.
const FEWEST_SLOW: u64 = 5;
/// A smaller part of slow answers, in thousandths, ejects nobody: reads are hedged for that.
const FEWEST_PER_MILLE: u64 = 50;
/// An endpoint is ejected for a part of slow answers that is more than so many times the
/// others' …
const TIMES_THE_OTHERS: u64 = 4;
/// … of those that were asked as often as this of late.
const FEWEST_READS: u64 = 5;
/// How long the first ejection lasts; each one that follows soon, twice as long as the last.
const FIRST_EJECTION: Duration = Duration::from_secs(5);
/// The longest one.
const LONGEST_EJECTION: Duration = Duration::from_secs(60);
/// An endpoint that has done well for so long is ejected as if for the first time.
const FORGIVEN_AFTER: Duration = Duration::from_secs(120);

/// What an endpoint did of late, and how it is judged for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Slow answers of late …
    pub slow: u64,
    /// … of so many: both are halved at each judgement.
    pub reads: u64,
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
        (self.slow, self.reads) = (0, 0);
    }

    /// What part of its answers of late was slow, in thousandths; none where they were few.
    fn part(&self) -> Option<u64> {
        (self.reads >= FEWEST_READS).then(|| self.slow * 1_000 / self.reads)
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

/// Whom to eject, by place, the slowest first: of endpoints with these records, of which so
/// many more may be ejected.
pub(super) fn outliers(records: &[Record], room: usize) -> Vec<usize> {
    let parts: Vec<Option<u64>> = records.iter().map(Record::part).collect();
    let is_outlier = |at: &usize| {
        let others = parts.iter().enumerate().filter(|(other, _)| other != at);
        let mut others: Vec<u64> = others.filter_map(|(_, part)| *part).collect();
        others.sort_unstable();
        // Of an even number the lower one: of two others, one may be slow as well.
        let usual = others.get(others.len().saturating_sub(1) / 2);
        let own = parts[*at].filter(|own| *own >= FEWEST_PER_MILLE);
        records[*at].slow >= FEWEST_SLOW
            && own
                .zip(usual)
                .is_some_and(|(own, usual)| own > usual.saturating_mul(TIMES_THE_OTHERS))
    };
    let mut order: Vec<usize> = (0..records.len()).filter(is_outlier).collect();
    order.sort_by_key(|at| std::cmp::Reverse((parts[*at], records[*at].slow)));
    order.truncate(room);
    order
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
            let of = |slow: &u64| Record { slow: *slow, reads: 100, ..Record::default() };
            let records: Vec<Record> = slow.iter().map(of).collect();
            assert_eq!(outliers(&records, room), expected, "{slow:?}");
        }
    }

    #[test]
    fn whoever_gets_most_reads_is_not_judged_by_the_number_of_its_slow_ones() {
        for (records, expected) in [
            // In its zone it is the only one that is asked.
            (&[(40, 100), (0, 0), (0, 2)][..], &[][..]),
            (&[(40, 100), (0, 0), (0, 5)], &[0]),
            // By its weight it gets ten times as many.
            (&[(60, 1_000), (6, 100), (4, 100)], &[]),
            (&[(600, 1_000), (6, 100), (4, 100)], &[0]),
            // Of few answers that are slow nobody's clients hear.
            (&[(40, 1_000), (0, 1_000), (0, 1_000)], &[]),
        ] {
            let of = |(slow, reads): &(u64, u64)| Record {
                slow: *slow,
                reads: *reads,
                ..Record::default()
            };
            let judged: Vec<Record> = records.iter().map(of).collect();
            assert_eq!(outliers(&judged, 1), expected, "{records:?}");
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
