//! How leadership ends: at once when a higher ballot shows, and never because of an old
//! message or a pause.

use coordinator::effect::{Effect, Input, Reason, RequestId, Timer};
use shared::ids::{AcceptorId, Ballot, Slot};
use shared::message::{AcceptReply, Marks, Nack, Phase, ProposalReply};

use crate::support::*;

fn unresolved(request: u64) -> Effect {
    Effect::ProposalReply { id: RequestId(request), reply: ProposalReply::Unresolved }
}

fn stands_by(mine: Ballot, reason: Reason, waiting: &[u64], poll: u64) -> Vec<Effect> {
    let mut effects = vec![phase_changed(Phase::Phase2, Phase::Inactive, mine, reason)];
    effects.extend(waiting.iter().copied().map(unresolved));
    all([effects, polls(poll), vec![arm(Timer::Poll, 100, 0)]])
}

#[test]
fn a_higher_ballot_ends_leadership_at_once_and_leaves_what_was_in_flight_unresolved() {
    let (mut bench, mine) = Bench::leading();
    bench.propose(1, 0, "a");
    bench.propose(2, 1, "b");
    let higher = ballot(mine.round, OTHER);
    assert_eq!(bench.nack(2, mine, higher), stands_by(mine, Reason::Outbid(higher), &[1, 2], 2));
    assert_eq!(bench.accepted(0, mine, &[0, 1]), []);
    assert_eq!(bench.accepted(1, mine, &[0, 1]), [], "it counts for nobody any more");
    assert_eq!(bench.fire(Timer::Lead), []);
    assert_eq!(
        bench.propose(3, 0, "a"),
        [Effect::ProposalReply { id: RequestId(3), reply: ProposalReply::NotLeading }]
    );
}

#[test]
fn a_late_nack_of_an_older_ballot_does_not_harm_a_newer_one() {
    let (mut bench, first) = Bench::leading();
    let higher = ballot(5, OTHER);
    bench.nack(2, first, higher);
    bench.wait_ms(600);
    bench.fire(Timer::Poll);
    let second = bench.win_attention(3, Marks::default());
    assert_eq!(second, ballot(6, ME));
    for index in 0..2 {
        bench.promise(index, promise(index, second, 0, vec![], Marks::default()));
    }
    assert_eq!(bench.core.phase(), Phase::Phase2);
    assert_eq!(bench.nack(1, first, higher), [], "the answer to a request of the old ballot");
    assert_eq!(bench.nack(1, second, higher), [], "a lower promise, whatever it answers");
    assert_eq!((bench.core.phase(), bench.core.ballot()), (Phase::Phase2, Some(second)));
}

#[test]
fn a_nack_of_an_acceptor_outside_the_roster_ends_nothing() {
    let (mut bench, mine) = Bench::leading();
    let reply = AcceptReply::Nack(Nack { acceptor: AcceptorId(9), promised: ballot(99, OTHER) });
    bench.step(Input::AcceptReply { from: at(2), ballot: mine, reply });
    assert_eq!(bench.core.phase(), Phase::Phase2);
}

#[test]
fn an_answer_to_an_old_poll_that_shows_a_higher_promise_ends_leadership_too() {
    let (mut bench, mine) = Bench::leading();
    let higher = ballot(mine.round + 1, OTHER);
    assert_eq!(
        bench.watermarks(2, 1, led(2, higher)),
        stands_by(mine, Reason::Outbid(higher), &[], 2)
    );
}

#[test]
fn a_leader_that_no_quorum_answers_gives_way() {
    let (mut bench, mine) = Bench::leading();
    bench.propose(1, 0, "a");
    for _ in 0..10 {
        bench.wait_ms(100);
        bench.accepted(0, mine, &[]);
        bench.fire(Timer::Lead);
        assert_eq!(bench.core.phase(), Phase::Phase2);
    }
    bench.wait_ms(100);
    let gives_way = vec![
        phase_changed(Phase::Phase2, Phase::Inactive, mine, Reason::QuorumSilent),
        unresolved(1),
        arm(Timer::Election, 400, 400),
    ];
    assert_eq!(bench.fire(Timer::Lead), all([gives_way, polls(2), vec![arm(Timer::Poll, 100, 0)]]));
}

#[test]
fn a_pause_costs_no_leadership_that_nobody_else_has_taken() {
    let (mut bench, mine) = Bench::leading();
    bench.accepted(0, mine, &[]);
    bench.accepted(1, mine, &[]);
    bench.wait_ms(60_000);
    let alive = accept(mine, vec![], 0);
    assert_eq!(bench.fire(Timer::Lead), all([accepts(&alive), vec![arm(Timer::Lead, 100, 0)]]));
    assert_eq!(bench.core.phase(), Phase::Phase2);
}

