//! From one roster to the next (`shared::message::succession`).

use shared::bounds::{SLOTS_AHEAD, TooFar};
use shared::message::{Seated, Succession, SuccessionReply, SuccessionRequest};

use super::*;

const NEW: AcceptorId = AcceptorId(4);

fn seated(generation: u64, ids: &[AcceptorId]) -> Seated {
    Seated {
        roster: Roster::new(ClusterId(1), Generation(generation), ids.to_vec()).unwrap(),
        urls: ids.iter().map(|id| format!("http://{id}")).collect(),
    }
}

/// Acceptor 4 comes, 3 leaves, and ME stays, from slot 5 on.
fn succession() -> Succession {
    let previous = seated(0, &[AcceptorId(1), ME, AcceptorId(3)]);
    Succession::new(previous, seated(1, &[AcceptorId(1), ME, NEW]), Slot(5)).unwrap()
}

fn seal() -> SuccessionRequest {
    SuccessionRequest::Seal(succession())
}

fn open() -> SuccessionRequest {
    SuccessionRequest::Open(succession())
}

fn reply(
    acceptor: AcceptorId,
    roster: Option<Roster>,
    opened: Option<Succession>,
    sealed: Option<Succession>,
) -> SuccessionReply {
    SuccessionReply { acceptor, roster, opened, sealed, is_unused: false, can_write: true }
}

fn next_roster() -> Roster {
    succession().next().roster.clone()
}

#[test]
fn one_that_is_sealed_votes_no_more_and_says_who_follows() {
    let mut acceptor = member_after(&[accept(1, &[at(5, "stop"), at(6, "late")])]);
    let sealed = reply(ME, Some(roster()), None, Some(succession()));
    assert_decision(
        acceptor.succeed(&seal()).unwrap(),
        &[Record::Sealed(Box::new(succession()))],
        sealed.clone(),
    );
    assert_decision(acceptor.succeed(&seal()).unwrap(), &[], sealed);
    let stranger = Stranger { acceptor: ME, roster: Some(next_roster()) };
    let refused = PrepareReply::Stranger(stranger.clone());
    assert_decision(acceptor.prepare(&prepare(9, 0)).unwrap(), &[], refused);
    let refused = AcceptReply::Stranger(stranger);
    assert_decision(acceptor.accept(&accept(9, &[at(7, "x")])).unwrap(), &[], refused);
    assert_eq!(acceptor.roster(), Some(&next_roster()), "so no quorum read counts it");
}

/// It names the next roster, and may be a quorum of that: then a read must not wait for less
/// than all that was chosen before.
#[test]
fn one_that_is_sealed_tells_of_all_that_its_generation_chose_though_it_missed_it() {
    let mut acceptor = member_after(&[accept(1, &[at(1, "early")])]);
    let _ = acceptor.succeed(&seal()).unwrap();
    assert_eq!(acceptor.marks(), marks(6, 5, 0));
    assert_eq!(acceptor.votes(Slot(0)).0.len(), 1, "what it voted for stays until it is opened");
    acceptor.check_invariants();
}

/// Who counts votes takes none of an ended generation for one of the next.
#[test]
fn votes_are_told_with_the_roster_in_which_they_were_cast() {
    let mut acceptor = member_after(&[accept(1, &[at(1, "early"), at(6, "void")])]);
    assert_eq!(acceptor.votes_page(Slot(0)).roster, Some(roster()));
    let _ = acceptor.succeed(&seal()).unwrap();
    let page = acceptor.votes_page(Slot(0));
    assert_eq!((page.roster, page.votes.len()), (Some(roster()), 2));
    let _ = acceptor.succeed(&open()).unwrap();
    let page = acceptor.votes_page(Slot(0));
    assert_eq!((page.roster, page.votes.len()), (Some(next_roster()), 0));
}

#[test]
fn one_that_is_sealed_does_not_vote_in_the_next_generation_before_it_is_opened() {
    let mut acceptor = member();
    let _ = acceptor.succeed(&seal()).unwrap();
    let ask = Prepare { roster: next_roster(), ..prepare(9, 5) };
    let stranger = Stranger { acceptor: ME, roster: Some(next_roster()) };
    assert_decision(acceptor.prepare(&ask).unwrap(), &[], PrepareReply::Stranger(stranger));
}

#[test]
fn one_that_stays_drops_what_it_voted_for_and_keeps_its_promise() {
    let votes = [at(3, "chosen"), at(5, "stop"), at(6, "never chosen")];
    let mut acceptor = member_after(&[accept(1, &votes)]);
    let opened = reply(ME, Some(next_roster()), Some(succession()), None);
    assert_decision(
        acceptor.succeed(&open()).unwrap(),
        &[Record::Opened(Box::new(succession()))],
        opened.clone(),
    );
    assert_decision(acceptor.succeed(&open()).unwrap(), &[], opened);
    assert_eq!(acceptor.votes(Slot(0)), (Vec::new(), None));
    assert_eq!(acceptor.marks(), marks(7, 5, 5));
    let (acceptor_id, promised) = (ME, ballot(1));
    let nack = PrepareReply::Nack(Nack { acceptor: acceptor_id, promised });
    let lower = Prepare { roster: next_roster(), ..prepare(0, 5) };
    assert_decision(acceptor.prepare(&lower).unwrap(), &[], nack);
    acceptor.check_invariants();
}

