//! A replica is taken out for good.

use coordinator::effect::{Effect, Input, RequestId, Timer};
use shared::ids::{Ballot, Epoch, LogFormat, Slot};
use shared::message::{
    Heartbeat, Marks, PrimaryRefused, PrimaryReply, PrimaryRequest, Removal, Storage, Unable,
    UnableReplica, Value, View, Vote, WantedPrimary,
};

use crate::support::*;

fn of(epoch: u64, primary: u64, backups: &[u64]) -> View {
    View { format: Removal::FORMAT, ..view(epoch, primary, backups) }
}

fn beat_in(replica: u64, view: View) -> Heartbeat {
    let highest_format = Removal::FORMAT;
    Heartbeat { executed_below: Slot(9), highest_format, ..heartbeat(replica, Some(view)) }
}

fn durable(replica: u64, below: u64) -> Heartbeat {
    Heartbeat { durable_below: Slot(below), ..beat_in(replica, of(4, 1, &[2, 3])) }
}

/// A leader in a cluster with a view of three replicas that hold all of nine slots.
fn with_view() -> (Bench, Ballot) {
    let (mut bench, mine) = Bench::leading();
    bench.accepted_with(0, mine, &[], chosen(9));
    for replica in 1..=3 {
        assert_eq!(bench.step(Input::Heartbeat(durable(replica, 9))), []);
    }
    (bench, mine)
}

/// Each of the three says what it holds durably.
fn all_say(bench: &mut Bench, below: [u64; 3]) {
    for (replica, below) in (1..).zip(below) {
        bench.step(Input::Heartbeat(durable(replica, below)));
    }
}

/// They do so for longer than trimming waits for the slowest.
fn all_say_past_the_bound(bench: &mut Bench, below: [u64; 3]) {
    for _ in 0..700 {
        bench.wait_ms(100);
        all_say(bench, below);
    }
}

fn take_out(bench: &mut Bench, id: u64, replica: u64) -> Vec<Effect> {
    take_out_again(bench, id, replica, None)
}

/// As one whose state remembers that one of that name was taken out.
fn take_out_again(bench: &mut Bench, id: u64, replica: u64, out_since: Option<u64>) -> Vec<Effect> {
    let out_since = out_since.map(Epoch);
    let wanted = WantedPrimary::Without { removed: name(replica), out_since };
    let request = PrimaryRequest { cluster: roster().cluster(), wanted };
    bench.step(Input::PrimaryRequest { id: RequestId(id), request })
}

fn proposes(mine: Ballot, slot: u64, view: &View, replica: u64) -> Vec<Effect> {
    let removal = Removal { view: view.clone(), replica: name(replica) };
    let value = Value::Removal(removal).encode();
    let proposed = Effect::ViewProposed { slot: Slot(slot), view: view.clone() };
    all([vec![proposed], accepts(&accept(mine, vec![slot_value(slot, value)], slot))])
}

fn reply(id: u64, reply: PrimaryReply) -> Effect {
    Effect::PrimaryReply { id: RequestId(id), reply }
}

fn refused(id: u64, why: PrimaryRefused) -> Effect {
    reply(id, PrimaryReply::Refused(why))
}

/// How far the leader lets acceptors trim.
fn trim_below(bench: &mut Bench) -> u64 {
    let effects = bench.fire(Timer::Lead);
    let said = effects.iter().find_map(|effect| {
        if let Effect::Accept { message, .. } = effect { Some(message.trim_below.0) } else { None }
    });
    said.expect("a leader shows that it lives")
}

