//! A planned change of the primary.

use coordinator::config::Config;
use coordinator::effect::{Effect, Input, RequestId};
use shared::ids::{Ballot, Instance, LogFormat, Slot};
use shared::message::{
    Heartbeat, PrimaryRefused, PrimaryReply, PrimaryRequest, Storage, Unable, UnableReplica, Value,
    View, WantedPrimary,
};

use crate::support::*;

fn proposes(mine: Ballot, slot: u64, view: &View) -> Vec<Effect> {
    let value = Value::View(view.clone()).encode();
    let proposed = Effect::ViewProposed { slot: Slot(slot), view: view.clone() };
    all([vec![proposed], accepts(&accept(mine, vec![slot_value(slot, value)], slot))])
}

fn present() -> View {
    view(4, 1, &[2, 3])
}

fn beat(replica: u64) -> Heartbeat {
    heartbeat(replica, Some(present()))
}

/// A leader in a cluster with a view of three replicas that were all heard just now.
fn with_view() -> (Bench, Ballot) {
    let (mut bench, mine) = Bench::leading();
    for replica in 1..=3 {
        assert_eq!(bench.step(Input::Heartbeat(beat(replica))), []);
    }
    (bench, mine)
}

fn ask(bench: &mut Bench, id: u64, wanted: WantedPrimary) -> Vec<Effect> {
    let request = PrimaryRequest { cluster: roster().cluster(), wanted };
    bench.step(Input::PrimaryRequest { id: RequestId(id), request })
}

fn ask_for(bench: &mut Bench, id: u64, replica: u64) -> Vec<Effect> {
    ask(bench, id, WantedPrimary::Replica(name(replica)))
}

fn ends(bench: &mut Bench, id: u64, replica: u64) -> Vec<Effect> {
    let (than, instance) = (name(replica), Instance(replica * 10));
    ask(bench, id, WantedPrimary::Another { than, instance })
}

fn reply(id: u64, reply: PrimaryReply) -> Effect {
    Effect::PrimaryReply { id: RequestId(id), reply }
}

fn refused(id: u64, why: PrimaryRefused) -> Effect {
    reply(id, PrimaryReply::Refused(why))
}

fn unable(id: u64, replica: u64, why: Unable) -> Effect {
    refused(id, PrimaryRefused::Unable { replica: name(replica), why })
}

#[test]
fn another_primary_is_proposed_and_told_of_once_it_has_executed_its_view() {
    let (mut bench, mine) = with_view();
    let next = view(5, 3, &[1, 2]);
    assert_eq!(ask_for(&mut bench, 7, 3), proposes(mine, 0, &next));
    bench.accepted(0, mine, &[0]);
    bench.accepted(1, mine, &[0]);
    assert_eq!(bench.step(Input::Heartbeat(beat(1))), [], "chosen is not executed");
    let news = bench.step(Input::Heartbeat(heartbeat(2, Some(next.clone()))));
    assert_eq!(news, [], "it may be dead already");
    let news = bench.step(Input::Heartbeat(heartbeat(3, Some(next.clone()))));
    assert_eq!(news, [reply(7, PrimaryReply::Executed(next))]);
}

#[test]
fn whoever_is_primary_already_needs_no_view() {
    let (mut bench, _) = with_view();
    assert_eq!(ask_for(&mut bench, 7, 1), [reply(7, PrimaryReply::Executed(present()))]);
}

#[test]
fn only_a_replica_of_the_view_becomes_primary() {
    let (mut bench, _) = with_view();
    let unknown = PrimaryRefused::Unknown { replica: name(9) };
    assert_eq!(ask_for(&mut bench, 7, 9), [refused(7, unknown)]);
    // It would join, but cannot execute.
    let outside = Heartbeat { storage: Storage::Full, ..beat(4) };
    assert_eq!(bench.step(Input::Heartbeat(outside)), []);
    let outside = PrimaryRefused::NotInView { replica: name(4) };
    assert_eq!(ask_for(&mut bench, 8, 4), [refused(8, outside)]);
}

