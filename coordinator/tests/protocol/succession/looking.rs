//! What a change of the acceptors is refused for, and who waits for it.

use super::*;

#[test]
fn what_could_not_go_on_is_refused_before_anything_is_chosen() {
    let (mut bench, _) = leading();
    let used = SuccessionReply { is_unused: false, roster: None, ..answer(NEW) };
    let mut all = all_found();
    all[3].answer = Ok(used);
    let [Effect::AcceptorsReply { reply: AcceptorsReply::Refused(why), .. }] =
        &ask(&mut bench, 1, all)[..]
    else {
        panic!("it has other data")
    };
    assert!(matches!(why, AcceptorsRefused::Unfit { url, .. } if url == "new"), "{why}");

    let mut all = all_found();
    all[3].answer = Err("not an acceptor".to_owned());
    let why = "not an acceptor".to_owned();
    let unfit = AcceptorsRefused::Unfit { url: "new".to_owned(), why };
    assert_eq!(ask(&mut bench, 2, all), refused(2, unfit));

    let mut all = all_found();
    all[0].answer = Err("silent".to_owned());
    let alone = WantedAcceptors::All(vec!["0".to_owned()]);
    let no_quorum = AcceptorsRefused::NoQuorum { living: 0, acceptors: 1, needed: 1 };
    assert_eq!(ask_for(&mut bench, 3, alone, all), refused(3, no_quorum));

    let base = Some(Generation(7));
    let wanted = WantedAcceptors::All(urls(["0", "1", "new"]));
    let request = AcceptorsRequest { cluster: roster().cluster(), base, wanted };
    let other = AcceptorsRefused::OtherGeneration { present: Generation(0) };
    let survey = survey(all_found());
    let input = Input::Acceptors { id: RequestId(4), request, survey };
    assert_eq!(bench.step(input), refused(4, other));

    let (mut alone, _) = Bench::leading();
    let only = Heartbeat { view: Some(view(4, 1, &[])), ..heartbeat(1, None) };
    alone.step(Input::Heartbeat(only));
    let why = "replica-1 is the only replica, so its copy would be the only one: start another";
    let not_durable = AcceptorsRefused::NotDurable(why.to_owned());
    assert_eq!(ask(&mut alone, 5, all_found()), refused(5, not_durable));
}

#[test]
fn a_list_or_a_newcomer_that_cannot_be_is_refused_with_what_was_found_and_what_to_do() {
    let all = |urls: &[&str]| {
        WantedAcceptors::All(urls.iter().copied().map(str::to_owned).collect::<Vec<_>>())
    };
    let replaced_by =
        |comes: &str| WantedAcceptors::Replace { leaves: "2".to_owned(), comes: comes.to_owned() };
    let of = |cluster, acceptors: Vec<AcceptorId>| {
        Some(Roster::new(cluster, Generation(0), acceptors).unwrap())
    };
    let used = |roster| Ok(SuccessionReply { roster, is_unused: false, ..answer(NEW) });
    let new = |answer| {
        let mut found = all_found();
        found[3].answer = answer;
        found
    };
    let other = of(ClusterId(0xbad), vec![NEW]);
    let left = of(roster().cluster(), vec![NEW]);
    for (wanted, found, says) in [
        (all(&["0", "1", "1"]), all_found(), "1 is named twice: name each acceptor once"),
        (
            all(&["0", "1", "new"]),
            new(Ok(answer(id(1)))),
            "1 and new are the same acceptor: name it once",
        ),
        (
            replaced_by("1"),
            all_found(),
            "1 is one of the acceptors already: name where a new one was started, without data",
        ),
        (
            replaced_by("new"),
            new(used(other)),
            "new cannot be taken in: it is an acceptor of another cluster: name where a new \
             acceptor was started, with an empty data directory",
        ),
        (
            replaced_by("new"),
            new(used(left)),
            "new cannot be taken in: it was an acceptor of this cluster, and has left: give it an \
             empty data directory first",
        ),
        (
            replaced_by("new"),
            new(used(None)),
            "new cannot be taken in: it has data of another use: give it an empty data directory \
             first",
        ),
        (
            all(&["0", "1"]),
            all_found(),
            "a cluster has an odd number of acceptors, at most 9, not 2",
        ),
        (all(&[]), all_found(), "a cluster has an odd number of acceptors, at most 9, not 0"),
    ] {
        let (mut bench, _) = leading();
        let effects = ask_for(&mut bench, 1, wanted.clone(), found);
        let [Effect::AcceptorsReply { reply: AcceptorsReply::Refused(why), .. }] = &effects[..]
        else {
            panic!("{wanted:?}: {effects:?}")
        };
        assert_eq!(why.to_string(), says, "{wanted:?}");
    }
}

