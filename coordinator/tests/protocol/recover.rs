//! Chosen values from acceptors' votes.

use coordinator::recover::{Gathering, RecoverError, Wanted, recover};
use shared::ids::{AcceptorId, Slot};
use shared::message::{ChosenEntry, ChosenReply, Marks, Vote, VotesPage};
use shared::page::PageLimits;

use crate::support::*;

fn page(index: usize, votes: Vec<Vote>) -> VotesPage {
    VotesPage {
        acceptor: id(index),
        roster: Some(roster()),
        votes,
        next: None,
        marks: Marks::default(),
    }
}

fn entry(slot: u64, round: u64, text: &str) -> ChosenEntry {
    ChosenEntry { slot: Slot(slot), ballot: ballot(round, OTHER), value: value(text) }
}

#[test]
fn of_a_chosen_slot_the_vote_with_the_highest_ballot_in_any_quorum_holds_the_value() {
    // Chosen at ballot 2 by two acceptors; the other one, whichever it is, has only the
    // vote of a ballot that came to nothing.
    for stale in 0..3 {
        let vote_of =
            |index| if index == stale { vote(0, 1, "stale") } else { vote(0, 2, "chosen") };
        for quorum in [[0, 1], [0, 2], [1, 2]] {
            let answers = quorum.map(|index| page(index, vec![vote_of(index)]));
            let recovered = recover(&roster(), Slot(0), Slot(1), &answers);
            assert_eq!(
                recovered,
                Ok(vec![entry(0, 2, "chosen")]),
                "of {quorum:?}, where {stale} is behind"
            );
        }
    }
}

#[test]
fn nothing_at_or_above_the_chosen_watermark_is_recovered() {
    let votes = || vec![vote(0, 1, "a"), vote(1, 1, "open")];
    let pages = [page(0, votes()), page(1, votes())];
    assert_eq!(recover(&roster(), Slot(0), Slot(1), &pages), Ok(vec![entry(0, 1, "a")]));
    assert_eq!(recover(&roster(), Slot(1), Slot(1), &pages), Ok(vec![]));
}

#[test]
fn a_slot_needs_the_answers_of_a_quorum_of_the_roster() {
    let votes = || vec![vote(0, 1, "a")];
    let stranger = VotesPage { acceptor: AcceptorId(9), ..page(1, votes()) };
    let unformed = VotesPage { roster: None, ..page(1, votes()) };
    for other in [page(0, votes()), stranger, unformed] {
        let error = RecoverError::NoQuorum { slot: Slot(0), answers: 1, quorum: 2 };
        assert_eq!(recover(&roster(), Slot(0), Slot(1), &[page(0, votes()), other]), Err(error));
    }
}

#[test]
fn it_goes_as_far_as_the_pages_of_a_quorum_reach() {
    let cut = VotesPage { next: Some(Slot(1)), ..page(1, vec![vote(0, 1, "a")]) };
    let pages = [page(0, vec![vote(0, 1, "a"), vote(1, 1, "b")]), cut];
    assert_eq!(recover(&roster(), Slot(0), Slot(2), &pages), Ok(vec![entry(0, 1, "a")]));
}

#[test]
fn a_trimmed_slot_is_said_to_be_trimmed_and_never_taken_for_unvoted() {
    let marks = Marks { voted_below: Slot(3), chosen_below: Slot(3), trimmed_below: Slot(2) };
    let trimmed = |index| VotesPage { marks, ..page(index, vec![vote(2, 1, "c")]) };
    assert_eq!(
        recover(&roster(), Slot(0), Slot(3), &[trimmed(0), trimmed(1)]),
        Err(RecoverError::Trimmed { oldest: Slot(2) })
    );
    assert_eq!(
        recover(&roster(), Slot(2), Slot(3), &[trimmed(0), trimmed(1)]),
        Ok(vec![entry(2, 1, "c")])
    );
    let whole = |index| page(index, vec![vote(0, 1, "a"), vote(1, 1, "b"), vote(2, 1, "c")]);
    assert_eq!(
        recover(&roster(), Slot(1), Slot(3), &[trimmed(0), whole(1), whole(2)]),
        Ok(vec![entry(1, 1, "b"), entry(2, 1, "c")]),
        "two of them still have it"
    );
}

#[test]
fn a_chosen_slot_without_a_vote_in_a_quorum_is_a_loss_and_called_so() {
    let pages = [page(0, vec![vote(0, 1, "a")]), page(1, vec![])];
    assert_eq!(
        recover(&roster(), Slot(0), Slot(2), &pages),
        Ok(vec![entry(0, 1, "a")]),
        "what can be told is told first"
    );
    assert_eq!(
        recover(&roster(), Slot(1), Slot(2), &pages),
        Err(RecoverError::Lost { slot: Slot(1) })
    );
}

fn gathering(from: u64) -> Gathering {
    let limits = PageLimits { items: 1, bytes: 1_024 };
    Gathering::new(
        Wanted {
            roster: roster(),
            from: Slot(from),
            below: Slot(2),
            chosen_below: Slot(7),
            limits,
        },
        3,
    )
}

#[test]
fn pages_are_gathered_until_a_quorum_tells_the_first_slot_or_nobody_is_left_to_ask() {
    let whole = |index| Some(page(index, vec![vote(0, 1, "a"), vote(1, 1, "b")]));
    let mut told = gathering(0);
    assert_eq!(told.take(whole(0)), Ok(None));
    let head = ChosenReply::Entries {
        entries: vec![entry(0, 1, "a")],
        chosen_below: Slot(7),
        previous: None,
    };
    assert_eq!(told.take(whole(1)), Ok(Some(head)), "as much as an answer holds");
    let mut untold = gathering(0);
    assert_eq!((untold.take(None), untold.take(whole(1))), (Ok(None), Ok(None)));
    assert_eq!(untold.take(None), Ok(Some(ChosenReply::Unavailable)));
}

#[test]
fn that_slots_are_trimmed_or_lost_is_told_only_when_everybody_was_asked() {
    let marks = Marks { trimmed_below: Slot(1), ..Marks::default() };
    let trimmed = |index| Some(VotesPage { marks, ..page(index, vec![]) });
    let mut gone = gathering(0);
    assert_eq!((gone.take(trimmed(0)), gone.take(trimmed(1))), (Ok(None), Ok(None)));
    assert_eq!(gone.take(trimmed(2)), Ok(Some(ChosenReply::Trimmed { oldest: Slot(1) })));
    let mut lost = gathering(0);
    assert_eq!(
        (lost.take(Some(page(0, vec![]))), lost.take(Some(page(1, vec![])))),
        (Ok(None), Ok(None))
    );
    assert_eq!(lost.take(None), Err(RecoverError::Lost { slot: Slot(0) }));
}
