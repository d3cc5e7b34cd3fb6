//! What a leader says of votes that acceptors have forgotten, and of slots that no replica
//! has.

use coordinator::coordinator::Trouble;
use coordinator::effect::{Effect, Input, RequestId};
use shared::chain::ChainHash;
use shared::ids::{Instance, Slot};
use shared::message::{Heartbeat, Marks, Phase, ProposalReply};

use crate::support::*;

#[test]
fn nobody_is_made_primary_where_nobody_has_what_acceptors_have_trimmed() {
    let (mut bench, mine) = Bench::leading();
    let trimmed = Marks { chosen_below: Slot(10), trimmed_below: Slot(8), ..chosen(10) };
    bench.accepted_with(0, mine, &[], trimmed);
    let old = |executed| {
        move |replica| Heartbeat {
            executed_below: Slot(executed),
            instance: Instance(replica),
            ..heartbeat(replica, Some(view(4, 1, &[2, 3])))
        }
    };
    assert_eq!(proposed(&beats(&mut bench, 101, old(7))), []);
    let troubles = bench.core.troubles(bench.now);
    let [Trouble::SlotsLost(what)] = &troubles[..] else { panic!("{troubles:?}") };
    assert!(what.starts_with("slots 7 to 7 are trimmed, and no replica"), "{what}");
    assert!(what.contains("replica-1 has executed below 7"), "{what}");
    assert_eq!(
        proposed(&beats(&mut bench, 1, old(8))),
        [view(5, 1, &[2, 3])].map(|mut view| {
            view.primary_instance = Instance(1);
            view
        })
    );
    assert_eq!(bench.core.troubles(bench.now), []);
}

fn is_refused(bench: &mut Bench, number: u64) -> Option<String> {
    let id = RequestId(number);
    let effects = bench.step(Input::Proposal { id, proposal: proposal(number, "x") });
    effects.iter().find_map(|effect| {
        if let Effect::ProposalReply { reply: ProposalReply::Overloaded { limit }, .. } = effect {
            Some(limit.clone())
        } else {
            None
        }
    })
}

/// The polls among effects.
fn asked(effects: &[Effect]) -> Option<u64> {
    effects.iter().find_map(|effect| {
        if let Effect::PollWatermarks { poll, .. } = effect { Some(poll.0) } else { None }
    })
}

#[test]
fn a_leader_behind_a_replica_proposes_nothing_and_says_that_votes_are_lost() {
    let (mut bench, mine) = Bench::leading();
    let ahead = Heartbeat { executed_below: Slot(3), ..heartbeat(1, Some(view(4, 1, &[]))) };
    let poll = asked(&bench.step(Input::Heartbeat(ahead.clone()))).expect("it asks");
    let refusal = is_refused(&mut bench, 0).expect("refused at once");
    assert!(refusal.contains("replica-1 has executed below 3"), "{refusal}");
    assert_eq!(bench.core.troubles(bench.now), [], "another may lead");
    bench.watermarks(0, poll, led(0, mine));
    assert_eq!(bench.core.troubles(bench.now), [], "no quorum yet");
    let effects = bench.watermarks(1, poll, led(1, mine));
    assert!(matches!(&effects[..], [Effect::VotesLost(_)]), "{effects:?}");
    assert!(matches!(&bench.core.troubles(bench.now)[..], [Trouble::VotesLost(_)]));
    let nudge = Heartbeat { nudge_below: Some(Slot(3)), ..ahead };
    assert_eq!(bench.step(Input::Heartbeat(nudge)), [], "no no-ops, no views");
    let forged = heartbeat(1, Some(view(4, 1, &[])));
    bench.step(Input::Heartbeat(forged));
    assert_eq!(is_refused(&mut bench, 1), None, "it takes the number back");
}

#[test]
fn a_leader_whose_place_another_has_taken_does_not_cry_that_votes_are_lost() {
    let (mut bench, mine) = Bench::leading();
    let ahead = Heartbeat { executed_below: Slot(3), ..heartbeat(1, None) };
    let poll = asked(&bench.step(Input::Heartbeat(ahead))).expect("it asks");
    bench.watermarks(0, poll, led(0, mine));
    let higher = ballot(mine.round + 1, OTHER);
    let effects = bench.watermarks(1, poll, led(1, higher));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::VotesLost(_))), "{effects:?}");
    assert_eq!(bench.core.phase(), Phase::Inactive);
}

#[test]
fn replicas_that_tell_of_two_logs_below_one_slot_are_named_until_one_of_them_is_silent() {
    let (mut bench, mine) = Bench::leading();
    bench.accepted_with(0, mine, &[], chosen(9));
    let tells = |replica, below, byte| Heartbeat {
        executed_below: Slot(below),
        hash: ChainHash([byte; 32]),
        ..heartbeat(replica, Some(view(1, 1, &[2, 3])))
    };
    for beat in [tells(1, 7, 1), tells(2, 8, 2), tells(3, 9, 3)] {
        bench.step(Input::Heartbeat(beat));
    }
    assert_eq!(bench.core.troubles(bench.now), [], "nobody knows of one slot");
    bench.step(Input::Heartbeat(tells(1, 9, 3)));
    assert_eq!(bench.core.troubles(bench.now), []);
    bench.step(Input::Heartbeat(tells(2, 9, 4)));
    let troubles = bench.core.troubles(bench.now);
    let [Trouble::TwoHistories(what)] = &troubles[..] else { panic!("{troubles:?}") };
    let parts = ["below slot 9", "replica-1", "replica-2", "0303", "0404"];
    assert!(parts.iter().all(|part| what.contains(part)), "{what}");
    for _ in 0..101 {
        bench.wait_ms(100);
        bench.step(Input::Heartbeat(tells(1, 9, 3)));
    }
    assert_eq!(bench.core.troubles(bench.now), []);
}
