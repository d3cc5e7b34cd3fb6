//! Reads of many keys that are not those of one state.

use super::{log, put, seen};
use crate::linearizability::key;
use crate::linearizability::witness::{self, WitnessViolation, Write};
use crate::operations::{
    Answer, Call, Consistency, Guard, Key, Listing, Operation, OperationId, Order, Outcome, Page,
    Seen, Value,
};

/// A put of another key than "k".
fn put_at(key: &str, id: u64, time: (u64, u64), revision: u64) -> Operation {
    let call = Call::Put { key: Key::from(key), value: Value::new(id, 0), guard: Guard::Always };
    Operation { call, ..put(id, time, revision) }
}

fn list(id: u64, time: (u64, u64), revision: u64, listed: &[(&str, Option<Seen>)]) -> Operation {
    let items = listed.iter().filter_map(|(key, seen)| Some((Key::from(*key), (*seen)?))).collect();
    let answer = Answer::Listed(Page { items, has_more: false });
    let call = Call::List {
        listing: Listing::of_prefix(""),
        at: None,
        consistency: Consistency::Linearizable,
    };
    Operation {
        id: OperationId(id),
        called: time.0,
        call,
        returned: time.1,
        outcome: Outcome::Answered { revision, answer },
    }
}

/// The same of another listing, as of a revision.
fn page_of(mut operation: Operation, to: Listing, revision: Option<u64>) -> Operation {
    if let Call::List { listing, at, .. } = &mut operation.call {
        (*listing, *at) = (to, revision);
    }
    operation
}

/// Two keys, of which one is written again while a list is read.
fn writes() -> [Operation; 4] {
    [
        put_at("a", 1, (0, 10), 1),
        put_at("b", 2, (20, 30), 2),
        put_at("a", 3, (40, 90), 3),
        put_at("b", 4, (41, 91), 4),
    ]
}

fn check(listed: &[Operation]) -> Result<(), WitnessViolation> {
    let writes = writes();
    let log: Vec<Write> = log(&writes.each_ref());
    witness::check(&[&writes[..], listed].concat(), &log)
}

#[test]
fn a_list_of_one_state_is_accepted() {
    for (revision, a, b) in [(2, 1, 2), (3, 3, 2), (4, 3, 4)] {
        let listed = list(9, (50, 80), revision, &[("a", seen(a, a)), ("b", seen(b, b))]);
        assert_eq!(check(std::slice::from_ref(&listed)), Ok(()));
        assert_eq!(key::check(&[&writes()[..], &[listed]].concat()), Ok(()));
    }
}

#[test]
fn a_list_that_mixes_two_revisions_is_rejected() {
    // The second key is as it was after the first was written again, the first as it was
    // before: each is new enough alone.
    let torn = list(9, (50, 80), 4, &[("a", seen(1, 1)), ("b", seen(4, 4))]);
    assert_eq!(
        key::check(&[&writes()[..], std::slice::from_ref(&torn)].concat()),
        Ok(()),
        "which only the witness sees"
    );
    for revision in 2..=4 {
        let mut torn = torn.clone();
        if let Outcome::Answered { revision: answered, .. } = &mut torn.outcome {
            *answered = revision;
        }
        assert!(
            matches!(
                check(&[torn]),
                Err(WitnessViolation::WrongAnswer { operation: OperationId(9), .. })
            ),
            "{revision}"
        );
    }
}

#[test]
fn a_list_that_is_older_than_an_acknowledged_write_is_rejected() {
    let old = list(9, (100, 110), 3, &[("a", seen(3, 3)), ("b", seen(2, 2))]);
    let (earlier, later) = (OperationId(4), OperationId(9));
    let reversed = WitnessViolation::TimeReversed { earlier, earlier_at: 8, later, later_at: 7 };
    assert_eq!(check(std::slice::from_ref(&old)), Err(reversed));
    assert!(
        key::check(&[&writes()[..], &[old]].concat()).is_err(),
        "the key that it shows too old is enough"
    );
    // It has none of the keys that were written since, so that no key alone shows it.
    let other =
        page_of(list(9, (100, 110), 3, &[("a", seen(3, 3))]), Listing::of_prefix("a"), None);
    assert_eq!(key::check(&[&writes()[..], std::slice::from_ref(&other)].concat()), Ok(()));
    assert!(matches!(check(&[other]), Err(WitnessViolation::TimeReversed { .. })));
}