#[test]
fn a_new_disk_at_the_same_address_is_another_acceptor() {
    let (mut bench, mine) = leading();
    let wiped = vec![
        found("0", Ok(answer(id(0)))),
        found("1", Ok(answer(id(1)))),
        found("2", Ok(unused(NEW))),
    ];
    let lost = Watermarks { acceptor: NEW, roster: None, ..led(2, mine) };
    bench.fire(Timer::Lead);
    bench.step(Input::AcceptReply {
        from: at(2),
        ballot: mine,
        reply: shared::message::AcceptReply::Stranger(shared::message::Stranger {
            acceptor: lost.acceptor,
            roster: None,
        }),
    });
    let wanted = WantedAcceptors::Replace { leaves: "2".to_owned(), comes: "2".to_owned() };
    let effects = ask_for(&mut bench, 1, wanted, wiped);
    assert!(effects.iter().any(is_stop), "{effects:?}");
}

#[test]
fn all_is_looked_at_once_more_before_the_stop_is_proposed() {
    let unfit = |effects: &[Effect]| match effects {
        [Effect::AcceptorsReply { id: RequestId(1), reply: AcceptorsReply::Refused(why) }] => {
            why.clone()
        }
        other => panic!("{other:?}"),
    };
    let (mut bench, _) = asked();
    let left_behind = Some(LeftBehind::Old("replica-9".to_owned()));
    let old = Survey { left_behind, ..survey(all_found()) };
    let why = AcceptorsRefused::OldService("replica-9".to_owned());
    assert_eq!(unfit(&surveyed(&mut bench, old)), why, "an old service has started meanwhile");

    let (mut bench, _) = asked();
    let left_behind = Some(LeftBehind::Silent("coordinator-2".to_owned()));
    let silent = Survey { left_behind, ..survey(all_found()) };
    let why = AcceptorsRefused::SilentService("coordinator-2".to_owned());
    assert_eq!(unfit(&surveyed(&mut bench, silent)), why, "it may be such a one");
    assert!(!bench.propose(2, 0, "a").is_empty(), "and batches are taken again");

    let (mut bench, _) = asked();
    let mut all = all_found();
    all[3].answer = Ok(SuccessionReply { is_unused: false, ..unused(NEW) });
    let why = unfit(&surveyed(&mut bench, survey(all)));
    assert!(matches!(why, AcceptorsRefused::Unfit { .. }), "the new one has data by now: {why}");

    let (mut bench, _) = asked();
    let alone = Heartbeat { view: Some(view(5, 1, &[])), ..beat(1, 0) };
    bench.step(Input::Heartbeat(alone));
    let why = "replica-1 is the only replica, so its copy would be the only one: start another";
    let not_durable = AcceptorsRefused::NotDurable(why.to_owned());
    assert_eq!(unfit(&surveyed(&mut bench, survey(all_found()))), not_durable);

    let (mut bench, mine) = asked();
    let stop = slot_value(0, succession(0).encode_stop());
    assert_eq!(surveyed(&mut bench, survey(all_found())), accepts(&accept(mine, vec![stop], 0)));
    assert_eq!(surveyed(&mut bench, survey(all_found())), [], "once");
}

