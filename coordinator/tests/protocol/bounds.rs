//! No number from outside moves one of ours by more than a bound, and what one says alone
//! does not outlast its silence.

use coordinator::effect::{Effect, Input, Timer};
use shared::bounds::TooFar;
use shared::ids::{Ballot, Epoch, Slot};
use shared::message::{Heartbeat, Marks, Phase, Watermarks};

use crate::support::*;

const ROUNDS: u64 = 1 << 32;

/// A member that says to have promised this round.
fn promised(index: usize, round: u64) -> Watermarks {
    Watermarks { promised: Some(ballot(round, OTHER)), ..silent(index, Marks::default()) }
}

fn refused(at_index: usize, what: &'static str, got: u64, known: u64, ahead: u64) -> Effect {
    Effect::ClaimRefused { at: at(at_index), why: TooFar { what, got, known, ahead } }
}

/// Answers of all three to poll `first`, and of two to the one after it, by which it
/// becomes a candidate; the ballot that it then takes.
fn stands(bench: &mut Bench, first: u64, of: impl Fn(usize) -> Watermarks) -> Ballot {
    for index in 0..3 {
        bench.watermarks(index, first, of(index));
    }
    bench.fire(Timer::Election);
    for index in 0..2 {
        bench.watermarks(index, first + 1, of(index));
    }
    assert_eq!(bench.core.phase(), Phase::Phase1);
    bench.core.ballot().unwrap()
}

#[test]
fn a_ballot_that_one_acceptor_alone_claims_is_not_gone_beyond() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    let of = |index| promised(index, if index == 2 { 1 << 62 } else { 4 });
    assert_eq!(stands(&mut bench, 0, of), ballot(5, ME));
}

#[test]
fn what_is_refused_is_said_once_with_the_number_and_the_bound() {
    let (mut bench, mine) = Bench::leading();
    let far = ballot(1 << 62, OTHER);
    let said = bench.nack(2, mine, far);
    assert_eq!(said, [refused(2, "round", 1 << 62, 2, ROUNDS)]);
    assert_eq!(bench.nack(2, mine, far), []);
    assert_eq!(bench.core.ballot(), Some(mine), "it leads on");
}

#[test]
fn a_ballot_that_enough_acceptors_claim_is_gone_beyond_however_high() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    let of = |index| promised(index, if index == 2 { 4 } else { 1 << 50 });
    assert_eq!(stands(&mut bench, 0, of), ballot((1 << 50) + 1, ME));
}

#[test]
fn a_ballot_near_the_bound_is_gone_beyond_in_two_steps_that_no_acceptor_refuses() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    let high = 4 + ROUNDS;
    let of = |index| promised(index, if index == 2 { high } else { 4 });
    let first = stands(&mut bench, 0, of);
    assert_eq!(first, ballot(4 + ROUNDS / 2 + 1, ME));
    bench.step(Input::PrepareReply {
        from: at(2),
        ballot: first,
        reply: shared::message::PrepareReply::Nack(shared::message::Nack {
            acceptor: id(2),
            promised: ballot(high, OTHER),
        }),
    });
    assert_eq!(bench.core.phase(), Phase::Inactive, "it is outbid");
    let of = |index| promised(index, if index == 2 { high } else { first.round });
    assert_eq!(stands(&mut bench, 2, of), ballot(high + 1, ME));
}

#[test]
fn what_an_acceptor_says_to_be_chosen_far_above_what_is_known_is_not_believed() {
    let ahead = 1 << 40;
    let far = chosen(3 + ahead + 1);
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(chosen(3));
    let why = refused(2, "chosen_below", far.chosen_below.0, 3, ahead);
    assert_eq!(bench.watermarks(2, 1, silent(2, far)), [why]);
    assert_eq!(bench.promise(2, promise(2, mine, 3, Vec::new(), far)), [], "it is not counted");
    bench.promise(0, promise(0, mine, 3, Vec::new(), chosen(3)));
    assert_eq!(bench.core.phase(), Phase::Phase1);
    bench.promise(1, promise(1, mine, 3, Vec::new(), chosen(3)));
    bench.accepted_with(2, mine, &[], far);
    let status = bench.core.status(bench.now);
    assert_eq!((status.phase, status.chosen_below), (Phase::Phase2, Slot(3)));
    assert_eq!(status.next_slot, Some(Slot(3)));
}

/// Three replicas in view 1, of which the first is primary.
fn in_a_view() -> Bench {
    let (mut bench, mine) = Bench::leading();
    let said = beats(&mut bench, 20, |replica| heartbeat(replica, None));
    assert_eq!(proposed(&said).len(), 1);
    for index in 0..2 {
        bench.accepted(index, mine, &[0]);
    }
    beats(&mut bench, 1, |replica| heartbeat(replica, Some(view(1, 1, &[2, 3]))));
    assert_eq!(bench.core.status(bench.now).epoch, Epoch(1));
    bench
}

