use acceptor::acceptor::Malformed;
use shared::bounds::TooFar;

use super::*;

fn value_of(slot: u64, bytes: usize) -> SlotValue {
    SlotValue { slot: Slot(slot), value: Bytes::from(vec![1; bytes]) }
}

/// Room for four votes of 872 bytes (each costs 128 more), and for two more below the
/// highest vote.
fn small() -> Acceptor {
    let mut acceptor = Acceptor::new(
        ME,
        Draw(2),
        Limits { vote_bytes: 4_000, recovery_bytes: 2_000, ..Limits::default() },
    );
    acceptor.replay(Record::Joined(roster()));
    acceptor.replay(Record::Promised(ballot(3)));
    acceptor
}

fn full() -> AcceptReply {
    let limit = "vote_bytes: 4000 bytes of untrimmed votes, 4000 are in use".to_owned();
    AcceptReply::Full(Full { acceptor: ME, limit })
}

/// Has voted in slots 0, 1, 2 and 5, and has no room for a slot above.
fn small_and_full() -> Acceptor {
    let mut acceptor = small();
    let proposals: Vec<SlotValue> = [0, 1, 2, 5].map(|slot| value_of(slot, 872)).into();
    let _ = acceptor.accept(&accept(3, &proposals)).unwrap();
    acceptor
}

#[test]
fn acceptor_without_room_refuses_new_slots_and_names_the_limit() {
    let mut acceptor = small_and_full();
    assert_decision(acceptor.accept(&accept(3, &[value_of(6, 1)])).unwrap(), &[], full());
    assert_eq!(acceptor.marks(), marks(6, 0, 0));
}

#[test]
fn acceptor_without_room_still_repeats_and_replaces_its_votes() {
    let mut acceptor = small_and_full();
    let again = acceptor.accept(&accept(3, &[value_of(0, 872)])).unwrap();
    assert_decision(again, &[], accepted(&acceptor, 3, &[0], marks(6, 0, 0)));
    let anew = acceptor.accept(&accept(4, &[value_of(0, 872)])).unwrap();
    assert_decision(
        anew,
        &[voted(4, &[value_of(0, 872)], 0)],
        accepted(&acceptor, 4, &[0], marks(6, 0, 0)),
    );
}

/// A new leader fills the holes below the highest vote; without that nothing above is
/// ever executed, trimmed and freed.
#[test]
fn acceptor_without_room_still_lets_holes_be_filled_up_to_a_limit() {
    let mut acceptor = small_and_full();
    let holes = [value_of(3, 872), value_of(4, 873)];
    let decision = acceptor.accept(&accept(3, &holes)).unwrap();
    assert_decision(
        decision,
        &[voted(3, &holes[..1], 0)],
        accepted(&acceptor, 3, &[3], marks(6, 0, 0)),
    );
}

#[test]
fn acceptor_takes_what_it_has_room_for() {
    let mut acceptor = small();
    let proposals: Vec<SlotValue> = (0..6).map(|slot| value_of(slot, 872)).collect();
    let decision = acceptor.accept(&accept(3, &proposals)).unwrap();
    assert_decision(
        decision,
        &[voted(3, &proposals[..4], 0)],
        accepted(&acceptor, 3, &[0, 1, 2, 3], marks(4, 0, 0)),
    );
}

#[test]
fn acceptor_without_room_still_learns_promises_and_trims() {
    let mut acceptor = small_and_full();
    let refused = Accept { chosen_below: Slot(3), ..accept(4, &[value_of(6, 872)]) };
    assert_decision(acceptor.accept(&refused).unwrap(), &[voted(4, &[], 3)], full());
    let with_trim =
        Accept { chosen_below: Slot(3), trim_below: Slot(3), ..accept(4, &[value_of(6, 872)]) };
    let trimmed = Record::Trimmed { below: Slot(3), voted_below: Slot(6), chosen_below: Slot(3) };
    let decision = acceptor.accept(&with_trim).unwrap();
    assert_decision(
        decision,
        &[trimmed, voted(4, &[value_of(6, 872)], 3)],
        accepted(&acceptor, 4, &[6], marks(7, 3, 3)),
    );
    assert_eq!(acceptor.vote_bytes(), 2_000);
    acceptor.check_invariants();
}

