//! Are the keys of each listing those of one state, the one that its answer names? And did
//! each transaction, and whatever was asked of leases and locks, come to what it comes to in
//! the state before it?
//!
//! Both are checked by revision while the state is rolled forward once over the
//! witness: each costs the keys that are there to list, however long the history is.

use super::{Witness, WitnessViolation};
use crate::operations::{
    Answer, Call, Listing, Operation, Page, Reference, TenureAnswer, TenureCall,
};

/// An answer that speaks of many keys.
struct Looked<'a> {
    /// Of the state that it was given in.
    revision: u64,
    operation: &'a Operation,
    at: What<'a>,
}

enum What<'a> {
    Listing(&'a Listing, &'a Page),
    Transaction(&'a Answer),
    Tenure(&'a Answer),
}

pub(super) fn check(history: &[Operation], witness: &Witness) -> Result<(), WitnessViolation> {
    let mut looked: Vec<Looked<'_>> = history.iter().filter_map(Looked::of).collect();
    looked.sort_by_key(|looked| looked.revision);
    let mut reference = Reference::default();
    let mut writes = (1..).zip(witness).peekable();
    for looked in looked {
        while let Some((_, write)) = writes.next_if(|(revision, _)| *revision <= looked.revision) {
            reference.execute(&write.call);
        }
        looked.check(&reference)?;
    }
    Ok(())
}

impl<'a> Looked<'a> {
    fn of(operation: &'a Operation) -> Option<Self> {
        match (&operation.call, operation.answered()?) {
            (Call::List { listing, .. }, (_, revision, Answer::Listed(page))) => {
                Some(Self { revision, operation, at: What::Listing(listing, page) })
            }
            (Call::Transaction(_), (_, revision, answer @ Answer::Transaction(taken))) => {
                let revision = revision - u64::from(taken.wrote);
                Some(Self { revision, operation, at: What::Transaction(answer) })
            }
            (Call::Tenure(_), (_, revision, answer @ Answer::Tenure(said))) => {
                // Where it says that it wrote, it stands in the state before; where that can't
                // be told, it is so in the state after, too.
                let before = u64::from(said.is_executed() == Some(true));
                Some(Self { revision: revision - before, operation, at: What::Tenure(answer) })
            }
            _ => None,
        }
    }

    fn check(&self, reference: &Reference) -> Result<(), WitnessViolation> {
        let (answer, state) = match self.at {
            What::Listing(listing, page) => {
                if listing.gives(reference.keys(), page) {
                    return Ok(());
                }
                let state = format!("{:?}", listing.among(reference.keys()));
                (Answer::Listed(page.clone()), state)
            }
            What::Transaction(answer) => {
                let expected = reference.answer(&self.operation.call);
                if expected == *answer {
                    return Ok(());
                }
                (answer.clone(), format!("{expected:?}"))
            }
            What::Tenure(answer) => {
                let executed = reference.clone().execute(&asked_last(&self.operation.call, answer));
                // Who says that it left is out of line.
                if executed.answer == *answer && executed.is_write == answer.is_executed() {
                    return Ok(());
                }
                (answer.clone(), format!("{executed:?}"))
            }
        };
        let (operation, revision) = (self.operation.id, self.revision);
        Err(WitnessViolation::WrongAnswer { operation, answer, revision, state })
    }
}

/// What an answer is about. Who waited for a lock has left the line where it hears of another
/// holder; and it hears that it does not hold the lock where it is out of line by itself.
fn asked_last(call: &Call, answer: &Answer) -> Call {
    match (call, answer) {
        (
            Call::Tenure(
                TenureCall::Acquire { lock, lease, wait: true }
                | TenureCall::Leave { lock, lease, since: _ },
            ),
            Answer::Tenure(TenureAnswer::Busy(_)),
        ) => {
            let (lock, lease) = (lock.clone(), *lease);
            Call::Tenure(TenureCall::Acquire { lock, lease, wait: false })
        }
        (
            Call::Tenure(TenureCall::Acquire { lock, lease, wait: true }),
            Answer::Tenure(TenureAnswer::NotHeld(_)),
        ) => Call::Tenure(TenureCall::Release { lock: lock.clone(), lease: *lease }),
        _ => call.clone(),
    }
}