#[test]
fn a_backup_is_taken_out_by_a_view_that_says_so_and_the_primary_stays() {
    let (mut bench, mine) = with_view();
    let next = of(5, 1, &[2]);
    assert_eq!(take_out(&mut bench, 7, 3), proposes(mine, 9, &next, 3));
    assert_eq!(take_out(&mut bench, 8, 3), [], "whoever asks for the same waits for it");
    let other = PrimaryRefused::ChangeUnderWay;
    assert_eq!(take_out(&mut bench, 9, 2), [refused(9, other)]);
    bench.accepted(0, mine, &[9]);
    bench.accepted(1, mine, &[9]);
    let executed = PrimaryReply::Executed(next.clone());
    let news = bench.step(Input::Heartbeat(beat_in(2, next.clone())));
    assert_eq!(news, [reply(7, executed.clone()), reply(8, executed)]);
    // What is late of it, or comes of its old data, takes it in no more.
    assert_eq!(bench.step(Input::Heartbeat(durable(3, 9))), []);
    let fresh = beat_in(3, next);
    assert_eq!(
        bench.step(Input::Heartbeat(fresh)).first(),
        Some(&Effect::ViewProposed { slot: Slot(10), view: of(6, 1, &[2, 3]) }),
        "one that has executed that view is another one"
    );
}

#[test]
fn who_asked_hears_it_where_another_view_came_first_and_not_where_one_came_later() {
    let (mut bench, _) = with_view();
    take_out(&mut bench, 7, 3);
    // It lacks the replica as well, and says nothing of its being out.
    let other = beat_in(2, of(5, 2, &[1]));
    let overtaken = refused(7, PrimaryRefused::Overtaken);
    assert_eq!(bench.step(Input::Heartbeat(other)), [overtaken]);

    let (mut bench, _) = with_view();
    take_out(&mut bench, 7, 3);
    let later = beat_in(2, of(6, 2, &[1]));
    let proposed = reply(7, PrimaryReply::Executed(of(5, 1, &[2])));
    assert_eq!(bench.step(Input::Heartbeat(later)), [proposed], "their state has it");
}

#[test]
fn a_primary_is_taken_out_by_the_view_that_hands_over() {
    let (mut bench, mine) = with_view();
    assert_eq!(take_out(&mut bench, 7, 1), proposes(mine, 9, &of(5, 2, &[3]), 1));
}

#[test]
fn a_replica_that_sleeps_is_taken_out_like_any_other() {
    let (mut bench, mine) = with_view();
    bench.wait_ms(500);
    for replica in 1..=2 {
        bench.step(Input::Heartbeat(durable(replica, 9)));
    }
    bench.wait_ms(500);
    for replica in 1..=2 {
        bench.step(Input::Heartbeat(durable(replica, 9)));
    }
    assert_eq!(take_out(&mut bench, 7, 3), proposes(mine, 9, &of(5, 1, &[2]), 3));
}

#[test]
fn one_that_is_not_there_and_the_last_one_are_refused() {
    let (mut bench, _) = with_view();
    let unknown = PrimaryRefused::Unknown { replica: name(9) };
    assert_eq!(take_out(&mut bench, 7, 9), [refused(7, unknown)]);

    let (mut bench, mine) = Bench::leading();
    bench.accepted_with(0, mine, &[], chosen(9));
    bench.step(Input::Heartbeat(beat_in(1, of(4, 1, &[]))));
    let last = PrimaryRefused::Last { replica: name(1) };
    assert_eq!(take_out(&mut bench, 7, 1), [refused(7, last)]);
}

#[test]
fn a_primary_stays_where_nobody_can_take_over() {
    let (mut bench, _) = with_view();
    for replica in 2..=3 {
        let full = Heartbeat { storage: Storage::Full, ..durable(replica, 9) };
        bench.step(Input::Heartbeat(full));
    }
    let others =
        [2, 3].map(|replica| UnableReplica { replica: name(replica), why: Unable::CannotExecute });
    let nobody = PrimaryRefused::NobodyAble { others: others.to_vec() };
    assert_eq!(take_out(&mut bench, 7, 1), [refused(7, nobody)]);
}