#[test]
fn no_stop_is_proposed_that_a_quorum_of_the_present_acceptors_could_not_carry_out() {
    let full = |acceptor| Ok(SuccessionReply { can_write: false, ..answer(acceptor) });
    let mut all = all_found();
    all[0].answer = full(id(0));
    all[1].answer = Err("silent".to_owned());
    let missing = "0 (its disk is full), 1 (it does not answer)".to_owned();
    let why = AcceptorsRefused::CannotSeal { missing, needed: 2 };
    let (mut bench, _) = leading();
    assert_eq!(ask(&mut bench, 1, all.clone()), refused(1, why.clone()));
    let (mut bench, _) = asked();
    assert_eq!(surveyed(&mut bench, survey(all)), refused(1, why));
    let mut others = all_found();
    others[0].answer = Ok(answer(AcceptorId(0xbad)));
    others[2].answer = Ok(sealed(id(2), &succession(0)));
    let missing = "0 (another acceptor answers there), 2 (it is not in this generation yet)";
    let (missing, needed) = (missing.to_owned(), 2);
    let why = AcceptorsRefused::CannotSeal { missing, needed };
    let all = WantedAcceptors::All(urls(["1", "2", "new"]));
    let (mut bench, _) = leading();
    assert_eq!(ask_for(&mut bench, 1, all, others), refused(1, why));
}

#[test]
fn whoever_waits_is_not_told_of_another_change_as_if_it_were_the_own() {
    let (mut bench, mine) = leading();
    ask(&mut bench, 1, all_found());
    // Another leader's stop for the same generation was chosen.
    let other = {
        let previous = Seated { roster: roster(), urls: urls(["0", "1", "2"]) };
        let members = vec![id(0), id(2), AcceptorId(7)];
        let next = Roster::new(roster().cluster(), Generation(1), members).unwrap();
        let next = Seated { roster: next, urls: urls(["0", "2", "seven"]) };
        Succession::new(previous, next, Slot(0)).unwrap()
    };
    says(&mut bench, 0, sealed(id(0), &other));
    says(&mut bench, 1, sealed(id(1), &other));
    says(&mut bench, 0, opened(id(0), &other));
    says(&mut bench, 2, opened(id(2), &other));
    let next = ballot(mine.round + 1, ME);
    let marks = Marks { voted_below: Slot(1), ..Marks::default() };
    bench.promise(0, promise(0, next, 0, Vec::new(), marks));
    let effects = bench.promise(2, promise(2, next, 0, Vec::new(), marks));
    let told: Vec<Effect> = effects
        .into_iter()
        .filter(|effect| matches!(effect, Effect::AcceptorsReply { .. }))
        .collect();
    assert_eq!(told, refused(1, AcceptorsRefused::Overtaken));
}

#[test]
fn an_acceptor_at_another_address_is_a_change_and_only_one_that_answers_is_done_already() {
    let moved = || {
        let mut all = all_found();
        all[3].answer = Ok(answer(id(2)));
        all
    };
    let (mut bench, _) = leading();
    let effects = ask(&mut bench, 1, moved());
    assert!(effects.iter().any(is_stop), "the same acceptor elsewhere: {effects:?}");

    let again = WantedAcceptors::Replace { leaves: "gone".to_owned(), comes: "2".to_owned() };
    let (mut bench, _) = leading();
    let present = Seated { roster: roster(), urls: urls(["0", "1", "2"]) };
    assert_eq!(ask_for(&mut bench, 1, again.clone(), all_found()), [changed(1, present)]);
    let mut wiped = all_found();
    wiped[2].answer = Ok(unused(NEW));
    let no_roster = AcceptorsRefused::NoRoster("gone is none of the acceptors: 0, 1, 2".to_owned());
    assert_eq!(ask_for(&mut bench, 2, again, wiped), refused(2, no_roster));
}

