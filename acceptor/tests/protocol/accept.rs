use super::*;

/// "If the acceptor receives an accept request for a proposal numbered n, it accepts the
/// proposal …" (2.2, phase 2b)
#[test]
fn acceptor_votes_at_the_ballot_it_promised() {
    let mut acceptor = member();
    let _ = acceptor.prepare(&prepare(3, 0)).unwrap();
    let proposals = [at(0, "a"), at(1, "b")];
    let decision = acceptor.accept(&accept(3, &proposals)).unwrap();
    assert_decision(
        decision,
        &[voted(3, &proposals, 0)],
        accepted(&acceptor, 3, &[0, 1], marks(2, 0, 0)),
    );
    assert_eq!(acceptor.votes(Slot(0)), (vec![vote(0, 3, "a"), vote(1, 3, "b")], None));
}

/// "… unless it has already responded to a prepare request having a number greater than
/// n." (2.2, phase 2b)
#[test]
fn acceptor_refuses_a_proposal_below_its_promise() {
    let mut acceptor = member();
    let _ = acceptor.prepare(&prepare(3, 0)).unwrap();
    let late = Accept { chosen_below: Slot(9), trim_below: Slot(9), ..accept(2, &[at(0, "a")]) };
    assert_decision(acceptor.accept(&late).unwrap(), &[], AcceptReply::Nack(nack(3)));
    assert_eq!((acceptor.votes(Slot(0)), acceptor.marks()), ((vec![], None), marks(0, 0, 0)));
}

/// An acceptor "can accept a proposal numbered n iff it has not responded to a prepare
/// request having a number greater than n" (2.2, P1a): it need not have promised n.
/// Having accepted it, it has.
#[test]
fn a_vote_at_a_higher_ballot_is_a_promise_of_it() {
    let mut acceptor = member();
    let decision = acceptor.accept(&accept(4, &[at(0, "a")])).unwrap();
    assert_decision(
        decision,
        &[voted(4, &[at(0, "a")], 0)],
        accepted(&acceptor, 4, &[0], marks(1, 0, 0)),
    );
    assert_eq!(acceptor.promised(), Some(ballot(4)));
    assert_decision(acceptor.prepare(&prepare(3, 0)).unwrap(), &[], PrepareReply::Nack(nack(4)));
    assert_decision(
        acceptor.accept(&accept(3, &[at(1, "b")])).unwrap(),
        &[],
        AcceptReply::Nack(nack(4)),
    );
}

#[test]
fn a_sign_of_life_at_a_higher_ballot_is_a_promise_too() {
    let mut acceptor = member();
    let decision = acceptor.accept(&accept(4, &[])).unwrap();
    assert_decision(decision, &[voted(4, &[], 0)], accepted(&acceptor, 4, &[], marks(0, 0, 0)));
    assert_eq!(acceptor.promised(), Some(ballot(4)));
}

/// "An acceptor needs to remember only the highest-numbered proposal that it has ever
/// accepted" (2.2), per slot.
#[test]
fn a_vote_at_a_higher_ballot_takes_the_place_of_the_older_one() {
    let mut acceptor = member_after(&[accept(1, &[at(0, "a"), at(1, "b")])]);
    let decision = acceptor.accept(&accept(2, &[at(0, "A")])).unwrap();
    assert_decision(
        decision,
        &[voted(2, &[at(0, "A")], 0)],
        accepted(&acceptor, 2, &[0], marks(2, 0, 0)),
    );
    assert_eq!(acceptor.votes(Slot(0)), (vec![vote(0, 2, "A"), vote(1, 1, "b")], None));
}

/// Messages "can be duplicated" (2.1): the same answer again, and nothing to write for
/// it.
#[test]
fn a_repeated_proposal_is_accepted_again_without_a_new_record() {
    let proposals = [at(0, "a"), at(1, "b")];
    let mut acceptor = member_after(&[accept(3, &proposals)]);
    let decision = acceptor.accept(&accept(3, &proposals)).unwrap();
    assert_decision(decision, &[], accepted(&acceptor, 3, &[0, 1], marks(2, 0, 0)));
}

#[test]
fn only_the_new_votes_of_a_message_are_recorded() {
    let mut acceptor = member_after(&[accept(3, &[at(0, "a")])]);
    let decision = acceptor.accept(&accept(3, &[at(0, "a"), at(1, "b")])).unwrap();
    assert_decision(
        decision,
        &[voted(3, &[at(1, "b")], 0)],
        accepted(&acceptor, 3, &[0, 1], marks(2, 0, 0)),
    );
}

/// The same value at a higher ballot is another vote: only votes of one ballot make a
/// quorum.
#[test]
fn the_same_value_at_a_higher_ballot_is_recorded_anew() {
    let mut acceptor = member_after(&[accept(3, &[at(0, "a")])]);
    let decision = acceptor.accept(&accept(4, &[at(0, "a")])).unwrap();
    assert_decision(
        decision,
        &[voted(4, &[at(0, "a")], 0)],
        accepted(&acceptor, 4, &[0], marks(1, 0, 0)),
    );
}

/// "Different proposals have different numbers" (2.2): a leader that breaks this is told
/// so, and nothing is overwritten.
#[test]
fn two_values_for_a_slot_at_one_ballot_are_refused_and_nothing_is_done() {
    let mut acceptor = member_after(&[accept(3, &[at(1, "b")])]);
    let broken = Accept { chosen_below: Slot(1), ..accept(3, &[at(0, "a"), at(1, "other")]) };
    let digest = |text: &str| blake3::hash(text.as_bytes()).to_hex().to_string();
    let (held, offered) = (digest("b"), digest("other"));
    let expected = AcceptError::Conflict { slot: Slot(1), ballot: ballot(3), held, offered };
    assert_eq!(acceptor.accept(&broken).unwrap_err(), expected);
    assert_eq!(
        (acceptor.votes(Slot(0)), acceptor.marks()),
        ((vec![vote(1, 3, "b")], None), marks(2, 0, 0))
    );
}

#[test]
fn what_the_leader_says_is_chosen_is_recorded_once() {
    let mut acceptor = member_after(&[accept(3, &[at(0, "a"), at(1, "b")])]);
    let sign_of_life = Accept { chosen_below: Slot(2), ..accept(3, &[]) };
    let reply = accepted(&acceptor, 3, &[], marks(2, 2, 0));
    assert_decision(acceptor.accept(&sign_of_life).unwrap(), &[voted(3, &[], 2)], reply.clone());
    assert_decision(acceptor.accept(&sign_of_life).unwrap(), &[], reply.clone());
    let late = Accept { chosen_below: Slot(1), ..accept(3, &[]) };
    assert_decision(acceptor.accept(&late).unwrap(), &[], reply);
}
