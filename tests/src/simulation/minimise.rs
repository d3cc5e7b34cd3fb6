//! Makes a failing run shorter: fewer faults, and an earlier end, as long as it fails for the same reason.
//!
//! Delta debugging (Zeller & Hildebrandt, *Simplifying and Isolating Failure-Inducing Input*, 2002) on the list of faults. What
//! remains is drawn from the same streams as before, so most of it happens as it did.

use std::time::Duration;

use super::plan::{Kept, Plan, RunName};
use super::run::{Keep, run};

/// A shorter run that fails for the same reason, as far as `tries` runs find one.
#[must_use]
pub fn minimise(name: &RunName, tries: u32) -> RunName {
    let plan = Plan::of(name);
    let Some(failure) = run(plan.clone(), Keep::Digest).failure else { return name.clone() };
    let all = Kept { faults: (0..Plan::new(name.seed).faults.len()).collect(), length: plan.length };
    let mut search = Search { seed: name.seed, reason: reason(&failure), tries_left: tries };
    let kept = name.kept.clone().unwrap_or(all);
    let kept = search.fewer_faults(kept);
    let kept = search.shorter(kept);
    RunName { seed: name.seed, kept: Some(kept) }
}

/// The part of a failure's text that does not depend on numbers.
fn reason(failure: &str) -> String {
    failure.chars().filter(|char| !char.is_ascii_digit()).take(40).collect()
}

struct Search {
    seed: u64,
    reason: String,
    tries_left: u32,
}

impl Search {
    fn still_fails(&mut self, kept: &Kept) -> bool {
        let Some(left) = self.tries_left.checked_sub(1) else { return false };
        self.tries_left = left;
        let name = RunName { seed: self.seed, kept: Some(kept.clone()) };
        run(Plan::of(&name), Keep::Digest).failure.is_some_and(|failure| reason(&failure) == self.reason)
    }

    /// Leaves out pieces of the list, at first large ones.
    fn fewer_faults(&mut self, mut kept: Kept) -> Kept {
        let mut piece = kept.faults.len();
        while piece > 0 {
            let mut start = 0;
            while start < kept.faults.len() {
                let end = (start + piece).min(kept.faults.len());
                let faults = [&kept.faults[..start], &kept.faults[end..]].concat();
                let candidate = Kept { faults, ..kept.clone() };
                if self.still_fails(&candidate) {
                    kept = candidate;
                } else {
                    start = end;
                }
            }
            piece /= 2;
        }
        kept
    }

    fn shorter(&mut self, mut kept: Kept) -> Kept {
        let mut step = kept.length / 2;
        while step > Duration::from_millis(100) {
            let length = Duration::from_millis(u64::try_from((kept.length - step).as_millis()).expect("short"));
            let candidate = Kept { length, ..kept.clone() };
            if self.still_fails(&candidate) {
                kept = candidate;
                step = step.min(kept.length / 2);
            } else {
                step /= 2;
            }
        }
        kept
    }
}