#[test]
fn a_new_one_votes_in_a_later_generation_only_once_it_is_opened() {
    let mut acceptor = Acceptor::new(NEW, Draw(4), Limits::default());
    let ask = Prepare { roster: next_roster(), ..prepare(1, 5) };
    let stranger = PrepareReply::Stranger(Stranger { acceptor: NEW, roster: None });
    assert_decision(acceptor.prepare(&ask).unwrap(), &[], stranger);
    let opened = reply(NEW, Some(next_roster()), Some(succession()), None);
    assert_decision(
        acceptor.succeed(&open()).unwrap(),
        &[Record::Opened(Box::new(succession()))],
        opened,
    );
    assert_eq!(acceptor.marks(), marks(6, 5, 5), "the slot of the stop counts as voted in");
    let promised = PrepareReply::Promise(Promise {
        acceptor: NEW,
        ballot: ballot(1),
        from: Slot(5),
        votes: Vec::new(),
        next: None,
        marks: marks(6, 5, 5),
    });
    assert_decision(acceptor.prepare(&ask).unwrap(), &[Record::Promised(ballot(1))], promised);
}

#[test]
fn nobody_is_opened_who_is_not_named_or_has_other_data_or_is_of_another_cluster_or_beyond() {
    let mut unnamed = Acceptor::new(AcceptorId(9), Draw(9), Limits::default());
    let untouched = SuccessionReply { is_unused: true, ..reply(AcceptorId(9), None, None, None) };
    assert_decision(unnamed.succeed(&open()).unwrap(), &[], untouched);

    let mut restored = Acceptor::new(NEW, Draw(4), Limits::default());
    let below = Slot(9);
    restored.replay(Record::Trimmed { below, voted_below: below, chosen_below: below });
    assert_decision(restored.succeed(&open()).unwrap(), &[], reply(NEW, None, None, None));

    let mut foreign = Acceptor::new(ME, Draw(2), Limits::default());
    let other = Roster::new(ClusterId(2), Generation(0), vec![ME]).unwrap();
    foreign.replay(Record::Joined(other.clone()));
    assert_decision(
        foreign.succeed(&open()).unwrap(),
        &[],
        reply(ME, Some(other.clone()), None, None),
    );
    assert_decision(foreign.succeed(&seal()).unwrap(), &[], reply(ME, Some(other), None, None));

    let later = Succession::new(
        seated(1, &[AcceptorId(1), ME, NEW]),
        seated(2, &[AcceptorId(1), ME, AcceptorId(3)]),
        Slot(8),
    );
    let later = later.unwrap();
    let mut beyond = member();
    let _ = beyond.succeed(&SuccessionRequest::Open(later.clone())).unwrap();
    let stays = reply(ME, Some(later.next().roster.clone()), Some(later), None);
    assert_decision(beyond.succeed(&open()).unwrap(), &[], stays);
}

/// See `shared::bounds`: a number from outside moves none of ours by more than a bound.
#[test]
fn a_succession_that_begins_out_of_reach_is_refused_and_one_that_was_far_behind_follows() {
    let reach = 7 + SLOTS_AHEAD;
    let beginning_at = |begin| {
        let previous = seated(0, &[AcceptorId(1), ME, AcceptorId(3)]);
        Succession::new(previous, seated(1, &[AcceptorId(1), ME, NEW]), Slot(begin)).unwrap()
    };
    let mut acceptor = member_after(&[Accept { chosen_below: Slot(7), ..accept(1, &[]) }]);
    let before = acceptor.clone();
    let too_far = TooFar { what: "begin", got: reach + 1, known: 7, ahead: SLOTS_AHEAD };
    for told in [SuccessionRequest::Seal, SuccessionRequest::Open] {
        let refused = acceptor.succeed(&told(beginning_at(reach + 1)));
        assert_eq!(refused.map(drop), Err(too_far));
        assert_eq!(acceptor.marks(), before.marks());
        assert_eq!(acceptor.succession(), None);
    }
    for told in [SuccessionRequest::Seal, SuccessionRequest::Open] {
        let _ = acceptor.succeed(&told(beginning_at(reach))).unwrap();
        assert_eq!(acceptor.marks().chosen_below, Slot(reach));
    }
    acceptor.check_invariants();
}

#[test]
fn a_restart_finds_the_generation_and_the_votes_in_it_again() {
    let mut acceptor = member_after(&[accept(1, &[at(5, "stop")])]);
    let mut records = vec![Record::Joined(roster()), Record::Promised(ballot(0))];
    records.push(voted(1, &[at(5, "stop")], 0));
    records.extend(acceptor.succeed(&open()).unwrap().records);
    let next = Accept { roster: next_roster(), ..accept(2, &[at(5, "noop"), at(6, "a")]) };
    records.extend(acceptor.accept(&next).unwrap().records);
    // A later segment begins with a summary, which says all of it again.
    records.extend(acceptor.summary());
    let mut restarted = Acceptor::new(ME, Draw(2), Limits::default());
    for record in records {
        assert_eq!(restarted.check_record(&record), Ok(()));
        restarted.replay(record);
    }
    assert_eq!(restarted.votes(Slot(0)), acceptor.votes(Slot(0)));
    assert_eq!(restarted.votes(Slot(0)).0.len(), 2);
    let standing = |acceptor: &mut Acceptor| {
        acceptor.succeed(&SuccessionRequest::Tell).unwrap().persisted(Persisted::assert_synced())
    };
    assert_eq!(standing(&mut restarted), standing(&mut acceptor));
    assert_eq!(restarted.marks(), acceptor.marks());
}
