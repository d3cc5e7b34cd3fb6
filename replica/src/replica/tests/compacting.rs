//! History that is not to be kept is dropped by the primary, as a client would have it.

use super::*;
use crate::machine::access::{Accessor, Requirement};
use crate::replica::config::Retention;
use crate::replica::event::{Storage, Unswept, Weighed};

/// In a log of this format and a view with this primary, at revision 3. Two revisions are kept.
fn at_revision_3(format: LogFormat, primary: u64) -> Rig {
    let retention = Retention { revisions: Some(2), time: None, bytes: None };
    at_revision_3_with(retention, format, primary)
}

fn at_revision_3_with(retention: Retention, format: LogFormat, primary: u64) -> Rig {
    let mut rig = Rig::joined(Config { retention, ..config() });
    rig.leads(1, 1, 0);
    let in_format = |view: View| Value::View(View { format, ..view }).encode();
    rig.chosen(&[entry(0, in_format(view(1, 2)))]);
    rig.chosen(&[entry(1, batch(1, 0, &["a", "b", "c"]))]);
    rig.chosen(&[entry(2, in_format(view(2, primary)))]);
    rig
}

/// In the same, at revision 3, where only bytes count.
fn keeping_bytes(bytes: u64, primary: u64) -> Rig {
    let retention = Retention { revisions: None, time: None, bytes: Some(bytes) };
    at_revision_3_with(retention, format::COMPACTION, primary)
}

/// A compaction up to this revision frees so many bytes more, of as many as the database takes.
fn weighed(through: u64, bytes: u64, database_bytes: u64) -> Input {
    Input::Weighed(Weighed { through: Revision(through), bytes, database_bytes })
}

fn compact(revision: u64) -> Effect {
    Effect::Compact { revision: Revision(revision), by: None }
}

/// It is looked again, and that is all.
fn armed() -> Vec<Effect> {
    vec![arm(Timer::Compact, 5_000, 0)]
}

fn fired(rig: &mut Rig) -> Vec<Effect> {
    let mut effects = rig.fire(Timer::Compact);
    effects.retain(|effect| matches!(effect, Effect::Arm { .. } | Effect::Compact { .. }));
    effects
}

#[test]
fn a_primary_has_what_is_not_to_be_kept_dropped_and_then_nothing_more() {
    let mut rig = at_revision_3(format::COMPACTION, 1);
    assert_eq!(fired(&mut rig), [armed(), vec![compact(1)]].concat());
    let op = Op::Compact { below: Revision(1) };
    let command = Command { op, trace: None, request: identity("compact") };
    let asked = Input::Mutation { id: RequestId(u64::MAX), command, since: None, wall_ms: 0 };
    let effects = rig.step(asked);
    assert_eq!(fired(&mut rig), armed(), "it flies");
    let proposal = effects.iter().find_map(|effect| {
        if let Effect::Propose { proposal, .. } = effect { Some(proposal.clone()) } else { None }
    });
    rig.chosen(&[entry(3, proposal.unwrap().value)]);
    assert_eq!(rig.replica.status(rig.now).compacted_below, Revision(1));
    assert_eq!(fired(&mut rig), armed(), "what is kept is all that there is");
}

#[test]
fn only_a_primary_that_can_have_it_chosen_asks_for_it() {
    assert_eq!(fired(&mut at_revision_3(format::LEASES, 1)), armed(), "the log has it not yet");
    assert_eq!(fired(&mut at_revision_3(format::COMPACTION, 2)), armed(), "a backup");
    let mut rig = at_revision_3(format::COMPACTION, 1);
    rig.after(60_000);
    assert_eq!(fired(&mut rig), armed(), "nobody leads");
    let mut rig = at_revision_3(format::COMPACTION, 1);
    rig.step(Input::Storage(Storage::Full));
    assert_eq!(fired(&mut rig), armed(), "the disk is full");
}

#[test]
fn what_was_dropped_is_swept_before_more_is() {
    let mut rig = at_revision_3(format::COMPACTION, 1);
    rig.step(Input::Unswept(Unswept { revisions: 1, ..Unswept::default() }));
    assert_eq!(fired(&mut rig), armed());
    rig.step(Input::Unswept(Unswept::default()));
    assert_eq!(fired(&mut rig), [armed(), vec![compact(1)]].concat());
}

#[test]
fn once_tokens_are_required_it_is_asked_for_by_the_cluster_itself() {
    let mut rig = at_revision_3(format::ACCESS, 1);
    rig.replica.meta.access.requirement = Requirement::Tokens { since: Revision(1) };
    let by = Some(Accessor::CLUSTER);
    let asked = Effect::Compact { revision: Revision(1), by };
    assert_eq!(fired(&mut rig), [armed(), vec![asked]].concat());
}

#[test]
fn the_oldest_history_goes_once_all_of_it_takes_more_bytes_than_are_to_be_kept() {
    let mut rig = keeping_bytes(100, 1);
    rig.step(weighed(1, 60, 200));
    rig.step(weighed(2, 40, 200));
    assert_eq!(fired(&mut rig), armed(), "so many are kept");
    rig.step(weighed(3, 50, 200));
    assert_eq!(fired(&mut rig), [armed(), vec![compact(1)]].concat());
    rig.replica.meta.compacted_below = Revision(1);
    assert_eq!(fired(&mut rig), armed(), "what is left is few enough");
}

#[test]
fn a_third_of_a_large_database_may_be_history() {
    let mut rig = keeping_bytes(100, 1);
    rig.step(weighed(2, 150, 900));
    rig.step(weighed(3, 150, 900));
    assert_eq!(fired(&mut rig), armed());
    rig.step(weighed(3, 1, 900));
    assert_eq!(fired(&mut rig), [armed(), vec![compact(2)]].concat());
}

#[test]
fn only_the_primary_has_dropped_what_is_too_many_bytes_and_whoever_becomes_it_knows_of_them() {
    let mut rig = keeping_bytes(100, 2);
    rig.step(weighed(2, 150, 200));
    assert_eq!(fired(&mut rig), armed(), "a backup");
    let view = View { format: format::COMPACTION, ..view(3, 1) };
    rig.chosen(&[entry(3, Value::View(view).encode())]);
    assert_eq!(fired(&mut rig), [armed(), vec![compact(2)]].concat());
}

#[test]
fn far_too_many_bytes_are_not_waited_with() {
    let compactions = |effects: Vec<Effect>| {
        let is_one = |effect: &Effect| matches!(effect, Effect::Compact { .. });
        effects.into_iter().filter(is_one).collect::<Vec<_>>()
    };
    let mut rig = keeping_bytes(160, 1);
    assert_eq!(compactions(rig.step(weighed(1, 60, 200))), []);
    assert_eq!(compactions(rig.step(weighed(2, 110, 200))), [], "a sixteenth more");
    assert_eq!(compactions(rig.step(weighed(3, 1, 200))), [compact(1)]);
}
