use super::*;

fn trim(round: u64, proposals: &[SlotValue], chosen_below: u64, trim_below: u64) -> Accept {
    Accept {
        chosen_below: Slot(chosen_below),
        trim_below: Slot(trim_below),
        ..accept(round, proposals)
    }
}

fn trimmed(below: u64, voted_below: u64, chosen_below: u64) -> Record {
    Record::Trimmed {
        below: Slot(below),
        voted_below: Slot(voted_below),
        chosen_below: Slot(chosen_below),
    }
}

fn letters() -> Accept {
    accept(3, &[at(0, "a"), at(1, "b"), at(2, "c"), at(3, "d")])
}

#[test]
fn acceptor_drops_the_votes_that_the_leader_says_are_safe_elsewhere() {
    let mut acceptor = member_after(&[letters()]);
    let decision = acceptor.accept(&trim(3, &[], 3, 2)).unwrap();
    assert_decision(decision, &[trimmed(2, 4, 3)], accepted(&acceptor, 3, &[], marks(4, 3, 2)));
    assert_eq!(acceptor.votes(Slot(0)), (vec![vote(2, 3, "c"), vote(3, 3, "d")], None));
}

/// A trimmed slot is never "no vote": the promise says below which slot there are none to
/// report.
#[test]
fn a_promise_says_what_is_trimmed() {
    let mut acceptor = member_after(&[letters(), trim(3, &[], 3, 2)]);
    let votes = vec![vote(2, 3, "c"), vote(3, 3, "d")];
    assert_decision(
        acceptor.prepare(&prepare(4, 0)).unwrap(),
        &[Record::Promised(ballot(4))],
        promise(4, 0, votes, marks(4, 3, 2)),
    );
}

#[test]
fn the_highest_voted_slot_outlives_its_vote() {
    let mut acceptor = member_after(&[letters(), trim(3, &[], 4, 4)]);
    assert_eq!((acceptor.votes(Slot(0)), acceptor.marks()), ((vec![], None), marks(4, 4, 4)));
    assert_decision(
        acceptor.prepare(&prepare(4, 0)).unwrap(),
        &[Record::Promised(ballot(4))],
        promise(4, 0, vec![], marks(4, 4, 4)),
    );
}

#[test]
fn a_proposal_for_a_trimmed_slot_is_left_out() {
    let mut acceptor = member_after(&[letters(), trim(3, &[], 2, 2)]);
    let decision = acceptor.accept(&trim(4, &[at(0, "x"), at(1, "y"), at(2, "c")], 2, 2)).unwrap();
    assert_decision(
        decision,
        &[voted(4, &[at(2, "c")], 2)],
        accepted(&acceptor, 4, &[2], marks(4, 2, 2)),
    );
}

#[test]
fn a_message_may_trim_and_propose_at_once() {
    let mut acceptor = member_after(&[letters()]);
    let decision = acceptor.accept(&trim(3, &[at(1, "b"), at(4, "e")], 3, 2)).unwrap();
    assert_decision(
        decision,
        &[trimmed(2, 4, 3), voted(3, &[at(4, "e")], 3)],
        accepted(&acceptor, 3, &[4], marks(5, 3, 2)),
    );
}

#[test]
fn trimming_never_goes_back() {
    let mut acceptor = member_after(&[letters(), trim(3, &[], 3, 2)]);
    let decision = acceptor.accept(&trim(3, &[], 3, 1)).unwrap();
    assert_decision(decision, &[], accepted(&acceptor, 3, &[], marks(4, 3, 2)));
}

/// It was away while the slots were voted in elsewhere: it has never voted there, and
/// does not say that it has.
#[test]
fn acceptor_may_be_told_to_trim_what_it_never_had() {
    let mut acceptor = member();
    let decision = acceptor.accept(&trim(3, &[at(11, "z")], 11, 10)).unwrap();
    let records = [trimmed(10, 0, 11), voted(3, &[at(11, "z")], 11)];
    assert_decision(decision, &records, accepted(&acceptor, 3, &[11], marks(12, 11, 10)));
}