#[test]
fn whoever_asks_again_for_what_is_under_way_waits_with_the_others() {
    let (mut bench, mine) = asked();
    let ask_again = |bench: &mut Bench, request: u64, wanted| {
        let (cluster, id) = (roster().cluster(), RequestId(request));
        let request = AcceptorsRequest { cluster, base: None, wanted };
        bench.step(Input::Acceptors { id, request, survey: survey(all_found()) })
    };
    assert_eq!(ask_again(&mut bench, 2, replace()), [], "while it waits for all to be durable");
    let other = || WantedAcceptors::All(urls(["0", "2", "new"]));
    let under_way = |id| refused(id, AcceptorsRefused::ChangeUnderWay);
    assert_eq!(ask_again(&mut bench, 3, other()), under_way(3));
    let stop = slot_value(0, succession(0).encode_stop());
    assert_eq!(surveyed(&mut bench, survey(all_found())), accepts(&accept(mine, vec![stop], 0)));
    assert_eq!(ask_again(&mut bench, 4, replace()), [], "while the stop is proposed");
    assert_eq!(ask_again(&mut bench, 5, other()), under_way(5));
    for request in 6..=18 {
        assert_eq!(ask_again(&mut bench, request, replace()), []);
    }
    assert_eq!(ask_again(&mut bench, 19, replace()), under_way(19), "sixteen wait");
    bench.accepted(0, mine, &[0]);
    bench.accepted(1, mine, &[0]);
    assert_eq!(ask_again(&mut bench, 20, other()), under_way(20));
    says(&mut bench, 3, opened(NEW, &succession(0)));
    says(&mut bench, 0, opened(id(0), &succession(0)));
    let next = ballot(mine.round + 1, ME);
    let marks = Marks { voted_below: Slot(1), ..Marks::default() };
    bench.promise(0, promise(0, next, 0, Vec::new(), marks));
    let mut from_new = promise(3, next, 0, Vec::new(), marks);
    from_new.acceptor = NEW;
    let effects = bench.promise(3, from_new);
    let is_answer = |effect: &Effect| matches!(effect, Effect::AcceptorsReply { .. });
    let told: Vec<Effect> = effects.into_iter().filter(is_answer).collect();
    let waited = [1, 2, 4].into_iter().chain(6..=18);
    let seated = succession(0).next().clone();
    assert_eq!(told, waited.map(|id| changed(id, seated.clone())).collect::<Vec<_>>());
}

#[test]
fn a_change_that_writes_would_wait_long_for_is_refused_before_they_wait() {
    let not_durable = |why: &str| AcceptorsRefused::NotDurable(why.to_owned());
    let (mut bench, mine) = leading();
    let slots: Vec<u64> = (0..600).collect();
    slots.iter().for_each(|slot| drop(bench.propose(*slot, *slot, "a")));
    bench.accepted(0, mine, &slots);
    bench.accepted(1, mine, &slots);
    for (replica, executed) in [(1, 600), (2, 600), (3, 87)] {
        bench.step(Input::Heartbeat(beat(replica, executed)));
    }
    let why = "replica-3 has 513 slots yet to execute, and more than 512 take too long";
    assert_eq!(ask(&mut bench, 1_001, all_found()), refused(1_001, not_durable(why)));
    assert!(!bench.propose(1_002, 600, "b").is_empty(), "batches are taken all the while");

    let newer = |replica| Heartbeat { view: Some(view(5, 1, &[2, 3])), ..beat(replica, 600) };
    (1..=2).for_each(|replica| drop(bench.step(Input::Heartbeat(newer(replica)))));
    let why = "replica-3 has not executed the view of epoch 5 yet";
    assert_eq!(ask(&mut bench, 1_003, all_found()), refused(1_003, not_durable(why)));
    bench.step(Input::Heartbeat(newer(3)));
    assert_eq!(ask(&mut bench, 1_004, all_found()), [], "it waits for what is in flight");
}
