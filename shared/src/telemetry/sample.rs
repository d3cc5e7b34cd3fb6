//! Which requests are recorded that do not say it themselves.
#![expect(clippy::disallowed_methods, reason = "intervals are read from the clock")]

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Where spans are kept but not exported, one request is recorded in each such interval:
/// the first one. So an idle service shows what it does, and a busy one pays for ten
/// requests a second, with their batches, whatever comes.
pub const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);

/// When the next one is due, in milliseconds since the process first asked.
#[derive(Debug, Default)]
struct Due(AtomicU64);

impl Due {
    /// Whether the one that comes now is the first of its interval.
    fn takes(&self, now_ms: u64) -> bool {
        let due = self.0.load(Ordering::Relaxed);
        let interval = u64::try_from(SAMPLE_INTERVAL.as_millis()).unwrap_or(u64::MAX);
        now_ms >= due
            && self
                .0
                .compare_exchange(due, now_ms + interval, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

/// Whether a request that comes now is recorded, though it does not ask for it.
pub(super) fn is_first_of_interval() -> bool {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    static DUE: Due = Due(AtomicU64::new(0));
    DUE.takes(u64::try_from(BEGAN.elapsed().as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_interval_the_first_request_is_recorded() {
        let due = Due::default();
        let taken: Vec<u64> = (0..1_000).filter(|now| due.takes(*now)).collect();
        assert_eq!(taken, (0..10).map(|interval| interval * 100).collect::<Vec<u64>>());
        assert!(due.takes(10_000) && !due.takes(10_099) && due.takes(10_100));
    }
}
