//! Log that is more than is to be kept is forgotten.

use super::*;

const SLOTS: u64 = 40;

fn keeping(slots: Option<u64>) -> Config {
    Config { retained_slots: slots, ..config() }
}

/// All is executed and durable, in this view.
fn executed(config: Config, view: View) -> Rig {
    let mut rig = Rig::joined(config);
    rig.leads(1, 1, 0);
    rig.chosen(&[entry(0, Value::View(view).encode())]);
    for slot in 1..SLOTS {
        rig.chosen(&[noop(slot)]);
    }
    rig.step(Input::Durable(Slot(SLOTS)));
    rig
}

/// A quorum of acceptors has trimmed so far.
fn trimmed(rig: &mut Rig, below: u64) {
    let effects = rig.after(1_000).fire(Timer::Probe);
    let probe = effects.iter().find_map(|effect| {
        if let Effect::Probe { probe, .. } = effect { Some(*probe) } else { None }
    });
    for acceptor in 1..=2 {
        let mut reply = watermarks(acceptor, SLOTS, Some(roster()));
        reply.marks.chosen_below = Slot(SLOTS);
        reply.marks.trimmed_below = Slot(below);
        rig.step(Input::ProbeReply { probe: probe.unwrap(), reply: Ok(reply) });
    }
}

fn forgotten(rig: &mut Rig) -> Option<u64> {
    let effects = rig.fire(Timer::Compact);
    effects.iter().find_map(|effect| {
        if let Effect::ForgetLog { below } = effect { Some(below.0) } else { None }
    })
}

#[test]
fn so_many_slots_are_kept_below_what_acceptors_have_trimmed() {
    let mut rig = executed(keeping(Some(32)), view(1, 2));
    assert_eq!(forgotten(&mut rig), None, "nothing is trimmed: somebody may need all of it");
    trimmed(&mut rig, 37);
    assert_eq!(forgotten(&mut rig), Some(4), "by whole steps, as at every replica");
    assert_eq!(forgotten(&mut rig), None, "it is forgotten");
    trimmed(&mut rig, 38);
    assert_eq!(forgotten(&mut rig), Some(6));
}

#[test]
fn what_is_not_durable_here_is_kept_whatever_acceptors_have_trimmed() {
    let mut rig = Rig::joined(keeping(Some(1)));
    rig.chosen(&[view_entry(0, 1, 2)]);
    for slot in 1..SLOTS {
        rig.chosen(&[noop(slot)]);
    }
    trimmed(&mut rig, 30);
    assert_eq!(forgotten(&mut rig), None);
    rig.step(Input::Durable(Slot(9)));
    assert_eq!(forgotten(&mut rig), Some(8));
}

#[test]
fn a_replica_alone_keeps_so_much_below_what_it_has_durably() {
    let alone = View { backups: Vec::new(), ..view(1, 1) };
    let mut rig = executed(keeping(Some(10)), alone.clone());
    assert_eq!(forgotten(&mut rig), Some(SLOTS - 10), "acceptors have all of it");
    let mut rig = executed(keeping(Some(10)), alone);
    trimmed(&mut rig, 25);
    assert_eq!(forgotten(&mut rig), Some(15), "who was away needs some of it");
}

#[test]
fn where_all_is_to_be_kept_it_is() {
    let mut rig = executed(keeping(None), view(1, 2));
    trimmed(&mut rig, SLOTS);
    assert_eq!(forgotten(&mut rig), None);
}