#[test]
fn a_replica_that_could_not_take_mutations_does_not_become_primary() {
    let (mut bench, mine) = with_view();
    bench.step(Input::Heartbeat(Heartbeat { storage: Storage::Full, ..beat(2) }));
    assert_eq!(ask_for(&mut bench, 1, 2), [unable(1, 2, Unable::CannotExecute)]);
    let limit = Config::new(3).switch_lag;
    bench.accepted_with(0, mine, &[], chosen(limit + 9));
    let lags = |executed| Heartbeat { executed_below: Slot(executed), ..beat(3) };
    bench.step(Input::Heartbeat(lags(8)));
    let behind = Unable::Behind { slots: limit + 1, limit };
    assert_eq!(ask_for(&mut bench, 2, 3), [unable(2, 3, behind)]);
    bench.wait_ms(600);
    bench.step(Input::Heartbeat(beat(1)));
    assert_eq!(ask_for(&mut bench, 3, 3), [unable(3, 3, Unable::Silent)]);
    bench.step(Input::Heartbeat(lags(9)));
    let next = view(5, 3, &[1, 2]);
    assert_eq!(ask_for(&mut bench, 4, 3), proposes(mine, limit + 9, &next));
}

#[test]
fn a_replica_that_cannot_read_the_log_does_not_become_primary() {
    let (mut bench, _) = Bench::leading();
    let format = LogFormat(2);
    for (replica, highest_format) in [(1, format), (2, format), (3, LogFormat::FIRST)] {
        let view = View { format, ..present() };
        let beat = Heartbeat { highest_format, ..heartbeat(replica, Some(view)) };
        assert_eq!(bench.step(Input::Heartbeat(beat)), []);
    }
    assert_eq!(ask_for(&mut bench, 1, 3), [unable(1, 3, Unable::OldFormat)]);
}

#[test]
fn one_change_of_the_view_is_under_way_and_who_asks_for_the_same_waits_for_it() {
    let (mut bench, mine) = with_view();
    let next = view(5, 3, &[1, 2]);
    assert_eq!(ask_for(&mut bench, 1, 3), proposes(mine, 0, &next));
    assert_eq!(ask_for(&mut bench, 2, 3), []);
    assert_eq!(ask_for(&mut bench, 3, 2), [refused(3, PrimaryRefused::ChangeUnderWay)]);
    let executed = PrimaryReply::Executed(next.clone());
    let news = bench.step(Input::Heartbeat(heartbeat(3, Some(next))));
    assert_eq!(news, [reply(1, executed.clone()), reply(2, executed)]);
}

#[test]
fn so_many_wait_for_one_change_and_no_more() {
    let (mut bench, _) = with_view();
    let limit = Config::new(3).max_waiters_per_slot as u64;
    for id in 0..limit {
        ask_for(&mut bench, id, 3);
    }
    assert_eq!(ask_for(&mut bench, 99, 3), [refused(99, PrimaryRefused::ChangeUnderWay)]);
}

#[test]
fn while_a_view_is_proposed_for_another_reason_no_other_primary_is() {
    let (mut bench, mine) = with_view();
    let joined = view(5, 1, &[2, 3, 4]);
    assert_eq!(bench.step(Input::Heartbeat(beat(4))), proposes(mine, 0, &joined));
    assert_eq!(ask_for(&mut bench, 1, 3), [refused(1, PrimaryRefused::ChangeUnderWay)]);
    bench.accepted(0, mine, &[0]);
    bench.accepted(1, mine, &[0]);
    bench.step(Input::Heartbeat(heartbeat(2, Some(joined))));
    assert_eq!(ask_for(&mut bench, 2, 3), proposes(mine, 1, &view(6, 3, &[1, 2, 4])));
}

