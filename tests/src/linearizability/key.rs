//! The independent checker: key by key, is there an order of the operations that explains
//! every answer?
//!
//! Linearizability is local (Herlihy & Wing 1990, theorem 1): a history is linearizable
//! when its part on each key is. What touches many keys is split into its parts here,
//! which loses that they are one; [`witness`](super::witness) sees it whole.
//!
//! A listing becomes a read of each key that it speaks of: one that it should have and
//! leaves out is a read of nothing. So a page that is older than an acknowledged write to
//! one of its keys is found here too; one that mixes two states, each new enough, is not.
//!
//! Of a transaction stays what its branch leaves of each key that it writes, and what it
//! saw of each that it only reads. One that was not answered may have taken either branch:
//! that is two unresolved writes, of which none or one or, too leniently, both take effect.
//!
//! What a roll-back makes of a key only the log tells: keys that one may have changed are
//! left to the other checker.
//!
//! Not done: keys that go with leases, since nobody asks for them to go when one expires;
//! fences; guards of transactions, and what they read of keys that they write; local
//! reads and reads at a revision (they promise no order), and revisions as an order across keys.

mod search;
mod state;

use std::collections::BTreeMap;

pub use search::{KeyViolation, Verdict, check_key};
pub use state::{KeyAnswer, KeyCall, KeyState};

use crate::operations::Listing;
use crate::operations::{
    AccessAnswer, AccessCall, AccessDeed, Answer, Call, Effect, Guard, Key, Operation, OperationId,
    Outcome, Seen, TenureAnswer, TenureCall, Time, Transaction, effect, read_only,
};

/// An operation's part on one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyOperation {
    /// The operation.
    pub id: OperationId,
    /// When the client called.
    pub called: Time,
    /// For what.
    pub call: KeyCall,
    /// When the client had which answer; none where it is not known whether it took
    /// effect.
    pub answered: Option<(Time, KeyAnswer)>,
}

/// How many configurations the search of one key may look at before it gives up: a good
/// history needs about one for each operation.
pub const SEARCH_LIMIT: usize = 2_000_000;

/// Checks every key of a history.
///
/// # Errors
/// The first key, in byte order, whose operations no order explains, or whose search hit
/// [`SEARCH_LIMIT`].
pub fn check(history: &[Operation]) -> Result<(), KeyViolation> {
    for (key, operations) in by_key(history) {
        match check_key(&operations, SEARCH_LIMIT) {
            Verdict::Linearizable => {}
            Verdict::NotLinearizable { stuck, states } => {
                return Err(KeyViolation::NoOrder { key, stuck, states });
            }
            Verdict::Undecided => return Err(KeyViolation::Undecided { key, limit: SEARCH_LIMIT }),
        }
    }
    Ok(())
}

/// Splits a history into the operations on each key, leaving out what constrains nothing:
/// operations that never happened, reads that were not answered, and reads that promise
/// no order.
#[must_use]
pub fn by_key(history: &[Operation]) -> BTreeMap<Key, Vec<KeyOperation>> {
    let mut parts: BTreeMap<Key, Vec<KeyOperation>> =
        history.iter().flat_map(Operation::named).map(|key| (key, Vec::new())).collect();
    let keys: BTreeMap<Key, ()> = parts.keys().map(|key| (Key::clone(key), ())).collect();
    for operation in history {
        let mut add = |key: &Key, call, answer| {
            let part = part_of(operation, call, answer);
            parts.get_mut(key).expect("every named key has a part").extend(part);
        };
        let answer = key_answer(operation);
        match &operation.call {
            Call::Read { .. } | Call::List { .. } if !operation.is_of_the_present() => {}
            Call::Read { key, .. } => add(key, KeyCall::Read, answer),
            Call::List { listing, .. } => {
                if let Some((_, _, Answer::Listed(page))) = operation.answered() {
                    let seen: BTreeMap<&Key, Seen> =
                        page.items.iter().map(|(key, seen)| (key, *seen)).collect();
                    let spoken_of = listing.spoken_of(page, &keys).into_iter();
                    spoken_of.for_each(|key| {
                        add(key, KeyCall::Read, Some(KeyAnswer::Read(seen.get(key).copied())))
                    });
                }
            }
            Call::Put { key, value, guard } => {
                add(key, KeyCall::Put { value: *value, guard: *guard }, answer)
            }
            Call::Delete { key, guard } => add(key, KeyCall::Delete { guard: *guard }, answer),
            Call::DeletePrefix { prefix } => {
                let below = Listing::of_prefix(prefix).among(&keys).into_iter();
                below.for_each(|(key, ())| add(key, KeyCall::DeleteAmongOthers, answer));
            }
            Call::Transaction(transaction) => add_transaction(operation, transaction, &keys, add),
            Call::Tenure(TenureCall::FencedPut { key, value, .. }) => {
                let guard = Guard::Always;
                add(key, KeyCall::Put { value: *value, guard }, answer)
            }
            Call::Access(AccessCall { deed: AccessDeed::Put { key, value }, .. }) => {
                let guard = Guard::Always;
                add(key, KeyCall::Put { value: *value, guard }, answer)
            }
            Call::Append { .. }
            | Call::Rollback { .. }
            | Call::Tenure(_)
            | Call::Compact { .. }
            | Call::Access(_) => {}
        }
    }
    for operation in history {
        if let Call::Tenure(TenureCall::LeasedPut { key, .. }) = &operation.call {
            parts.remove(key);
        }
    }
    parts.retain(|key, _| !history.iter().any(|operation| may_roll_back(operation, key)));
    parts
}

