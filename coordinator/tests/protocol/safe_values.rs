//! The choice of safe values against its definition, by brute force.
//!
//! P2c of Lamport, *Paxos Made Simple*, section 2.2: "For any v and n, if a proposal with
//! value v and number n is issued, then there is a set S consisting of a majority of
//! acceptors such that either (a) no acceptor in S has accepted any proposal numbered
//! less than n, or (b) v is the value of the highest-numbered proposal among all
//! proposals numbered less than n accepted by the acceptors in S."

use bytes::Bytes;
use coordinator::phase1::{Report, safe_values};
use proptest::prelude::*;
use shared::ids::Slot;
use shared::message::{Marks, Vote};

use crate::support::*;

const ACCEPTORS: usize = 3;
const SLOTS: u64 = 4;

/// One ballot of a history: who promises and whom its Accepts reach, slot by slot, as
/// sets of bits.
#[derive(Clone, Debug)]
struct Turn {
    promising: u8,
    reached: Vec<u8>,
    fresh_slots: u64,
}

fn turn() -> impl Strategy<Value = Turn> {
    let reached = proptest::collection::vec(0..1_u8 << ACCEPTORS, SLOTS as usize);
    (0..1_u8 << ACCEPTORS, reached, 0..=SLOTS).prop_map(|(promising, reached, fresh_slots)| Turn {
        promising,
        reached,
        fresh_slots,
    })
}

/// Everything every acceptor ever accepted, and the latest vote per slot that it would
/// report.
#[derive(Default)]
struct History {
    accepted: Vec<(usize, Slot, u64, Bytes)>,
}

impl History {
    fn latest(&self, acceptor: usize, slot: Slot) -> Option<(u64, Bytes)> {
        let votes = self.accepted.iter().filter(|(who, at, _, _)| (*who, *at) == (acceptor, slot));
        votes
            .max_by_key(|(_, _, round, _)| *round)
            .map(|(_, _, round, value)| (*round, value.clone()))
    }

    fn report(&self, acceptor: usize) -> Report {
        let votes: Vec<Vote> = (0..SLOTS)
            .map(Slot)
            .filter_map(|slot| {
                let (round, value) = self.latest(acceptor, slot)?;
                Some(Vote { slot, ballot: ballot(round, OTHER), value })
            })
            .collect();
        let voted_below = votes.last().map_or(Slot(0), |vote| vote.slot.next());
        Report { votes, marks: Marks { voted_below, ..Marks::default() } }
    }

    /// What a quorum accepted at one ballot.
    fn chosen(&self, slot: Slot) -> Vec<Bytes> {
        let rounds = self
            .accepted
            .iter()
            .filter(|(_, at, _, _)| *at == slot)
            .map(|(_, _, round, value)| (*round, value));
        rounds
            .filter(|(round, _)| {
                let voters = (0..ACCEPTORS).filter(|who| {
                    self.accepted.iter().any(|(voter, at, at_round, _)| {
                        (voter, at, at_round) == (who, &slot, round)
                    })
                });
                voters.count() > ACCEPTORS / 2
            })
            .map(|(_, value)| value.clone())
            .collect()
    }
}

fn members(bits: u8) -> Vec<usize> {
    (0..ACCEPTORS).filter(|who| bits & (1 << who) != 0).collect()
}

/// Every value that P2c allows for the slot, given exactly this quorum; none means any.
fn by_definition(history: &History, quorum: &[usize], slot: Slot) -> Option<Bytes> {
    let mut best: Option<(u64, Bytes)> = None;
    for who in quorum {
        for (voter, at, round, value) in &history.accepted {
            if voter == who
                && *at == slot
                && best.as_ref().is_none_or(|(highest, _)| round > highest)
            {
                best = Some((*round, value.clone()));
            }
        }
    }
    best.map(|(_, value)| value)
}

fn run(turns: &[Turn]) -> Result<(), TestCaseError> {
    let mut history = History::default();
    for (round, turn) in (1_u64..).zip(turns) {
        let quorum = members(turn.promising);
        if quorum.len() <= ACCEPTORS / 2 {
            continue;
        }
        let reports: Vec<Report> = quorum.iter().map(|who| history.report(*who)).collect();
        let safe = safe_values(Slot(0), &reports);
        prop_assert_eq!(safe.start, Slot(0));
        let end = reports.iter().map(|report| report.marks.voted_below.0).max().unwrap_or(0);
        prop_assert_eq!(safe.values.len() as u64, end);
        for slot in (0..SLOTS).map(Slot) {
            let proposed = match safe.values.get(slot.0 as usize) {
                Some(value) => {
                    let expected = by_definition(&history, &quorum, slot).unwrap_or_else(noop);
                    prop_assert_eq!(value, &expected, "slot {} in round {}", slot, round);
                    value.clone()
                }
                None if slot.0 < end + turn.fresh_slots => value(&format!("{slot}@{round}")),
                None => continue,
            };
            // An acceptor that did not promise may still accept: its promise is lower.
            let reached = members(turn.reached[slot.0 as usize]);
            history
                .accepted
                .extend(reached.into_iter().map(|who| (who, slot, round, proposed.clone())));
        }
        for slot in (0..SLOTS).map(Slot) {
            let chosen = history.chosen(slot);
            prop_assert!(
                chosen.windows(2).all(|pair| pair[0] == pair[1]),
                "slot {} has two values: {:?}",
                slot,
                chosen
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_choice_is_the_one_of_the_paper_and_no_history_of_such_choices_chooses_two_values(
        turns in proptest::collection::vec(turn(), 1..12)
    ) {
        run(&turns)?;
    }
}

#[test]
fn the_order_of_the_reports_and_of_the_acceptors_does_not_matter() {
    let one = Report { votes: vec![vote(0, 3, "new"), vote(1, 1, "old")], marks: voted(2) };
    let other = Report { votes: vec![vote(0, 2, "old"), vote(1, 2, "new")], marks: voted(2) };
    let there = safe_values(Slot(0), &[one.clone(), other.clone()]);
    let back = safe_values(Slot(0), &[other, one]);
    assert_eq!(there.values, [value("new"), value("new")]);
    assert_eq!(there, back);
}

#[test]
fn nothing_is_chosen_for_slots_below_the_one_asked_from() {
    let report = Report { votes: vec![vote(5, 1, "five")], marks: voted(6) };
    let safe = safe_values(Slot(5), &[report, Report::default()]);
    assert_eq!((safe.start, safe.values), (Slot(5), vec![value("five")]));
}

#[test]
fn nothing_is_chosen_for_slots_that_an_acceptor_knows_to_be_settled() {
    for marks in
        [Marks { chosen_below: Slot(5), ..voted(6) }, Marks { trimmed_below: Slot(5), ..voted(6) }]
    {
        let reports = [
            Report { votes: vec![vote(4, 1, "four"), vote(5, 1, "five")], marks: voted(6) },
            Report { votes: vec![], marks },
        ];
        let safe = safe_values(Slot(0), &reports);
        assert_eq!((safe.start, safe.values), (Slot(5), vec![value("five")]));
    }
}

#[test]
#[should_panic(expected = "two values were proposed for slot 0 at ballot")]
fn two_values_of_one_ballot_are_a_broken_invariant() {
    let report = |text| Report { votes: vec![vote(0, 1, text)], marks: voted(1) };
    drop(safe_values(Slot(0), &[report("one"), report("other")]));
}
