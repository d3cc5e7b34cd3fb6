//! How a generation that has ended is carried to the next one.

use shared::bounds::{SLOTS_AHEAD, TooFar};

use super::*;

#[test]
fn the_next_generation_is_opened_only_once_a_quorum_is_sealed_and_then_prepared() {
    let (mut bench, mine) = stopped();
    assert_eq!(bench.core.chosen_below(), Slot(0), "the stop is no slot of the log");
    assert_eq!(says(&mut bench, 0, sealed(id(0), &succession(0))), []);
    assert_eq!(says(&mut bench, 0, sealed(id(0), &succession(0))), [], "one is no quorum");
    let open = SuccessionRequest::Open(succession(0));
    let opens: Vec<Effect> = [0, 1, 3].into_iter().map(|to| tell(to, open.clone())).collect();
    assert_eq!(says(&mut bench, 2, sealed(id(2), &succession(0))), opens);
    assert_eq!(says(&mut bench, 3, opened(NEW, &succession(0))), []);
    let next = ballot(mine.round + 1, ME);
    let message = shared::message::Prepare {
        roster: succession(0).next().roster.clone(),
        ballot: next,
        from: Slot(0),
    };
    let prepares = [0, 1, 3].into_iter();
    let prepares = prepares.map(|to| Effect::Prepare { to: at(to), message: message.clone() });
    let expected = all([
        vec![
            phase_changed(Phase::Phase2, Phase::Inactive, mine, Reason::Succeeded),
            Effect::Succeeded(succession(0)),
            phase_changed(Phase::Inactive, Phase::Phase1, next, Reason::Succeeded),
        ],
        prepares.collect(),
        vec![arm(Timer::Prepare, 200, 0)],
    ]);
    assert_eq!(says(&mut bench, 0, opened(id(0), &succession(0))), expected);

    let marks = Marks { voted_below: Slot(1), ..Marks::default() };
    bench.promise(0, promise(0, next, 0, Vec::new(), marks));
    let mut from_new = promise(3, next, 0, Vec::new(), marks);
    from_new.acceptor = NEW;
    let effects = bench.promise(3, from_new);
    let seated = succession(0).next().clone();
    assert!(effects.contains(&changed(1, seated)), "{effects:?}");
    let fills = |effect: &Effect| {
        matches!(effect, Effect::Accept { message, .. }
            if message.proposals == [slot_value(0, noop())])
    };
    assert!(effects.iter().any(fills), "the slot of the stop is filled at once: {effects:?}");
    bench.core.check_invariants();
}

#[test]
fn one_opened_acceptor_shows_that_a_quorum_was_sealed() {
    let (mut bench, _) = stopped();
    let effects = says(&mut bench, 3, opened(NEW, &succession(0)));
    let open = SuccessionRequest::Open(succession(0));
    assert_eq!(effects, [0, 1, 3].map(|to| tell(to, open.clone())));
}

#[test]
fn one_that_stands_by_learns_of_a_later_generation_and_carries_it_to_its_end() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    for index in 0..2 {
        bench.watermarks(index, 0, led(index, ballot(1, OTHER)));
    }
    let later = Watermarks {
        roster: Some(succession(0).next().roster.clone()),
        ..led(0, ballot(1, OTHER))
    };
    bench.fire(Timer::Poll);
    assert_eq!(bench.watermarks(0, 1, later), [tell(0, SuccessionRequest::Tell)]);
    let effects = says(&mut bench, 0, sealed(id(0), &succession(0)));
    assert_eq!(effects[2..], seals());
    says(&mut bench, 1, sealed(id(1), &succession(0)));
    says(&mut bench, 1, opened(id(1), &succession(0)));
    says(&mut bench, 3, opened(NEW, &succession(0)));
    assert_eq!(bench.core.roster(), Some(&succession(0).next().roster));
    assert_eq!(bench.core.phase(), Phase::Inactive);
    assert_eq!(bench.core.present().collect::<Vec<_>>(), [at(0), at(1), at(3)]);
}

#[test]
fn a_coordinator_that_starts_believes_no_single_acceptor_of_a_later_generation() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    let later = |index| Watermarks {
        roster: Some(succession(0).next().roster.clone()),
        ..led(index, ballot(1, OTHER))
    };
    assert_eq!(bench.watermarks(0, 0, later(0)), [tell(0, SuccessionRequest::Tell)]);
    assert_eq!(says(&mut bench, 0, opened(id(0), &succession(0))), []);
    bench.watermarks(1, 0, later(1));
    assert_ne!(says(&mut bench, 0, opened(id(0), &succession(0))), []);
}

