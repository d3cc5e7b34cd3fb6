//! Who is primary: when a leader proposes a view, and which.

use coordinator::config::Config;
use coordinator::effect::{Effect, Input, Timer};
use shared::ids::{Ballot, ClusterId, CoordinatorId, Instance, LogFormat, Slot};
use shared::message::{Heartbeat, Marks, Value, View};

use crate::support::*;

fn proposes(mine: Ballot, slot: u64, view: &View) -> Vec<Effect> {
    let value = Value::View(view.clone()).encode();
    let proposed = Effect::ViewProposed { slot: Slot(slot), view: view.clone() };
    all([vec![proposed], accepts(&accept(mine, vec![slot_value(slot, value)], slot))])
}

/// Fires the leader's timer, and gives back what it does beyond its sign of life.
fn tick(bench: &mut Bench) -> Vec<Effect> {
    let effects = bench.fire(Timer::Lead);
    effects.into_iter().skip_while(|effect| !matches!(effect, Effect::Arm { .. })).skip(1).collect()
}

/// A leader in a cluster with a view of three replicas that were all heard just now.
fn with_view() -> (Bench, Ballot) {
    let (mut bench, mine) = Bench::leading();
    for replica in 1..=3 {
        let effects = bench.step(Input::Heartbeat(heartbeat(replica, Some(view(4, 1, &[2, 3])))));
        assert_eq!(effects, []);
    }
    (bench, mine)
}

fn hear(bench: &mut Bench, replicas: &[u64], view: &View) -> Vec<Effect> {
    let beats = replicas.iter().map(|replica| heartbeat(*replica, Some(view.clone())));
    beats.flat_map(|beat| bench.step(Input::Heartbeat(beat))).collect()
}

#[test]
fn the_first_view_waits_a_little_so_that_it_names_all_that_start_together() {
    let (mut bench, mine) = Bench::leading();
    assert_eq!(bench.step(Input::Heartbeat(heartbeat(2, None))), []);
    assert_eq!(bench.step(Input::Heartbeat(heartbeat(1, None))), []);
    bench.wait_ms(200);
    assert_eq!(tick(&mut bench), []);
    bench.wait_ms(100);
    assert_eq!(tick(&mut bench), proposes(mine, 0, &view(1, 1, &[2])));
}

#[test]
fn the_first_view_comes_at_once_when_three_replicas_are_there() {
    let (mut bench, mine) = Bench::leading();
    assert_eq!(bench.step(Input::Heartbeat(heartbeat(3, None))), []);
    assert_eq!(bench.step(Input::Heartbeat(heartbeat(2, None))), []);
    assert_eq!(
        bench.step(Input::Heartbeat(heartbeat(1, None))),
        proposes(mine, 0, &view(1, 1, &[2, 3]))
    );
}

#[test]
fn a_primary_that_is_not_heard_from_is_replaced_by_the_replica_that_executed_most() {
    let (mut bench, mine) = with_view();
    bench.accepted_with(0, mine, &[], chosen(9));
    for _ in 0..5 {
        bench.wait_ms(100);
        let ahead =
            Heartbeat { executed_below: Slot(9), ..heartbeat(3, Some(view(4, 1, &[2, 3]))) };
        assert_eq!(bench.step(Input::Heartbeat(ahead)), []);
        assert_eq!(hear(&mut bench, &[2], &view(4, 1, &[2, 3])), []);
        assert_eq!(tick(&mut bench), []);
    }
    bench.wait_ms(100);
    assert_eq!(tick(&mut bench), proposes(mine, 9, &view(5, 3, &[1, 2])));
}

#[test]
fn a_primary_whose_process_has_ended_is_replaced_at_once_by_one_that_has_not() {
    let (mut bench, mine) = with_view();
    assert_eq!(bench.step(Input::Ended(Instance(99))), [], "nobody knows it");
    assert_eq!(bench.step(Input::Ended(Instance(20))), [], "it is a backup");
    assert_eq!(bench.step(Input::Ended(Instance(10))), proposes(mine, 0, &view(5, 3, &[1, 2])));
}

