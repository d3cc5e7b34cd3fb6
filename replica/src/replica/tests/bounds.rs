//! No number from outside moves one of ours by more than a bound, and what one says alone
//! does not outlast its silence.

use shared::bounds::TooFar;

use super::*;
use crate::replica::event::Claimant;

fn chosen_below(rig: &Rig) -> u64 {
    rig.replica.status(rig.now).chosen_below.0
}

fn refused(from: Claimant, what: &'static str, got: u64, known: u64, ahead: u64) -> Effect {
    Effect::ClaimRefused { from, why: TooFar { what, got, known, ahead } }
}

fn coordinator_1() -> Claimant {
    Claimant::Coordinator(coordinator(1).name)
}

#[test]
fn what_a_coordinator_says_to_be_chosen_far_above_what_is_learned_is_not_believed() {
    let mut rig = Rig::backup();
    let far = (1 << 40) + 2;
    let said = rig.leads(1, 1, far);
    assert_eq!(said, [refused(coordinator_1(), "chosen_below", far, 1, 1 << 40)]);
    assert_eq!(chosen_below(&rig), 1);
}

#[test]
fn what_a_coordinator_alone_says_to_be_chosen_is_forgotten_with_its_silence() {
    let mut rig = Rig::backup();
    rig.leads(1, 1, 900);
    assert_eq!(chosen_below(&rig), 900);
    rig.after(4_999).fire(Timer::Heartbeat);
    assert_eq!(chosen_below(&rig), 900);
    rig.after(1).fire(Timer::Heartbeat);
    assert_eq!(chosen_below(&rig), 1);
}

#[test]
fn a_coordinator_does_not_lead_at_a_ballot_that_nobody_can_reach() {
    let mut rig = Rig::backup();
    let far = 1 << 62;
    rig.leads(2, 1, 0);
    let said = rig.leads(1, far, 0);
    assert_eq!(said, [refused(coordinator_1(), "round", far, 1, 1 << 32)]);
    let leader = rig.replica.status(rig.now).leader.unwrap();
    assert_eq!(leader.member, coordinator(2));
}

#[test]
fn pages_and_proposals_with_slots_that_nobody_can_reach_are_not_learned() {
    let far = (1 << 40) + 2;
    let mut rig = Rig::backup();
    let effects = rig.fetched(2, entries(&[noop(1), noop(far)], 2));
    assert!(effects.contains(&refused(Claimant::Source, "slot", far, 1, 1 << 40)), "{effects:?}");
    assert_eq!(rig.replica.status(rig.now).learned_below, Slot(1));

    let mut rig = Rig::primary();
    rig.mutation(1, "a");
    let effects = rig.reply(1, 1, 0, Ok(chosen_at(far)));
    assert!(effects.contains(&refused(Claimant::Leader, "slot", far, 1, 1 << 40)), "{effects:?}");
    assert_eq!(chosen_below(&rig), 1);
}

#[test]
fn what_one_acceptor_says_to_be_chosen_counts_only_as_far_as_a_quorum_has_voted() {
    let mut rig = Rig::backup();
    rig.after(1_000).fire(Timer::Probe);
    let mut lie = watermarks(3, 1 << 39, Some(roster()));
    lie.marks.chosen_below = Slot(1 << 39);
    rig.watermarks(2, 1, 1);
    let reply = Ok(lie);
    rig.step(Input::ProbeReply { probe: ProbeId(2), reply });
    rig.watermarks(2, 2, 1);
    rig.after(1_000).fire(Timer::Probe);
    rig.watermarks(3, 1, 1);
    rig.watermarks(3, 2, 1);
    assert_eq!(chosen_below(&rig), 1, "nor does it outlast the next answers");
}
