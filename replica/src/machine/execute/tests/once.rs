//! Requests with an `Idempotency-Key`: executed once, answered alike, for a time.

use std::collections::BTreeMap;

use super::*;
use crate::machine::access::subject::{Author, Subject};
use crate::machine::identity::IdempotencyKey;

const RETENTION: AnswerRetention = AnswerRetention { keep_ms: 100, at_most: 3 };

/// A batch of requests, each by the key.
fn keyed(state: &ReplicatedState, time_ms: u64, requests: &[(&str, Op)]) -> EncodedValue {
    let command = |(key, op): &(&str, Op)| Command {
        op: op.clone(),
        trace: None,
        request: RequestIdentity::Keyed(IdempotencyKey::of(key)),
    };
    let commands = requests.iter().map(command).collect();
    let commands =
        Commands { time_ms, wall_ms: 0, trace: None, answers: RETENTION, commands, executed: None };
    raw_batch(1, state.meta().next_batch.0, commands.encode())
}

fn outcome(
    state: &mut ReplicatedState,
    time_ms: u64,
    key: &str,
    op: Op,
) -> (CommandOutcome, Delivery) {
    let value = keyed(state, time_ms, &[(key, op)]);
    let SlotOutcome::Batch { commands, .. } = execute_next(state, value) else { panic!("a batch") };
    (commands[0].outcome.clone(), commands[0].delivery)
}

#[test]
fn a_request_by_a_key_is_executed_once_and_gets_its_first_answer_again() {
    let mut state = state_after(vec![]);
    let created = CommandOutcome::Created { revision: Revision(1) };
    assert_eq!(outcome(&mut state, 0, "1", put("k", "a")), (created.clone(), Delivery::First));
    execute_next(&mut state, batch(1, 2, vec![put("k", "b")]));
    let changes_before = state.keys().get("k").cloned();
    assert_eq!(outcome(&mut state, 1, "1", put("k", "a")), (created, Delivery::Replayed));
    assert_eq!(state.keys().get("k").cloned(), changes_before, "and it changes nothing");
    assert_eq!(state.meta().revision, Revision(2));
}

#[test]
fn a_guard_that_failed_has_failed_for_good() {
    let mut state = state_after(vec![]);
    let update = || put_if("k", "b", Condition::IfMatchAny);
    let failed = CommandOutcome::PreconditionFailed { revision: Revision(0), current: None };
    assert_eq!(outcome(&mut state, 0, "1", update()), (failed.clone(), Delivery::First));
    execute_next(&mut state, batch(1, 2, vec![put("k", "a")]));
    assert_eq!(outcome(&mut state, 0, "1", update()), (failed, Delivery::Replayed));
}

#[test]
fn another_request_by_the_same_key_does_nothing() {
    let mut state = state_after(vec![]);
    outcome(&mut state, 0, "1", put("k", "a"));
    for other in [
        put("k", "b"),
        put("j", "a"),
        put_if("k", "a", Condition::IfMatchAny),
        delete_if("k", Condition::Always),
    ] {
        let reused = CommandOutcome::KeyReused { revision: Revision(1) };
        assert_eq!(outcome(&mut state, 0, "1", other), (reused, Delivery::First));
    }
    assert_eq!((state.meta().revision, state.meta().answers), (Revision(1), 1));
}

#[test]
fn twice_in_one_batch_is_once() {
    let mut state = state_after(vec![]);
    let value = keyed(&state, 0, &[("1", put("k", "a")), ("1", put("k", "a"))]);
    let SlotOutcome::Batch { commands, .. } = execute_next(&mut state, value) else {
        panic!("a batch")
    };
    let deliveries: Vec<_> = commands.iter().map(|command| command.delivery).collect();
    assert_eq!(deliveries, [Delivery::First, Delivery::Replayed]);
    assert_eq!(state.meta().revision, Revision(1));
}