/// Only coordinators say so, of themselves: one that lies ends no primary.
#[test]
fn word_of_an_end_ends_no_primary() {
    let (mut bench, mine) = with_view();
    assert_eq!(bench.step(Input::LeaderEnds(CoordinatorId(10))), [], "a primary's instance");
    assert_eq!(tick(&mut bench), []);
    assert_eq!(bench.step(Input::Ended(Instance(10))), proposes(mine, 0, &view(5, 2, &[1, 3])));
}

#[test]
fn who_is_heard_from_after_it_was_said_to_have_ended_has_not() {
    let (mut bench, mine) = with_view();
    bench.step(Input::Ended(Instance(20)));
    assert_eq!(hear(&mut bench, &[2], &view(4, 1, &[2, 3])), [], "this was under way");
    bench.wait_ms(100);
    assert_eq!(hear(&mut bench, &[2], &view(4, 1, &[2, 3])), []);
    assert_eq!(bench.step(Input::Ended(Instance(10))), proposes(mine, 0, &view(5, 2, &[1, 3])));
}

fn reborn(executed: u64) -> Input {
    let present = Some(view(4, 1, &[2, 3]));
    let instance = Instance(11);
    let executed_below = Slot(executed);
    Input::Heartbeat(Heartbeat { instance, executed_below, ..heartbeat(1, present) })
}

#[test]
fn one_that_lived_on_takes_over_from_a_primary_that_was_restarted() {
    let (mut bench, mine) = with_view();
    bench.accepted_with(0, mine, &[], chosen(9));
    let next = view(5, 2, &[1, 3]);
    assert_eq!(bench.step(reborn(9)), proposes(mine, 9, &next), "it knows more of requests");
}

#[test]
fn a_primary_that_was_restarted_is_another_one_where_nobody_else_is_as_far() {
    let (mut bench, mine) = with_view();
    let limit = Config::new(3).switch_lag;
    bench.accepted_with(0, mine, &[], chosen(limit + 9));
    let next = View { primary_instance: Instance(11), ..view(5, 1, &[2, 3]) };
    assert_eq!(bench.step(reborn(limit + 9)), proposes(mine, limit + 9, &next));
}

#[test]
fn a_replica_joins_once_it_has_executed_the_view_and_the_primary_stays() {
    let (mut bench, mine) = with_view();
    let present = view(4, 1, &[2, 3]);
    for behind in [None, Some(view(3, 1, &[2, 3, 4]))] {
        assert_eq!(bench.step(Input::Heartbeat(heartbeat(4, behind))), []);
    }
    assert_eq!(
        bench.step(Input::Heartbeat(heartbeat(4, Some(present)))),
        proposes(mine, 0, &view(5, 1, &[2, 3, 4]))
    );
}

#[test]
fn who_is_not_in_the_view_and_has_not_executed_it_does_not_become_primary() {
    let (mut bench, mine) = with_view();
    bench.accepted_with(0, mine, &[], chosen(9));
    let outside = Heartbeat { executed_below: Slot(9), ..heartbeat(4, Some(view(3, 1, &[4]))) };
    assert_eq!(bench.step(Input::Heartbeat(outside)), []);
    assert_eq!(bench.step(Input::Ended(Instance(10))), proposes(mine, 9, &view(5, 2, &[1, 3])));
}

#[test]
fn one_view_is_in_flight_and_the_next_waits_for_news_of_it() {
    let (mut bench, mine) = with_view();
    let joins = |replica| Input::Heartbeat(heartbeat(replica, Some(view(4, 1, &[2, 3]))));
    assert_eq!(bench.step(joins(4)), proposes(mine, 0, &view(5, 1, &[2, 3, 4])));
    assert_eq!(bench.step(joins(5)), [], "it is in flight");
    bench.accepted(0, mine, &[0]);
    bench.accepted(1, mine, &[0]);
    assert_eq!(bench.step(joins(5)), [], "it is chosen, but is it executed?");
    let news = |replica| Input::Heartbeat(heartbeat(replica, Some(view(5, 1, &[2, 3, 4]))));
    assert_eq!(bench.step(news(2)), []);
    assert_eq!(bench.step(news(5)), proposes(mine, 1, &view(6, 1, &[2, 3, 4, 5])));
}

