//! When it tries to lead, and when it does not.

use coordinator::coordinator::Waiting;
use coordinator::effect::{Effect, Input, Reason, Timer};
use coordinator::membership::foreign::ForeignAcceptor;
use coordinator::membership::formation::FormationError;
use shared::ids::{AcceptorId, CoordinatorId, Draw, Instance, Slot};
use shared::message::{Marks, Nack, Phase, PrepareReply, Stranger, Watermarks};

use crate::support::*;

#[test]
fn it_starts_by_asking_every_acceptor() {
    let mut bench = Bench::new();
    assert_eq!(bench.step(Input::Started), all([polls(0), vec![arm(Timer::Poll, 100, 0)]]));
    bench.wait_ms(100);
    assert_eq!(bench.fire(Timer::Poll), all([polls(1), vec![arm(Timer::Poll, 100, 0)]]));
}

#[test]
fn a_cluster_forms_once_every_acceptor_gave_the_same_answer_twice() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    assert_eq!(bench.watermarks(0, 0, unformed(id(0))), []);
    assert_eq!(bench.watermarks(1, 0, unformed(id(1))), []);
    assert_eq!(bench.watermarks(2, 0, unformed(id(2))), polls(1));
    assert_eq!(bench.watermarks(0, 1, unformed(id(0))), []);
    assert_eq!(
        bench.watermarks(0, 1, unformed(id(0))),
        [],
        "a repeated answer is no second one of all"
    );
    assert_eq!(bench.watermarks(1, 1, unformed(id(1))), []);
    let formed = bench.watermarks(2, 1, unformed(id(2)));
    assert_eq!(formed, [Effect::RosterKnown(roster()), arm(Timer::Election, 0, 200)]);
}

#[test]
fn an_acceptor_that_was_wiped_between_the_two_answers_starts_the_forming_anew() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    for index in 0..3 {
        bench.watermarks(index, 0, unformed(id(index)));
    }
    assert_eq!(bench.watermarks(2, 1, unformed(AcceptorId(9))), polls(2));
    assert_eq!(bench.watermarks(0, 1, unformed(id(0))), []);
    assert_eq!(
        bench.watermarks(1, 1, unformed(id(1))),
        [],
        "these two came before the new acceptor was known to be there"
    );
    assert_eq!(bench.core.roster(), None);
    for index in 0..2 {
        bench.watermarks(index, 2, unformed(id(index)));
    }
    bench.watermarks(2, 2, unformed(AcceptorId(9)));
    assert_eq!(bench.core.roster(), Some(&formed([id(0), id(1), AcceptorId(9)])));
}

#[test]
fn a_fresh_cluster_elects_without_waiting_for_silence() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    for poll in 0..2 {
        (0..3).for_each(|index| drop(bench.watermarks(index, poll, unformed(id(index)))));
    }
    assert_eq!(bench.fire(Timer::Election), polls(2));
    assert_eq!(bench.watermarks(0, 2, unformed(id(0))), []);
    let mine = ballot(1, ME);
    assert_eq!(
        bench.watermarks(1, 2, unformed(id(1))),
        all([
            vec![phase_changed(Phase::Inactive, Phase::Phase1, mine, Reason::NoLeaderYet)],
            prepares(mine, 0),
            vec![arm(Timer::Prepare, 200, 0)],
        ])
    );
}

#[test]
fn it_takes_over_when_a_quorum_has_not_heard_from_the_leader_with_a_round_above_all_that_it_saw() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    let high = Watermarks { promised: Some(ballot(7, OTHER)), ..silent(1, chosen(40)) };
    assert_eq!(bench.watermarks(0, 0, silent(0, chosen(30))), []);
    assert_eq!(
        bench.watermarks(1, 0, high.clone()),
        [Effect::RosterKnown(roster()), arm(Timer::Election, 0, 200)]
    );
    assert_eq!(bench.fire(Timer::Election), polls(1));
    assert_eq!(bench.watermarks(0, 1, silent(0, chosen(30))), []);
    let mine = ballot(8, ME);
    assert_eq!(
        bench.watermarks(1, 1, high),
        all([
            vec![phase_changed(Phase::Inactive, Phase::Phase1, mine, Reason::LeaderSilent)],
            prepares(mine, 40),
            vec![arm(Timer::Prepare, 200, 0)],
        ])
    );
}

#[test]
fn it_takes_over_at_once_when_the_leader_has_ended() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    bench.watermarks(0, 0, led(0, ballot(3, OTHER)));
    bench.watermarks(1, 0, led(1, ballot(3, OTHER)));
    assert_eq!(bench.step(Input::Ended(Instance(9))), [], "it leads nothing");
    assert_eq!(bench.step(Input::Ended(Instance(OTHER.0))), [arm(Timer::Election, 0, 40)]);
    assert_eq!(bench.fire(Timer::Election), polls(1));
    assert_eq!(bench.watermarks(0, 1, led(0, ballot(3, OTHER))), []);
    let mine = ballot(4, ME);
    assert_eq!(
        bench.watermarks(1, 1, led(1, ballot(3, OTHER))),
        all([
            vec![phase_changed(Phase::Inactive, Phase::Phase1, mine, Reason::LeaderEnded)],
            prepares(mine, 0),
            vec![arm(Timer::Prepare, 200, 0)],
        ])
    );
}

