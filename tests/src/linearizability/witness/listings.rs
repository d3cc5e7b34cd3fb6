//! Are the keys of each listing those of one state, the one that its answer names?
//!
//! Listings are checked by revision while the state is rolled forward once over the
//! witness: each costs the keys that are there to list, however long the history is.

use super::{Witness, WitnessViolation};
use crate::operations::{Answer, Call, Listing, Operation, Page, Reference};

struct Listed<'a> {
    revision: u64,
    operation: &'a Operation,
    listing: &'a Listing,
    page: &'a Page,
}

pub(super) fn check(history: &[Operation], witness: &Witness) -> Result<(), WitnessViolation> {
    let mut pages: Vec<Listed<'_>> = history.iter().filter_map(Listed::of).collect();
    pages.sort_by_key(|listed| listed.revision);
    let mut reference = Reference::default();
    let mut writes = (1..).zip(witness).peekable();
    for listed in pages {
        while let Some((_, write)) = writes.next_if(|(revision, _)| *revision <= listed.revision) {
            reference.execute(&write.call);
        }
        listed.check(&reference)?;
    }
    Ok(())
}

impl<'a> Listed<'a> {
    fn of(operation: &'a Operation) -> Option<Self> {
        match (&operation.call, operation.answered()?) {
            (Call::List { listing, .. }, (_, revision, Answer::Listed(page))) => {
                Some(Self { revision, operation, listing, page })
            }
            _ => None,
        }
    }

    fn check(&self, reference: &Reference) -> Result<(), WitnessViolation> {
        if self.listing.gives(reference.keys(), self.page) {
            return Ok(());
        }
        Err(WitnessViolation::WrongAnswer {
            operation: self.operation.id,
            answer: Answer::Listed(self.page.clone()),
            revision: self.revision,
            state: format!("{:?}", self.listing.among(reference.keys())),
        })
    }
}
