//! History that is not to be kept is dropped by the primary, as a client would have it.

use super::*;
use crate::machine::access::{Accessor, Requirement};
use crate::replica::config::Retention;
use crate::replica::event::{Storage, Unswept};

/// So many revisions are kept.
fn keeping(revisions: u64) -> Config {
    Config { retention: Retention { revisions: Some(revisions), time: None }, ..config() }
}

/// In a log of this format and a view with this primary, at revision 3.
fn at_revision_3(format: LogFormat, primary: u64) -> Rig {
    let mut rig = Rig::joined(keeping(2));
    rig.leads(1, 1, 0);
    let in_format = |view: View| Value::View(View { format, ..view }).encode();
    rig.chosen(&[entry(0, in_format(view(1, 2)))]);
    rig.chosen(&[entry(1, batch(1, 0, &["a", "b", "c"]))]);
    rig.chosen(&[entry(2, in_format(view(2, primary)))]);
    rig
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