#[test]
fn answers_beyond_the_limit_are_refused_and_none_is_forgotten_for_them() {
    let mut state = state_after(vec![]);
    for key in ["1", "2", "3"] {
        outcome(&mut state, 0, key, put(key, "a"));
    }
    let refused = CommandOutcome::TooManyKeys { revision: Revision(3) };
    assert_eq!(outcome(&mut state, 99, "4", put("k", "a")), (refused, Delivery::First));
    assert_eq!(state.meta().answers, 3);
    let (_, delivery) = outcome(&mut state, 99, "1", put("1", "a"));
    assert_eq!(delivery, Delivery::Replayed);
    let created = CommandOutcome::Created { revision: Revision(4) };
    assert_eq!(
        outcome(&mut state, 100, "4", put("k", "a")),
        (created, Delivery::First),
        "their time is over"
    );
}

#[test]
fn an_answer_is_kept_for_its_time_of_the_log_and_no_longer() {
    let mut state = state_after(vec![]);
    outcome(&mut state, 1_000, "1", put("k", "a"));
    let delivery = |state: &mut ReplicatedState, at| outcome(state, at, "1", put("k", "a")).1;
    assert_eq!(delivery(&mut state, 1_099), Delivery::Replayed);
    assert_eq!(delivery(&mut state, 0), Delivery::Replayed, "time never goes back");
    assert_eq!(delivery(&mut state, 1_100), Delivery::First);
    assert_eq!(state.meta().answers, 1);
}

#[test]
fn whose_certificate_it_came_with_makes_no_other_request() {
    let subject = |name: &str| Subject { issuer: "i".to_owned(), subject: name.to_owned() };
    let certified = |name, op: Op| op.done_by(Some(Author::Certified(subject(name))));
    let created = CommandOutcome::Created { revision: Revision(1) };
    let ways = || [put("k", "a"), certified("one", put("k", "a")), certified("two", put("k", "a"))];
    for first in ways() {
        let mut state = state_after(vec![]);
        assert_eq!(outcome(&mut state, 0, "1", first), (created.clone(), Delivery::First));
        for again in ways() {
            let replayed = (created.clone(), Delivery::Replayed);
            assert_eq!(outcome(&mut state, 0, "1", again), replayed);
        }
        let reused = CommandOutcome::KeyReused { revision: Revision(1) };
        let other = certified("one", put("k", "b"));
        assert_eq!(outcome(&mut state, 0, "1", other), (reused, Delivery::First));
    }
}

/// So many answers that no batch forgets them all, in three runs: as a whole, as a store
/// does it.
#[test]
fn answers_are_forgotten_oldest_first_a_bounded_number_in_each_batch() {
    let answers = AnswerRetention { keep_ms: 100, at_most: 1_000 };
    let many = |from: u64, time_ms| {
        let command = |number: u64| Command {
            op: Op::Delete { key: "k".to_owned(), condition: Condition::Always },
            trace: None,
            request: RequestIdentity::Keyed(IdempotencyKey::of(&number.to_string())),
        };
        let commands = (from..from + 150).map(command).collect();
        Commands { time_ms, wall_ms: 0, trace: None, answers, commands, executed: None }.encode()
    };
    let none = |time_ms| Commands { answers, ..commands(time_ms, vec![]) }.encode();
    let log: Vec<ChosenEntry> = std::iter::once(Value::View(view(1)).encode())
        .chain(
            (0..)
                .zip([many(0, 0), many(150, 1), none(100), none(101), none(102)])
                .map(|(number, commands)| raw_batch(1, number, commands)),
        )
        .enumerate()
        .map(|(slot, value)| entry(slot as u64, value))
        .collect();
    let mut complete = ReplicatedState::complete();
    let left: Vec<u64> = log
        .iter()
        .map(|entry| {
            apply(&mut complete, entry);
            complete.meta().answers
        })
        .collect();
    assert_eq!(left, [0, 150, 300, 236, 172, 108]);
    let kept: BTreeMap<_, _> =
        complete.answers().iter().map(|(key, it)| (key, it.clone())).collect();
    assert!(kept.values().all(|answer| answer.expires_ms == 101), "the oldest went first");
    for round_lookups in [1, 150, 4_096] {
        let mut database = properties::Database::new(round_lookups);
        for run in [&log[..3], &log[3..]] {
            database.execute(run);
        }
        assert_eq!((database.meta(), database.answers()), (complete.meta(), kept.clone()));
    }
}
