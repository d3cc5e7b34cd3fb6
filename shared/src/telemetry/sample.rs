//! Which requests are recorded: of those that do not say it themselves a few, and of those
//! that ask for it as many as a service can do.
#![expect(clippy::disallowed_methods, reason = "intervals are read from the clock")]

use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::MonotonicClock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::message::Service;

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

/// How many requests a second a service records because they say "sampled", and so many
/// at once: whoever may ask may say it. A replica is asked by balancers, which together
/// are to stay below what it takes, as coordinators and acceptors are by replicas: so that
/// a trace which was begun is recorded everywhere.
fn asked_per_second(service: Service) -> NonZeroU32 {
    let number = match service {
        Service::Balancer => 100,
        Service::Replica => 400,
        Service::Coordinator | Service::Acceptor => 1_000,
    };
    NonZeroU32::new(number).expect("none of them is 0")
}

type Bucket = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<Instant>>;

/// The recordings that are asked for, of which there are so many (GCRA).
#[derive(Debug)]
pub struct RequestedTraces(Bucket);

impl RequestedTraces {
    /// None asked for yet.
    #[must_use]
    pub fn of(service: Service) -> Self {
        let quota = Quota::per_second(asked_per_second(service));
        Self(RateLimiter::direct_with_clock(quota, MonotonicClock))
    }

    /// Whether one more is recorded.
    pub(super) fn takes(&self) -> bool {
        self.0.check().is_ok()
    }
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

    #[test]
    fn of_those_that_ask_for_it_no_more_are_recorded_than_a_service_can_do() {
        let (asked, began) = (RequestedTraces::of(Service::Balancer), Instant::now());
        let most = asked_per_second(Service::Balancer).get();
        let taken = (0..100_000).filter(|_| asked.takes()).count();
        let seconds = began.elapsed().as_secs_f64();
        assert!(taken >= most as usize, "{taken}");
        assert!(taken as f64 <= f64::from(most) * (1.0 + seconds) + 1.0, "{taken} in {seconds} s");
    }
}
