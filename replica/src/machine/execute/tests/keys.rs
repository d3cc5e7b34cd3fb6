//! Keys that are put and deleted, under guards.

use super::*;

#[test]
fn the_first_put_of_a_key_creates_it_and_the_next_replaces_it() {
    let mut state = state_after(vec![]);
    assert_eq!(
        outcome_of(&mut state, put("k", "a")),
        CommandOutcome::Created { revision: Revision(1) }
    );
    let replaced = CommandOutcome::Replaced {
        revision: Revision(2),
        created_revision: Revision(1),
        version: 2,
    };
    assert_eq!(outcome_of(&mut state, put("k", "b")), replaced);
    let row = |revision, version, value| VersionRow {
        key: "k".to_owned(),
        revision: Revision(revision),
        created_revision: Revision(1),
        version,
        lease: None,
        content: content(value),
    };
    assert_eq!(state.take_rows().keys.versions, [row(1, 1, "a"), row(2, 2, "b")]);
    assert_eq!(state.take_rows().keys, KeyRows::default());
}

#[test]
fn a_deleted_key_starts_anew() {
    let mut state = state_after(vec![put("k", "a"), put("k", "b")]);
    let deleted = CommandOutcome::Deleted { revision: Revision(3), deleted: 1 };
    assert_eq!(outcome_of(&mut state, delete_if("k", Condition::Always)), deleted);
    let gone = VersionRow {
        key: "k".to_owned(),
        revision: Revision(3),
        created_revision: Revision(1),
        version: 2,
        lease: None,
        content: None,
    };
    assert_eq!(state.take_rows().keys, KeyRows { versions: vec![gone], ..KeyRows::default() });
    assert_eq!(
        outcome_of(&mut state, put("k", "c")),
        CommandOutcome::Created { revision: Revision(4) }
    );
}

#[test]
fn deleting_what_is_not_there_takes_a_revision_and_changes_nothing() {
    let mut state = state_after(vec![put("k", "a")]);
    let nothing = CommandOutcome::Deleted { revision: Revision(2), deleted: 0 };
    assert_eq!(outcome_of(&mut state, delete_if("other", Condition::Always)), nothing);
    assert_eq!(state.take_rows().keys, KeyRows::default());
    let prefix = CommandOutcome::DeletedPrefix { revision: Revision(3) };
    assert_eq!(outcome_of(&mut state, Op::DeletePrefix { prefix: "x".to_owned() }), prefix);
    assert_eq!(state.take_rows().keys.versions, []);
}

#[test]
fn a_guard_that_does_not_hold_writes_nothing_and_takes_no_revision() {
    use Condition::{IfMatch, IfMatchAny, IfNoneMatchAny};
    let failing = [
        (put_if("k", "b", IfMatch(vec![Revision(2)])), Some(Revision(1))),
        (put_if("k", "b", IfNoneMatchAny), Some(Revision(1))),
        (put_if("none", "b", IfMatch(vec![Revision(1)])), None),
        (put_if("k", "b", IfMatch(vec![Revision(2), Revision(3)])), Some(Revision(1))),
        (put_if("k", "b", IfMatch(vec![])), Some(Revision(1))),
        (put_if("none", "b", IfMatch(vec![])), None),
        (put_if("none", "b", IfMatchAny), None),
        (delete_if("k", IfMatch(vec![Revision(9)])), Some(Revision(1))),
        (delete_if("k", IfNoneMatchAny), Some(Revision(1))),
        (delete_if("none", IfMatchAny), None),
    ];
    for (op, current) in failing {
        let mut state = state_after(vec![put("k", "a")]);
        let outcome = outcome_of(&mut state, op.clone());
        assert_eq!(
            outcome,
            CommandOutcome::PreconditionFailed { revision: Revision(1), current },
            "{op:?}"
        );
        assert_eq!(
            (state.meta().revision, state.take_rows().keys),
            (Revision(1), KeyRows::default()),
            "{op:?}"
        );
    }
}

#[test]
fn a_guard_that_holds_lets_the_command_through() {
    use Condition::{IfMatch, IfMatchAny, IfNoneMatchAny};
    let replaced = CommandOutcome::Replaced {
        revision: Revision(2),
        created_revision: Revision(1),
        version: 2,
    };
    let deleted = |deleted| CommandOutcome::Deleted { revision: Revision(2), deleted };
    let passing = [
        (put_if("k", "b", IfMatch(vec![Revision(1)])), replaced.clone()),
        (put_if("k", "b", IfMatch(vec![Revision(7), Revision(1)])), replaced.clone()),
        (put_if("k", "b", IfMatchAny), replaced),
        (put_if("none", "b", IfNoneMatchAny), CommandOutcome::Created { revision: Revision(2) }),
        (delete_if("k", IfMatch(vec![Revision(1)])), deleted(1)),
        (delete_if("k", IfMatchAny), deleted(1)),
        (delete_if("none", IfNoneMatchAny), deleted(0)),
    ];
    for (op, expected) in passing {
        let mut state = state_after(vec![put("k", "a")]);
        assert_eq!(outcome_of(&mut state, op.clone()), expected, "{op:?}");
    }
}

#[test]
fn later_commands_of_a_batch_see_what_earlier_ones_did() {
    let mut state = state_after(vec![]);
    let ops = vec![
        put_if("k", "a", Condition::IfNoneMatchAny),
        put_if("k", "b", Condition::IfNoneMatchAny),
        put_if("k", "c", Condition::IfMatch(vec![Revision(1)])),
    ];
    let outcomes = vec![
        CommandOutcome::Created { revision: Revision(1) },
        CommandOutcome::PreconditionFailed { revision: Revision(1), current: Some(Revision(1)) },
        CommandOutcome::Replaced {
            revision: Revision(2),
            created_revision: Revision(1),
            version: 2,
        },
    ];
    let expected = SlotOutcome::Batch {
        epoch: Epoch(1),
        number: BatchNumber(1),
        commands: executed(outcomes),
    };
    assert_eq!(execute_next(&mut state, batch(1, 1, ops)), expected);
}
