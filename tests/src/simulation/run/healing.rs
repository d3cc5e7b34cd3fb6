//! How long clusters took to finish everything once all was healed: what is typical, and
//! which seeds to look at.

use std::fmt;
use std::time::Duration;

/// The times of many runs.
#[derive(Clone, Debug, Default)]
pub struct Healing {
    /// Each with its seed.
    times: Vec<(Duration, u64)>,
}

/// How many of the slowest are named.
const NAMED: usize = 8;

impl Healing {
    /// Adds a run.
    pub fn add(&mut self, took: Duration, seed: u64) {
        self.times.push((took, seed));
    }

    /// The time within which so many in a thousand were done.
    #[must_use]
    pub fn within(&self, per_mille: usize) -> Duration {
        let mut times: Vec<Duration> = self.times.iter().map(|(took, _)| *took).collect();
        times.sort_unstable();
        let rank = (times.len() * per_mille).div_ceil(1_000).max(1);
        times.get(rank - 1).copied().unwrap_or_default()
    }

    /// The slowest runs and their seeds, the slowest first.
    #[must_use]
    pub fn slowest(&self) -> Vec<(Duration, u64)> {
        let mut times = self.times.clone();
        times.sort_unstable_by(|one, other| other.cmp(one));
        times.truncate(NAMED);
        times
    }
}

impl fmt::Display for Healing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most, nearly, all] = [500, 900, 990, 999].map(|share| self.within(share));
        write!(
            f,
            "healed within {half:.1?} (half), {most:.1?} (90 %), {nearly:.1?} (99 %), {all:.1?} \
             (99.9 %); slowest"
        )?;
        for (took, seed) in self.slowest() {
            write!(f, " {took:.1?} (seed {seed})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_seen() {
        let mut healing = Healing::default();
        assert_eq!(healing.within(990), Duration::ZERO);
        (1..=1_000).for_each(|ms| healing.add(Duration::from_millis(ms), ms));
        assert_eq!(
            [500, 990, 1_000].map(|share| healing.within(share).as_millis()),
            [500, 990, 1_000]
        );
        assert_eq!(healing.slowest().first(), Some(&(Duration::from_secs(1), 1_000)));
    }
}