#[test]
fn nobody_is_taken_out_before_all_can_read_that() {
    let (mut bench, mine) = Bench::leading();
    bench.accepted_with(0, mine, &[], chosen(9));
    let found = LogFormat(4);
    for replica in 1..=3 {
        let highest_format = if replica == 3 { found } else { Removal::FORMAT };
        let view = View { format: found, ..view(4, 1, &[2, 3]) };
        let beat = Heartbeat { highest_format, ..beat_in(replica, view) };
        assert_eq!(bench.step(Input::Heartbeat(beat)), []);
    }
    let too_old = PrimaryRefused::LogTooOld { found };
    assert_eq!(take_out(&mut bench, 7, 3), [refused(7, too_old)]);
}

#[test]
fn nobody_is_taken_out_while_the_others_lack_what_is_trimmed() {
    let (mut bench, _) = with_view();
    assert_eq!(trim_below(&mut bench), 9);
    // Its disk was replaced.
    let wiped = Heartbeat { instance: shared::ids::Instance(21), ..durable(2, 4) };
    bench.step(Input::Heartbeat(wiped.clone()));
    let too_few = PrimaryRefused::TooFewCopies {
        replica: name(3),
        trimmed_below: Slot(9),
        behind: vec![name(2)],
    };
    assert_eq!(take_out(&mut bench, 7, 3), [refused(7, too_few)]);
    bench.step(Input::Heartbeat(Heartbeat { durable_below: Slot(9), ..wiped }));
    let proposed = Effect::ViewProposed { slot: Slot(9), view: of(5, 1, &[2]) };
    assert_eq!(take_out(&mut bench, 8, 3).first(), Some(&proposed));
}

#[test]
fn whoever_is_being_taken_out_is_no_copy_for_trimming() {
    let (mut bench, mine) = Bench::leading();
    bench.accepted_with(0, mine, &[], chosen(9));
    all_say(&mut bench, [9, 5, 9]);
    assert_eq!(trim_below(&mut bench), 5);
    take_out(&mut bench, 7, 3);
    // Past the bound two of three would do: but one of these leaves.
    all_say_past_the_bound(&mut bench, [9, 6, 9]);
    assert_eq!(trim_below(&mut bench), 6);
}

#[test]
fn a_leader_trims_nothing_before_it_knows_the_view_of_all_that_it_found_in_the_log() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(chosen(12));
    for replica in 1..=3 {
        bench.step(Input::Heartbeat(durable(replica, 9)));
    }
    bench.promise(0, promise(0, mine, 12, vec![], chosen(12)));
    bench.promise(1, promise(1, mine, 12, vec![], chosen(12)));
    assert_eq!(trim_below(&mut bench), 0, "a removal may be among what nobody has executed");
    let caught_up = Heartbeat { executed_below: Slot(12), ..durable(2, 9) };
    bench.step(Input::Heartbeat(caught_up));
    assert_eq!(trim_below(&mut bench), 9);
}

#[test]
fn a_leader_trims_beside_a_removal_that_it_found_and_that_is_never_chosen() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(chosen(9));
    let removal = Removal { view: of(5, 1, &[2]), replica: name(3) };
    let vote = Vote { value: Value::Removal(removal).encode(), ..vote(9, 1, "") };
    let marks = Marks { voted_below: Slot(10), ..chosen(9) };
    bench.promise(0, promise(0, mine, 9, vec![vote], marks));
    bench.promise(1, promise(1, mine, 9, vec![], chosen(9)));
    // Its disks are too full for a vote: nothing above is ever executed.
    all_say(&mut bench, [9, 5, 9]);
    assert_eq!(trim_below(&mut bench), 5);
    all_say_past_the_bound(&mut bench, [9, 6, 9]);
    assert_eq!(trim_below(&mut bench), 6, "of three only two stay, and both must have it");
}

