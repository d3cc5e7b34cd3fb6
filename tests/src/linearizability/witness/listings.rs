//! Are the keys of each listing those of one state, the one that its answer names?
//!
//! Listings are checked by revision while the state is rolled forward once over the
//! witness: each costs the keys that are there to list, however long the history is.

use super::state::State;
use super::{Witness, WitnessViolation};
use crate::linearizability::history::{Answer, Call, Ending, Operation};
use crate::linearizability::listing::{Listing, Page};

struct Listed<'a> {
    revision: u64,
    operation: &'a Operation,
    listing: &'a Listing,
    page: &'a Page,
}

pub(super) fn check(history: &[Operation], witness: &Witness) -> Result<(), WitnessViolation> {
    let mut pages: Vec<Listed<'_>> = history.iter().filter_map(Listed::of).collect();
    pages.sort_by_key(|listed| listed.revision);
    let mut state = State::default();
    let mut writes = (1..).zip(witness).peekable();
    for listed in pages {
        while let Some((revision, write)) =
            writes.next_if(|(revision, _)| *revision <= listed.revision)
        {
            state.execute(revision, &write.call);
        }
        listed.check(&state)?;
    }
    Ok(())
}

impl<'a> Listed<'a> {
    fn of(operation: &'a Operation) -> Option<Self> {
        match (&operation.call, &operation.ending) {
            (
                Call::List { listing, .. },
                Ending::Answered { revision, answer: Answer::Listed(page), .. },
            ) => Some(Self { revision: *revision, operation, listing, page }),
            _ => None,
        }
    }

    fn check(&self, state: &State) -> Result<(), WitnessViolation> {
        if self.listing.gives(state.keys(), self.page) {
            return Ok(());
        }
        Err(WitnessViolation::WrongAnswer {
            operation: self.operation.id,
            answer: Answer::Listed(self.page.clone()),
            revision: self.revision,
            state: format!("{:?}", self.listing.among(state.keys())),
        })
    }
}