#[test]
fn it_stands_when_the_leader_says_that_it_ends() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    bench.watermarks(0, 0, led(0, ballot(3, OTHER)));
    bench.watermarks(1, 0, led(1, ballot(3, OTHER)));
    assert_eq!(bench.step(Input::LeaderEnds(CoordinatorId(9))), [], "it leads nothing");
    assert_eq!(bench.step(Input::LeaderEnds(OTHER)), [arm(Timer::Election, 0, 40)]);
}

#[test]
fn of_a_leader_that_is_said_to_have_ended_and_leads_on_one_election_comes() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    bench.watermarks(0, 0, led(0, ballot(3, OTHER)));
    bench.watermarks(1, 0, led(1, ballot(3, OTHER)));
    bench.step(Input::Ended(Instance(OTHER.0)));
    bench.fire(Timer::Election);
    bench.watermarks(0, 1, led(0, ballot(3, OTHER)));
    bench.watermarks(1, 1, led(1, ballot(3, OTHER)));
    assert_eq!(bench.core.phase(), Phase::Phase1);
    let nack = PrepareReply::Nack(Nack { acceptor: id(1), promised: ballot(5, OTHER) });
    bench.step(Input::PrepareReply { from: at(1), ballot: ballot(4, ME), reply: nack });
    assert_eq!(bench.core.phase(), Phase::Inactive);
    for index in 0..3 {
        assert_eq!(bench.watermarks(index, 2, led(index, ballot(5, OTHER))), []);
    }
}

#[test]
fn it_stands_by_while_all_but_a_minority_hears_a_leader() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    bench.watermarks(0, 0, silent(0, Marks::default()));
    assert_eq!(bench.watermarks(1, 0, led(1, ballot(1, OTHER))), [Effect::RosterKnown(roster())]);
    assert_eq!(bench.watermarks(2, 0, led(2, ballot(1, OTHER))), []);
    assert_eq!(bench.core.phase(), Phase::Inactive);
}

#[test]
fn an_answer_that_comes_late_does_not_replace_that_to_a_later_poll() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    assert_eq!(bench.fire(Timer::Poll), all([polls(1), vec![arm(Timer::Poll, 100, 0)]]));
    bench.watermarks(0, 0, silent(0, Marks::default()));
    bench.watermarks(1, 1, led(1, ballot(1, OTHER)));
    assert_eq!(
        bench.watermarks(1, 0, silent(1, Marks::default())),
        [],
        "it has heard of a leader since"
    );
    assert_eq!(bench.watermarks(2, 1, led(2, ballot(1, OTHER))), []);
}

#[test]
fn an_acceptor_that_answers_at_two_places_has_one_voice() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    bench.watermarks(0, 0, silent(0, Marks::default()));
    bench.watermarks(2, 0, led(2, ballot(1, OTHER)));
    assert_eq!(bench.watermarks(1, 0, silent(0, Marks::default())), []);
}

#[test]
fn a_candidate_stands_back_when_another_was_faster() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    bench.watermarks(0, 0, silent(0, Marks::default()));
    bench.watermarks(1, 0, silent(1, Marks::default()));
    assert_eq!(bench.fire(Timer::Election), polls(1));
    assert_eq!(bench.watermarks(0, 1, led(0, ballot(2, OTHER))), []);
    assert_eq!(bench.watermarks(1, 1, led(1, ballot(2, OTHER))), []);
    assert_eq!(bench.watermarks(2, 1, silent(2, Marks::default())), []);
    assert_eq!(bench.core.phase(), Phase::Inactive);
    assert_eq!(bench.fire(Timer::Election), [], "it is no candidate any more");
}

#[test]
fn answers_from_before_a_pause_start_no_election() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    bench.watermarks(0, 0, silent(0, Marks::default()));
    bench.watermarks(1, 0, silent(1, Marks::default()));
    assert_eq!(bench.fire(Timer::Election), polls(1));
    bench.wait_ms(10_000);
    assert_eq!(bench.watermarks(0, 1, silent(0, Marks::default())), []);
    assert_eq!(bench.watermarks(1, 1, silent(1, Marks::default())), []);
    assert_eq!(bench.core.phase(), Phase::Inactive);
}

