//! What a test came to, as one line for people; and whether that is enough to have proved
//! anything.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::recorder::Recorder;
use crate::operations::{Answer, Call, Consistency, Guard, Operation, Outcome, TenureAnswer};

/// How operations of one kind ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answered: read, written, deleted.
    pub done: usize,
    /// Compared, and found different; of leases and locks: gone, or another's.
    pub different: usize,
    /// Certainly without effect; of reads: not answered, or not with what was asked for.
    pub refused: usize,
    /// Mutations of which it is not known whether they took effect.
    pub unresolved: usize,
}

impl Tally {
    fn add(&mut self, operation: &Operation) {
        let count = match &operation.outcome {
            Outcome::Answered { answer: Answer::GuardFailed, .. } => &mut self.different,
            Outcome::Answered { answer: Answer::Tenure(answer), .. } if is_other(*answer) => {
                &mut self.different
            }
            Outcome::Answered { answer: Answer::NotYet, .. } | Outcome::NotApplied => {
                &mut self.refused
            }
            Outcome::Answered { .. } => &mut self.done,
            Outcome::Unknown if operation.call.is_mutation() => &mut self.unresolved,
            Outcome::Unknown => &mut self.refused,
        };
        *count += 1;
    }
}

/// Whether a lease or a lock was not as it was asked for.
fn is_other(answer: TenureAnswer) -> bool {
    match answer {
        TenureAnswer::NoSuchLease
        | TenureAnswer::Busy(_)
        | TenureAnswer::NotHeld(_)
        | TenureAnswer::FenceFailed(_) => true,
        TenureAnswer::Granted
        | TenureAnswer::Renewed(_)
        | TenureAnswer::Ended(_)
        | TenureAnswer::Put
        | TenureAnswer::Held(_)
        | TenureAnswer::Waits(_)
        | TenureAnswer::Released => false,
    }
}

/// A time without an acknowledged mutation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    /// When it began, on the recorder's clock.
    pub from: Duration,
    /// How long it lasted.
    pub length: Duration,
}

/// What a test came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Linearizable reads.
    pub reads: Tally,
    /// Local reads.
    pub local_reads: Tally,
    /// Reads of a key at a revision.
    pub past_reads: Tally,
    /// Listings as things are: whole ones, and first pages.
    pub lists: Tally,
    /// Listings at a revision, most of them later pages.
    pub past_lists: Tally,
    /// Puts without a condition.
    pub puts: Tally,
    /// Puts and deletions on a condition.
    pub compared: Tally,
    /// Deletions without a condition, of keys and of prefixes.
    pub deletes: Tally,
    /// Transactions.
    pub transactions: Tally,
    /// Values that were appended to the log.
    pub appends: Tally,
    /// Roll-backs.
    pub rollbacks: Tally,
    /// What was asked of leases and locks.
    pub tenures: Tally,
    /// Compactions.
    pub compactions: Tally,
    /// Slots of the log.
    pub slots: u64,
    /// The longest time without an acknowledged mutation.
    pub longest_gap: Gap,
}

/// The least that must have happened for a test to have proved anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Least {
    /// Linearizable reads that were answered.
    pub reads: usize,
    /// Local reads that were answered.
    pub local_reads: usize,
    /// Reads of a key at a revision that were answered with what it was.
    pub past_reads: usize,
    /// Listings as things are that were answered.
    pub lists: usize,
    /// Listings at a revision that were answered with what it had.
    pub past_lists: usize,
    /// Puts without a condition that were acknowledged.
    pub puts: usize,
    /// Comparisons that held, and as many that did not.
    pub compared: usize,
    /// Deletions without a condition that were acknowledged.
    pub deletes: usize,
    /// Transactions that were acknowledged.
    pub transactions: usize,
    /// Values that were acknowledged to stand in the log.
    pub appends: usize,
    /// Roll-backs that were acknowledged.
    pub rollbacks: usize,
    /// What leases and locks were asked for and did.
    pub tenures: usize,
    /// The same where the lease was gone, or the lock another's.
    pub other_tenures: usize,
    /// Mutations that were left open.
    pub unresolved: usize,
}

impl Summary {
    /// Of everything recorded, in a log of so many slots.
    #[must_use]
    pub fn of(recorder: &Recorder, slots: u64) -> Self {
        let mut summary =
            Self { slots, longest_gap: longest_gap(recorder.acknowledged()), ..Self::default() };
        recorder
            .history()
            .iter()
            .for_each(|operation| summary.tally(&operation.call).add(operation));
        summary
    }

