//! Phase 2, by Lamport, *Paxos Made Simple*, sections 2.2 and 3, and van Renesse and
//! Altinbuken, *Paxos Made Moderately Complex*.

use coordinator::config::Config;
use coordinator::coordinator::ChosenLookup;
use coordinator::effect::{Effect, Input, RequestId, Timer};
use shared::ids::{AcceptorId, Ballot, ClusterId, Slot};
use shared::message::{
    Accept, AcceptReply, Accepted, ChosenEntry, ChosenReply, Full, Marks, Proposal, ProposalReply,
    VoteRoom,
};
use shared::page::PageLimits;

use crate::support::*;

fn reply(request: u64, reply: ProposalReply) -> Effect {
    Effect::ProposalReply { id: RequestId(request), reply }
}

fn chosen_reply(request: u64, slot: u64, ballot: Ballot, below: u64) -> Effect {
    reply(request, ProposalReply::Chosen { slot: Slot(slot), ballot, chosen_below: Slot(below) })
}

fn entry(slot: u64, ballot: Ballot, text: &str) -> ChosenEntry {
    ChosenEntry { slot: Slot(slot), ballot, value: value(text) }
}

fn overloaded(request: u64, limit: &str) -> Effect {
    reply(request, ProposalReply::Overloaded { limit: limit.to_owned() })
}

fn full(bench: &mut Bench, index: usize, ballot: Ballot) -> Vec<Effect> {
    let reply = AcceptReply::Full(Full { acceptor: id(index), limit: "disk".to_owned() });
    bench.step(Input::AcceptReply { from: at(index), ballot, reply })
}

const PAGE: PageLimits = PageLimits { items: 10, bytes: 1_000 };

#[test]
fn a_leader_gives_each_value_the_next_slot_without_waiting_for_the_one_before() {
    let (mut bench, mine) = Bench::leading();
    assert_eq!(
        bench.propose(1, 0, "a"),
        accepts(&accept(mine, vec![slot_value(0, value("a"))], 0))
    );
    assert_eq!(
        bench.propose(2, 1, "b"),
        accepts(&accept(mine, vec![slot_value(1, value("b"))], 0))
    );
}

#[test]
fn a_value_is_chosen_when_a_majority_has_accepted_it() {
    let (mut bench, mine) = Bench::leading();
    bench.propose(1, 0, "a");
    assert_eq!(bench.accepted(0, mine, &[0]), []);
    assert_eq!(bench.accepted(0, mine, &[0]), [], "one acceptor has one vote");
    assert_eq!(
        bench.accepted(2, mine, &[0]),
        [Effect::Chosen(entry(0, mine, "a")), chosen_reply(1, 0, mine, 1)]
    );
    assert_eq!(bench.accepted(1, mine, &[0]), [], "it is chosen once");
}

#[test]
fn votes_of_another_ballot_or_of_strangers_do_not_count() {
    let (mut bench, mine) = Bench::leading();
    bench.propose(1, 0, "a");
    bench.accepted(0, mine, &[0]);
    let older = Ballot { round: mine.round - 1, ..mine };
    assert_eq!(bench.accepted(1, older, &[0]), []);
    let accepted = Accepted {
        acceptor: AcceptorId(9),
        ballot: mine,
        slots: vec![Slot(0)],
        marks: chosen(50),
        room: VoteRoom::default(),
    };
    bench.step(Input::AcceptReply {
        from: at(1),
        ballot: mine,
        reply: AcceptReply::Accepted(accepted),
    });
    let disguised = Accepted {
        acceptor: id(1),
        ballot: older,
        slots: vec![Slot(0)],
        marks: Marks::default(),
        room: VoteRoom::default(),
    };
    assert_eq!(
        bench.step(Input::AcceptReply {
            from: at(1),
            ballot: mine,
            reply: AcceptReply::Accepted(disguised)
        }),
        []
    );
    assert_eq!(bench.core.chosen_below(), Slot(0));
}

#[test]
fn a_value_chosen_out_of_order_is_answered_at_once_and_learned_in_order() {
    let (mut bench, mine) = Bench::leading();
    bench.propose(1, 0, "a");
    bench.propose(2, 1, "b");
    bench.accepted(0, mine, &[1]);
    assert_eq!(bench.accepted(1, mine, &[1]), [chosen_reply(2, 1, mine, 0)]);
    bench.accepted(0, mine, &[0]);
    assert_eq!(
        bench.accepted(1, mine, &[0]),
        [
            Effect::Chosen(entry(0, mine, "a")),
            Effect::Chosen(entry(1, mine, "b")),
            chosen_reply(1, 0, mine, 2)
        ]
    );
}

