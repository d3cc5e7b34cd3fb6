//! A budget for requests beyond those that clients sent: a share of these, and a reserve.
//!
//! As Finagle's `RetryBudget` and gRPC's retry throttling (proposal A6): every first request
//! earns a part of a token, every further one spends one. However many fail, what is sent
//! beyond clients' requests stays a share of them, so that retries never are what keeps
//! replicas overloaded. It needs no clock.

/// A token, in its parts.
const TOKEN: u64 = 100;

/// Tokens, earned by requests and spent by what is sent beyond them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    parts: u64,
    most: u64,
    percent: u64,
    refused: u64,
    spent: u64,
}

impl Budget {
    /// What a hundred requests earn, and how many tokens it holds at most; full.
    #[must_use]
    pub fn full(percent: u32, most: u32) -> Self {
        let most = u64::from(most) * TOKEN;
        Self { parts: most, most, percent: percent.into(), refused: 0, spent: 0 }
    }

    /// The same, empty.
    #[must_use]
    pub fn empty(percent: u32, most: u32) -> Self {
        Self { parts: 0, ..Self::full(percent, most) }
    }

    /// A client's request.
    pub fn earn(&mut self) {
        self.parts = (self.parts + self.percent).min(self.most);
    }

    /// Whether one more may be sent, which is then paid for.
    #[must_use]
    pub fn spend(&mut self) -> bool {
        let Some(left) = self.parts.checked_sub(TOKEN) else {
            self.refused += 1;
            return false;
        };
        self.parts = left;
        self.spent += 1;
        true
    }

    /// How many may be sent now.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.parts / TOKEN
    }

    /// How many were sent.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// How often there was nothing left.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_stays_a_share_of_what_came_and_the_reserve() {
        let mut budget = Budget::full(20, 100);
        let spent = (0..10_000).filter(|_| {
            budget.earn();
            budget.spend()
        });
        assert!((2_000..=2_100).contains(&spent.count()));
        assert_eq!((budget.spent() + budget.refused(), budget.left()), (10_000, 0));
    }

    #[test]
    fn an_idle_budget_holds_no_more_than_its_reserve() {
        let mut budget = Budget::empty(5, 10);
        assert!(!budget.spend(), "nothing was earned yet");
        for _ in 0..100_000 {
            budget.earn();
        }
        assert_eq!(budget.left(), 10);
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 10);
    }
}
