//! Makes a failing run shorter: fewer faults, fewer clients, an earlier end and a network
//! that works, as long as it fails for the same reason.
//!
//! Delta debugging (Zeller & Hildebrandt, *Simplifying and Isolating Failure-Inducing
//! Input*, 2002) on the list of faults, from which all events of a run follow. What
//! remains is drawn from the same streams as before, so most of it happens as it did. In
//! the end the run is 1-minimal: without any one of its faults it does not fail so any
//! more.

use std::time::Duration;

use super::failure::{Failure, FailureKind};
use crate::simulation::plan::{Kept, KeptWeather, Plan, RunName};

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minimised {
    /// The shortest run found that fails for the same reason.
    pub name: RunName,
    /// Whether there was time for all of it.
    pub search: Search,
}

/// Whether a search was finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// The run does not fail, so there is nothing to search.
    NotFailing,
    /// No fault can be left out any more.
    Finished,
    /// It had no more tries.
    OutOfTries,
}

/// A shorter run that fails for the same reason, as far as `tries` calls of `run` find
/// one. `run` gives the failure of a plan.
#[must_use]
pub fn minimise(name: &RunName, tries: u32, run: impl Fn(&Plan) -> Option<Failure>) -> Minimised {
    let plan = Plan::of(name);
    let Some(failure) = run(&plan) else {
        return Minimised { name: name.clone(), search: Search::NotFailing };
    };
    let mut kept = name.kept.clone().unwrap_or_else(|| plan.all_kept());
    let mut shrink = Shrink { seed: name.seed, reason: failure.kind, tries_left: tries, run };
    loop {
        let before = kept.clone();
        kept = shrink.fewer_faults(kept);
        kept = shrink.shorter(kept);
        kept = shrink.fewer_clients(kept);
        kept = shrink.calmer(kept);
        if kept == before || shrink.tries_left == 0 {
            break;
        }
    }
    let search = if shrink.tries_left == 0 { Search::OutOfTries } else { Search::Finished };
    Minimised { name: RunName { seed: name.seed, kept: Some(kept) }, search }
}

struct Shrink<R> {
    seed: u64,
    reason: FailureKind,
    tries_left: u32,
    run: R,
}

impl<R: Fn(&Plan) -> Option<Failure>> Shrink<R> {
    fn still_fails(&mut self, kept: &Kept) -> bool {
        let Some(left) = self.tries_left.checked_sub(1) else { return false };
        self.tries_left = left;
        let plan = Plan::of(&RunName { seed: self.seed, kept: Some(kept.clone()) });
        (self.run)(&plan).is_some_and(|failure| failure.kind == self.reason)
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
            let length = Duration::from_millis(
                u64::try_from((kept.length - step).as_millis()).expect("short"),
            );
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

    fn fewer_clients(&mut self, kept: Kept) -> Kept {
        let fewer = (1..kept.clients).map(|clients| Kept { clients, ..kept.clone() });
        fewer.into_iter().find(|candidate| self.still_fails(candidate)).unwrap_or(kept)
    }

    fn calmer(&mut self, kept: Kept) -> Kept {
        let calm = Kept { weather: KeptWeather::Calm, ..kept.clone() };
        if calm != kept && self.still_fails(&calm) { calm } else { kept }
    }
}