#[test]
fn what_was_found_in_phase_1_is_chosen_only_by_votes_at_the_new_ballot() {
    let mut bench = Bench::new();
    let mine = bench.stand_for_election(voted(1));
    for index in 0..2 {
        bench.promise(index, promise(index, mine, 0, vec![vote(0, 1, "old")], voted(1)));
    }
    assert_eq!(
        bench.core.chosen_below(),
        Slot(0),
        "a quorum accepted it at the old ballot, but that is not counted"
    );
    bench.accepted(0, mine, &[0]);
    assert_eq!(bench.accepted(1, mine, &[0]), [Effect::Chosen(entry(0, mine, "old"))]);
}

#[test]
fn a_coordinator_that_does_not_lead_proposes_nothing() {
    let mut bench = Bench::new();
    bench.step(Input::Started);
    assert_eq!(bench.propose(1, 0, "a"), [reply(1, ProposalReply::NotLeading)]);
    bench.win_attention(0, Marks::default());
    assert_eq!(bench.propose(2, 0, "a"), [reply(2, ProposalReply::NotLeading)]);
    let lookup = bench.core.chosen(Slot(0), PAGE);
    assert_eq!(lookup, ChosenLookup::Here(ChosenReply::Unavailable));
}

#[test]
fn a_proposal_for_another_cluster_is_not_proposed() {
    let (mut bench, _) = Bench::leading();
    let stray = Proposal { cluster: ClusterId(1), ..proposal(0, "a") };
    assert_eq!(
        bench.step(Input::Proposal { id: RequestId(1), proposal: stray }),
        [reply(1, ProposalReply::NotLeading)]
    );
}

#[test]
fn what_was_not_accepted_is_sent_again_to_those_who_did_not() {
    let (mut bench, mine) = Bench::leading();
    bench.propose(1, 0, "a");
    bench.accepted(1, mine, &[0]);
    bench.wait_ms(100);
    let alive = accept(mine, vec![], 0);
    assert_eq!(
        bench.fire(Timer::Lead),
        all([accepts(&alive), vec![arm(Timer::Lead, 100, 0)]]),
        "not yet"
    );
    bench.wait_ms(100);
    let again = accept(mine, vec![slot_value(0, value("a"))], 0);
    let send = |to, message: &Accept| Effect::Accept { to: at(to), message: message.clone() };
    assert_eq!(
        bench.fire(Timer::Lead),
        [send(0, &again), send(1, &alive), send(2, &again), arm(Timer::Lead, 100, 0)]
    );
    bench.wait_ms(100);
    assert_eq!(
        bench.fire(Timer::Lead),
        all([accepts(&alive), vec![arm(Timer::Lead, 100, 0)]]),
        "it was sent just now"
    );
}

#[test]
fn a_batch_that_is_proposed_again_joins_the_slot_that_it_has() {
    let (mut bench, mine) = Bench::leading();
    bench.propose(1, 0, "a");
    assert_eq!(bench.propose(2, 0, "a"), []);
    assert_eq!(
        bench.propose(3, 0, "other"),
        accepts(&accept(mine, vec![slot_value(1, value("other"))], 0))
    );
    bench.accepted(0, mine, &[0]);
    assert_eq!(
        bench.accepted(1, mine, &[0]),
        [
            Effect::Chosen(entry(0, mine, "a")),
            chosen_reply(1, 0, mine, 1),
            chosen_reply(2, 0, mine, 1)
        ]
    );
    assert_eq!(
        bench.propose(4, 0, "a"),
        accepts(&accept(mine, vec![slot_value(2, value("a"))], 1)),
        "the slot is settled"
    );
}

#[test]
fn more_than_the_limits_allow_is_refused_at_once() {
    let config = Config {
        max_in_flight_slots: 2,
        max_in_flight_bytes: 10,
        max_accept_bytes: 8,
        ..Config::new(3)
    };
    let (mut bench, mine) = Bench::leading_with(config);
    assert_eq!(
        bench.propose(1, 0, "123456789"),
        [overloaded(1, "a value of 9 bytes is above the limit of 8")]
    );
    bench.propose(2, 1, "1234567");
    assert_eq!(bench.propose(3, 2, "1234"), [overloaded(3, "7 bytes are in flight")]);
    bench.propose(4, 3, "1");
    assert_eq!(bench.propose(5, 4, "1"), [overloaded(5, "2 slots are in flight")]);
    bench.accepted(0, mine, &[0]);
    bench.accepted(1, mine, &[0]);
    assert_eq!(
        bench.propose(6, 5, "1"),
        accepts(&accept(mine, vec![slot_value(2, value("1"))], 1))
    );
}

