//! How much of a replica's time those may take who send JWTs that nobody has signed: to look
//! at a signature takes up to a millisecond, and whether it is good is known only then.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::check::{BadJwt, Vouched};

/// In a second so many signatures may be no good; then none is looked at until the next. Those
/// who were vouched for before are remembered, and need no look.
const MOST_IN_A_SECOND: u32 = 100;

/// Counts signatures that are no good.
#[derive(Debug, Default)]
pub(super) struct Forged(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    in_second: u64,
    count: u32,
}

impl Forged {
    /// Checks, unless too many were no good in this second.
    pub(super) fn bounded(
        &self,
        now_s: u64,
        check: impl FnOnce() -> Result<Vouched, BadJwt>,
    ) -> Result<Vouched, BadJwt> {
        if self.lock().at(now_s).count >= MOST_IN_A_SECOND {
            return Err(BadJwt::TooManyForged);
        }
        let checked = check();
        if matches!(checked, Err(BadJwt::Signature)) {
            self.lock().at(now_s).count += 1;
        }
        checked
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn at(&mut self, second: u64) -> &mut Self {
        if self.in_second != second {
            *self = Self { in_second: second, count: 0 };
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_forged_ones_are_looked_at_in_a_second_and_no_more() {
        let forged = Forged::default();
        let (mut looked, bad) = (0, || Err(BadJwt::Signature));
        for _ in 0..3 * MOST_IN_A_SECOND {
            let checked = forged.bounded(7, || {
                looked += 1;
                bad()
            });
            assert!(checked.is_err());
        }
        assert_eq!(looked, MOST_IN_A_SECOND);
        assert_eq!(forged.bounded(7, bad).unwrap_err(), BadJwt::TooManyForged);
        assert_eq!(forged.bounded(8, bad).unwrap_err(), BadJwt::Signature);
        // What is wrong with others costs next to nothing, and is not counted.
        for _ in 0..2 * MOST_IN_A_SECOND {
            assert_eq!(forged.bounded(9, || Err(BadJwt::Header)).unwrap_err(), BadJwt::Header);
        }
    }
}
