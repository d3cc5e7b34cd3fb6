//! The just-in-time search: the key changes only when some answer needs it to.
//!
//! Walk the answers in the order of time. While the next one does not fit the key as it
//! is, some write that was called by then must take effect first: try each. What failed
//! once is remembered and not tried again. Three facts about revisions keep the tree
//! narrow; none of them leaves out an order that could explain the answers:
//!
//! - Revisions rise. So the writes whose revision some answer names (their own, or a
//!   read's that saw them) take effect in just that order: at any point only the next of
//!   them can. ([`Prepared::known`])
//! - Nothing is left of a write but its value and its revision. So writes whose revision
//!   no answer names, whose values nobody read and that ask for the same are
//!   interchangeable: the one called first is tried, for all of them.
//!   ([`Prepared::unknown`])
//! - A read changes nothing. So one that fits the key as it is takes effect at once.

mod prepare;

use std::collections::BTreeSet;

use super::{KeyOperation, KeyState};
use crate::operations::{Key, OperationId};
use prepare::Prepared;

/// What the search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An order explains every answer.
    Linearizable,
    /// None does.
    NotLinearizable {
        /// The operation whose answer no order could get past.
        stuck: OperationId,
        /// The states that the key could be in when it was answered.
        states: Vec<KeyState>,
    },
    /// The limit on configurations was hit first.
    Undecided,
}

/// A key's operations are not linearizable, or too tangled to tell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyViolation {
    /// No order explains the answers.
    #[error(
        "no order of the operations on {key:?} explains the answer of {stuck:?}; the key could be \
         {states:?}"
    )]
    NoOrder {
        /// Which key.
        key: Key,
        /// The answer that no order could get past.
        stuck: OperationId,
        /// The states that the key could be in.
        states: Vec<KeyState>,
    },
    /// The search was given up.
    #[error(
        "the search for an order of the operations on {key:?} was given up after {limit} \
         configurations"
    )]
    Undecided {
        /// Which key.
        key: Key,
        /// The limit that was hit.
        limit: usize,
    },
}

/// A point of the search: everything that decides what can still come.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Configuration {
    /// How many answers are explained.
    position: usize,
    state: KeyState,
    /// How many of the known writes took effect.
    known: usize,
    /// How many of each class of unknown writes took effect.
    unknown: Vec<u32>,
    /// The reads that took effect and are not answered yet, ascending.
    read: Vec<u32>,
}

/// Searches for an order of the operations on one key, looking at no more than `limit`
/// configurations.
#[must_use]
pub fn check_key(operations: &[KeyOperation], limit: usize) -> Verdict {
    let search = Search { prepared: Prepared::new(operations) };
    search.run(limit)
}

struct Search {
    prepared: Prepared,
}

impl Search {
    fn run(&self, limit: usize) -> Verdict {
        let unknown = vec![0; self.prepared.unknown.len()];
        let start = Configuration {
            position: 0,
            state: KeyState::default(),
            known: 0,
            unknown,
            read: Vec::new(),
        };
        let mut failed: BTreeSet<Configuration> = BTreeSet::new();
        let mut stack = vec![start];
        while let Some(configuration) = stack.pop() {
            let Some(blocked) = self.advance(configuration) else { return Verdict::Linearizable };
            if failed.len() >= limit {
                return Verdict::Undecided;
            }
            if failed.contains(&blocked) {
                continue;
            }
            // The best candidate goes on top of the stack.
            stack.extend(self.successors(&blocked).into_iter().rev());
            failed.insert(blocked);
        }
        self.not_linearizable(&failed)
    }

    /// Walks on for as long as the answers fit; none at the end of the history.
    fn advance(&self, mut configuration: Configuration) -> Option<Configuration> {
        loop {
            let answer = self.prepared.answers.get(configuration.position)?;
            self.read_what_fits(&mut configuration);
            let is_explained = match self.prepared.known_place(answer.operation) {
                Some(place) => place < configuration.known,
                None => match configuration.read.binary_search(&answer.operation) {
                    Ok(found) => {
                        configuration.read.remove(found);
                        true
                    }
                    Err(_) => false,
                },
            };
            if !is_explained {
                return Some(configuration);
            }
            configuration.position += 1;
        }
    }

    /// Lets every open read that the key as it is explains take effect.
    fn read_what_fits(&self, configuration: &mut Configuration) {
        let answer = &self.prepared.answers[configuration.position];
        for &reader in &answer.open_reads {
            if let Err(place) = configuration.read.binary_search(&reader)
                && self.prepared.after(configuration.state, reader).is_some()
            {
                configuration.read.insert(place, reader);
            }
        }
    }

    /// The configurations after each write that may take effect now, those first that let
    /// the blocked answer through.
    fn successors(&self, blocked: &Configuration) -> Vec<Configuration> {
        let answer = &self.prepared.answers[blocked.position];
        let (mut direct, mut detours) = (Vec::new(), Vec::new());
        let mut add = |write: u32, known: usize, class: Option<usize>| {
            let Some(state) = self.prepared.after(blocked.state, write) else { return };
            let mut successor = Configuration { state, known, ..blocked.clone() };
            if let Some(class) = class {
                successor.unknown[class] += 1;
            }
            if self.is_hopeless(&successor) {
                return;
            }
            let lets_through =
                write == answer.operation || self.prepared.after(state, answer.operation).is_some();
            if lets_through { direct.push(successor) } else { detours.push(successor) }
        };
        if let Some(next) = self.prepared.known.get(blocked.known)
            && next.called <= answer.at
        {
            add(next.operation, blocked.known + 1, None);
        }
        for (class, writes) in self.prepared.unknown.iter().enumerate() {
            let used = usize::try_from(blocked.unknown[class]).expect("few");
            if let Some(write) = writes.get(used).filter(|write| write.called <= answer.at) {
                add(write.operation, blocked.known, Some(class));
            }
        }
        direct.append(&mut detours);
        direct
    }

    /// Whether some open read, or the next known write, is of an older revision than the
    /// key has.
    fn is_hopeless(&self, configuration: &Configuration) -> bool {
        let modified = configuration.state.modified;
        let next = self.prepared.known.get(configuration.known);
        let answer = &self.prepared.answers[configuration.position];
        let is_late = |reader: &&u32| {
            let sees = self.prepared.sees(**reader);
            sees.is_some_and(|revision| revision < modified)
                && configuration.read.binary_search(reader).is_err()
        };
        next.is_some_and(|next| next.revision <= modified)
            || answer.open_reads.iter().any(|reader| is_late(&reader))
    }

    /// Names the farthest answer that was reached.
    fn not_linearizable(&self, failed: &BTreeSet<Configuration>) -> Verdict {
        let farthest = failed.last().expect("a search that failed has tried something").position;
        let states: BTreeSet<KeyState> = failed
            .iter()
            .rev()
            .take_while(|tried| tried.position == farthest)
            .map(|tried| tried.state)
            .collect();
        let stuck = self.prepared.id(self.prepared.answers[farthest].operation);
        Verdict::NotLinearizable { stuck, states: states.into_iter().collect() }
    }
}
