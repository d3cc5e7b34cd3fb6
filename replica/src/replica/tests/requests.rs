//! Requests that are sent more than once: what comes of one is said of its identity.

use super::*;
use crate::machine::access::subject::{Author, Subject};
use crate::machine::identity::IdempotencyKey;
use crate::replica::event::{LimitHit, NotApplied, Stall};

fn not_applied(id: u64, reason: NotApplied) -> Effect {
    answer(id, Answer::NotApplied(reason))
}

#[test]
fn a_request_that_comes_again_while_it_is_under_way_is_executed_once_and_answered_twice() {
    let mut rig = Rig::primary();
    rig.mutation(1, "a");
    rig.mutation(2, "b");
    assert_eq!(rig.mutation(3, "a"), [], "it flies");
    assert_eq!(rig.mutation(4, "b"), [], "it waits");
    let chosen = [entry(1, batch(1, 0, &["a"]))];
    rig.reply(1, 1, 0, Ok(chosen_at(1)));
    assert_eq!(
        rig.run(&chosen),
        [created(1, 1, 1), replayed(3, 1, 1), propose(1, 2, 1, 1, &["b"])]
    );
    let chosen = [entry(2, batch(1, 1, &["b"]))];
    rig.reply(2, 1, 1, Ok(chosen_at(2)));
    assert_eq!(rig.run(&chosen), [created(2, 2, 2), replayed(4, 2, 2)]);
}

#[test]
fn who_gave_up_and_asks_again_gets_the_answer_of_what_flies() {
    let mut rig = Rig::primary();
    rig.mutation(1, "k");
    assert_eq!(rig.cancel(1), [answer(1, Answer::Unknown(Stall::Slow))]);
    assert_eq!(rig.mutation(2, "k"), []);
    let chosen = [entry(1, batch(1, 0, &["k"]))];
    rig.reply(1, 1, 0, Ok(chosen_at(1)));
    assert_eq!(rig.run(&chosen), [created(2, 1, 1)]);
}

#[test]
fn a_request_that_waits_is_forgotten_once_all_have_given_up() {
    let mut rig = Rig::primary();
    rig.mutation(1, "a");
    rig.mutation(2, "b");
    rig.mutation(3, "b");
    assert_eq!(rig.cancel(2), [answer(2, Answer::Unknown(Stall::Slow))], "3 wants it yet");
    assert_eq!(rig.cancel(3), [not_applied(3, NotApplied::GivenUp(Stall::Slow))]);
    rig.reply(1, 1, 0, Ok(chosen_at(1)));
    assert_eq!(rig.run(&[entry(1, batch(1, 0, &["a"]))]), [created(1, 1, 1)], "nothing waits");
}

#[test]
fn another_command_by_the_name_of_one_under_way_is_refused() {
    let mut rig = Rig::primary();
    rig.mutation(1, "k");
    let command = Command { request: identity("k"), ..put("other") };
    let refused = rig.step(Input::Mutation { id: RequestId(2), command, since: None, wall_ms: 0 });
    assert_eq!(refused, [not_applied(2, NotApplied::IdentityTaken)]);
}

#[test]
fn a_command_that_tells_of_a_certificate_is_the_same_as_one_that_does_not() {
    let mut rig = Rig::primary();
    rig.mutation(1, "k");
    let subject = Subject { issuer: "spiffe://synod".to_owned(), subject: "client/a".to_owned() };
    let op = put("k").op.done_by(Some(Author::Certified(subject)));
    let command = Command { op, ..put("k") };
    let again = Input::Mutation { id: RequestId(2), command, since: None, wall_ms: 0 };
    assert_eq!(rig.step(again), [], "it is under way");
    let chosen = [entry(1, batch(1, 0, &["k"]))];
    rig.reply(1, 1, 0, Ok(chosen_at(1)));
    assert_eq!(rig.run(&chosen), [created(1, 1, 1), replayed(2, 1, 1)]);
}

/// A request that was first sent when every slot below `since` was executed.
fn again(rig: &mut Rig, id: u64, key: &str, since: u64) -> Vec<Effect> {
    let since = Some(Slot(since));
    rig.step(Input::Mutation { id: RequestId(id), command: put(key), since, wall_ms: 0 })
}

#[test]
fn a_request_that_comes_again_after_it_was_executed_gets_the_answer_and_nothing_else_happens() {
    let mut rig = Rig::backup();
    let executed = [entry(1, batch(1, 0, &["k"])), view_entry(2, 2, 1)];
    rig.fetched(2, entries(&executed, 3));
    rig.run(&executed);
    assert_eq!(rig.replica.role(), Role::Primary, "it was a backup when that was executed");
    assert_eq!(again(&mut rig, 1, "k", 1), [replayed(1, 1, 1)]);
}

#[test]
fn a_request_that_comes_again_and_was_not_executed_is_as_good_as_new() {
    let mut rig = Rig::primary();
    let effects = again(&mut rig, 1, "k", 1);
    assert_eq!(effects, [propose(1, 1, 1, 0, &["k"]), arm(Timer::Propose, 50, 50)]);
    assert_eq!(again(&mut rig, 2, "k", 1), [], "it is under way");
}

#[test]
fn of_a_request_that_may_have_been_executed_in_a_life_before_nothing_is_said() {
    let mut before = Rig::backup();
    let executed = [entry(1, batch(1, 0, &["k"])), view_entry(2, 2, 1)];
    before.fetched(2, entries(&executed, 3));
    before.run(&executed);
    let (meta, identity) = (before.replica.meta.clone(), before.replica.identity.clone());
    let recovered = Recovered {
        cluster: Some(cluster()),
        joined_at: Slot(0),
        meta,
        next_expiry_ms: None,
        durable_below: Slot(3),
    };
    let mut rig = Rig { replica: Replica::new(config(), identity, recovered), ..before };
    assert_eq!(again(&mut rig, 1, "k", 1), [answer(1, Answer::Forgotten)]);
}

#[test]
fn so_many_wait_for_one_request_and_no_more() {
    let mut rig = Rig::primary();
    for id in 0..16 {
        rig.mutation(id, "k");
    }
    let limit = LimitHit::new("requests that wait for one mutation", 16);
    assert_eq!(rig.mutation(16, "k"), [not_applied(16, NotApplied::QueueFull(limit))]);
}

#[test]
fn a_repeat_that_comes_after_the_answer_is_executed_as_one() {
    let mut rig = Rig::primary();
    let key = RequestIdentity::Keyed(IdempotencyKey::of("once"));
    let command = Command { request: key, ..put("k") };
    let send = |rig: &mut Rig, id| {
        let command = command.clone();
        rig.step(Input::Mutation { id: RequestId(id), command, since: None, wall_ms: 0 })
    };
    let chosen = |slot, number| {
        let (answers, commands) = (AnswerRetention::default(), vec![command.clone()]);
        let commands =
            Commands { time_ms: 0, wall_ms: 0, trace: None, answers, commands, executed: None }
                .encode();
        let batch = Batch { epoch: Epoch(1), number: BatchNumber(number), commands };
        [entry(slot, Value::Batch(batch).encode())]
    };
    send(&mut rig, 1);
    assert_eq!(rig.chosen(&chosen(1, 0)), [created(1, 1, 1)]);
    send(&mut rig, 2);
    assert_eq!(rig.chosen(&chosen(2, 1)), [replayed(2, 2, 1)]);
    assert_eq!(rig.replica.status(rig.now).revision, Revision(1));
}