#[test]
fn while_a_quorum_is_full_new_values_are_refused_and_old_ones_sent_on() {
    let (mut bench, mine) = Bench::leading();
    bench.propose(1, 0, "a");
    assert_eq!(full(&mut bench, 0, mine), []);
    assert_eq!(
        bench.propose(2, 1, "b"),
        accepts(&accept(mine, vec![slot_value(1, value("b"))], 0)),
        "two have room"
    );
    full(&mut bench, 1, mine);
    assert_eq!(bench.propose(3, 2, "c"), [overloaded(3, "2 acceptors have no room")]);
    assert_eq!(
        bench.core.status(bench.now).no_room.as_deref(),
        Some("2 acceptors have no room"),
        "for who has waited for long"
    );
    assert_eq!(bench.accepted(2, mine, &[0, 1]), []);
    assert_eq!(
        bench.accepted(1, mine, &[0, 1]),
        [
            Effect::Chosen(entry(0, mine, "a")),
            Effect::Chosen(entry(1, mine, "b")),
            chosen_reply(1, 0, mine, 2),
            chosen_reply(2, 1, mine, 2)
        ],
        "room came back, and nobody was told otherwise meanwhile"
    );
    assert_eq!(
        bench.propose(4, 3, "d"),
        accepts(&accept(mine, vec![slot_value(2, value("d"))], 2))
    );
}

#[test]
fn that_acceptors_were_full_is_forgotten() {
    let (mut bench, mine) = Bench::leading();
    full(&mut bench, 0, mine);
    full(&mut bench, 1, mine);
    assert_eq!(bench.propose(1, 0, "a"), [overloaded(1, "2 acceptors have no room")]);
    bench.wait_ms(1_000);
    assert_eq!(
        bench.propose(2, 0, "a"),
        accepts(&accept(mine, vec![slot_value(0, value("a"))], 0))
    );
}

#[test]
fn what_acceptors_know_to_be_chosen_is_a_fact_but_whose_value_it_was_is_not() {
    let (mut bench, mine) = Bench::leading();
    bench.propose(1, 0, "a");
    bench.propose(2, 1, "b");
    bench.propose(3, 2, "c");
    assert_eq!(
        bench.accepted_with(2, mine, &[], chosen(2)),
        [reply(1, ProposalReply::Unresolved), reply(2, ProposalReply::Unresolved)]
    );
    assert_eq!(bench.core.chosen_below(), Slot(2));
    assert_eq!(
        bench.core.chosen(Slot(0), PAGE),
        ChosenLookup::Older {
            roster: roster(),
            from: Slot(0),
            below: Slot(2),
            chosen_below: Slot(2)
        }
    );
    bench.accepted(0, mine, &[2]);
    assert_eq!(
        bench.accepted(1, mine, &[2]),
        [Effect::Chosen(entry(2, mine, "c")), chosen_reply(3, 2, mine, 3)]
    );
}

#[test]
fn new_values_go_after_what_acceptors_know_to_be_chosen() {
    let (mut bench, mine) = Bench::leading();
    bench.accepted_with(2, mine, &[], chosen(7));
    assert_eq!(
        bench.propose(1, 0, "a"),
        accepts(&accept(mine, vec![slot_value(7, value("a"))], 7))
    );
}

#[test]
fn a_leader_gives_out_what_was_chosen() {
    let (mut bench, mine) = Bench::leading();
    for (slot, text) in ["a", "b"].into_iter().enumerate() {
        bench.propose(slot as u64, slot as u64, text);
        bench.accepted(0, mine, &[slot as u64]);
        bench.accepted(1, mine, &[slot as u64]);
    }
    let page = |from, entries| {
        let reply = ChosenReply::Entries { entries, chosen_below: Slot(2), previous: None };
        assert_eq!(bench.core.chosen(Slot(from), PAGE), ChosenLookup::Here(reply));
    };
    page(0, vec![entry(0, mine, "a"), entry(1, mine, "b")]);
    page(1, vec![entry(1, mine, "b")]);
    page(2, vec![]);
    page(9, vec![]);
}

#[test]
fn what_acceptors_have_trimmed_is_to_be_had_from_replicas() {
    let (mut bench, mine) = Bench::leading();
    bench.accepted_with(0, mine, &[], Marks { trimmed_below: Slot(4), ..chosen(7) });
    let trimmed = ChosenLookup::Here(ChosenReply::Trimmed { oldest: Slot(4) });
    assert_eq!(bench.core.chosen(Slot(3), PAGE), trimmed);
    let older = ChosenLookup::Older {
        roster: roster(),
        from: Slot(4),
        below: Slot(7),
        chosen_below: Slot(7),
    };
    assert_eq!(bench.core.chosen(Slot(4), PAGE), older);
}

#[test]
fn of_too_many_that_wait_for_one_batch_the_one_that_waited_longest_gives_way() {
    let (mut bench, mine) =
        Bench::leading_with(Config { max_waiters_per_slot: 2, ..Config::new(3) });
    bench.propose(1, 0, "a");
    bench.propose(2, 0, "a");
    assert_eq!(bench.propose(3, 0, "a"), [reply(1, ProposalReply::Unresolved)]);
    bench.accepted(0, mine, &[0]);
    assert_eq!(
        bench.accepted(1, mine, &[0]),
        [
            Effect::Chosen(entry(0, mine, "a")),
            chosen_reply(2, 0, mine, 1),
            chosen_reply(3, 0, mine, 1)
        ]
    );
}