#[test]
fn a_view_and_a_mark_of_two_heartbeats_do_not_say_what_is_in_the_log() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(chosen(12));
    for replica in 1..=3 {
        bench.step(Input::Heartbeat(durable(replica, 9)));
    }
    bench.promise(0, promise(0, mine, 12, vec![], chosen(12)));
    bench.promise(1, promise(1, mine, 12, vec![], chosen(12)));
    // It has executed that replica 3 is out, and what it said before comes after that.
    let without = Heartbeat { executed_below: Slot(12), ..beat_in(2, of(5, 1, &[2])) };
    bench.step(Input::Heartbeat(without));
    bench.step(Input::Heartbeat(durable(2, 9)));
    assert_eq!(trim_below(&mut bench), 0);
}

#[test]
fn whoever_was_taken_out_is_no_copy_where_what_is_told_of_the_view_goes_back() {
    let (mut bench, mine) = Bench::leading();
    bench.accepted_with(0, mine, &[], chosen(9));
    all_say(&mut bench, [9, 5, 9]);
    assert_eq!(trim_below(&mut bench), 5);
    take_out(&mut bench, 7, 3);
    let next = of(5, 1, &[2]);
    let told = bench.step(Input::Heartbeat(beat_in(2, next.clone())));
    assert_eq!(told, [reply(7, PrimaryReply::Executed(next))]);
    // All that comes from here on was sent before.
    all_say_past_the_bound(&mut bench, [9, 6, 9]);
    assert_eq!(trim_below(&mut bench), 6);
}

#[test]
fn one_that_is_out_is_not_taken_out_again_for_what_is_remembered_of_it() {
    let two = |replica| beat_in(replica, of(5, 1, &[2]));
    let without_third = || {
        let (mut bench, mine) = with_view();
        for replica in [1, 2] {
            assert_eq!(bench.step(Input::Heartbeat(two(replica))), []);
        }
        (bench, mine)
    };
    let (mut bench, mine) = without_third();
    let unknown = PrimaryRefused::Unknown { replica: name(3) };
    assert_eq!(take_out_again(&mut bench, 7, 3, Some(5)), [refused(7, unknown.clone())]);
    // Nobody has taken out one that left because it was away.
    assert_eq!(take_out(&mut bench, 8, 3), proposes(mine, 9, &of(6, 1, &[2]), 3));

    // Whoever has executed that is another one.
    let (mut bench, _) = without_third();
    bench.step(Input::Heartbeat(two(3)));
    bench.step(Input::Heartbeat(beat_in(2, of(6, 1, &[2, 3]))));
    bench.step(Input::Heartbeat(beat_in(1, of(6, 1, &[2, 3]))));
    assert_eq!(take_out_again(&mut bench, 9, 3, Some(6)), [refused(9, unknown)]);
    let proposed = Effect::ViewProposed { slot: Slot(10), view: of(7, 1, &[2]) };
    assert_eq!(take_out_again(&mut bench, 10, 3, Some(5)).first(), Some(&proposed));
}

#[test]
fn the_last_that_runs_stays() {
    let (mut bench, mine) = Bench::leading();
    bench.accepted_with(0, mine, &[], chosen(9));
    for replica in [1, 2] {
        bench.step(Input::Heartbeat(beat_in(replica, of(4, 1, &[2]))));
    }
    bench.wait_ms(700);
    let silent = PrimaryRefused::Unable { replica: name(1), why: Unable::Silent };
    assert_eq!(take_out(&mut bench, 7, 2), [refused(7, silent)]);
}

#[test]
fn nobody_is_taken_out_for_copies_of_those_that_are_silent() {
    let (mut bench, _) = with_view();
    for _ in 0..110 {
        bench.wait_ms(100);
        for replica in [1, 3] {
            bench.step(Input::Heartbeat(durable(replica, 9)));
        }
    }
    let too_few = PrimaryRefused::TooFewCopies {
        replica: name(3),
        trimmed_below: Slot(0),
        behind: vec![name(2)],
    };
    assert_eq!(take_out(&mut bench, 7, 3), [refused(7, too_few)]);
    let without_it = Effect::ViewProposed { slot: Slot(9), view: of(5, 1, &[3]) };
    assert_eq!(take_out(&mut bench, 8, 2).first(), Some(&without_it), "it is taken out first");
}
