//! Random small histories of a sequential store, and small lies about them.

use proptest::prelude::*;

use super::plain::listed;
use super::{KEYS, ONLY_KEYS, holds, modified, state_at};
use crate::linearizability::witness::{Versions, Write};
use crate::operations::{
    Answer, Call, Consistency, Guard, Key, Listing, Operation, OperationId, Order, Outcome, Page,
    Seen, Value,
};

/// A step of a random run: an operation takes effect, between a call before and an answer
/// after.
#[derive(Clone, Debug)]
pub(super) struct Step {
    call: Call,
    called_before: u64,
    answered_after: u64,
    outcome: StepEnding,
    /// How many revisions a replica that is read locally lacks.
    behind: u64,
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

fn keys() -> impl Strategy<Value = Key> {
    prop::sample::select(KEYS.to_vec()).prop_map(Key::from)
}

fn consistencies() -> impl Strategy<Value = Consistency> {
    prop_oneof![2 => Just(Consistency::Linearizable), 1 => (0..4_u64).prop_map(|at_least| Consistency::Local { at_least })]
}

/// Mostly none.
fn revisions() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![2 => Just(None), 1 => (0..6_u64).prop_map(Some)]
}

fn listings() -> impl Strategy<Value = Listing> {
    let bounds = || prop_oneof![3 => Just(None), 1 => prop::sample::select(vec!["", "a", "aa", "ab", "b", "c"]).prop_map(Some)];
    let bounds = || bounds().prop_map(|bound| bound.map(Key::from));
    let orders = prop::sample::select(vec![Order::Ascending, Order::Descending]);
    let limits = prop_oneof![2 => Just(None), 1 => (1..4_usize).prop_map(Some)];
    (bounds(), bounds(), bounds(), orders, bounds(), limits).prop_map(
        |(prefix, start, end, order, after, limit)| Listing {
            prefix: prefix.unwrap_or_else(|| Key::from("")),
            start: start.unwrap_or_else(|| Key::from("")),
            end,
            order,
            after,
            limit,
        },
    )
}

fn calls() -> impl Strategy<Value = Call> {
    let reads = (keys(), revisions(), consistencies())
        .prop_map(|(key, at, consistency)| Call::Read { key, at, consistency });
    let lists = (listings(), revisions(), consistencies())
        .prop_map(|(listing, at, consistency)| Call::List { listing, at, consistency });
    prop_oneof![
        4 => reads,
        4 => lists,
        5 => (keys(), guards()).prop_map(|(key, guard)| Call::Put { key, value: Value::NOBODYS, guard }),
        2 => (keys(), guards()).prop_map(|(key, guard)| Call::Delete { key, guard }),
        1 => keys().prop_map(|prefix| Call::DeletePrefix { prefix }),
    ]
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let endings = prop_oneof![6 => Just(StepEnding::Answered), 2 => Just(StepEnding::Unheard), 1 => Just(StepEnding::Nothing)];
    let step = (calls(), 0..25_u64, 0..25_u64, endings, 0..3_u64).prop_map(
        |(call, called_before, answered_after, outcome, behind)| Step {
            call,
            called_before,
            answered_after,
            outcome,
            behind,
        },
    );
    prop::collection::vec(step, 1..6)
}

/// Runs the steps on a sequential store, one every 10 units of time: what comes out is
/// linearizable.
pub(super) fn run(steps: Vec<Step>) -> (Vec<Operation>, Vec<Write>) {
    let (mut history, mut log) = (Vec::new(), Vec::new());
    for (index, step) in (0..).zip(steps) {
        let id = OperationId(index);
        let call = match step.call {
            Call::Put { key, guard, .. } => {
                Call::Put { key, value: Value::new(100 + index, 0), guard }
            }
            other @ (Call::Read { .. }
            | Call::List { .. }
            | Call::Delete { .. }
            | Call::DeletePrefix { .. }
            | Call::Transaction(_)
            | Call::Append { .. }
            | Call::Rollback { .. }
            | Call::Tenure(_)
            | Call::Compact { .. }
            | Call::Access(_)) => other,
        };
        let takes_effect = !matches!(step.outcome, StepEnding::Nothing);
        let executed = takes_effect.then(|| execute(id, &call, step.behind, &mut log)).flatten();
        let now = 100 + 10 * index;
        let outcome = match (step.outcome, executed) {
            (StepEnding::Answered, Some((revision, answer))) => {
                Outcome::Answered { revision, answer }
            }
            (StepEnding::Answered | StepEnding::Unheard | StepEnding::Nothing, _) => {
                Outcome::Unknown
            }
        };
        let (called, returned) = (now - step.called_before, now + step.answered_after);
        history.push(Operation { id, called, call, returned, outcome });
    }
    (history, log)
}