#[track_caller]
fn assert_malformed(accept: &Accept, expected: Malformed) {
    let mut acceptor = member();
    assert_eq!(acceptor.accept(accept).unwrap_err(), AcceptError::Malformed(expected));
    assert_eq!((acceptor.promised(), acceptor.marks()), (Some(ballot(0)), marks(0, 0, 0)));
}

#[test]
fn slots_ascend_and_are_named_once() {
    let unordered = |slot, before| Malformed::Unordered { slot: Slot(slot), before: Slot(before) };
    assert_malformed(&accept(3, &[at(1, "a"), at(1, "a")]), unordered(1, 1));
    assert_malformed(&accept(3, &[at(0, "a"), at(2, "a"), at(1, "a")]), unordered(1, 2));
}

/// One message could otherwise leave a log with 2^63 holes to fill: the highest voted
/// slot never goes back.
#[test]
fn a_slot_far_above_what_is_chosen_is_refused() {
    let too_far = |slot, limit| Malformed::SlotTooFar { slot: Slot(slot), limit: Slot(limit) };
    assert_malformed(&accept(3, &[at(65_536, "a")]), too_far(65_536, 65_536));
    let far = Accept { chosen_below: Slot(100), ..accept(3, &[at(65_635, "a")]) };
    assert!(member().accept(&far).is_ok());
}

#[test]
fn more_than_a_message_may_hold_is_refused() {
    let proposals: Vec<SlotValue> = (0..4_097).map(|slot| at(slot, "")).collect();
    assert_malformed(
        &accept(3, &proposals),
        Malformed::TooManyProposals { got: 4_097, limit: 4_096 },
    );
    let (got, limit) = ((8 << 20) + 1, 8 << 20);
    assert_malformed(
        &accept(3, &[value_of(0, got)]),
        Malformed::ValueTooLarge { slot: Slot(0), got, limit },
    );
}

#[test]
fn what_is_not_chosen_is_not_trimmed() {
    let (trim_below, chosen_below) = (Slot(3), Slot(2));
    let accept = Accept { trim_below, chosen_below, ..accept(3, &[]) };
    assert_malformed(&accept, Malformed::TrimAboveChosen { trim_below, chosen_below });
}

/// An acceptor that has promised round 5.
fn promised_5() -> Acceptor {
    let mut acceptor = member();
    let _ = acceptor.prepare(&prepare(5, 0)).unwrap();
    acceptor
}

/// One `Prepare` of the last round would leave no ballot for anybody after it.
#[test]
fn a_ballot_far_above_the_promise_is_refused_in_both_phases() {
    let ahead = 1 << 32;
    let too_far = |got| Malformed::TooFar(TooFar { what: "round", got, known: 5, ahead });
    for got in [5 + ahead + 1, (1 << 63) - 1, u64::MAX] {
        let mut acceptor = promised_5();
        assert_eq!(acceptor.prepare(&prepare(got, 0)).unwrap_err(), too_far(got));
        assert_eq!(acceptor.accept(&accept(got, &[])).unwrap_err(), too_far(got).into());
        assert_eq!(acceptor.promised(), Some(ballot(5)));
    }
    assert!(promised_5().prepare(&prepare(5 + ahead, 0)).is_ok());
    assert!(promised_5().accept(&accept(5 + ahead, &[])).is_ok());
    let (what, known) = ("slot", 0);
    let from = TooFar { what, got: u64::MAX, known, ahead: (1 << 63) - 1 };
    let refused = promised_5().prepare(&prepare(6, u64::MAX)).unwrap_err();
    assert_eq!(refused, Malformed::TooFar(from));
}

#[test]
fn a_chosen_watermark_far_above_the_known_one_is_refused() {
    let said = |chosen_below| Accept { chosen_below: Slot(chosen_below), ..accept(3, &[]) };
    let ahead = 1 << 40;
    for got in [ahead + 1, u64::MAX] {
        let too_far = TooFar { what: "chosen_below", got, known: 0, ahead };
        assert_malformed(&said(got), Malformed::TooFar(too_far));
    }
    assert!(member().accept(&said(ahead)).is_ok());
}
