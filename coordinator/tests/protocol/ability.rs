//! Who can execute: a primary that cannot is replaced, and who is gone leaves the view.

use std::time::Duration;

use coordinator::config::Config;
use coordinator::effect::Input;
use shared::ids::Slot;
use shared::message::{Heartbeat, Storage};

use crate::support::*;

#[test]
fn a_primary_whose_disk_is_full_is_replaced_by_one_that_was_able_for_long() {
    let (mut bench, _) = Bench::leading();
    let says = |full: &'static [u64]| {
        move |replica| {
            let storage = if full.contains(&replica) { Storage::Full } else { Storage::Writable };
            Heartbeat { storage, ..heartbeat(replica, Some(view(4, 1, &[2, 3]))) }
        }
    };
    assert_eq!(proposed(&beats(&mut bench, 30, says(&[]))), []);
    assert_eq!(proposed(&beats(&mut bench, 10, says(&[1]))), [], "it may pass");
    assert_eq!(proposed(&beats(&mut bench, 1, says(&[1]))), [view(5, 2, &[1, 3])]);
}

#[test]
fn while_all_disks_are_full_the_primary_stays() {
    let (mut bench, _) = Bench::leading();
    let says = |storage| {
        move |replica| Heartbeat { storage, ..heartbeat(replica, Some(view(4, 1, &[2, 3]))) }
    };
    assert_eq!(proposed(&beats(&mut bench, 30, says(Storage::Writable))), []);
    assert_eq!(proposed(&beats(&mut bench, 100, says(Storage::Full))), []);
    let but_one = |replica| {
        let storage = if replica == 3 { Storage::Writable } else { Storage::Full };
        says(storage)(replica)
    };
    assert_eq!(proposed(&beats(&mut bench, 20, but_one)), [], "its disk may be full soon again");
    assert_eq!(proposed(&beats(&mut bench, 1, but_one)), [view(5, 3, &[1, 2])]);
}

#[test]
fn a_primary_that_executes_nothing_while_chosen_slots_wait_is_replaced() {
    let (mut bench, mine) = Bench::leading();
    let says = |hung: u64, executed| {
        move |replica| {
            let executed_below = Slot(if replica == 1 { hung } else { executed });
            Heartbeat { executed_below, ..heartbeat(replica, Some(view(4, 1, &[2, 3]))) }
        }
    };
    assert_eq!(proposed(&beats(&mut bench, 50, says(0, 0))), [], "nothing is chosen");
    bench.accepted_with(0, mine, &[], chosen(10));
    assert_eq!(proposed(&beats(&mut bench, 29, says(0, 10))), []);
    assert_eq!(proposed(&beats(&mut bench, 1, says(1, 10))), [], "it executes, slowly");
    assert_eq!(proposed(&beats(&mut bench, 29, says(1, 10))), []);
    assert_eq!(proposed(&beats(&mut bench, 1, says(1, 10))), [view(5, 2, &[1, 3])]);
}

#[test]
fn who_has_executed_less_than_a_hanging_primary_does_not_take_over() {
    let (mut bench, mine) = Bench::leading();
    bench.accepted_with(0, mine, &[], chosen(100));
    let mut slot = 0;
    for _ in 0..60 {
        slot += 1;
        let behind = move |replica| {
            let executed_below = Slot(if replica == 1 { 90 } else { slot });
            Heartbeat { executed_below, ..heartbeat(replica, Some(view(4, 1, &[2, 3]))) }
        };
        assert_eq!(proposed(&beats(&mut bench, 1, behind)), [], "at {slot}");
    }
}

#[test]
fn a_replica_that_is_silent_for_long_leaves_the_view_and_rejoins_by_itself() {
    let (mut bench, _) = Bench::leading_with(Config {
        replica_gone_after: Duration::from_secs(5),
        ..Config::new(3)
    });
    let all = |replica| heartbeat(replica, Some(view(4, 1, &[2, 3])));
    assert_eq!(proposed(&beats(&mut bench, 1, all)), []);
    let without_three = |bench: &mut Bench, rounds| {
        let mut effects = Vec::new();
        for _ in 0..rounds {
            bench.wait_ms(100);
            effects.extend(bench.step(Input::Heartbeat(all(1))));
            effects.extend(bench.step(Input::Heartbeat(all(2))));
        }
        proposed(&effects)
    };
    assert_eq!(without_three(&mut bench, 49), []);
    assert_eq!(without_three(&mut bench, 1), [view(5, 1, &[2])]);
    let later = |replica| heartbeat(replica, Some(view(5, 1, &[2])));
    assert_eq!(proposed(&beats(&mut bench, 1, later)), [view(6, 1, &[2, 3])]);
}