    fn tally(&mut self, call: &Call) -> &mut Tally {
        match call {
            Call::Read { at: None, consistency: Consistency::Linearizable, .. } => &mut self.reads,
            Call::Read { at: None, consistency: Consistency::Local { .. }, .. } => {
                &mut self.local_reads
            }
            Call::Read { at: Some(_), .. } => &mut self.past_reads,
            Call::List { at: None, .. } => &mut self.lists,
            Call::List { at: Some(_), .. } => &mut self.past_lists,
            Call::Put { .. } | Call::Delete { .. } if call.guard() != Guard::Always => {
                &mut self.compared
            }
            Call::Put { .. } => &mut self.puts,
            Call::Delete { .. } | Call::DeletePrefix { .. } => &mut self.deletes,
            Call::Transaction(_) => &mut self.transactions,
            Call::Append { .. } => &mut self.appends,
            Call::Rollback { .. } => &mut self.rollbacks,
            Call::Tenure(_) => &mut self.tenures,
            Call::Compact { .. } => &mut self.compactions,
            Call::Access(_) => unreachable!("clients of services ask without tokens"),
        }
    }

    /// Mutations that were left open.
    #[must_use]
    pub fn unresolved(&self) -> usize {
        let Self { puts, compared, deletes, transactions, appends, rollbacks, .. } = self;
        let of = [puts, compared, deletes, transactions, appends, rollbacks];
        let of = of.into_iter().chain([&self.tenures, &self.compactions]);
        of.map(|tally| tally.unresolved).sum()
    }

    /// Fails when hardly anything happened.
    ///
    /// # Errors
    /// What there was too little of.
    pub fn proves_something(&self, least: &Least) -> Result<()> {
        let counts = [
            ("linearizable reads", self.reads.done, least.reads),
            ("local reads", self.local_reads.done, least.local_reads),
            ("reads at a revision", self.past_reads.done, least.past_reads),
            ("lists", self.lists.done, least.lists),
            ("lists at a revision", self.past_lists.done, least.past_lists),
            ("puts", self.puts.done, least.puts),
            ("comparisons that held", self.compared.done, least.compared),
            ("comparisons that did not hold", self.compared.different, least.compared),
            ("deletions", self.deletes.done, least.deletes),
            ("transactions", self.transactions.done, least.transactions),
            ("appended values", self.appends.done, least.appends),
            ("roll-backs", self.rollbacks.done, least.rollbacks),
            ("done with leases and locks", self.tenures.done, least.tenures),
            ("refused by leases and locks", self.tenures.different, least.other_tenures),
            ("mutations left open", self.unresolved(), least.unresolved),
        ];
        for (what, count, least) in counts {
            ensure!(
                count >= least,
                "only {count} {what}, where {least} would prove something: {self}"
            );
        }
        Ok(())
    }
}

fn longest_gap(mut acknowledged: Vec<Duration>) -> Gap {
    acknowledged.sort_unstable();
    let gaps = acknowledged.windows(2).map(|pair| Gap { from: pair[0], length: pair[1] - pair[0] });
    gaps.max_by_key(|gap| gap.length).unwrap_or_default()
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.done)?;
        for (count, what) in
            [(self.different, "different"), (self.refused, "refused"), (self.unresolved, "open")]
        {
            if count > 0 {
                write!(f, " +{count} {what}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reads,
            local_reads,
            past_reads,
            lists,
            past_lists,
            puts,
            compared,
            deletes,
            transactions,
            appends,
            rollbacks,
            tenures,
            compactions,
            slots,
            longest_gap,
        } = self;
        write!(
            f,
            "reads {reads}; local reads {local_reads}; at a revision {past_reads}; lists {lists}; \
             at a revision {past_lists}; "
        )?;
        write!(f, "puts {puts}; compared {compared}; deletes {deletes}; ")?;
        write!(f, "transactions {transactions}; appended {appends}; rolled back {rollbacks}; ")?;
        write!(f, "leases and locks {tenures}; compacted {compactions}; {slots} slots; ")?;
        let Gap { from, length } = longest_gap;
        write!(f, "longest gap {:.1} s at {:.1} s", length.as_secs_f64(), from.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_is_found_whatever_the_order_of_the_answers() {
        let at = [3, 9, 1, 10].map(Duration::from_secs);
        assert_eq!(
            longest_gap(at.to_vec()),
            Gap { from: Duration::from_secs(3), length: Duration::from_secs(6) }
        );
        assert_eq!(longest_gap(Vec::new()), Gap::default());
    }

    #[test]
    fn a_test_in_which_hardly_anything_happened_proves_nothing() {
        let least = Least { puts: 1, compared: 1, ..Least::default() };
        let one = Tally { done: 1, different: 1, ..Tally::default() };
        let mut summary = Summary { puts: one, compared: one, ..Summary::default() };
        assert!(summary.proves_something(&least).is_ok());
        summary.compared.different = 0;
        let said = summary.proves_something(&least).unwrap_err().to_string();
        assert!(said.starts_with("only 0 comparisons that did not hold"), "{said}");
    }
}
