//! Requests that are sent more than once: what comes of one is said of its identity.

use super::*;
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
    assert_eq!(rig.run(&chosen), [created(1, 1, 1), created(3, 1, 1), propose(1, 2, 1, 1, &["b"])]);
    let chosen = [entry(2, batch(1, 1, &["b"]))];
    rig.reply(2, 1, 1, Ok(chosen_at(2)));
    assert_eq!(rig.run(&chosen), [created(2, 2, 2), created(4, 2, 2)]);
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
    let refused = rig.step(Input::Mutation { id: RequestId(2), command, time_ms: 0 });
    assert_eq!(refused, [not_applied(2, NotApplied::IdentityTaken)]);
}

#[test]
fn so_many_wait_for_one_request_and_no_more() {
    let mut rig = Rig::primary();
    for id in 0..16 {
        rig.mutation(id, "k");
    }
    let limit = LimitHit { name: "requests that wait for one mutation", limit: 16 };
    assert_eq!(rig.mutation(16, "k"), [not_applied(16, NotApplied::QueueFull(limit))]);
}
