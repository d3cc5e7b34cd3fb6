use super::*;

/// "If an acceptor receives a prepare request with number n greater than that of any
/// prepare request to which it has already responded, then it responds …" (2.2, phase 1b)
#[test]
fn acceptor_promises_a_higher_ballot() {
    let mut acceptor = member();
    assert_decision(
        acceptor.prepare(&prepare(3, 0)).unwrap(),
        &[Record::Promised(ballot(3))],
        promise(3, 0, vec![], marks(0, 0, 0)),
    );
    assert_eq!(acceptor.promised(), Some(ballot(3)));
}

/// "… a promise not to accept any more proposals numbered less than n …" (2.2, phase 1b):
/// nor to promise one.
#[test]
fn acceptor_refuses_a_ballot_below_its_promise() {
    let mut acceptor = member();
    let _ = acceptor.prepare(&prepare(5, 0)).unwrap();
    assert_decision(acceptor.prepare(&prepare(4, 0)).unwrap(), &[], PrepareReply::Nack(nack(5)));
    assert_eq!(acceptor.promised(), Some(ballot(5)));
}

/// Different proposers choose their numbers from disjoint sets (2.5): two coordinators in
/// one round are ordered all the same.
#[test]
fn acceptor_tells_coordinators_of_one_round_apart() {
    let mut acceptor = member();
    let _ = acceptor.prepare(&prepare(5, 0)).unwrap();
    let lower = Ballot { round: 5, coordinator: CoordinatorId(6) };
    let reply = acceptor.prepare(&Prepare { ballot: lower, ..prepare(5, 0) }).unwrap();
    assert_decision(reply, &[], PrepareReply::Nack(nack(5)));
    let higher = Ballot { round: 5, coordinator: CoordinatorId(8) };
    let reply = acceptor.prepare(&Prepare { ballot: higher, ..prepare(5, 0) }).unwrap();
    assert_eq!(reply.records, [Record::Promised(higher)]);
}

/// Messages "can be duplicated" (2.1): the same promise again, and nothing to write for
/// it.
#[test]
fn acceptor_repeats_its_promise_without_a_new_record() {
    let mut acceptor = member();
    let _ = acceptor.prepare(&prepare(3, 0)).unwrap();
    assert_decision(
        acceptor.prepare(&prepare(3, 0)).unwrap(),
        &[],
        promise(3, 0, vec![], marks(0, 0, 0)),
    );
}

/// "… and with the highest-numbered proposal (if any) that it has accepted" (2.2, phase
/// 1b), for every slot asked for.
#[test]
fn a_promise_reports_the_latest_vote_of_every_slot_asked_for() {
    let old = accept(1, &[at(0, "a"), at(1, "b"), at(4, "c")]);
    let new = accept(2, &[at(1, "B")]);
    let mut acceptor = member_after(&[old, new]);
    let votes = vec![vote(1, 2, "B"), vote(4, 1, "c")];
    assert_decision(
        acceptor.prepare(&prepare(3, 1)).unwrap(),
        &[Record::Promised(ballot(3))],
        promise(3, 1, votes, marks(5, 0, 0)),
    );
}

#[test]
fn a_promise_is_paged_by_the_number_of_votes() {
    let proposals: Vec<SlotValue> = (0..300).map(|slot| at(2 * slot, "v")).collect();
    let mut acceptor = member_after(&[accept(1, &proposals)]);
    let votes = (0..300).map(|slot| vote(2 * slot, 1, "v"));
    let page = |from, votes, next| {
        let (acceptor, ballot, marks) = (ME, ballot(3), marks(599, 0, 0));
        PrepareReply::Promise(Promise { acceptor, ballot, from, votes, next, marks })
    };
    let first = page(Slot(0), votes.clone().take(256).collect(), Some(Slot(512)));
    assert_decision(
        acceptor.prepare(&prepare(3, 0)).unwrap(),
        &[Record::Promised(ballot(3))],
        first,
    );
    let second = page(Slot(512), votes.skip(256).collect(), None);
    assert_decision(acceptor.prepare(&prepare(3, 512)).unwrap(), &[], second);
}

#[test]
fn a_promise_is_paged_by_bytes_with_at_least_one_vote_a_page() {
    let large =
        |slot| SlotValue { slot: Slot(slot), value: Bytes::from(vec![slot as u8; 5 << 20]) };
    let acceptor = member_after(&[accept(1, &[large(0), large(1), at(2, "small")])]);
    let large = |slot| {
        vec![Vote {
            slot: Slot(slot),
            ballot: ballot(1),
            value: Bytes::from(vec![slot as u8; 5 << 20]),
        }]
    };
    assert_eq!(acceptor.votes(Slot(0)), (large(0), Some(Slot(1))));
    assert_eq!(acceptor.votes(Slot(1)), (large(1), Some(Slot(2))));
    assert_eq!(acceptor.votes(Slot(2)), (vec![vote(2, 1, "small")], None));
    assert_eq!(acceptor.votes(Slot(3)), (vec![], None));
}

/// Each page asserts the promise anew: a page after somebody else's promise would report
/// votes that are no longer all.
#[test]
fn a_later_page_is_refused_once_a_higher_ballot_is_promised() {
    let mut acceptor = member_after(&[accept(1, &[at(0, "a")])]);
    let _ = acceptor.prepare(&prepare(3, 0)).unwrap();
    let _ = acceptor.prepare(&prepare(4, 0)).unwrap();
    assert_decision(acceptor.prepare(&prepare(3, 1)).unwrap(), &[], PrepareReply::Nack(nack(4)));
}