#[test]
fn a_chosen_view_of_which_no_news_comes_is_proposed_again() {
    let (mut bench, mine) = with_view();
    let joins = || Input::Heartbeat(heartbeat(4, Some(view(4, 1, &[2, 3]))));
    bench.step(joins());
    bench.accepted(0, mine, &[0]);
    bench.accepted(1, mine, &[0]);
    assert_eq!(tick(&mut bench), []);
    for _ in 0..4 {
        bench.wait_ms(100);
        assert_eq!(hear(&mut bench, &[1, 2, 3], &view(4, 1, &[2, 3])), []);
        assert_eq!(bench.step(joins()), []);
    }
    bench.wait_ms(100);
    assert_eq!(tick(&mut bench), proposes(mine, 1, &view(5, 1, &[2, 3, 4])));
}

#[test]
fn silence_while_this_process_was_paused_is_nobody_elses_fault() {
    let (mut bench, mine) = with_view();
    bench.wait_ms(30_000);
    assert_eq!(
        hear(&mut bench, &[2, 3], &view(4, 1, &[2, 3])),
        [],
        "the primary's sign of life may be next in the queue"
    );
    for _ in 0..5 {
        bench.wait_ms(100);
        assert_eq!(hear(&mut bench, &[2, 3], &view(4, 1, &[2, 3])), []);
    }
    bench.wait_ms(100);
    assert_eq!(tick(&mut bench), proposes(mine, 0, &view(5, 2, &[1, 3])));
}

#[test]
fn a_primary_that_never_found_this_coordinator_gets_longer() {
    let (mut bench, mine) = Bench::leading();
    assert_eq!(hear(&mut bench, &[2, 3], &view(4, 1, &[2, 3])), []);
    for _ in 0..14 {
        bench.wait_ms(100);
        assert_eq!(hear(&mut bench, &[2, 3], &view(4, 1, &[2, 3])), []);
    }
    bench.wait_ms(100);
    assert_eq!(tick(&mut bench), proposes(mine, 0, &view(5, 2, &[1, 3])));
}

#[test]
fn heartbeats_of_another_cluster_are_not_heard() {
    let (mut bench, _) = Bench::leading();
    for replica in 1..=3 {
        let stray = Heartbeat { cluster: ClusterId(1), ..heartbeat(replica, None) };
        assert_eq!(bench.step(Input::Heartbeat(stray)), []);
    }
}

#[test]
fn a_standby_listens_so_that_as_a_leader_it_knows_at_once() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(Marks::default());
    for replica in 1..=3 {
        bench.step(Input::Heartbeat(heartbeat(replica, None)));
    }
    bench.promise(0, promise(0, mine, 0, vec![], Marks::default()));
    let leads = bench.promise(1, promise(1, mine, 0, vec![], Marks::default()));
    let first = proposes(mine, 0, &view(1, 1, &[2, 3]));
    assert_eq!(leads[leads.len() - first.len()..], first);
}

/// How far the leader lets acceptors trim.
fn trim_below(bench: &mut Bench) -> Option<u64> {
    let effects = bench.fire(Timer::Lead);
    effects.iter().find_map(|effect| {
        if let Effect::Accept { message, .. } = effect { Some(message.trim_below.0) } else { None }
    })
}

