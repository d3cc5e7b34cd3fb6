//! What a transaction does, sentence by sentence; and that it does what its operations do
//! one after another.

mod bounds;
mod reference;

use super::*;
use crate::machine::state::Rows;
use crate::machine::txn::result::{TxnItem, TxnOutcome, TxnResult};
use crate::machine::txn::{Comparison, Guards, Relation, Txn, TxnGuard, TxnOp, TxnPut};

fn put_op(key: &str, value: &str) -> TxnOp {
    let value = Bytes::copy_from_slice(value.as_bytes());
    TxnOp::Put(Box::new(TxnPut { key: key.to_owned(), value, content_type: None }))
}

fn delete(key: &str) -> TxnOp {
    TxnOp::Delete { key: key.to_owned() }
}

fn delete_prefix(prefix: &str) -> TxnOp {
    TxnOp::DeletePrefix { prefix: prefix.to_owned() }
}

fn get(key: &str) -> TxnOp {
    TxnOp::Get { key: key.to_owned() }
}

fn get_prefix(prefix: &str, limit: u32) -> TxnOp {
    TxnOp::GetPrefix { prefix: prefix.to_owned(), limit }
}

fn guard(key: &str, comparison: Comparison) -> TxnGuard {
    TxnGuard { key: key.to_owned(), comparison }
}

fn txn(then: Vec<TxnOp>) -> Op {
    Op::Txn(Box::new(Txn { then, ..Txn::default() }))
}

fn item(key: &str, value: &str, (revision, created, version): (u64, u64, u64)) -> TxnItem {
    TxnItem {
        key: key.to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
        content_type: None,
        revision: Revision(revision),
        created_revision: Revision(created),
        version,
    }
}

fn got(item: TxnItem) -> TxnResult {
    TxnResult::Got(Some(Box::new(item)))
}

fn written(created_revision: u64, version: u64) -> TxnResult {
    TxnResult::Put { created_revision: Revision(created_revision), version }
}

/// The transaction that was executed.
fn taken(outcome: CommandOutcome) -> TxnOutcome {
    let CommandOutcome::Txn(outcome) = outcome else { panic!("{outcome:?}") };
    Arc::unwrap_or_clone(outcome)
}

/// What comes of operations at this revision.
fn results(state: &mut ReplicatedState, revision: u64, ops: Vec<TxnOp>) -> Vec<TxnResult> {
    let outcome = taken(outcome_of(state, txn(ops)));
    assert_eq!((outcome.revision, outcome.guards), (Revision(revision), Guards::Hold));
    outcome.results
}

/// The rows that were written, by key and revision, and the deletions of prefixes.
fn rows(state: &mut ReplicatedState) -> (Vec<(String, u64, bool)>, Vec<String>) {
    let Rows { keys: KeyRows { versions, ranges, .. }, .. } = state.take_rows();
    let row = |row: &VersionRow| (row.key.clone(), row.revision.0, row.content.is_some());
    let prefixes = ranges.iter().map(|range| range.prefix.clone()).collect();
    (versions.iter().map(row).collect(), prefixes)
}

#[test]
fn everything_is_done_at_one_revision_and_later_operations_see_earlier_ones() {
    let mut state = state_after(vec![put("a", "1"), put("b", "1")]);
    let ops = vec![
        put_op("a", "2"),
        get("a"),
        delete("b"),
        get("b"),
        put_op("c", "1"),
        put_op("c", "2"),
        delete("none"),
        get_prefix("", 9),
    ];
    let expected = [
        written(1, 2),
        got(item("a", "2", (3, 1, 2))),
        TxnResult::Deleted { deleted: 1 },
        TxnResult::Got(None),
        written(3, 1),
        written(3, 2),
        TxnResult::Deleted { deleted: 0 },
        TxnResult::Listed {
            items: vec![item("a", "2", (3, 1, 2)), item("c", "2", (3, 3, 2))],
            has_more: false,
        },
    ];
    assert_eq!(results(&mut state, 3, ops), expected);
    assert_eq!(state.meta().revision, Revision(3));
    // A row for each key, whatever was done to it on the way.
    let row = |key: &str, exists| (key.to_owned(), 3, exists);
    assert_eq!(rows(&mut state).0, [row("a", true), row("b", false), row("c", true)]);
}

