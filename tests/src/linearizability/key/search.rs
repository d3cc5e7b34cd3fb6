//! The just-in-time search: an operation is put in order only when some answer needs it.
//!
//! Walk the calls and answers in the order of time. At an answer whose operation has not taken effect yet, one of the open
//! operations must take effect now: try each, the one answered first. An operation that is open and was not needed stays out
//! of the order for as long as it can, so a history that is right is walked almost straight through. What failed once
//! (position, state, which open operations have taken effect) is remembered and not tried again.

use std::collections::BTreeSet;

use super::{KeyOperation, KeyState};
use crate::linearizability::history::{Key, OperationId};

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
    #[error("no order of the operations on {key:?} explains the answer of {stuck:?}; the key could be {states:?}")]
    NoOrder {
        /// Which key.
        key: Key,
        /// The answer that no order could get past.
        stuck: OperationId,
        /// The states that the key could be in.
        states: Vec<KeyState>,
    },
    /// The search was given up.
    #[error("the search for an order of the operations on {key:?} was given up after {limit} configurations")]
    Undecided {
        /// Which key.
        key: Key,
        /// The limit that was hit.
        limit: usize,
    },
}

/// One answer, and what it may be explained with.
struct Answer {
    /// Index of the operation that is answered.
    operation: u32,
    /// The operations called before and answered after, by the time of their answers, this one first.
    open: Vec<u32>,
    /// How many of the unresolved operations were called before.
    unresolved: usize,
}

/// A point of the search: everything that decides what can still come.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Configuration {
    /// How many answers are explained.
    position: usize,
    state: KeyState,
    /// The operations that took effect but are not answered yet (unresolved ones never are), ascending.
    effective: Vec<u32>,
}

/// Searches for an order of the operations on one key, looking at no more than `limit` configurations.
#[must_use]
pub fn check_key(operations: &[KeyOperation], limit: usize) -> Verdict {
    let unresolved = unresolved(operations);
    let answers = answers(operations, &unresolved);
    let search = Search { operations, unresolved, answers };
    search.run(limit)
}

/// The unresolved operations in the order of their calls.
fn unresolved(operations: &[KeyOperation]) -> Vec<u32> {
    let mut found: Vec<u32> = (0..).zip(operations).filter(|(_, each)| each.answered.is_none()).map(|(index, _)| index).collect();
    found.sort_by_key(|index| operations[*index as usize].called);
    found
}

fn answers(operations: &[KeyOperation], unresolved: &[u32]) -> Vec<Answer> {
    let answered_at = |index: u32| operations[index as usize].answered.map(|(at, _)| at).expect("only answered operations");
    let called_at = |index: u32| operations[index as usize].called;
    let mut by_answer: Vec<u32> =
        (0..).zip(operations).filter(|(_, each)| each.answered.is_some()).map(|(index, _)| index).collect();
    let mut by_call = by_answer.clone();
    by_answer.sort_by_key(|index| answered_at(*index));
    by_call.sort_by_key(|index| called_at(*index));
    let mut open = BTreeSet::new();
    let mut calls = by_call.into_iter().peekable();
    let mut answers = Vec::with_capacity(by_answer.len());
    for operation in by_answer {
        let at = answered_at(operation);
        while let Some(called) = calls.next_if(|call| called_at(*call) <= at) {
            open.insert((answered_at(called), called));
        }
        let before = unresolved.partition_point(|index| called_at(*index) <= at);
        let mut candidates: Vec<u32> = open.iter().map(|(_, index)| *index).collect();
        candidates.sort_by_key(|index| *index != operation);
        answers.push(Answer { operation, open: candidates, unresolved: before });
        open.remove(&(at, operation));
    }
    answers
}

struct Search<'a> {
    operations: &'a [KeyOperation],
    unresolved: Vec<u32>,
    answers: Vec<Answer>,
}

impl Search<'_> {
    fn run(&self, limit: usize) -> Verdict {
        let start = Configuration { position: 0, state: KeyState::default(), effective: Vec::new() };
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

    /// Walks on for as long as the answers are those of operations that took effect; none at the end of the history.
    fn advance(&self, mut configuration: Configuration) -> Option<Configuration> {
        loop {
            let answer = self.answers.get(configuration.position)?;
            match configuration.effective.binary_search(&answer.operation) {
                Ok(found) => {
                    configuration.effective.remove(found);
                    configuration.position += 1;
                }
                Err(_) => return Some(configuration),
            }
        }
    }

    /// The configurations after each operation that may take effect now, those first that let the blocked answer through.
    fn successors(&self, blocked: &Configuration) -> Vec<Configuration> {
        let answer = &self.answers[blocked.position];
        let newest_first = self.unresolved[..answer.unresolved].iter().rev();
        let mut direct = Vec::new();
        let mut detours = Vec::new();
        for candidate in answer.open.iter().chain(newest_first) {
            let Err(place) = blocked.effective.binary_search(candidate) else { continue };
            let Some(state) = self.after(blocked.state, *candidate) else { continue };
            let mut effective = blocked.effective.clone();
            effective.insert(place, *candidate);
            let successor = Configuration { position: blocked.position, state, effective };
            if *candidate == answer.operation || self.after(state, answer.operation).is_some() {
                direct.push(successor);
            } else {
                detours.push(successor);
            }
        }
        direct.append(&mut detours);
        direct
    }

    fn after(&self, state: KeyState, operation: u32) -> Option<KeyState> {
        let operation = &self.operations[operation as usize];
        state.after(operation.call, operation.answered.map(|(_, answer)| answer))
    }

    /// Names the farthest answer that was reached.
    fn not_linearizable(&self, failed: &BTreeSet<Configuration>) -> Verdict {
        let farthest = failed.last().expect("a search that failed has tried something").position;
        let states: BTreeSet<KeyState> =
            failed.iter().rev().take_while(|tried| tried.position == farthest).map(|tried| tried.state).collect();
        let stuck = self.operations[self.answers[farthest].operation as usize].id;
        Verdict::NotLinearizable { stuck, states: states.into_iter().collect() }
    }
}
