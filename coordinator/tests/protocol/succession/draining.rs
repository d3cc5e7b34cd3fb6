//! What a leader does between being asked for other acceptors and proposing the stop.

use super::*;

#[test]
fn a_drained_leader_proposes_the_stop_and_nothing_after_it() {
    let (mut bench, mine) = leading();
    let stop = slot_value(0, succession(0).encode_stop());
    assert_eq!(ask(&mut bench, 1, all_found()), accepts(&accept(mine, vec![stop], 0)));
    let limit = "the acceptors are being changed".to_owned();
    let overloaded = shared::message::ProposalReply::Overloaded { limit };
    let refusal = Effect::ProposalReply { id: RequestId(2), reply: overloaded };
    assert_eq!(bench.propose(2, 0, "a"), [refusal]);
    let nudge = Heartbeat { nudge_below: Some(Slot(3)), ..beat(1, 0) };
    assert_eq!(bench.step(Input::Heartbeat(nudge)), []);
    let other = WantedAcceptors::All(urls(["0", "2", "new"]));
    let under_way = refused(3, AcceptorsRefused::ChangeUnderWay);
    assert_eq!(ask_for(&mut bench, 3, other, all_found()), under_way);
}

#[test]
fn a_leader_waits_until_all_that_it_gave_away_is_chosen_and_durable() {
    let (mut bench, mine) = leading();
    bench.propose(1, 0, "a");
    assert_eq!(ask(&mut bench, 2, all_found()), []);
    let lead = |bench: &mut Bench| {
        bench.wait_ms(100);
        let looks = |effect: &Effect| matches!(effect, Effect::Survey { .. });
        let looks = bench.fire(Timer::Lead).iter().any(looks);
        all_beat(bench, 0);
        looks
    };
    let waits_for = |bench: &Bench| bench.core.status(bench.now).change_waits_for;
    assert!(!lead(&mut bench), "it is in flight");
    bench.accepted(0, mine, &[0]);
    bench.accepted(1, mine, &[0]);
    assert!(!lead(&mut bench), "it is not durable");
    let said = "all that is chosen, below slot 1, to be durable at the replicas: replica-1 holds \
                durably only what is below 0";
    assert_eq!(waits_for(&bench).as_deref(), Some(said));
    for replica in 1..=2 {
        bench.step(Input::Heartbeat(beat(replica, 1)));
    }
    assert!(!lead(&mut bench), "not everywhere");
    all_beat(&mut bench, 1);
    assert!(lead(&mut bench));
    assert_eq!(waits_for(&bench).as_deref(), Some("a last look at all acceptors and services"));
}

#[test]
fn what_does_not_become_durable_ends_the_change_with_nothing_changed() {
    let (mut bench, mine) = leading();
    bench.propose(1, 0, "a");
    bench.accepted(0, mine, &[0]);
    bench.accepted(1, mine, &[0]);
    assert_eq!(ask(&mut bench, 2, all_found()), []);
    let mut told = Vec::new();
    for _ in 0..60 {
        all_beat(&mut bench, 0);
        bench.wait_ms(100);
        for index in 0..2 {
            bench.accepted(index, mine, &[]);
        }
        let effects = bench.fire(Timer::Lead);
        told.extend(
            effects.into_iter().filter(|effect| matches!(effect, Effect::AcceptorsReply { .. })),
        );
    }
    let why = "replica-1 holds durably only what is below 0".to_owned();
    assert_eq!(told, refused(2, AcceptorsRefused::NotDurable(why)));
    assert!(!bench.propose(3, 1, "b").is_empty(), "and batches are taken again");
}

#[test]
fn no_stop_is_proposed_before_a_replica_tells_of_the_view_at_the_end_of_the_log() {
    let (mut bench, mine) = leading();
    bench.propose(1, 0, "a");
    bench.accepted(0, mine, &[0]);
    bench.accepted(1, mine, &[0]);
    assert_eq!(ask(&mut bench, 2, all_found()), []);
    let looks = |bench: &mut Bench| {
        bench.wait_ms(100);
        let looks = |effect: &Effect| matches!(effect, Effect::Survey { .. });
        bench.fire(Timer::Lead).iter().any(looks)
    };
    // All is durable, but who makes up the view is known only below the last slot.
    for replica in 1..=3 {
        let beat = Heartbeat { executed_below: Slot(0), ..beat(replica, 1) };
        bench.step(Input::Heartbeat(beat));
    }
    assert!(!looks(&mut bench));
    assert!(!looks(&mut bench));
    all_beat(&mut bench, 1);
    assert!(looks(&mut bench));
}
