//! What may be said now and then, however often it happens.
#![expect(clippy::disallowed_methods, reason = "lines of the log are spaced out by the clock")]

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How far apart lines are that repeat a refusal: whoever sends what is refused must not
/// be able to fill the disk with what is logged of it.
const REPEATED: Duration = Duration::from_secs(10);

/// A line of the log that is written at most once in ten seconds.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    at: Option<Instant>,
    left_out: u64,
}

impl Seldom {
    /// Nothing is said yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Said { at: None, left_out: 0 }))
    }

    /// Whether it may be said now; and how often it was not since the last time.
    #[must_use]
    pub fn may(&self) -> Option<u64> {
        self.may_at(Instant::now())
    }

    fn may_at(&self, now: Instant) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.at.is_some_and(|at| now.duration_since(at) < REPEATED) {
            said.left_out += 1;
            return None;
        }
        said.at = Some(now);
        Some(std::mem::take(&mut said.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_is_said_once_and_then_with_how_often_it_was_not() {
        let (seldom, start) = (Seldom::new(), Instant::now());
        assert_eq!(seldom.may_at(start), Some(0));
        for millis in 1..=50 {
            assert_eq!(seldom.may_at(start + Duration::from_millis(millis)), None);
        }
        assert_eq!(seldom.may_at(start + REPEATED), Some(50));
    }
}
