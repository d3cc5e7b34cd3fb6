//! Executing where not all keys are loaded.

use super::*;

#[test]
#[should_panic(expected = "executing lacks what was not loaded")]
fn a_key_that_was_not_loaded_is_not_taken_for_absent() {
    let meta = state_after(vec![]).meta().clone();
    let mut state = ReplicatedState::partial(meta, Whole::default());
    execute_next(&mut state, batch(1, 1, vec![put("k", "a")]));
}

#[test]
#[should_panic(expected = "executing touches key \"k\", which was not loaded")]
fn a_key_that_nobody_asked_for_is_not_taken_for_absent() {
    let meta = state_after(vec![]).meta().clone();
    let mut state = ReplicatedState::partial(meta, Whole::default());
    let op = put_if("k", "a", Condition::IfMatchAny);
    execute_op(&mut state, &mut 0, Prepared { op, by: None, evaluated: None });
}

/// Whatever there is under the prefix, it is not looked at.
#[test]
fn deleting_a_prefix_loads_nothing_and_hides_what_was_not_loaded() {
    let meta = state_after(vec![put("a/1", "1")]).meta().clone();
    let ops = vec![Op::DeletePrefix { prefix: "a/".to_owned() }, put("b", "1")];
    let mut state = ReplicatedState::partial(meta, Whole::default());
    let keys = KeyNeeds { heads: ["b".to_owned()].into(), ..KeyNeeds::default() };
    let needs = Needs { keys, ..Needs::default() };
    state.load(needs, Loaded::default());
    execute_next(&mut state, batch(1, 1, ops));
    let changes = state.take_rows().keys;
    let range = RangeTombstone { prefix: "a/".to_owned(), revision: Revision(2) };
    assert_eq!(changes.ranges, [range]);
    assert_eq!(changes.versions.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_key_that_is_loaded_after_its_prefix_was_deleted_is_not_there() {
    let meta = state_after(vec![put("a/1", "1")]).meta().clone();
    let mut state = ReplicatedState::partial(meta, Whole::default());
    let ops = vec![Op::DeletePrefix { prefix: "a/".to_owned() }, put("a/1", "2")];
    let mut run = Run::new(vec![entry(2, batch(1, 1, ops))]);
    let RunStep::Lacks(needs) = run.advance(&mut state) else { panic!("a key is lacking") };
    let record = Record {
        revision: Revision(1),
        created_revision: Revision(1),
        version: 1,
        lease: None,
        content_bytes: 1,
        content: None,
    };
    let keys = LoadedKeys { heads: vec![("a/1".to_owned(), record)], ..LoadedKeys::default() };
    state.load(needs, Loaded { keys, ..Loaded::default() });
    let RunStep::Done(report) = run.advance(&mut state) else { panic!("all is loaded") };
    let SlotOutcome::Batch { commands, .. } = &report.slots[0].outcome else { panic!("a batch") };
    assert_eq!(commands[1].outcome, CommandOutcome::Created { revision: Revision(3) });
    let rows = state.take_rows().keys.versions;
    let revisions: Vec<_> =
        rows.iter().map(|row| (row.revision.0, row.content.is_some())).collect();
    assert_eq!(revisions, [(2, false), (3, true)]);
}