#[test]
fn a_list_that_leaves_a_key_out_or_invents_one_is_rejected() {
    let less = list(9, (100, 110), 4, &[("a", seen(3, 3))]);
    let more = list(9, (100, 110), 4, &[("a", seen(3, 3)), ("b", seen(4, 4)), ("c", seen(4, 4))]);
    for wrong in [less, more] {
        assert!(matches!(
            check(std::slice::from_ref(&wrong)),
            Err(WitnessViolation::WrongAnswer { .. })
        ));
        assert!(key::check(&[&writes()[..], &[wrong]].concat()).is_err());
    }
}

#[test]
fn a_page_of_another_revision_than_the_first_one_is_rejected() {
    let first = Listing { limit: Some(1), ..Listing::of_prefix("") };
    let mut one = page_of(list(8, (50, 55), 3, &[("a", seen(3, 3))]), first.clone(), None);
    let Outcome::Answered { answer: Answer::Listed(page), .. } = &mut one.outcome else {
        unreachable!("it is a page")
    };
    page.has_more = true;
    let next = first.next(page).unwrap();
    let second =
        |revision, b| page_of(list(9, (95, 99), revision, &[("b", b)]), next.clone(), Some(3));
    assert_eq!(check(&[one.clone(), second(3, seen(2, 2))]), Ok(()));
    let newest = second(4, seen(4, 4));
    let other =
        WitnessViolation::OtherRevision { operation: OperationId(9), asked: 3, answered: 4 };
    assert_eq!(check(&[one.clone(), newest]), Err(other));
    let said_to_be_the_first_ones = second(3, seen(4, 4));
    assert!(matches!(
        check(&[one, said_to_be_the_first_ones]),
        Err(WitnessViolation::WrongAnswer { .. })
    ));
}

#[test]
fn a_page_that_skips_a_key_comes_in_another_order_or_is_too_long_is_rejected() {
    let (a, b) = (("a", seen(3, 3)), ("b", seen(4, 4)));
    let first = Listing { limit: Some(1), ..Listing::of_prefix("") };
    let with_more = |listing: &Listing, listed: &[(&str, Option<Seen>)]| {
        let mut page = page_of(list(9, (100, 110), 4, listed), listing.clone(), None);
        let Outcome::Answered { answer: Answer::Listed(listed), .. } = &mut page.outcome else {
            unreachable!("it is a page")
        };
        listed.has_more = true;
        check(&[page])
    };
    assert_eq!(with_more(&first, &[a]), Ok(()));
    assert!(with_more(&first, &[b]).is_err(), "it skips a key");
    assert!(with_more(&first, &[a, b]).is_err(), "it is too long");
    assert!(with_more(&first, &[]).is_err(), "whoever follows it never comes to an end");
    let reverse = Listing { order: Order::Descending, ..first };
    assert_eq!(with_more(&reverse, &[b]), Ok(()));
    assert!(with_more(&reverse, &[a]).is_err(), "it begins at the wrong end");
}

#[test]
fn a_long_history_with_as_many_lists_as_writes_is_decided() {
    let (mut history, mut writes) = (Vec::new(), Vec::new());
    for round in 0..5_000_u64 {
        let (id, at, revision) = (10 * round, 100 * round, round + 1);
        let write = put_at(&format!("{:04}", round % 8), id, (at, at + 50), revision);
        writes.push(Write { operation: write.id, call: write.call.clone() });
        history.push(write);
        let there: Vec<(String, Option<Seen>)> = (0..8)
            .filter_map(|slot| {
                let last = (round + 8 - slot) % 8;
                let written = round.checked_sub(last)?;
                Some((format!("{slot:04}"), seen(10 * written, written + 1)))
            })
            .collect();
        let there: Vec<(&str, Option<Seen>)> =
            there.iter().map(|(key, seen)| (key.as_str(), *seen)).collect();
        history.push(list(id + 2, (at + 60, at + 90), revision, &there));
    }
    assert_eq!(key::check(&history), Ok(()));
    assert_eq!(witness::check(&history, &writes), Ok(()));
}