/// The revision and the answer; none where a local read waits for what is not there.
fn execute(
    id: OperationId,
    call: &Call,
    behind: u64,
    log: &mut Vec<Write>,
) -> Option<(u64, Answer)> {
    let newest = log.len() as u64;
    let versions = Versions::replay(log).unwrap();
    let (key, guard) = match call {
        Call::Read { at, consistency, .. } | Call::List { at, consistency, .. } => {
            let present = match *consistency {
                Consistency::Linearizable => newest,
                Consistency::Local { at_least } if at_least > newest => return None,
                Consistency::Local { at_least } => newest.saturating_sub(behind).max(at_least),
            };
            return Some(match *at {
                Some(at) if at > present => (present, Answer::NotYet),
                at => (at.unwrap_or(present), read(call, &versions, at.unwrap_or(present))),
            });
        }
        Call::Put { key, guard, .. } | Call::Delete { key, guard } => (Some(key), *guard),
        Call::DeletePrefix { .. } => (None, Guard::Always),
        Call::Transaction(_)
        | Call::Append { .. }
        | Call::Rollback { .. }
        | Call::Tenure(_)
        | Call::Compact { .. }
        | Call::Access(_) => {
            unreachable!("{ONLY_KEYS}")
        }
    };
    if key.is_some_and(|key| !holds(guard, modified(versions.at(key, newest)))) {
        return Some((newest, Answer::GuardFailed));
    }
    log.push(Write { operation: id, call: call.clone() });
    let revision = newest + 1;
    match call {
        Call::Put { .. } => Some((revision, Answer::Put)),
        Call::Read { .. }
        | Call::List { .. }
        | Call::Delete { .. }
        | Call::DeletePrefix { .. }
        | Call::Transaction(_)
        | Call::Append { .. }
        | Call::Rollback { .. }
        | Call::Tenure(_)
        | Call::Compact { .. }
        | Call::Access(_) => {
            Some((revision, Answer::Deleted(Versions::replay(log).unwrap().deleted_by(revision))))
        }
    }
}

fn read(call: &Call, versions: &Versions, revision: u64) -> Answer {
    match call {
        Call::Read { key, .. } => Answer::Read(versions.at(key, revision).map(Seen::from)),
        Call::List { listing, .. } => {
            let mut items = listed(listing, &state_at(versions, revision));
            let all = items.len();
            items.truncate(listing.limit.unwrap_or(all));
            Answer::Listed(Page { has_more: items.len() < all, items })
        }
        Call::Put { .. }
        | Call::Delete { .. }
        | Call::DeletePrefix { .. }
        | Call::Transaction(_)
        | Call::Append { .. }
        | Call::Rollback { .. }
        | Call::Tenure(_)
        | Call::Compact { .. }
        | Call::Access(_) => unreachable!("only reads read"),
    }
}

/// One small lie, which may or may not leave the history linearizable.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lie {
    None,
    Revision(u64),
    Value(Value),
    Modified(u64),
    Absent,
    /// A page says the contrary of whether there is more.
    More,
    Earlier(u64),
    Later(u64),
    NotApplied,
    DropFromLog(usize),
    RepeatInLog(usize),
    SwapInLog(usize),
}

pub(super) fn lies() -> impl Strategy<Value = Lie> {
    prop_oneof![
        Just(Lie::None),
        (0..6_u64).prop_map(Lie::Revision),
        (100..106_u64).prop_map(|number| Lie::Value(Value::new(number, 0))),
        (0..6_u64).prop_map(Lie::Modified),
        Just(Lie::Absent),
        Just(Lie::More),
        (0..40_u64).prop_map(Lie::Earlier),
        (0..40_u64).prop_map(Lie::Later),
        Just(Lie::NotApplied),
        (0..4_usize).prop_map(Lie::DropFromLog),
        (0..4_usize).prop_map(Lie::RepeatInLog),
        (0..4_usize).prop_map(Lie::SwapInLog),
    ]
}

pub(super) fn tell(lie: Lie, which: usize, history: &mut [Operation], log: &mut Vec<Write>) {
    let index = which % history.len();
    let operation = &mut history[index];
    if let Outcome::Answered { answer: Answer::Listed(page), .. } = &mut operation.outcome {
        tell_in_page(lie, which, page);
    }
    match (lie, &mut operation.outcome) {
        (Lie::Revision(to), Outcome::Answered { revision, .. }) => *revision = to,
        (Lie::Value(to), Outcome::Answered { answer: Answer::Read(Some(seen)), .. }) => {
            seen.value = to
        }
        (Lie::Modified(to), Outcome::Answered { answer: Answer::Read(Some(seen)), .. }) => {
            seen.modified = to
        }
        (Lie::Absent, Outcome::Answered { answer: Answer::Read(seen), .. }) => *seen = None,
        (Lie::Earlier(by), _) => {
            operation.returned = operation.returned.saturating_sub(by).max(operation.called);
        }
        (Lie::Later(by), _) => {
            operation.called += by;
            operation.returned = operation.called.max(operation.returned);
        }
        (Lie::NotApplied, outcome) => *outcome = Outcome::NotApplied,
        (Lie::DropFromLog(at), _) if at < log.len() => drop(log.remove(at)),
        (Lie::RepeatInLog(at), _) if at < log.len() => log.push(log[at].clone()),
        (Lie::SwapInLog(at), _) if at + 1 < log.len() => log.swap(at, at + 1),
        _ => {}
    }
}

fn tell_in_page(lie: Lie, which: usize, page: &mut Page) {
    let index = which % page.items.len().max(1);
    match (lie, page.items.get_mut(index)) {
        (Lie::Value(to), Some((_, seen))) => seen.value = to,
        (Lie::Modified(to), Some((_, seen))) => seen.modified = to,
        (Lie::Absent, Some(_)) => drop(page.items.remove(index)),
        (Lie::More, _) => page.has_more = !page.has_more,
        _ => {}
    }
}