fn may_roll_back(operation: &Operation, key: &str) -> bool {
    match &operation.call {
        Call::Rollback { prefix, .. } => {
            operation.outcome != Outcome::NotApplied && key.starts_with(&**prefix)
        }
        Call::Read { .. }
        | Call::List { .. }
        | Call::Put { .. }
        | Call::Delete { .. }
        | Call::DeletePrefix { .. }
        | Call::Transaction(_)
        | Call::Append { .. }
        | Call::Tenure(_)
        | Call::Compact { .. }
        | Call::Access(_) => false,
    }
}

fn add_transaction(
    operation: &Operation,
    transaction: &Transaction,
    keys: &BTreeMap<Key, ()>,
    mut add: impl FnMut(&Key, KeyCall, Option<KeyAnswer>),
) {
    let call = |effect| match effect {
        Effect::Put(value) => KeyCall::Put { value, guard: Guard::Always },
        Effect::Delete => KeyCall::DeleteAmongOthers,
    };
    match operation.answered() {
        Some((_, revision, Answer::Transaction(taken))) => {
            let steps = transaction.branch(taken.succeeded);
            for key in keys.keys() {
                if let Some(effect) = effect(steps, key) {
                    let answer = match effect {
                        Effect::Put(_) => KeyAnswer::Put { revision },
                        // Among however many others.
                        Effect::Delete => KeyAnswer::Deleted { revision, count: u64::MAX },
                    };
                    add(key, call(effect), Some(answer));
                }
            }
            for (key, seen) in read_only(steps, &taken.results, keys) {
                add(&key, KeyCall::Read, Some(KeyAnswer::Read(seen)));
            }
        }
        Some(_) => {}
        None => {
            for (steps, key) in [&transaction.then, &transaction.otherwise]
                .into_iter()
                .flat_map(|steps| keys.keys().map(move |key| (steps, key)))
            {
                if let Some(effect) = effect(steps, key) {
                    add(key, call(effect), None);
                }
            }
        }
    }
}

/// An answer that is about one key, or about no key in particular.
fn key_answer(operation: &Operation) -> Option<KeyAnswer> {
    let (_, revision, answer) = operation.answered()?;
    match answer {
        Answer::Read(seen) => Some(KeyAnswer::Read(*seen)),
        Answer::Put => Some(KeyAnswer::Put { revision }),
        Answer::Deleted(count) => Some(KeyAnswer::Deleted { revision, count: *count }),
        Answer::GuardFailed => Some(KeyAnswer::GuardFailed),
        Answer::Tenure(TenureAnswer::Put) | Answer::Access(AccessAnswer::Put) => {
            Some(KeyAnswer::Put { revision })
        }
        Answer::Listed(_)
        | Answer::NotYet
        | Answer::Transaction(_)
        | Answer::Appended
        | Answer::RolledBack { .. }
        | Answer::Tenure(_)
        | Answer::Compacted { .. }
        | Answer::Access(_)
        | Answer::Gone { .. } => None,
    }
}

fn part_of(
    operation: &Operation,
    call: KeyCall,
    answer: Option<KeyAnswer>,
) -> Option<KeyOperation> {
    let part =
        |answered| KeyOperation { id: operation.id, called: operation.called, call, answered };
    match operation.outcome {
        Outcome::NotApplied => None,
        Outcome::Unknown => operation.call.is_mutation().then(|| part(None)),
        Outcome::Answered { .. } => answer.map(|answer| part(Some((operation.returned, answer)))),
    }
}
