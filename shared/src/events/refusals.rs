//! Refusals as they are counted by reason, told no more often than people read: pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::kind::{Happening, cut};

/// Each reason of each source is told no more often: a flood of refusals does not push what
/// else happened out of the ring.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// So many reasons of a source are told of: what others say is not to fill the memory.
const REASONS: usize = 32;

/// What was refused, and what of it was told, by who refuses.
#[derive(Debug, Default)]
pub struct RefusalsHeard(BTreeMap<String, BTreeMap<String, Counted>>);

/// Refusals of one reason, since the beginning of whoever counts them.
#[derive(Clone, Copy, Debug)]
struct Counted {
    now: u64,
    told: u64,
    told_at: Option<Duration>,
}

impl Counted {
    /// How many are told now.
    fn take(&mut self, now: Duration, counted: u64) -> Option<u64> {
        if counted < self.now {
            // It counts from its beginning again.
            self.told = 0;
        }
        self.now = counted;
        let is_due = self.told_at.is_none_or(|at| now.saturating_sub(at) >= TOLD_EVERY);
        let untold = self.now - self.told;
        if untold == 0 || !is_due {
            return None;
        }
        (self.told, self.told_at) = (self.now, Some(now));
        Some(untold)
    }
}

impl RefusalsHeard {
    /// Takes in what somebody counts, and says what of it is to be told. What it has counted
    /// when it is heard for the first time is no news.
    pub fn take(
        &mut self,
        now: Duration,
        source: &str,
        counts: &BTreeMap<String, u64>,
    ) -> Vec<Happening> {
        let known = self.0.entry(source.to_owned()).or_default();
        let mut news = Vec::new();
        for (reason, counted) in counts.iter().take(REASONS) {
            let reason = cut(reason);
            let before = known.entry(reason.clone()).or_insert(Counted {
                now: *counted,
                told: *counted,
                told_at: None,
            });
            if let Some(count) = before.take(now, *counted) {
                news.push(Happening::Access { id: cut(source), reason, count });
            }
        }
        known.retain(|reason, _| counts.is_empty() || counts.contains_key(reason));
        news
    }

    /// Whether there is something that is not told yet.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.0.values().flat_map(BTreeMap::values).any(|counted| counted.told < counted.now)
    }

    /// Forgets those who are not there any more.
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.0.retain(|source, _| is_there(source));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000 + seconds)
    }

    fn counts(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
        of.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect()
    }

    fn told(source: &str, reason: &str, count: u64) -> Happening {
        Happening::Access { id: source.to_owned(), reason: reason.to_owned(), count }
    }

    #[test]
    fn the_first_refusal_is_told_at_once_and_more_of_its_reason_together_after_a_minute() {
        let mut heard = RefusalsHeard::default();
        let mut take = |seconds, of: &[(&str, u64)]| heard.take(at(seconds), "a", &counts(of));
        // What was counted before anybody listened is no news.
        assert_eq!(take(0, &[("keys", 7), ("no_token", 0)]), []);
        assert_eq!(take(1, &[("keys", 7), ("no_token", 1)]), [told("a", "no_token", 1)]);
        assert_eq!(take(2, &[("keys", 9), ("no_token", 500)]), [told("a", "keys", 2)]);
        assert_eq!(take(60, &[("keys", 9), ("no_token", 900)]), []);
        assert_eq!(take(61, &[("keys", 9), ("no_token", 900)]), [told("a", "no_token", 899)]);
        assert_eq!(take(200, &[("keys", 9), ("no_token", 900)]), []);
    }

    #[test]
    fn what_is_held_back_is_known_to_be() {
        let mut heard = RefusalsHeard::default();
        for (seconds, count, is_behind) in [(0, 0, false), (1, 1, false), (2, 2, true)] {
            heard.take(at(seconds), "a", &counts(&[("keys", count)]));
            assert_eq!(heard.is_behind(), is_behind, "{count}");
        }
        heard.take(at(61), "a", &counts(&[("keys", 2)]));
        assert!(!heard.is_behind());
    }

    #[test]
    fn who_begins_anew_counts_from_its_beginning_and_who_is_silent_is_not_forgotten() {
        let mut heard = RefusalsHeard::default();
        heard.take(at(0), "a", &counts(&[("keys", 5)]));
        assert_eq!(heard.take(at(1), "a", &BTreeMap::new()), []);
        assert_eq!(heard.take(at(2), "a", &counts(&[("keys", 3)])), [told("a", "keys", 3)]);
        assert_eq!(heard.take(at(3), "b", &counts(&[("keys", 3)])), []);
        heard.keep(|source| source != "a");
        assert_eq!(heard.take(at(99), "a", &counts(&[("keys", 4)])), []);
    }

    #[test]
    fn what_is_remembered_is_bounded_whatever_others_say() {
        let mut heard = RefusalsHeard::default();
        for round in 0..10 {
            let made_up = (0..100).map(|number| (format!("{round}-{number}"), 1)).collect();
            heard.take(at(round), "a", &made_up);
        }
        assert!(heard.0["a"].len() <= REASONS);
    }
}
