//! Both checkers against brute force: on small histories, where every order can be tried,
//! they must say what it says.

mod generate;
mod plain;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use self::generate::{lies, run, steps, tell};
use self::plain::{brute_force_key, is_exact, is_page_of, listed};
use super::witness::{Versions, Write};
use super::{key, witness};
use crate::operations::{
    Answer, Call, Consistency, Guard, Key, Operation, Outcome, Seen, Time, Version,
};

/// What transactions, roll-backs, leases and locks do is checked by the reference alone.
const ONLY_KEYS: &str = "the histories of the brute force have calls of keys, and nothing else";

/// Some begin with others.
const KEYS: [&str; 3] = ["a", "ab", "b"];

/// What each key was at a revision.
fn state_at(versions: &Versions, revision: u64) -> Vec<(Key, Option<Seen>)> {
    KEYS.iter().map(|key| (Key::from(*key), versions.at(key, revision).map(Seen::from))).collect()
}

/// Whether a guard holds of a key that was last written then, if it exists.
fn holds(guard: Guard, modified: Option<u64>) -> bool {
    match guard {
        Guard::Always => true,
        Guard::Revision(revision) => modified == Some(revision),
        Guard::Exists => modified.is_some(),
        Guard::Absent => modified.is_none(),
    }
}

fn modified(version: Option<Version>) -> Option<u64> {
    version.map(|version| version.modified)
}

/// Whether some order of the operations, unresolved ones in or out, gives all answers.
/// `may_follow` is asked before an operation is put after others.
fn some_order<S: Clone>(
    history: &[Operation],
    state: &S,
    done: &mut Vec<usize>,
    after: &dyn Fn(&S, &Operation) -> Option<S>,
    is_end: &dyn Fn(&S) -> bool,
) -> bool {
    let open = |index: &usize| !done.contains(index);
    let all: Vec<usize> = (0..history.len()).filter(open).collect();
    let answered = |index: usize| history[index].answered().map(|(at, ..)| at);
    if all.iter().all(|index| answered(*index).is_none()) && is_end(state) {
        return true;
    }
    let deadline: Time = all.iter().filter_map(|index| answered(*index)).min().unwrap_or(Time::MAX);
    for index in all {
        if history[index].called > deadline || history[index].outcome == Outcome::NotApplied {
            continue;
        }
        if let Some(next) = after(state, &history[index]) {
            done.push(index);
            if some_order(history, &next, done, after, is_end) {
                return true;
            }
            done.pop();
        }
    }
    false
}

/// Tries every order whose mutations are those of the log, in its order.
fn brute_force_witness(history: &[Operation], log: &[Write]) -> bool {
    let Ok(versions) = Versions::replay(log) else { return false };
    let after = |executed: &usize, operation: &Operation| {
        let revision = *executed as u64;
        let is_next = log
            .get(*executed)
            .is_some_and(|write| write.operation == operation.id && write.call == operation.call);
        let Some((_, answered, answer)) = operation.answered() else {
            return is_next.then_some(executed + 1);
        };
        let is_written = is_next && answered == revision + 1;
        match (&operation.call, answer) {
            (Call::Read { .. } | Call::List { .. }, _) => {
                may_be_read(&versions, revision, operation).then_some(*executed)
            }
            (Call::Put { .. }, Answer::Put) => is_written.then_some(executed + 1),
            (Call::Delete { .. } | Call::DeletePrefix { .. }, Answer::Deleted(count)) => {
                (is_written && versions.deleted_by(answered) == *count).then_some(executed + 1)
            }
            (Call::Put { key, guard, .. } | Call::Delete { key, guard }, Answer::GuardFailed) => {
                (answered == revision && !holds(*guard, modified(versions.at(key, revision))))
                    .then_some(*executed)
            }
            _ => None,
        }
    };
    some_order(history, &0, &mut Vec::new(), &after, &|executed| *executed == log.len())
}

/// Whether a read can have its answer when so much is executed.
fn may_be_read(versions: &Versions, executed: u64, operation: &Operation) -> bool {
    let Some((_, revision, answer)) = operation.answered() else { return false };
    let Some((at, consistency)) = operation.call.reads() else { return false };
    let is_right = match (&operation.call, answer) {
        (Call::Read { key, .. }, Answer::Read(read)) => {
            versions.at(key, revision).map(Seen::from) == *read
        }
        (Call::List { listing, .. }, Answer::Listed(page)) => {
            is_page_of(&listed(listing, &state_at(versions, revision)), listing, page)
        }
        (_, Answer::NotYet) => at.is_some_and(|at| at > revision),
        _ => false,
    };
    let is_of_the_past = at.is_some() && *answer != Answer::NotYet;
    let is_allowed = match (is_of_the_past, consistency) {
        (true, _) => at == Some(revision) && revision <= executed,
        (false, Consistency::Linearizable) => revision == executed,
        (false, Consistency::Local { at_least }) => (at_least..=executed).contains(&revision),
    };
    is_right && is_allowed
}

fn by_name(history: &[Operation]) -> Result<BTreeMap<Key, bool>, TestCaseError> {
    let mut verdicts = BTreeMap::new();
    for (name, operations) in key::by_key(history) {
        let verdict = key::check_key(&operations, key::SEARCH_LIMIT);
        prop_assert_ne!(&verdict, &key::Verdict::Undecided);
        verdicts.insert(name, verdict == key::Verdict::Linearizable);
    }
    Ok(verdicts)
}

proptest! {
    #![proptest_config(
        ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() }
    )]

    #[test]
    fn a_history_of_a_sequential_store_is_accepted_by_both_checkers(steps in steps()) {
        let (history, log) = run(steps);
        prop_assert_eq!(key::check(&history), Ok(()));
        prop_assert_eq!(witness::check(&history, &log), Ok(()));
    }

    #[test]
    fn the_search_of_a_key_says_what_trying_every_order_says(steps in steps(), lie in lies(), which in 0..6_usize) {
        let (mut history, mut log) = run(steps);
        tell(lie, which, &mut history, &mut log);
        let verdicts = by_name(&history)?;
        for (name, accepted) in verdicts {
            let tried = brute_force_key(&name, &history);
            prop_assert!(accepted || !tried, "{} is refused in {:#?}", name, history);
            prop_assert!(tried || !accepted || !is_exact(&name, &history), "{} is accepted in {:#?}", name, history);
        }
    }

    #[test]
    fn the_witness_proves_what_trying_every_order_proves(steps in steps(), lie in lies(), which in 0..6_usize) {
        let (mut history, mut log) = run(steps);
        tell(lie, which, &mut history, &mut log);
        let (checked, tried) = (witness::check(&history, &log), brute_force_witness(&history, &log));
        prop_assert_eq!(checked.is_ok(), tried, "{:?} of {:#?} with {:#?}", checked, history, log);
    }
}