#[test]
fn a_phase_1_without_progress_is_given_up_and_others_get_a_chance() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(Marks::default());
    bench.wait_ms(200);
    assert_eq!(
        bench.fire(Timer::Prepare),
        all([prepares(mine, 0), vec![arm(Timer::Prepare, 200, 0)]])
    );
    bench.wait_ms(200);
    assert_eq!(
        bench.fire(Timer::Prepare),
        all([prepares(mine, 0), vec![arm(Timer::Prepare, 100, 0)]])
    );
    bench.wait_ms(100);
    assert_eq!(
        bench.fire(Timer::Prepare),
        all([
            vec![
                phase_changed(Phase::Phase1, Phase::Inactive, mine, Reason::Phase1TimedOut),
                arm(Timer::Election, 400, 400)
            ],
            polls(2),
            vec![arm(Timer::Poll, 100, 0)],
        ])
    );
    for index in 0..3 {
        assert_eq!(
            bench.watermarks(index, 2, silent(index, Marks::default())),
            [],
            "it stands back"
        );
    }
}

#[test]
fn a_coordinator_that_failed_tries_again_with_a_higher_round() {
    let mut bench = Bench::new();
    let first = bench.stand_for_election(Marks::default());
    bench.wait_ms(500);
    bench.fire(Timer::Prepare);
    bench.wait_ms(500);
    bench.fire(Timer::Election);
    bench.fire(Timer::Poll);
    let second = bench.win_attention(3, Marks::default());
    assert_eq!((first, second), (ballot(2, ME), ballot(3, ME)));
}

#[test]
fn a_wiped_acceptor_is_named_once_and_never_counted() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    bench.watermarks(0, 0, silent(0, Marks::default()));
    bench.watermarks(1, 0, led(1, ballot(1, OTHER)));
    let foreign = ForeignAcceptor { acceptor: AcceptorId(9), roster: None };
    assert_eq!(
        bench.watermarks(2, 0, unformed(AcceptorId(9))),
        [Effect::ForeignAcceptor { at: at(2), foreign }]
    );
    assert_eq!(bench.watermarks(2, 0, unformed(AcceptorId(9))), []);
    assert_eq!(
        bench.core.phase(),
        Phase::Inactive,
        "one silent member and a stranger are no quorum"
    );
}

#[test]
fn the_marks_and_ballots_of_a_stranger_are_not_believed() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(Marks::default());
    let other = formed([7, 8, 9].map(AcceptorId));
    let foreign = ForeignAcceptor { acceptor: AcceptorId(9), roster: Some(other.clone()) };
    let refusal =
        PrepareReply::Stranger(Stranger { acceptor: AcceptorId(9), roster: Some(other.clone()) });
    let refused = bench.step(Input::PrepareReply { from: at(2), ballot: mine, reply: refusal });
    assert_eq!(refused, [Effect::ForeignAcceptor { at: at(2), foreign }]);
    let reply = |acceptor| Watermarks {
        acceptor,
        roster: Some(other.clone()),
        draw: Draw(1),
        promised: Some(ballot(99, OTHER)),
        marks: chosen(99),
        leader_silent_ms: 0,
    };
    assert_eq!(bench.watermarks(2, 1, reply(AcceptorId(9))), []);
    // Of this cluster by its identity, but of another by its word.
    let foreign = ForeignAcceptor { acceptor: id(2), roster: Some(other.clone()) };
    assert_eq!(
        bench.watermarks(2, 1, reply(id(2))),
        [Effect::ForeignAcceptor { at: at(2), foreign }]
    );
    assert_eq!((bench.core.ballot(), bench.core.chosen_below()), (Some(mine), Slot(0)));
}

#[test]
fn acceptors_of_different_clusters_are_reported_and_waited_for() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    let other = formed([7, 8, 9].map(AcceptorId));
    let stranger = Watermarks { roster: Some(other.clone()), ..unformed(AcceptorId(7)) };
    assert_eq!(bench.watermarks(0, 0, silent(0, Marks::default())), []);
    let error = FormationError::TwoClusters(roster(), other);
    assert_eq!(bench.watermarks(1, 0, stranger.clone()), [Effect::NotACluster(error.clone())]);
    assert_eq!(bench.watermarks(1, 0, stranger), []);
    assert_eq!(bench.core.waiting_for(bench.now), Some(Waiting::Cluster(error)));
}

#[test]
fn it_is_of_use_while_it_hears_a_quorum() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.core.waiting_for(bench.now),
        Some(Waiting::Answers(vec![at(0), at(1), at(2)]))
    );
    bench.step(Input::Started);
    bench.watermarks(0, 0, led(0, ballot(1, OTHER)));
    assert_eq!(bench.core.waiting_for(bench.now), Some(Waiting::Answers(vec![at(1), at(2)])));
    bench.watermarks(1, 0, led(1, ballot(1, OTHER)));
    assert_eq!(bench.core.waiting_for(bench.now), None);
    bench.wait_ms(2_000);
    assert_eq!(bench.core.waiting_for(bench.now), Some(Waiting::Quorum { heard: 0, needed: 2 }));
}
