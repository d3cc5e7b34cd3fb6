use super::*;

fn newcomer() -> Acceptor {
    Acceptor::new(ME, Draw(2), Limits::default())
}

fn other_roster() -> Roster {
    Roster::new(ClusterId(1), Generation(0), vec![AcceptorId(4), AcceptorId(5), AcceptorId(6)])
        .unwrap()
}

fn stranger(roster: Option<Roster>) -> Stranger {
    Stranger { acceptor: ME, roster }
}

#[test]
fn acceptor_joins_the_first_cluster_that_names_it_with_its_promise() {
    let records = [Record::Joined(roster()), Record::Promised(ballot(3))];
    let mut acceptor = newcomer();
    assert_decision(
        acceptor.prepare(&prepare(3, 0)).unwrap(),
        &records,
        promise(3, 0, vec![], marks(0, 0, 0)),
    );
    assert_eq!(acceptor.roster(), Some(&roster()));
}

#[test]
fn acceptor_joins_the_first_cluster_that_names_it_with_its_vote() {
    let records = [Record::Joined(roster()), voted(3, &[at(0, "a")], 0)];
    let mut acceptor = newcomer();
    let decision = acceptor.accept(&accept(3, &[at(0, "a")])).unwrap();
    assert_decision(decision, &records, accepted(&acceptor, 3, &[0], marks(1, 0, 0)));
}

#[test]
fn acceptor_refuses_a_cluster_that_does_not_name_it() {
    let mut acceptor = newcomer();
    let decision = acceptor.prepare(&Prepare { roster: other_roster(), ..prepare(3, 0) }).unwrap();
    assert_decision(decision, &[], PrepareReply::Stranger(stranger(None)));
    let decision =
        acceptor.accept(&Accept { roster: other_roster(), ..accept(3, &[at(0, "a")]) }).unwrap();
    assert_decision(decision, &[], AcceptReply::Stranger(stranger(None)));
    assert_eq!((acceptor.roster(), acceptor.promised()), (None, None));
}

/// Also one that names it: else a majority of the one and a majority of the other might
/// share no acceptor.
#[test]
fn acceptor_refuses_every_cluster_but_its_own() {
    let mut acceptor = member();
    let larger =
        Roster::new(ClusterId(1), Generation(0), (1..=5).map(AcceptorId).collect()).unwrap();
    let ours = || roster().acceptors().to_vec();
    let formed_again = Roster::new(ClusterId(2), Generation(0), ours()).unwrap();
    let later = Roster::new(ClusterId(1), Generation(1), ours()).unwrap();
    for roster_of_others in [other_roster(), larger, formed_again, later] {
        let decision = acceptor
            .prepare(&Prepare { roster: roster_of_others.clone(), ..prepare(3, 0) })
            .unwrap();
        assert_decision(decision, &[], PrepareReply::Stranger(stranger(Some(roster()))));
        let decision = acceptor
            .accept(&Accept { roster: roster_of_others, ..accept(3, &[at(0, "a")]) })
            .unwrap();
        assert_decision(decision, &[], AcceptReply::Stranger(stranger(Some(roster()))));
    }
    assert_eq!((acceptor.promised(), acceptor.marks()), (Some(ballot(0)), marks(0, 0, 0)));
}