fn forged(epoch: u64) -> Heartbeat {
    heartbeat(9, Some(view(epoch, 9, &[1, 2, 3])))
}

/// The first replica falls silent: whether another is primary in the view of this epoch.
fn fails_over(bench: &mut Bench, epoch: u64) -> bool {
    let mine = bench.core.ballot().unwrap();
    (0..200).any(|_| {
        bench.wait_ms(100);
        let mut effects = Vec::new();
        let executed_below = bench.core.status(bench.now).chosen_below;
        for replica in 2..=3 {
            let of = heartbeat(replica, Some(view(1, 1, &[2, 3])));
            let beat = Heartbeat { executed_below, ..of };
            effects.extend(bench.step(Input::Heartbeat(beat)));
        }
        effects.extend(bench.fire(Timer::Lead));
        let next = bench.core.status(bench.now).next_slot.unwrap();
        let slots: Vec<u64> = (0..next.0).collect();
        for index in 0..3 {
            bench.accepted(index, mine, &slots);
        }
        proposed(&effects).iter().any(|it| it.epoch.0 == epoch && it.primary != name(1))
    })
}

#[test]
fn a_forged_heartbeat_of_an_epoch_that_nobody_can_reach_counts_for_nothing() {
    let mut bench = in_a_view();
    let refused = bench.core.check_heartbeat(&forged(1 << 62)).unwrap_err();
    let expected = TooFar { what: "epoch", got: 1 << 62, known: 1, ahead: 1 << 32 };
    assert_eq!(refused, expected);
    assert_eq!(bench.step(Input::Heartbeat(forged(1 << 62))), []);
    assert_eq!(bench.core.status(bench.now).epoch, Epoch(1));
    assert!(fails_over(&mut bench, 2));
}

#[test]
fn an_epoch_that_one_replica_alone_tells_of_is_forgotten_with_its_silence() {
    let mut bench = in_a_view();
    bench.step(Input::Heartbeat(forged(1 << 20)));
    assert_eq!(bench.core.status(bench.now).epoch, Epoch(1 << 20));
    assert!(fails_over(&mut bench, 2));
    assert_eq!(bench.core.status(bench.now).epoch, Epoch(1));
}

#[test]
fn an_epoch_that_several_tell_of_is_forgotten_with_their_silence_where_all_was_executed_without() {
    let mut bench = in_a_view();
    for replica in [8, 9] {
        let of_it = Some(view(1 << 20, 9, &[1, 2, 3]));
        bench.step(Input::Heartbeat(heartbeat(replica, of_it)));
    }
    assert_eq!(bench.core.status(bench.now).epoch, Epoch(1 << 20));
    assert!(fails_over(&mut bench, 2));
    assert_eq!(bench.core.status(bench.now).epoch, Epoch(1));
}

#[test]
fn a_view_whose_members_are_silent_holds_for_as_long_as_nobody_has_executed_all_without_it() {
    let mut bench = in_a_view();
    let mine = bench.core.ballot().unwrap();
    let executed = |replica, below, of| Heartbeat {
        executed_below: Slot(below),
        ..heartbeat(replica, Some(of))
    };
    // The first two have gone on to a view that the third has not heard of yet.
    for index in 0..2 {
        bench.accepted_with(index, mine, &[], chosen(2));
    }
    for replica in 1..=2 {
        bench.step(Input::Heartbeat(executed(replica, 2, view(2, 1, &[2]))));
    }
    for _ in 0..200 {
        bench.wait_ms(100);
        bench.step(Input::Heartbeat(executed(3, 1, view(1, 1, &[2, 3]))));
        bench.fire(Timer::Lead);
        for index in 0..3 {
            bench.accepted(index, mine, &[]);
        }
    }
    assert_eq!(bench.core.status(bench.now).epoch, Epoch(2));
}

#[test]
fn slots_in_a_heartbeat_that_nobody_can_have_executed_count_for_nothing() {
    let mut bench = in_a_view();
    let far = Slot(1 << 50);
    let of = |heartbeat: Heartbeat| bench.core.check_heartbeat(&heartbeat).map_err(|why| why.what);
    assert_eq!(of(Heartbeat { executed_below: far, ..heartbeat(2, None) }), Err("executed_below"));
    assert_eq!(of(Heartbeat { durable_below: far, ..heartbeat(2, None) }), Err("durable_below"));
    assert_eq!(of(Heartbeat { nudge_below: Some(far), ..heartbeat(2, None) }), Err("nudge_below"));
    assert_eq!(of(heartbeat(2, None)), Ok(()));
    let nudge = Heartbeat { nudge_below: Some(Slot(1 << 39)), ..heartbeat(2, None) };
    for _ in 0..100 {
        bench.step(Input::Heartbeat(nudge.clone()));
    }
    let status = bench.core.status(bench.now);
    assert!(status.next_slot <= Some(Slot(1 + (1 << 16))), "{:?}", status.next_slot);
}
