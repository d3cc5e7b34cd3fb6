//! A replica that is taken out for good.

use shared::message::Removal;

use super::*;
use crate::machine::command::limits;
use crate::machine::state::RemovedReplica;

fn highest(epoch: u64, primary: u64) -> View {
    View { format: format::HIGHEST, ..view(epoch, primary) }
}

/// A view of replicas 2 and 3, from which on replica 1 is out.
fn without_first(slot: u64, epoch: u64) -> ChosenEntry {
    let view = View { backups: vec![replica(3).name], ..highest(epoch, 2) };
    entry(slot, Value::Removal(Removal { view, replica: replica(1).name }).encode())
}

fn out(slot: u64, epoch: u64) -> Effect {
    Effect::Removed(RemovedReplica {
        replica: replica(1).name,
        slot: Slot(slot),
        epoch: Epoch(epoch),
    })
}

fn heartbeats(effects: &[Effect]) -> Vec<&Heartbeat> {
    let mut found = Vec::new();
    for effect in effects {
        if let Effect::Heartbeat { message, .. } = effect {
            found.push(message);
        }
    }
    found
}

#[test]
fn a_primary_that_is_taken_out_settles_what_is_open_ends_and_says_nothing_more() {
    let mut rig = Rig::joined(config());
    rig.chosen(&[entry(0, Value::View(highest(1, 1)).encode())]);
    rig.mutation(1, "k");
    let effects = rig.chosen(&[without_first(1, 2)]);
    let settled = answer(1, Answer::NotApplied(NotApplied::PrimaryChanged));
    let place = |of: &Effect| effects.iter().position(|effect| effect == of);
    assert!(place(&settled).is_some() && place(&settled) < place(&out(1, 2)), "{effects:?}");
    assert_eq!(heartbeats(&effects), Vec::<&Heartbeat>::new());
    let later = rig.after(100).fire(Timer::Heartbeat);
    assert_eq!(heartbeats(&later), Vec::<&Heartbeat>::new());
}

#[test]
fn its_own_removal_is_seen_however_many_others_come_right_behind_it() {
    let mut rig = Rig::joined(config());
    let others = 1..=limits::REMOVALS as u64 + 1;
    let mut log = vec![entry(0, Value::View(highest(1, 1)).encode()), without_first(1, 2)];
    for epoch in others.map(|number| number + 2) {
        let view = View { backups: vec![replica(3).name], ..highest(epoch, 2) };
        let removal = Removal { view, replica: format!("gone-{epoch}").parse().unwrap() };
        log.push(entry(epoch - 1, Value::Removal(removal).encode()));
    }
    let mut effects = rig.fetched(0, entries(&log, log.len() as u64));
    for run in std::iter::once(&log[..2]).chain(log[2..].chunks(1)) {
        assert!(effects.contains(&execute(run)), "a removal ends a run: {effects:?}");
        effects = rig.run(run);
        assert_eq!(effects.contains(&out(1, 2)), run.len() == 2, "it is said once: {effects:?}");
    }
    assert_eq!(rig.replica.meta.removal_of(&replica(1).name), None, "it is not remembered");
    assert_eq!(heartbeats(&rig.after(100).fire(Timer::Heartbeat)), Vec::<&Heartbeat>::new());
}

/// A replica that starts with what the rig's has executed, joined to the cluster at a slot.
fn restarted(before: Rig, joined_at: u64) -> (Rig, Vec<Effect>) {
    let recovered = Recovered {
        cluster: Some(cluster()),
        joined_at: Slot(joined_at),
        meta: before.database.meta().clone(),
        next_expiry_ms: None,
        durable_below: Slot(0),
    };
    let identity = Identity { name: replica(1).name, instance: Instance(8), url: replica(1).url };
    let mut rig = Rig { replica: Replica::new(config(), identity, recovered), ..before };
    let effects = rig.step(Input::Started);
    (rig, effects)
}

#[test]
fn data_that_was_taken_out_ends_at_each_start_and_data_that_joined_later_does_not() {
    let taken_out = || {
        let mut rig = Rig::joined(config());
        rig.chosen(&[entry(0, Value::View(highest(1, 1)).encode()), without_first(1, 2)]);
        rig
    };
    for joined_at in [0, 1] {
        let (_, effects) = restarted(taken_out(), joined_at);
        assert!(effects.contains(&out(1, 2)), "joined at {joined_at}: {effects:?}");
    }
    let (_, effects) = restarted(taken_out(), 2);
    assert!(!effects.contains(&out(1, 2)), "{effects:?}");
}

#[test]
fn a_new_database_tells_of_no_view_before_it_has_executed_what_was_there_when_it_joined() {
    let mut rig = Rig::new(config());
    rig.step(Input::Started);
    rig.directory(&[coordinator(1), coordinator(2), replica(2)]);
    rig.watermarks(1, 1, 3);
    let joined = rig.watermarks(1, 2, 3);
    assert_eq!(joined[0], Effect::Join { cluster: cluster(), at: Slot(3) });
    let told = |effects: &[Effect]| {
        let said: Vec<_> =
            heartbeats(effects).iter().map(|said| (said.view.clone(), said.nudge_below)).collect();
        assert_eq!(said.len(), 2, "{effects:?}");
        said[0].clone()
    };
    assert_eq!(told(&joined), (None, Some(Slot(3))), "a vote there may be nobody's any more");
    rig.chosen(&[entry(0, Value::View(highest(1, 1)).encode()), without_first(1, 2)]);
    assert_eq!(told(&rig.after(100).fire(Timer::Heartbeat)), (None, Some(Slot(3))));
    rig.chosen(&[noop(2)]);
    let latest = View { backups: vec![replica(3).name], ..highest(2, 2) };
    assert_eq!(told(&rig.after(100).fire(Timer::Heartbeat)), (Some(latest), None));
}

#[test]
fn an_empty_database_of_a_program_before_removals_joins_anew() {
    let recovered = Recovered {
        cluster: Some(cluster()),
        joined_at: Slot(0),
        meta: Meta::default(),
        next_expiry_ms: None,
        durable_below: Slot(0),
    };
    let mut rig = Rig::new(config());
    rig.replica = Replica::new(config(), rig.replica.identity.clone(), recovered);
    rig.step(Input::Started);
    rig.directory(&[coordinator(1), coordinator(2), replica(2)]);
    rig.watermarks(1, 1, 3);
    let joined = rig.watermarks(1, 2, 3);
    assert_eq!(joined[0], Effect::Join { cluster: cluster(), at: Slot(3) });
    let log = [entry(0, Value::View(highest(1, 1)).encode()), without_first(1, 2)];
    let effects = rig.chosen(&log);
    assert!(!effects.contains(&out(1, 2)), "another one was taken out: {effects:?}");
}
