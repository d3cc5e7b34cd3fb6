//! What clients count: how long what they did took, and what went wrong.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// What is not counted at the start: connections are opened and caches filled.
const WARM_UP: Duration = Duration::from_millis(500);
/// The longest latency told apart from longer ones, in microseconds.
const MAX_LATENCY_US: u64 = 120_000_000;

/// How a request ended.
pub(crate) enum Outcome {
    Done,
    Failed(String),
}

/// What was measured.
pub(crate) struct Measured {
    /// Of what succeeded, in microseconds.
    pub(crate) latency: Histogram<u64>,
    pub(crate) elapsed: Duration,
    /// How often each error came.
    pub(crate) errors: BTreeMap<String, u64>,
    /// How often a second it was written meanwhile, where that is not what is measured.
    pub(crate) writes_per_second: Option<f64>,
}

/// Counts for all clients of a measurement, in the time that counts.
pub(crate) struct Tally {
    latency: RefCell<Histogram<u64>>,
    errors: RefCell<BTreeMap<String, u64>>,
    begin: Instant,
    end: Instant,
    is_over: Cell<bool>,
}

impl Tally {
    /// Of what begins from now on, after the warm-up.
    pub(crate) fn over(duration: Duration) -> anyhow::Result<Self> {
        let begin = Instant::now() + WARM_UP;
        Ok(Self {
            latency: RefCell::new(Histogram::new_with_bounds(1, MAX_LATENCY_US, 3)?),
            errors: RefCell::default(),
            begin,
            end: begin + duration,
            is_over: Cell::new(false),
        })
    }

    /// Until when it counts.
    pub(crate) fn end(&self) -> Instant {
        self.end
    }

    /// Whether something counts that begins then.
    pub(crate) fn counts(&self, begun: Instant) -> bool {
        (self.begin..self.end).contains(&begun)
    }

    /// Something was begun then, and has ended now, so. Says whether to go on.
    pub(crate) fn note(&self, begun: Instant, outcome: Outcome) -> bool {
        let now = Instant::now();
        if now >= self.end {
            self.is_over.set(true);
        } else if self.counts(begun) {
            match outcome {
                Outcome::Done => self.took(now - begun),
                Outcome::Failed(error) => self.failed(error),
            }
        }
        !self.is_over.get()
    }

    /// Something took so long.
    pub(crate) fn took(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.latency.borrow_mut().saturating_record(micros);
    }

    /// Something failed so.
    pub(crate) fn failed(&self, error: String) {
        *self.errors.borrow_mut().entry(error).or_insert(0) += 1;
    }

    /// All of it.
    pub(crate) fn measured(self) -> Measured {
        Measured {
            latency: self.latency.into_inner(),
            elapsed: self.end - self.begin,
            errors: self.errors.into_inner(),
            writes_per_second: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_begins_after_the_warm_up_and_ends_in_time_counts() {
        let tally = Tally::over(Duration::from_secs(60)).unwrap();
        assert!(tally.note(Instant::now(), Outcome::Done), "it warms up");
        assert!(tally.note(tally.begin, Outcome::Done));
        assert!(tally.note(tally.begin, Outcome::Failed(String::from("503"))));
        let measured = tally.measured();
        assert_eq!((measured.latency.len(), measured.elapsed), (1, Duration::from_secs(60)));
        assert_eq!(measured.errors, BTreeMap::from([(String::from("503"), 1)]));

        let over = Tally { end: Instant::now(), ..Tally::over(Duration::ZERO).unwrap() };
        assert!(!over.note(over.begin, Outcome::Done), "the time is over");
        assert_eq!(over.latency.borrow().len(), 0);
    }
}
