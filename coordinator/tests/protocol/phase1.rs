//! Phase 1, by Lamport, *Paxos Made Simple*, sections 2.2 and 3.

use bytes::Bytes;
use coordinator::effect::{Effect, Input, Reason, Timer};
use shared::ids::{AcceptorId, Ballot, Slot};
use shared::message::{Marks, Nack, Phase, Prepare, PrepareReply, Promise};

use crate::support::*;

/// What a coordinator does that has heard from a quorum: it proposes these values, first
/// of all.
fn leads(mine: Ballot, start: u64, values: Vec<Bytes>) -> Vec<Effect> {
    let proposals = (start..).zip(values).map(|(slot, value)| slot_value(slot, value)).collect();
    all([
        vec![phase_changed(Phase::Phase1, Phase::Phase2, mine, Reason::Promised)],
        accepts(&accept(mine, proposals, start)),
        vec![arm(Timer::Lead, 100, 0)],
    ])
}

#[test]
fn phase_2_begins_when_a_majority_has_promised() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(Marks::default());
    assert_eq!(bench.promise(0, promise(0, mine, 0, vec![], Marks::default())), []);
    assert_eq!(
        bench.promise(2, promise(2, mine, 0, vec![], Marks::default())),
        leads(mine, 0, vec![])
    );
}

#[test]
fn one_acceptor_counts_once_however_often_it_answers() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(Marks::default());
    for index in [0, 0, 1] {
        assert_eq!(bench.promise(index, promise(0, mine, 0, vec![], Marks::default())), []);
    }
    assert_eq!(bench.core.phase(), Phase::Phase1);
}

#[test]
fn a_promise_counts_for_its_own_ballot_only() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(Marks::default());
    bench.promise(0, promise(0, mine, 0, vec![], Marks::default()));
    let older = Ballot { round: mine.round - 1, ..mine };
    assert_eq!(bench.promise(1, promise(1, older, 0, vec![], Marks::default())), []);
    for (request, promised) in [(older, mine), (mine, older)] {
        let reply = PrepareReply::Promise(promise(1, promised, 0, vec![], Marks::default()));
        assert_eq!(bench.step(Input::PrepareReply { from: at(1), ballot: request, reply }), []);
    }
    assert_eq!(bench.core.phase(), Phase::Phase1);
}

#[test]
fn a_promise_of_an_acceptor_outside_the_roster_does_not_count() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(Marks::default());
    bench.promise(0, promise(0, mine, 0, vec![], Marks::default()));
    bench.promise(
        1,
        Promise { acceptor: AcceptorId(9), ..promise(1, mine, 0, vec![], Marks::default()) },
    );
    assert_eq!(bench.core.phase(), Phase::Phase1);
}

#[test]
fn the_value_proposed_is_that_of_the_highest_numbered_proposal_among_the_responses() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(voted(1));
    assert_eq!(mine, ballot(2, ME));
    bench.promise(0, promise(0, mine, 0, vec![vote(0, 1, "new")], voted(1)));
    let lower = shared::message::Vote { ballot: ballot(1, ME), ..vote(0, 1, "old") };
    assert!(lower.ballot < ballot(1, OTHER));
    assert_eq!(
        bench.promise(1, promise(1, mine, 0, vec![lower], voted(1))),
        leads(mine, 0, vec![value("new")])
    );
}

#[test]
fn a_slot_of_which_no_response_reports_a_proposal_is_filled_with_a_noop() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(voted(4));
    bench.promise(0, promise(0, mine, 0, vec![vote(1, 1, "one")], voted(2)));
    let led = bench.promise(1, promise(1, mine, 0, vec![vote(3, 1, "three")], voted(4)));
    assert_eq!(led, leads(mine, 0, vec![noop(), value("one"), noop(), value("three")]));
}

#[test]
fn nothing_is_proposed_below_what_any_acceptor_of_the_quorum_knows_to_be_chosen_or_trimmed() {
    let trimmed = Marks { trimmed_below: Slot(5), ..voted(6) };
    for marks in [Marks { chosen_below: Slot(5), ..voted(6) }, trimmed] {
        let mut bench = Bench::new();
        let mine = bench.stand_for_election(voted(1));
        bench.promise(
            0,
            promise(0, mine, 0, vec![vote(4, 1, "chosen"), vote(5, 1, "open")], voted(6)),
        );
        let led = bench.promise(1, promise(1, mine, 0, vec![vote(5, 1, "open")], marks));
        assert_eq!(led, leads(mine, 5, vec![value("open")]));
    }
}

#[test]
fn new_values_go_after_the_highest_vote_even_where_it_was_trimmed() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(voted(1));
    let trimmed = Marks { voted_below: Slot(9), chosen_below: Slot(9), trimmed_below: Slot(9) };
    bench.promise(0, promise(0, mine, 0, vec![], trimmed));
    assert_eq!(
        bench.promise(1, promise(1, mine, 0, vec![], Marks::default())),
        leads(mine, 9, vec![])
    );
    assert_eq!(
        bench.propose(1, 0, "new"),
        accepts(&accept(mine, vec![slot_value(9, value("new"))], 9))
    );
}

