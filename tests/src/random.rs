//! Randomness from one seed, in streams that do not disturb each other.
//!
//! Each link, node and client draws from a stream of its own, so that leaving one fault
//! or one operation out of a run changes what depends on it and little else: that is what
//! lets a failing run be made shorter. Everything is drawn with integers, so that a seed
//! means the same on every machine.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Chances are given in parts of this.
pub const MILLION: u32 = 1_000_000;

/// One stream.
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// The stream of this number.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, which is not 0. (The bias is below 2⁻³² for the small
    /// bounds used here.)
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.bits()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the upper half of 128 bits")
    }

    /// An index into something of this length, which is not 0.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("below a usize")
    }

    /// A number from `low` to `high`, both possible.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True so many times in a [`MILLION`].
    pub fn chance(&mut self, per_million: u32) -> bool {
        per_million > 0 && self.below(u64::from(MILLION)) < u64::from(per_million)
    }

    /// One of the items, of which there is at least one.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// Index of a weight, as often as it weighs.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut left = self.below(total);
        for (index, weight) in weights.iter().enumerate() {
            match left.checked_sub(u64::from(*weight)) {
                Some(rest) => left = rest,
                None => return index,
            }
        }
        unreachable!("drawn below the sum of all weights")
    }

    /// A duration from `low` to `high`.
    pub fn duration(&mut self, low: Duration, high: Duration) -> Duration {
        Duration::from_nanos(self.between(nanos(low), nanos(high)))
    }

    /// A number from `low` (at least 1) to `high`, each order of magnitude as likely as
    /// the next: a factor of two is drawn, then a place within it.
    pub fn magnitude_of(&mut self, low: u64, high: u64) -> u64 {
        let octave = self.between(u64::from(low.ilog2()), u64::from(high.ilog2()));
        let start = 1_u64 << octave;
        (start + self.below(start)).clamp(low, high)
    }

    /// A duration from `low` to `high`, each order of magnitude as likely as the next.
    pub fn magnitude(&mut self, low: Duration, high: Duration) -> Duration {
        let low = nanos(low).max(1);
        Duration::from_nanos(self.magnitude_of(low, nanos(high).max(low)))
    }

    /// A random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.index(end + 1));
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("simulated times are below 500 years")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_a_function_of_its_seed_and_number() {
        let draw = |seed, stream| Random::new(seed, stream).bits();
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }

    #[test]
    fn draws_stay_within_their_bounds_and_reach_them() {
        let mut random = Random::new(7, 0);
        let drawn: Vec<u64> = (0..1_000).map(|_| random.between(3, 5)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&3), Some(&5)));
        let (low, high) = (Duration::from_micros(10), Duration::from_secs(10));
        let magnitudes: Vec<Duration> = (0..2_000).map(|_| random.magnitude(low, high)).collect();
        assert!(magnitudes.iter().all(|drawn| (low..=high).contains(drawn)));
        assert!(
            magnitudes.iter().any(|drawn| *drawn < low * 10)
                && magnitudes.iter().any(|drawn| *drawn > high / 10)
        );
        assert_eq!(random.weighted(&[0, 5, 0]), 1);
        assert!(!random.chance(0) && random.chance(MILLION));
    }
}