#[test]
fn where_another_view_came_first_whoever_asked_hears_it() {
    let (mut bench, _) = with_view();
    ask_for(&mut bench, 1, 3);
    let other = heartbeat(2, Some(view(5, 2, &[1, 3])));
    assert_eq!(bench.step(Input::Heartbeat(other)), [refused(1, PrimaryRefused::Overtaken)]);
}

#[test]
fn where_the_new_primary_died_before_it_began_whoever_asked_hears_of_the_next_view() {
    let (mut bench, _) = with_view();
    ask_for(&mut bench, 1, 3);
    let next = view(5, 3, &[1, 2]);
    assert_eq!(bench.step(Input::Heartbeat(heartbeat(2, Some(next)))), []);
    let other = heartbeat(2, Some(view(6, 2, &[1, 3])));
    assert_eq!(bench.step(Input::Heartbeat(other)), [refused(1, PrimaryRefused::Overtaken)]);
}

#[test]
fn only_a_leader_proposes_and_one_that_is_deposed_knows_nothing() {
    let (mut bench, mine) = with_view();
    ask_for(&mut bench, 1, 3);
    let effects = bench.nack(0, mine, ballot(mine.round + 1, OTHER));
    assert!(effects.contains(&reply(1, PrimaryReply::Unresolved)), "{effects:?}");
    assert_eq!(ask_for(&mut bench, 2, 3), [reply(2, PrimaryReply::NotLeading)]);
}

#[test]
fn a_primary_that_is_about_to_end_is_replaced_by_the_best_other_that_is_not() {
    let (mut bench, mine) = with_view();
    bench.accepted_with(0, mine, &[], chosen(9));
    bench.step(Input::Heartbeat(Heartbeat { executed_below: Slot(9), ..beat(3) }));
    assert_eq!(ends(&mut bench, 1, 1), proposes(mine, 9, &view(5, 3, &[1, 2])));

    let (mut bench, mine) = with_view();
    bench.accepted_with(0, mine, &[], chosen(9));
    bench.step(Input::Heartbeat(Heartbeat { executed_below: Slot(9), ..beat(3) }));
    let done = PrimaryReply::Executed(present());
    assert_eq!(ends(&mut bench, 1, 3), [reply(1, done)], "it is not the primary");
    assert_eq!(ends(&mut bench, 2, 1), proposes(mine, 9, &view(5, 2, &[1, 3])));
}

#[test]
fn whoever_is_about_to_end_becomes_primary_only_where_nobody_else_is_left() {
    let (mut bench, mine) = with_view();
    ends(&mut bench, 1, 2);
    assert_eq!(ask_for(&mut bench, 2, 2), [unable(2, 2, Unable::Ending)]);
    let next = view(5, 3, &[1, 2]);
    assert_eq!(bench.step(Input::Ended(Instance(10))), proposes(mine, 0, &next));

    let (mut bench, mine) = with_view();
    ends(&mut bench, 1, 2);
    ends(&mut bench, 2, 3);
    let others =
        [2, 3].map(|replica| UnableReplica { replica: name(replica), why: Unable::Ending });
    let nobody = PrimaryRefused::NobodyAble { others: others.to_vec() };
    assert_eq!(ends(&mut bench, 3, 1), [refused(3, nobody)]);
    let next = view(5, 2, &[1, 3]);
    assert_eq!(bench.step(Input::Ended(Instance(10))), proposes(mine, 0, &next));
}

#[test]
fn a_replica_that_comes_back_is_not_about_to_end() {
    let (mut bench, mine) = with_view();
    ends(&mut bench, 1, 2);
    bench.step(Input::Heartbeat(Heartbeat { instance: Instance(21), ..beat(2) }));
    ends(&mut bench, 2, 2);
    let next = View { primary_instance: Instance(21), ..view(5, 2, &[1, 3]) };
    assert_eq!(ask_for(&mut bench, 3, 2), proposes(mine, 0, &next), "the end was of its last life");
}
