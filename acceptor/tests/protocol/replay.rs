use proptest::prelude::*;

use super::*;

/// "Stable storage, preserved during failures, is used to maintain the information that
/// the acceptor must remember" (2.5).
#[test]
fn acceptor_that_replays_its_records_is_what_it_was() {
    let mut before = Acceptor::new(ME, Draw(2), Limits::default());
    let mut after = Acceptor::new(ME, Draw(2), Limits::default());
    let trim = Accept { chosen_below: Slot(2), trim_below: Slot(1), ..accept(5, &[at(3, "d")]) };
    let accepts =
        [accept(3, &[at(0, "a"), at(1, "b")]), accept(4, &[at(1, "B"), at(2, "c")]), trim];
    let mut records = before.prepare(&prepare(2, 0)).unwrap().records;
    for accept in &accepts {
        records.extend(before.accept(accept).unwrap().records);
    }
    for record in records {
        after.replay(record);
    }
    assert_same(&before, &after);
    let votes = vec![vote(1, 4, "B"), vote(2, 4, "c"), vote(3, 5, "d")];
    assert_eq!((after.votes(Slot(0)), after.marks()), ((votes, None), marks(4, 2, 1)));
}

#[test]
fn the_summary_rebuilds_all_but_the_votes() {
    let trim = Accept { chosen_below: Slot(2), trim_below: Slot(2), ..accept(5, &[]) };
    let before = member_after(&[accept(3, &[at(0, "a"), at(1, "b")]), trim]);
    let trimmed = Record::Trimmed { below: Slot(2), voted_below: Slot(2), chosen_below: Slot(2) };
    assert_eq!(before.summary(), [Record::Joined(roster()), Record::Promised(ballot(5)), trimmed]);
    let mut after = Acceptor::new(ME, Draw(2), Limits::default());
    before.summary().into_iter().for_each(|record| after.replay(record));
    assert_same(&before, &after);
}

#[test]
#[should_panic(expected = "joins one cluster")]
fn acceptor_never_replays_a_second_cluster() {
    let other =
        Roster::new(ClusterId(1), Generation(0), (1..=5).map(AcceptorId).collect()).unwrap();
    member().replay(Record::Joined(other));
}

#[test]
#[should_panic(expected = "voted in at rising ballots")]
fn acceptor_never_replays_a_second_value_for_a_ballot() {
    member_after(&[accept(3, &[at(0, "a")])]).replay(voted(3, &[at(0, "b")], 0));
}

#[track_caller]
fn assert_same(before: &Acceptor, after: &Acceptor) {
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
}

#[derive(Clone, Debug)]
enum Message {
    Prepare(Prepare),
    Accept(Accept),
}

fn messages() -> impl Strategy<Value = Message> {
    let prepare =
        (0..6_u64, 0..12_u64).prop_map(|(round, from)| Message::Prepare(prepare(round, from)));
    let slots = prop::collection::btree_set(0..12_u64, 0..6);
    let accept =
        (0..6_u64, slots, 0..12_u64, 0..12_u64).prop_map(|(round, slots, chosen, trim)| {
            let proposals: Vec<SlotValue> =
                slots.into_iter().map(|slot| at(slot, &format!("{slot}@{round}"))).collect();
            let (chosen_below, trim_below) = (Slot(chosen), Slot(trim.min(chosen)));
            Message::Accept(Accept { chosen_below, trim_below, ..accept(round, &proposals) })
        });
    prop_oneof![1 => prepare, 3 => accept]
}

proptest! {
    /// Whatever comes: nothing goes back, all invariants hold, and the records so far
    /// always rebuild the state.
    #[test]
    fn the_state_is_the_sum_of_the_records(messages in prop::collection::vec(messages(), 1..40)) {
        let limits = Limits { vote_bytes: 700, recovery_bytes: 300, ..Limits::default() };
        let mut acceptor = Acceptor::new(ME, Draw(2), limits);
        let mut replayed = Acceptor::new(ME, Draw(2), limits);
        for message in messages {
            let (promised, marks) = (acceptor.promised(), acceptor.marks());
            let records = match message {
                Message::Prepare(prepare) => acceptor.prepare(&prepare).unwrap().records,
                Message::Accept(accept) => acceptor.accept(&accept).unwrap().records,
            };
            acceptor.check_invariants();
            acceptor.invariant_nothing_goes_back(promised, marks);
            records.into_iter().for_each(|record| replayed.replay(record));
            prop_assert_eq!(format!("{acceptor:?}"), format!("{replayed:?}"));
            let mut summary = Acceptor::new(ME, Draw(2), limits);
            acceptor.summary().into_iter().for_each(|record| summary.replay(record));
            prop_assert_eq!((summary.promised(), summary.marks()), (acceptor.promised(), acceptor.marks()));
        }
    }
}