#[test]
fn what_a_deletion_of_a_prefix_comes_after_is_gone_and_what_comes_after_it_stays() {
    let mut state = state_after(vec![put("p/old", "1"), put("p/again", "1"), put("q", "1")]);
    let ops = vec![
        put_op("p/before", "2"),
        delete_prefix("p/"),
        get_prefix("p/", 9),
        get("p/old"),
        put_op("p/again", "2"),
        put_op("p/after", "2"),
        get_prefix("p/", 1),
    ];
    let nothing = TxnResult::Listed { items: vec![], has_more: false };
    let after = TxnResult::Listed { items: vec![item("p/after", "2", (4, 4, 1))], has_more: true };
    // Three were there; of what is counted later `p/after` is to be taken, which is new, and
    // `p/before` added.
    let deleted = TxnResult::DeletedPrefix { besides: 0 };
    let expected = [
        written(4, 1),
        deleted,
        nothing,
        TxnResult::Got(None),
        written(4, 1),
        written(4, 1),
        after,
    ];
    assert_eq!(results(&mut state, 4, ops), expected);
    let left: Vec<_> = state.keys().records().keys().cloned().collect();
    assert_eq!(left, ["p/after", "p/again", "q"]);
    let (versions, prefixes) = rows(&mut state);
    let row = |key: &str, exists| (key.to_owned(), 4, exists);
    assert_eq!(versions, [row("p/old", false), row("p/after", true), row("p/again", true)]);
    assert_eq!(prefixes, ["p/"]);
}

#[test]
fn prefixes_within_others_are_deleted_once() {
    let mut state = state_after(vec![put("a/1", "1"), put("a/2", "1"), put("b/1", "1")]);
    let ops = vec![
        delete_prefix("a/1"),
        put_op("a/1", "2"),
        delete_prefix("a/"),
        delete_prefix("a/2"),
        delete_prefix("b/"),
    ];
    let expected = [
        TxnResult::DeletedPrefix { besides: 0 },
        written(4, 1),
        TxnResult::DeletedPrefix { besides: 1 },
        TxnResult::Deleted { deleted: 0 },
        TxnResult::DeletedPrefix { besides: 0 },
    ];
    assert_eq!(results(&mut state, 4, ops), expected);
    assert_eq!(rows(&mut state).1, ["a/", "b/"]);
    assert_eq!(state.keys().records().len(), 0);
}

#[test]
fn what_only_reads_takes_no_revision_and_changes_nothing() {
    let mut state = state_after(vec![put("a", "1")]);
    for ops in [vec![], vec![get("a")], vec![get_prefix("", 1), get("b")]] {
        results(&mut state, 1, ops);
    }
    assert_eq!((state.meta().revision, rows(&mut state)), (Revision(1), (vec![], vec![])));
    // A deletion of nothing is a write, as it is alone.
    results(&mut state, 2, vec![delete("b")]);
    assert_eq!(rows(&mut state), (vec![], vec![]));
    // What was not there and is not there has no row.
    results(&mut state, 3, vec![put_op("b", "1"), delete("b")]);
    assert_eq!(rows(&mut state), (vec![], vec![]));
}

