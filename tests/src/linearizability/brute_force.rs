//! Both checkers against brute force: on small histories, where every order can be tried, they must say what it says.

mod plain;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use self::plain::{brute_force_key, is_exact};
use super::history::{Answer, Call, Consistency, Ending, Guard, Key, Operation, OperationId, Seen, Time};
use super::witness::{Version, Versions, Write};
use super::{key, witness};

const KEYS: [&str; 2] = ["a", "ab"];

/// A step of a random run: an operation takes effect, between a call before and an answer after.
#[derive(Clone, Debug)]
struct Step {
    call: Call,
    called_before: u64,
    answered_after: u64,
    ending: StepEnding,
}

#[derive(Clone, Copy, Debug)]
enum StepEnding {
    Answered,
    /// It took effect, but the client did not hear of it.
    Unheard,
    /// The client heard nothing, and nothing happened.
    Nothing,
}

fn guards() -> impl Strategy<Value = Guard> {
    prop_oneof![
        3 => Just(Guard::Always),
        2 => (0..5_u64).prop_map(Guard::Revision),
        1 => Just(Guard::Exists),
        1 => Just(Guard::Absent),
    ]
}

fn calls() -> impl Strategy<Value = Call> {
    let keys = || prop::sample::select(KEYS.to_vec()).prop_map(Key::from);
    prop_oneof![
        4 => keys().prop_map(|key| Call::Read { key, consistency: Consistency::Linearizable }),
        4 => (keys(), guards()).prop_map(|(key, guard)| Call::Put { key, value: 0, guard }),
        2 => (keys(), guards()).prop_map(|(key, guard)| Call::Delete { key, guard }),
        1 => keys().prop_map(|prefix| Call::DeletePrefix { prefix }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let endings = prop_oneof![6 => Just(StepEnding::Answered), 2 => Just(StepEnding::Unheard), 1 => Just(StepEnding::Nothing)];
    let step = (calls(), 0..25_u64, 0..25_u64, endings).prop_map(|(call, called_before, answered_after, ending)| Step {
        call,
        called_before,
        answered_after,
        ending,
    });
    prop::collection::vec(step, 1..6)
}

/// Runs the steps on a sequential store, one every 10 units of time: what comes out is linearizable.
fn run(steps: Vec<Step>) -> (Vec<Operation>, Vec<Write>) {
    let (mut history, mut log) = (Vec::new(), Vec::new());
    for (index, step) in (0..).zip(steps) {
        let id = OperationId(index);
        let call = match step.call {
            Call::Put { key, guard, .. } => Call::Put { key, value: 100 + index, guard },
            other @ (Call::Read { .. } | Call::Delete { .. } | Call::DeletePrefix { .. }) => other,
        };
        let takes_effect = !matches!(step.ending, StepEnding::Nothing);
        let answer = if takes_effect { execute(id, &call, &mut log) } else { Answer::GuardFailed };
        let now = 100 + 10 * index;
        let ending = match step.ending {
            StepEnding::Answered => Ending::Answered { at: now + step.answered_after, revision: log.len() as u64, answer },
            StepEnding::Unheard | StepEnding::Nothing => Ending::Unresolved,
        };
        history.push(Operation { id, called: now - step.called_before, call, ending });
    }
    (history, log)
}

fn execute(id: OperationId, call: &Call, log: &mut Vec<Write>) -> Answer {
    let revision = log.len() as u64;
    let versions = Versions::replay(log).unwrap();
    let (key, guard) = match call {
        Call::Read { key, .. } => return Answer::Read(versions.at(key, revision).map(seen)),
        Call::Put { key, guard, .. } | Call::Delete { key, guard } => (Some(key), *guard),
        Call::DeletePrefix { .. } => (None, Guard::Always),
    };
    if key.is_some_and(|key| !holds(guard, modified(versions.at(key, revision)))) {
        return Answer::GuardFailed;
    }
    log.push(Write { operation: id, call: call.clone() });
    match call {
        Call::Put { .. } => Answer::Put,
        Call::Read { .. } | Call::Delete { .. } | Call::DeletePrefix { .. } => {
            Answer::Deleted(Versions::replay(log).unwrap().deleted_by(revision + 1))
        }
    }
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

fn seen(version: Version) -> Seen {
    Seen { value: version.value, modified: version.modified }
}

/// One small lie, which may or may not leave the history linearizable.
#[derive(Clone, Copy, Debug)]
enum Lie {
    None,
    Revision(u64),
    Value(u64),
    Absent,
    Earlier(u64),
    Later(u64),
    NotApplied,
    DropFromLog(usize),
    RepeatInLog(usize),
    SwapInLog(usize),
}

fn lies() -> impl Strategy<Value = Lie> {
    prop_oneof![
        Just(Lie::None),
        (0..6_u64).prop_map(Lie::Revision),
        (100..106_u64).prop_map(Lie::Value),
        Just(Lie::Absent),
        (0..40_u64).prop_map(Lie::Earlier),
        (0..40_u64).prop_map(Lie::Later),
        Just(Lie::NotApplied),
        (0..4_usize).prop_map(Lie::DropFromLog),
        (0..4_usize).prop_map(Lie::RepeatInLog),
        (0..4_usize).prop_map(Lie::SwapInLog),
    ]
}

fn tell(lie: Lie, which: usize, history: &mut [Operation], log: &mut Vec<Write>) {
    let index = which % history.len();
    let operation = &mut history[index];
    match (lie, &mut operation.ending) {
        (Lie::Revision(to), Ending::Answered { revision, .. }) => *revision = to,
        (Lie::Value(to), Ending::Answered { answer: Answer::Read(Some(seen)), .. }) => seen.value = to,
        (Lie::Absent, Ending::Answered { answer: Answer::Read(seen), .. }) => *seen = None,
        (Lie::Earlier(by), Ending::Answered { at, .. }) => {
            *at = at.saturating_sub(by).max(operation.called);
        }
        (Lie::Later(by), Ending::Answered { at, .. }) => {
            operation.called += by;
            *at = operation.called.max(*at);
        }
        (Lie::NotApplied, ending) => *ending = Ending::NotApplied,
        (Lie::DropFromLog(at), _) if at < log.len() => drop(log.remove(at)),
        (Lie::RepeatInLog(at), _) if at < log.len() => log.push(log[at].clone()),
        (Lie::SwapInLog(at), _) if at + 1 < log.len() => log.swap(at, at + 1),
        _ => {}
    }
}

/// Whether some order of the operations, unresolved ones in or out, gives all answers. `may_follow` is asked before an operation
/// is put after others.
fn some_order<S: Clone>(
    history: &[Operation],
    state: &S,
    done: &mut Vec<usize>,
    after: &dyn Fn(&S, &Operation) -> Option<S>,
    is_end: &dyn Fn(&S) -> bool,
) -> bool {
    let open = |index: &usize| !done.contains(index);
    let all: Vec<usize> = (0..history.len()).filter(open).collect();
    let answered = |index: usize| match history[index].ending {
        Ending::Answered { at, .. } => Some(at),
        Ending::NotApplied | Ending::Unresolved => None,
    };
    if all.iter().all(|index| answered(*index).is_none()) && is_end(state) {
        return true;
    }
    let deadline: Time = all.iter().filter_map(|index| answered(*index)).min().unwrap_or(Time::MAX);
    for index in all {
        if history[index].called > deadline || history[index].ending == Ending::NotApplied {
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
        let is_next = log.get(*executed).is_some_and(|write| write.operation == operation.id && write.call == operation.call);
        let Ending::Answered { revision: answered, answer, .. } = operation.ending else {
            return is_next.then_some(executed + 1);
        };
        match (&operation.call, answer) {
            (Call::Read { key, .. }, Answer::Read(read)) => {
                (answered == revision && versions.at(key, revision).map(seen) == read).then_some(*executed)
            }
            (Call::Put { .. }, Answer::Put) => (is_next && answered == revision + 1).then_some(executed + 1),
            (Call::Delete { .. } | Call::DeletePrefix { .. }, Answer::Deleted(count)) => {
                (is_next && answered == revision + 1 && versions.deleted_by(answered) == count).then_some(executed + 1)
            }
            (Call::Put { key, guard, .. } | Call::Delete { key, guard }, Answer::GuardFailed) => {
                (answered == revision && !holds(*guard, modified(versions.at(key, revision)))).then_some(*executed)
            }
            _ => None,
        }
    };
    some_order(history, &0, &mut Vec::new(), &after, &|executed| *executed == log.len())
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
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

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