#[test]
fn a_new_leader_proposes_a_stop_again_that_a_quorum_may_have_accepted() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(Marks::default());
    let stop = Vote { slot: Slot(0), ballot: ballot(1, OTHER), value: succession(0).encode_stop() };
    // A vote of an older ballot in a later slot was never chosen.
    bench.promise(0, promise(0, mine, 0, vec![stop], voted(1)));
    let late = Vote { slot: Slot(1), ballot: ballot(0, OTHER), value: value("late") };
    let effects = bench.promise(1, promise(1, mine, 0, vec![late], voted(2)));
    let again = slot_value(0, succession(0).encode_stop());
    let expected = accepts(&accept(mine, vec![again], 0));
    assert_eq!(only_accepts(effects), expected);
}

#[test]
fn a_stop_below_a_vote_of_a_higher_ballot_was_not_chosen_and_is_a_hole() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(Marks::default());
    let stop = Vote { slot: Slot(0), ballot: ballot(1, OTHER), value: succession(0).encode_stop() };
    bench.promise(0, promise(0, mine, 0, vec![stop], voted(1)));
    let higher = Ballot { round: 1, coordinator: shared::ids::CoordinatorId(0xcf) };
    let later = Vote { slot: Slot(1), ballot: higher, value: value("later") };
    let effects = bench.promise(1, promise(1, mine, 0, vec![later], voted(2)));
    let values = vec![slot_value(0, noop()), slot_value(1, value("later"))];
    let expected = accepts(&accept(mine, values, 0));
    assert_eq!(only_accepts(effects), expected);
}

#[test]
fn one_that_hears_of_a_generation_from_another_service_carries_it_to_its_end() {
    let (mut bench, mine) = leading();
    let effects = bench.step(Input::SuccessionTold(succession(0)));
    assert_eq!(effects[2..], seals());
    assert_eq!(bench.step(Input::SuccessionTold(succession(0))), [], "once");
    // Others have carried it on, and those that have left are stopped: so is one that stays.
    let open = SuccessionRequest::Open(succession(0));
    let opens = [0, 1, 3].map(|to| tell(to, open.clone()));
    assert_eq!(says(&mut bench, 3, opened(NEW, &succession(0))), opens);
    let effects = says(&mut bench, 1, opened(id(1), &succession(0)));
    let ended = phase_changed(Phase::Phase2, Phase::Inactive, mine, Reason::Succeeded);
    assert_eq!(effects[..2], [ended, Effect::Succeeded(succession(0))]);
}

#[test]
fn no_ballot_is_used_twice_though_what_vouched_for_its_round_has_left() {
    let high = 1 << 40;
    let claims = |index| Watermarks {
        promised: Some(ballot(high, OTHER)),
        ..silent(index, Marks::default())
    };
    let mut bench = Bench::new();
    bench.step(Input::Started);
    for poll in 0..2 {
        (0..3).for_each(|index| drop(bench.watermarks(index, poll, claims(index))));
        bench.fire(Timer::Election);
    }
    let mine = bench.core.ballot().unwrap();
    assert_eq!(mine, ballot(high + 1, ME));
    bench.promise(0, promise(0, mine, 0, Vec::new(), Marks::default()));
    bench.promise(1, promise(1, mine, 0, Vec::new(), Marks::default()));
    assert_eq!(bench.core.phase(), Phase::Phase2);
    bench.step(Input::SuccessionTold(succession(0)));
    says(&mut bench, 0, opened(id(0), &succession(0)));
    says(&mut bench, 3, opened(NEW, &succession(0)));
    assert_eq!(bench.core.phase(), Phase::Phase1);
    assert_eq!(bench.core.ballot(), Some(ballot(high + 2, ME)));
}

#[test]
fn a_stray_acceptor_of_a_later_generation_does_not_hold_up_a_cluster_that_is_there() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    let members = [0xbad, 0xbae, 0xbaf].map(AcceptorId).to_vec();
    let elsewhere = Roster::new(ClusterId(0xbad), Generation(3), members).unwrap();
    let stray = Watermarks {
        acceptor: AcceptorId(0xbad),
        roster: Some(elsewhere),
        ..led(2, ballot(1, OTHER))
    };
    bench.watermarks(2, 0, stray);
    for index in 0..2 {
        bench.watermarks(index, 0, led(index, ballot(1, OTHER)));
    }
    assert_eq!(bench.core.roster(), Some(&roster()));
}

/// See `shared::bounds`. One acceptor alone was made to say so, or lies.
#[test]
fn a_generation_that_begins_out_of_reach_is_not_believed() {
    let (mut bench, _) = leading();
    let reach = SLOTS_AHEAD;
    let forged = succession(reach + 1);
    let why = TooFar { what: "begin", got: reach + 1, known: 0, ahead: SLOTS_AHEAD };
    let refused = [Effect::ClaimRefused { at: at(1), why }];
    assert_eq!(says(&mut bench, 1, sealed(id(1), &forged)), refused);
    assert_eq!(bench.step(Input::SuccessionTold(forged)), []);
    let known = Effect::SuccessionKnown(succession(reach));
    assert!(says(&mut bench, 1, sealed(id(1), &succession(reach))).contains(&known));
}