#[test]
fn phase_2_waits_for_every_page_of_a_quorum() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(voted(3));
    bench.promise(0, promise(0, mine, 0, vec![], Marks::default()));
    let first =
        Promise { next: Some(Slot(2)), ..promise(1, mine, 0, vec![vote(1, 1, "one")], voted(3)) };
    let ask = Effect::Prepare {
        to: at(1),
        message: Prepare { roster: roster(), ballot: mine, from: Slot(2) },
    };
    assert_eq!(bench.promise(1, first.clone()), [ask]);
    assert_eq!(bench.core.phase(), Phase::Phase1, "a page is missing");
    assert_eq!(bench.promise(1, first), [], "the same page again");
    let led = bench.promise(1, promise(1, mine, 2, vec![vote(2, 1, "two")], voted(3)));
    assert_eq!(led, leads(mine, 0, vec![noop(), value("one"), value("two")]));
}

#[test]
fn an_acceptor_of_which_a_page_is_missing_is_not_part_of_a_quorum() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(voted(3));
    bench.promise(
        1,
        Promise { next: Some(Slot(2)), ..promise(1, mine, 0, vec![vote(1, 1, "one")], voted(3)) },
    );
    assert_eq!(bench.promise(0, promise(0, mine, 0, vec![], Marks::default())), []);
    assert_eq!(bench.core.phase(), Phase::Phase1);
}

#[test]
fn a_page_that_was_not_answered_is_asked_for_again() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(voted(3));
    bench.promise(0, promise(0, mine, 0, vec![], Marks::default()));
    bench.promise(
        1,
        Promise { next: Some(Slot(2)), ..promise(1, mine, 0, vec![vote(1, 1, "one")], voted(3)) },
    );
    bench.wait_ms(200);
    let ask = |to, from| Effect::Prepare {
        to: at(to),
        message: Prepare { roster: roster(), ballot: mine, from: Slot(from) },
    };
    assert_eq!(bench.fire(Timer::Prepare), [ask(1, 2), ask(2, 0), arm(Timer::Prepare, 200, 0)]);
}

#[test]
fn pages_of_two_acceptors_are_not_mixed() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(voted(3));
    bench.promise(0, promise(0, mine, 0, vec![], Marks::default()));
    bench.promise(
        1,
        Promise { next: Some(Slot(2)), ..promise(1, mine, 0, vec![vote(1, 1, "one")], voted(3)) },
    );
    let rest_of_another = promise(2, mine, 2, vec![vote(2, 1, "two")], voted(3));
    assert_eq!(
        bench.promise(1, rest_of_another),
        [],
        "acceptor 3 answers at the place of acceptor 2: it has sent no first page"
    );
    assert_eq!(bench.core.phase(), Phase::Phase1);
}

#[test]
fn a_damaged_page_is_not_believed() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(voted(3));
    bench.promise(0, promise(0, mine, 0, vec![], Marks::default()));
    let above =
        shared::message::Vote { ballot: ballot(9, OTHER), ..vote(1, 1, "above the promise") };
    for damaged in [
        promise(1, mine, 0, vec![vote(2, 1, "b"), vote(1, 1, "a")], voted(3)),
        promise(1, mine, 0, vec![vote(5, 1, "above voted_below")], voted(3)),
        promise(1, mine, 0, vec![above], voted(3)),
        promise(1, mine, 0, vec![], voted(1 << 40)),
        Promise { next: Some(Slot(0)), ..promise(1, mine, 0, vec![], voted(3)) },
        Promise {
            next: Some(Slot(2)),
            ..promise(1, mine, 0, vec![vote(2, 1, "next page's")], voted(3))
        },
    ] {
        assert_eq!(bench.promise(1, damaged.clone()), [], "{damaged:?}");
    }
    assert_eq!(bench.core.phase(), Phase::Phase1);
}

#[test]
fn a_higher_promise_ends_phase_1_at_once() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(Marks::default());
    let higher = ballot(9, OTHER);
    let reply = PrepareReply::Nack(Nack { acceptor: id(2), promised: higher });
    assert_eq!(
        bench.step(Input::PrepareReply { from: at(2), ballot: mine, reply }),
        all([
            vec![phase_changed(Phase::Phase1, Phase::Inactive, mine, Reason::Outbid(higher))],
            polls(2),
            vec![arm(Timer::Poll, 100, 0)],
        ])
    );
    assert_eq!(bench.promise(0, promise(0, mine, 0, vec![], Marks::default())), []);
    assert_eq!(bench.promise(1, promise(1, mine, 0, vec![], Marks::default())), []);
    assert_eq!(bench.core.phase(), Phase::Inactive);
}