#[test]
fn guards_compare_what_is_there_and_an_absent_key_is_at_revision_and_version_0() {
    use Relation::{Equal, Greater, Less, NotEqual};
    let mut state = state_after(vec![put("a", "m"), put("a", "n")]);
    let value =
        |relation, text: &str| Comparison::Value(relation, Bytes::copy_from_slice(text.as_bytes()));
    let revision = |relation, number| Comparison::Revision(relation, Revision(number));
    let all = [Equal, NotEqual, Less, Greater];
    // Which of the four hold.
    let mut cases = vec![];
    let mut add = |key: &'static str, with: &dyn Fn(Relation) -> Comparison, hold: &[Relation]| {
        cases.extend(all.map(|relation| (key, with(relation), hold.contains(&relation))));
    };
    add("a", &|of| revision(of, 1), &[NotEqual, Greater]);
    add("a", &|of| revision(of, 2), &[Equal]);
    add("a", &|of| revision(of, 3), &[NotEqual, Less]);
    add("none", &|of| revision(of, 0), &[Equal]);
    add("none", &|of| revision(of, 1), &[NotEqual, Less]);
    add("a", &|of| Comparison::Version(of, 1), &[NotEqual, Greater]);
    add("a", &|of| Comparison::Version(of, 2), &[Equal]);
    add("none", &|of| Comparison::Version(of, 0), &[Equal]);
    add("a", &|of| value(of, "n"), &[Equal]);
    add("a", &|of| value(of, "m"), &[NotEqual, Greater]);
    add("a", &|of| value(of, "na"), &[NotEqual, Less]);
    add("a", &|of| value(of, ""), &[NotEqual, Greater]);
    add("none", &|of| value(of, ""), &[NotEqual]);
    cases.push(("a", Comparison::Exists(true), true));
    cases.push(("a", Comparison::Exists(false), false));
    cases.push(("none", Comparison::Exists(true), false));
    cases.push(("none", Comparison::Exists(false), true));
    for (key, comparison, holds) in cases {
        let said = format!("{key}: {comparison:?}");
        let guards = vec![guard("a", Comparison::Exists(true)), guard(key, comparison)];
        let (then, otherwise) = (vec![], vec![get("none")]);
        let op = Op::Txn(Box::new(Txn { guards, then, otherwise }));
        let outcome = taken(outcome_of(&mut state, op));
        let expected = if holds { Guards::Hold } else { Guards::Fail };
        assert_eq!(
            (outcome.guards, outcome.results.len()),
            (expected, usize::from(!holds)),
            "{said}"
        );
    }
}

#[test]
fn guards_look_at_the_state_before_and_the_other_branch_does_nothing() {
    let mut state = state_after(vec![put("a", "1")]);
    let absent = vec![guard("a", Comparison::Exists(false))];
    let (then, otherwise) = (vec![put_op("t", "1")], vec![put_op("e", "1")]);
    let op = Op::Txn(Box::new(Txn { guards: absent, then, otherwise }));
    let outcome = taken(outcome_of(&mut state, op));
    assert_eq!((outcome.revision, outcome.guards), (Revision(2), Guards::Fail));
    let left: Vec<_> = state.keys().records().keys().cloned().collect();
    assert_eq!(left, ["a", "e"]);
}

#[test]
fn each_key_is_reported_changed_once_with_what_it_came_to() {
    let change = |key: &str, kind, previous: Option<u64>| Change::Key {
        key: key.to_owned(),
        kind,
        revision: Revision(4),
        previous: previous.map(Revision),
    };
    let mut state = state_after(vec![put("a", "1"), put("b", "1"), put("p/1", "1")]);
    let ops = vec![
        put_op("a", "2"),
        put_op("a", "3"),
        delete("b"),
        put_op("b", "2"),
        put_op("c", "1"),
        delete("c"),
        delete_prefix("p/"),
        put_op("p/1", "2"),
        put_op("p/2", "2"),
    ];
    let expected = [
        Change::Prefix { prefix: "p/".to_owned(), revision: Revision(4) },
        change("a", ChangeKind::Updated, Some(1)),
        change("b", ChangeKind::Updated, Some(2)),
        change("p/1", ChangeKind::Created, None),
        change("p/2", ChangeKind::Created, None),
    ];
    assert_eq!(changes_of(&mut state, vec![txn(ops)]), expected);
}

#[test]
fn a_transaction_in_a_batch_of_a_format_without_them_is_void() {
    let mut state = state_after(vec![]);
    let payload = commands(0, vec![txn(vec![])]).encode();
    let length = payload.len();
    let value = batch_of(1, 1, payload).encode();
    let (epoch, number, error) = (Epoch(1), BatchNumber(1), Unreadable::NotCommands(length));
    let expected = SlotOutcome::Void(VoidReason::Unreadable { epoch, number, error });
    assert_eq!(execute_next(&mut state, value), expected);
    assert_eq!(state.meta().next_batch, BatchNumber(2));
}
