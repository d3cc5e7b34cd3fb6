//! Replicas that are taken out for good.

use shared::ids::{LogFormat, Slot};
use shared::message::Removal;

use super::*;
use crate::machine::format;
use crate::machine::state::RemovedReplica;

/// A state whose log has the newest format.
fn state() -> ReplicatedState {
    let mut state = ReplicatedState::complete();
    let first = View { format: format::HIGHEST, ..view(1) };
    apply(&mut state, &entry(0, Value::View(first).encode()));
    state
}

fn removal(epoch: u64, replica: &str) -> Value {
    let view = View { format: format::HIGHEST, ..view(epoch) };
    Value::Removal(Removal { view, replica: name(replica) })
}

fn removed(replica: &str, slot: u64, epoch: u64) -> RemovedReplica {
    RemovedReplica { replica: name(replica), slot: Slot(slot), epoch: Epoch(epoch) }
}

#[test]
fn a_removal_is_a_view_and_is_remembered_with_where_it_stands() {
    let mut state = state();
    for (slot, replica) in [(1, "replica-8"), (2, "replica-9"), (3, "replica-8")] {
        let SlotOutcome::View(view) = execute_next(&mut state, removal(slot + 1, replica).encode())
        else {
            panic!("it is no view");
        };
        assert_eq!((view.epoch, state.meta().view.as_ref()), (Epoch(slot + 1), Some(&view)));
    }
    let expected = [removed("replica-9", 2, 3), removed("replica-8", 3, 4)];
    assert_eq!(*state.meta().removed, expected, "each once, as it was last");
    assert_eq!(state.meta().removal_of(&name("replica-8")), Some(&expected[1]));
    assert_eq!(state.meta().removal_of(&name("replica-7")), None);
}

#[test]
fn a_removal_that_does_not_follow_takes_nobody_out() {
    let mut state = state();
    for epoch in [0, 1, 3] {
        let outcome = execute_next(&mut state, removal(epoch, "replica-9").encode());
        let expected = VoidReason::ViewOutOfOrder { epoch: Epoch(epoch), current: Epoch(1) };
        assert_eq!(outcome, SlotOutcome::Void(expected));
    }
    assert_eq!(*state.meta().removed, []);
}

#[test]
fn a_removal_is_void_before_the_log_has_come_to_its_format() {
    let (format, current) = (Removal::FORMAT, LogFormat::FIRST);
    let mut state = ReplicatedState::complete();
    let first = View { format: current, ..view(1) };
    apply(&mut state, &entry(0, Value::View(first).encode()));
    let not_reached = SlotOutcome::Void(VoidReason::FormatNotReached { format, current });
    assert_eq!(execute_next(&mut state, removal(2, "replica-9").encode()), not_reached);
    assert_eq!(*state.meta().removed, []);
}

#[test]
fn the_newest_removals_are_remembered_and_no_more() {
    let mut state = state();
    for number in 1..=limits::REMOVALS as u64 + 2 {
        execute_next(&mut state, removal(number + 1, &format!("gone-{number}")).encode());
    }
    let names: Vec<&str> =
        state.meta().removed.iter().map(|removed| removed.replica.as_str()).collect();
    assert_eq!((names.len(), names[0]), (limits::REMOVALS, "gone-3"));
}
