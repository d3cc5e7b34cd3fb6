//! How long reads take, as far as selection rests on it: a histogram that forgets.
//!
//! Buckets are a quarter of an octave wide, so that a quantile is within a fifth of what it
//! is said to be. Halved once a second, it speaks of the last few.

use std::time::Duration;

/// Buckets of a quarter of an octave from a microsecond to half a minute; what is longer is
/// in the last.
const BUCKETS: usize = 100;

/// Fewer answers than this say nothing of a quantile.
const FEWEST: u64 = 100;

/// The latencies of late.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    buckets: [u32; BUCKETS],
}

impl Latencies {
    pub(super) fn new() -> Self {
        Self { buckets: [0; BUCKETS] }
    }

    /// Takes in one.
    pub(super) fn record(&mut self, latency: Duration) {
        let bucket = &mut self.buckets[bucket_of(latency)];
        *bucket = bucket.saturating_add(1);
    }

    /// What so many percent of reads take at most; none where there were too few of them.
    pub(super) fn quantile(&self, percent: u64) -> Option<Duration> {
        let all: u64 = self.buckets.iter().map(|count| u64::from(*count)).sum();
        let rank = (all * percent).div_ceil(100).max(1);
        let mut below = 0;
        let holds = |count: &u32| {
            below += u64::from(*count);
            below >= rank
        };
        (all >= FEWEST).then(|| self.buckets.iter().position(holds)).flatten().map(end_of)
    }

    /// Half of it is forgotten.
    pub(super) fn forget_half(&mut self) {
        for bucket in &mut self.buckets {
            *bucket /= 2;
        }
    }
}

/// Octave and quarter of a number of microseconds.
fn bucket_of(latency: Duration) -> usize {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(4);
    let octave = micros.ilog2();
    let quarter = (micros >> (octave - 2)) & 3;
    let at = u64::from(octave - 2) * 4 + quarter;
    usize::try_from(at).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// Where a bucket ends.
fn end_of(bucket: usize) -> Duration {
    let (octave, quarter) = (bucket / 4, bucket as u64 % 4);
    Duration::from_micros((5 + quarter) << octave)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_in_a_bucket_that_ends_within_a_quarter_above_it() {
        for micros in [4, 5, 7, 8, 999, 1_000, 12_345, 1_000_000, 29_000_000] {
            let latency = Duration::from_micros(micros);
            let end = end_of(bucket_of(latency));
            assert!(latency < end && end <= latency * 5 / 4 + Duration::from_micros(1), "{micros}");
        }
        assert_eq!(bucket_of(Duration::MAX), BUCKETS - 1);
        assert_eq!(bucket_of(Duration::ZERO), 0);
    }

    #[test]
    fn quantiles_are_of_the_last_while_and_of_enough_answers() {
        let mut latencies = Latencies::new();
        for _ in 0..99 {
            latencies.record(Duration::from_millis(1));
        }
        assert_eq!(latencies.quantile(95), None);
        for _ in 0..10 {
            latencies.record(Duration::from_millis(100));
        }
        let within = |found: Option<Duration>, millis: u64| {
            let found = found.unwrap();
            assert!(found >= Duration::from_millis(millis), "{found:?}");
            assert!(found <= Duration::from_millis(millis) * 5 / 4, "{found:?}");
        };
        within(latencies.quantile(50), 1);
        within(latencies.quantile(95), 100);
        latencies.forget_half();
        assert_eq!(latencies.quantile(50), None, "half of them are no longer enough");
    }
}