#[test]
fn acceptors_may_trim_what_every_replica_of_the_view_holds_durably_and_is_chosen() {
    let (mut bench, mine) = Bench::leading();
    bench.accepted_with(0, mine, &[], chosen(10));
    let durable = |replica, below: u64| {
        let view = Some(view(4, 1, &[2, 3]));
        Heartbeat {
            executed_below: Slot(10),
            durable_below: Slot(below),
            ..heartbeat(replica, view)
        }
    };
    bench.step(Input::Heartbeat(durable(1, 8)));
    bench.step(Input::Heartbeat(durable(2, 5)));
    assert_eq!(trim_below(&mut bench), Some(0), "two of three copies are not enough");
    bench.step(Input::Heartbeat(durable(3, 7)));
    assert_eq!(trim_below(&mut bench), Some(5));
    (1..=3).for_each(|replica| {
        bench.step(Input::Heartbeat(durable(replica, 99)));
    });
    assert_eq!(trim_below(&mut bench), Some(10), "nothing that is not chosen");
    let wiped = |replica| Heartbeat { instance: Instance(replica), ..durable(replica, 0) };
    bench.step(Input::Heartbeat(wiped(2)));
    bench.step(Input::Heartbeat(wiped(1)));
    assert_eq!(trim_below(&mut bench), Some(10), "and it never goes back");
}

#[test]
fn a_leader_that_is_nudged_fills_up_to_the_vote_that_was_seen() {
    let (mut bench, mine) = Bench::leading();
    let nudge = Heartbeat { nudge_below: Some(Slot(2)), ..heartbeat(1, None) };
    let noops = vec![slot_value(0, noop()), slot_value(1, noop())];
    assert_eq!(bench.step(Input::Heartbeat(nudge.clone())), accepts(&accept(mine, noops, 0)));
    assert_eq!(bench.step(Input::Heartbeat(nudge)), [], "they are in flight");
}

#[test]
fn a_nudge_fills_no_more_than_may_be_in_flight() {
    let (mut bench, _) = Bench::leading();
    bench.step(Input::Heartbeat(Heartbeat {
        nudge_below: Some(Slot(1 << 39)),
        ..heartbeat(1, None)
    }));
    let status = bench.core.status(bench.now);
    assert_eq!((status.in_flight_slots, status.next_slot), (1_024, Some(Slot(1_024))));
}

/// Heartbeats of these replicas, which can read formats up to the one beside them.
fn hear_formats(bench: &mut Bench, view: &View, formats: &[(u64, u16)]) -> Vec<Effect> {
    let beat = |(replica, format): &(u64, u16)| Heartbeat {
        highest_format: LogFormat(*format),
        ..heartbeat(*replica, Some(view.clone()))
    };
    formats.iter().map(beat).flat_map(|beat| bench.step(Input::Heartbeat(beat))).collect()
}

#[test]
fn a_view_raises_the_format_once_all_its_replicas_can_read_it() {
    let (mut bench, mine) = Bench::leading();
    let present = view(4, 1, &[2, 3]);
    assert_eq!(hear_formats(&mut bench, &present, &[(1, 3), (2, 2), (3, 1)]), []);
    bench.wait_ms(100);
    assert_eq!(tick(&mut bench), [], "replica 3 cannot");
    // A restarted backup is another program, maybe.
    let upgraded = Heartbeat {
        instance: Instance(31),
        highest_format: LogFormat(2),
        ..heartbeat(3, Some(present))
    };
    let raised = View { format: LogFormat(2), ..view(5, 1, &[2, 3]) };
    assert_eq!(bench.step(Input::Heartbeat(upgraded)), proposes(mine, 0, &raised));
}

#[test]
fn a_replica_that_cannot_read_the_format_is_not_taken_in_and_not_made_primary() {
    let (mut bench, mine) = Bench::leading();
    bench.accepted_with(0, mine, &[], chosen(9));
    let present = View { format: LogFormat(2), ..view(4, 1, &[2]) };
    assert_eq!(hear_formats(&mut bench, &present, &[(1, 2), (2, 2), (3, 1)]), []);
    let ahead = Heartbeat { executed_below: Slot(9), ..heartbeat(3, Some(present.clone())) };
    assert_eq!(bench.step(Input::Heartbeat(ahead)), []);
    let restarted = Heartbeat {
        instance: Instance(11),
        highest_format: LogFormat(1),
        ..heartbeat(1, Some(present.clone()))
    };
    let next = View { format: LogFormat(2), ..view(5, 2, &[1]) };
    assert_eq!(bench.step(Input::Heartbeat(restarted)), proposes(mine, 9, &next));
}