#[test]
fn a_leader_that_was_paused_while_another_took_over_proposes_in_vain() {
    let (mut bench, mine) = Bench::leading();
    bench.wait_ms(60_000);
    bench.propose(1, 0, "a");
    let higher = ballot(mine.round + 3, OTHER);
    assert_eq!(bench.nack(0, mine, higher), stands_by(mine, Reason::Outbid(higher), &[1], 2));
    assert_eq!(bench.core.chosen_below(), Slot(0));
}

#[test]
fn time_that_goes_back_is_taken_to_stand_still() {
    let (mut bench, mine) = Bench::leading();
    bench.wait_ms(1_000);
    bench.accepted(0, mine, &[]);
    bench.now = std::time::Duration::ZERO;
    bench.propose(1, 0, "a");
    bench.wait_ms(1_000);
    let alive = accept(mine, vec![], 0);
    assert_eq!(
        bench.fire(Timer::Lead),
        all([accepts(&alive), vec![arm(Timer::Lead, 100, 0)]]),
        "it was sent just now"
    );
}

/// Fires so many signs of life, each answered by a quorum, and gives back what the last
/// one did.
fn signs_of_life(bench: &mut Bench, mine: Ballot, count: usize, chosen_below: u64) -> Vec<Effect> {
    let mut effects = Vec::new();
    for _ in 0..count {
        assert_eq!(bench.core.phase(), Phase::Phase2);
        bench.wait_ms(100);
        for index in 0..2 {
            bench.accepted_with(
                index,
                mine,
                &[],
                Marks { chosen_below: Slot(chosen_below), ..Marks::default() },
            );
        }
        effects = bench.fire(Timer::Lead);
    }
    effects
}

/// Acceptors hear it, so that nobody else would ever stand; but nobody who has something
/// to propose reaches it.
#[test]
fn a_leader_that_hears_no_replica_gives_way_to_one_that_may() {
    let (mut bench, mine) = Bench::leading();
    bench.propose(1, 0, "a");
    signs_of_life(&mut bench, mine, 20, 1);
    bench.propose(2, 1, "b");
    let gives_way = vec![
        phase_changed(Phase::Phase2, Phase::Inactive, mine, Reason::ReplicasSilent),
        unresolved(2),
        arm(Timer::Election, 900, 900),
    ];
    assert_eq!(
        signs_of_life(&mut bench, mine, 1, 1),
        all([gives_way, polls(2), vec![arm(Timer::Poll, 100, 0)]])
    );
}

/// It has waited for one of them, not for the end of a time-out.
#[test]
fn a_replica_that_is_back_ends_the_wait_of_a_leader_that_heard_none() {
    let (mut bench, mine) = Bench::leading();
    bench.propose(1, 0, "a");
    signs_of_life(&mut bench, mine, 21, 1);
    assert_eq!(bench.core.phase(), Phase::Inactive);
    for index in 0..2 {
        assert_eq!(
            bench.watermarks(index, 2, silent(index, Marks::default())),
            [],
            "nobody is there to be led"
        );
    }
    bench.step(Input::Heartbeat(heartbeat(3, None)));
    assert_eq!(bench.watermarks(2, 2, silent(2, Marks::default())), [arm(Timer::Election, 0, 200)]);
}

/// All replicas may be away for long. When they are back, somebody must soon lead.
#[test]
fn leaders_that_heard_no_replica_do_not_wait_longer_from_time_to_time() {
    let (mut bench, mut mine) = Bench::leading();
    bench.propose(1, 0, "a");
    let marks = Marks { voted_below: Slot(1), chosen_below: Slot(1), ..Marks::default() };
    for poll in [2, 4, 6] {
        let gives_way = signs_of_life(&mut bench, mine, 21, 1);
        assert!(gives_way.contains(&arm(Timer::Election, 900, 900)), "{gives_way:?}");
        bench.wait_ms(900);
        bench.fire(Timer::Election);
        mine = bench.win_attention(poll, marks);
        for index in 0..2 {
            bench.promise(index, promise(index, mine, 1, Vec::new(), marks));
        }
    }
}

#[test]
fn a_leader_that_hears_some_replica_or_of_a_log_without_any_stays() {
    let (mut bench, mine) = Bench::leading();
    signs_of_life(&mut bench, mine, 50, 0);
    assert_eq!(bench.core.phase(), Phase::Phase2, "replicas may not have come yet");
    let (mut bench, mine) = Bench::leading();
    for _ in 0..5 {
        signs_of_life(&mut bench, mine, 20, 1);
        bench.step(Input::Heartbeat(heartbeat(3, None)));
    }
    signs_of_life(&mut bench, mine, 20, 1);
    assert_eq!(bench.core.phase(), Phase::Phase2);
}
